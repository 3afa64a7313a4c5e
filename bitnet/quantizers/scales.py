"""The scale of a matrix: what latent weights are divided by before a quantizer, where no batch
norm follows that would take up their size."""

import functools
import math
import statistics

import numpy as np

from bitnet.arrays import array_module
from bitnet.errors import InputError

NUMBERS = 1 << 14  # at equal probabilities of the normal distribution
LEAST, MOST, STEPS = 0.25, 16.0, 24  # largest numbers that are tried, and how many an octave


@functools.lru_cache(maxsize=64)
def normal_scale(quantizer):
    """The scale s at which `s q(n / s)` is nearest to normal numbers n of variance 1.

    It makes the mean of `(s q(n / s) - n)^2` smallest over a grid of s, about 3 % apart.  For
    `Uniform` the largest number `s bound` comes out at 0.8, 1.5, 2.1 and 2.5 standard deviations
    for 1, 2, 3 and 4 bits: few bits give up the tails for a smaller step.
    """
    normal = statistics.NormalDist()
    n = np.array([normal.inv_cdf((i + 0.5) / NUMBERS) for i in range(NUMBERS)])
    largest = float(abs(quantizer.levels.values(np.float64)).max())
    count = round(STEPS * math.log2(MOST / LEAST)) + 1
    scales = np.geomspace(LEAST, MOST, count) / largest
    errors = [np.mean((s * quantizer.values(n / s) - n) ** 2) for s in scales]
    return float(scales[np.argmin(errors)])


def scale_of(x, quantizer):
    """What to divide the numbers of a matrix by: `normal_scale(quantizer)` times their rms.

    The second paper (arXiv 1609.07061) says nothing of the scale of a recurrent layer's weights.
    The root of the mean square moves slowly in training, which the largest number, a choice for
    many bits, does not.
    """
    squares = float(array_module(x).einsum("ij,ij->i", x, x).sum(dtype=np.float64))
    if not math.isfinite(squares):
        raise InputError(
            "the weights hold NaN, infinity or numbers whose squares pass the range of floats; "
            "lower the learning rate, or clip the gradients"
        )
    return normal_scale(quantizer) * (math.sqrt(squares / x.size) if squares else 1.0)
