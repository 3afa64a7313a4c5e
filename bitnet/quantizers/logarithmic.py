"""The quantizer to powers of two, whose products are shifts."""

import dataclasses
import math

from bitnet import kernels
from bitnet.arrays import Array
from bitnet.kernels import Codebook
from bitnet.quantizers.quantizer import Quantizer


@dataclasses.dataclass(frozen=True)
class LogQuant(Quantizer):
    """Power-of-two quantizer: powers of two, signed or unsigned, and 0.

    Forward: `sign(x) 2^e` with `e = min(round(log2 |x|), largest)`; the edge between 2^e and
    2^(e+1) is sqrt(2) 2^e (AP2 of the papers).  Values below the edge of the smallest power, and
    negative values without a sign, become 0.  There are `2^(k-1) - 1` powers of each sign, or
    `2^k - 1` unsigned ones.  Backward: `1[|x| <= 2^largest]`, unsigned `1[0 <= x <= 2^largest]`.
    This is LogQuant of the second paper (arXiv 1609.07061), equation 10.  The paper does not give
    its range; here the exponent of the largest power sets it, as in Miyashita et al. (arXiv
    1603.01025).

    Parameters
    ----------
    bits : int
        k, from 2 to 5, or from 1 to 4 unsigned.
    largest : int, optional
        The exponent of the largest power, from -60 to 60 (default: 0).
    signed : bool, optional
        Whether there are negative values (default: True).

    Examples
    --------
    >>> import numpy as np
    >>> LogQuant(3).codebook.values()
    array([-1.  , -0.5 , -0.25,  0.  ,  0.25,  0.5 ,  1.  ], dtype=float32)
    >>> LogQuant(3).values(np.float32([0.7, 0.71, -0.1, 5.0]))
    array([0.5, 1. , 0. , 1. ], dtype=float32)
    """

    bits: int
    largest: int = 0
    signed: bool = True

    word = "log"
    formula = r"$\mathrm{sign}(x)\,2^{\min(\mathrm{round}(\log_2|x|),\ largest)}$, or 0"

    def __post_init__(self):
        self._flag("signed")
        least, most = (2, 5) if self.signed else (1, 4)
        sign = "with" if self.signed else "without"
        why = f" {sign} a sign; 15 powers of two already need integers up to 2^16"
        self._whole("bits", least, most, why)
        self._whole("largest", -60, 60)

    @property
    def powers(self) -> int:
        """The number of powers of two of each sign."""
        return 2 ** (self.bits - self.signed) - 1

    def _codebook(self):
        # two bit planes with coefficient 2^e / 2 add up to 2^e or -2^e if they agree, else to 0
        n = self.powers
        coefficients = [1 << e for e in range(n) for _ in range(2)]
        zeros = sum(1 << (2 * e) for e in range(n))  # +1 and -1 in each pair
        up = [zeros | 2 << (2 * e) for e in range(n)]
        down = [zeros & ~(1 << (2 * e)) for e in range(n)]
        patterns = [*(reversed(down) if self.signed else ()), zeros, *up]
        return Codebook(patterns, coefficients, 2.0 ** (self.largest - n))

    def codes(self, x: Array) -> Array:
        """Return the codes of floats, uint8 of the same shape."""
        exponents = range(self.largest - self.powers + 1, self.largest + 1)
        edges = [math.ldexp(math.sqrt(0.5), e) for e in exponents]
        return kernels.edge_codes(x, edges, self.signed)

    @property
    def edges(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        most = 2.0**self.largest
        return (-most if self.signed else 0.0), most
