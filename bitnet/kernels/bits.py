"""Packed arrays of +1 and -1, and the bit layout that every kernel uses.

* A word is a little-endian unsigned 64-bit integer.  Element `i` of a row is bit `i % 64` of
  word `i // 64`, the least significant bit first.
* Bit 1 means +1 and stands for `x >= 0`; bit 0 means -1.  So sign(0) = sign(-0.0) = +1.
  A NaN compares as false and would become -1: it is refused where data enters.
* The last axis is packed.  Padding bits, after the last element of a row, are 0 in every
  array.  The dot product of two rows is `n - 2 * popcount(a ^ b)`, in which padding cancels.
* The number of valid elements `n` travels with the words, as the last entry of `shape`.
* `words.view(uint32)` has the same layout, and so has the row of bytes `words.view(uint8)`.

Wider integers are sums of such planes.  A pixel p of 8 bits is, exactly,
`2p - 255 = sum_b 2^b s_b` with `s_b = +1` where bit b of p is 1 and -1 where it is 0.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from bitnet.arrays import Array, array_module, check_one_device, like, to_cpu
from bitnet.errors import InputError, unfit

WORD_BITS = 64
WORD = np.dtype("<u8")


def words_for(n: int) -> int:
    """Return the number of 64-bit words that hold `n` elements.

    Parameters
    ----------
    n : int
        Elements per row.

    Examples
    --------
    >>> [words_for(n) for n in (0, 1, 64, 65)]
    [0, 1, 1, 2]
    """
    return -(-n // WORD_BITS)


class _Packed:
    """The attributes that follow from a shape in elements."""

    __slots__ = ()
    shape: Any

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]


class Bits(_Packed):
    """An array of +1 and -1 with one bit per element, packed along the last axis.

    Parameters
    ----------
    words : array
        uint64 of shape `shape[:-1] + (words_for(shape[-1]),)`, a NumPy array or, on a GPU, a
        CuPy array.  Its padding bits must be 0; `from_bytes` checks this, the constructor does not.
    shape : sequence of int
        The shape in elements.

    Attributes
    ----------
    layouts : dict or None
        By name, the words in the orders that the products use, if they are cached
        (`kernels.prepare`); None if each product lays out its own.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet import kernels
    >>> bits = kernels.pack(np.array([[0.5, -2.0, 0.0, -1.0]]))
    >>> bits
    Bits(shape=(1, 4), 8 bytes)
    >>> bin(bits.words[0, 0])
    '0b101'
    >>> bits.signs()
    array([[ 1, -1,  1, -1]], dtype=int8)
    """

    __slots__ = ("layouts", "shape", "words")

    def __init__(self, words: Array, shape: Sequence[int]) -> None:
        shape = tuple(int(size) for size in shape)
        if not shape:
            raise InputError("Bits: the shape is (); expected at least one axis, the packed one")
        expected = (*shape[:-1], words_for(shape[-1]))
        if words.dtype != WORD or words.shape != expected:
            raise unfit(f"Bits {shape}", f"uint64 words {expected}", words)
        self.words, self.shape = words, shape
        self.layouts: dict | None = None

    _held = property(lambda self: self.words)  # the array that decides the device

    def _moved(self, move):
        """Return a copy with its array moved; cached layouts are dropped and made again."""
        bits = Bits(move(self.words), self.shape)
        bits.layouts = None if self.layouts is None else {}
        return bits

    @property
    def n_bytes(self) -> int:
        """The number of bytes of the words in memory, including padding."""
        return self.words.nbytes

    def __getitem__(self, index: Any) -> "Bits":
        """Return rows of the array, by an index into the axes before the last one."""
        parts = index if isinstance(index, tuple) else (index,)
        axes = [getattr(part, "ndim", 0) for part in parts]  # a mask indexes as many axes as it has
        if len(parts) >= self.ndim or max(axes) > 1 or any(p is None or p is ... for p in parts):
            raise InputError(
                f"Bits: the index is {index!r:.60}; expected one into the axes before the last, "
                "which is packed; use `signs()` to index that one"
            )
        words = self.words[index]
        return Bits(words, (*words.shape[:-1], self.shape[-1]))

    def __iter__(self) -> Iterator["Bits"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Bits(shape={self.shape}, {self.n_bytes} bytes)"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.signs(dtype or np.int8)

    def __eq__(self, other: object) -> bool:
        return self.equals(other) if isinstance(other, Bits) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def equals(self, other: "Bits") -> bool:
        """Return whether `other` has the same shape and the same signs."""
        return self.shape == other.shape and bool((self.words == like(other.words, self)).all())

    def signs(self, dtype: DTypeLike = np.int8) -> Array:
        """Return the array of +1 and -1 in a signed type."""
        xp = array_module(self)
        as_bytes = xp.ascontiguousarray(self.words).view(np.uint8)
        ones = xp.unpackbits(as_bytes.ravel(), bitorder="little")  # all rows, with padding
        ones = ones.reshape(*self.shape[:-1], self.words.shape[-1] * WORD_BITS)
        ones = ones[..., : self.shape[-1]].astype(np.int8)
        return (2 * ones - 1).astype(dtype, copy=False)

    def to_bytes(self) -> np.ndarray:
        """Return the rows as bytes without word padding, for files: (..., ceil(n / 8)) uint8."""
        as_bytes = np.ascontiguousarray(to_cpu(self.words)).view(np.uint8)
        return np.ascontiguousarray(as_bytes[..., : -(-self.shape[-1] // 8)])

    @classmethod
    def from_bytes(cls, rows: Array, n: int) -> "Bits":
        """Return Bits (..., n) from rows of bytes (..., ceil(n / 8)), the inverse of `to_bytes`."""
        if rows.dtype != np.uint8 or rows.ndim == 0 or rows.shape[-1] != -(-n // 8):
            raise unfit(f"{n} signs per row", f"uint8 (..., {-(-n // 8)})", rows)
        if n % 8 and (rows[..., -1] >> (n % 8)).any():
            raise InputError(f"Bits: a padding bit after the {n} signs of a row is 1; expected 0")
        padded = array_module(rows).zeros((*rows.shape[:-1], words_for(n) * 8), np.uint8)
        padded[..., : rows.shape[-1]] = rows
        return cls(padded.view(WORD), (*rows.shape[:-1], n))


class BitPlanes(_Packed):
    """Low-bit integers times a scale, stored as a weighted sum of ±1 planes.

    The value is `unit * scale * (sum_p coefficients[p] * signs[p] + offset)`.  Products multiply
    the integers and the scale.  The batch norm after them absorbs the unit, and the factor 255 of
    pixels.

    Parameters
    ----------
    bits : Bits
        The planes, of shape (P, ..., N).
    coefficients : sequence of int
        The integer weight of each of the P planes.
    scale, unit : float, optional
        The factors in the formula above; default: 1.
    offset : int, optional
        The integer that is added to the sum; default: 0.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet import kernels
    >>> planes = kernels.split_planes(np.array([[0, 1, 255]], np.uint8))
    >>> planes.coefficients
    (1, 2, 4, 8, 16, 32, 64, 128)
    >>> planes.values(np.float32)
    array([[-255., -253.,  255.]], dtype=float32)
    """

    __slots__ = ("bits", "coefficients", "layouts", "offset", "scale", "unit")

    def __init__(
        self,
        bits: Bits,
        coefficients: Sequence[int],
        scale: float = 1.0,
        offset: int = 0,
        unit: float = 1.0,
    ) -> None:
        self.bits, self.coefficients = bits, tuple(int(c) for c in coefficients)
        self.scale, self.offset, self.unit = float(scale), int(offset), float(unit)
        if bits.ndim < 2 or bits.shape[0] != len(coefficients) or self.largest >= 2**31:
            expected = "one coefficient per plane of Bits, all together below 2**31"
            raise unfit("BitPlanes", expected, bits, coefficients)
        self.layouts: dict | None = None  # see Bits

    @property
    def largest(self) -> int:
        """An upper bound of the integers' absolute values: sum |coefficients| + |offset|."""
        return sum(map(abs, self.coefficients)) + abs(self.offset)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return self.bits.shape[1:]

    _held = property(lambda self: self.bits.words)  # the array that decides the device

    def _moved(self, move):
        """Return a copy with its array moved; cached layouts are dropped and made again."""
        planes = self.with_bits(self.bits._moved(move))
        if self.layouts is not None:
            planes.layouts = {"planes": [*planes.bits]}
            for plane in planes.layouts["planes"]:
                plane.layouts = {}
        return planes

    def with_bits(self, bits: Bits) -> "BitPlanes":
        """Return BitPlanes with other signs, and the same coefficients, scale, offset and unit."""
        return BitPlanes(bits, self.coefficients, self.scale, self.offset, self.unit)

    def __repr__(self) -> str:
        return f"BitPlanes(shape={self.shape}, {len(self.coefficients)} planes, unit={self.unit:g})"

    def integers(self) -> Array:
        """Return the integers that the planes represent, without scale and unit, as int32."""
        total = array_module(self).full(self.shape, self.offset, np.int32)
        for plane, coefficient in enumerate(self.coefficients):
            total += coefficient * self.bits[plane].signs(np.int32)
        return total

    def numbers(self, dtype: type[np.floating] | np.dtype = np.float32) -> Array:
        """Return the integers times the scale, which the products multiply, as floats."""
        return self.integers().astype(dtype) * np.dtype(dtype).type(self.scale)

    def values(self, dtype: type[np.floating] | np.dtype = np.float32) -> Array:
        """Return the numbers that the planes represent, `unit` included, as floats."""
        return self.integers().astype(dtype) * np.dtype(dtype).type(self.scale * self.unit)


Packed = TypeVar("Packed", Bits, BitPlanes)


@dataclasses.dataclass(slots=True, eq=False)
class Quantized:
    """A matrix of low-bit integers with one scale per row: `scales[r] * values[r, c]`.

    Parameters
    ----------
    values : int16 array of shape (R, C)
        Integers with absolute values up to `largest`.
    scales : float32 array of shape (R,)
        One factor per row.
    largest : int
        `2**(bits - 1) - 1` for integers with `bits` bits, including the sign; at most 255.

    Examples
    --------
    >>> x = Quantized(np.array([[-31, 16]], np.int16), np.float32([0.5]), 31)
    >>> x.numbers()
    array([[-15.5,   8. ]], dtype=float32)
    >>> x
    Quantized(shape=(1, 2), integers up to 31)
    """

    values: Array
    scales: Array
    largest: int
    dtype = np.dtype(np.float32)  # of `numbers()`

    def __post_init__(self) -> None:
        values, scales = self.values, self.scales
        types = values.dtype, scales.dtype
        if values.ndim != 2 or scales.shape != values.shape[:1] or types != (np.int16, np.float32):
            raise unfit("Quantized", "int16 (R, C) and float32 (R,)", values, scales)
        if not 1 <= self.largest <= 255:
            raise InputError(
                f"Quantized: largest is {self.largest!r}; expected an integer from 1 to 255"
            )
        check_one_device("Quantized", (values, scales))
        self.values, self.scales = map(array_module(values).ascontiguousarray, (values, scales))

    _held = property(lambda self: self.values)  # the array that decides the device

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (R, C) of the matrix."""
        return self.values.shape

    def __repr__(self) -> str:
        return f"Quantized(shape={self.shape}, integers up to {self.largest})"

    def numbers(self) -> Array:
        """Return the rescaled real values, float32 of shape (R, C)."""
        return self.values.astype(np.float32) * self.scales[:, None]
