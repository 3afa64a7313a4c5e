"""Quantizers: numbers as codes of a few bits, and what the backward pass pretends.

Each has the codes of the forward pass above the slope of its surrogate, the function whose
derivative takes the place of the quantizer's own, which is 0 almost everywhere (the
straight-through estimator).  Codes rise with the numbers; `levels` says what they stand for.

    Uniform       2^k numbers from -bound to bound, without 0; of one bit it is the sign
    Linear        whole multiples of a step, signed or not
    Logarithmic   powers of two and 0
    Ternary       -1, 0, +1
    DoReFa        weights through tanh; its activations are Linear, from 0 to 1
    ApproxSign, SwishSign    the sign with other surrogates
"""

import dataclasses
import functools
import math

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels import Levels

__all__ = [
    "ApproxSign",
    "DoReFa",
    "Linear",
    "Logarithmic",
    "Quantizer",
    "SwishSign",
    "Ternary",
    "Uniform",
    "dorefa_activation",
]


def check_bits(name, bits, least=1):
    """Refuse a number of bits that no quantizer has."""
    if not isinstance(bits, (int, np.integer)) or isinstance(bits, bool) or not least <= bits <= 8:
        raise InputError(f"{name}: bits is {bits!r}; expected a whole number from {least} to 8")


def check_positive(name, **values):
    """Refuse what is not a finite number above 0."""
    for key, value in values.items():
        real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not real or not 0 < value < math.inf:
            raise InputError(f"{name}: {key} is {value!r}; expected a number above 0")


def quantizer_of(name, value):
    """A quantizer itself, or `Uniform` of a number of bits."""
    if isinstance(value, Quantizer):
        return value
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 1 <= value <= 8:
        return Uniform(int(value))
    raise InputError(f"{name}: got {value!r}; expected bits from 1 to 8, or a quantizer")


class Quantizer:
    """What quantizers share: values from codes, and the slope 0 or 1 of a window."""

    smooth = False  # whether the slope of the surrogate has other values than 0 and 1

    @functools.cached_property
    def levels(self):
        """What the codes stand for, a `kernels.Levels`."""
        return self._levels()

    @property
    def bits(self):
        """The bits of a code."""
        return self.levels.bits

    def values(self, x):
        """The numbers that `x` becomes, floats of its shape and type."""
        return self.levels.values(x.dtype)[self.codes(x)]

    def slope(self, x):
        """What the gradient is multiplied with: 1 where it passes, otherwise 0."""
        return self.passes(x).astype(x.dtype)


@dataclasses.dataclass(frozen=True)
class Uniform(Quantizer):
    """2^k numbers at equal distances from -bound to bound, both included, without 0.

    Forward: `c = floor((2^k - 1) (clip(x / bound, -1, 1) + 1) / 2 + 1/2)` stands for
    `bound (2c - (2^k - 1)) / (2^k - 1)`.  Backward: the slope of the hard tanh,
    `1[|x| <= window]`.  One bit gives +bound where x >= 0, otherwise -bound: equations 1 and 4 of
    the papers.  More bits are the uniform quantizer of the second paper as Xu et al. (ICLR 2018,
    equation 1) read it.

    Parameters
    ----------
    bits_of_code : int
        k, from 1 to 8.
    bound : float, optional
        The largest number, above 0; 1 by default.
    window : float or None, optional
        Where gradients pass; `bound` by default, and inf lets all pass.

    Examples
    --------
    >>> quantizer = Uniform(2)
    >>> quantizer.levels.values()
    array([-1.        , -0.33333334,  0.33333334,  1.        ], dtype=float32)
    >>> quantizer.codes(np.float32([-7.0, -0.1, 0.0, 0.8]))
    array([0, 1, 2, 3], dtype=uint8)
    """

    bits_of_code: int
    bound: float = 1.0
    window: float | None = None

    def __post_init__(self):
        check_bits("Uniform", self.bits_of_code)
        check_positive("Uniform", bound=self.bound)
        if self.window is None:
            object.__setattr__(self, "window", self.bound)
        if not self.window > 0:
            raise InputError(f"Uniform: window is {self.window!r}; expected a number above 0")

    def _levels(self):
        return Levels.uniform(self.bits_of_code, self.bound / (2**self.bits_of_code - 1))

    def codes(self, x):
        """uint8 of the shape of the floats x."""
        half, most = x.dtype.type(0.5), x.dtype.type(2**self.bits_of_code - 1)
        if self.bits_of_code == 1:
            return (x >= 0).astype(np.uint8)
        inside = np.clip(x / x.dtype.type(self.bound), -1, 1)
        return np.floor(most * ((inside + 1) * half) + half).astype(np.uint8)

    def passes(self, x):
        """Where gradients pass: |x| <= window."""
        return abs(x) <= x.dtype.type(self.window)


@dataclasses.dataclass(frozen=True)
class Linear(Quantizer):
    """Whole multiples of a step: `clip(round(x / step), low, high) * step`.

    `low, high` are `-2^(k-1), 2^(k-1) - 1`, or `0, 2^k - 1` without a sign; halves are rounded
    to the even multiple.  Backward: `1[low step <= x <= high step]`.  LinearQuant of the second
    paper, equation 9, whose "bitwidth" is this step.

    Parameters
    ----------
    bits_of_code : int
        k, from 1 (2 with a sign) to 8.
    step : float
        The distance of two numbers, above 0.
    signed : bool, optional
        Whether there are negative numbers; True by default.

    Examples
    --------
    >>> Linear(2, 0.5).values(np.float32([-9.0, 0.3, 0.2, 9.0]))
    array([-1. ,  0.5,  0. ,  0.5], dtype=float32)
    """

    bits_of_code: int
    step: float
    signed: bool = True

    def __post_init__(self):
        check_bits("Linear", self.bits_of_code, 2 if self.signed else 1)
        check_positive("Linear", step=self.step)

    @property
    def range(self):
        """The smallest and the largest multiple."""
        most = 2**self.bits_of_code
        return (-most // 2, most // 2 - 1) if self.signed else (0, most - 1)

    def _levels(self):
        low, high = self.range
        return Levels.uniform(self.bits_of_code, self.step / 2, offset=low + high)

    def codes(self, x):
        """uint8 of the shape of the floats x."""
        low, high = self.range
        return (np.clip(np.rint(x / x.dtype.type(self.step)), low, high) - low).astype(np.uint8)

    def passes(self, x):
        """Where gradients pass: inside the range."""
        low, high = (x.dtype.type(n * self.step) for n in self.range)
        return (low <= x) & (x <= high)


@dataclasses.dataclass(frozen=True)
class Logarithmic(Quantizer):
    """Powers of two, with a sign or without, and 0.

    Forward: `sign(x) 2^e` with `e = clip(round(log2 |x|), ..., largest)`: |x| is rounded to the
    nearest power of two in the exponent, so that the edge between 2^e and 2^(e+1) is
    sqrt(2) 2^e (AP2 of the papers); below the edge under the smallest power it is 0.  There are
    `2^(k-1) - 1` powers of each sign, or `2^k - 1` without one.  Backward: `1[|x| <= 2^largest]`
    (`0 <= x` too without a sign).  LogQuant of the second paper, equation 10, with the range
    of Miyashita et al., arXiv 1603.01025.

    Parameters
    ----------
    bits_of_code : int
        k, from 2 to 4, or to 3 without a sign.
    largest : int, optional
        The exponent of the largest power; 0 by default.
    signed : bool, optional
        Whether there are negative numbers; True by default.

    Examples
    --------
    >>> Logarithmic(3).levels.values()
    array([-1.  , -0.5 , -0.25,  0.  ,  0.25,  0.5 ,  1.  ], dtype=float32)
    >>> Logarithmic(3).values(np.float32([0.7, 0.71, -0.1, 5.0]))
    array([0.5, 1. , 0. , 1. ], dtype=float32)
    """

    bits_of_code: int
    largest: int = 0
    signed: bool = True

    def __post_init__(self):
        least, most = (2, 4) if self.signed else (1, 3)
        if not isinstance(self.bits_of_code, int) or not least <= self.bits_of_code <= most:
            raise InputError(
                f"Logarithmic: bits is {self.bits_of_code!r}; expected {least} to {most} "
                f"{'with' if self.signed else 'without'} a sign, as integers of 2^16 or less"
            )
        if not isinstance(self.largest, int) or abs(self.largest) > 60:
            raise InputError(f"Logarithmic: largest is {self.largest!r}; expected -60 to 60")

    @property
    def powers(self):
        """How many powers of two there are of each sign."""
        return 2 ** (self.bits_of_code - self.signed) - 1

    def _levels(self):
        # the sum of two planes of 2^e / 2 is 2^e, 0 or -2^e: signs that agree, or do not
        n, coefficients = self.powers, []
        coefficients = [1 << e for e in range(self.powers) for _ in range(2)]
        zeros = sum(1 << (2 * e) for e in range(n))  # in each pair +1 and -1
        up = [zeros | 2 << (2 * e) for e in range(n)]
        down = [zeros & ~(1 << (2 * e)) for e in range(n)]
        patterns = [*(reversed(down) if self.signed else ()), zeros, *up]
        return Levels(patterns, coefficients, 2.0 ** (self.largest - n))

    def codes(self, x):
        """uint8 of the shape of the floats x."""
        low = self.largest - self.powers + 1
        edges = [math.sqrt(0.5) * 2.0**e for e in range(low, self.largest + 1)]
        found = np.searchsorted(np.array(edges, x.dtype), abs(x), side="right")
        found = np.where(np.isnan(x), 0, found)
        if self.signed:
            return (self.powers + np.where(x < 0, -found, found)).astype(np.uint8)
        return np.where(x > 0, found, 0).astype(np.uint8)

    def passes(self, x):
        """Where gradients pass: inside the range."""
        inside = abs(x) <= x.dtype.type(2.0**self.largest)
        return inside if self.signed else inside & (x >= 0)


@dataclasses.dataclass(frozen=True)
class Ternary(Quantizer):
    """-1, 0 or +1: 0 where `|x| <= threshold * mean |x|`.

    Backward: the slope of the hard tanh, `1[|x| <= 1]`.  The weights of ternary weight networks
    (Li et al., arXiv 1605.04711), whose scale a batch norm behind them takes up.

    Parameters
    ----------
    threshold : float, optional
        0.7, as there.

    Examples
    --------
    >>> Ternary().values(np.float32([0.9, -0.8, 0.1, -0.2]))
    array([ 1., -1.,  0.,  0.], dtype=float32)
    """

    threshold: float = 0.7

    def __post_init__(self):
        check_positive("Ternary", threshold=self.threshold)

    def _levels(self):
        return Levels([0, 1, 3], [1, 1], 0.5)

    def codes(self, x):
        """uint8 of the shape of the floats x."""
        edge = x.dtype.type(self.threshold) * abs(x).mean() if x.size else 0
        return (1 + (x > edge).astype(np.int8) - (x < -edge)).astype(np.uint8)

    def passes(self, x):
        """Where gradients pass: |x| <= 1."""
        return abs(x) <= 1


@dataclasses.dataclass(frozen=True)
class DoReFa(Quantizer):
    """The weights of DoReFa-Net (arXiv 1606.06160): `Uniform` of tanh(x) / max |tanh(x)|.

    Backward: the slope of tanh(x) / max |tanh(x)|, with the maximum as a constant.

    Parameters
    ----------
    bits_of_code : int
        k, from 1 to 8.

    Examples
    --------
    >>> DoReFa(2).values(np.float32([2.0, 0.3, -0.1, -2.0]))
    array([ 1.        ,  0.33333334, -0.33333334, -1.        ], dtype=float32)
    """

    bits_of_code: int

    smooth = True

    def __post_init__(self):
        check_bits("DoReFa", self.bits_of_code)

    def _levels(self):
        return Levels.uniform(self.bits_of_code, 1 / (2**self.bits_of_code - 1))

    def codes(self, x):
        """uint8 of the shape of the floats x."""
        t = np.tanh(x)
        return Uniform(self.bits_of_code).codes(t / _largest(t))

    def slope(self, x):
        """(1 - tanh(x)^2) / max |tanh(x)|."""
        t = np.tanh(x)
        return (1 - t * t) / _largest(t)


def _largest(t):
    """max |t|, or 1 where all are 0."""
    return abs(t).max(initial=0) or t.dtype.type(1)


def dorefa_activation(bits):
    """The activations of DoReFa-Net: x clipped to [0, 1], in 2^k - 1 equal steps.

    Parameters
    ----------
    bits : int
        k, from 1 to 8.

    Returns
    -------
    Linear
        Without a sign, with the step 1 / (2^k - 1).

    Raises
    ------
    InputError
        If `bits` is out of its range.

    Examples
    --------
    >>> dorefa_activation(2).values(np.float32([-1.0, 0.4, 3.0]))
    array([0.        , 0.33333334, 1.        ], dtype=float32)
    """
    check_bits("dorefa_activation", bits)
    return Linear(bits, 1 / (2**bits - 1), signed=False)


class _SignWith(Quantizer):
    """The sign, with a surrogate of another slope."""

    smooth = True

    def _levels(self):
        return Levels.uniform(1)

    def codes(self, x):
        """uint8 of the shape of the floats x."""
        return (x >= 0).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class ApproxSign(_SignWith):
    """The sign; backward the slope of a parabola on each side, `max(0, 2 - 2 |x|)`.

    The approximation of the sign in Bi-Real Net (arXiv 1808.00278).

    Examples
    --------
    >>> ApproxSign().slope(np.float32([0.0, -0.25, 2.0]))
    array([2. , 1.5, 0. ], dtype=float32)
    """

    def slope(self, x):
        """max(0, 2 - 2 |x|)."""
        return np.maximum(2 - 2 * abs(x), 0).astype(x.dtype)


@dataclasses.dataclass(frozen=True)
class SwishSign(_SignWith):
    """The sign; backward the slope of `2 s(bx) (1 + bx (1 - s(bx))) - 1`, s the logistic function.

    The slope is `b (2 - bx tanh(bx / 2)) / (1 + cosh(bx))`, below 0 far from 0; SignSwish of BNN+
    (arXiv 1812.11800).

    Parameters
    ----------
    beta : float, optional
        b, 5 by default.

    Examples
    --------
    >>> SwishSign().slope(np.float32([0.0, 1.0])).round(3)
    array([ 5.   , -0.195], dtype=float32)
    """

    beta: float = 5.0

    def __post_init__(self):
        check_positive("SwishSign", beta=self.beta)

    def slope(self, x):
        """b (2 - bx tanh(bx / 2)) / (1 + cosh(bx))."""
        b = x.dtype.type(self.beta)
        y = np.clip(b * x, -60, 60)  # cosh passes float32 beyond
        return b * (2 - y * np.tanh(y / 2)) / (1 + np.cosh(y))
