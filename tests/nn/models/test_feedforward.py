"""The papers' networks: layers, widths, and the settings that reach them."""

import numpy as np
import pytest

from bitnet import InputError
from bitnet.nn import BatchNorm, BinaryLinear, Dropout, Linear, PixelPlanes, ReLU, Sign, models
from bitnet.nn.functional import cross_entropy
from bitnet.nn.models.feedforward import binary_convnet, binary_mlp, float_convnet, float_mlp

RNG = np.random.default_rng(0)


def test_the_layers_of_a_binary_mlp():
    model = binary_mlp([784, 30, 20, 10], rng=RNG, lr_scale=10)
    assert [type(layer) for layer in model.layers] == 2 * [BinaryLinear, BatchNorm, Sign] + [
        BinaryLinear,
        BatchNorm,
    ]
    norms = [layer for layer in model.layers if isinstance(layer, BatchNorm)]
    assert [norm.num_features for norm in norms] == [30, 20, 10]
    assert all(p.lr_scale == 10 for norm in norms for p in norm.parameters())


def test_the_papers_parameter_counts():
    """Binary weights of the papers' nets, as their authors' code printed them."""
    counts = {
        36_806_656: binary_mlp(models.MNIST_THEANO, rng=RNG),
        10_014_720: binary_mlp(models.MNIST_TORCH, rng=RNG),
        14_022_016: binary_convnet(**models.CIFAR10, rng=RNG),
        6_397_632: binary_convnet(**models.SVHN, rng=RNG),
    }
    for count, model in counts.items():
        assert sum(p.size for p in model.parameters() if p.clip is not None) == count


def test_dropout_before_each_binary_layer():
    model = binary_mlp([784, 30, 20, 10], rng=RNG, dropout=(0.2, 0.5))
    assert [layer.p for layer in model.layers if isinstance(layer, Dropout)] == [0.2, 0.5, 0.5]
    assert isinstance(model[0], Dropout)
    assert isinstance(binary_mlp([784, 30, 10], rng=RNG, dropout=(0, 0.5))[0], BinaryLinear)


def test_the_highest_planes_of_pixels():
    image = {"image": (8, 8, 3), "blocks": [(4,)], "units": [2]}
    for planes in range(1, 9):
        mlp = binary_mlp([6, 20, 2], rng=RNG, input_planes=planes, dropout=(0.2, 0))
        convnet = binary_convnet(**image, rng=RNG, input_planes=planes)
        for net, shape in ((mlp, (30, 6)), (convnet, (30, 8, 8, 3))):
            assert [layer.planes for layer in net if isinstance(layer, PixelPlanes)] == (
                [planes] if planes < 8 else []
            )
            assert planes == 8 or isinstance(net[0], PixelPlanes)
            pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
            cross_entropy(net(pixels), RNG.integers(0, 2, 30)).backward()
            assert all(parameter.grad.any() for parameter in net.parameters())
            high = np.uint8(256 - (1 << (8 - planes)))
            assert np.array_equal(net.eval()(pixels).data, net(pixels & high).data)


def test_stochastic_signs():
    model = binary_mlp([784, 30, 10], rng=RNG, stochastic=True)
    assert [layer.stochastic for layer in model.layers if isinstance(layer, Sign)] == [True]
    assert model[2].rng is RNG


def test_the_layers_of_the_float_twin():
    model = float_mlp([784, 30, 20, 10], rng=RNG)
    assert [type(layer) for layer in model.layers] == 2 * [Linear, BatchNorm, ReLU] + [
        Linear,
        BatchNorm,
    ]
    assert all(p.lr_scale == 1 and p.clip is None for p in model.parameters())


@pytest.mark.parametrize(
    "call",
    [
        lambda: binary_mlp([784], rng=RNG),
        lambda: binary_mlp([784, 0, 10], rng=RNG),
        lambda: binary_mlp([784, 30, 10], rng=RNG, dropout=(0.2,)),
        lambda: binary_mlp([784, 30, 10], rng=RNG, dropout=(0.2, 1.0)),
        lambda: float_mlp([], rng=RNG),
        lambda: binary_mlp([784, 30, 10], rng=RNG, input_planes=0),
        lambda: binary_convnet(**models.SVHN, rng=RNG, input_planes=9),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call()


def test_convnets_pool_at_the_end_of_each_block():
    given = {"image": (9, 8, 3), "blocks": [(4, 5), (6,)], "units": [7, 2]}
    binary, twin = binary_convnet(**given, rng=RNG, lr_scale=10), float_convnet(**given, rng=RNG)
    names = [type(layer).__name__ for layer in binary.layers]
    assert names == [
        "BinaryConv2d",
        "BatchNorm",
        "Sign",
        "BinaryConv2d",
        "MaxPool2d",
        "BatchNorm",
        "Sign",
        "BinaryConv2d",
        "MaxPool2d",
        "BatchNorm",
        "Sign",
        "Flatten",
        "BinaryLinear",
        "BatchNorm",
        "Sign",
        "BinaryLinear",
        "BatchNorm",
    ]
    others = {"BinaryConv2d": "Conv2d", "BinaryLinear": "Linear", "Sign": "ReLU"}
    assert [type(layer).__name__ for layer in twin.layers] == [others.get(n, n) for n in names]
    assert all(n.gamma.lr_scale == 10 for n in binary.layers if isinstance(n, BatchNorm))
    pixels = RNG.integers(0, 256, (4, 9, 8, 3), dtype=np.uint8)
    assert binary(pixels).shape == twin(pixels.astype(np.float32)).shape == (4, 2)


@pytest.mark.parametrize(
    "changed",
    [
        {"image": (8, 8)},
        {"blocks": []},
        {"blocks": [(4,), ()]},
        {"units": []},
        {"blocks": [(4,)] * 4},
        {"units": [0]},
    ],
)
@pytest.mark.parametrize("build", [binary_convnet, float_convnet])
def test_convnets_that_there_cannot_be(build, changed):
    given = {"image": (8, 8, 3), "blocks": [(4,)], "units": [2]} | changed
    with pytest.raises(InputError):
        build(**given, rng=RNG)
