"""Quantizers that depend on all weights of a layer: `Ternary` and `DoReFa`."""

import dataclasses

import numpy as np

from bitnet.arrays import Array, array_module
from bitnet.kernels import Codebook
from bitnet.quantizers.quantizer import Quantizer
from bitnet.quantizers.steps import Uniform


@dataclasses.dataclass(frozen=True)
class Ternary(Quantizer):
    """Ternary quantizer: -1, 0 or +1, with 0 where `|x| <= threshold * mean |x|`.

    Backward: the slope of the hard tanh, `1[|x| <= 1]`.  These are the weights of ternary weight
    networks (Li et al., arXiv 1605.04711); batch norm absorbs their scale.

    Parameters
    ----------
    threshold : float, optional
        The factor of mean |x|, from 1e-18 to 1e18 (default: 0.7, as in the paper).

    Examples
    --------
    >>> Ternary().values(np.float32([0.9, -0.8, 0.1, -0.2]))
    array([ 1., -1.,  0.,  0.], dtype=float32)
    """

    threshold: float = 0.7

    word = "ternary"
    edges = -1.0, 1.0
    formula = r"$\mathrm{sign}(x)\cdot 1[|x|>t\,\mathrm{mean}|x|]$"
    bits = 2
    elementwise = False

    def __post_init__(self) -> None:
        self._number("threshold")

    def _codebook(self):
        return Codebook([0, 1, 3], [1, 1], 0.5)

    def codes(self, x: Array) -> Array:
        """Return the codes of floats, uint8 of the same shape."""
        edge = x.dtype.type(self.threshold) * abs(x).mean() if x.size else 0
        return (1 + (x > edge).astype(np.int8) - (x < -edge)).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class DoReFa(Quantizer):
    """Weight quantizer of DoReFa-Net (arXiv 1606.06160): `Uniform` of tanh(x) / max |tanh(x)|.

    Backward: the slope of tanh(x) / max |tanh(x)|, with the maximum as a constant.  One bit is the
    sign of x; DoReFa-Net multiplies it by the mean of |x|, which batch norm absorbs.

    Parameters
    ----------
    bits : int
        k, from 1 to 8.

    Examples
    --------
    >>> DoReFa(2).values(np.float32([2.0, 0.3, -0.1, -2.0]))
    array([ 1.        ,  0.33333334, -0.33333334, -1.        ], dtype=float32)
    """

    bits: int

    word = "dorefa"
    formula = r"uniform of $\tanh(x)\,/\,\max|\tanh(x)|$"
    smooth = True
    elementwise = False

    def __post_init__(self) -> None:
        self._whole("bits", 1, 8)

    def _codebook(self):
        return Uniform(self.bits).codebook

    def codes(self, x: Array) -> Array:
        """Return the codes of floats, uint8 of the same shape."""
        if self.bits == 1:
            return (x >= 0).astype(np.uint8)
        return Uniform(self.bits).codes(self.surrogate(x))

    def surrogate(self, x: Array) -> Array:
        """Return tanh(x) / max |tanh(x)|."""
        t = array_module(x).tanh(x)
        return t / _largest(t)

    def slope(self, x: Array) -> Array:
        """Return (1 - tanh(x)^2) / max |tanh(x)|."""
        t = array_module(x).tanh(x)
        return (1 - t * t) / _largest(t)


def _largest(t):
    """Return max |t|, or 1 if all are 0."""
    one = t.dtype.type(1)
    if not t.size:
        return one
    largest = abs(t).max()
    return array_module(t).where(largest == 0, one, largest)
