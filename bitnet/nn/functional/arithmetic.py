"""Elementwise arithmetic with broadcasting."""

import numpy as np

from bitnet.autograd.tensor import Function, Tensor
from bitnet.errors import InputError


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
    """The sum `a + b`, with broadcasting; also the operator `+`.

    Parameters
    ----------
    a, b : Tensor, array or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> add(Tensor([1.0, 2.0]), 1)
    Tensor(array([2., 3.], dtype=float32))
    """
    return Add()(a, b)


class Subtract(_Broadcast):
    """a - b."""

    def forward(self, a, b):
        self._remember_shapes(a, b)
        return a - b

    def backward(self, grad_y):
        return self._to_shapes(grad_y, -grad_y)


def subtract(a, b):
    """The difference `a - b`, with broadcasting; also the operator `-`.

    Parameters
    ----------
    a, b : Tensor, array or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> 1 - Tensor([1.0, 2.0])
    Tensor(array([ 0., -1.], dtype=float32))
    """
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
    """The elementwise product `a * b`, with broadcasting; also the operator `*`.

    Parameters
    ----------
    a, b : Tensor, array or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> multiply(Tensor([1.0, 2.0]), Tensor([[3.0], [4.0]])).shape
    (2, 2)
    """
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
    """The elementwise quotient `a / b`, with broadcasting; also the operator `/`.

    Parameters
    ----------
    a, b : Tensor, array or number
        Shapes that broadcast; `b` not zero.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Examples
    --------
    >>> 6 / Tensor([2.0, 3.0])
    Tensor(array([3., 2.], dtype=float32))
    """
    return Divide()(a, b)


class Negate(Function):
    """-x."""

    def forward(self, x):
        return -x

    def backward(self, grad_y):
        return -grad_y


def negate(x):
    """The negative `-x`; also the operator `-`.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of the same shape.

    Examples
    --------
    >>> -Tensor([1.0, -2.0])
    Tensor(array([-1.,  2.], dtype=float32))
    """
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
    """`x` to the power of a constant; also the operator `**`.

    Parameters
    ----------
    x : Tensor
        Any shape.
    exponent : int or float
        A number, which gets no gradient.

    Returns
    -------
    Tensor
        Of the same shape.

    Examples
    --------
    >>> Tensor([1.0, 3.0]) ** 2
    Tensor(array([1., 9.], dtype=float32))
    """
    if not isinstance(exponent, (int, float, np.number)):
        raise InputError(f"power: exponent is {type(exponent).__name__}; expected a number")
    return Power(float(exponent))(x)


# A Tensor gets its operators here, where the operations are.
Tensor.__add__ = Tensor.__radd__ = add
Tensor.__sub__ = subtract
Tensor.__rsub__ = lambda self, other: subtract(other, self)
Tensor.__mul__ = Tensor.__rmul__ = multiply
Tensor.__truediv__ = divide
Tensor.__rtruediv__ = lambda self, other: divide(other, self)
Tensor.__neg__ = negate
Tensor.__pow__ = power
