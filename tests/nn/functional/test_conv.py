"""Convolutions and pooling in training: quantized gradients, one result in every implementation."""

import numpy as np
import pytest

import bitnet
import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor, kernels
from bitnet.autograd import Parameter
from bitnet.kernels import Window

SAME = Window((3, 3), padding=((1, 1), (1, 1)))
RNG = np.random.default_rng(0)
LATENT = RNG.uniform(-1, 1, (6, 3, 3, 70)).astype(np.float32)
FIRST = RNG.uniform(-1, 1, (6, 3, 3, 3)).astype(np.float32)
IMAGES = RNG.standard_normal((4, 6, 5, 70)).astype(np.float32)
PIXELS = RNG.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
GRAD = RNG.standard_normal((4, 6, 5, 6)).astype(np.float32)


def gradients(gradient, x, latent, window=SAME, rng=None):
    """The gradients of the images, if they have one, and of the filters."""
    weight = Parameter(latent)
    inputs = Tensor(x, requires_grad=x.dtype == np.float32)
    signs = F.sign(inputs, clip_value=None) if x.dtype == np.float32 else inputs
    z = F.quantized_conv2d(signs, F.sign(weight, clip_value=None), window, gradient, rng)
    z.backward(GRAD)
    return [g for g in (inputs.grad, weight.grad) if g is not None]


@pytest.mark.parametrize("gradient", ["int8", "int6", "int4"])
@pytest.mark.parametrize(("x", "latent"), [(IMAGES, LATENT), (PIXELS, FIRST)])
def test_quantized_gradients_are_near_the_exact_ones(gradient, x, latent):
    step = 1 / (2 ** (int(gradient[3:]) - 1) - 1)
    for exact, got in zip(
        gradients("float32", x, latent), gradients(gradient, x, latent), strict=True
    ):
        assert 0 < abs(got - exact).max() < step * abs(exact).max()


@pytest.mark.parametrize("border", [0, 1, -1])
@pytest.mark.parametrize(("x", "latent"), [(IMAGES, LATENT), (PIXELS, FIRST)])
@pytest.mark.parametrize("drawn", [False, True])
def test_every_implementation_gives_the_same_gradients(implementation, border, x, latent, drawn):
    window = Window((3, 3), padding=((1, 1), (1, 1)), border=border)
    results = []
    for name in (kernels.implementation(), "reference"):
        with kernels.using(name):
            rng = np.random.default_rng(3) if drawn else None
            results.append(gradients("int8", x, latent, window, rng))
    assert all(map(np.array_equal, *results))


def test_pixels_may_be_overwritten_after_the_forward_pass():
    expected = gradients("float32", PIXELS, FIRST)
    buffer, weight = PIXELS.copy(), Parameter(FIRST)
    z = F.quantized_conv2d(buffer, F.sign(weight, clip_value=None), SAME)
    buffer[:] = 0
    z.backward(GRAD)
    assert np.array_equal(weight.grad, expected[0])


def test_max_pooling_of_integers_and_of_ties():
    x = RNG.integers(-9, 10, (2, 6, 4, 3)).astype(np.int32)
    y = F.max_pool2d(x, Window((2, 2), (2, 2)))
    assert y.data.dtype == np.int32
    assert np.array_equal(y.data, x.reshape(2, 3, 2, 2, 2, 3).max(axis=(2, 4)))
    x = Tensor(np.zeros((1, 2, 2, 1)), requires_grad=True)  # all four are the largest
    F.max_pool2d(x, Window((2, 2))).backward(np.ones((1, 1, 1, 1)))
    assert np.array_equal(x.grad.ravel(), [1, 0, 0, 0])


def test_a_window_with_padding_along_its_longer_axis():
    x = RNG.integers(-9, 10, (2, 3, 4, 5)).astype(np.int32)
    window, least = Window((1, 3), padding=((0, 0), (1, 1))), np.full((2, 3, 1, 5), -99)
    wide = np.concatenate([least, x, least], axis=2)
    expected = np.maximum(np.maximum(wide[:, :, :-2], wide[:, :, 1:-1]), wide[:, :, 2:])
    assert (F.max_pool2d(x, window).data == expected).all()


@pytest.mark.parametrize("channels", [64, 70])
def test_flattened_bits_are_the_flattened_numbers(channels):
    x = RNG.choice([-1.0, 1.0], (3, 2, 2, channels))
    assert F.flatten(kernels.pack(x)).data == kernels.pack(x.reshape(3, -1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.conv2d(IMAGES, FIRST, np.zeros(6), SAME), "do not fit"),
        (lambda: F.conv2d(IMAGES, LATENT, np.zeros(5), SAME), "a bias"),
        (lambda: F.conv2d(IMAGES, LATENT, np.zeros(6), 3), "a Window"),
        (lambda: F.quantized_conv2d(IMAGES, F.sign(LATENT), SAME), "apply sign first"),
        (lambda: F.quantized_conv2d(PIXELS, F.sign(FIRST), SAME, "int9"), "int9"),
        (lambda: F.quantized_conv2d(PIXELS, F.sign(FIRST), Window((2, 2))), "do not fit"),
        (lambda: F.max_pool2d(IMAGES[0], SAME), "expected images"),
        (lambda: F.max_pool2d(kernels.pack(IMAGES), 3), "a Window"),
        (lambda: F.max_pool2d(IMAGES, Window((1, 1), padding=((1, 1), (1, 1)))), "sees a pixel"),
        (lambda: F.avg_pool2d(IMAGES.astype(np.int64), SAME), "expected floats"),
        (
            lambda: F.avg_pool2d(np.full((1, 7, 7, 1), 50_000_000, np.int32), Window((7, 7))),
            "sum of 49 integers of up to 50000000 can overflow int32",
        ),
        (lambda: F.avg_pool2d(IMAGES, Window((9, 9))), "does not fit into images"),
        (lambda: F.flatten(np.ones(3)), r"expected \(B, ...\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_step_in_every_implementation(implementation):
    """A small ConvNet, weights and statistics after two steps, bit for bit."""
    results = []
    for name in (kernels.implementation(), "reference"):
        with kernels.using(name):
            rng = np.random.default_rng(5)
            net = bitnet.nn.Sequential(
                bitnet.nn.BinaryConv2d(
                    3, 66, rng=rng, kernel_size=3, padding="same", grad_format="int8"
                ),
                bitnet.nn.BatchNorm(66),
                bitnet.nn.Sign(),
                bitnet.nn.BinaryConv2d(
                    66,
                    8,
                    rng=rng,
                    stride=2,
                    border=1,
                    kernel_size=3,
                    padding="same",
                    grad_format="int8",
                ),
                bitnet.nn.MaxPool2d(),
                bitnet.nn.BatchNorm(8),
                bitnet.nn.Sign(),
                bitnet.nn.Flatten(),
                bitnet.nn.BinaryLinear(8, 3, rng=rng, grad_format="int8"),
                bitnet.nn.BatchNorm(3),
            )
            adam = bitnet.optim.Adam(net.parameters(), 0.01)
            for _ in range(2):
                adam.zero_grad()
                F.squared_hinge(net(PIXELS[:, :4, :4]), np.array([0, 1, 2, 1])).backward()
                adam.step()
            results.append(net.state_dict())
    assert all(np.array_equal(results[0][key], results[1][key]) for key in results[1])
