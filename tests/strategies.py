"""Strategies of the property tests: sizes around the word edge, and numbers with edge cases."""

import numpy as np
from hypothesis import strategies as st

from bitnet.nn import BatchNorm

WIDTHS = (0, 1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 129)
ROWS = (0, 1, 2, 3, 5)

SMALLEST = float(np.float32(2**-149))  # the smallest subnormal float32
ABOVE_ONE = float(np.nextafter(np.float32(1), np.float32(2)))
BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))
EDGES = (0.0, -0.0, SMALLEST, -SMALLEST, 1.0, -1.0, ABOVE_ONE, -ABOVE_ONE, BELOW_ONE, -BELOW_ONE)

widths = st.sampled_from(WIDTHS)
some_widths = st.sampled_from(WIDTHS[1:])
rows = st.sampled_from(ROWS)
seeds = st.integers(0, 2**32 - 1)
# all but the first use Numba; emulated tiles at the level of this processor
implementations = ("reference", "emulated tiles", "amx", "avx512", "avx2", "portable")


def numbers(seed, shape, dtype=np.float32):
    """Return random numbers, a third of them from the table of edge cases."""
    rng = np.random.default_rng(seed)
    x = 2 * rng.standard_normal(shape)
    return np.where(rng.random(shape) < 1 / 3, rng.choice(EDGES, shape), x).astype(dtype)


def signs(seed, shape):
    """Return random +1.0 and -1.0."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], shape)


def disturb(model, seed):
    """Give batch norms gammas of both signs and 0, and exact ties; return the model."""
    rng = np.random.default_rng(seed)
    for norm in (layer for layer in model.modules() if isinstance(layer, BatchNorm)):
        n = norm.num_features
        norm.gamma.data[:] = rng.choice([-2.0, -1.0, -SMALLEST, 0.0, SMALLEST, 1.0, 0.3], n)
        norm.beta.data[:] = rng.choice([-1.0, -0.0, 0.0, 0.5, 3.0], n)
        norm.running_mean[:] = rng.integers(-4, 5, n) / 2
        norm.running_inv_std[:] = rng.choice([1.0, 0.25, 0.1, 100.0], n)
    return model
