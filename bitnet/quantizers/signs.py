"""The sign with smooth surrogates; with the hard tanh it is `Uniform(1)`."""

import dataclasses

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels import Codebook
from bitnet.quantizers.quantizer import Quantizer


class _SmoothSign(Quantizer):
    """The sign, with a surrogate of another slope."""

    bits = 1
    formula = r"$+1$ where $x\geq0$, otherwise $-1$"
    smooth = True

    def _codebook(self):
        return Codebook.uniform(1)

    def codes(self, x):
        """uint8 of the shape of the floats x."""
        return (x >= 0).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class ApproxSign(_SmoothSign):
    """The sign; backward the slope of a parabola on each side, `max(0, 2 - 2 |x|)`.

    The surrogate is `t (2 - |t|)` of t = clip(x, -1, 1), the approximation of the sign in
    Bi-Real Net (arXiv 1808.00278).

    Examples
    --------
    >>> ApproxSign().slope(np.float32([0.0, -0.25, 2.0]))
    array([2. , 1.5, 0. ], dtype=float32)
    """

    word = "approx-sign"

    def surrogate(self, x):
        """t (2 - |t|) of t = clip(x, -1, 1)."""
        t = x.clip(-1, 1)
        return t * (2 - abs(t))

    def slope(self, x):
        """max(0, 2 - 2 |x|)."""
        return array_module(x).maximum(2 - 2 * abs(x), 0).astype(x.dtype)


@dataclasses.dataclass(frozen=True)
class SwishSign(_SmoothSign):
    """The sign; backward the slope of `2 s(bx) (1 + bx (1 - s(bx))) - 1`, s the logistic function.

    The slope is `b (2 - bx tanh(bx / 2)) / (1 + cosh(bx))`, below 0 far from 0; SignSwish of BNN+
    (arXiv 1812.11800).  Here `1 / (1 + cosh y) = (1 - tanh(y / 2)^2) / 2`.

    Parameters
    ----------
    beta : float, optional
        b, from 1e-18 to 1e18; 5 by default.

    Examples
    --------
    >>> SwishSign().slope(np.float32([0.0, 1.0])).round(3)
    array([ 5.   , -0.195], dtype=float32)
    """

    beta: float = 5.0

    word = "swish-sign"

    def __post_init__(self):
        self._number("beta")

    def surrogate(self, x):
        """2 s(y) (1 + y (1 - s(y))) - 1 of y = beta x: tanh(y / 2) + y (1 - tanh(y / 2)^2) / 2."""
        y = x.dtype.type(self.beta) * x
        t = array_module(y).tanh(y / 2)
        return t + y * (1 - t * t) / 2

    def slope(self, x):
        """b (2 - bx tanh(bx / 2)) / (1 + cosh(bx))."""
        b = x.dtype.type(self.beta)
        y = (b * x).clip(-60, 60)  # 0 beyond
        t = array_module(y).tanh(y / 2)
        return b * (2 - y * t) * (1 - t * t) / 2
