"""Convolutions on a GPU, compared with the definitions: strides, padding, borders, planes."""

import numpy as np
import pytest
from strategies import signs

from bitnet.kernels import BitPlanes, Thresholds, Window, reference

RNG = np.random.default_rng(0)
WINDOWS = [
    Window((3, 2), (2, 1), ((1, 0), (1, 1)), 0),
    Window((3, 2), (2, 1), ((1, 0), (1, 1)), 1),
    Window((3, 2), (2, 1), ((1, 0), (1, 1)), -1),
    Window((1, 1)),
]


def bits(seed, *shape):
    return reference.pack(signs(seed, shape))


def planes(coefficients, offset, *shape):
    return BitPlanes(bits(offset + 3, len(coefficients), *shape), coefficients, 1, offset)


@pytest.mark.parametrize("window", WINDOWS)
def test_xnor_conv_and_its_signs(gpu_kernels, small_blocks, rung, window):
    x, weight = bits(1, 2, 4, 3, 70), bits(2, 5, *window.size, 70)
    expected = reference.xnor_conv(x, weight, window)
    z = gpu_kernels.xnor_conv(x, weight, window)
    assert z.dtype == np.int32
    assert np.array_equal(z, expected)
    values = RNG.integers(-20, 20, 5).astype(np.int32)
    own = Thresholds(values, np.arange(5) % 2 == 0)
    assert gpu_kernels.xnor_conv_sign(x, weight, window, own) == reference.threshold(expected, own)


def test_more_pixels_and_channels_than_a_warp_has(gpu_kernels, small_blocks):
    window = Window((3, 3), padding=((1, 1), (1, 1)))
    x, weight = bits(1, 1, 6, 3, 3), gpu_kernels.prepare(bits(2, 66, 3, 3, 3))
    with gpu_kernels.using_rung("tensor"):
        for _ in range(2):
            z = gpu_kernels.xnor_conv(x, weight, window)
            assert np.array_equal(z, reference.xnor_conv(x, bits(2, 66, 3, 3, 3), window))


@pytest.mark.parametrize("window", WINDOWS[:3])
def test_plane_conv(gpu_kernels, small_blocks, window):
    x, weight = planes([1, -3], 1, 1, 4, 3, 7), planes([2, 1], -1, 5, *window.size, 7)
    for left, right in ((x, weight), (x, weight.bits[0]), (x.bits[0], weight)):
        z = gpu_kernels.plane_conv(left, right, window)
        assert z.dtype == np.int32
        assert np.array_equal(z, reference.plane_conv(left, right, window))


@pytest.mark.parametrize("window", WINDOWS[:3])
def test_plane_conv_of_pixels(gpu_kernels, small_blocks, window):
    x = RNG.integers(0, 256, (1, 4, 3, 3), dtype=np.uint8)
    for weight in (bits(1, 5, *window.size, 3), planes([2, 1], -1, 5, *window.size, 3)):
        z = gpu_kernels.plane_conv(x, weight, window)
        assert z.dtype == np.int32
        assert np.array_equal(z, reference.plane_conv(x, weight, window))


def test_without_images_or_filters(gpu_kernels, small_blocks):
    no_images = bits(1, 0, 3, 3, 5), bits(2, 4, 1, 1, 5)
    for x, weight in (no_images, (bits(1, 2, 3, 3, 5), bits(2, 0, 1, 1, 5))):
        z = gpu_kernels.xnor_conv(x, weight, WINDOWS[3])
        assert z.shape == reference.xnor_conv(x, weight, WINDOWS[3]).shape
