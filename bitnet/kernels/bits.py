"""Packed arrays of +1 and -1, and the convention of bits that every kernel shares.

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

import numpy as np

from bitnet.arrays import array_module, check_one_device, like, to_cpu
from bitnet.errors import InputError, unfit

WORD_BITS = 64
WORD = np.dtype("<u8")


def words_for(n):
    """Return the number of 64-bit words that hold `n` elements.

    Parameters
    ----------
    n : int
        Elements in a row.

    Examples
    --------
    >>> [words_for(n) for n in (0, 1, 64, 65)]
    [0, 1, 1, 2]
    """
    return -(-n // WORD_BITS)


class _Packed:
    """What follows from a shape in elements."""

    __slots__ = ()

    @property
    def ndim(self):
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self):
        """The number of elements."""
        return math.prod(self.shape)

    def __len__(self):
        return self.shape[0]


class Bits(_Packed):
    """An array of +1 and -1 with one bit per element, packed along the last axis.

    Parameters
    ----------
    words : array
        uint64 of shape `shape[:-1] + (words_for(shape[-1]),)`, of NumPy or, on a GPU, of CuPy.
        Its padding bits must be 0, which `from_bytes` checks and this does not.
    shape : tuple of int
        In elements.

    Attributes
    ----------
    layouts : dict or None
        The words in the orders that the products use, by name, if they are kept
        (`kernels.prepare`); None if each product makes its own.

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

    def __init__(self, words, shape):
        shape = tuple(int(size) for size in shape)
        if not shape:
            raise InputError("Bits need a last axis to pack; got the shape ()")
        expected = (*shape[:-1], words_for(shape[-1]))
        if words.dtype != WORD or words.shape != expected:
            raise unfit(f"Bits {shape}", f"uint64 words {expected}", words)
        self.words, self.shape, self.layouts = words, shape, None

    _held = property(lambda self: self.words)  # the array that says on which device this is

    def _moved(self, move):
        """The same with its array moved; laid out anew where layouts are kept."""
        bits = Bits(move(self.words), self.shape)
        bits.layouts = None if self.layouts is None else {}
        return bits

    @property
    def n_bytes(self):
        """The bytes that the words occupy in memory, padding included."""
        return self.words.nbytes

    def __getitem__(self, index):
        """Rows of the array, by an index into the axes before the last."""
        parts = index if isinstance(index, tuple) else (index,)
        axes = [getattr(part, "ndim", 0) for part in parts]  # a mask takes one axis for each of its
        if len(parts) >= self.ndim or max(axes) > 1 or any(p is None or p is ... for p in parts):
            raise InputError("Bits are indexed on the axes before the last one, which is packed")
        words = self.words[index]
        return Bits(words, (*words.shape[:-1], self.shape[-1]))

    def __repr__(self):
        return f"Bits(shape={self.shape}, {self.n_bytes} bytes)"

    def __array__(self, dtype=None, copy=None):
        return self.signs(dtype or np.int8)

    def __eq__(self, other):
        return self.equals(other) if isinstance(other, Bits) else NotImplemented

    __hash__ = None

    def equals(self, other):
        """Whether `other` has the same shape and the same signs."""
        return self.shape == other.shape and bool((self.words == like(other.words, self)).all())

    def signs(self, dtype=np.int8):
        """The array of +1 and -1 itself, of a signed type."""
        xp = array_module(self)
        as_bytes = xp.ascontiguousarray(self.words).view(np.uint8)
        ones = xp.unpackbits(as_bytes.ravel(), bitorder="little")  # of all rows, padding too
        ones = ones.reshape(*self.shape[:-1], self.words.shape[-1] * WORD_BITS)
        ones = ones[..., : self.shape[-1]].astype(np.int8)
        return (2 * ones - 1).astype(dtype, copy=False)

    def to_bytes(self):
        """The rows as bytes without the padding of words, for files: (..., ceil(n / 8)) uint8."""
        as_bytes = np.ascontiguousarray(to_cpu(self.words)).view(np.uint8)
        return np.ascontiguousarray(as_bytes[..., : -(-self.shape[-1] // 8)])

    @classmethod
    def from_bytes(cls, rows, n):
        """Bits (..., n) from rows of bytes (..., ceil(n / 8)), uint8: the inverse of `to_bytes`."""
        if rows.dtype != np.uint8 or rows.ndim == 0 or rows.shape[-1] != -(-n // 8):
            raise unfit(f"{n} signs per row", f"uint8 (..., {-(-n // 8)})", rows)
        if n % 8 and (rows[..., -1] >> (n % 8)).any():
            raise InputError(f"a padding bit behind the {n} signs of a row is 1; expected 0")
        padded = array_module(rows).zeros((*rows.shape[:-1], words_for(n) * 8), np.uint8)
        padded[..., : rows.shape[-1]] = rows
        return cls(padded.view(WORD), (*rows.shape[:-1], n))


class BitPlanes(_Packed):
    """Integers of a few bits, times a scale, as a weighted sum of ±1 planes.

    The value is `unit * scale * (sum_p coefficients[p] * signs[p] + offset)`.  Products multiply
    the integers and the scale, and leave the unit to the batch norm after them, as they do with
    the 255 of pixels.

    Parameters
    ----------
    bits : Bits
        The planes, of shape (P, ..., N).
    coefficients : sequence of int
        The whole-number weight of each of the P planes.
    scale, offset, unit : optional
        As above; default: 1, 0 and 1.

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

    def __init__(self, bits, coefficients, scale=1.0, offset=0, unit=1.0):
        if bits.ndim < 2 or bits.shape[0] != len(coefficients):
            raise unfit("BitPlanes", "one coefficient per plane of Bits", bits, coefficients)
        self.bits = bits
        self.coefficients = tuple(int(c) for c in coefficients)
        self.scale, self.offset, self.unit = float(scale), int(offset), float(unit)
        self.layouts = None  # as those of Bits

    @property
    def largest(self):
        """An upper bound of the integers' absolute values: sum |coefficients| + |offset|."""
        return sum(map(abs, self.coefficients)) + abs(self.offset)

    @property
    def shape(self):
        """The shape of the values."""
        return self.bits.shape[1:]

    _held = property(lambda self: self.bits.words)  # the array that says on which device this is

    def _moved(self, move):
        """The same with its array moved; laid out anew where layouts are kept."""
        planes = self.with_bits(self.bits._moved(move))
        if self.layouts is not None:
            planes.layouts = {"planes": [*planes.bits]}
            for plane in planes.layouts["planes"]:
                plane.layouts = {}
        return planes

    def with_bits(self, bits):
        """BitPlanes of other signs, with the same coefficients, scale, offset and unit."""
        return BitPlanes(bits, self.coefficients, self.scale, self.offset, self.unit)

    def __repr__(self):
        return f"BitPlanes(shape={self.shape}, {len(self.coefficients)} planes, unit={self.unit:g})"

    def integers(self):
        """The integers that the planes stand for, without scale and unit: int32 of `shape`."""
        total = array_module(self).full(self.shape, self.offset, np.int32)
        for plane, coefficient in enumerate(self.coefficients):
            total += coefficient * self.bits[plane].signs(np.int32)
        return total

    def numbers(self, dtype=np.float32):
        """What products multiply, integers times scale, as floats of `shape`."""
        return self.integers().astype(dtype) * np.dtype(dtype).type(self.scale)

    def values(self, dtype=np.float32):
        """The numbers that the planes stand for, as floats of `shape`."""
        return self.integers().astype(dtype) * np.dtype(dtype).type(self.scale * self.unit)


@dataclasses.dataclass(slots=True, eq=False)
class Quantized:
    """A matrix of low-bit integers with one scale per row: `scales[r] * values[r, c]`.

    Parameters
    ----------
    values : numpy.ndarray
        int16 of shape (R, C), with absolute values up to `largest`.
    scales : float32 array of shape (R,)
    largest : int
        `2**(bits - 1) - 1` for integers of `bits` bits, the sign included; 255 at most.

    Examples
    --------
    >>> x = Quantized(np.array([[-31, 16]], np.int16), np.float32([0.5]), 31)
    >>> x.numbers()
    array([[-15.5,   8. ]], dtype=float32)
    >>> x
    Quantized(shape=(1, 2), integers up to 31)
    """

    values: np.ndarray
    scales: np.ndarray
    largest: int
    dtype = np.dtype(np.float32)  # of the numbers that are meant

    def __post_init__(self):
        values, scales = self.values, self.scales
        types = values.dtype, scales.dtype
        if values.ndim != 2 or scales.shape != values.shape[:1] or types != (np.int16, np.float32):
            raise unfit("Quantized", "int16 (R, C) and float32 (R,)", values, scales)
        if not 1 <= self.largest <= 255:
            raise InputError(f"Quantized: largest is {self.largest!r}; expected 1 to 255")
        check_one_device("Quantized", (values, scales))
        self.values, self.scales = map(array_module(values).ascontiguousarray, (values, scales))

    _held = property(lambda self: self.values)  # the array that says on which device this is
    shape = property(lambda self: self.values.shape)  # (R, C)

    def __repr__(self):
        return f"Quantized(shape={self.shape}, integers up to {self.largest})"

    def numbers(self):
        """The numbers that are meant, float32 of shape (R, C)."""
        return self.values.astype(np.float32) * self.scales[:, None]
