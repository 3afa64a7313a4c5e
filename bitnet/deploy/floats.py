"""Nodes of arithmetic on floats and integers: operations, affine maps, products, reductions.

They call the functions of NumPy and of `kernels` that the model in evaluation mode calls, on the
same types in the same order, so the results are equal to the last bit.
"""

import dataclasses
import math
import operator
from typing import Annotated

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, floats, promoted
from bitnet.deploy.node import (
    MACS,
    Flag,
    FloatArray,
    Form,
    Integers,
    Node,
    Number,
    Taps,
    Whole,
    number,
)
from bitnet.deploy.products import images_after, work_of_product
from bitnet.deploy.sizes import (
    INTEGERS,
    Size,
    Value,
    broadcast,
    elements,
    joined,
    promoted_kind,
    total,
)
from bitnet.kernels import Bits


def _prelu(x, slope):
    x = floats(x)
    return array_module(x).where(x > 0, x, x * slope)


def _divide(a, b):
    a, b = promoted(a, b)
    return floats(a) / floats(b)


BINARY = {
    "add": lambda a, b: operator.add(*promoted(a, b)),
    "subtract": lambda a, b: operator.sub(*promoted(a, b)),
    "multiply": lambda a, b: operator.mul(*promoted(a, b)),
    "divide": _divide,
    "prelu": _prelu,
    "maximum": lambda a, b: array_module(a, b).maximum(*promoted(a, b)),
    "minimum": lambda a, b: array_module(a, b).minimum(*promoted(a, b)),
}
UNARY = {
    "negate": lambda x: -promoted(x)[0],
    "abs": lambda x: abs(promoted(x)[0]),
    "relu": lambda x: array_module(x).maximum(x, 0),
    "hardtanh": lambda x: array_module(x).clip(floats(x), -1, 1),
    "exp": lambda x: array_module(x).exp(floats(x)),
    "log": lambda x: array_module(x).log(floats(x)),
    "tanh": lambda x: array_module(x).tanh(floats(x)),
    "sigmoid": lambda x: (array_module(x).tanh(floats(x) / 2) + 1) / 2,
}
COMPARISONS = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}
MOST_COUNTED = 1 << 40  # booleans along axes of variable size
AS_FLOATS = ("exp", "log", "tanh", "sigmoid", "hardtanh", "divide", "prelu")


def check_numbers(node, *values):
    """Refuse packed operands."""
    if any(value.is_packed for value in values):
        raise node.unlike("numbers, not packed values", *values)


@dataclasses.dataclass(frozen=True)
class Binary(Node):
    """An operation on two operands, which broadcast, see `BINARY`."""

    arity = (2, 2)
    needs_axes = False

    def value(self, a, b):
        check_numbers(self, a, b)
        shape, by_row = broadcast(a.shape, b.shape), joined((a, b))
        kind = promoted_kind([a.kind, b.kind])
        if kind in INTEGERS and self.kind in AS_FLOATS:
            kind = "float32"
        if kind not in INTEGERS:
            return Value(shape, kind, by_row=by_row)
        m, n = a.largest, b.largest
        return Value(shape, kind, m * n if self.kind == "multiply" else m + n, by_row=by_row)

    def run(self, sizes, a, b):
        """Return the result of the operation."""
        return BINARY[self.kind](a, b)


@dataclasses.dataclass(frozen=True)
class Unary(Node):
    """An operation on each element, see `UNARY`."""

    needs_axes = False

    def value(self, x):
        check_numbers(self, x)
        kind = x.kind if self.kind == "relu" else promoted_kind([x.kind])
        kind = "float32" if self.kind in AS_FLOATS and kind in INTEGERS else kind
        largest = x.largest if kind in INTEGERS else None
        return Value(x.shape, kind, largest, by_row=x.by_row)

    def run(self, sizes, x):
        """Return the result of the operation."""
        return UNARY[self.kind](x)


def _number(given):
    """Return the number of a comparison in a header, or None."""
    return None if given is None else given if type(given) is int else number(given)


@dataclasses.dataclass(frozen=True)
class Compare(Node):
    """A comparison of two operands, or of one with a number, as booleans."""

    number: Annotated[float | int | None, Form(_number)] = None

    arity = (1, 2)
    needs_axes = False

    def value(self, *operands):
        check_numbers(self, *operands)
        if len(operands) + (self.number is not None) != 2:
            raise self.unlike("two operands, or one and a number", *operands)
        shape = broadcast(*(own.shape for own in operands))
        return Value(shape, "bool", 1, by_row=joined(operands))

    def run(self, sizes, x, other=None):
        """Return booleans."""
        return COMPARISONS[self.kind](x, self.number if other is None else other)


@dataclasses.dataclass(frozen=True)
class Where(Node):
    """The elements of a where a condition is true, those of b elsewhere."""

    arity = (3, 3)
    needs_axes = False

    def value(self, condition, a, b):
        check_numbers(self, condition, a, b)
        if condition.is_float:
            raise self.unlike("a condition that is no float", condition, a, b)
        shape = broadcast(condition.shape, a.shape, b.shape)
        kind = promoted_kind([a.kind, b.kind])
        largest = max(a.largest, b.largest) if kind in INTEGERS else None
        return Value(shape, kind, largest, by_row=joined((condition, a, b)))

    def run(self, sizes, condition, a, b):
        """Return the chosen elements."""
        return array_module(condition).where(condition.astype(bool), *promoted(a, b))


@dataclasses.dataclass(frozen=True)
class Power(Node):
    """The elements to a constant power."""

    exponent: Number = 1.0
    needs_axes = False

    def value(self, x):
        check_numbers(self, x)
        return Value(x.shape, x.kind if x.is_float else "float32", by_row=x.by_row)

    def run(self, sizes, x):
        """Return `x ** exponent`, floats."""
        return floats(x) ** self.exponent


@dataclasses.dataclass(frozen=True)
class Affine(Node):
    """The map `(x - mean) * scale + shift` of each channel, rounded in this order."""

    mean: FloatArray = None
    scale: FloatArray = None
    shift: FloatArray = None

    def value(self, x):
        check_numbers(self, x)
        for name in ("mean", "scale", "shift"):
            self.check_array(name, x.shape[-1:])
        types = {str(getattr(self, name).dtype) for name in ("mean", "scale", "shift")}
        if len(types) > 1 or not isinstance(x.shape[-1], int):
            raise self.unlike("numbers (..., C), and three arrays (C,) of one type", x)
        return Value(x.shape, types.pop(), by_row=x.by_row)

    def run(self, sizes, x):
        """Return floats of the shape of x."""
        return (x.astype(self.mean.dtype, copy=False) - self.mean) * self.scale + self.shift


def across(weight):
    """Return weights (M, ...) as (N, M) in C order."""
    flat = weight.reshape(len(weight), math.prod(weight.shape[1:]))
    return array_module(flat).ascontiguousarray(flat.T)


@dataclasses.dataclass(frozen=True)
class FloatLinear(Node):
    """The product of float rows (B, N) with float weights (M, N), summed in order, plus a bias."""

    arity = (3, 3)

    def value(self, x, weight, bias):
        kinds = {x.kind, weight.kind, bias.kind}
        fits = len(kinds) == 1 and x.is_float and len(x.shape) == len(weight.shape) == 2
        if not fits or x.shape[1] != weight.shape[1] or bias.shape != weight.shape[:1]:
            raise self.unlike("floats (B, N), (M, N) and (M,) of one type", x, weight, bias)
        by_row = joined((x, weight, bias))
        return Value((x.shape[0], weight.shape[0]), x.kind, by_row=by_row)

    work = work_of_product

    def laid(self, weight):
        """Return the weights in the order of the product, laid out once if they are constant."""
        return across(weight)

    def run(self, sizes, x, weight, bias):
        """Return floats (B, M)."""
        return kernels.ordered_gemm(x, weight, bias)


@dataclasses.dataclass(frozen=True)
class FloatConv(Node):
    """The convolution of float images with float filters, summed in order, plus a bias."""

    window: Taps = None
    groups: Whole = 1

    arity = (3, 3)

    def value(self, x, weight, bias):
        shape = images_after(self.window, x.shape, self.groups)
        kinds = {x.kind, weight.kind, bias.kind}
        fixed = len(weight.shape) == 4 and all(isinstance(n, int) for n in weight.shape)
        if len(kinds) > 1 or not x.is_float or not fixed:
            raise self.unlike("float images, filters and bias of one type", x, weight, bias)
        n = kernels.check_groups("filters", x.shape[3], weight.shape[0], self.groups)
        if weight.shape[1:] != (*self.window.size, n) or bias.shape != weight.shape[:1]:
            expected = f"filters (M, {self.window.size}, {n}) and a bias (M,)"
            raise self.unlike(expected, x, weight, bias)
        by_row = joined((x, weight, bias))
        return Value((*shape[:3], weight.shape[0]), x.kind, by_row=by_row)

    work = work_of_product

    def laid(self, weight):
        """Return the filters of each group in the order of the product."""
        return [across(own) for own in array_module(weight).split(weight, self.groups)]

    def run(self, sizes, x, weight, bias):
        """Return floats (B, H', W', M)."""
        return convolved(x, weight, self.window) + bias


def convolved(x, weight, window):
    """Return the convolution of float images with the laid filters of each group."""
    xp, parts = array_module(x), []
    for images, filters in zip(xp.split(x, len(weight), axis=3), weight, strict=True):
        views = window.views(images, window.border)
        rows = views.reshape(math.prod(views.shape[:3]), math.prod(views.shape[3:]))
        parts.append(kernels.ordered_gemm(rows, filters, None))
    y = xp.concatenate(parts, axis=1)
    return y.reshape(*views.shape[:3], y.shape[1])


def numbers_of(weight, dtype=np.float32):
    """Return the numbers that packed weights stand for."""
    return kernels.unpack(weight, dtype) if isinstance(weight, Bits) else weight.values(dtype)


@dataclasses.dataclass(frozen=True)
class MixedLinear(Node):
    """The product of float rows (B, N) with packed weights (M, N), summed in order."""

    arity = (2, 2)

    def value(self, x, weight):
        fits = x.kind == "float32" and weight.is_packed and len(x.shape) == len(weight.shape) == 2
        if not fits or x.shape[1] != weight.shape[1]:
            raise self.unlike("float32 (B, N) and packed weights (M, N)", x, weight)
        return Value((x.shape[0], weight.shape[0]), x.kind, by_row=joined((x, weight)))

    work = work_of_product

    def laid(self, weight):
        """Return the weights as floats in the order of the product, laid out once."""
        return across(numbers_of(weight))

    def run(self, sizes, x, weight):
        """Return floats (B, M)."""
        return kernels.ordered_gemm(x, weight, None)


@dataclasses.dataclass(frozen=True)
class MixedConv(Node):
    """The convolution of float images with packed filters, summed in order."""

    window: Taps = None
    groups: Whole = 1

    arity = (2, 2)

    def value(self, x, weight):
        shape = images_after(self.window, x.shape, self.groups)
        if x.kind != "float32" or not weight.is_packed or len(weight.shape) != 4:
            raise self.unlike("float32 images and packed filters", x, weight)
        n = kernels.check_groups("filters", x.shape[3], weight.shape[0], self.groups)
        if weight.shape[1:] != (*self.window.size, n):
            raise self.unlike(f"filters (M, {self.window.size}, {n})", x, weight)
        return Value((*shape[:3], weight.shape[0]), x.kind, by_row=joined((x, weight)))

    work = work_of_product

    def laid(self, weight):
        """Return the filters of each group as floats in the order of the product."""
        numbers = numbers_of(weight)
        return [across(own) for own in array_module(numbers).split(numbers, self.groups)]

    def run(self, sizes, x, weight):
        """Return floats (B, H', W', M)."""
        return convolved(x, weight, self.window)


@dataclasses.dataclass(frozen=True)
class MatMul(Node):
    """The product of two matrices; floats are summed in order."""

    arity = (2, 2)

    def value(self, a, b):
        check_numbers(self, a, b)
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0]:
            raise self.unlike("matrices (B, N) and (N, M)", a, b)
        kind, shape = promoted_kind([a.kind, b.kind]), (a.shape[0], b.shape[1])
        by_row = joined((a, b)) and not isinstance(b.shape[0], Size)
        if kind not in INTEGERS:
            return Value(shape, kind, by_row=by_row)
        if not isinstance(a.shape[1], int):
            raise self.unlike("integers with a fixed number of columns", a, b)
        return Value(shape, kind, a.largest * b.largest * a.shape[1], by_row=by_row)

    def work(self, value, *values):
        return elements(value.shape) * (1 + elements(values[1].shape[:1]) // MACS)

    def run(self, sizes, a, b):
        """Return a @ b."""
        a, b = promoted(a, b)
        if a.dtype.kind == "f":
            return kernels.ordered_gemm(a, array_module(b).ascontiguousarray(b), None)
        return (a.astype(np.int64) @ b.astype(np.int64)).astype(a.dtype)


@dataclasses.dataclass(frozen=True)
class Reduce(Node):
    """The sum, mean or maximum over some axes."""

    axes: Integers = ()
    keep: Flag = False
    needs_axes = False

    def value(self, x):
        check_numbers(self, x)
        n, axes = len(x.shape), set(self.axes)
        if len(axes) < len(self.axes) or not all(0 <= axis < n for axis in axes):
            raise self.unlike(f"an array with the axes {self.axes}", x)
        count = total([x.shape[axis] for axis in axes])
        kept = [1 if i in axes else size for i, size in enumerate(x.shape)]
        shape = kept if self.keep else [size for i, size in enumerate(x.shape) if i not in axes]
        kind, largest, by_row = x.kind, x.largest, x.by_row and 0 not in axes
        if self.kind == "mean":
            kind, largest = (kind if x.is_float else "float32"), None
        elif self.kind == "sum" and x.is_integer:
            if isinstance(count, Size) and x.kind != "bool":
                raise self.unlike("integers with a fixed number of summands", x)
            count = MOST_COUNTED if isinstance(count, Size) else count
            kind, largest = "int64", x.largest * count
        return Value(tuple(shape), kind, largest, by_row=by_row)

    def work(self, value, *values):
        return elements(values[0].shape)

    def run(self, sizes, x):
        """Return the reduced array."""
        if self.kind == "max":
            return x.max(axis=self.axes, keepdims=self.keep)
        if self.kind == "sum" and x.dtype.kind != "f":
            return x.sum(axis=self.axes, keepdims=self.keep, dtype=np.int64)
        x = floats(x)
        y = kernels.ordered_sum(x, self.axes) if x.ndim else x
        if self.kind == "mean":
            y = y / x.dtype.type(math.prod(x.shape[axis] for axis in self.axes))
        kept = (1 if i in self.axes else size for i, size in enumerate(x.shape))
        return y.reshape(tuple(kept)) if self.keep else y


KINDS: dict[str, type[Node]] = dict.fromkeys(BINARY, Binary) | dict.fromkeys(UNARY, Unary)
KINDS |= dict.fromkeys(COMPARISONS, Compare) | dict.fromkeys(("sum", "mean", "max"), Reduce)
KINDS |= {"where": Where, "power": Power, "affine": Affine, "matmul": MatMul}
KINDS |= {"float linear": FloatLinear, "float conv": FloatConv}
KINDS |= {"mixed linear": MixedLinear, "mixed conv": MixedConv}
