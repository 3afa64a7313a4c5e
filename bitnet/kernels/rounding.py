"""Numbers to low-bit integers with one scale per row, and to powers of two."""

import dataclasses

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels import reference
from bitnet.kernels.dispatch import check_numbers, kernel


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
        As above; `kernels.round_gradient` has the formulas.
    bits : int
        k, from 2 to 8; for "log" from 2 to 6, which spans a float's range.

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
            expected = f"2 to {most} for {self.kind!r}"
            raise InputError(f"Rounding: bits is {self.bits!r}; expected {expected}")

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
        """What the kernels of integers use: the largest integer, a seed or None, and `odd`."""
        return self.largest, None if rng is None else int(rng.integers(2**63)), self.odd


def round_gradient(x, bits, rng=None):
    """Round numbers to low-bit integers with one scale per row, or to powers of two.

    `values = round(x / scale)` with `scale = max|x| / (2**(bits - 1) - 1)` over the row.  With a
    generator the rounding is stochastic, `floor(x / scale + u)` with u from [0, 1), and its
    expected value is x; without one it is to the nearest integer, ties to even.

    For kind "dorefa" the integers are `2 round((x / scale + n) / 2) - n`, -n to n without the even
    ones, with n = 2**bits - 1 and `scale = max|x| / n`: equation 11 of DoReFa-Net (arXiv
    1606.06160), whose noise is this u - 1/2.

    For kind "log" the numbers are `sign(x) 2^round(log2 |x|)` (AP2 of the papers), always to the
    nearest: the second paper (arXiv 1609.07061, section 4.4) has logarithmic gradients of 6 bits
    and no noise.  It does not say their range; here the largest power is that of the max|x| of
    all x, there are 2**(bits - 1) - 1 powers of each sign, and what is below them, or below
    2^-126, is 0.

    Parameters
    ----------
    x : float32 array of shape (R, C)
    bits : int or Rounding
        From 2 to 8, the sign included; or how to round.
    rng : numpy.random.Generator, optional
        Gives one seed per call; powers of two take none.

    Returns
    -------
    Quantized or, for powers of two, float32 array of shape (R, C)
        In a row that holds NaN or infinity the scale is not finite; powers are all NaN then.

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
        raise InputError(f"round_gradient: got numbers of shape {x.shape}; expected a matrix")
    x = x.astype(np.float32, copy=False)
    if not rule.largest:
        return powers(x, rule, rng)
    return kernel(reference.round_gradient)(x, *rule.numbers(rng))


def powers(x, rule, rng=None):
    """`round_gradient` of kind "log", for float32 of any shape."""
    if rng is not None:
        raise InputError(
            "round_gradient: powers of two are rounded to the nearest; expected no rng"
        )
    return kernel(reference.powers)(x, rule.powers)


def ap2(x):
    """Return the power of two that is nearest on a logarithmic scale, with the sign of x.

    `AP2(x) = sign(x) * 2**round(log2 |x|)`, of shift-based batch norm and AdaMax (Algorithms 2
    and 3 of arXiv 1602.02830, version 2, and of arXiv 1609.07061).  The exponent rises where |x|
    passes sqrt(2) times a power of two, which no float equals, so that there are no ties.  (The
    papers' footnote takes the index of the first bit, which rounds down.)

    Parameters
    ----------
    x : float array of at least one axis

    Returns
    -------
    array of the same shape and type
        Zeros, infinity and NaN stay; subnormal numbers are rounded as the others; what is above
        sqrt(2) times the largest power of two becomes infinite.

    Examples
    --------
    >>> ap2(np.float32([-3.0, 1.4142135, 1.4142137, 0.0]))
    array([-4.,  1.,  2.,  0.], dtype=float32)
    """
    check_numbers("ap2", x, "f", "floats")
    return kernel(reference.ap2)(x)
