"""Elementwise operations with broadcasting, and the matrix product.

Integers never wrap.  Together with floats, they are converted to that float type.  Operations on
integers alone return int32, or int64 if an operand is int64, and raise InputError if the result
does not fit.
"""

import operator

import numpy as np

from bitnet.arrays import array_module, floats, promoted
from bitnet.autograd import Function, Tensor, TensorLike
from bitnet.errors import InputError, unfit
from bitnet.nn.functional.products import blas_product, matrix_product


def _exact(name, operate, a, b, terms=1):
    """Return operate(a, b); integers are computed in int64, and must fit their own type.

    `terms` products are summed by a matrix product.
    """
    if a.dtype.kind == "f":
        return operate(a, b)
    own, (m, n) = np.iinfo(a.dtype), map(largest, (a, b))
    y = (
        operate(a.astype(np.int64), b.astype(np.int64))
        if max(m * n * terms, m + n) < 2**63
        else None
    )
    if y is None or (y.size and (y.max() > own.max or y.min() < own.min)):
        raise misfit(name, a)
    return y.astype(a.dtype, copy=False)


def misfit(name, x):
    """Return the InputError for results that the integer type of x does not hold."""
    return InputError(f"{name}: results do not fit {x.dtype}; convert an operand to floats")


def largest(x):
    """Return the largest absolute value of integers, as a Python int."""
    return max(abs(int(x.max())), abs(int(x.min()))) if x.size else 0


def _unbroadcast(grad, shape):
    """Sum a gradient over the axes along which an operand of this shape was repeated."""
    if grad.shape == shape:
        return grad
    extra = grad.ndim - len(shape)
    repeated = tuple(i + extra for i, size in enumerate(shape) if size == 1)
    return grad.sum(axis=(*range(extra), *repeated), keepdims=True).reshape(shape)


class _Broadcast(Function):
    """The base of operations on two broadcast operands: their shapes, types and checks."""

    def _operands(self, a, b):
        """Return both operands in one type, once their shapes broadcast."""
        self.shapes = a.shape, b.shape
        sizes = zip(reversed(a.shape), reversed(b.shape), strict=False)
        if any(m != n and 1 not in (m, n) for m, n in sizes):
            raise InputError(f"{self.name}: shapes {a.shape} and {b.shape} do not broadcast")
        return promoted(a, b)

    def _to_shapes(self, grad_a, grad_b):
        return _unbroadcast(grad_a, self.shapes[0]), _unbroadcast(grad_b, self.shapes[1])


class Add(_Broadcast):
    """a + b."""

    def forward(self, a, b):
        return _exact("add", operator.add, *self._operands(a, b))

    def backward(self, grad_y):
        return self._to_shapes(grad_y, grad_y)


def add(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the sum `a + b`, with broadcasting; also the operator `+`."""
    return Add()(a, b)


class Subtract(_Broadcast):
    """a - b."""

    def forward(self, a, b):
        return _exact("subtract", operator.sub, *self._operands(a, b))

    def backward(self, grad_y):
        return self._to_shapes(grad_y, -grad_y)


def subtract(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the difference `a - b`, with broadcasting; also the operator `-`."""
    return Subtract()(a, b)


class Multiply(_Broadcast):
    """a * b."""

    def forward(self, a, b):
        self.a, self.b = self._operands(a, b)
        return _exact("multiply", operator.mul, self.a, self.b)

    def backward(self, grad_y):
        return self._to_shapes(grad_y * self.b, grad_y * self.a)


def multiply(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the elementwise product `a * b`, with broadcasting; also the operator `*`."""
    return Multiply()(a, b)


class Divide(_Broadcast):
    """a / b, floats."""

    def forward(self, a, b):
        a, b = self._operands(a, b)
        if a.dtype.kind == "i":
            a, b = a.astype(np.float32), b.astype(np.float32)
        self.a, self.b = a, b
        return a / b

    def backward(self, grad_y):
        grad_a = grad_y / self.b
        return self._to_shapes(grad_a, -grad_a * self.a / self.b)


def divide(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the elementwise quotient `a / b`, with broadcasting; also the operator `/`."""
    return Divide()(a, b)


class Negate(Function):
    """-x."""

    def forward(self, x):
        (x,) = promoted(x)
        return -x if x.dtype.kind == "f" else _exact("negate", operator.sub, 0 * x, x)

    def backward(self, grad_y):
        return -grad_y


def negate(x: TensorLike) -> Tensor:
    """Return the negative `-x`; also the operator `-`."""
    return Negate()(x)


class Power(Function):
    """x ** exponent, floats."""

    def __init__(self, exponent):
        self.exponent = exponent

    def forward(self, x):
        self.x = floats(x)
        return self.x**self.exponent

    def backward(self, grad_y):
        if self.exponent == 0:
            return 0 * grad_y  # also where x is 0 and 0 ** -1 is not finite
        return grad_y * self.exponent * self.x ** (self.exponent - 1)


def power(x: TensorLike, exponent: float) -> Tensor:
    """Return `x` raised to a constant power; also the operator `**`."""
    if not isinstance(exponent, (int, float, np.number)):
        raise InputError(f"power: exponent is {type(exponent).__name__}; expected a number")
    return Power(float(exponent))(x)


class Exp(Function):
    """e ** x."""

    def forward(self, x):
        self.y = array_module(x).exp(floats(x))
        return self.y

    def backward(self, grad_y):
        return grad_y * self.y


def exp(x: TensorLike) -> Tensor:
    """Return `e ** x`; also the method `x.exp`."""
    return Exp()(x)


class Log(Function):
    """The natural logarithm."""

    def forward(self, x):
        self.x = floats(x)
        return array_module(x).log(self.x)

    def backward(self, grad_y):
        return grad_y / self.x


def log(x: TensorLike) -> Tensor:
    """Return the natural logarithm; also the method `x.log`."""
    return Log()(x)


class Tanh(Function):
    """The hyperbolic tangent."""

    def forward(self, x):
        self.y = array_module(x).tanh(floats(x))
        return self.y

    def backward(self, grad_y):
        return grad_y * (1 - self.y * self.y)


def tanh(x: TensorLike) -> Tensor:
    """Return the hyperbolic tangent; also the method `x.tanh`."""
    return Tanh()(x)


class Sigmoid(Function):
    """The logistic function 1 / (1 + e ** -x), as (1 + tanh(x / 2)) / 2, which cannot overflow."""

    def forward(self, x):
        self.y = (array_module(x).tanh(floats(x) / 2) + 1) / 2
        return self.y

    def backward(self, grad_y):
        return grad_y * (self.y * (1 - self.y))


def sigmoid(x: TensorLike) -> Tensor:
    """Return the logistic function `1 / (1 + e ** -x)`; also the method `x.sigmoid`."""
    return Sigmoid()(x)


class Abs(Function):
    """|x|, with slope 0 at 0."""

    def forward(self, x):
        (x,) = promoted(x)
        if x.dtype.kind == "i" and x.size and x.min() == np.iinfo(x.dtype).min:
            raise misfit("abs", x)
        self.sign = array_module(x).sign(x)
        return abs(x)

    def backward(self, grad_y):
        return grad_y * self.sign


def absolute(x: TensorLike) -> Tensor:
    """Return `|x|`, with slope 0 at 0; also the method `x.abs` and `abs(x)`."""
    return Abs()(x)


class MatMul(Function):
    """a @ b for matrices."""

    def forward(self, a, b):
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
            raise unfit("matmul", "(B, N) and (N, M)", a, b)
        self.a, self.b = promoted(a, b)
        return _exact("matmul", matrix_product, self.a, self.b, a.shape[1])  # (B, M)

    def backward(self, grad_y):
        return blas_product(grad_y, self.b.T), blas_product(self.a.T, grad_y)


def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """Return the matrix product `a @ b`; also the operator `@`."""
    return MatMul()(a, b)
