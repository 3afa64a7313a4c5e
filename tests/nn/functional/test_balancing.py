"""Balanced weights: signs about the mean of a row, in training, in `bits` and frozen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import disturb, numbers, seeds, some_widths

import bitnet
import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, kernels
from bitnet.nn import BinaryConv2d, BinaryLinear
from bitnet.nn.models.feedforward import binary_convnet, binary_mlp
from bitnet.optim import Adam

RNG = np.random.default_rng(0)
NEXT = np.nextafter(np.float32(0.5), np.float32(1))


@pytest.mark.parametrize(
    ("row", "signs"),
    [
        ([0.5, 0.5, 0.5], [1, 1, 1]),  # all at the mean: sign(0) = +1
        ([0.1] * 7, [1] * 7),  # a mean that rounds, but not away from equal numbers
        ([-0.7, -0.7], [1, 1]),
        ([0.0, -0.0], [1, 1]),
        ([0.5, NEXT, 0.5], [1, 1, 1]),  # a mean that rounds to 0.5
        ([NEXT, 0.5, NEXT], [1, -1, 1]),
        ([1.0, 0.0, -1.0], [1, 1, -1]),
        ([0.9, 0.1], [1, -1]),
        ([2**-149, 0.0], [1, 1]),  # their mean rounds to 0
        ([2**-149, 2**-149], [1, 1]),
        ([-0.3], [1]),
    ],
)
def test_edges(row, signs):
    weight = np.float32([row])
    assert F.sign(F.balance(weight), clip_value=None).data.signs().tolist() == [signs]


@given(st.integers(1, 4), some_widths, seeds)
def test_signs_are_those_about_the_mean(m, n, seed):
    weight = np.clip(numbers(seed, (m, n)), -1, 1)
    got = F.sign(F.balance(weight), clip_value=None).data.signs()
    mean = weight.astype(np.float64).mean(axis=1, keepdims=True).astype(np.float32)
    assert np.array_equal(got, np.where(weight >= mean, 1, -1))


@given(st.integers(1, 5), st.integers(1, 3), seeds)
def test_any_deviation_gives_the_same_signs(m, taps, seed):
    """IR-Net divides by the standard deviation: of one bit only the mean matters."""
    weight = np.random.default_rng(seed).uniform(-1, 1, (m, taps, taps, 5)).astype(np.float32)
    balanced = F.balance(weight).data
    deviation = balanced.std(axis=(1, 2, 3), keepdims=True)
    assert kernels.pack(balanced) == kernels.pack(balanced / deviation)


def test_half_of_the_signs_of_a_shifted_row_are_plus():
    layer = BinaryLinear(1000, 4, rng=RNG, balance=True)
    layer.weight.edit()[:] = np.clip(0.6 + 0.2 * RNG.standard_normal((4, 1000)), -1, 1)
    share = (layer.bits.signs() > 0).mean(axis=1)
    assert (abs(share - 0.5) < 0.1).all()
    assert (kernels.pack(layer.weight.data).signs() > 0).mean() > 0.95


@pytest.mark.parametrize("conv", [False, True])
def test_the_layer_multiplies_with_the_signs_of_now_after_each_step(conv):
    """An optimizer leaves the signs of the weights themselves, which are others."""
    layer = (
        BinaryConv2d(5, 4, rng=RNG, balance=True, kernel_size=3, padding="same")
        if conv
        else BinaryLinear(70, 4, rng=RNG, balance=True)
    )
    layer.weight.edit()[:] += np.float32(0.3)
    x = kernels.pack(RNG.choice([-1.0, 1.0], (6, 8, 8, 5) if conv else (6, 70)))
    adam = Adam(layer.parameters(), 1e-2)
    for _ in range(4):
        signs = np.sign(F.balance(layer.weight).data) + (F.balance(layer.weight).data == 0)
        assert np.array_equal(layer.bits.signs(), signs)
        z = layer(x)
        weight = kernels.pack(signs)
        expected = (
            F.quantized_conv2d(x, weight, layer.window) if conv else F.quantized_linear(x, weight)
        )
        assert np.array_equal(z.data, expected.data)
        adam.zero_grad()
        z.backward(RNG.standard_normal(z.shape).astype(np.float32))
        axes = tuple(range(1, layer.weight.ndim))
        assert np.allclose(layer.weight.grad.sum(axis=axes), 0, atol=1e-2)
        adam.step()
        assert layer.weight.has_signs
        assert layer.weight.signs != layer.bits


def test_the_gradient_is_that_of_the_signs_less_its_mean():
    plain, balanced = (
        BinaryLinear(70, 4, rng=np.random.default_rng(0), grad_format="float32", balance=b)
        for b in (False, True)
    )
    plain.weight.edit()[:] = balanced.bits.signs()  # the same product
    x = kernels.pack(RNG.choice([-1.0, 1.0], (6, 70)))
    grad_z = RNG.standard_normal((6, 4)).astype(np.float32)
    for layer in (plain, balanced):
        layer(x).backward(grad_z)
    grad = plain.weight.grad
    assert np.allclose(balanced.weight.grad, grad - grad.mean(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("conv", [False, True])
def test_frozen_equals_trained(conv):
    rng = np.random.default_rng(0)
    if conv:
        model = binary_convnet((8, 8, 1), [(5,)], [7, 3], rng=rng, balance=True)
        x = rng.integers(0, 256, (40, 8, 8, 1), np.uint8)
    else:
        model = binary_mlp([70, 33, 3], rng=rng, balance=True)
        x = rng.integers(0, 256, (40, 70), np.uint8)
    adam = Adam(model.parameters(), 1e-2)
    for _ in range(3):
        adam.zero_grad()
        F.squared_hinge(model(x), rng.integers(0, 3, 40)).backward()
        adam.step()
    disturb(model, 1)
    net = bitnet.freeze(model)
    assert bitnet.compare(model, net, x).is_complete
    assert net.layers[0].bits == model.layers[0].bits
    assert net.layers[0].bits != model.layers[0].weight.signs


def test_weights_changed_behind_the_signs_are_still_refused():
    model = binary_mlp([70, 3], rng=np.random.default_rng(0), balance=True)
    layer = model.layers[0]
    view = layer.weight.data[:]
    layer.weight.grad = np.ones((3, 70), np.float32)
    Adam([layer.weight], 1e-2).step()
    view[:] = -layer.weight.data
    with pytest.raises(InputError, match="differs from its cached signs"):
        bitnet.freeze(model)


@pytest.mark.parametrize("weight", [np.zeros(3), np.zeros((2, 2), np.int32), np.float32(1)])
def test_what_has_no_rows_is_refused(weight):
    with pytest.raises(InputError, match="balance"):
        F.balance(weight)
