"""What stands beside bits in a product: thresholds of integers, and integers with a scale a row."""

import numpy as np

from bitnet.errors import InputError

__all__ = ["Quantized", "Thresholds"]


class Thresholds:
    """Batch norm and sign of a frozen layer: one integer comparison a unit.

    The sign of unit j is +1 where `z[j] >= values[j]` if it rises, and where
    `z[j] <= values[j]` if it falls.

    Parameters
    ----------
    values : numpy.ndarray
        int32 of shape (N,).
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
        if values.ndim != 1 or values.shape != rising.shape or types != (np.int32, np.bool_):
            raise InputError(
                f"Thresholds: {values.dtype} {values.shape} and {rising.dtype} {rising.shape} "
                "do not fit; expected int32 (N,) and bool (N,)"
            )
        self.values, self.rising = values, rising
        self.limits = {}

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
        `2**(bits - 1) - 1` for integers of some bits, the sign included; 127 at most.

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
        if not 1 <= largest <= 127:
            raise InputError(f"Quantized: largest is {largest!r}; expected 1 to 127")
        self.values, self.scales = map(np.ascontiguousarray, (values, scales))
        self.largest = largest

    dtype = np.dtype(np.float32)  # of the numbers that are meant

    @property
    def shape(self):
        """The shape (R, C)."""
        return self.values.shape

    def __repr__(self):
        return f"Quantized(shape={self.shape}, integers up to {self.largest})"

    def numbers(self):
        """The numbers that are meant, float32 of shape (R, C)."""
        return self.values.astype(np.float32) * self.scales[:, None]
