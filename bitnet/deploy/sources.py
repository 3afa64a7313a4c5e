"""Nodes without operands: the inputs of a net, packed weights, and other constants."""

import dataclasses
import functools
import math
from typing import Annotated, Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import Array, array_module, plain, to_cpu
from bitnet.deploy.node import Book, Form, Node, Shape, Whole, largest_of, numpy_kind, whole
from bitnet.deploy.sizes import Size, Value, at
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits, Codebook

HOW = "(for floats from 0 to 1: (255 * x).round().astype(numpy.uint8))"
TYPES = {
    "pixels": ("uint8", f"uint8 pixels from 0 to 255 {HOW}"),
    "signs": ("bits", "signs, each +1 or -1"),
    "numbers": ("float32", "float32 numbers without NaN (x.astype(numpy.float32))"),
    "ids": ("int64", "integers"),
}

FITS = {
    "pixels": lambda x: x.dtype == np.uint8,
    "signs": lambda x: x.dtype.kind in "fi" and (abs(x) == 1).all(),
    "numbers": lambda x: x.dtype == np.float32 and not (x.size and array_module(x).isnan(x.min())),
    "ids": lambda x: x.dtype.kind in "iu" or not x.size,
}


@dataclasses.dataclass(frozen=True)
class Input(Node):
    """An input: uint8 pixels, signs, or float32 numbers."""

    shape: Shape = ()

    arity = (0, 0)

    def value(self):
        own = self.shape
        if not own or (self.kind == "signs" and not isinstance(own[-1], int)):
            raise InputError(f"the shape is {own}; expected axes, the last of signs with a number")
        if any(size != Size(1, size.names[:1]) for size in own if isinstance(size, Size)):
            raise InputError(f"the shape is {own}; expected numbers, and names such as B")
        kind, _ = TYPES[self.kind]
        largest = {"uint8": 255, "bits": 1, "int64": 0}.get(kind)
        return Value(own, kind, largest, by_row=own[0] == Size(1, ("B",)))

    def taken(self, net, x):
        """Return an input in the form that the nodes take; refuse others, naming the net."""
        if isinstance(x, Bits):
            if self.kind != "signs" or not self._fits(x.shape):
                came = f"Bits of shape {x.shape}"
                raise InputError(f"{net}: got {came}; expected {self.kind} {self._sizes}")
            return x
        x = plain(x, str(net))
        x = x if self._fits(x.shape) else self._shaped(net, x)
        if not FITS[self.kind](x):
            raise InputError(f"{net}: got {x.dtype} values; expected {TYPES[self.kind][1]}")
        return kernels.pack(x) if self.kind == "signs" else x

    @property
    def _sizes(self):
        """The shape as text."""
        return f"({', '.join(map(str, self.shape))})"

    def _fits(self, shape):
        """Return whether an array's shape is that of the input."""
        pairs = zip(shape, self.shape, strict=False)
        return len(shape) == len(self.shape) and all(
            isinstance(own, Size) or own == size for size, own in pairs
        )

    def _shaped(self, net, x):
        """Return x in the shape of the input; images may be rows, or lack the axis of a channel."""
        own, fixed = self.shape[1:], all(isinstance(size, int) for size in self.shape[1:])
        is_row = fixed and len(own) == 1 and x.ndim > 1 and math.prod(x.shape[1:]) == own[0]
        if is_row or (fixed and own[-1:] == (1,) and x.ndim and x.shape[1:] == own[:-1]):
            return x.reshape(len(x), *own)
        rows = "one row per input (for a single one: x[None])"
        came = f"an array of shape {x.shape}"
        raise InputError(f"{net}: got {came}; expected {self._sizes}, {rows}")


@dataclasses.dataclass(frozen=True)
class Ids(Input):
    """An input of integer ids from 0 to `below - 1`."""

    below: Whole = 1

    def value(self):
        return dataclasses.replace(super().value(), largest=self.below - 1)

    def taken(self, net, x):
        x = super().taken(net, x).astype(np.int64)
        if x.size and not 0 <= x.min() <= x.max() < self.below:
            span = f"from {x.min()} to {x.max()}"
            raise InputError(f"{net}: ids run {span}; expected 0 to {self.below - 1}")
        return x


@dataclasses.dataclass(frozen=True)
class Weights(Node):
    """Packed weights: ±1, or the codes of k-bit weights with a codebook."""

    packed: Any = None  # Bits or BitPlanes
    codebook: Book = None

    arity = (0, 0)

    def value(self):
        if self.packed.size == 0:
            raise InputError(f"weights of shape {self.packed.shape}; expected sizes of 1 or more")
        kind = "bits" if self.codebook is None else "planes"
        largest = 1 if self.codebook is None else self.codebook.largest
        return Value(self.packed.shape, kind, largest, self.codebook)

    @functools.cached_property
    def constant(self):
        """The weights, prepared once for the products."""
        return kernels.prepare(self.packed)

    def contents(self):
        bits, codebook = to_cpu(self.packed), self.codebook
        if codebook is not None:
            bits = Codebook.uniform(codebook.bits).planes(codebook.codes(bits)).bits
        header, _ = super().contents()
        return header | {"columns": bits.shape[-1]}, {"bits": bits.to_bytes()}

    @classmethod
    def from_contents(cls, header, arrays):
        n = whole(header.pop("columns", None))
        bits = Bits.from_bytes(arrays.pop("bits", np.zeros(0, np.uint8)), n)
        node = super().from_contents(header, arrays)
        codebook = node.codebook
        if codebook is not None:
            if bits.ndim < 2 or bits.shape[0] != codebook.bits:
                raise InputError(f"weights of shape {bits.shape}; expected {codebook.bits} planes")
            uniform = Codebook.uniform(codebook.bits)
            bits = codebook.planes(uniform.codes(BitPlanes(bits, uniform.coefficients)))
        return dataclasses.replace(node, packed=bits)


@dataclasses.dataclass(frozen=True)
class Constant(Node):
    """An array of numbers, broadcast to a shape whose sizes may depend on the inputs."""

    array: Annotated[Array, Form(types=("<f4", "<f8", "<i4", "<i8", "|u1"))] = None
    shape: Shape = ()

    arity = (0, 0)

    def value(self):
        self.check_array("array")
        own = self.array.shape
        aligned = len(own) == len(self.shape)
        if not aligned or any(m not in (1, n) for m, n in zip(own, self.shape, strict=True)):
            raise InputError(
                f"an array of shape {own}; expected one that broadcasts to {self.shape}"
            )
        kind = numpy_kind(self.array)
        largest = None if self.array.dtype.kind == "f" else largest_of(self.array)
        return Value(self.shape, kind, largest)

    @property
    def is_fixed(self):
        """Whether no size depends on the inputs."""
        return not any(isinstance(size, Size) for size in self.shape)

    @functools.cached_property
    def constant(self):
        """The array, if its shape is fixed."""
        return self.array if self.is_fixed else None

    @functools.cached_property
    def across(self):
        """A matrix (M, ...) as (N, M) in C order, for products with float weights."""
        flat = self.array.reshape(len(self.array), -1)
        return array_module(flat).ascontiguousarray(flat.T)

    def run(self, sizes):
        """Return the array in its shape."""
        array = self.array
        return array_module(array).broadcast_to(array, at(self.shape, sizes))
