"""Tensor and Function: values, the operations that made them, and backpropagation.

A Tensor holds floats, integers, or, after a sign, packed Bits.  A Function is one application
of one operation, with `forward` directly above `backward`.  Derivatives are first-order.
"""

import contextlib
import contextvars
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from bitnet.arrays import (
    array_module,
    as_array,
    check_one_device,
    is_array,
    is_wide,
    like,
    moved,
    plain,
    to_cpu,
    unshared,
)
from bitnet.autograd.walk import check_unchanged, operands_first
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits

TensorLike = Any  # a Tensor, or an array, number or list that becomes one
Axes = int | tuple[int, ...] | None
SHOWN = 100  # elements in the repr of a Tensor
_recording = contextvars.ContextVar("bitnet_recording", default=True)
_evaluating = contextvars.ContextVar("bitnet_evaluating", default=False)
# inside `listed` a list, and whether a method `frozen` replaces its Function
_records = contextvars.ContextVar[tuple]("bitnet_records", default=(None, False))


@contextlib.contextmanager
def _set(variable, value):
    """Set a context variable inside a `with` block."""
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Compute inside a `with` block without recording operations for `backward`.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> with no_grad():
    ...     y = x * 3
    >>> y.requires_grad
    False
    """
    with _set(_recording, False):
        yield


@contextlib.contextmanager
def listed(expanded=False):
    """List all operations inside a `with` block, also those on inputs that need no gradient.

    Gives a list with one (Function, its settings before forward, operands, result) per operation;
    if `expanded`, the operations of the method `frozen` replace a Function that has one.
    """
    with _set(_recording, True), _set(_records, ([], expanded)) as (records, _):
        yield records


def evaluation(evaluates=True):
    """Compute inside a `with` block as in evaluation, or with False as in training."""
    return _set(_evaluating, evaluates)


def is_evaluating() -> bool:
    """Return whether a Module in evaluation mode, or `evaluating(model)`, is computing.

    Float products and sums then have an order that does not depend on the size of the batch.
    """
    return _evaluating.get()


def is_recording() -> bool:
    """Return whether operations are recorded for `backward`; not inside `no_grad`."""
    return _recording.get()


class Tensor:
    """An array with a gradient.

    Parameters
    ----------
    data : array, Bits, BitPlanes, number or nested list of numbers
        The value.  Arrays keep their type (float32, float64, integers, booleans); Python
        numbers and lists of them become float32.
    requires_grad : bool, optional
        Whether `backward` stores a gradient in `grad`; floats only.

    Attributes
    ----------
    data : array or Bits or BitPlanes
        The value, of NumPy or, on a GPU, of CuPy.
    grad : array or None
        The gradient, of the shape and type of `data`, summed over all calls of `backward`
        since it was last set to None.
    creator : Function or None
        The operation whose result this is.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.], dtype=float32)
    """

    __slots__ = ("creator", "data", "grad", "requires_grad")
    version: int = 0  # a Parameter counts the changes of its data
    __array_ufunc__ = None  # so that `array + tensor` asks the Tensor

    data: Any
    grad: Any
    creator: "Function | None"
    requires_grad: bool

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if not isinstance(data, (Bits, BitPlanes)):
            data = _as_array(data)
            if requires_grad and data.dtype.kind != "f":
                raise InputError(f"Tensor: {data.dtype} has no gradient; expected floats")
        elif requires_grad:
            raise InputError("Tensor: bits have no gradient; call sign() on floats that need one")
        self.data = data
        self.requires_grad = bool(requires_grad)
        self.grad = None
        self.creator = None

    @property
    def _held(self):
        """The array that determines the device."""
        return getattr(self.data, "_held", self.data)

    def _moved(self, move):
        """Return the data moved, as a Tensor detached from the graph."""
        return Tensor(moved(self.data, move), self.requires_grad)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, in elements."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size

    @property
    def is_float(self) -> bool:
        """Whether the data are floats, and not integers, Bits or BitPlanes."""
        return not isinstance(self.data, (Bits, BitPlanes)) and self.data.dtype.kind == "f"

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a Tensor without axes")
        return self.shape[0]

    def __repr__(self):
        grad = ", requires_grad=True" if self.requires_grad else ""
        if self.size <= SHOWN:
            return f"{type(self).__name__}({self.data!r}{grad})"
        kind = getattr(self.data, "dtype", type(self.data).__name__)
        return f"{type(self).__name__}({kind} {self.shape}{grad})"

    def item(self) -> Any:
        """Return the value of a Tensor with one element, as a Python number."""
        if self.size != 1:
            raise InputError(f"item: got a Tensor of shape {self.shape}; expected one element")
        return self.numpy().item()

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __iter__(self) -> "Iterator[Tensor]":
        return (self[i] for i in range(len(self)))

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.numpy())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise InputError(
                f"the truth value of a Tensor of shape {self.shape} is ambiguous; reduce it first, "
                "such as (a == b).numpy().all()"
            )
        return bool(self.item())

    __hash__ = object.__hash__  # a Tensor is a key by identity, as comparisons are elementwise

    def __setitem__(self, index: Any, value: Any) -> None:
        raise InputError(
            f"{type(self).__name__}: elements cannot be set, because the graph would "
            "not record it; change parameter.edit()[...], call parameter.assign(x), or change .data"
        )

    def numpy(self) -> np.ndarray:
        """Return the numbers as a NumPy array, unpacked and on the CPU; it may share memory."""
        data = to_cpu(self.data)
        if isinstance(data, Bits):
            return data.signs()
        return data.values() if isinstance(data, BitPlanes) else data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype, copy=copy)

    def detach(self) -> "Tensor":
        """Return the same data as a Tensor detached from the graph."""
        return Tensor(self.data)

    def backward(self, grad: Any = None, retain_graph: bool = False) -> None:
        """Add the derivative of this Tensor with respect to each leaf to the leaf's `grad`.

        `grad` is the derivative of the quantity of interest with respect to this Tensor, 1 for one
        element.  The graph is traversed without recursion, each operation once, results before
        operands.  The values that operations saved are released on the way unless `retain_graph` is
        true.
        """
        if not self.requires_grad:
            raise InputError(
                "backward: this Tensor is detached from the graph; make an input with "
                "requires_grad=True, and compute outside no_grad()"
            )
        grads = {id(self): self._first_gradient(grad)}
        order = operands_first(self)
        check_unchanged([x.creator for x in order if x.creator is not None])
        while order:
            tensor = order.pop()
            grad_y = grads.pop(id(tensor), None)
            node = tensor.creator
            if grad_y is None:
                continue
            if node is None:
                tensor._receive(grad_y)
                continue
            for x, grad_x in zip(node.inputs, node.gradients(grad_y), strict=True):
                if not x.requires_grad:
                    continue
                meets = id(x) in grads
                grads[id(x)] = grads[id(x)] + grad_x if meets else grad_x
            if not retain_graph:
                node.release()

    def _receive(self, grad):
        """Add a gradient to `grad`."""
        self.grad = as_array(grad) if self.grad is None else self.grad + grad

    def _first_gradient(self, grad):
        """Return the gradient that the walk starts with."""
        if grad is None:
            if self.size != 1:
                raise InputError(
                    f"backward: a Tensor of shape {self.shape} needs the argument grad "
                    "of that shape; pass it, or reduce to one number first (sum, mean, a loss)"
                )
            dtype = self.data.dtype if self.is_float else np.float32
            return array_module(self).ones(self.shape, dtype)
        grad = like(grad, self) if is_array(grad) else grad
        grad = array_module(self).array(grad, self.data.dtype if self.is_float else None)
        if grad.shape != self.shape:
            raise InputError(f"backward: grad has shape {grad.shape}; expected {self.shape}")
        return grad

    if TYPE_CHECKING:  # `nn.functional.methods` sets these
        T: "Tensor"
        dtype: np.dtype

        def _binary(self, other: Any) -> "Tensor": ...
        def _unary(self) -> "Tensor": ...
        def _reduced(self, axis: Axes = None, keepdims: bool = False) -> "Tensor": ...
        def reshape(self, *shape: Any) -> "Tensor": ...
        def transpose(self, *axes: Any) -> "Tensor": ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _binary
        __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = __pow__ = __getitem__ = _binary
        __lt__ = __le__ = __gt__ = __ge__ = _binary
        __eq__ = __ne__ = _binary  # type: ignore[assignment]
        __neg__ = __abs__ = abs = exp = log = tanh = sigmoid = relu = sqrt = _unary
        sum = mean = max = min = var = std = _reduced
        clamp = softmax = log_softmax = argmax = squeeze = unsqueeze = reshape


class Function:
    """One application of one operation; subclasses write `forward` above `backward`.

    `forward` takes the data of the inputs and returns the data of the result; it stores on `self`
    what `backward` needs.  `backward` takes the gradient of the result and returns one gradient per
    input, of that input's shape, or None for an input whose entry in `self.needs_grad` is False.
    With a single input it may return the gradient itself.

    Attributes
    ----------
    inputs : tuple of Tensor
        The operands.
    needs_grad : tuple of bool
        Which of them require a gradient.

    Examples
    --------
    >>> class Double(Function):
    ...     def forward(self, x):
    ...         return 2 * x
    ...
    ...     def backward(self, grad_y):
    ...         return 2 * grad_y
    >>> x = Tensor([1.0, 5.0], requires_grad=True)
    >>> Double()(x).sum().backward()
    >>> x.grad
    array([2., 2.], dtype=float32)
    """

    inputs: tuple["Tensor", ...] = ()
    versions: list[int] = []
    needs_grad: tuple[bool, ...] = ()
    _takes_bits = False
    _takes_products = False  # whether backward takes a grad_y that is not multiplied yet

    def __call__(self, *inputs: Any) -> "Tensor":
        """Apply the operation to Tensors, arrays or numbers; returns a Tensor."""
        if self.inputs:
            raise InputError(f"{self.name} was already applied; make a new one for each call")
        tensors = _as_tensors(inputs)
        if not self._takes_bits:
            for x in tensors:
                if isinstance(x.data, (Bits, BitPlanes)):
                    raise InputError(
                        f"{self.name}: got {x.data!r}; expected numbers; "
                        "functional.unpack() turns bits into +1.0 and -1.0"
                    )
        check_one_device(self.name, tensors)
        self.needs_grad = tuple(x.requires_grad and _recording.get() for x in tensors)
        records, expanded = _records.get()
        if expanded and hasattr(self, "frozen"):
            return self.frozen(*tensors)
        settings: dict[str, Any] = {} if records is None else dict(vars(self))
        y = Tensor(self.forward(*(x.data for x in tensors)))
        if any(self.needs_grad):
            self.inputs, self.versions = tensors, [x.version for x in tensors]
            y.creator = self
            y.requires_grad = True
        if records is not None:
            records.append((self, settings, tensors, y))
        return y

    @property
    def name(self):
        """The operation's name."""
        return type(self).__name__

    def forward(self, *inputs: Any) -> Any:
        """Return the data of the result for the data of the inputs."""
        raise TypeError(f"{self.name} has no forward; a Function defines forward and backward")

    def backward(self, grad_y: Any) -> Any:
        """Return the gradients of the inputs for the gradient of the result."""
        raise TypeError(f"{self.name} has no backward; a Function defines forward and backward")

    def gradients(self, grad_y):
        """Call `backward` and check its result against the inputs."""
        if not self.inputs:
            raise InputError(
                f"backward: an earlier backward() released the graph at {self.name}; pass "
                "retain_graph=True to that call"
            )
        grads = self.backward(grad_y if self._takes_products else as_array(grad_y))
        grads = grads if isinstance(grads, (tuple, list)) else (grads,)
        if len(grads) != len(self.inputs):
            counts = f"{len(grads)} gradients for {len(self.inputs)} inputs"
            raise RuntimeError(f"{self.name}.backward returned {counts}")
        for i, (x, grad_x) in enumerate(zip(self.inputs, grads, strict=True)):
            if x.requires_grad and getattr(grad_x, "shape", None) != x.shape:
                raise RuntimeError(
                    f"{self.name}.backward returned a gradient of shape "
                    f"{getattr(grad_x, 'shape', None)} for input {i} of shape {x.shape}"
                )
        return unshared(_of_type(x, g) for x, g in zip(self.inputs, grads, strict=True))

    def release(self):
        """Release the inputs and all that forward kept."""
        self.__dict__.clear()


def _of_type(x, grad):
    """Return the gradient of the Tensor x in the float type of x."""
    if not (x.requires_grad and x.is_float) or grad.dtype == x.data.dtype:
        return grad
    return as_array(grad).astype(x.data.dtype)


def as_tensor(x: TensorLike) -> Tensor:
    """Return `x` itself if it is a Tensor, otherwise a Tensor that holds it.

    Parameters
    ----------
    x : Tensor, array, Bits, BitPlanes, number or nested list of numbers
        A value.

    Examples
    --------
    >>> as_tensor(2.0)
    Tensor(array(2., dtype=float32))
    """
    return x if isinstance(x, Tensor) else Tensor(x)


def _as_tensors(inputs):
    """Return the inputs as Tensors; numbers take the float type of the first Tensor with one.

    Whole numbers among integer Tensors are int32, or int64 where a Tensor is.
    """
    types = [getattr(x.data, "dtype", None) for x in inputs if isinstance(x, Tensor)]
    floats = [kind for kind in types if kind is not None and kind.kind == "f"]
    integers = [kind for kind in types if kind is not None and kind.kind in "iub"]
    of_float = floats[0] if floats else np.dtype(np.float32)
    of_int = of_float
    if integers and not floats:
        of_int = np.dtype(np.int64 if any(is_wide(kind) for kind in integers) else np.int32)
    xp = array_module(*inputs)

    def one(x):
        if not isinstance(x, (int, float, np.generic)):
            return as_tensor(x)
        kind = of_int if isinstance(x, (int, np.integer, np.bool_)) else of_float
        if kind.kind == "i" and not np.iinfo(kind).min <= x <= np.iinfo(kind).max:
            raise InputError(
                f"got {x!r:.60}, which does not fit {kind}; convert the Tensor to floats"
            )
        return Tensor(xp.asarray(x, kind))

    return tuple(map(one, inputs))


def _as_array(data):
    """Return an array of real numbers of float32, float64, an integer type or bool."""
    if isinstance(data, Tensor):
        raise InputError("Tensor: got a Tensor; expected an array (use its .data)")
    array = plain(data, "Tensor")
    from_python = not isinstance(data, np.generic)  # such as float64, which is also a float
    if from_python and isinstance(data, (list, tuple, int, float)) and array.dtype.kind != "b":
        array = array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        expected = "float32, float64, integers or booleans"
        raise InputError(f"Tensor: got an array of type {array.dtype}; expected {expected}")
    return array
