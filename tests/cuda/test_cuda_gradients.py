"""Backward products on a GPU against the definitions: integers exactly, floats nearly."""

import numpy as np
import pytest
from strategies import signs

from bitnet.kernels import Planes, Window, reference

RNG = np.random.default_rng(0)
WINDOWS = [Window((2, 2), (2, 1), ((1, 0), (0, 1)), border) for border in (0, 1, -1)]


def bits(seed, *shape):
    return reference.pack(signs(seed, shape))


def planes(*shape):
    return Planes(bits(5, 2, *shape), [1, -3], 0.5, 1)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("largest", "odd"), [(1, False), (31, False), (255, True)])
def test_integers_times_signs(gpu_kernels, small_blocks, rung, largest, odd):
    x = reference.quantize(RNG.standard_normal((3, 7), np.float32), largest, None, odd)
    y = gpu_kernels.signed_gemm(x, bits(1, 7, 70))
    assert y.dtype == np.float32
    assert np.array_equal(y, reference.signed_gemm(x, bits(1, 7, 70)))


@pytest.mark.parametrize("matrix", [planes(7, 66), pixels(7, 5), bits(2, 7, 0)])
def test_integers_times_planes_and_pixels(gpu_kernels, small_blocks, rung, matrix):
    x = reference.quantize(RNG.standard_normal((3, 7), np.float32), 31, None)
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


def test_rows_of_a_product(to_gpu, small_blocks):
    from bitnet.arrays import to_cpu
    from bitnet.kernels import cuda

    x, matrix = RNG.standard_normal((4, 3), np.float32), bits(1, 3, 5)
    multiply, _ = cuda.signed_rows(to_gpu(x), to_gpu(matrix))
    out = to_gpu(np.empty((2, 5), np.float32))
    multiply(1, 3, out)
    assert np.allclose(to_cpu(out), reference.signed_gemm(x, matrix)[1:3])


FILTERS = [bits(1, 5, 2, 2, 7), planes(5, 2, 2, 7)]


@pytest.mark.parametrize(
    ("border", "weight", "largest", "odd"),
    [(0, 0, 31, False), (1, 1, 31, False), (2, 0, 255, True), (0, 1, 255, True),
     (1, 0, None, False), (2, 1, None, False)],
)  # fmt: skip
def test_the_gradient_of_images(gpu_kernels, small_blocks, border, weight, largest, odd):
    window, weight = WINDOWS[border], FILTERS[weight]
    grad = RNG.standard_normal((2, *window.output(4, 3), 5), np.float32)
    given = grad, weight, window, (4, 3), largest, None, odd
    y, expected = gpu_kernels.gradient_of_images(*given), reference.gradient_of_images(*given)
    assert y.dtype == np.float32
    assert np.array_equal(y, expected) if largest else np.allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("x", [bits(1, 2, 4, 3, 5), planes(2, 4, 3, 3), pixels(2, 4, 3, 3)])
@pytest.mark.parametrize(("largest", "odd"), [(31, False), (None, False)])
def test_the_gradient_of_filters(gpu_kernels, small_blocks, window, x, largest, odd):
    grad = RNG.standard_normal((2, *window.output(4, 3), 5), np.float32)
    given = grad, x, window, largest, None, odd
    y, expected = gpu_kernels.gradient_of_filters(*given), reference.gradient_of_filters(*given)
    assert y.dtype == np.float32
    assert np.array_equal(y, expected) if largest else np.allclose(y, expected, atol=1e-2)


def test_gradients_on_the_rung_below(gpu_kernels, small_blocks):
    window = WINDOWS[0]
    grad = RNG.standard_normal((2, *window.output(4, 3), 5), np.float32)
    with gpu_kernels.using_rung("registers"):
        given = grad, bits(1, 2, 4, 3, 70), window, 31, None
        assert np.array_equal(
            gpu_kernels.gradient_of_filters(*given), reference.gradient_of_filters(*given)
        )
        given = grad, bits(1, 5, 2, 2, 7), window, (4, 3), 31, None
        assert np.array_equal(
            gpu_kernels.gradient_of_images(*given), reference.gradient_of_images(*given)
        )
