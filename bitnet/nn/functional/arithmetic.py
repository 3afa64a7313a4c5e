"""What a Tensor can do by itself: arithmetic with broadcasting, sums, and other shapes."""

import itertools
import math

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.autograd import Function, Tensor
from bitnet.errors import InputError, is_whole, unfit


def _unbroadcast(grad, shape):
    """Sum a gradient over the axes along which an operand of this shape was repeated."""
    if grad.shape == shape:
        return grad
    extra = grad.ndim - len(shape)
    repeated = tuple(i + extra for i, size in enumerate(shape) if size == 1)
    return grad.sum(axis=(*range(extra), *repeated), keepdims=True).reshape(shape)


class _Broadcast(Function):
    """What the operations on two broadcast operands share: their shapes, and the check."""

    def _remember_shapes(self, a, b):
        self.shapes = a.shape, b.shape
        sizes = zip(reversed(a.shape), reversed(b.shape), strict=False)
        if any(m != n and 1 not in (m, n) for m, n in sizes):
            raise InputError(f"{self.name}: shapes {a.shape} and {b.shape} do not broadcast")

    def _to_shapes(self, grad_a, grad_b):
        return _unbroadcast(grad_a, self.shapes[0]), _unbroadcast(grad_b, self.shapes[1])


class Add(_Broadcast):
    """a + b."""

    def forward(self, a, b):
        self._remember_shapes(a, b)
        return a + b

    def backward(self, grad_y):
        return self._to_shapes(grad_y, grad_y)


def add(a, b):
    """The sum `a + b`, with broadcasting; also the operator `+`."""
    return Add()(a, b)


class Subtract(_Broadcast):
    """a - b."""

    def forward(self, a, b):
        self._remember_shapes(a, b)
        return a - b

    def backward(self, grad_y):
        return self._to_shapes(grad_y, -grad_y)


def subtract(a, b):
    """The difference `a - b`, with broadcasting; also the operator `-`."""
    return Subtract()(a, b)


class Multiply(_Broadcast):
    """a * b."""

    def forward(self, a, b):
        self._remember_shapes(a, b)
        self.a, self.b = a, b
        return a * b

    def backward(self, grad_y):
        return self._to_shapes(grad_y * self.b, grad_y * self.a)


def multiply(a, b):
    """The elementwise product `a * b`, with broadcasting; also the operator `*`."""
    return Multiply()(a, b)


class Divide(_Broadcast):
    """a / b."""

    def forward(self, a, b):
        self._remember_shapes(a, b)
        self.a, self.b = a, b
        return a / b

    def backward(self, grad_y):
        grad_a = grad_y / self.b
        return self._to_shapes(grad_a, -grad_a * self.a / self.b)


def divide(a, b):
    """The elementwise quotient `a / b`, with broadcasting; also the operator `/`."""
    return Divide()(a, b)


class Negate(Function):
    """-x."""

    def forward(self, x):
        return -x

    def backward(self, grad_y):
        return -grad_y


def negate(x):
    """The negative `-x`; also the operator `-`."""
    return Negate()(x)


class Power(Function):
    """x ** exponent."""

    def __init__(self, exponent):
        self.exponent = exponent

    def forward(self, x):
        self.x = x
        return x**self.exponent

    def backward(self, grad_y):
        if self.exponent == 0:
            return 0 * grad_y  # also where x is 0 and 0 ** -1 is not finite
        return grad_y * self.exponent * self.x ** (self.exponent - 1)


def power(x, exponent):
    """`x` to the power of a constant; also the operator `**`."""
    if not isinstance(exponent, (int, float, np.number)):
        raise InputError(f"power: exponent is {type(exponent).__name__}; expected a number")
    return Power(float(exponent))(x)


class MatMul(Function):
    """a @ b for matrices."""

    def forward(self, a, b):
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
            raise unfit("matmul", "(B, N) and (N, M)", a, b)
        self.a, self.b = a, b
        return a @ b  # (B, M)

    def backward(self, grad_y):
        return grad_y @ self.b.T, self.a.T @ grad_y


def matmul(a, b):
    """The matrix product `a @ b`; also the operator `@`."""
    return MatMul()(a, b)


class _Reduction(Function):
    """What sum and mean share: the axes, and the way back to the shape of x."""

    def __init__(self, axis, keepdims):
        self.axis, self.keepdims = axis, keepdims

    def _remember_axes(self, x):
        given = range(x.ndim) if self.axis is None else self.axis
        given = tuple(given) if isinstance(given, (tuple, range)) else (given,)
        axes = {a % x.ndim for a in given if -x.ndim <= a < x.ndim}
        if len(axes) < len(given):  # one is out of range or comes twice
            raise InputError(f"{self.name}: axis {self.axis} for an array of shape {x.shape}")
        self.shape = x.shape
        self.kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        self.count = math.prod(x.shape[a] for a in axes)

    def _spread(self, grad_y):
        xp = array_module(grad_y)
        return xp.broadcast_to(grad_y.reshape(self.kept), self.shape).copy()


class Sum(_Reduction):
    """The sum over some axes."""

    def forward(self, x):
        self._remember_axes(x)
        return x.sum(axis=self.axis, keepdims=self.keepdims)

    def backward(self, grad_y):
        return self._spread(grad_y)


def sum(x, axis=None, keepdims=False):
    """The sum over some axes; also the method `x.sum`."""
    return Sum(axis, keepdims)(x)


class Concatenate(Function):
    """Arrays side by side along the last axis; each gets its part of the gradient."""

    _takes_bits = True

    def forward(self, *parts):
        self.ends = [*itertools.accumulate(part.shape[-1] for part in parts)][:-1]
        return kernels.concatenate(parts)

    def backward(self, grad_y):
        xp = array_module(grad_y)
        return [xp.ascontiguousarray(part) for part in xp.split(grad_y, self.ends, axis=-1)]


def concatenate(*parts):
    """Join arrays along the last axis, as the branches of an inception block.

    Parameters
    ----------
    *parts : Tensor
        One or more, of shapes (..., C) that differ in C alone: all Bits, or all BitPlanes of the
        same coefficients, or numbers of one type.

    Returns
    -------
    Tensor
        Shape (..., C in all); bits stay packed.

    Examples
    --------
    >>> from bitnet.nn.functional import sign
    >>> concatenate(sign([[1.0, -1.0]]), sign([[-1.0]])).data.signs()
    array([[ 1, -1, -1]], dtype=int8)
    """
    return Concatenate()(*parts)


class Mean(_Reduction):
    """The mean over some axes."""

    def forward(self, x):
        self._remember_axes(x)
        if self.count == 0:
            raise InputError(f"mean: no elements to average in an array of shape {x.shape}")
        return x.mean(axis=self.axis, keepdims=self.keepdims)

    def backward(self, grad_y):
        return self._spread(grad_y / self.count)


def mean(x, axis=None, keepdims=False):
    """The mean over some axes; also the method `x.mean`."""
    return Mean(axis, keepdims)(x)


class Reshape(Function):
    """The same elements in another shape."""

    def __init__(self, shape):
        self.new_shape = shape

    def forward(self, x):
        self.shape = x.shape
        known = math.prod(size for size in self.new_shape if size != -1)
        open_axes = self.new_shape.count(-1)
        fits = x.size == known if open_axes == 0 else known > 0 and x.size % known == 0
        if open_axes > 1 or not fits:
            raise InputError(f"reshape: {x.shape} has {x.size} elements; got {self.new_shape}")
        return x.reshape(self.new_shape)

    def backward(self, grad_y):
        return grad_y.reshape(self.shape)


def reshape(x, *shape):
    """The same elements in another shape; also the method `x.reshape`.

    Parameters
    ----------
    x : Tensor
        Any shape.
    *shape : int or one tuple of int
        The new shape; one entry may be -1.

    Examples
    --------
    >>> reshape(Tensor([[1.0, 2.0], [3.0, 4.0]]), -1).shape
    (4,)
    """
    return Reshape(shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape)(x)


class Transpose(Function):
    """The axes in another order."""

    def __init__(self, axes):
        self.axes = axes

    def forward(self, x):
        axes = self.axes or tuple(reversed(range(x.ndim)))
        if sorted(axes) != list(range(x.ndim)):
            raise InputError(f"transpose: axes {axes} for an array of shape {x.shape}")
        self.back = tuple(axes.index(i) for i in range(x.ndim))
        return x.transpose(axes)

    def backward(self, grad_y):
        return grad_y.transpose(self.back)


def transpose(x, *axes):
    """The axes in another order, reversed by default; also the method `x.transpose`."""
    return Transpose(axes)(x)


class Rows(Function):
    """x[index] along the first axis."""

    def __init__(self, index):
        self.index = index

    def forward(self, x):
        self.x = x
        return x[self.index]

    def backward(self, grad_y):
        grad = array_module(grad_y).zeros_like(self.x)
        grad[self.index] = grad_y
        return grad


def rows(x, index):
    """One row along the first axis, or a slice of them.

    Parameters
    ----------
    x : Tensor
        At least one axis.
    index : int or slice
        An int removes the axis.

    Returns
    -------
    Tensor
        A view of x.

    Examples
    --------
    >>> rows(Tensor([1.0, 2.0, 3.0]), slice(1, 3)).data
    array([2., 3.], dtype=float32)
    """
    there = isinstance(index, slice) or (is_whole(index) and x.ndim and -len(x) <= index < len(x))
    if x.ndim == 0 or not there:
        raise InputError(
            f"rows: index {index!r:.40} for an array of shape {x.shape}; expected a whole number "
            "of a row that is there, or a slice"
        )
    return Rows(index)(x)


# A Tensor gets its operators and methods here, where the operations are.
Tensor.__add__ = Tensor.__radd__ = add
Tensor.__sub__ = subtract
Tensor.__rsub__ = lambda self, other: subtract(other, self)
Tensor.__mul__ = Tensor.__rmul__ = multiply
Tensor.__truediv__ = divide
Tensor.__rtruediv__ = lambda self, other: divide(other, self)
Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda self, other: matmul(other, self)
Tensor.__neg__ = negate
Tensor.__pow__ = power
Tensor.sum = sum
Tensor.mean = mean
Tensor.reshape = reshape
Tensor.transpose = transpose
Tensor.T = property(transpose, doc="The Tensor with its axes reversed.")
