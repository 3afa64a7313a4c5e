"""AlexNet and GoogleNet: shapes, parameters counted by hand, all bits, and learning."""

import numpy as np
import pytest

from bitnet import InputError
from bitnet.data import scale_pixels
from bitnet.nn import (
    AvgPool2d,
    BatchNorm,
    Branches,
    Conv2d,
    Linear,
    MaxPool2d,
    QuantLinear,
    WithHeads,
    auxiliary,
    functional,
)
from bitnet.nn.activations import Quantize, ReLU, Sign
from bitnet.nn.conv import QuantConv2d
from bitnet.nn.models.imagenet import alexnet, googlenet
from bitnet.optim import Adam

SMALL = {"image": (64, 64), "inflation": 1 / 16}
BUILDS = {
    "alexnet": lambda n, rng, **more: alexnet(n, rng=rng, **SMALL, units=(32, 32), **more),
    "googlenet": lambda n, rng, **more: googlenet(n, rng=rng, **SMALL, **more),
}


def draw(seed=0):
    return np.random.default_rng(seed)


def weights_of(model):
    return sum(p.size for p in model.parameters() if p.data.ndim > 1)


def norms_of(model):
    return sum(layer.num_features for layer in model.modules() if isinstance(layer, BatchNorm))


def test_the_weights_of_alexnet():
    """Counted by hand from the shapes: taps * inputs * outputs."""
    convolutions = [121 * 3 * 64, 25 * 64 * 192, 9 * 192 * 384, 9 * 384 * 256, 9 * 256 * 256]
    units = [6 * 6 * 256 * 4096, 4096 * 4096, 4096 * 1000]
    model = alexnet(1000, rng=draw())
    assert weights_of(model) == sum(convolutions) + sum(units) == 61_090_496
    assert norms_of(model) == 64 + 192 + 384 + 256 + 256 + 4096 + 4096 + 1000
    assert model[0].weight.shape == (64, 11, 11, 3)


def test_the_weights_of_the_inflated_alexnet():
    """The first four convolutions three times as wide; the fifth and its 256 channels stay."""
    channels = [3, 192, 576, 1152, 768, 256]
    taps = [121, 25, 9, 9, 9]
    pairs = zip(taps, channels, channels[1:], strict=False)
    convolutions = [tap * n * m for tap, n, m in pairs]
    model = alexnet(10, rng=draw(), inflation=3, units=(8, 8))
    assert weights_of(model) == sum(convolutions) + 9216 * 8 + 64 + 80


#       inputs, 1x1, 3x3 reduced, 3x3, double reduced, double, projection, outputs
BLOCKS = [
    (192, 64, 64, 64, 64, 96, 32, 256),
    (256, 64, 64, 96, 64, 96, 64, 320),
    (320, 0, 128, 160, 64, 96, 0, 576),
    (576, 224, 64, 96, 96, 128, 128, 576),
    (576, 192, 96, 128, 96, 128, 128, 576),
    (576, 160, 128, 160, 128, 160, 96, 576),
    (576, 96, 128, 192, 160, 192, 96, 576),
    (576, 0, 128, 192, 192, 256, 0, 1024),
    (1024, 352, 192, 320, 160, 224, 128, 1024),
    (1024, 352, 192, 320, 192, 224, 128, 1024),
]


def test_the_weights_of_googlenet():
    """Counted by hand from the table of Ioffe and Szegedy: taps * inputs * outputs."""
    model = googlenet(1000, rng=draw())
    blocks = [layer for layer in model if isinstance(layer, Branches)]
    for block, (n, one, reduced, three, twice, double, last, m) in zip(blocks, BLOCKS, strict=True):
        count = n * (one + reduced + twice + last)
        count += 9 * (reduced * three + twice * double + double * double)
        assert weights_of(block) == count
        assert sum(_channels(branch, n) for branch in block.branches) == m
    stem, last = 49 * 3 * 64 + 64 * 64 + 9 * 64 * 192, 1024 * 1000
    head = 576 * 128 + 4 * 4 * 128 * 1024 + 1024 * 1000
    assert [weights_of(each) for each in model.heads.values()] == [head, head]
    trunk = stem + sum(map(weights_of, blocks)) + last
    assert weights_of(model) == trunk + 2 * head
    assert weights_of(googlenet(1000, rng=draw(), auxiliary=False)) == trunk == 11_174_080


def _channels(branch, inputs):
    """The channels that a branch gives."""
    return next((n.num_features for n in reversed(branch) if isinstance(n, BatchNorm)), inputs)


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (1, 2), (2, 1), (3, 5), (8, 8)])
def test_all_bits_train(name, weights, activations):
    model = BUILDS[name](2, draw(1), weight_quantizer=weights, activation_quantizer=activations)
    kinds = [layer for layer in model.modules() if isinstance(layer, (QuantConv2d, QuantLinear))]
    assert all(layer.weight_quantizer.bits == weights for layer in kinds)
    assert not any(isinstance(layer, (Conv2d, Linear)) for layer in model.modules())
    others = Quantize if activations > 1 else Sign
    acts = [layer for layer in model.modules() if isinstance(layer, (Quantize, Sign, ReLU))]
    assert {type(layer) for layer in acts} == {others}
    x, labels = draw(2).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8), np.arange(8) % 2
    before = [p.data.copy() for p in model.parameters()]
    adam, loss_of = Adam(model.parameters(), 0.01), auxiliary(functional.cross_entropy)
    for _ in range(2):
        loss = loss_of(model(x), labels)
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert np.isfinite(loss.item())
    moved = [np.any(p.data != was) for p, was in zip(model.parameters(), before, strict=True)]
    assert all(moved)
    assert model.eval()(x).shape == (8, 2)


@pytest.mark.parametrize("name", BUILDS)
def test_the_float_twin_has_the_same_layers(name):
    model, twin = (
        BUILDS[name](3, draw(), weight_quantizer=w, activation_quantizer=w) for w in (1, 32)
    )
    others = {QuantConv2d: Conv2d, QuantLinear: Linear, Sign: ReLU}
    kinds = [others.get(type(layer), type(layer)) for layer in model.modules()]
    assert kinds == [type(layer) for layer in twin.modules()]
    assert weights_of(model) == weights_of(twin)
    x = draw().integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert twin.eval()(scale_pixels(x)).shape == (2, 3)


def test_poolings_stand_before_batch_norm():
    for model in (BUILDS["alexnet"](3, draw()), BUILDS["googlenet"](3, draw(), auxiliary=False)):
        for layer, after in zip(model, model.layers[1:], strict=False):
            if isinstance(layer, MaxPool2d):
                assert isinstance(after, BatchNorm)


def test_an_average_and_a_1x1_convolution_may_change_places():
    """The projection of average pooling, and the last layer, are products of the averages."""
    x = draw().choice([-1.0, 1.0], (2, 7, 7, 70))
    layer, average = (
        QuantConv2d(70, 5, rng=draw(), kernel_size=1, padding="same"),
        AvgPool2d(3, 1, 1),
    )
    z = average(layer(functional.sign(x))).data
    means = average(x).data
    weight = layer.packed.signs(np.float64).reshape(5, 70)
    assert np.allclose(z, 9 * means @ weight.T)


def test_heads_stand_behind_4a_and_4d():
    model = googlenet(5, rng=draw(), inflation=1 / 16)
    assert isinstance(model, WithHeads)
    assert list(model.heads) == [14, 17]
    x = draw().integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    assert [scores.shape for scores in model(x)] == [(2, 5)] * 3
    assert model.heads[14][1].window.output(14, 14) == (4, 4)
    assert model.layers[-3].window.size == (7, 7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: alexnet(5, rng=draw(), image=(62, 64)), "does not fit into images"),
        (lambda: alexnet(5, rng=draw(), image=64), "expected rows and columns"),
        (
            lambda: alexnet(5, rng=draw(), weight_quantizer=32, activation_quantizer=2),
            "32 .floats. for both",
        ),
        (lambda: alexnet(5, rng=draw(), weight_quantizer=9), "bits"),
        (lambda: googlenet(5, rng=draw(), activation_quantizer=0), "bits"),
        (lambda: googlenet(5, rng=draw(), inflation=0), "inflation is 0"),
        (lambda: googlenet(0, rng=draw(), **SMALL), "out_features is 0"),
    ],
)
def test_models_that_there_cannot_be(call, message):
    with pytest.raises(InputError, match=message):
        call()
