"""Packing and unpacking on a GPU, compared with the definitions."""

import numpy as np
import pytest
from strategies import signs

from bitnet.kernels import Codebook, Thresholds, reference

RNG = np.random.default_rng(0)
SHAPES = [(3, 65), (1, 300), (2, 3, 31), (0, 5), (4, 0), (1, 1)]
EDGES = np.array([0.0, -0.0, 1e-45, -1e-45, np.nan, np.inf, -np.inf, 1.0, -1.0, 1.0000001])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.bool_])
def test_pack(gpu_kernels, one_warp, shape, dtype):
    x = (3 * RNG.standard_normal(shape)).astype(dtype)
    assert gpu_kernels.pack(x) == reference.pack(x)


def test_pack_with_several_warps_in_a_block(gpu_kernels):
    x = RNG.standard_normal((5, 600), np.float32)
    assert gpu_kernels.pack(x) == reference.pack(x)
    assert gpu_kernels.pack(x[:, :40:2].T) == reference.pack(x[:, :40:2].T)


def test_pack_of_a_transposed_view(gpu_kernels, one_warp):
    x = RNG.standard_normal((3, 70), np.float32).T
    assert gpu_kernels.pack(x) == reference.pack(x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges(gpu_kernels, one_warp, dtype):
    x = EDGES.astype(dtype)
    assert gpu_kernels.pack(x) == reference.pack(x)
    for window in (dtype(1), dtype(0), dtype(np.inf)):
        assert gpu_kernels.pack_with_mask(x, window) == reference.pack_with_mask(x, window)


@pytest.mark.parametrize("shape", SHAPES)
def test_pack_with_mask(gpu_kernels, one_warp, shape):
    x = RNG.standard_normal(shape, np.float32)
    assert gpu_kernels.pack_with_mask(x, np.float32(0.5)) == reference.pack_with_mask(
        x, np.float32(0.5)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_unpack_and_where(gpu_kernels, one_warp, shape):
    bits, x = reference.pack(signs(1, shape)), RNG.standard_normal(shape, np.float32)
    for dtype in map(np.dtype, (np.float32, np.int8)):
        y = gpu_kernels.unpack(bits, dtype)
        assert y.dtype == dtype
        assert np.array_equal(y, reference.unpack(bits, dtype))
    x[..., :1] = np.nan
    y = gpu_kernels.where(bits, x)
    assert y.dtype == x.dtype
    assert np.array_equal(y, reference.where(bits, x), equal_nan=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_planes_of_pixels_and_codes(gpu_kernels, one_warp, shape):
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    assert gpu_kernels.split_planes(pixels).bits == reference.split_planes(pixels).bits
    levels = Codebook.uniform(3)
    codes = RNG.integers(0, 8, shape, dtype=np.uint8)
    made = gpu_kernels.split_codes(codes, levels.patterns, 3)
    assert made == reference.split_codes(codes, levels.patterns, 3)


@pytest.mark.parametrize("shape", [(33, 65), (1, 1), (64, 3), (70, 130), (0, 5), (5, 0)])
def test_transpose(gpu_kernels, one_warp, shape):
    bits = reference.pack(signs(2, shape))
    assert gpu_kernels.transpose(bits) == reference.transpose(bits)


@pytest.mark.parametrize("shape", SHAPES)
def test_threshold(gpu_kernels, one_warp, shape):
    n = shape[-1]
    values = RNG.integers(-3, 4, n).astype(np.int32)
    values[: n // 4] = np.iinfo(np.int32).min
    values[n // 4 : n // 2] = np.iinfo(np.int32).max
    steps = Thresholds(values, RNG.random(n) < 0.5)
    z = RNG.integers(-4, 5, shape).astype(np.int32)
    assert gpu_kernels.threshold(z, steps) == reference.threshold(z, steps)


@pytest.mark.parametrize("count", [0, 1, 3, 255])
def test_rank(gpu_kernels, one_warp, count):
    values = np.sort(RNG.integers(-300, 300, (7, count)).astype(np.int32))
    values[:1], values[1:2] = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    increasing = np.arange(7) % 2 == 0
    values[~increasing] = values[~increasing, ::-1]
    steps = Thresholds(values, increasing)
    z = RNG.integers(-310, 310, (2, 3, 7)).astype(np.int32)
    codes = gpu_kernels.rank(z, steps)
    assert codes.dtype == np.uint8
    assert np.array_equal(codes, reference.rank(z, steps))


@pytest.mark.parametrize("shape", [(3, 65), (2, 700), (0, 5)])
def test_count_flips(gpu_kernels, one_warp, shape):
    a, b = (reference.pack(signs(seed, shape)) for seed in (3, 4))
    assert gpu_kernels.count_flips(a, b) == reference.count_flips(a, b)
