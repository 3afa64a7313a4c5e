"""Quantized gradients on a GPU, compared with the definitions bit for bit."""

import numpy as np
import pytest
from same_numbers import same

from bitnet.kernels import reference

# integers wrap around
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(3, 70), (5, 300), (40, 1), (0, 3), (3, 0)])
@pytest.mark.parametrize("seed", [None, 2**63 - 1])
@pytest.mark.parametrize(("largest", "odd"), [(1, False), (127, False), (3, True), (255, True)])
def test_quantize(gpu_kernels, one_warp, shape, seed, largest, odd):
    x = RNG.standard_normal(shape, np.float32)
    for own in (x, x.T[:70]):
        found, expected = (
            k.round_gradient(own, largest, seed, odd) for k in (gpu_kernels, reference)
        )
        assert same((found.values, found.scales), (expected.values, expected.scales))
        assert found.largest == largest


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("odd", [False, True])
def test_rows_of_zeros_ties_and_what_is_not_finite(gpu_kernels, one_warp, seed, odd):
    rows = [[0, -0.0, 0, 0], [7, 0.5, 1.5, -2.5], [np.inf, 1, -1, 0], [np.nan, 1, -1, 0]]
    rows += [[1e-45, -1e-45, 0, 0], [1e-39, 5e-40, -2e-39, 0]]
    rows += [[3e38, -1e38, 1, 0], [-7, -6.5, 6.5, 3.5]]
    x = np.array(rows, np.float32)
    found, expected = (k.round_gradient(x, 7, seed, odd) for k in (gpu_kernels, reference))
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.scales, expected.scales, equal_nan=True)


@pytest.mark.parametrize("seed", [0x61C8864680B583EB, 0x31628AF67B2131AB])
def test_the_least_and_the_largest_chance(gpu_kernels, one_warp, seed):
    """Test seeds whose first number is 0 or 1 - 2^-24, for rows of one number."""
    first = reference.uniform(seed, (1,))
    assert first in (0, np.float32(1 - 2**-24))
    x = RNG.random(200, np.float32) + np.float32(0.5)
    passing = x * (np.float32(127) / x) > 127  # where the largest is rounded beyond its integer
    assert passing.any()
    for number in (x[passing][0], -x[passing][0], x[~passing][0], np.float32(-1)):
        for odd in (False, True):
            given = np.array([[number]]), 127, seed, odd
            expected = reference.round_gradient(*given).values
            assert np.array_equal(gpu_kernels.round_gradient(*given).values, expected)
