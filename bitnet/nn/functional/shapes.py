"""Reductions, reshaping, indexing and concatenation of Tensors."""

import itertools
import math
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, is_array, like
from bitnet.autograd import Axes, Function, Tensor, TensorLike
from bitnet.errors import InputError, is_whole
from bitnet.nn.functional.arithmetic import largest


class _Reduction(Function):
    """The base of sum, mean and max: the axes, and the return to the shape of x."""

    def __init__(self, axis, keepdims):
        self.axis, self.keepdims = axis, keepdims

    def _remember_axes(self, x):
        given = range(x.ndim) if self.axis is None else self.axis
        given = tuple(given) if isinstance(given, (tuple, range)) else (given,)
        axes = {int(a) % x.ndim for a in given if is_whole(a) and -x.ndim <= a < x.ndim}
        if len(axes) < len(given):  # one is out of range or comes twice
            raise InputError(f"{self.name}: axis {self.axis} for an array of shape {x.shape}")
        self.shape, self.axes = x.shape, tuple(sorted(axes))
        self.kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        self.count = math.prod(x.shape[a] for a in axes)

    def _total(self, x):
        """Return the sum of floats, in an order that depends only on how many are added."""
        if not x.ndim:
            return x.copy()
        y = kernels.ordered_sum(x, self.axes)
        return y.reshape(self.kept) if self.keepdims else y

    def _spread(self, grad_y):
        xp = array_module(grad_y)
        return xp.broadcast_to(grad_y.reshape(self.kept), self.shape).copy()


class Sum(_Reduction):
    """The sum over some axes."""

    def forward(self, x):
        self._remember_axes(x)
        if x.dtype.kind == "f":
            return self._total(x)
        if largest(x) * self.count >= 2**63:
            raise InputError("sum: results may not fit int64; convert the Tensor to floats")
        return x.sum(axis=self.axis, keepdims=self.keepdims, dtype=np.int64)

    def backward(self, grad_y):
        return self._spread(grad_y)


def sum(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the sum over some axes, of integers as int64; also the method `x.sum`."""
    return Sum(axis, keepdims)(x)


class Mean(_Reduction):
    """The mean over some axes."""

    def forward(self, x):
        self._remember_axes(x)
        if self.count == 0:
            raise InputError(f"mean: no elements to average in an array of shape {x.shape}")
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        return self._total(x.astype(dtype, copy=False)) / dtype.type(self.count)

    def backward(self, grad_y):
        return self._spread(grad_y / self.count)


def mean(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the mean over some axes; also the method `x.mean`."""
    return Mean(axis, keepdims)(x)


class Max(_Reduction):
    """The largest over some axes; equal ones share the gradient."""

    def forward(self, x):
        self._remember_axes(x)
        if self.count == 0:
            raise InputError(f"max: no elements in an array of shape {x.shape}")
        y = x.max(axis=self.axis, keepdims=self.keepdims)
        self.is_max = x == y.reshape(self.kept)
        return y

    def backward(self, grad_y):
        share = self.is_max / self.is_max.sum(axis=self.axes, keepdims=True)
        return self._spread(grad_y) * share.astype(grad_y.dtype)


def max(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the maximum over some axes; equal maxima share the gradient; also `x.max`."""
    return Max(axis, keepdims)(x)


class Reshape(Function):
    """The same elements in another shape; packed ones keep their last axis."""

    _takes_bits = True

    def __init__(self, shape):
        self.new_shape = shape

    def forward(self, x):
        self.shape = x.shape
        known = math.prod(size for size in self.new_shape if size != -1)
        open_axes = self.new_shape.count(-1)
        fits = x.size == known if open_axes == 0 else known > 0 and x.size % known == 0
        if open_axes > 1 or not fits:
            raise InputError(f"reshape: {x.shape} has {x.size} elements; got {self.new_shape}")
        shape = (x.size // known if size == -1 else size for size in self.new_shape)
        return kernels.reshape(x, tuple(shape))

    def backward(self, grad_y):
        return grad_y.reshape(self.shape)


def reshape(x: TensorLike, *shape: Any) -> Tensor:
    """Return the same elements in another shape; also the method `x.reshape`.

    Parameters
    ----------
    x : Tensor
        Any shape; packed values must keep their last axis.
    *shape : int, or one tuple or list of int
        The new shape; one entry may be -1.

    Examples
    --------
    >>> reshape(Tensor([[1.0, 2.0], [3.0, 4.0]]), -1).shape
    (4,)
    """
    shape = _spread_out(shape)
    if not all(map(is_whole, shape)):
        raise InputError(f"reshape: the shape is {shape!r:.60}; expected whole numbers")
    return Reshape(shape)(x)


def _spread_out(given):
    """Return the arguments as a tuple, or the entries of the only one if it is a sequence."""
    is_sequence = len(given) == 1 and isinstance(given[0], (tuple, list))
    return tuple(given[0]) if is_sequence else given


class Transpose(Function):
    """The axes in another order."""

    def __init__(self, axes):
        self.axes = axes

    def forward(self, x):
        axes = self.axes or tuple(reversed(range(x.ndim)))
        if not all(map(is_whole, axes)) or sorted(axes) != list(range(x.ndim)):
            raise InputError(f"transpose: axes {axes} for an array of shape {x.shape}")
        self.back = tuple(axes.index(i) for i in range(x.ndim))
        return x.transpose(axes)

    def backward(self, grad_y):
        return grad_y.transpose(self.back)


def transpose(x: TensorLike, *axes: Any) -> Tensor:
    """Return the axes in another order, reversed by default; also the method `x.transpose`.

    The order is given as integers, or as one tuple or list of them.
    """
    return Transpose(_spread_out(axes))(x)


class Concatenate(Function):
    """Arrays side by side along the last axis; each gets its part of the gradient."""

    _takes_bits = True

    def forward(self, *parts):
        self.ends = [*itertools.accumulate(part.shape[-1] for part in parts)][:-1]
        return kernels.concatenate(parts)

    def backward(self, grad_y):
        xp = array_module(grad_y)
        return [xp.ascontiguousarray(part) for part in xp.split(grad_y, self.ends, axis=-1)]


def concatenate(*parts: TensorLike) -> Tensor:
    """Concatenate arrays along the last axis, such as the branches of an inception block.

    Parameters
    ----------
    *parts : Tensor
        One or more, with shapes (..., C) that differ only in C: all Bits, all BitPlanes with the
        same coefficients, or all numbers of one type.

    Returns
    -------
    Tensor
        Shape (..., sum of C); bits stay packed.

    Examples
    --------
    >>> from bitnet.nn.functional import sign
    >>> concatenate(sign([[1.0, -1.0]]), sign([[-1.0]])).data.signs()
    array([[ 1, -1, -1]], dtype=int8)
    """
    return Concatenate()(*parts)


ONCE = int, np.integer, slice, type(...)  # indexes that take no element twice


class GetItem(Function):
    """x[index], as NumPy indexes; elements taken several times sum their gradients.

    `tensors` tells which parts of a tuple are Tensors, which are operands of their own.
    """

    def __init__(self, index, tensors=()):
        self.index, self.tensors = index, tensors

    def forward(self, x, *operands):
        self.x, parts = x, iter(operands)
        if self.tensors:
            pairs = zip(self.index, self.tensors, strict=True)
            self.index = tuple(next(parts) if is_tensor else part for part, is_tensor in pairs)
        try:
            y = x[self.index]
        except (IndexError, TypeError) as error:
            raise InputError(
                f"index {self.index!r:.60} for a Tensor of shape {x.shape}: {error}"
            ) from None
        return y if hasattr(y, "shape") else np.asarray(y)

    def backward(self, grad_y):
        grad = array_module(grad_y).zeros_like(self.x)
        parts = self.index if isinstance(self.index, tuple) else (self.index,)
        if all(part is None or isinstance(part, ONCE) for part in parts):
            grad[self.index] = grad_y
        else:
            array_module(grad).add.at(grad, self.index, grad_y)
        return grad, *([None] * self.tensors.count(True))


def getitem(x: TensorLike, index: Any) -> Tensor:
    """Return `x[index]` by NumPy's rules: integers, slices, index arrays, masks.

    Parameters
    ----------
    x : Tensor
        Numbers of any shape.
    index : int, slice, array, Tensor, Ellipsis, None, or a tuple of them
        Any index that NumPy accepts.

    Returns
    -------
    Tensor
        A view of x for integers and slices, otherwise a copy.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> x[[0, 0, 2]].sum().backward()
    >>> x.grad
    array([2., 0., 1.], dtype=float32)
    """
    parts = index if isinstance(index, tuple) else (index,)
    tensors = [isinstance(part, Tensor) for part in parts]
    if any(tensors):
        operands = [like(part.data, x) for part in parts if isinstance(part, Tensor)]
        known = tuple(None if isinstance(part, Tensor) else _index(part, x) for part in parts)
        return GetItem(known, tuple(tensors))(x, *operands)
    parts = tuple(_index(part, x) for part in parts)
    return GetItem(parts if isinstance(index, tuple) else parts[0])(x)


def _index(part, x):
    """Return one part of an index; lists and arrays as arrays where x is."""
    if isinstance(part, list):
        part = np.asarray(part) if part else np.zeros(0, np.intp)
    return like(part, x) if is_array(part) else part
