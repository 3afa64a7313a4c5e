"""Dropout before convolutions and average poolings: exact integers times a scale, as in floats."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import bitnet.nn.functional as F  # noqa: N812
from bitnet import Tensor, kernels, nn
from bitnet.kernels import BitPlanes, Bits, Window
from bitnet.quantizers import LinearQuant, Uniform

pytestmark = pytest.mark.usefixtures("implementation")

PIXELS = "pixels"
QUANTIZERS = Uniform(1), Uniform(2), LinearQuant(2, 0.5, signed=False), LinearQuant(3, 0.25), PIXELS


def dropped(quantizer, shape, p, seed):
    """Return images of a quantizer before and after a dropout, and its mask, None for pixels."""
    rng = np.random.default_rng(seed)
    images = Tensor(rng.normal(0, 1, shape), requires_grad=quantizer != PIXELS)
    if quantizer == PIXELS:
        images = Tensor(rng.integers(0, 256, shape, dtype=np.uint8))
        return images, F.dropout(images, p, rng), None
    planes = F.dropout(F.quantize(images, quantizer, straight=True), p, rng)
    return images, planes, planes.creator.keep.signs() > 0


def border_of(quantizer, border):
    """Return the integer of a border pixel before a dropout: all planes +1, or all -1."""
    if quantizer == PIXELS or not border:
        return border * 255
    integers = quantizer.codebook.integers
    return integers.max() if border > 0 else integers.min()


def padded(planes, quantizer, window, p):
    """Return the numbers of images with their border, which no dropout sets to zero."""
    fill = border_of(quantizer, window.border) / (1 - p)
    pads = (0, 0), *window.padding, (0, 0)
    return np.pad(planes.numbers(np.float64), pads, constant_values=fill)


CASES = given(
    quantizer=st.sampled_from(QUANTIZERS),
    weights=st.sampled_from((Uniform(1), Uniform(2))),
    border=st.sampled_from((0, 1, -1)),
    groups=st.sampled_from((1, 3)),
    stride=st.sampled_from(((1, 1), (2, 1))),
    channels=st.sampled_from((1, 2, 64, 65)),
    p=st.sampled_from((0.0, 0.2, 0.5, 0.9)),
    seed=st.integers(0, 99),
)


@CASES
def test_a_convolution_is_that_of_the_floats(
    quantizer, weights, border, groups, stride, channels, p, seed
):
    rng = np.random.default_rng(seed)
    window = Window((2, 3), stride, ((1, 0), (1, 2)), border)
    images, planes, keep = dropped(quantizer, (2, 4, 3, channels * groups), p, seed)
    assert isinstance(planes.data, BitPlanes)
    latent = Tensor(rng.normal(0, 1, (groups * 2, 2, 3, channels)), requires_grad=True)
    weight = F.quantize(latent, weights, straight=True)
    z = F.quantized_conv2d(planes, weight, window, groups=groups)
    assert z.data.dtype == (np.int32 if planes.data.scale == 1 else np.float32)

    x = Tensor(padded(planes.data, quantizer, window, p), requires_grad=True)
    whole = weight.data.signs() if isinstance(weight.data, Bits) else weight.data.integers()
    filters = Tensor(whole.astype(np.float64), requires_grad=True)
    valid = Window(window.size, window.stride)
    expected = F.conv2d(x, filters, np.zeros(len(whole)), valid, groups)
    assert np.allclose(z.data, expected.data, rtol=1e-5, atol=1e-4)

    grad_z = rng.normal(0, 1, z.shape)
    z.backward(grad_z)
    expected.backward(grad_z)
    (above, _), (left, _) = window.padding
    if images.requires_grad:
        seen = x.grad[:, above : above + 4, left : left + 3]
        unit = getattr(planes.data, "unit", 1.0)
        assert np.allclose(images.grad, seen * keep / (1 - p) / unit, rtol=1e-4, atol=1e-3)
    unit = getattr(weight.data, "unit", 1.0)
    assert np.allclose(latent.grad, filters.grad / unit, rtol=1e-4, atol=1e-3 / (1 - p))


@CASES
def test_rounded_gradients_are_near_the_exact_ones_and_the_same_everywhere(
    quantizer, weights, border, groups, stride, channels, p, seed
):
    window = Window((2, 3), stride, ((1, 0), (1, 2)), border)
    _, planes, _ = dropped(quantizer, (2, 4, 3, channels * groups), p, seed)
    latent = np.random.default_rng(seed).normal(0, 1, (groups * 2, 2, 3, channels))
    grads = {}
    for name in dict.fromkeys((kernels.implementation(), "reference")):
        for grad_format in ("float32", "int8"):
            weight = Tensor(latent.astype(np.float32), requires_grad=True)
            few = F.quantize(weight, weights, straight=True)
            with kernels.using(name):
                x = planes.detach()
                x.requires_grad = True
                z = F.quantized_conv2d(x, few, window, grad_format, groups=groups)
                grad_z = np.random.default_rng(1).normal(0, 1, z.shape).astype(np.float32)
                z.backward(grad_z)
            grads[name, grad_format] = x.grad, weight.grad
    rounded, exact = (grads["reference", own] for own in ("int8", "float32"))
    assert all(map(np.array_equal, grads[kernels.implementation(), "int8"], rounded))
    largest = planes.data.largest * planes.data.scale * abs(grad_z).max() / 127
    assert abs(rounded[1] - exact[1]).max() <= largest * grad_z[..., 0].size * 2


@given(
    quantizer=st.sampled_from(QUANTIZERS),
    p=st.sampled_from((0.0, 0.2, 0.5, 0.9)),
    seed=st.integers(0, 99),
)
def test_an_average_is_that_of_the_floats(quantizer, p, seed):
    window = Window((2, 3), (2, 1), ((1, 0), (1, 2)))
    images, planes, keep = dropped(quantizer, (2, 4, 3, 5), p, seed)
    y = F.avg_pool2d(planes, window)
    assert y.data.dtype == (np.int32 if planes.data.scale == 1 else np.float32)
    x = Tensor(planes.data.numbers(np.float64), requires_grad=True)
    expected = F.avg_pool2d(x, window) * 6.0
    assert np.allclose(y.data, expected.data, rtol=1e-5, atol=1e-4)
    if images.requires_grad:
        grad_y = np.random.default_rng(seed).normal(0, 1, y.shape)
        y.backward(grad_y)
        expected.backward(grad_y)
        unit = getattr(planes.data, "unit", 1.0)
        assert np.allclose(images.grad, x.grad * keep / (1 - p) / unit, rtol=1e-5, atol=1e-4)


def test_a_net_with_dropout_before_convolutions_and_the_average_trains():
    rng = np.random.default_rng(0)
    net = nn.Sequential(
        nn.Dropout(0.2, rng=rng),
        nn.BinaryConv2d(2, 8, 3, padding="same", rng=rng),
        nn.BatchNorm(8),
        nn.Sign(),
        nn.Dropout(0.3, rng=rng),
        nn.BinaryConv2d(8, 4, 3, padding="same", border=1, rng=rng),
        nn.MaxPool2d(),
        nn.BatchNorm(4),
        nn.Quantize(2),
        nn.Dropout(0.1, rng=rng),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.BatchNorm(4),
    )
    x = rng.integers(0, 256, (6, 4, 4, 2), dtype=np.uint8)
    F.cross_entropy(net(x), np.arange(6) % 4).backward()
    assert all(p.grad.any() and np.isfinite(p.grad).all() for p in net.parameters())
    assert net.eval()(x).shape == (6, 4)
