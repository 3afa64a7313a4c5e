"""What stands beside bits in a product: thresholds of integers, and integers with a scale a row."""

import dataclasses

import numpy as np

from bitnet.arrays import array_module, check_one_device
from bitnet.errors import InputError

__all__ = ["Quantized", "Rounding", "Thresholds"]


class Thresholds:
    """Batch norm and sign of a frozen layer, one integer comparison a unit; or a quantizer, some.

    The sign of unit j is +1 where `z[j] >= values[j]` if it rises, and where
    `z[j] <= values[j]` if it falls.  The code of a quantizer is the number of values of its unit
    that are passed in this way.

    Parameters
    ----------
    values : numpy.ndarray
        int32 of shape (N,); or (N, L) for L + 1 codes, L of at most 255, rising along a row where
        the unit rises and falling where it falls.
    rising : numpy.ndarray
        Booleans of shape (N,).

    Attributes
    ----------
    limits : dict
        What a product derives from the thresholds and keeps.

    Raises
    ------
    InputError
        If the shapes or types do not fit.

    Examples
    --------
    >>> len(Thresholds(np.array([2, -3], np.int32), np.array([True, False])))
    2
    """

    __slots__ = ("limits", "rising", "values")

    def __init__(self, values, rising):
        types = values.dtype, rising.dtype
        fits = values.shape[:1] == rising.shape and values.shape[1:2] <= (255,)
        if values.ndim not in (1, 2) or not fits or types != (np.int32, np.bool_):
            raise InputError(
                f"Thresholds: {values.dtype} {values.shape} and {rising.dtype} {rising.shape} "
                "do not fit; expected int32 (N,) or (N, 255 or fewer), and bool (N,)"
            )
        check_one_device("Thresholds", (values, rising))
        self.values, self.rising = values, rising
        self.limits = {}

    @property
    def held(self):
        """The array that says on which device this is."""
        return self.values

    def moved(self, move):
        """The same with its arrays moved."""
        return Thresholds(move(self.values), move(self.rising))

    def __len__(self):
        return len(self.values)


class Quantized:
    """A matrix of integers of a few bits with one scale a row: `scales[r] * values[r, c]`.

    Parameters
    ----------
    values : numpy.ndarray
        int16 of shape (R, C), contiguous, of at most `largest`.
    scales : numpy.ndarray
        float32 of shape (R,).
    largest : int
        `2**(bits - 1) - 1` for integers of some bits, the sign included; 255 at most.

    Raises
    ------
    InputError
        If the shapes, the types or `largest` do not fit.

    Examples
    --------
    >>> x = Quantized(np.array([[-31, 16]], np.int16), np.float32([0.5]), 31)
    >>> x.numbers()
    array([[-15.5,   8. ]], dtype=float32)
    >>> x
    Quantized(shape=(1, 2), integers up to 31)
    """

    __slots__ = ("largest", "scales", "values")

    def __init__(self, values, scales, largest):
        types = values.dtype, scales.dtype
        if values.ndim != 2 or scales.shape != values.shape[:1] or types != (np.int16, np.float32):
            raise InputError(
                f"Quantized: {values.dtype} {values.shape} and {scales.dtype} {scales.shape} do "
                "not fit; expected int16 (R, C) and float32 (R,)"
            )
        if not 1 <= largest <= 255:
            raise InputError(f"Quantized: largest is {largest!r}; expected 1 to 255")
        check_one_device("Quantized", (values, scales))
        self.values, self.scales = map(array_module(values).ascontiguousarray, (values, scales))
        self.largest = largest

    dtype = np.dtype(np.float32)  # of the numbers that are meant

    @property
    def held(self):
        """The array that says on which device this is."""
        return self.values

    def moved(self, move):
        """The same with its arrays moved."""
        return Quantized(move(self.values), move(self.scales), self.largest)

    @property
    def shape(self):
        """The shape (R, C)."""
        return self.values.shape

    def __repr__(self):
        return f"Quantized(shape={self.shape}, integers up to {self.largest})"

    def numbers(self):
        """The numbers that are meant, float32 of shape (R, C)."""
        return self.values.astype(np.float32) * self.scales[:, None]


@dataclasses.dataclass(frozen=True)
class Rounding:
    """How a gradient is rounded to k bits before it is multiplied.

    ====== ============================== ======================================================
    kind   numbers                        steps
    int    -n ... n, n = 2^(k-1) - 1      `max|x| / n` of the row; one of the 2^k codes is unused
    dorefa -n, -n + 2, ..., n, n = 2^k-1  `max|x| / n` of the row; all 2^k codes, and no 0
    log    0 and ±2^e                     2^(k-1) - 1 powers of two, the largest that of max|x|
    ====== ============================== ======================================================

    Parameters
    ----------
    kind : {"int", "dorefa", "log"}
        As above; `kernels.quantize` has the formulas.
    bits : int
        k, from 2 to 8; from 2 to 6 of "log", whose powers span a float's range beyond.

    Attributes
    ----------
    largest : int or None
        n, of integers.

    Raises
    ------
    InputError
        If there is no such kind, or the bits are out of their range.

    Examples
    --------
    >>> Rounding("int", 8).largest, Rounding("dorefa", 8).largest, Rounding("log", 6).powers
    (127, 255, 31)
    """

    kind: str
    bits: int

    def __post_init__(self):
        if self.kind not in ("int", "dorefa", "log"):
            raise InputError(f"Rounding: kind is {self.kind!r}; expected int, dorefa or log")
        most = 6 if self.kind == "log" else 8
        whole = isinstance(self.bits, (int, np.integer)) and not isinstance(self.bits, bool)
        if not whole or not 2 <= self.bits <= most:
            raise InputError(
                f"Rounding: bits is {self.bits!r}; expected 2 to {most} of kind {self.kind!r}"
            )

    @classmethod
    def of(cls, rule):
        """A Rounding as it is, and k as that to integers of k bits."""
        return rule if isinstance(rule, Rounding) else cls("int", rule)

    @property
    def largest(self):
        """The largest integer, or None of powers of two."""
        return {"int": 2 ** (self.bits - 1) - 1, "dorefa": 2**self.bits - 1}.get(self.kind)

    @property
    def powers(self):
        """How many powers of two there are of each sign."""
        return 2 ** (self.bits - 1) - 1

    @property
    def odd(self):
        """Whether only every other integer is taken, from -n to n."""
        return self.kind == "dorefa"

    def numbers(self, rng):
        """What the kernels of integers want: the largest integer, a seed or None, and `odd`."""
        return self.largest, None if rng is None else int(rng.integers(2**63)), self.odd
