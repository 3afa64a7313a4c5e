"""Low-bit integers in products and convolutions of every implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from bitnet import InputError, kernels
from bitnet.kernels import BitPlanes, Codebook, Window

pytestmark = pytest.mark.usefixtures("implementation")

TERNARY = Codebook([0, 1, 3], [1, 1], 0.5)
WIDE = Codebook(range(4), [1, 299])  # 300 does not fit in a byte, unlike sums of powers of two
codebook = st.one_of(
    st.builds(Codebook.uniform, st.integers(1, 8), st.just(0.5), st.sampled_from([0, 1, 255, -3])),
    st.sampled_from([TERNARY, WIDE]),
)
pads = st.tuples(st.integers(0, 2), st.integers(0, 2))
windows = st.builds(
    Window,
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(pads, pads),
    border=st.sampled_from([0, 1, -1]),
)
channels = st.sampled_from([1, 3, 7, 16, 63, 64, 65])


def planes(rng, own, shape):
    return own.planes(rng.integers(0, len(own), shape).astype(np.uint8))


def operand(rng, own, shape):
    """Draw BitPlanes of a codebook, Bits for None, or pixels for "pixels"."""
    if own is None:
        return kernels.pack(rng.standard_normal(shape))
    return (
        rng.integers(0, 256, shape, dtype=np.uint8) if own == "pixels" else planes(rng, own, shape)
    )


def integers(x):
    if isinstance(x, BitPlanes):
        return x.integers().astype(np.int64)
    return 2 * x.astype(np.int64) - 255 if isinstance(x, np.ndarray) else x.signs(np.int64)


@given(
    st.none() | st.just("pixels") | codebook,
    st.none() | codebook,
    st.integers(0, 6),
    st.integers(1, 70),
    channels,
    st.booleans(),
    seeds,
)
def test_plane_gemm(left, right, b, m, n, kept, seed):
    rng = np.random.default_rng(seed)
    x, weight = operand(rng, left, (b, n)), operand(rng, right, (m, n))
    weight = kernels.prepare(weight) if kept else weight
    for _ in range(1 + kept):
        z = kernels.plane_gemm(x, weight)
        assert z.dtype == np.int32
        np.testing.assert_array_equal(z, integers(x) @ integers(weight).T)


@pytest.mark.parametrize(
    "own", [Codebook(range(8), [40, 80, 160]), Codebook(range(8), [30, 60, 120], offset=7)]
)
def test_sums_that_int32_holds_of_parts_that_it_does_not(own):
    """Numbers with a common divisor become bytes with a large factor and a large base."""
    rng, n = np.random.default_rng(0), 20000
    x, weight = planes(rng, own, (3, n)), planes(rng, own, (5, n))
    np.testing.assert_array_equal(kernels.plane_gemm(x, weight), integers(x) @ integers(weight).T)
    images = x.with_bits(kernels.pack(x.bits.signs().reshape(3, 3, 2, 2, 5000)))
    filters = weight.with_bits(kernels.pack(weight.bits.signs().reshape(3, 5, 2, 2, 5000)))
    z = kernels.plane_conv(images, filters, Window((2, 2)))
    np.testing.assert_array_equal(z[:, 0, 0], integers(x) @ integers(weight).T)


@given(
    st.none() | st.just("pixels") | codebook,
    st.none() | codebook,
    windows,
    channels,
    st.sampled_from([1, 2, 5, 65]),
    st.integers(0, 2),
    seeds,
)
def test_plane_conv(left, right, window, n, m, n_images, seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(3, 7, 2).tolist()
    x = operand(rng, left, (n_images, *size, n))
    weight = operand(rng, right, (m, *window.size, n))
    z = kernels.plane_conv(x, weight, window)
    with kernels.using("reference"):
        expected = kernels.plane_conv(x, weight, window)
    assert z.dtype == expected.dtype == np.int32
    np.testing.assert_array_equal(z, expected)


@pytest.mark.parametrize("border", [0, 1, -1])
def test_what_stands_beyond_the_images(border):
    own = Codebook.uniform(2, offset=3)  # 0, 2, 4, 6
    x = own.planes(np.full((1, 1, 1, 1), 1, np.uint8))
    weight = Codebook.uniform(2).planes(np.full((1, 1, 3, 1), 3, np.uint8))  # 3
    window = Window((1, 3), padding=((0, 0), (1, 1)), border=border)
    outside = {0: 0, 1: 6, -1: 0}[border]
    assert kernels.plane_conv(x, weight, window).ravel().tolist() == [3 * (2 + 2 * outside)]


@given(
    st.none() | codebook,
    st.none() | codebook,
    windows,
    channels,
    st.sampled_from([1, 4, 33]),
    st.sampled_from([4, 6, 8]),
    st.none() | st.integers(0, 99),
    seeds,
)
def test_gradients(left, right, window, n, m, bits, drawn, seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(3, 7, 2).tolist()
    x = operand(rng, left, (2, *size, n))
    weight = operand(rng, right, (m, *window.size, n))
    grad = rng.standard_normal((2, *window.output(*size), m), np.float32)

    def run():
        draw = [None if drawn is None else np.random.default_rng(drawn) for _ in range(2)]
        images = kernels.gradient_of_images(grad, weight, window, size, bits, draw[0])
        return images, kernels.gradient_of_filters(grad, x, window, bits, draw[1])

    got = run()
    with kernels.using("reference"):
        expected = run()
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("own", [Codebook.uniform(3), TERNARY, Codebook.uniform(2, offset=3)])
def test_gradients_of_floats(own):
    rng = np.random.default_rng(0)
    window = Window((3, 3), padding=((1, 1), (1, 1)))
    x, weight = planes(rng, own, (2, 4, 5, 7)), planes(rng, own, (6, 3, 3, 7))
    grad = rng.standard_normal((2, 4, 5, 6)).astype(np.float32)
    got = [
        kernels.gradient_of_images(grad, weight, window, (4, 5)),
        kernels.gradient_of_filters(grad, x, window),
    ]
    with kernels.using("reference"):
        expected = [
            kernels.gradient_of_images(grad, weight, window, (4, 5)),
            kernels.gradient_of_filters(grad, x, window),
        ]
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("n", [6, 128])
def test_groups(groups, n):
    rng = np.random.default_rng(0)
    own, window = Codebook.uniform(3), Window((2, 2))
    x, weight = planes(rng, own, (2, 4, 4, n)), planes(rng, own, (4, 2, 2, n // groups))
    z = kernels.plane_conv(x, kernels.prepare(weight), window, groups)
    values, filters = x.integers(), weight.integers()
    parts = [
        window.views(values[..., i * n // groups : (i + 1) * n // groups]) for i in range(groups)
    ]
    m = 4 // groups
    expected = [
        np.einsum("bhwijc,mijc->bhwm", part, filters[i * m : (i + 1) * m])
        for i, part in enumerate(parts)
    ]
    np.testing.assert_array_equal(z, np.concatenate(expected, axis=-1))


def test_rows_of_planes():
    x = planes(np.random.default_rng(0), Codebook.uniform(2, 0.5, 3), (2, 3, 3, 5))
    rows = kernels.flatten(x)
    np.testing.assert_array_equal(rows.integers(), x.integers().reshape(2, 45))
    assert (rows.unit, rows.offset) == (0.5, 3)


def test_sums_that_pass_int32_are_refused():
    x = BitPlanes(kernels.pack(np.ones((1, 1, 1, 1, 3))), [1 << 30])
    with pytest.raises(InputError, match="can overflow int32"):
        kernels.plane_conv(x, kernels.pack(np.ones((1, 1, 1, 3))), Window((1, 1)))
