"""Quantizers with equal steps: `Uniform`, without 0, and `LinearQuant`, multiples of a step."""

import dataclasses
import math

import numpy as np

from bitnet import kernels
from bitnet.arrays import Array
from bitnet.kernels import Codebook
from bitnet.quantizers.quantizer import Quantizer


@dataclasses.dataclass(frozen=True)
class Uniform(Quantizer):
    """Uniform quantizer: 2^k equally spaced values from -max_value to max_value, without 0.

    Forward: `code `c = 2^(k-1) + floor(clip(x / max_value, -1, 1) (2^k - 1) / 2)`, value
    `max_value (2c - (2^k - 1)) / (2^k - 1)`.  Backward: the slope of a hard tanh,
    `1[|x| <= clip_value]`.  One bit is the sign times max_value, equations 1 and 4 of the papers.
    More bits are the uniform quantizer of the second paper (arXiv 1609.07061) in the form of Xu et
    al. (ICLR 2018, equation 1); a clip_value above max_value is their section 4.3.

    Parameters
    ----------
    bits : int
        k, from 1 to 8.
    max_value : float, optional
        The largest value, from 1e-18 to 1e18 (default: 1).
    clip_value : float or None, optional
        Gradients pass where |x| is at most this, from 1e-18 up; inf passes all gradients (default:
        `max_value`).

    Examples
    --------
    >>> quantizer = Uniform(2)
    >>> quantizer.codebook.values()
    array([-1.        , -0.33333334,  0.33333334,  1.        ], dtype=float32)
    >>> quantizer.codes(np.float32([-7.0, -0.1, 0.0, 0.8]))
    array([0, 1, 2, 3], dtype=uint8)
    """

    bits: int
    max_value: float = 1.0
    clip_value: float | None = None

    word = "uniform"

    def __post_init__(self) -> None:
        self._whole("bits", 1, 8)
        self._number("max_value")
        if self.clip_value is None:
            object.__setattr__(self, "clip_value", self.max_value)
        self._number("clip_value", math.inf)

    @property
    def formula(self) -> str:
        """The forward pass in one line."""
        if self.bits == 1 and self.max_value == 1:
            return r"$+1$ where $x\geq0$, otherwise $-1$"
        return r"$b\,(2\lfloor n/2\,\mathrm{clip}(x/b,\pm1)\rfloor+1)/n$, $n=2^k-1$"

    @property
    def name(self) -> str:
        """The word and the settings; for one bit "sign" and the clip_value."""
        if (self.bits, self.max_value) != (1, 1):
            return super().name
        return "sign" if self.clip_value == 1 else "sign:" + super().name.split(":")[-1]

    def _usual(self, field):
        return self.max_value if field.name == "clip_value" else field.default

    def _codebook(self):
        return Codebook.uniform(self.bits, self.max_value / (2**self.bits - 1))

    def codes(self, x: Array) -> Array:
        """Return the codes of floats, uint8 of the same shape."""
        if self.bits == 1:
            return (x >= 0).astype(np.uint8)
        half = (2**self.bits - 1) / 2
        return kernels.step_codes(x, half / self.max_value, -half, half)

    @property
    def edges(self) -> tuple[float, float]:
        """The edges of the hard tanh, -clip_value and clip_value."""
        return -self.clip_value, self.clip_value  # type: ignore[operator, return-value]  # no None


@dataclasses.dataclass(frozen=True)
class LinearQuant(Quantizer):
    """Linear quantizer: integer multiples of a step, `clip(round(x / step), low, high) * step`.

    `low, high` are `-2^(k-1), 2^(k-1) - 1`, or `0, 2^k - 1` unsigned; halves are rounded to the
    even multiple.  Backward: `1[low step <= x <= high step]`.  This is LinearQuant of the second
    paper (arXiv 1609.07061), equation 9; its "bitwidth" is this step, and it does not give the
    range.

    Parameters
    ----------
    bits : int
        k, from 1 (2 if signed) to 8.
    step : float
        The distance between neighbouring values, from 1e-18 to 1e18.
    signed : bool, optional
        Whether there are negative values (default: True).

    Examples
    --------
    >>> LinearQuant(2, 0.5).values(np.float32([-9.0, 0.3, 0.2, 9.0]))
    array([-1. ,  0.5,  0. ,  0.5], dtype=float32)
    """

    bits: int
    step: float
    signed: bool = True

    word = "linear"
    formula = r"$s\cdot\mathrm{clip}(\mathrm{round}(x/s),\ low,\ high)$"

    def __post_init__(self) -> None:
        self._flag("signed")
        why = " for signed values; pass signed=False for 1 bit" if self.signed else ""
        self._whole("bits", 2 if self.signed else 1, 8, why)
        self._number("step")

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest multiple."""
        most = 2**self.bits
        return (-most // 2, most // 2 - 1) if self.signed else (0, most - 1)

    @property
    def edges(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        low, high = self.range
        return low * self.step, high * self.step

    def _codebook(self):
        low, high = self.range
        return Codebook.uniform(self.bits, self.step / 2, offset=low + high)

    def codes(self, x: Array) -> Array:
        """Return the codes of floats, uint8 of the same shape."""
        return kernels.step_codes(x, 1 / self.step, *self.range, nearest=True)


def dorefa_activation(bits: int) -> LinearQuant:
    """Return the activation quantizer of DoReFa-Net: [0, 1] in 2^k - 1 equal steps.

    `round((2^k - 1) clip(x, 0, 1)) / (2^k - 1)`, with the slope `1[0 <= x <= 1]`
    (arXiv 1606.06160).

    Parameters
    ----------
    bits : int
        k, from 1 to 8.

    Returns
    -------
    LinearQuant
        Unsigned, with the step 1 / (2^k - 1).

    Examples
    --------
    >>> dorefa_activation(2).values(np.float32([-1.0, 0.4, 3.0]))
    array([0.        , 0.33333334, 1.        ], dtype=float32)
    """
    bits = Uniform(bits).bits  # refuses an invalid number of bits
    return LinearQuant(bits, 1 / (2**bits - 1), signed=False)
