"""Choices between the elements of Tensors: larger and smaller ones, conditions, positions."""

import numpy as np

from bitnet.arrays import array_module, promoted
from bitnet.autograd import Axes, Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, is_whole
from bitnet.nn.functional.arithmetic import _Broadcast


class Maximum(_Broadcast):
    """The larger of a and b; equal ones share the gradient."""

    def forward(self, a, b):
        a, b = self._operands(a, b)
        self.share = ((a > b) + 0.5 * (a == b)).astype(a.dtype if a.dtype.kind == "f" else "f4")
        return array_module(a).maximum(a, b)

    def backward(self, grad_y):
        return self._to_shapes(grad_y * self.share, grad_y * (1 - self.share))


def maximum(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the elementwise maximum, with broadcasting; equal elements share the gradient.

    Parameters
    ----------
    a, b : Tensor or array or number
        Numbers whose shapes broadcast.

    Returns
    -------
    Tensor
        In the type of an operation on both.

    Examples
    --------
    >>> maximum([1.0, -2.0], 0.0).data
    array([1., 0.], dtype=float32)
    """
    return Maximum()(a, b)


class Minimum(Maximum):
    """The smaller of a and b; equal ones share the gradient."""

    def forward(self, a, b):
        super().forward(a, b)
        self.share = 1 - self.share
        return array_module(a).minimum(*promoted(a, b))


def minimum(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the elementwise minimum, with broadcasting; equal elements share the gradient.

    Parameters
    ----------
    a, b : Tensor or array or number
        Numbers whose shapes broadcast.

    Returns
    -------
    Tensor
        In the type of an operation on both.

    Examples
    --------
    >>> minimum([1.0, -2.0], 0.0).data
    array([ 0., -2.], dtype=float32)
    """
    return Minimum()(a, b)


def clip(x: TensorLike, low: TensorLike = None, high: TensorLike = None) -> Tensor:
    """Return x with its elements at least `low` and at most `high`; also the method `x.clamp`.

    Parameters
    ----------
    x : Tensor or array
        Numbers of any shape.
    low, high : Tensor or array or number, optional
        The bounds, whose shapes broadcast; None for no bound.

    Returns
    -------
    Tensor
        Shape of all, broadcast.

    Examples
    --------
    >>> clip([-3.0, 0.5, 3.0], -1.0, 2.0).data
    array([-1. ,  0.5,  2. ], dtype=float32)
    """
    x = x if low is None else maximum(x, low)
    x = x if high is None else minimum(x, high)
    return as_tensor(x)


class Where(_Broadcast):
    """a where a condition is true, b elsewhere."""

    def forward(self, condition, a, b):
        a, b = self._operands(a, b)
        self.condition = condition.astype(bool)
        return array_module(a).where(self.condition, a, b)

    def backward(self, grad_y):
        return None, *self._to_shapes(grad_y * self.condition, grad_y * ~self.condition)


def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """Return elements of a where a condition is true, and of b elsewhere, with broadcasting.

    Parameters
    ----------
    condition : Tensor or array
        Booleans or integers, of which 0 is false.
    a, b : Tensor or array or number
        Numbers whose shapes broadcast with that of the condition.

    Returns
    -------
    Tensor
        In the type of an operation on a and b.

    Examples
    --------
    >>> x = Tensor([1.0, -2.0])
    >>> where(x > 0, x, 0.0).data
    array([1., 0.], dtype=float32)
    """
    if as_tensor(condition).is_float:
        raise InputError("where: the condition holds floats; expected booleans, such as x > 0")
    return Where()(condition, a, b)


class ArgMax(Function):
    """The positions of the largest elements of an axis."""

    def __init__(self, axis):
        self.axis = axis

    def forward(self, x):
        return np.int64(1) * array_module(x).asarray(x.argmax(axis=self.axis))


def argmax(x: TensorLike, axis: Axes = None) -> Tensor:
    """Return the position of the largest element of an axis, or of the flat Tensor; no gradient.

    Parameters
    ----------
    x : Tensor or array
        Numbers, at least one.
    axis : int, optional
        The axis; by default all elements in their order.

    Returns
    -------
    Tensor
        int64 of the shape without the axis.

    Examples
    --------
    >>> argmax([[1.0, 3.0, 2.0]], axis=1).data
    array([1])
    """
    x = as_tensor(x)
    fits = axis is None or (is_whole(axis) and -x.ndim <= axis < x.ndim)
    if not fits or not x.size:
        expected = "one of its axes, or None, and an element"
        raise InputError(f"argmax: axis {axis!r:.40} of the shape {x.shape}; expected {expected}")
    return ArgMax(axis)(x.detach())
