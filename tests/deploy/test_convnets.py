"""Frozen ConvNets equal the trained ones, integer for integer, in memory and from their file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import disturb, seeds, signs

import bitnet
from bitnet import InputError, kernels
from bitnet.archive import read_archive, write_archive
from bitnet.deploy import FrozenNet
from bitnet.deploy.file import KIND, VERSION
from bitnet.deploy.layers import FrozenConv, FrozenLayer
from bitnet.kernels import Window
from bitnet.nn import (
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    Flatten,
    MaxPool2d,
    Sequential,
    Sign,
    models,
)

RNG = np.random.default_rng(0)


def convnet(seed, channels, size, stride, padding, border, pool, image=(7, 6), groups=1):
    """Two convolutions, the second one pooled or not, and a linear layer."""
    rng = np.random.default_rng(seed)
    first, second, third = channels
    given = {
        "kernel_size": size,
        "stride": stride,
        "padding": padding,
        "border": border,
        "groups": groups,
    }
    layers = [
        BinaryConv2d(first, second, rng=rng, kernel_size=3, border=border, padding="same"),
        MaxPool2d(3, 2, 1),
    ]
    layers += [BatchNorm(second), Sign(), BinaryConv2d(second, third, rng=rng, **given)]
    layers += [MaxPool2d(2, pool)] if pool else []
    layers += [BatchNorm(third), Sign(), Flatten()]
    body = Sequential(*layers)
    body.eval()
    n = body(np.zeros((1, *image, first), np.uint8)).shape[1]
    return disturb(Sequential(*layers, BinaryLinear(n, 3, rng=rng), BatchNorm(3)), seed)


@settings(max_examples=25)
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
    net = bitnet.freeze(model, image=(11, 10))
    x = np.random.default_rng(seed).integers(0, 256, (19, 11, 10, channels[0]), dtype=np.uint8)
    agreement = bitnet.compare(model, net, x)
    assert agreement.is_complete
    assert agreement.images == 19


def test_the_file_of_a_convnet(tmp_path):
    model = convnet(1, (3, 70, 33), 3, 1, "same", -1, 2)
    net = bitnet.freeze(model, image=(7, 6))
    net.save(tmp_path / "net.npz")
    loaded = bitnet.load(tmp_path / "net.npz")
    assert repr(loaded) == repr(net) == "FrozenNet(7x6x3-70C-33C-3, pixels)"
    assert [vars(a)["window"] for a in loaded.layers[:2]] == [a.window for a in net.layers[:2]]
    assert [a.pool for a in loaded.layers[:2]] == [a.pool for a in net.layers[:2]]
    x = RNG.integers(0, 256, (5, 7, 6, 3), dtype=np.uint8)
    assert bitnet.compare(model, loaded, x).is_complete
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "net.npz").read_bytes()


@pytest.mark.parametrize(
    ("channels", "groups"), [((3, 10, 6), 2), ((3, 128, 128), 2), ((3, 9, 6), 3)]
)
def test_groups_of_channels(implementation, tmp_path, channels, groups):
    model = convnet(2, channels, 3, 1, "same", 0, 2, groups=groups)
    bitnet.freeze(model, image=(7, 6)).save(tmp_path / "net.npz")
    net = bitnet.load(tmp_path / "net.npz")
    assert f"groups={groups}" in repr(net.layers[1])
    x = RNG.integers(0, 256, (5, 7, 6, 3), dtype=np.uint8)
    assert bitnet.compare(model, net, x).is_complete


def test_groups_of_the_colours_of_pixels():
    layers = [
        BinaryConv2d(2, 4, rng=RNG, groups=2, kernel_size=3, padding="same"),
        BatchNorm(4),
        Sign(),
        Flatten(),
        BinaryLinear(4 * 20, 3, rng=RNG),
        BatchNorm(3),
    ]
    model = disturb(Sequential(*layers), 3)
    net = bitnet.freeze(model, image=(4, 5))
    assert net.shape == (4, 5, 2)
    x = RNG.integers(0, 256, (6, 4, 5, 2), dtype=np.uint8)
    assert bitnet.compare(model, net, x).is_complete


def test_signs_as_input_and_images_of_one_channel():
    rng = np.random.default_rng(0)
    layers = [
        BinaryConv2d(1, 8, rng=rng, kernel_size=3, padding="same"),
        BatchNorm(8),
        Sign(),
        Flatten(),
        BinaryLinear(8 * 20, 3, rng=rng),
        BatchNorm(3),
    ]
    signs = RNG.choice([-1.0, 1.0], (6, 4, 5, 1))
    model = disturb(Sequential(Sign(), *layers), 3)
    net = bitnet.freeze(model, "signs", (4, 5))
    assert bitnet.compare(model, net, signs).is_complete
    assert np.array_equal(net.predict(signs[..., 0]), net.predict(kernels.pack(signs)))
    pixels = bitnet.freeze(Sequential(*layers), image=(4, 5))
    x = RNG.integers(0, 256, (6, 4, 5), dtype=np.uint8)
    assert np.array_equal(pixels.scores(x), pixels.scores(x[..., None]))
    assert pixels.scores(x[:0]).shape == (0, 3)


def test_the_papers_convnet_after_a_step():
    small = {"image": (8, 8, 3), "blocks": ((66, 70), (40,)), "units": (30, 10)}
    model = models.binary_convnet(**small, rng=np.random.default_rng(0))
    adam = bitnet.optim.Adam(model.parameters(), 0.01)
    x, labels = RNG.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8), RNG.integers(0, 10, 40)
    bitnet.nn.functional.squared_hinge(model(x), labels).backward()
    adam.step()
    agreement = bitnet.compare(model, bitnet.freeze(model, image=(8, 8)), x)
    assert agreement.is_complete
    assert agreement.integers == 40 * (64 * 66 + 64 * 70 + 16 * 40 + 30 + 10)


def test_models_that_cannot_be_frozen():
    rng = np.random.default_rng(0)
    start = [BinaryConv2d(3, 8, rng=rng, kernel_size=3, padding="same"), BatchNorm(8), Sign()]
    end = [BinaryLinear(8 * 16, 3, rng=rng), BatchNorm(3)]
    for layers, message in (
        ([*start, *end], "expected Flatten"),
        ([*start[:2], Flatten(), *end], "expected Quantize or Sign"),
        ([start[0], MaxPool2d(), MaxPool2d(), *start[1:], Flatten(), *end], "expected BatchNorm"),
        ([*start, Flatten(), *end, Sign()], "must end with QuantLinear"),
        ([*start, Flatten()], "must end with QuantLinear"),
    ):
        with pytest.raises(InputError, match=message):
            bitnet.freeze(Sequential(*layers), image=(4, 4))
    whole = Sequential(*start, Flatten(), *end)
    for image, message in ((None, "image is None"), ((4, 5), "expected .M, 160."), ("44", "image")):
        with pytest.raises(InputError, match=message):
            bitnet.freeze(whole, image=image)
    with pytest.raises(InputError, match="first layer is FrozenOutput"):
        bitnet.freeze(Sequential(*end), image=(4, 4))


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
    st.booleans(),
    st.sampled_from([1, 3]),
)
def test_bits_without_integers_are_those_of_the_integers(
    implementation, seed, m, size, channels, pool, stride, border, pixels, groups
):
    """Thresholds of both directions, including ties and the ends of int32."""
    rng, largest = np.random.default_rng(seed), 255 * 9 if pixels else 9
    m, inputs = groups * m, groups * channels
    values = rng.integers(-largest - 1, largest + 2, m)
    values = np.where(rng.random(m) < 0.2, rng.choice([INT32.min, INT32.max, 0], m), values)
    window = Window(size, (stride, stride), tuple(((n - 1) // 2, n // 2) for n in size), border)
    bits = kernels.pack(signs(seed, (m, *size, channels)))
    steps = values.astype(np.int32), rng.random(m) < 0.5
    layer, shape = FrozenConv(bits, *steps, window, pool, groups), (2, 7, 6, inputs)
    x = rng.integers(0, 256, shape, np.uint8) if pixels else kernels.pack(signs(seed, shape))
    assert layer.run(x) == layer.outputs(layer.integers(x))


NET = bitnet.freeze(convnet(0, (3, 5, 4), 3, 1, "same", 0, None), image=(7, 6))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 7, 6), np.uint8), r"\(B, 7, 6, 3\)"),
        (np.zeros((2, 6, 7, 3), np.uint8), r"\(B, 7, 6, 3\)"),
        (np.zeros((7, 6, 3), np.uint8), "image.None"),
        (np.zeros((2, 126), np.uint8), r"\(B, 7, 6, 3\)"),
        (np.zeros((2, 7, 6, 3), np.float32), "uint8"),
        (kernels.pack(np.ones((2, 7, 6, 3))), "expected pixels"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, message):
    with pytest.raises(InputError, match=message):
        NET.predict(x)


def test_layers_in_another_order_are_refused():
    conv, *_, output = NET.layers
    dense = FrozenLayer(kernels.pack(np.ones((5, 9))), np.zeros(5, np.int32), np.ones(5, bool))
    assert isinstance(conv, FrozenConv)
    with pytest.raises(InputError, match="got FrozenLayer, FrozenConv, FrozenOutput; expected"):
        FrozenNet([dense, conv, output])


WINDOW = {"size": [3, 3], "stride": [1, 1], "padding": [[1, 1], [1, 1]], "border": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, _: h.update(image=[7]), "image"),
        (lambda h, _: h.update(image=[7, 6, 3]), "image"),
        (lambda h, _: h.update(image=[7, True]), "image"),
        (lambda h, _: h.update(image=[7, -6]), "image"),
        (lambda h, _: h.update(image=[9, 6]), r"layer 2 .*: weights of shape .*expected \(M, 60\)"),
        (lambda h, _: h.update(image="76"), "image"),
        (lambda h, _: h.update(image=None), "image is None"),
        (lambda h, _: h.pop("image"), "expected .*image"),
        (lambda h, own: own.pop("window"), "expected inputs, kind, window"),
        (lambda h, own: own.update(window=None), "expected a dict with border, padding"),
        (lambda h, own: own.update(pool=None), "expected a dict with border, padding"),
        (lambda h, own: own.update(window=[WINDOW]), "expected a dict with border, padding"),
        (lambda h, own: own.update(window=3), "expected a dict with border, padding"),
        (lambda h, own: own["window"].update(size=[2, 3]), "expected filters with the taps"),
        (lambda h, own: own["window"].update(size=[3, "3"]), "Window: size"),
        (lambda h, own: own["window"].update(size=[3, 3.0]), "Window: size"),
        (lambda h, own: own["window"].update(fly=1), "expected a dict with border, padding"),
        (lambda h, own: own["window"].update(border=7), "border 7"),
        (lambda h, own: own["window"].update(stride=[0, 1]), "stride"),
        (lambda h, own: own["window"].update(stride=1), "Window: size"),
        (
            lambda h, own: own["window"].update(padding=[[10**9, 1], [1, 1]]),
            "smaller than the window",
        ),
        (lambda h, own: own["window"].update(padding=1), "Window: size"),
        (lambda h, own: own.update(pool={**WINDOW, "size": [99, 99]}), "does not fit"),
        (lambda h, own: own.update(groups=0), "layer 1 .*: .*a whole number of 1"),
        (lambda h, own: own.update(groups=1.5), "a whole number of 1"),
        (lambda h, own: own.update(groups="1"), "a whole number of 1"),
        (lambda h, own: own.update(groups=2), "divides both"),
        (lambda h, _: h["layers"][0].update(groups=2), "layer 1: weights of shape|divides both"),
    ],
)
def test_inconsistent_files_with_a_valid_seal_are_refused(tmp_path, change, message):
    path = tmp_path / "net.npz"
    NET.save(path)
    header, arrays = read_archive(path, KIND, VERSION)
    change(header, header["layers"][1])
    write_archive(path, KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match=message):
        bitnet.load(path)
