"""Products on each rung of a GPU, compared with the definitions."""

import importlib
import os

import numpy as np
import pytest
from strategies import signs

from bitnet import InputError
from bitnet.kernels import BitPlanes, Thresholds, reference

RNG = np.random.default_rng(0)
# within one word, odd and even words, past 16 x 8 outputs of one or four
SIZES = [(1, 1, 1), (3, 9, 70), (18, 34, 130)]
EMPTY = [(0, 3, 5), (3, 0, 5), (2, 3, 0)]


def bits(seed, *shape):
    return reference.pack(signs(seed, shape))


def steps(m, n):
    values = RNG.integers(-(n**0.5) - 1, n**0.5 + 2, m).astype(np.int32)
    for extreme in (np.iinfo(np.int32).min, np.iinfo(np.int32).max):
        values[RNG.random(m) < 0.1] = extreme
    return Thresholds(values, RNG.random(m) < 0.5)


@pytest.mark.parametrize(("b", "m", "n"), SIZES + EMPTY)
def test_xnor_gemm_and_its_signs(gpu_kernels, small_blocks, rung, b, m, n):
    check(gpu_kernels, b, m, n)


def test_the_blocks_of_a_gpu(gpu_kernels, one_warp, rung):
    """Products with more than 64 columns and 8 rows per warp and 64 halves, and several warps."""
    check(gpu_kernels, 17, 66, 130)


def check(gpu_kernels, b, m, n):
    x, weight, own = bits(1, b, n), bits(2, m, n), steps(m, n)
    expected = reference.xnor_gemm(x, weight)
    z = gpu_kernels.xnor_gemm(x, weight)
    assert z.dtype == np.int32
    assert np.array_equal(z, expected)
    assert gpu_kernels.xnor_sign(x, weight, own) == reference.threshold(expected, own)


@pytest.mark.parametrize("name", ["naive", "tiled"])
@pytest.mark.parametrize(("b", "m", "n"), [*SIZES[:2], (18, 17, 600), *EMPTY])
def test_the_lower_rungs(gpu_kernels, one_warp, name, b, m, n):
    x, weight, own = bits(1, b, n), bits(2, m, n), steps(m, n)
    with gpu_kernels.using_rung(name):
        expected = reference.xnor_gemm(x, weight)
        assert np.array_equal(gpu_kernels.xnor_gemm(x, weight), expected)
        if b < 18:  # bits are computed from the integers
            assert gpu_kernels.xnor_sign(x, weight, own) == reference.threshold(expected, own)


def test_a_product_by_large_tiles(gpu_kernels, one_warp):
    """Two blocks down, or across, of 128 x 128 outputs, with tails."""
    with gpu_kernels.using_rung("tensor"):
        x, weight = bits(3, 129, 65), bits(4, 5, 65)
        assert np.array_equal(gpu_kernels.xnor_gemm(x, weight), reference.xnor_gemm(x, weight))
        x, weight, own = bits(3, 5, 65), bits(4, 133, 65), steps(133, 65)
        expected = reference.threshold(reference.xnor_gemm(x, weight), own)
        assert gpu_kernels.xnor_sign(x, weight, own) == expected


def test_a_product_by_small_tiles(gpu_kernels, one_warp, monkeypatch):
    """A GPU uses small tiles if large ones would leave multiprocessors idle.

    Two blocks down, and more steps of 512 bits than there are stages.
    """
    tensor = importlib.import_module("bitnet.kernels.cuda.tensor")
    monkeypatch.setattr(tensor, "LARGE", tensor.SMALL)
    with gpu_kernels.using_rung("tensor"):
        check(gpu_kernels, 65, 7, 2100)


def test_thresholds_at_the_integers_themselves(gpu_kernels, small_blocks, rung):
    x, weight = bits(5, 3, 70), bits(6, 40, 70)
    z = reference.xnor_gemm(x, weight)
    for shift in (-1, 0, 1):
        own = Thresholds(z[1] + np.int32(shift), np.arange(40) % 2 == 0)
        assert gpu_kernels.xnor_sign(x, weight, own) == reference.threshold(z, own)


def test_prepared_weights_with_other_thresholds(gpu_kernels, small_blocks):
    weight = gpu_kernels.prepare(bits(2, 7, 70))
    for seed in range(2):
        x, own = bits(seed, 2, 70), steps(7, 70)
        expected = reference.xnor_gemm(x, bits(2, 7, 70))
        assert np.array_equal(gpu_kernels.xnor_gemm(x, weight), expected)
        assert gpu_kernels.xnor_sign(x, weight, own) == reference.threshold(expected, own)
    assert weight.layouts


def test_words_that_are_not_contiguous(gpu_kernels, small_blocks):
    x, weight = bits(1, 6, 130)[::2], bits(2, 4, 130)[::-1]
    assert np.array_equal(gpu_kernels.xnor_gemm(x, weight), reference.xnor_gemm(x, weight))


def test_more_blocks_side_by_side_than_an_axis_of_a_grid_has(
    gpu_kernels, small_blocks, monkeypatch
):
    """Products with millions of columns have them; in the simulator two are enough."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
        for name in ("launch", "xnor", "tensor", "products"):
            module = importlib.import_module(f"bitnet.kernels.cuda.{name}")
            monkeypatch.setattr(module, "MOST", 1)
    for name, columns in (("tensor", 70), ("registers", 70), ("tiled", 17), ("naive", 17)):
        with gpu_kernels.using_rung(name):
            x, weight = bits(1, 2, 70), bits(2, columns, 70)
            assert np.array_equal(gpu_kernels.xnor_gemm(x, weight), reference.xnor_gemm(x, weight))
    x, matrix = RNG.standard_normal((1, 3), np.float32), bits(3, 3, 33)
    y = gpu_kernels.signed_floats(x, matrix)
    assert np.allclose(y, x @ matrix.signs(np.float32), atol=1e-5)


def planes(coefficients, offset, *shape):
    own = bits(len(coefficients) + offset + 9, len(coefficients), *shape)
    return BitPlanes(own, coefficients, 0.5, offset)


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (planes([1, -3], 1, 3, 70), bits(1, 4, 70)),
        (bits(2, 3, 600), planes([1, -3], -2, 5, 600)),
        (planes([2, 5, 1], 3, 17, 5), planes([1, 4], 1, 9, 5)),
        (planes([7], 0, 2, 65), planes([-3], 0, 2, 65)),
        (RNG.integers(0, 256, (3, 40), dtype=np.uint8), bits(3, 4, 40)),
        (RNG.integers(0, 256, (2, 40), dtype=np.uint8), planes([1, 2], 1, 4, 40)),
        (planes([1, 2], 1, 0, 5), bits(4, 3, 5)),
    ],
)
def test_plane_gemm(gpu_kernels, small_blocks, rung, x, weight):
    z = gpu_kernels.plane_gemm(x, weight)
    assert z.dtype == np.int32
    assert np.array_equal(z, reference.plane_gemm(x, weight))


def test_a_rung_that_there_is_not(gpu_kernels):
    with pytest.raises(InputError, match="name is 'stairs'"), gpu_kernels.using_rung("stairs"):
        pass


@pytest.mark.parametrize(("largest", "odd"), [(1, False), (31, False), (255, True)])
def test_integers_times_signs(gpu_kernels, small_blocks, rung, largest, odd):
    x = reference.round_gradient(RNG.standard_normal((3, 7), np.float32), largest, None, odd)
    y = gpu_kernels.signed_gemm(x, bits(1, 7, 70))
    assert y.dtype == np.float32
    assert np.array_equal(y, reference.signed_gemm(x, bits(1, 7, 70)))


@pytest.mark.parametrize(
    "matrix",
    [planes([1, -3], 1, 7, 66), RNG.integers(0, 256, (7, 5), dtype=np.uint8), bits(2, 7, 0)],
)
def test_integers_times_planes_and_pixels(gpu_kernels, small_blocks, rung, matrix):
    x = reference.round_gradient(RNG.standard_normal((3, 7), np.float32), 31, None)
    assert np.array_equal(gpu_kernels.signed_gemm(x, matrix), reference.signed_gemm(x, matrix))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("b", "m", "n"), [(3, 70, 40), (9, 1, 1), (1, 33, 65), (0, 3, 4)])
def test_floats_times_signs(gpu_kernels, small_blocks, dtype, b, m, n):
    x, matrix = RNG.standard_normal((b, m)).astype(dtype), bits(3, m, n)
    limit = m * np.finfo(dtype).eps * abs(x).sum(axis=1, keepdims=True)
    expected = x.astype(np.float64) @ matrix.signs(np.float64)
    for y in (gpu_kernels.signed_gemm(x, matrix), gpu_kernels.signed_floats(x, matrix)):
        assert y.dtype == dtype
        assert (abs(y - expected) <= limit).all()
