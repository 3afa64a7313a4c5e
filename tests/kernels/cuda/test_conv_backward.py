"""Gradients of convolutions on a GPU, compared with the definitions, exactly for integers."""

import numpy as np
import pytest
from strategies import signs

from bitnet.kernels import BitPlanes, Window, reference

RNG = np.random.default_rng(0)
WINDOWS = [Window((2, 2), (2, 1), ((1, 0), (0, 1)), border) for border in (0, 1, -1)]


def bits(seed, *shape):
    return reference.pack(signs(seed, shape))


def planes(*shape):
    return BitPlanes(bits(5, 2, *shape), [1, -3], 0.5, 1)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


FILTERS = [bits(1, 5, 2, 2, 7), planes(5, 2, 2, 7)]


INTEGERS = [(0, 0, 31, False), (1, 1, 31, False), (2, 0, 255, True), (0, 1, 255, True)]


@pytest.mark.parametrize(
    ("border", "weight", "largest", "odd"), [*INTEGERS, (1, 0, None, False), (2, 1, None, False)]
)
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
