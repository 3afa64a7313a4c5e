"""Frozen ConvNets, with branches and averages too: equal to the trained ones, also from a file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import disturb, seeds, signs

import bitnet
from bitnet import InputError, kernels, nn
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.products import Conv, Threshold
from bitnet.deploy.shapes import Pool
from bitnet.deploy.sizes import Size
from bitnet.deploy.sources import Input, Weights
from bitnet.kernels import Window
from bitnet.nn import (
    AvgPool2d,
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    Branches,
    Flatten,
    MaxPool2d,
    QuantConv2d,
    QuantLinear,
    Sequential,
    Sign,
    WithHeads,
    models,
)
from bitnet.nn.models.imagenet import alexnet, googlenet
from bitnet.quantizers import LinearQuant, LogQuant

RNG = np.random.default_rng(0)


def pixels(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def convnet(seed, channels, size, stride, padding, border, pool, image=(7, 6), groups=1):
    """Two convolutions, the second one pooled or not, and a linear layer."""
    rng = np.random.default_rng(seed)
    first, second, third = channels
    own = {"stride": stride, "padding": padding, "border": border, "groups": groups, "rng": rng}
    layers = [BinaryConv2d(first, second, 3, rng=rng, border=border, padding="same")]
    layers += [MaxPool2d(3, 2, 1), BatchNorm(second), Sign()]
    layers += [BinaryConv2d(second, third, size, **own)]
    layers += [MaxPool2d(2, pool)] if pool else []
    layers += [BatchNorm(third), Sign(), Flatten()]
    n = Sequential(*layers).eval()(np.zeros((1, *image, first), np.uint8)).shape[1]
    return disturb(Sequential(*layers, BinaryLinear(n, 3, rng=rng), BatchNorm(3)), seed)


def frozen_and_compared(model, x):
    """Return the net of a model that was compared with it."""
    net = bitnet.freeze(model, x[:1])
    agreement = bitnet.compare(model, net, x)
    assert agreement.is_complete
    assert agreement.images == len(x)
    return net


@settings(max_examples=20)
@given(
    seeds,
    st.tuples(st.sampled_from([1, 3]), st.sampled_from([5, 64, 70]), st.sampled_from([1, 33, 64])),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 2]),
    st.sampled_from(["same", "valid"]),
    st.sampled_from([0, 1, -1]),
    st.sampled_from([None, 1, 2]),
)
def test_a_frozen_convnet_is_the_trained_one(
    implementation, seed, channels, size, stride, padding, border, pool
):
    stride = 1 if pool else stride  # so that something is left to pool
    model = convnet(seed, channels, size, stride, padding, border, pool, image=(11, 10))
    frozen_and_compared(model, pixels(seed, 19, 11, 10, channels[0]))


def test_the_file_of_a_convnet(tmp_path):
    x = pixels(0, 5, 7, 6, 3)
    model = convnet(1, (3, 70, 33), 3, 1, "same", -1, 2)
    net = frozen_and_compared(model, x)
    net.save(tmp_path / "net.npz")
    loaded = bitnet.load(tmp_path / "net.npz")
    assert repr(loaded) == repr(net) == "FrozenNet(7x6x3-70C-33C-3, pixels)"
    for name in ("window", "pool", "groups", "name", "units"):
        own = [getattr(layer, name) for layer in loaded.layers]
        assert own == [getattr(layer, name) for layer in net.layers]
    assert bitnet.compare(model, loaded, x).is_complete


@pytest.mark.parametrize(
    ("channels", "groups"), [((3, 10, 6), 2), ((3, 128, 128), 2), ((3, 9, 6), 3)]
)
def test_groups_of_channels(implementation, channels, groups):
    model = convnet(2, channels, 3, 1, "same", 0, 2, groups=groups)
    net = frozen_and_compared(model, pixels(0, 5, 7, 6, 3))
    assert f"groups={groups}" in repr(net.layers[1])


def test_groups_of_the_colours_of_pixels():
    layers = BinaryConv2d(2, 4, 3, rng=RNG, groups=2, padding="same"), BatchNorm(4), Sign()
    layers = *layers, Flatten(), BinaryLinear(4 * 20, 3, rng=RNG), BatchNorm(3)
    net = frozen_and_compared(disturb(Sequential(*layers), 3), pixels(1, 6, 4, 5, 2))
    assert net.shape == (4, 5, 2)


def test_signs_as_input_and_images_of_one_channel():
    layers = BinaryConv2d(1, 8, 3, rng=RNG, padding="same"), BatchNorm(8), Sign(), Flatten()
    model = disturb(Sequential(*layers, BinaryLinear(8 * 20, 3, rng=RNG), BatchNorm(3)), 3)
    numbers = RNG.choice([-1.0, 1.0], (6, 4, 5, 1))
    net = bitnet.freeze(model, kernels.pack(numbers[:1]))
    assert bitnet.compare(model, net, kernels.pack(numbers)).is_complete
    assert np.array_equal(net.predict(numbers[..., 0]), net.predict(kernels.pack(numbers)))
    x = pixels(1, 6, 4, 5, 1)
    of_pixels = bitnet.freeze(model, x[:1])
    assert np.array_equal(of_pixels.scores(x), of_pixels.scores(x[..., 0]))
    assert of_pixels.scores(x[:0]).shape == (0, 3)


def test_the_papers_convnet_after_a_step():
    small = {"image": (8, 8, 3), "blocks": ((66, 70), (40,)), "units": (30, 10)}
    model = models.binary_convnet(**small, rng=np.random.default_rng(0))
    adam = bitnet.optim.Adam(model.parameters(), 0.01)
    x, labels = pixels(1, 40, 8, 8, 3), RNG.integers(0, 10, 40)
    nn.functional.squared_hinge(model(x), labels).backward()
    adam.step()
    agreement = bitnet.compare(model, bitnet.freeze(model), x)
    assert agreement.is_complete
    assert agreement.integers == 40 * (64 * 66 + 64 * 70 + 16 * 40 + 30 + 10)


INT32 = np.iinfo(np.int32)


@settings(max_examples=40)
@given(
    seeds,
    st.sampled_from([1, 2, 9, 64, 65]),
    st.sampled_from([(1, 1), (2, 2), (3, 3), (1, 5)]),
    st.sampled_from([1, 3, 64, 70]),
    st.sampled_from([None, Window((2, 2), (2, 2)), Window((3, 3), (2, 2), ((1, 1), (1, 1)))]),
    st.sampled_from([1, 2]),
    st.sampled_from([0, 1, -1]),
    st.sampled_from([1, 3]),
)
def test_bits_without_integers_are_those_of_the_integers(
    implementation, seed, m, size, channels, pool, stride, border, groups
):
    """Fused steps and single ones: thresholds of both directions, ties and the ends of int32."""
    rng, largest = np.random.default_rng(seed), 9
    m, inputs = groups * m, groups * channels
    values = rng.integers(-largest - 1, largest + 2, m)
    values = np.where(rng.random(m) < 0.2, rng.choice([INT32.min, INT32.max, 0], m), values)
    window = Window(size, (stride, stride), tuple(((n - 1) // 2, n // 2) for n in size), border)
    weights = Weights("weights", (), kernels.pack(signs(seed, (m, *size, channels))))
    nodes = [Input("signs", (), (Size(1, ("B",)), 7, 6, inputs)), weights]
    nodes += [Conv("conv", (0, 1), window, groups)]
    nodes += [Pool("maxpool", (2,), pool)] if pool else []
    steps = values.astype(np.int32), rng.random(m) < 0.5
    nodes += [Threshold("thresholds", (len(nodes) - 1,), *steps)]
    graph = FrozenGraph(nodes, [len(nodes) - 1])
    x = kernels.pack(signs(seed, (2, 7, 6, inputs)))
    assert graph.run(x)[0] == graph.run_all(x)[-1]


NET = bitnet.freeze(convnet(0, (3, 5, 4), 3, 1, "same", 0, None), pixels(0, 1, 7, 6, 3))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 7, 6), np.uint8), r"\(B, 7, 6, 3\)"),
        (np.zeros((2, 6, 7, 3), np.uint8), r"\(B, 7, 6, 3\)"),
        (np.zeros((7, 6, 3), np.uint8), r"x\[None\]"),
        (np.zeros((2, 126), np.uint8), r"\(B, 7, 6, 3\)"),
        (np.zeros((2, 7, 6, 3), np.float32), "uint8"),
        (kernels.pack(np.ones((2, 7, 6, 3))), "expected pixels"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, message):
    with pytest.raises(InputError, match=message):
        NET.predict(x)


def branched(seed, weights, quantizer, ends="linear"):
    """Two inception blocks, one within the other, a pass-through, and one of two ends."""
    rng = np.random.default_rng(seed)

    def stage(inputs, outputs, size=1, pool=None):
        own = {"rng": rng, "weight_quantizer": weights, "padding": "same"}
        conv = QuantConv2d(inputs, outputs, size, **own)
        return [conv, *([pool] if pool else []), BatchNorm(outputs), nn.Quantize(quantizer)]

    inner = Branches(Sequential(*stage(7, 5, 3)), Sequential(*stage(7, 64)))
    branches = [*stage(6, 7), inner], stage(6, 4, pool=AvgPool2d(3, 1, 1)), [MaxPool2d(3, 1, 1)]
    block = Branches(*(Sequential(*branch) for branch in branches))
    channels = 5 + 64 + 4 + 6
    layers = [*stage(3, 6, 3, pool=MaxPool2d(2)), block]
    if ends == "linear":
        n = 4 * 4 * channels
        layers += [Flatten(), QuantLinear(n, 3, rng=rng, weight_quantizer=weights)]
    else:
        layers += [QuantConv2d(channels, 3, 1, rng=rng, weight_quantizer=weights)]
        layers += [AvgPool2d((4, 4)), Flatten()]
    return disturb(Sequential(*layers, BatchNorm(3)), seed).eval()


quantizers = st.one_of(
    st.integers(1, 8),
    st.builds(LinearQuant, st.integers(2, 8), st.just(0.25)),
    st.sampled_from([LogQuant(3), LogQuant(2, 1, False)]),
)


@settings(max_examples=25)
@given(seeds, st.integers(1, 8), quantizers, st.sampled_from(["linear", "average"]))
def test_a_frozen_branched_net_is_the_trained_one(implementation, seed, weights, quantizer, ends):
    frozen_and_compared(branched(seed, weights, quantizer, ends), pixels(seed, 7, 9, 8, 3))


@pytest.mark.parametrize("ends", ["linear", "average"])
@pytest.mark.parametrize("bits", [1, 3])
def test_the_file_of_a_branched_net(tmp_path, bits, ends):
    model, x = branched(1, bits, bits, ends), pixels(2, 5, 9, 8, 3)
    net = frozen_and_compared(model, x)
    net.save(tmp_path / "net.npz")
    loaded = bitnet.load(tmp_path / "net.npz")
    assert repr(loaded) == repr(net) == "FrozenNet(9x8x3-6 layers-3, pixels)"
    assert bitnet.compare(model, loaded, x).is_complete
    assert np.array_equal(loaded.scores(x), net.scores(x))
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "net.npz").read_bytes()


@pytest.mark.parametrize("bits", [(1, 1), (1, 2), (2, 2), (4, 4)])
@pytest.mark.parametrize("build", [alexnet, googlenet])
def test_the_models_for_imagenet(tmp_path, build, bits):
    small = {"units": (33, 20)} if build is alexnet else {}
    small |= dict(zip(("weight_quantizer", "activation_quantizer"), bits, strict=True))
    rng, x = np.random.default_rng(3), pixels(6, 5, 64, 65, 3)
    trained, disturbed = (
        build(7, rng=rng, image=(64, 65), inflation=1 / 16, **small) for _ in range(2)
    )
    for _ in range(2):  # running statistics
        trained(pixels(4, 6, 64, 65, 3))
    for model in (trained, disturb(disturbed, 5)):
        bitnet.freeze(model).save(tmp_path / "net.npz")
        net = bitnet.load(tmp_path / "net.npz")
        assert bitnet.compare(model, net, x).is_complete
        assert np.array_equal(net.scores(x), model.eval()(x).data)


def test_heads_are_not_frozen():
    model = googlenet(3, rng=np.random.default_rng(7), image=(64, 64), inflation=1 / 16)
    assert isinstance(model, WithHeads)
    nets = bitnet.freeze(model), bitnet.freeze(Sequential(*model.layers), pixels(0, 1, 64, 64, 3))
    with_heads, without = ([layer.bits.shape for layer in net.layers] for net in nets)
    assert with_heads == without


def test_compare_refuses_another_net():
    x = pixels(0, 1, 9, 8, 3)
    average = bitnet.freeze(branched(8, 1, 1, "average"), x)
    with pytest.raises(InputError, match="differ in shape"):
        bitnet.compare(branched(8, 1, 1), average, x)


@pytest.mark.parametrize(
    "end", [[AvgPool2d(4), Flatten()], [AvgPool2d(2), Sign(), Flatten()], [Sign(), MaxPool2d(2)]]
)
def test_other_ends(end):
    layers = QuantConv2d(3, 4, 3, rng=RNG, padding="same"), BatchNorm(4), nn.Quantize(2)
    layers = *layers, QuantConv2d(4, 4, 1, rng=RNG), *end
    frozen_and_compared(Sequential(*layers), pixels(0, 6, 4, 4, 3))


def test_a_pool_after_the_sign_is_moved_to_the_bits():
    layers = BinaryConv2d(3, 4, 3, rng=RNG, padding="same"), BatchNorm(4), MaxPool2d(2), Sign()
    net = frozen_and_compared(disturb(Sequential(*layers), 1), pixels(0, 6, 4, 4, 3))
    kinds = [node.kind for node in net.graph.nodes if node.arity[0]]
    assert kinds == ["conv", "thresholds", "maxpool"]
    assert net.layers[0].pool == Window((2, 2), (2, 2))
