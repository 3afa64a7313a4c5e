"""Batch norm with its sign on a GPU, compared with the definitions bit for bit."""

import importlib
import os

import numpy as np
import pytest
from same_numbers import same
from strategies import signs

from bitnet.kernels import reference

# integers wrap around
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar")
RNG = np.random.default_rng(0)
SHAPES = [(3, 70), (33, 3), (1, 1), (70, 33)]


def integers(shape, most=100):
    return RNG.integers(-most, most + 1, shape).astype(np.int32)


def columns(n, count, dtype=np.float32):
    return RNG.standard_normal((count, n)).astype(dtype)


@pytest.mark.parametrize("shape", [*SHAPES, (3, 0)])
def test_column_moments(gpu_kernels, one_warp, shape):
    for most in (5, 2**31 - 1):
        z = integers(shape, most)
        if z.size:
            z[0, 0] = np.iinfo(np.int32).min
        assert same(gpu_kernels.column_moments(z), reference.column_moments(z))
    assert same(gpu_kernels.column_moments(z[::-1]), reference.column_moments(z))


def test_column_moments_of_several_blocks(gpu_kernels, monkeypatch):
    monkeypatch.setattr(importlib.import_module("bitnet.kernels.cuda.norm"), "BLOCKS", 2)
    z = integers((130, 40))
    assert same(gpu_kernels.column_moments(z), reference.column_moments(z))


@pytest.mark.parametrize("shape", [*SHAPES, (2, 300), (0, 3), (3, 0)])
@pytest.mark.parametrize("window", [None, 1.0])
def test_normalize_sign(gpu_kernels, one_warp, shape, window):
    given = integers(shape, 3), *columns(shape[1], 3), window
    found = gpu_kernels.normalize_sign(*given)
    assert found == reference.normalize_sign(*given)


def test_signs_and_masks_at_the_very_edges(gpu_kernels, one_warp):
    """Test y = 0, -0, a float next to 1 that a fused operation would not give, and NaN."""
    third, after = np.float32(1 / 3), np.nextafter(np.float32(1), np.float32(2))
    # 3 * fl(1/3) rounds to 1; unrounded it is above
    scale = np.float32([1, 1, 1, after, third, np.nan, np.inf])
    shift = np.float32([0, -1, 1, 0, -1, 0, 0])
    z = np.int32([[0, 1, -1, 1, 3, 0, 0], [1, 2, 0, -1, 6, 1, 2], [-1, 0, -2, 0, 0, 2, -1]])
    for window in (0.0, 1.0, None):
        for mean in (0 * scale[:1].repeat(7), np.float32([-0.0] * 7)):
            given = z, mean, scale, shift, window
            with np.errstate(all="ignore"):
                expected = reference.normalize_sign(*given)
            assert gpu_kernels.normalize_sign(*given) == expected
    given = z, *columns(7, 3, np.float64), 1.0
    assert gpu_kernels.normalize_sign(*given) == reference.normalize_sign(*given)


def backward(shape, masked):
    """Return the operands of the backward pass, with statistics."""
    z, mask = integers(shape), reference.pack(signs(1, shape)) if masked else None
    mean, gamma = columns(shape[1], 2)
    return columns(shape[1], shape[0]), mask, z, mean, abs(gamma) + np.float32(0.01), gamma


@pytest.mark.parametrize("shape", [*SHAPES, (0, 3), (3, 0)])
@pytest.mark.parametrize("masked", [False, True])
def test_batch_norm_backward(gpu_kernels, shape, masked):
    given = backward(shape, masked)
    with np.errstate(all="ignore"):
        assert same(gpu_kernels.batch_norm_backward(*given), reference.batch_norm_backward(*given))
    given[0][:] = -0.0
    with np.errstate(all="ignore"):
        assert same(gpu_kernels.batch_norm_backward(*given), reference.batch_norm_backward(*given))


def test_sums_of_many_rows_are_those_of_parts(gpu_kernels, monkeypatch):
    """Each part is summed row after row, and then the parts are added in order."""
    monkeypatch.setattr(importlib.import_module("bitnet.kernels.cuda.norm"), "ROWS", 32)
    given = backward((70, 3), True)
    _, grad_gamma, grad_beta = gpu_kernels.batch_norm_backward(*given)
    g, z, mean, inv_std = reference.where(given[1], given[0]), *given[2:5]
    xhat = (z.astype(np.float32) - mean) * inv_std
    for found, own in ((grad_beta, g), (grad_gamma, g * xhat)):
        parts = [np.add.accumulate(own[i : i + 32], 0, np.float64)[-1] for i in (0, 32, 64)]
        assert same([found], [np.add.accumulate(parts, 0)[-1].astype(np.float32)])


def test_more_columns_than_a_grid_has_on_one_axis(gpu_kernels, one_warp, monkeypatch):
    """Blocks continue on the third axis; a real GPU would need a million columns."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
        for name in ("launch", "norm"):
            module = importlib.import_module(f"bitnet.kernels.cuda.{name}")
            monkeypatch.setattr(module, "MOST", 2)
    given = backward((3, 100), True)
    assert same(gpu_kernels.batch_norm_backward(*given), reference.batch_norm_backward(*given))
    assert same(gpu_kernels.column_moments(given[2]), reference.column_moments(given[2]))
