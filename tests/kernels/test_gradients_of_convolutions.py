"""The backward products of convolutions, compared with the definition."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from bitnet import InputError, kernels
from bitnet.kernels import Codebook, Rounding, Window

pytestmark = pytest.mark.usefixtures("implementation")

pads = st.tuples(st.integers(0, 2), st.integers(0, 2))
windows = st.builds(
    Window,
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(pads, pads),
    border=st.sampled_from([0, 1, -1]),
)
channels = st.sampled_from([1, 3, 7, 32, 63, 64, 65, 130])
outputs = st.sampled_from([1, 4, 16, 33])


def same(name, *args, drawn=None, **kwargs):
    """Compare a kernel with the reference, bit for bit."""

    def run():
        rng = None if drawn is None else np.random.default_rng(drawn)
        return getattr(kernels, name)(*args, rng=rng, **kwargs)

    got = run()
    with kernels.using("reference"):
        expected = run()
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


@given(
    windows,
    channels,
    outputs,
    st.integers(0, 3),
    st.sampled_from([4, 6, 8]),
    st.none() | st.integers(0, 99),
    seeds,
)
def test_integers(window, n, m, n_images, bits, drawn, seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(3, 8, 2).tolist()
    grad = rng.standard_normal((n_images, *window.output(*size), m), np.float32)
    weight = kernels.pack(rng.standard_normal((m, *window.size, n)))
    same("gradient_of_images", grad, weight, window, size, bits=bits, drawn=drawn)
    x = kernels.pack(rng.standard_normal((n_images, *size, n)))
    same("gradient_of_filters", grad, x, window, bits=bits, drawn=drawn)
    pixels = rng.integers(0, 256, (n_images, *size, min(n, 33)), dtype=np.uint8)
    same("gradient_of_filters", grad, pixels, window, bits=bits, drawn=drawn)


@functools.cache
def gradients_of_many(bits, implementation):
    """Return both gradients of a convolution with several blocks and parts of blocks."""
    rng = np.random.default_rng(0)
    window = Window((3, 3), padding=((1, 1), (1, 1)))
    grad = rng.standard_normal((5, 34, 36, 270), np.float32)
    weight = kernels.pack(rng.standard_normal((270, 3, 3, 66)))
    x = kernels.pack(rng.standard_normal((5, 34, 36, 66)))
    return (
        kernels.gradient_of_images(grad, weight, window, (34, 36), bits),
        kernels.gradient_of_filters(grad, x, window, bits),
    )


@pytest.mark.parametrize("bits", [None, 8])
def test_many_filters_and_images_need_several_blocks_and_parts(implementation, bits):
    got = gradients_of_many(bits, implementation)
    with kernels.using("reference"):
        expected = gradients_of_many(bits, "reference")
    for one, other in zip(got, expected, strict=True):
        if bits:
            np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("border", [0, 1])
def test_a_few_images_at_a_time_on_several_threads(monkeypatch, n_threads, border):
    conv_backward = "bitnet.kernels.cpu.conv_backward"
    for name in (f"{conv_backward}.{limit}" for limit in ("BITS", "BITS_IN_FLOATS", "TRANSPOSED")):
        monkeypatch.setattr(name, 1, raising=False)
    monkeypatch.setattr("bitnet.kernels.threads._threads", n_threads)
    monkeypatch.setattr("bitnet.kernels.threads.LEAST_NS", 1)
    rng, window = np.random.default_rng(3), Window((3, 2), (2, 1), ((1, 1), (0, 1)), border)
    grad = rng.standard_normal((5, *window.output(8, 7), 37), np.float32)
    planes = Codebook.uniform(2).planes(rng.integers(0, 4, (5, 8, 7, 20), dtype=np.uint8))
    pixels = rng.integers(0, 256, (5, 8, 7, 3), dtype=np.uint8)
    for x in (kernels.pack(rng.standard_normal((5, 8, 7, 66))), planes, pixels):
        for drawn in (None, 4):
            same("gradient_of_filters", grad, x, window, bits=8, drawn=drawn)
        same("gradient_of_filters", grad, x, window, bits=Rounding("dorefa", 4), drawn=4)


@given(windows, st.sampled_from([np.float32, np.float64]), seeds)
def test_floats(window, dtype, seed):
    rng = np.random.default_rng(seed)
    grad = rng.standard_normal((2, *window.output(6, 5), 5)).astype(dtype)
    weight = kernels.pack(rng.standard_normal((5, *window.size, 7)))
    x = kernels.pack(rng.standard_normal((2, 6, 5, 7)))
    pixels = rng.integers(0, 256, (2, 6, 5, 2), dtype=np.uint8)
    calls = [("gradient_of_images", weight, window, (6, 5))]
    calls += [("gradient_of_filters", images, window) for images in (x, pixels)]
    for name, *args in calls:
        got = getattr(kernels, name)(grad, *args)
        with kernels.using("reference"):
            expected = getattr(kernels, name)(grad, *args)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-2)


@given(st.sampled_from([(2, 128), (2, 6), (3, 9)]), seeds)
def test_groups_are_convolutions_beside_each_other(sizes, seed):
    groups, n = sizes
    rng = np.random.default_rng(seed)
    window = Window((2, 3), padding=((0, 1), (1, 1)))
    x = rng.standard_normal((2, 4, 5, n))
    weight = rng.standard_normal((4 * groups, 2, 3, n // groups))
    grad = rng.standard_normal((2, 4, 5, 4 * groups), np.float32)
    pixels = rng.integers(0, 256, x.shape, dtype=np.uint8)
    steps = kernels.Thresholds(
        rng.integers(-9, 9, 4 * groups).astype(np.int32), rng.random(4 * groups) < 0.5
    )
    bits, filters = kernels.pack(x), kernels.prepare(kernels.pack(weight))
    got = [
        kernels.xnor_conv(bits, filters, window, groups),
        kernels.plane_conv(pixels, filters, window, groups),
        kernels.xnor_conv_sign(bits, filters, window, steps, groups).signs(),
        kernels.gradient_of_images(grad, filters, window, (4, 5), 8, None, groups),
    ]
    down = [kernels.gradient_of_filters(grad, i, window, 8, None, groups) for i in (bits, pixels)]
    for g in range(groups):
        some, own = slice(g * n // groups, (g + 1) * n // groups), slice(4 * g, 4 * g + 4)
        part, filters = kernels.pack(x[..., some]), kernels.pack(weight[own])
        photo, z = pixels[..., some].copy(), grad[..., own].copy()
        step = kernels.Thresholds(steps.values[own], steps.increasing[own])
        expected = [
            kernels.xnor_conv(part, filters, window),
            kernels.plane_conv(photo, filters, window),
            kernels.xnor_conv_sign(part, filters, window, step).signs(),
        ]
        for one, other in zip(got, expected, strict=False):
            np.testing.assert_array_equal(one[..., own], other)
        images = kernels.gradient_of_images(z, filters, window, (4, 5), 8)
        np.testing.assert_array_equal(got[3][..., some], images)
        for one, seen in zip(down, (part, photo), strict=True):
            other = kernels.gradient_of_filters(z, seen, window, 8)
            np.testing.assert_array_equal(one[own], other)


@pytest.mark.parametrize("groups", [1, 2])
def test_no_filters_at_all(groups):
    x, weight = kernels.pack(np.ones((1, 3, 3, 4))), kernels.pack(np.ones((0, 2, 2, 4 // groups)))
    grad, window = np.zeros((1, 2, 2, 0), np.float32), Window((2, 2))
    pixels = np.zeros((1, 3, 3, 4), np.uint8)
    assert kernels.xnor_conv(x, weight, window, groups).shape == (1, 2, 2, 0)
    assert kernels.plane_conv(pixels, weight, window, groups).shape == (1, 2, 2, 0)
    for bits in (None, 8):
        rule = bits, None, groups
        assert not kernels.gradient_of_images(grad, weight, window, (3, 3), *rule).any()
        for images in (x, pixels):
            shape = kernels.gradient_of_filters(grad, images, window, *rule).shape
            assert shape == weight.shape


def test_groups_that_do_not_divide_are_refused():
    x, weight = kernels.pack(np.ones((1, 2, 2, 4))), kernels.pack(np.ones((3, 1, 1, 2)))
    for groups in (2, 0, 1.5):
        with pytest.raises(InputError, match="divides both"):
            kernels.xnor_conv(x, weight, Window((1, 1)), groups)


def test_what_is_not_finite_gives_no_finite_gradient():
    grad = np.zeros((1, 2, 2, 3), np.float32)
    grad[0, 0, 0, 1] = np.nan
    x = kernels.pack(np.ones((1, 2, 2, 4)))
    got = kernels.gradient_of_filters(grad, x, Window((1, 1)), 8)
    assert not np.isfinite(got[1]).any()
    assert (got[[0, 2]] == 0).all()


GRAD, BITS = np.zeros((1, 2, 2, 3), np.float32), kernels.pack(np.ones((3, 1, 1, 4)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.gradient_of_images(GRAD, BITS, Window((1, 1)), (3, 2)), "not fit"),
        (lambda: kernels.gradient_of_images(GRAD, BITS, Window((2, 1)), (3, 2)), "not fit"),
        (lambda: kernels.gradient_of_images(GRAD, BITS, None, (2, 2)), "not fit"),
        (lambda: kernels.gradient_of_images(GRAD, BITS, Window((1, 1)), (2, 2), 9), "2 to 8"),
        (lambda: kernels.gradient_of_images(GRAD, GRAD, Window((1, 1)), (2, 2)), "Bits"),
        (lambda: kernels.gradient_of_filters(GRAD, BITS, Window((1, 1))), "not fit"),
        (lambda: kernels.gradient_of_filters(GRAD, GRAD, Window((1, 1))), "uint8"),
        (lambda: kernels.gradient_of_filters(GRAD[0], BITS, Window((1, 1))), "not fit"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
