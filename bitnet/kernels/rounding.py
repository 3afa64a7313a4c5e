"""Rounding of numbers to low-bit integers with one scale per row, and to powers of two."""

import dataclasses

import numpy as np

from bitnet.arrays import Array
from bitnet.errors import InputError, unfit
from bitnet.kernels import reference
from bitnet.kernels.bits import Quantized
from bitnet.kernels.dispatch import check_numbers, kernel


@dataclasses.dataclass(frozen=True)
class Rounding:
    """A rule that rounds a gradient to k bits before it is multiplied.

    ====== ============================== ======================================================
    kind   numbers                        steps
    int    -n ... n, n = 2^(k-1) - 1      `max|x| / n` of the row; one of the 2^k codes is unused
    dorefa -n, -n + 2, ..., n, n = 2^k-1  `max|x| / n` of the row; all 2^k codes, without 0
    log    0 and ±2^e                     2^(k-1) - 1 powers of two, up to the power of max|x|
    ====== ============================== ======================================================

    Parameters
    ----------
    kind : {"int", "dorefa", "log"}
        See the table above, and `kernels.round_gradient` for the formulas.
    bits : int
        The number of bits k, from 2 to 8; for "log" from 2 to 6, which covers the range of float32.

    Examples
    --------
    >>> Rounding("int", 8).largest, Rounding("dorefa", 8).largest, Rounding("log", 6).powers
    (127, 255, 31)
    """

    kind: str
    bits: int

    def __post_init__(self) -> None:
        if self.kind not in ("int", "dorefa", "log"):
            raise InputError(f"Rounding: kind is {self.kind!r}; expected int, dorefa or log")
        most = 6 if self.kind == "log" else 8
        whole = isinstance(self.bits, (int, np.integer)) and not isinstance(self.bits, bool)
        if not whole or not 2 <= self.bits <= most:
            expected = f"an integer from 2 to {most} for kind {self.kind!r}"
            raise InputError(f"Rounding: bits is {self.bits!r}; expected {expected}")

    @classmethod
    def of(cls, rule: "int | Rounding") -> "Rounding":
        """Return a Rounding unchanged, or the rounding to k-bit integers for an integer k."""
        return rule if isinstance(rule, Rounding) else cls("int", rule)

    @property
    def largest(self) -> int | None:
        """The largest integer; None for powers of two."""
        return {"int": 2 ** (self.bits - 1) - 1, "dorefa": 2**self.bits - 1}.get(self.kind)

    @property
    def powers(self) -> int:
        """The number of powers of two per sign."""
        return 2 ** (self.bits - 1) - 1

    @property
    def odd(self) -> bool:
        """Whether only every other integer from -n to n is used."""
        return self.kind == "dorefa"

    def numbers(self, rng: np.random.Generator | None) -> tuple[int | None, int | None, bool]:
        """Return the arguments of the integer kernels: the largest integer, a seed, and `odd`."""
        return self.largest, None if rng is None else int(rng.integers(2**63)), self.odd


def round_gradient(
    x: Array, bits: int | Rounding, rng: np.random.Generator | None = None
) -> Quantized | Array:
    """Round numbers to low-bit integers with one scale per row, or to powers of two.

    `values = round(x / scale)` with `scale = max|x| / (2**(bits - 1) - 1)` over the row.  With a
    generator the rounding is stochastic, `floor(x / scale + u)` with u from [0, 1), and its
    expected value is x.  Without one, x is rounded to the nearest integer, ties to even.

    For kind "dorefa" the integers are `2 round((x / scale + n) / 2) - n`, from -n to n in steps of
    2, with n = 2**bits - 1 and `scale = max|x| / n`.  This is equation 11 of DoReFa-Net (arXiv
    1606.06160), whose noise is this u - 1/2.

    For kind "log" the numbers are `sign(x) 2^round(log2 |x|)` (AP2 of the papers), always rounded
    to the nearest: the second paper (arXiv 1609.07061, section 4.4) uses 6-bit logarithmic
    gradients without noise.  The paper does not define their range.  Here the largest power is
    that of max|x| over all of x, there are 2**(bits - 1) - 1 powers per sign, and numbers below
    the smallest power, or below 2^-126, become 0.

    Parameters
    ----------
    x : float32 array of shape (R, C)
        The numbers.
    bits : int or Rounding
        The number of bits from 2 to 8, including the sign; or the rule.
    rng : numpy.random.Generator, optional
        The generator of stochastic rounding, which draws one seed per call; not for "log".

    Returns
    -------
    Quantized or, for powers of two, float32 array of shape (R, C)
        The scale of a row with NaN or infinity is not finite; powers are then all NaN.

    Examples
    --------
    >>> round_gradient(np.float32([[0.5, -1.0, 0.1]]), 4).values
    array([[ 4, -7,  1]], dtype=int16)
    >>> round_gradient(np.float32([[0.5, -1.0, 0.1]]), Rounding("dorefa", 2)).values
    array([[ 1, -3,  1]], dtype=int16)
    >>> round_gradient(np.float32([[0.5, -0.8, 0.1]]), Rounding("log", 3))
    array([[ 0.5, -1. ,  0. ]], dtype=float32)
    """
    check_numbers("round_gradient", x, "f", "floats")
    rule = Rounding.of(bits)
    if x.ndim != 2:
        raise unfit("round_gradient", "a matrix (R, C)", x)
    x = x.astype(np.float32, copy=False)
    if not rule.largest:
        return powers(x, rule, rng)
    return kernel(reference.round_gradient)(x, *rule.numbers(rng))


def powers(x, rule, rng=None):
    """Compute `round_gradient` of kind "log" for float32 arrays of any shape."""
    if rng is not None:
        raise InputError(
            'round_gradient: rng is given with kind "log", which rounds to the nearest power; '
            "expected no rng; remove it"
        )
    return kernel(reference.powers)(x, rule.powers)


def ap2(x: Array) -> Array:
    """Return the power of two that is nearest on a logarithmic scale, with the sign of x.

    `AP2(x) = sign(x) * 2**round(log2 |x|)` is part of shift-based batch norm and AdaMax
    (Algorithms 2 and 3 of arXiv 1602.02830, version 2, and of arXiv 1609.07061).  The exponent
    changes at sqrt(2) times a power of two, which no float equals, so there are no ties.  (The
    papers' footnote uses the index of the first bit, which rounds down.)

    Parameters
    ----------
    x : float array with at least one axis
        The numbers.

    Returns
    -------
    array of the same shape and type
        Zeros, infinity and NaN are unchanged, and subnormal numbers are rounded like all others.
        Numbers above sqrt(2) times the largest power of two become infinite.

    Examples
    --------
    >>> ap2(np.float32([-3.0, 1.4142135, 1.4142137, 0.0]))
    array([-4.,  1.,  2.,  0.], dtype=float32)
    """
    check_numbers("ap2", x, "f", "floats")
    return kernel(reference.ap2)(x)
