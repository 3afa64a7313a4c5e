"""Products of floats in a fixed order on a GPU, compared with the definition bit for bit."""

import numpy as np
import pytest
from same_numbers import same

from bitnet.kernels import reference

SHAPES = [(3, 5, 40), (1, 9, 1), (33, 2, 3), (0, 2, 3), (2, 0, 3), (2, 3, 0)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("biased", [False, True])
def test_ordered_gemm(gpu_kernels, one_warp, shape, dtype, biased):
    (r, n, m), rng = shape, np.random.default_rng(0)
    x, across = rng.standard_normal((r, n)).astype(dtype), rng.standard_normal((n, m)).astype(dtype)
    bias = rng.standard_normal(m).astype(dtype) if biased else None
    found = gpu_kernels.ordered_gemm(x, across, bias)
    assert same([found], [reference.ordered_gemm(x, across, bias)])


def test_edges_of_the_float_types(gpu_kernels, one_warp):
    """Test products that a fused operation rounds differently, subnormal and infinite numbers."""
    third = np.float32(1 / 3)
    x = np.float32([[1, 3], [1, 2**-149], [1, 2**-75], [0, np.inf], [2**-149, 2**-149]])
    across = np.float32([[-1, 0, 1, 2**-149], [third, 1, -1, 2**-75]])
    for bias in (None, np.float32([-0.0, 0.0, -1.0, 2**-149])):
        found = gpu_kernels.ordered_gemm(x, across, bias)
        assert same([found], [reference.ordered_gemm(x, across, bias)])
    assert gpu_kernels.ordered_gemm(x[:1], across, None)[0, 0] == 0
