"""Products of packed operands, compared with products of the unpacked numbers."""

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import numbers, rows, seeds, signs, widths

from bitnet import InputError, kernels
from bitnet.kernels import BitPlanes, Bits, Thresholds, reference, threads

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


OFFSETS = st.sampled_from([0, 0, 1, -7, 15])


@given(rows, rows, widths, seeds)
def test_pixels_times_signs(b, m, n, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (b, n), dtype=np.uint8)
    weight = signs(seed, (m, n))
    z = kernels.plane_gemm(pixels, kernels.pack(weight))
    assert z.dtype == np.int32
    assert np.array_equal(z, (2 * pixels.astype(np.int64) - 255) @ weight.T)


@given(rows, rows, widths, seeds, st.lists(st.integers(-9, 9), min_size=1, max_size=4), OFFSETS)
def test_planes_times_signs(b, m, n, seed, coefficients, offset):
    bits = kernels.pack(signs(seed, (len(coefficients), b, n)))
    planes = BitPlanes(bits, coefficients, 0.5, offset)
    weight = signs(seed + 1, (m, n))
    z = kernels.plane_gemm(planes, kernels.pack(weight))
    assert np.array_equal(z * 0.5, planes.values(np.float64) @ weight.T)


@given(rows, rows, widths, seeds, st.sampled_from([np.float32, np.float64]))
def test_signed_gemm_of_floats_rounds_as_little_as_floats_must(b, m, n, seed, dtype):
    x, matrix = numbers(seed, (b, m), dtype), signs(seed, (m, n)).astype(dtype)
    limit = m * np.finfo(dtype).eps * abs(x).sum(axis=1, keepdims=True, dtype=np.float64)
    for view in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        y = kernels.signed_gemm(view, kernels.pack(matrix))
        assert y.dtype == dtype
        assert y.shape == (b, n)
        assert (abs(y - x.astype(np.float64) @ matrix) <= limit).all()


def quantized(seed, shape, bits=6):
    return kernels.round_gradient(
        np.random.default_rng(seed).standard_normal(shape, np.float32), bits
    )


@given(rows, rows, widths, seeds, st.integers(2, 8))
def test_signed_gemm_of_integers_is_exact(b, m, n, seed, bits):
    x, matrix = quantized(seed, (b, m), bits), signs(seed, (m, n))
    expected = (x.values.astype(np.int64) @ matrix.astype(np.int64)).astype(np.float32)
    y = kernels.signed_gemm(x, kernels.pack(matrix))
    assert y.dtype == np.float32
    assert np.array_equal(y, expected * x.scales[:, None])


@given(rows, widths, widths, seeds)
def test_floats_times_pixels(b, m, n, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-20, 21, (b, m)).astype(np.float32)  # exact, as the sums stay below 2**24
    pixels = rng.integers(0, 256, (m, n), dtype=np.uint8)
    expected = x.astype(np.int64) @ (2 * pixels.astype(np.int64) - 255)
    assert np.array_equal(kernels.signed_gemm(x, pixels), expected)


@given(rows, rows, widths, seeds)
def test_integers_times_pixels_and_planes(b, m, n, seed):
    x, rng = quantized(seed, (b, m), 8), np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (m, n), dtype=np.uint8)
    expected = (x.values.astype(np.int64) @ (2 * pixels.astype(np.int64) - 255)).astype(np.float32)
    assert np.array_equal(kernels.signed_gemm(x, pixels), expected * x.scales[:, None])
    planes = BitPlanes(kernels.pack(signs(seed, (2, m, n))), [1, -3], 0.5, seed % 3)
    y, expected = kernels.signed_gemm(x, planes), x.values.astype(np.float64) @ planes.values()
    assert np.array_equal(y, expected.astype(np.float32) * x.scales[:, None])


# larger than the blocks of the kernels: 512 rows, 31 words, 32 outputs, 4 rows of
# numbers, 24 words of 12 rows of signs, 8 of 30
LARGE = [(515, 33, 70), (3, 31, 2100), (6, 300, 129), (37, 650, 65), (130, 64, 1024)]


@pytest.mark.parametrize(("b", "m", "n"), LARGE)
def test_sizes_beyond_one_block(b, m, n):
    x, weight = kernels.pack(signs(0, (b, n))), kernels.pack(signs(1, (m, n)))
    steps = Thresholds(np.arange(m, dtype=np.int32) % 40 - 20, np.arange(m) % 3 > 0)
    pixels = np.random.default_rng(2).integers(0, 256, (b, n), dtype=np.uint8)
    assert np.array_equal(kernels.xnor_gemm(x, weight), reference.xnor_gemm(x, weight))
    assert kernels.xnor_sign(x, weight, steps) == reference.xnor_sign(x, weight, steps)
    assert np.array_equal(kernels.plane_gemm(pixels, weight), reference.plane_gemm(pixels, weight))
    for bits in (4, 6, 8):
        grad = quantized(bits, (b, m), bits)
        y = kernels.signed_gemm(grad, weight)
        assert np.array_equal(y, reference.signed_gemm(grad, weight))
    grad = numbers(3, (b, m))
    limit = m * np.finfo(np.float32).eps * abs(grad).sum(axis=1, keepdims=True)
    expected = grad.astype(np.float64) @ weight.signs(np.float64)
    assert (abs(kernels.signed_gemm(grad, weight) - expected) <= limit).all()


@given(rows, rows, widths, seeds)
def test_xnor_sign_is_the_threshold_of_the_product(b, m, n, seed):
    x, weight = kernels.pack(signs(seed, (b, n))), kernels.pack(signs(seed + 1, (m, n)))
    rng = np.random.default_rng(seed)
    values = rng.integers(-n - 1, n + 2, m).astype(np.int32)
    for extreme in (np.iinfo(np.int32).min, np.iinfo(np.int32).max):
        values[rng.random(m) < 0.1] = extreme
    steps = Thresholds(values, rng.random(m) < 0.5)
    z = reference.xnor_gemm(x, weight)
    assert kernels.xnor_sign(x, weight, steps) == reference.threshold(z, steps)
    assert kernels.xnor_sign(x, weight, steps) == reference.threshold(z, steps)  # cached limits


@given(rows, rows, widths, seeds)
def test_prepared_weights_give_the_same_integers_each_time(b, m, n, seed):
    x, weight = kernels.pack(signs(seed, (b, n))), kernels.pack(signs(seed + 1, (m, n)))
    pixels = np.random.default_rng(seed).integers(0, 256, (b, n), dtype=np.uint8)
    prepared = kernels.prepare(weight)
    assert prepared == weight
    for _ in range(2):
        z = kernels.plane_gemm(pixels, prepared)
        assert np.array_equal(z, kernels.plane_gemm(pixels, weight))
        assert np.array_equal(kernels.xnor_gemm(x, prepared), kernels.xnor_gemm(x, weight))


COEFFICIENTS = st.lists(st.integers(-9, 9), min_size=1, max_size=6)


@given(rows, rows, widths, seeds, COEFFICIENTS, COEFFICIENTS, OFFSETS, OFFSETS)
def test_planes_on_either_side(b, m, n, seed, left, right, first, second):
    x = BitPlanes(kernels.pack(signs(seed, (len(left), b, n))), left, 1, first)
    weight = BitPlanes(kernels.pack(signs(seed + 1, (len(right), m, n))), right, 1, second)
    pixels = np.random.default_rng(seed).integers(0, 256, (b, n), dtype=np.uint8)
    z = kernels.plane_gemm(pixels, weight)
    assert np.array_equal(z, (2.0 * pixels - 255) @ weight.values(np.float64).T)
    numbers_of = x.values(np.float64), weight.values(np.float64)
    assert np.array_equal(kernels.plane_gemm(x, weight), numbers_of[0] @ numbers_of[1].T)
    plane = x.bits[0]
    z = kernels.plane_gemm(plane, weight)
    assert z.dtype == np.int32
    assert np.array_equal(z, plane.signs(np.float64) @ numbers_of[1].T)
    assert np.array_equal(
        kernels.plane_gemm(plane, weight.bits[0]), kernels.xnor_gemm(plane, weight.bits[0])
    )


def test_planes_with_values_beyond_a_table():
    x = BitPlanes(kernels.pack(signs(0, (5, 7, 90))), [1, 10, 100, 1000, 10000])
    weight = kernels.pack(signs(1, (9, 90)))
    assert np.array_equal(kernels.plane_gemm(x, weight), x.values(np.float64) @ weight.signs().T)


@given(widths, rows, st.sampled_from([1, 64, 128, 200]), seeds)
def test_a_product_row_by_row(m, b, n, seed):
    x, matrix = quantized(seed, (m, b)), kernels.pack(signs(seed, (b, n)))
    product = kernels.Product(x, matrix)
    whole = product.array()
    assert product.shape == whole.shape == (m, n)
    assert np.array_equal(np.asarray(product), whole)
    for total in (whole + product, product + whole, product + product):
        assert np.array_equal(total, whole + whole)
    if kernels.implementation() == "numba":  # a few rows at a time, like in an update
        cpu = importlib.import_module("bitnet.kernels.cpu.products")
        (multiply, _), got = cpu.signed_rows(x, matrix), np.empty_like(whole)
        for start in range(0, m, 5):
            stop = min(m, start + 5)
            multiply(start, stop, got[start:stop])
        assert np.array_equal(got, whole)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_give_the_same_numbers(n_threads, monkeypatch):
    x, weight = kernels.pack(signs(0, (45, 200))), kernels.pack(signs(1, (70, 200)))
    grad, floats = quantized(2, (45, 70)), numbers(3, (45, 70))
    steps = Thresholds(np.zeros(70, np.int32), np.ones(70, bool))

    def results():
        yield kernels.xnor_gemm(x, weight)
        yield kernels.xnor_sign(x, weight, steps).words
        yield kernels.signed_gemm(grad, weight)
        yield kernels.signed_gemm(floats, weight)

    alone = list(results())
    before = threads.num_threads()
    monkeypatch.setattr(threads, "LEAST_NS", 1)
    threads.set_num_threads(n_threads)
    try:
        for a, b in zip(alone, results(), strict=True):
            assert np.array_equal(a, b)
    finally:
        threads.set_num_threads(before)


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


STEPS = Thresholds(np.zeros(2, np.int32), np.ones(2, bool))


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
        lambda b: kernels.signed_gemm(quantized(0, (2, 3)), b((4, 5))),
        lambda b: kernels.Product(quantized(0, (2, 3)), b((4, 5))),
        lambda b: kernels.prepare(np.ones((2, 3))),
        lambda b: kernels.plane_gemm(b((2, 64)), np.ones((2, 64), np.uint8)),
        lambda b: kernels.xnor_sign(b((2, 64)), b((3, 64)), STEPS),
        lambda b: kernels.xnor_sign(b((2, 64)), b((2, 63)), STEPS),
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


@pytest.mark.parametrize("bits", [4, 6, 8])
@pytest.mark.parametrize("m", [251, 252, 253, 300, 2000])  # around the ends of blocks of tables
def test_the_largest_sums_there_can_be(bits, m):
    largest = 2 ** (bits - 1) - 1
    values = np.full((5, m), largest, np.int16)
    values[1] = -largest
    values[2, ::2] = -largest
    x = kernels.Quantized(values, np.ones(5, np.float32), largest)
    for fill in (1, -1):
        matrix = np.full((m, 70), fill, np.int8)
        expected = values.astype(np.int64) @ matrix
        assert np.array_equal(kernels.signed_gemm(x, kernels.pack(matrix)), expected)
        pixels = np.full((m, 70), 255 if fill > 0 else 0, np.uint8)
        assert np.array_equal(kernels.signed_gemm(x, pixels), 255 * expected)
        z = kernels.plane_gemm(pixels.T, kernels.pack(matrix.T))
        assert np.array_equal(z, np.full((70, 70), 255 * m))


@pytest.mark.parametrize("rows", [slice(0, 1), slice(None, None, 1500), slice(1, 0, -1)])
def test_a_single_row_whose_stride_is_another(rows):
    bits = kernels.pack(signs(0, (1501, 300)))[rows]
    for x in (np.full((3, len(bits)), 0.5, np.float32), quantized(1, (3, len(bits)))):
        numbers = x.numbers() if isinstance(x, kernels.Quantized) else x
        assert np.allclose(kernels.signed_gemm(x, bits), numbers @ bits.signs(np.float32))


@pytest.mark.parametrize(
    ("values", "scales", "largest"),
    [
        (np.zeros((2, 3), np.int8), np.zeros(2, np.float32), 31),
        (np.zeros((2, 3), np.int16), np.zeros(2), 31),
        (np.zeros((2, 3), np.int16), np.zeros(1, np.float32), 31),
        (np.zeros(3, np.int16), np.zeros(3, np.float32), 31),
        (np.zeros((2, 3), np.int16), np.zeros(2, np.float32), 256),
        (np.zeros((2, 3), np.int16), np.zeros(2, np.float32), 0),
    ],
)
def test_integers_that_no_product_can_take(values, scales, largest):
    with pytest.raises(InputError, match="Quantized"):
        kernels.Quantized(values, scales, largest)
