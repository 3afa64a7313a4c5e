"""Max-pooling and sums of patches, compared with loops over the windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from bitnet import InputError, kernels
from bitnet.kernels import BitPlanes, Codebook, Window

pytestmark = pytest.mark.usefixtures("implementation")

sizes = st.tuples(st.integers(3, 7), st.integers(3, 7))
strides = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def padded_windows(draw):
    """Draw windows with paddings that are smaller along each axis."""
    size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = (st.tuples(*[st.integers(0, min(n - 1, 1))] * 2) for n in size)
    return Window(size, draw(strides), draw(st.tuples(*pads)))


windows = padded_windows()
dtypes = st.sampled_from([np.float32, np.float64, np.int32, np.uint8])


def seen_by(window, size, h, w):
    """Yield (tap, row, column) of the pixels in the window of an output pixel."""
    (above, _), (left, _) = window.padding
    for tap, (i, j) in enumerate(np.ndindex(*window.size)):
        row, column = h * window.stride[0] - above + i, w * window.stride[1] - left + j
        if 0 <= row < size[0] and 0 <= column < size[1]:
            yield tap, row, column


@given(sizes, windows, dtypes, seeds)
def test_the_largest_and_its_gradient(size, window, dtype, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (2, *size, 5))
    x = (x + 3 if dtype == np.uint8 else x).astype(dtype)  # many ties
    y, first = kernels.max_pool(x, window)
    grad = rng.standard_normal(y.shape).astype(np.float64 if dtype == np.float64 else np.float32)
    assert y.dtype == dtype
    assert first.dtype == np.uint8
    expected = np.zeros(x.shape)
    for h, w in np.ndindex(*window.output(*size)):
        taps, rows, columns = map(list, zip(*seen_by(window, size, h, w), strict=True))
        pixels = x[:, rows, columns]  # (B, taps, C)
        assert np.array_equal(y[:, h, w], pixels.max(axis=1))
        assert np.array_equal(first[:, h, w], np.array(taps)[pixels.argmax(axis=1)])
        for b, c in np.ndindex(2, 5):
            k = pixels[b, :, c].argmax()
            expected[b, rows[k], columns[k], c] += grad[b, h, w, c]
    got = kernels.max_pool_backward(grad, first, window, size)
    assert got.dtype == grad.dtype
    assert np.allclose(got, expected, rtol=1e-5, atol=1e-5)


@given(sizes, windows, seeds)
def test_sums_of_patches(size, window, seed):
    shape = (2, *window.output(*size), *window.size, 7)
    patches = np.random.default_rng(seed).integers(-9, 10, shape).astype(np.float32)
    expected = np.zeros((2, *size, 5))
    for h, w in np.ndindex(*window.output(*size)):
        for tap, row, column in seen_by(window, size, h, w):
            expected[:, row, column] += patches[:, h, w].reshape(2, window.taps, 7)[:, tap, :5]
    assert np.array_equal(kernels.add_patches(patches[..., :5], window, size), expected)


codebook = st.sampled_from(
    [
        Codebook.uniform(1),
        Codebook.uniform(3, 0.5, 7),
        Codebook([0, 1, 3], [1, 1], 0.5),
        Codebook([0, 1, 4, 5, 7, 13, 15], [1, 1, 2, 2]),
    ]
)


@given(sizes, windows, codebook, st.sampled_from([1, 5, 64, 65]), seeds)
def test_the_largest_of_packed_images_and_its_gradient(size, window, codebook, channels, seed):
    rng = np.random.default_rng(seed)
    x = codebook.planes(rng.integers(0, len(codebook), (2, *size, channels)).astype(np.uint8))
    numbers, first = kernels.max_pool(x.integers(), window)
    packed = x.bits[0] if len(codebook) == 2 else x
    y = kernels.max_pool_bits(packed, window)
    if isinstance(y, BitPlanes):
        assert (y.coefficients, y.offset, y.unit) == (x.coefficients, x.offset, x.unit)
        assert np.array_equal(codebook.codes(y), codebook.codes(codebook.planes(codebook.codes(y))))
    assert np.array_equal(y.integers() if isinstance(y, BitPlanes) else y.signs(), numbers)
    grad = rng.standard_normal(numbers.shape).astype(np.float32)
    expected = kernels.max_pool_backward(grad, first, window, size)
    got = kernels.max_pool_bits_backward(grad, packed, y, window)
    assert got.dtype == np.float32
    assert np.allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_no_images():
    window = Window((2, 2), (2, 2))
    y, first = kernels.max_pool(np.zeros((0, 4, 4, 3), np.float32), window)
    assert y.shape == first.shape == (0, 2, 2, 3)
    assert kernels.max_pool_backward(y, first, window, (4, 4)).shape == (0, 4, 4, 3)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_sums_of_integers_are_exact_or_refused(dtype):
    window, most = Window((2, 3), padding=((1, 0), (0, 0))), int(np.iinfo(dtype).max) // 6
    for sign in (1, -1) if np.iinfo(dtype).min else (1,):
        y = kernels.sum_pool(np.full((1, 2, 3, 1), sign * most, dtype), window)
        assert y.dtype == dtype
        assert y.ravel().tolist() == [sign * 3 * most, sign * 6 * most]
        x = np.full((1, 2, 3, 1), sign * (most + 1), dtype)
        with pytest.raises(InputError, match=f"6 integers of up to {most + 1} can overflow"):
            kernels.sum_pool(x, window)


def test_planes_of_integers_that_do_not_fit_are_refused():
    bits = kernels.Bits(np.zeros((2, 1, 1), np.uint64), (2, 1, 5))
    largest = BitPlanes(bits, (-(2**30), 2**30 - 2), offset=1)
    assert largest.integers().tolist() == [[3] * 5]
    with pytest.raises(InputError, match=r"all together below 2\*\*31"):
        BitPlanes(bits, (-(2**30), 2**30 - 1), offset=1)
    with pytest.raises(InputError, match="can overflow int32"):
        kernels.sum_pool(
            BitPlanes(
                kernels.Bits(np.zeros((1, 1, 1, 2, 1), np.uint64), (1, 1, 1, 2, 1)), (2**30,)
            ),
            Window((1, 2)),
        )


X = np.zeros((1, 4, 4, 2), np.float32)
FIRST = np.zeros((1, 2, 2, 2), np.uint8)
HALF = Window((2, 2), (2, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.max_pool(X[0], HALF), "expected images"),
        (lambda: kernels.max_pool(X, (2, 2)), "a Window"),
        (lambda: kernels.max_pool(X, Window((5, 5))), "does not fit into images"),
        (lambda: kernels.max_pool(X, Window((1, 1), padding=((1, 1), (1, 1)))), "sees a pixel"),
        (lambda: kernels.max_pool(X, Window((3, 1), padding=((0, 0), (0, 1)))), "rows and columns"),
        (lambda: kernels.max_pool(X, Window((1, 3), padding=((1, 0), (0, 0)))), "rows and columns"),
        (lambda: kernels.max_pool_bits(X, HALF), "expected Bits or BitPlanes"),
        (lambda: kernels.max_pool_bits(kernels.pack(X), Window((5, 5))), "does not fit"),
        (
            lambda: kernels.max_pool_bits_backward(X, kernels.pack(X), kernels.pack(X), HALF),
            "and images",
        ),
        (lambda: kernels.max_pool_backward(X, FIRST, HALF, (4, 4)), "do not fit"),
        (lambda: kernels.max_pool_backward(FIRST, FIRST, HALF, (4, 4)), "expected floats"),
        (lambda: kernels.add_patches(X, HALF, (4, 4)), "do not fit"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
