"""Nodes of products and of what turns integers and floats into codes."""

import dataclasses
import functools
import math
from typing import Annotated

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.deploy.node import (
    MACS,
    Book,
    BoolArray,
    FloatArray,
    Form,
    Int32Array,
    Node,
    Number,
    Taps,
    Whole,
)
from bitnet.deploy.sizes import MAX_ELEMENTS, Size, Value, elements, joined, total
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits, Codebook, Thresholds

MAX_TAPS = 1 << 12  # of a window
OPERANDS = ("bits", "planes", "uint8")


def packed_value(shape, codebook, by_row):
    """Return the Value of signs, or of the codes of a codebook."""
    if codebook is None:
        return Value(shape, "bits", 1, by_row=by_row)
    return Value(shape, "planes", codebook.largest, codebook, by_row)


def check_edges(edges, codebook):
    """Refuse edges that are more than the codes need, or not in order."""
    n = 1 if codebook is None else len(codebook) - 1
    if edges.ndim != 1 or len(edges) > n or not (edges[1:] >= edges[:-1]).all():
        raise InputError(f"edges of shape {edges.shape}; expected at most {n}, sorted")
    if (edges != edges).any():
        raise InputError("edges hold NaN; expected numbers")


def check_window(window):
    """Refuse many taps, and a padding that is not smaller than the window on its axis."""
    if window.taps > MAX_TAPS:
        raise InputError(f"a window of {window.taps} taps; expected at most {MAX_TAPS}")
    if not window.sees_pixels:
        raise InputError(f"{window!r}; expected a padding smaller than the window on each axis")


def images_after(window, shape, groups=1):
    """Return the shape (B, H', W', C) of images after a window; refuse others."""
    check_window(window)
    if len(shape) != 4 or any(isinstance(size, Size) for size in shape[1:]):
        raise InputError(f"a window on values of shape {shape}; expected images (B, H, W, C)")
    after = (shape[0], *window.output(*shape[1:3]), shape[3])
    if (seen := seen_by(window, after) // groups) > MAX_ELEMENTS:
        came = f"a window that sees {seen} elements per input"
        raise InputError(f"{came}; expected at most {MAX_ELEMENTS}: taps x outputs x channels")
    return after


def seen_by(window, after):
    """Return the number of elements that a window sees in one input."""
    return window.taps * math.prod(after[1:])


def work_of_product(self: Node, value: Value, *values: Value) -> int:
    """Return the work of a product with weights (M, ...), the second operand; see `Node.work`."""
    weight = values[1]
    return elements(value.shape) * (1 + elements(weight.shape[1:]) // MACS)


@dataclasses.dataclass(frozen=True)
class TopPlanes(Node):
    """The top planes of uint8 pixels."""

    planes: Whole = 8

    def value(self, x):
        if x.kind != "uint8" or self.planes > 8:
            raise self.unlike("uint8 pixels, and 1 to 8 planes", x)
        codebook = None if self.planes == 1 else Codebook.uniform(self.planes)
        return packed_value(x.shape, codebook, x.by_row)

    def run(self, sizes, x):
        """Return the top planes as Bits or BitPlanes."""
        bits = kernels.split_planes(x).bits[8 - self.planes :]
        return bits[0] if self.planes == 1 else BitPlanes(bits, [1 << b for b in range(len(bits))])


@dataclasses.dataclass(frozen=True)
class Linear(Node):
    """The product of rows (..., N) with packed weights (M, N), as integers."""

    arity = (2, 2)

    def value(self, x, weight):
        fits = x.kind in OPERANDS and weight.is_packed and len(weight.shape) == 2
        n_axes = range(2, 3) if x.kind == "uint8" else range(2, 9)  # rows of pixels are not merged
        if not fits or len(x.shape) not in n_axes or x.shape[-1] != weight.shape[1]:
            raise self.unlike(
                "packed values or pixels (..., N) and packed weights (M, N)", x, weight
            )
        largest = weight.shape[1] * x.largest * weight.largest
        rows = (total(x.shape[:-1]),) if len(x.shape) > 2 else x.shape[:1]
        return Value((*rows, weight.shape[0]), "int32", largest, by_row=joined((x, weight)))

    work = work_of_product

    def run(self, sizes, x, weight):
        """Return the integers, int32 (R, M)."""
        return kernels.plane_gemm(kernels.merge_rows(x), weight)


@dataclasses.dataclass(frozen=True)
class Conv(Node):
    """The convolution of images (B, H, W, C) with packed filters (M, rows, columns, C / groups)."""

    window: Taps = None
    groups: Whole = 1

    arity = (2, 2)

    def value(self, x, weight):
        shape = images_after(self.window, x.shape, self.groups)
        fits = x.kind in OPERANDS and weight.is_packed and len(weight.shape) == 4
        if not fits or weight.shape[1:3] != self.window.size:
            raise self.unlike(
                f"images and packed filters with the taps of {self.window}", x, weight
            )
        n = kernels.check_groups("filters", x.shape[3], weight.shape[0], self.groups)
        if weight.shape[3] != n:
            raise self.unlike(f"filters of {n} channels", x, weight)
        largest = math.prod(weight.shape[1:]) * x.largest * weight.largest
        by_row = joined((x, weight))
        return Value((*shape[:3], weight.shape[0]), "int32", largest, by_row=by_row)

    work = work_of_product

    def run(self, sizes, x, weight):
        """Return the integers, int32 (B, H', W', M)."""
        return kernels.plane_conv(x, weight, self.window, self.groups)


@dataclasses.dataclass(frozen=True)
class Rescale(Node):
    """Integers times a unit, plus a bias per column: `z * unit + bias`."""

    unit: Number = 1.0
    bias: FloatArray = None

    def value(self, z):
        self.check_array("bias", z.shape[-1:])
        if z.kind != "int32" or len(z.shape) != 2:
            raise self.unlike("int32 (R, M)", z)
        reach = z.largest * abs(self.unit)
        reach += float(abs(self.bias).max()) if self.bias.size else 0.0
        if not reach <= float(np.finfo(self.bias.dtype).max):
            raise InputError(f"values of up to {reach:.3g}; expected at most what floats hold")
        return Value(z.shape, str(self.bias.dtype), by_row=z.by_row)

    def run(self, sizes, z):
        """Return floats (R, M)."""
        return kernels.affine(z, self.unit, self.bias)


@dataclasses.dataclass(frozen=True)
class Threshold(Node):
    """Comparisons of integers with thresholds: signs, or codes of k bits with a codebook."""

    thresholds: Int32Array = None  # int32 (M,), or (M, L) with a codebook of L + 1 codes
    increasing: BoolArray = None  # booleans (M,): passed where z >= threshold, or where z <= it
    codebook: Book = None

    def value(self, z):
        m = z.shape[-1]
        if not z.is_integer or z.largest >= 2**31 - 1:
            raise self.unlike("integers that int32 holds", z)
        shape = (m,) if self.codebook is None else (m, len(self.codebook) - 1)
        self.check_array("thresholds", shape)
        self.check_array("increasing", (m,))
        if self.codebook is not None:  # the thresholds of an increasing unit increase along its row
            before, after = self.thresholds[:, :-1], self.thresholds[:, 1:]
            rising = self.increasing[:, None]
            if ((after < before) & rising).any() or ((after > before) & ~rising).any():
                raise InputError("thresholds are not in order; expected each row sorted")
        return packed_value(z.shape, self.codebook, z.by_row)

    @functools.cached_property
    def steps(self):
        """The thresholds in the form that the kernels take."""
        return Thresholds(self.thresholds, self.increasing)

    def run(self, sizes, z):
        """Return Bits, or BitPlanes with a codebook."""
        z = z.astype(np.int32, copy=False)
        if self.codebook is None:
            return kernels.threshold(z, self.steps)
        return self.codebook.planes(kernels.rank(z, self.steps))

    def contents(self):
        header, arrays = super().contents()
        signs = kernels.pack(arrays["increasing"])  # one bit each
        return header, arrays | {"increasing": signs.to_bytes()}

    @classmethod
    def from_contents(cls, header, arrays):
        if {"thresholds", "increasing"} <= arrays.keys() and arrays["thresholds"].ndim:
            bits = Bits.from_bytes(arrays["increasing"], len(arrays["thresholds"]))
            arrays["increasing"] = bits.signs() > 0
        return super().from_contents(header, arrays)


@dataclasses.dataclass(frozen=True)
class Quantize(Node):
    """Comparisons of floats with edges, the same for all: the code is the number of edges <= x."""

    edges: FloatArray = None  # floats, sorted, at most one fewer than codes
    codebook: Book = None

    def value(self, x):
        check_edges(self.edges, self.codebook)
        own = self.edges
        if x.kind != str(own.dtype) or not isinstance(x.shape[-1], int):
            raise self.unlike(f"{own.dtype} (..., N)", x)
        return packed_value(x.shape, self.codebook, x.by_row)

    def run(self, sizes, x):
        """Return Bits, or BitPlanes with a codebook."""
        return quantized(x, self.edges, self.codebook)


def quantized(x, edges, codebook):
    """Return floats as Bits, or as BitPlanes with a codebook, by comparisons with edges."""
    if codebook is None and len(edges) == 1 and edges[0] == 0:
        return kernels.pack(x)
    xp = array_module(x)
    codes = kernels.count_edges(x, edges) if len(edges) else xp.zeros(x.shape, np.uint8)
    return kernels.pack(codes > 0) if codebook is None else codebook.planes(codes)


@dataclasses.dataclass(frozen=True)
class Unpack(Node):
    """The numbers that Bits or BitPlanes represent, as floats."""

    dtype: Annotated[str, Form()] = "float32"

    def value(self, x):
        if not x.is_packed or self.dtype not in ("float32", "float64"):
            raise self.unlike("packed values, and float32 or float64", x)
        return Value(x.shape, self.dtype, by_row=x.by_row)

    def run(self, sizes, x):
        """Return floats of the same shape."""
        dtype = np.dtype(self.dtype)
        return kernels.unpack(x, dtype) if isinstance(x, Bits) else x.values(dtype)


KINDS: dict[str, type[Node]] = {"planes": TopPlanes, "linear": Linear, "conv": Conv}
KINDS |= {"rescale": Rescale, "thresholds": Threshold, "quantize": Quantize, "unpack": Unpack}
