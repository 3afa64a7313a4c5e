"""Layers of images: windows from numbers, learning, kept signs, refusals."""

import math

import numpy as np
import pytest

import bitnet
from bitnet import InputError, kernels
from bitnet.nn import (
    AvgPool2d,
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sign,
    functional,
)
from bitnet.nn.conv import window_of

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, (2, 3)])
def test_same_keeps_the_size(size):
    assert window_of(size, padding="same").output(7, 8) == (7, 8)
    assert window_of(size, padding="valid").padding == ((0, 0), (0, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "3"}, "size is '3'"),
        ({"size": (3, 3, 3)}, "size is"),
        ({"size": 3, "padding": "full"}, '"same" or "valid"'),
        ({"size": 3, "stride": 1.5}, "stride is 1.5"),
        ({"size": 3, "border": 5}, "border 5"),
    ],
)
def test_windows_that_there_are_not(arguments, message):
    with pytest.raises(InputError, match=message):
        window_of(**arguments)


def stripes(n):
    """Images of horizontal (0) or vertical (1) stripes, with noise."""
    labels = RNG.integers(0, 2, n)
    x = np.zeros((n, 8, 8, 1))
    x[labels == 0, ::2] = x[labels == 1, :, ::2] = 150
    return (x + RNG.integers(0, 100, x.shape)).astype(np.uint8), labels


def binary_net(rng):
    return Sequential(
        BinaryConv2d(1, 16, rng=rng, kernel_size=3, padding="same"),
        BatchNorm(16),
        Sign(),
        BinaryConv2d(16, 16, rng=rng, kernel_size=3, padding="same"),
        MaxPool2d(),
        BatchNorm(16),
        Sign(),
        Flatten(),
        BinaryLinear(256, 2, rng=rng),
        BatchNorm(2),
    )


def float_net(rng):
    return Sequential(
        Conv2d(1, 8, rng=rng, kernel_size=3, padding="same"),
        BatchNorm(8),
        ReLU(),
        Conv2d(8, 8, rng=rng, stride=2, kernel_size=3, padding="same"),
        AvgPool2d(2),
        Flatten(),
        Linear(32, 2, rng=rng),
    )


@pytest.mark.parametrize("build", [binary_net, float_net])
def test_a_convnet_learns_stripes(build):
    net = build(np.random.default_rng(1))
    adam = bitnet.optim.Adam(net.parameters(), 0.01)
    for _ in range(30):
        x, labels = stripes(50)
        x = x if build is binary_net else bitnet.data.scale_pixels(x)
        adam.zero_grad()
        functional.squared_hinge(net(x), labels).backward()
        adam.step()
    x, labels = stripes(200)
    x = x if build is binary_net else bitnet.data.scale_pixels(x)
    assert bitnet.training.evaluate(net, x, labels) == 1.0


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_the_same_padding_at_every_stride(stride, dilation):
    for size in (1, 2, 3, 4):
        window = window_of(size, stride, "same", dilation=dilation)
        assert window.output(7, 8) == (-(-7 // stride), -(-8 // stride))


def test_padding_of_each_side():
    assert window_of(3, padding=((0, 1), (2, 0))).padding == ((0, 1), (2, 0))
    assert window_of(3, padding=(1, 2)).padding == ((1, 1), (2, 2))
    assert window_of((3, 1), padding=((0, 1), 0)).padding == ((0, 1), (0, 0))


def test_a_step_leaves_the_signs_of_the_filters():
    layer = BinaryConv2d(3, 5, rng=np.random.default_rng(0), kernel_size=3, padding="same")
    before = layer.bits
    adam = bitnet.optim.Adam(layer.parameters(), 0.5)
    z = layer(RNG.integers(0, 256, (2, 4, 4, 3), dtype=np.uint8))
    z.backward(RNG.standard_normal(z.shape).astype(np.float32))
    adam.step()
    assert layer.weight.has_signs
    assert layer.bits == kernels.pack(layer.weight.data)
    assert adam.flips == kernels.count_flips(before, layer.bits) > 0
    assert abs(layer.weight.data).max() <= 1
    assert layer.weight.lr_scale == math.sqrt(8 * 9 / 1.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BinaryConv2d(0, 5, rng=RNG, kernel_size=3, padding="same"), "in_channels is 0"),
        (
            lambda: BinaryConv2d(3, 2.5, rng=RNG, kernel_size=3, padding="same"),
            "out_channels is 2.5",
        ),
        (lambda: BinaryConv2d(3, 5, rng=7, kernel_size=3, padding="same"), "Generator"),
        (
            lambda: BinaryConv2d(3, 5, rng=RNG, grad_format="int3", kernel_size=3, padding="same"),
            "int3",
        ),
        (
            lambda: BinaryConv2d(3, 5, rng=RNG, kernel_size=3, padding="same")(
                np.zeros((2, 4, 4, 4), np.uint8)
            ),
            r"\(B, H, W, 3\)",
        ),
        (
            lambda: Conv2d(3, 5, rng=RNG, kernel_size=3, padding="same")(
                np.zeros((4, 4, 3), np.float32)
            ),
            r"\(B, H, W, 3\)",
        ),
        (
            lambda: BinaryConv2d(3, 5, rng=RNG, kernel_size=3, padding="same")(
                np.zeros((2, 4, 4, 3), np.int32)
            ),
            "sign",
        ),
        (
            lambda: BinaryConv2d(3, 5, rng=RNG, kernel_size=(1, 3), padding=(1, 1)),
            "smaller than the numbers of their rows and columns",
        ),
        (lambda: MaxPool2d((1, 3), 1, (1, 0))(np.zeros((2, 4, 4, 3), np.float32)), "sees a pixel"),
        (lambda: MaxPool2d(9)(np.zeros((2, 4, 4, 3), np.float32)), "does not fit into images"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_layers_say_what_they_are():
    net = Sequential(
        BinaryConv2d(3, 5, rng=RNG, kernel_size=3, padding="same"),
        MaxPool2d(),
        AvgPool2d((2, 3)),
        Flatten(),
    )
    assert (
        repr(net.layers) == "[BinaryConv2d(3, 5, 3x3), MaxPool2d(2x2), AvgPool2d(2x3), Flatten()]"
    )
