"""Weights of a frozen language model: codes of a few bits, packed, with a scale."""

import dataclasses
import functools

import numpy as np

from bitnet import kernels
from bitnet.arrays import like
from bitnet.errors import InputError
from bitnet.kernels import Bits, Levels, Planes
from bitnet.quantizers import quantizer_named

__all__ = ["FrozenMatrix"]

LEAST, MOST = 1e-18, 1e18  # of a scale
LARGEST_SUM = np.iinfo(np.int32).max


@dataclasses.dataclass(frozen=True)
class FrozenMatrix:
    """Weights of a few bits with a scale: `scale * levels[codes]`.

    Attributes
    ----------
    bits : Bits
        The codes, bit j of each in plane j: shape (k, M, N).
    quantizer : str
        The name of the quantizer whose levels the codes mean.
    scale : float
        Above 0.

    Examples
    --------
    >>> codes = np.array([[0, 3, 2]], np.uint8)
    >>> matrix = FrozenMatrix.of_codes(codes, "uniform:2", 0.5)
    >>> matrix.weight.values()
    array([[-0.5       ,  0.5       ,  0.16666667]], dtype=float32)
    """

    bits: Bits
    quantizer: str
    scale: float

    def __post_init__(self):
        number = isinstance(self.scale, float) and LEAST <= self.scale <= MOST
        levels = quantizer_named(self.quantizer).levels
        if not number or self.bits.ndim != 3 or self.bits.shape[0] != levels.bits:
            raise InputError(
                f"weights of {self.quantizer} in planes of shape {self.bits.shape} with the scale "
                f"{self.scale!r}; expected ({levels.bits}, M, N) and a number above 0"
            )

    @classmethod
    def of_codes(cls, codes, quantizer, scale):
        """From codes, uint8 of shape (M, N)."""
        levels = quantizer_named(quantizer).levels
        return cls(Levels.uniform(levels.bits).planes(codes).bits, quantizer, float(scale))

    @functools.cached_property
    def weight(self):
        """The Planes that products take, with the scale in their unit, laid out."""
        levels, uniform = quantizer_named(self.quantizer).levels, Levels.uniform(len(self.bits))
        codes = uniform.codes(Planes(self.bits, uniform.coefficients))
        planes = levels.planes(like(codes, self.bits))
        planes.unit *= self.scale
        return kernels.prepare(planes)

    @property
    def shape(self):
        """(M, N)."""
        return self.bits.shape[1:]

    def reach(self, levels, scale=1.0):
        """What no product with numbers of these levels passes; refused if integers pass int32."""
        own = quantizer_named(self.quantizer).levels
        largest = self.shape[1] * own.largest * levels.largest
        if largest > LARGEST_SUM:
            raise InputError(
                f"a product of {self.shape[1]} inputs of {levels!r} with {self.quantizer} passes "
                "int32; expected fewer inputs, or numbers of fewer bits"
            )
        return largest * own.unit * self.scale * levels.unit * scale
