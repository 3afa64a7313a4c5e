"""The scale of a weight matrix: the divisor before a quantizer if no batch norm follows it."""

import functools
import math
import statistics

import numpy as np

from bitnet.arrays import array_module
from bitnet.errors import InputError

NUMBERS = 1 << 14  # quantiles of the normal distribution
LEAST, MOST, STEPS = 0.25, 16.0, 24  # range of tested scales, and tests per factor of 2


@functools.lru_cache(maxsize=64)
def normal_scale(quantizer):
    """Return the scale s that minimizes the mean squared error of `s q(n / s)`, n standard normal.

    For `Uniform` the largest value `s max_value` is 0.8, 1.5, 2.1 and 2.5 for 1, 2, 3 and 4 bits.
    """
    normal = statistics.NormalDist()
    n = np.array([normal.inv_cdf((i + 0.5) / NUMBERS) for i in range(NUMBERS)])
    largest = float(abs(quantizer.codebook.values(np.float64)).max())
    count = round(STEPS * math.log2(MOST / LEAST)) + 1
    scales = np.geomspace(LEAST, MOST, count) / largest
    errors = [np.mean((s * quantizer.values(n / s) - n) ** 2) for s in scales]
    return float(scales[np.argmin(errors)])


def scale_of(x, quantizer):
    """Return the divisor of a matrix (M, N): `normal_scale(quantizer)` times its rms.

    The second paper does not state a scale.  The rms changes slowly in training, unlike the
    maximum.
    """
    squares = float(array_module(x).einsum("ij,ij->i", x, x).sum(dtype=np.float64))
    if not math.isfinite(squares):
        raise InputError(
            "the weights contain NaN, infinity or values whose squares overflow; expected finite "
            "weights; lower the learning rate, or clip the gradients"
        )
    return normal_scale(quantizer) * (math.sqrt(squares / x.size) if squares else 1.0)
