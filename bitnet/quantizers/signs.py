"""The sign with smooth surrogates; with the hard tanh it is `Uniform(1)`."""

import dataclasses

import numpy as np

from bitnet.arrays import Array, array_module
from bitnet.kernels import Codebook
from bitnet.quantizers.quantizer import Quantizer


class _SmoothSign(Quantizer):
    """The sign with a smooth surrogate."""

    bits = 1
    formula = r"$+1$ where $x\geq0$, otherwise $-1$"
    smooth = True

    def _codebook(self):
        return Codebook.uniform(1)

    def codes(self, x: Array) -> Array:
        """Return the codes of floats, uint8 of the same shape."""
        return (x >= 0).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class ApproxSign(_SmoothSign):
    """The sign with the triangular slope of Bi-Real Net, `max(0, 2 - 2 |x|)`.

    The surrogate is `t (2 - |t|)` with t = clip(x, -1, 1), two halves of a parabola
    (arXiv 1808.00278).

    Examples
    --------
    >>> ApproxSign().slope(np.float32([0.0, -0.25, 2.0]))
    array([2. , 1.5, 0. ], dtype=float32)
    """

    word = "approx-sign"

    def surrogate(self, x: Array) -> Array:
        """Return t (2 - |t|) with t = clip(x, -1, 1)."""
        t = x.clip(-1, 1)
        return t * (2 - abs(t))

    def slope(self, x: Array) -> Array:
        """Return max(0, 2 - 2 |x|)."""
        return array_module(x).maximum(2 - 2 * abs(x), 0).astype(x.dtype)


@dataclasses.dataclass(frozen=True)
class SwishSign(_SmoothSign):
    """The sign with the surrogate SignSwish of BNN+ (arXiv 1812.11800).

    The surrogate is `2 s(bx) (1 + bx (1 - s(bx))) - 1` with the logistic function s.  Its slope is
    `b (2 - bx tanh(bx / 2)) / (1 + cosh(bx))`, which is negative far from 0.  The code uses
    `1 / (1 + cosh y) = 2 e / (1 + e)^2` and `|tanh(y / 2)| = (1 - e) / (1 + e)` with e = exp(-|y|),
    which keep their digits far from 0.

    Parameters
    ----------
    beta : float, optional
        b, from 1e-18 to 1e18 (default: 5).

    Examples
    --------
    >>> SwishSign().slope(np.float32([0.0, 1.0])).round(3)
    array([ 5.   , -0.195], dtype=float32)
    """

    beta: float = 5.0

    word = "swish-sign"

    def __post_init__(self) -> None:
        self._number("beta")

    def surrogate(self, x: Array) -> Array:
        """Return tanh(y / 2) + y / (1 + cosh y) with y = beta x."""
        y, e = self._parts(x)
        return array_module(y).tanh(y / 2) + y * (2 * e / ((1 + e) * (1 + e)))

    def slope(self, x: Array) -> Array:
        """Return b (2 - bx tanh(bx / 2)) / (1 + cosh(bx))."""
        y, e = self._parts(x)
        bend = 2 - abs(y) * ((1 - e) / (1 + e))
        return x.dtype.type(self.beta) * bend * (2 * e / ((1 + e) * (1 + e)))

    def _parts(self, x):
        """Return y = beta x, and exp(-|y|)."""
        with np.errstate(over="ignore"):
            y = (x.dtype.type(self.beta) * x).clip(-800, 800)  # exp(-800) is 0
        return y, array_module(y).exp(-abs(y))
