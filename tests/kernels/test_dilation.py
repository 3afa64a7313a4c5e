"""Convolutions with distances between the taps, compared with filters that have zeros there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds, signs

from bitnet import InputError, kernels
from bitnet.kernels import BitPlanes, Thresholds, Window, reference

pytestmark = pytest.mark.usefixtures("implementation")

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
sizes = st.tuples(st.integers(3, 9), st.integers(3, 9))


@st.composite
def windows(draw):
    """Draw dilated windows whose padding is smaller than they are."""
    size, apart = draw(pairs), draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    most = [(n - 1) * d for n, d in zip(size, apart, strict=True)]
    pads = tuple(tuple(draw(st.integers(0, n)) for _ in range(2)) for n in most)
    return Window(size, draw(pairs), pads, draw(st.sampled_from([0, 1, -1])), apart)


def fits(window, size):
    """Return whether a window fits into images."""
    try:
        window.output(*size)
    except InputError:
        return False
    return True


def inflated(weight, window):
    """Return filters with zeros between the taps, and a window without dilation for them."""
    m, *_, c = weight.shape
    wide = np.zeros((m, *window.extent, c), weight.dtype)
    wide[:, :: window.dilation[0], :: window.dilation[1]] = weight
    return wide, Window(window.extent, window.stride, window.padding, window.border)


def by_hand(x, weight, window):
    """Return the convolution of floats as a sum over patches."""
    wide, plain = inflated(weight, window)
    return np.einsum("bhwijc,mijc->bhwm", plain.views(x, plain.border), wide)


@given(sizes, st.sampled_from([1, 3, 65]), st.sampled_from([2, 4]), windows(), seeds)
def test_integers_signs_and_gradients(size, c, m, window, seed):
    if not fits(window, size):
        return
    x, weight = signs(seed, (2, *size, c)), signs(seed + 1, (m, *window.size, c))
    bits, filters = kernels.pack(x), kernels.pack(weight)
    expected = by_hand(x, weight, window)
    z = kernels.xnor_conv(bits, filters, window)
    assert z.dtype == np.int32
    assert np.array_equal(z, expected)
    assert np.array_equal(reference.xnor_conv(bits, filters, window), expected)
    rng = np.random.default_rng(seed)
    steps = Thresholds(rng.integers(-9, 9, m).astype(np.int32), rng.integers(0, 2, m) > 0)
    assert kernels.xnor_conv_sign(bits, filters, window, steps) == kernels.threshold(z, steps)
    pixels = rng.integers(0, 256, (2, *size, c), np.uint8)
    numbers = 2.0 * pixels - 255
    own = Window(window.size, window.stride, window.padding, 0, window.dilation)
    found = kernels.plane_conv(pixels, filters, own)
    assert np.array_equal(found, by_hand(numbers, weight, own))
    planes = BitPlanes(kernels.pack(np.stack([x, -x[::-1]])), [1, 2])
    found = kernels.plane_conv(planes, filters, own)
    assert np.array_equal(found, by_hand(x - 2 * x[::-1], weight, own))

    grad = rng.integers(-9, 9, z.shape).astype(np.float32)
    wide, plain = inflated(weight, window)
    patches = np.einsum("bhwm,mijc->bhwijc", grad, wide.astype(np.float32))
    grad_x = kernels.add_patches(patches, plain, size)
    assert np.array_equal(kernels.gradient_of_images(grad, filters, window, size), grad_x)
    grad_w = np.einsum("bhwm,bhwijc->mijc", grad, plain.views(x, plain.border))
    grad_w = grad_w[:, :: window.dilation[0], :: window.dilation[1]]
    assert np.array_equal(kernels.gradient_of_filters(grad, bits, window), grad_w)
    some = np.ascontiguousarray(patches[:, :, :, :: window.dilation[0], :: window.dilation[1]])
    assert np.array_equal(kernels.add_patches(some, window, size), grad_x)


def test_groups_of_channels():
    window = Window((3, 2), padding=((2, 2), (1, 0)), dilation=(2, 3))
    x, weight = signs(0, (2, 6, 7, 6)), signs(1, (4, 3, 2, 3))
    found = kernels.xnor_conv(kernels.pack(x), kernels.pack(weight), window, groups=2)
    parts = zip(np.split(x, 2, axis=3), np.split(weight, 2), strict=True)
    expected = np.concatenate([by_hand(a, b, window) for a, b in parts], axis=3)
    assert np.array_equal(found, expected)


def test_one_tap_has_no_dilation():
    assert Window((1, 3), dilation=(5, 2)).dilation == (1, 2)
    assert not Window((1, 1), dilation=(5, 2)).is_dilated
    assert Window((3, 2), dilation=(2, 3)).extent == (5, 4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"padding is .* for taps over"):
        Window((2, 2), padding=((3, 0), (0, 0)), dilation=(2, 2))
    with pytest.raises(InputError, match="dilation"):
        Window((2, 2), dilation=(0, 1))
    window = Window((2, 2), padding=((2, 2), (2, 2)), dilation=(3, 3))
    with pytest.raises(InputError, match=r"a dilation of \(3, 3\) for images of 2 x 5"):
        window.output(2, 5)
    with pytest.raises(InputError, match="max_pool: the window has a dilation"):
        kernels.max_pool(np.zeros((1, 8, 8, 1), np.float32), window)
