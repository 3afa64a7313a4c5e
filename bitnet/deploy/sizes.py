"""Sizes of axes that depend on the inputs, such as B, the batch, or T*B; other sizes are ints.

A `Value` is what is known of the result of a node before any input: shape, type and range.
"""

import dataclasses
import functools
import itertools
import math
import operator
import re

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels import Codebook

FORM = re.compile(r"(?:(\d{1,9})\*)?([A-Z](?:\*[A-Z]){0,3})")
MAX_AXES = 8
MAX_ELEMENTS = 1 << 28  # per row of a batch
INTEGERS = {"bool": 1, "uint8": 255, "int32": 2**31 - 1, "int64": 2**63 - 1}
PACKED, FLOATS = ("bits", "planes"), ("float32", "float64")


@dataclasses.dataclass(frozen=True)
class Size:
    """The size `factor * product of the named sizes + more`."""

    factor: int
    names: tuple[str, ...]  # sorted
    more: int = 0

    def __str__(self):
        text = "*".join(([str(self.factor)] if self.factor != 1 else []) + [*self.names])
        return f"{text}{self.more:+d}" if self.more else text

    __repr__ = __str__

    def __add__(self, number):
        return Size(self.factor, self.names, self.more + number)

    def __mul__(self, other):
        if isinstance(other, int):
            return Size(self.factor * other, self.names, self.more * other) if other else 0
        if self.more or other.more:
            raise InputError(f"the product of the sizes {self} and {other} is not supported")
        return Size(self.factor * other.factor, tuple(sorted(self.names + other.names)))

    __rmul__ = __mul__

    def at(self, sizes):
        """Return the number of elements for the sizes by name."""
        return self.factor * math.prod(sizes[name] for name in self.names) + self.more


BATCH = Size(1, ("B",))


def at(shape, sizes):
    """Return a shape as ints."""
    return tuple(size if isinstance(size, int) else size.at(sizes) for size in shape)


def total(shape):
    """Return the number of elements of a shape, an int or a Size."""
    return functools.reduce(operator.mul, shape, 1)


def size_of(text):
    """Return the size in a header: an int, or text such as "T*B"."""
    if type(text) is int and 0 <= text <= MAX_ELEMENTS:
        return text
    fits = FORM.fullmatch(text) if isinstance(text, str) else None
    if fits is None or fits[1] == "0":
        raise InputError(f"the header has the size {text!r:.40}; expected a number, or B, or 4*T*B")
    return Size(int(fits[1] or 1), tuple(sorted(fits[2].split("*"))))


def shape_of(given):
    """Return the shape in a header, a list of sizes."""
    if not isinstance(given, list) or len(given) > MAX_AXES:
        raise InputError(
            f"the header has the shape {given!r:.60}; expected at most {MAX_AXES} sizes"
        )
    return tuple(map(size_of, given))


def in_header(shape):
    """Return a shape in the form of JSON."""
    return [size if isinstance(size, int) else str(size) for size in shape]


def generalized(shapes, sizes):
    """Return the shape that has these ints for two assignments of sizes, or None."""
    if len(shapes[0]) != len(shapes[1]):
        return None
    found = [_generalized(pair, sizes) for pair in zip(*shapes, strict=True)]
    return None if None in found else tuple(found)


def _generalized(pair, sizes):
    """Return the int or Size that has two values for two assignments of sizes, or None."""
    if pair[0] == pair[1]:
        return pair[0]
    names = sorted(sizes[0])
    for count in range(1, len(names) + 1):
        for own in itertools.combinations(names, count):
            unit = [math.prod(each[name] for name in own) for each in sizes]
            if all(n % u == 0 for n, u in zip(pair, unit, strict=True)):
                factors = {n // u for n, u in zip(pair, unit, strict=True)}
                if len(factors) == 1:
                    return Size(factors.pop(), own)
    return None


@dataclasses.dataclass(frozen=True)
class Value:
    """The shape and type of a result; for integers and packed ones a bound of their absolutes."""

    shape: tuple
    kind: str  # a dtype, "bits" or "planes"
    largest: int | None = None
    codebook: Codebook | None = None  # of planes
    by_row: bool = True  # whether row i depends on row i of the inputs alone

    def __post_init__(self):
        if self.kind in INTEGERS and self.largest > INTEGERS[self.kind]:
            expected = f"{self.kind} holds; use fewer inputs or fewer bits in that layer"
            raise InputError(f"integers up to {self.largest}, more than {expected}")
        if len(self.shape) > MAX_AXES or elements(self.shape) > MAX_ELEMENTS:
            expected = f"at most {MAX_AXES} axes and {MAX_ELEMENTS} elements per input"
            raise InputError(f"the shape {self.shape}; expected {expected}")

    def __repr__(self):
        return f"{self.kind} ({', '.join(map(str, self.shape))})"

    @property
    def is_packed(self):
        """Whether the result is Bits or BitPlanes."""
        return self.kind in PACKED

    @property
    def is_float(self):
        """Whether the result holds floats."""
        return self.kind in FLOATS

    @property
    def is_integer(self):
        """Whether the result is an array of integers."""
        return self.kind in INTEGERS

    def has(self, shape):
        """Return the same value with another shape."""
        return dataclasses.replace(self, shape=tuple(shape))


def elements(shape):
    """Return the elements of a shape whose variable sizes are 1."""
    return math.prod(own if isinstance(own, int) else own.factor + abs(own.more) for own in shape)


def joined(values):
    """Return whether the results of several values stay independent from row to row."""
    return all(value.by_row for value in values)


def broadcast(*shapes):
    """Return the shape that shapes broadcast to; refuse those that do not."""
    found = []
    for sizes in itertools.zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        wide = {own for own in sizes if own != 1}
        if len(wide) > 1:
            raise InputError(f"the shapes {' and '.join(map(str, shapes))} do not broadcast")
        found.append(wide.pop() if wide else 1)
    return tuple(reversed(found))


def promoted_kind(kinds):
    """Return the type of an operation on these types, as `arrays.promoted` gives."""
    floats = [kind for kind in kinds if kind in FLOATS]
    if floats:
        return str(np.result_type(*floats))
    return "int64" if "int64" in kinds else "int32"
