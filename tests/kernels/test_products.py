"""Products of packed operands in every implementation, against products of the numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import numbers, rows, seeds, signs, widths

from bitnet import InputError, kernels
from bitnet.kernels import Bits, Planes, reference

pytestmark = pytest.mark.usefixtures("implementation")


@given(rows, rows, widths, seeds)
def test_xnor_gemm_is_the_product(b, m, n, seed):
    x, weight = signs(seed, (b, n)), signs(seed + 1, (m, n))
    z = kernels.xnor_gemm(kernels.pack(x), kernels.pack(weight))
    assert z.dtype == np.int32
    assert np.array_equal(z, x @ weight.T)


def test_xnor_gemm_of_extremes():
    ones = kernels.pack(np.ones((1, 129)))
    assert kernels.xnor_gemm(ones, ones).item() == 129
    assert kernels.xnor_gemm(ones, kernels.pack(-np.ones((1, 129)))).item() == -129


@given(rows, rows, widths, seeds)
def test_pixels_times_signs(b, m, n, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (b, n), dtype=np.uint8)
    weight = signs(seed, (m, n))
    z = kernels.plane_gemm(pixels, kernels.pack(weight))
    assert z.dtype == np.int32
    assert np.array_equal(z, (2 * pixels.astype(np.int64) - 255) @ weight.T)


@given(rows, rows, widths, seeds, st.lists(st.integers(-9, 9), min_size=1, max_size=4))
def test_planes_times_signs(b, m, n, seed, coefficients):
    planes = Planes(kernels.pack(signs(seed, (len(coefficients), b, n))), coefficients, 0.5)
    weight = signs(seed + 1, (m, n))
    z = kernels.plane_gemm(planes, kernels.pack(weight))
    assert np.array_equal(z * 0.5, planes.values(np.float64) @ weight.T)


@given(rows, rows, widths, seeds, st.sampled_from([np.float32, np.float64]))
def test_signed_gemm_is_the_product(b, m, n, seed, dtype):
    x, matrix = numbers(seed, (b, m), dtype), signs(seed, (m, n)).astype(dtype)
    y = kernels.signed_gemm(x, kernels.pack(matrix))
    assert y.dtype == dtype
    assert np.array_equal(y, x @ matrix)
    y = kernels.signed_gemm(np.ascontiguousarray(x.T).T, kernels.pack(matrix))
    assert np.allclose(y, x @ matrix, rtol=1e-5, atol=1e-5)


def test_signed_gemm_of_pixels_and_planes():
    x = numbers(0, (2, 3), np.float64)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 65), dtype=np.uint8)
    expected = x @ (2.0 * pixels - 255)
    assert np.allclose(kernels.signed_gemm(x, pixels), expected, rtol=1e-12)
    assert np.allclose(kernels.signed_gemm(x, kernels.split_planes(pixels)), expected, rtol=1e-12)


def test_words_that_are_not_contiguous():
    x, weight = signs(0, (6, 130)), signs(1, (4, 130))
    z = kernels.xnor_gemm(kernels.pack(x)[::2], kernels.pack(weight)[::-1])
    assert np.array_equal(z, x[::2] @ weight[::-1].T)


def test_both_implementations_give_the_same_integers():
    x, weight = kernels.pack(signs(0, (33, 784))), kernels.pack(signs(1, (65, 784)))
    pixels = np.random.default_rng(2).integers(0, 256, (33, 784), dtype=np.uint8)
    assert np.array_equal(kernels.xnor_gemm(x, weight), reference.xnor_gemm(x, weight))
    assert np.array_equal(kernels.plane_gemm(pixels, weight), reference.plane_gemm(pixels, weight))


@pytest.mark.parametrize(
    "call",
    [
        lambda b: kernels.xnor_gemm(b((2, 64)), b((2, 65))),
        lambda b: kernels.xnor_gemm(b((2, 64)), b((64,))),
        lambda b: kernels.xnor_gemm(np.ones((2, 64)), b((2, 64))),
        lambda b: kernels.plane_gemm(np.ones((2, 64)), b((2, 64))),
        lambda b: kernels.plane_gemm(np.ones((2, 64), np.uint8), b((2, 63))),
        lambda b: kernels.plane_gemm(np.ones((2, 64), np.uint8), np.ones((2, 64))),
        lambda b: kernels.signed_gemm(np.ones((2, 3), np.int32), b((3, 5))),
        lambda b: kernels.signed_gemm(np.ones((2, 3)), b((4, 5))),
        lambda b: kernels.signed_gemm(np.ones((2, 3)), np.ones((3, 5))),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call(lambda shape: kernels.pack(np.ones(shape)))


def test_products_that_could_pass_int32_are_refused():
    n = 2**31 // 255 + 1
    wide = Bits(np.zeros((1, -(-n // 64)), np.uint64), (1, n))
    with pytest.raises(InputError, match="int32"):
        kernels.plane_gemm(np.zeros((1, n), np.uint8), wide)
