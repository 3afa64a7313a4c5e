"""Levels: what the codes of a k-bit quantizer stand for, and integers to codes by thresholds."""

import numpy as np

from bitnet.arrays import array_module, like, to_cpu
from bitnet.errors import InputError
from bitnet.kernels.bits import Planes
from bitnet.kernels.dispatch import check_numbers, kernel
from bitnet.kernels.operands import Thresholds

__all__ = ["Levels", "rank"]

MAX_PLANES = 32
MAX_INTEGER = 65536  # 15 powers of two, twice each


class Levels:
    """The integers, times a unit, that the codes 0, 1, ... of a quantizer stand for, in planes.

    Code c stands for `unit * (sum_p coefficients[p] * s_p + offset)`, where s_p is +1 if bit p
    of `patterns[c]` is 1 and -1 if it is 0.  The numbers rise with the codes.

    Parameters
    ----------
    patterns : sequence of int
        One a code, 2 to 256 of them.
    coefficients : sequence of int
        One a plane.
    unit : float, optional
        What the integer 1 stands for, above 0; 1 by default.
    offset : int, optional
        0 by default.

    Attributes
    ----------
    integers : numpy.ndarray
        int32, what each code stands for, without the unit.

    Raises
    ------
    InputError
        If a number is out of its range or the integers do not rise.

    Examples
    --------
    >>> two_bits = Levels.uniform(2)
    >>> two_bits.integers
    array([-3, -1,  1,  3], dtype=int32)
    >>> two_bits.planes(np.array([[0, 3, 2]], np.uint8)).values()
    array([[-3.,  3.,  1.]], dtype=float32)
    """

    def __init__(self, patterns, coefficients, unit=1.0, offset=0):
        self.patterns = np.array(patterns, np.uint32)
        self.coefficients = tuple(int(c) for c in coefficients)
        self.unit, self.offset = float(unit), int(offset)
        if not 2 <= len(self.patterns) <= 256 or not 1 <= len(self.coefficients) <= MAX_PLANES:
            raise InputError(
                f"Levels: {len(self.patterns)} codes in {len(self.coefficients)} planes; expected "
                f"2 to 256 in at most {MAX_PLANES}"
            )
        ones = self.patterns[:, None] >> np.arange(len(self.coefficients)) & 1
        sums = (2 * ones.astype(np.int64) - 1) @ np.array(self.coefficients) + self.offset
        rise = len(sums) < 2 or bool((np.diff(sums) > 0).all())
        if not rise or abs(sums).max() > MAX_INTEGER or not self.unit > 0:
            raise InputError(
                f"Levels: the codes stand for {sums.tolist()} times {self.unit}; expected numbers "
                f"that rise, of at most {MAX_INTEGER}, and a unit above 0"
            )
        self.integers = sums.astype(np.int32)
        self._on_gpu = None  # the patterns there

    @classmethod
    def uniform(cls, bits, unit=1.0, offset=0):
        """The levels `unit * (2 c - (2**bits - 1) + offset)` of 2**bits codes c.

        Examples
        --------
        >>> Levels.uniform(2, unit=0.5, offset=3).values()
        array([0., 1., 2., 3.], dtype=float32)
        """
        if not isinstance(bits, (int, np.integer)) or not 1 <= bits <= 8:
            raise InputError(f"Levels: bits is {bits!r}; expected a whole number from 1 to 8")
        return cls(range(1 << bits), [1 << b for b in range(bits)], unit, offset)

    def moved(self, move):
        """Itself: it is the same on all devices."""
        return self

    def __len__(self):
        return len(self.patterns)

    def __eq__(self, other):
        return isinstance(other, Levels) and self._state() == other._state()

    __hash__ = None

    def _state(self):
        return self.patterns.tolist(), self.coefficients, self.unit, self.offset

    def __repr__(self):
        return f"Levels({len(self)} codes in {len(self.coefficients)} planes)"

    @property
    def largest(self):
        """What no integer of their planes passes, be they of a code or, at a border, all equal."""
        return sum(map(abs, self.coefficients)) + abs(self.offset)

    @property
    def bits(self):
        """The bits that a code needs."""
        return (len(self) - 1).bit_length()

    @property
    def is_sign(self):
        """Whether the codes 0 and 1 stand for -1 and +1."""
        return self.integers.tolist() == [-1, 1] and self.coefficients == (1,) and self.unit == 1

    def values(self, dtype=np.float32):
        """The numbers that the codes stand for, an array of NumPy's."""
        return self.integers.astype(dtype) * np.dtype(dtype).type(self.unit)

    def planes(self, codes):
        """Codes, uint8 of shape (..., N), as the Planes of their numbers.

        On a GPU codes that are too large are not refused: to look would be to wait.
        """
        check_numbers("Levels.planes", codes)
        largest = codes.max(initial=0) if array_module(codes) is np else 0
        if codes.dtype != np.uint8 or largest >= len(self):
            raise InputError(
                f"Levels.planes: {codes.dtype} codes up to {largest}; expected uint8 below "
                f"{len(self)}"
            )
        bits = kernel("split_codes")(codes, self._patterns(codes), len(self.coefficients))
        return Planes(bits, self.coefficients, offset=self.offset, unit=self.unit)

    def _patterns(self, codes):
        """The patterns on the device of the codes; the GPU's are kept."""
        if array_module(codes) is np:
            return self.patterns
        if array_module(self._on_gpu) is np:
            self._on_gpu = like(self.patterns, codes)
        return self._on_gpu

    def codes(self, planes):
        """The codes of Planes that `planes` made: uint8 of shape (..., N)."""
        planes, total = to_cpu(planes), np.zeros(planes.shape, np.uint32)
        for plane in range(len(self.coefficients)):
            ones = planes.bits[plane].signs() > 0
            total |= ones.astype(np.uint32) << np.uint32(plane)
        order = np.argsort(self.patterns, kind="stable")
        return order[np.searchsorted(self.patterns[order], total)].astype(np.uint8)


def rank(z, thresholds):
    """The codes of integers: how many of the sorted thresholds of its column each one passes.

    What `threshold` is to the sign: batch norm and a monotone k-bit quantizer behind it are, for
    each unit, 2**k - 1 integer comparisons.

    Parameters
    ----------
    z : numpy.ndarray
        int32 of shape (..., M).
    thresholds : Thresholds
        Of M units with L values each.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (..., M).

    Raises
    ------
    InputError
        If the operands do not fit.

    Examples
    --------
    >>> values = np.array([[-2, 0, 2], [2, 0, -2]], np.int32)
    >>> steps = Thresholds(values, np.array([True, False]))
    >>> rank(np.array([[-9, -9], [1, 1]], np.int32), steps)
    array([[0, 3],
           [2, 1]], dtype=uint8)
    """
    check_numbers("rank", z, "i", "integers")
    shape = thresholds.values.shape if isinstance(thresholds, Thresholds) else ()
    if z.dtype != np.int32 or len(shape) != 2 or shape[0] != z.shape[-1]:
        raise InputError(
            f"rank: {z.dtype} {z.shape} and thresholds {shape}; expected int32 (..., M) and "
            "Thresholds (M, L)"
        )
    return kernel("rank")(z, thresholds)
