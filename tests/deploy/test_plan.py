"""Frozen nets with branches and averages equal the trained ones, in memory and from their file."""

import json

import numpy as np
import pytest
from bitnet.deploy.plan import described, plan_of
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import disturb, seeds

import bitnet
from bitnet import InputError
from bitnet.archive import read_archive, write_archive
from bitnet.deploy.file import KIND, VERSION
from bitnet.kernels import Window
from bitnet.nn import (
    AvgPool2d,
    BatchNorm,
    Branches,
    Flatten,
    MaxPool2d,
    QuantLinear,
    Sequential,
    WithHeads,
)
from bitnet.nn.activations import Quantize
from bitnet.nn.conv import QuantConv2d
from bitnet.nn.models.imagenet import alexnet, googlenet
from bitnet.quantizers import LinearQuant, LogQuant


def branched(seed, weights, quantizer, ends="linear", image=(9, 8)):
    """Two inception blocks, one within the other, a pass-through, and one of two ends."""
    rng = np.random.default_rng(seed)

    def stage(inputs, outputs, size=1, pool=None, **more):
        conv = QuantConv2d(
            inputs,
            outputs,
            rng=rng,
            kernel_size=size,
            weight_quantizer=weights,
            **more,
            padding="same",
        )
        return [conv, *([pool] if pool else []), BatchNorm(outputs), Quantize(quantizer)]

    inner = Branches(Sequential(*stage(7, 5, 3)), Sequential(*stage(7, 64)))
    pooled = stage(6, 4, pool=AvgPool2d(3, 1, 1))
    branches = [*stage(6, 7), inner], pooled, [MaxPool2d(3, 1, 1)]
    block = Branches(*(Sequential(*branch) for branch in branches))
    channels = 5 + 64 + 4 + 6
    layers = [*stage(3, 6, 3, pool=MaxPool2d(2)), block]
    rows, columns = image[0] // 2, image[1] // 2
    if ends == "linear":
        layers += [
            Flatten(),
            QuantLinear(rows * columns * channels, 3, rng=rng, weight_quantizer=weights),
        ]
    else:
        layers += [
            QuantConv2d(
                channels, 3, rng=rng, kernel_size=1, weight_quantizer=weights, padding="same"
            )
        ]
        layers += [AvgPool2d((rows, columns)), Flatten()]
    return disturb(Sequential(*layers, BatchNorm(3)), seed).eval()


def pixels(seed, count, image):
    return np.random.default_rng(seed).integers(0, 256, (count, *image, 3), dtype=np.uint8)


quantizers = st.one_of(
    st.integers(1, 8),
    st.builds(LinearQuant, st.integers(2, 8), st.just(0.25)),
    st.sampled_from([LogQuant(3), LogQuant(2, 1, False)]),
)


@settings(max_examples=25)
@given(seeds, st.integers(1, 8), st.integers(1, 8), st.sampled_from(["linear", "average"]))
def test_a_frozen_branched_net_is_the_trained_one(implementation, seed, weights, bits, ends):
    model = branched(seed, weights, bits, ends)
    net = bitnet.freeze(model, image=(9, 8))
    agreement = bitnet.compare(model, net, pixels(seed, 7, (9, 8)))
    assert agreement.is_complete
    assert agreement.images == 7


@settings(max_examples=15)
@given(seeds, quantizers, st.sampled_from(["linear", "average"]))
def test_other_quantizers(seed, quantizer, ends):
    model = branched(seed, 2, quantizer, ends)
    net = bitnet.freeze(model, image=(9, 8))
    assert bitnet.compare(model, net, pixels(seed, 3, (9, 8))).is_complete


@pytest.mark.parametrize("ends", ["linear", "average"])
@pytest.mark.parametrize("bits", [1, 3])
def test_the_file_of_a_branched_net(tmp_path, bits, ends):
    model = branched(1, bits, bits, ends)
    net = bitnet.freeze(model, image=(9, 8))
    net.save(tmp_path / "net.npz")
    loaded = bitnet.load(tmp_path / "net.npz")
    assert repr(loaded) == repr(net) == "FrozenNet(9x8x3-6 layers-3, pixels)"
    assert loaded.plan == net.plan
    assert bitnet.compare(model, loaded, pixels(2, 5, (9, 8))).is_complete
    assert np.array_equal(loaded.scores(pixels(2, 5, (9, 8))), net.scores(pixels(2, 5, (9, 8))))
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "net.npz").read_bytes()


@pytest.mark.parametrize("bits", [(1, 1), (1, 2), (2, 2), (4, 4)])
@pytest.mark.parametrize("build", [alexnet, googlenet])
def test_the_models_for_imagenet(tmp_path, build, bits):
    small = {"units": (33, 20)} if build is alexnet else {}
    rng = np.random.default_rng(3)
    quantizers = dict(zip(("weight_quantizer", "activation_quantizer"), bits, strict=True))
    model = build(7, rng=rng, image=(64, 65), **quantizers, inflation=1 / 16, **small)
    for _ in range(2):  # running statistics
        model(pixels(4, 6, (64, 65)))
    disturbed = disturb(
        build(7, rng=rng, image=(64, 65), **quantizers, inflation=1 / 16, **small), 5
    )
    for own in (model, disturbed):
        net = bitnet.freeze(own, image=(64, 65))
        net.save(tmp_path / "net.npz")
        net = bitnet.load(tmp_path / "net.npz")
        assert bitnet.compare(own, net, pixels(6, 5, (64, 65))).is_complete
        assert np.array_equal(
            net.scores(pixels(6, 5, (64, 65))), own.eval()(pixels(6, 5, (64, 65))).data
        )


def test_heads_are_not_frozen():
    rng = np.random.default_rng(7)
    model = googlenet(3, rng=rng, image=(64, 64), inflation=1 / 16)
    alone = Sequential(*model.layers)
    assert isinstance(model, WithHeads)
    with_heads, without = (bitnet.freeze(own, image=(64, 64)) for own in (model, alone))
    assert [a.bits.shape for a in with_heads.layers] == [a.bits.shape for a in without.layers]


MODEL = branched(8, 1, 1)
NET = bitnet.freeze(MODEL, image=(9, 8))
AVERAGE = bitnet.freeze(branched(8, 1, 1, "average"), image=(9, 8))
WINDOW = {"size": [3, 3], "stride": [1, 1], "padding": [[1, 1], [1, 1]], "border": 0}
HALF = {**WINDOW, "stride": [2, 2]}


def plan():
    return json.loads(json.dumps(described(NET.plan)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.pop("plan"), "the header has .*; expected .*plan"),
        (lambda h: h.update(plan=[*range(6)]), "layer 3 .*: weights of shape .*expected"),
        (lambda h: h.update(plan=7), "expected a list of steps"),
        (lambda h: h.update(plan=[]), "expected each of the 6 layers once"),
        (lambda h: h.update(plan=[1, 0, 2, 3, 4, 5]), "in order"),
        (lambda h: h.update(plan=[0, 1, 2, 3, 4, 5, 5]), "in order"),
        (lambda h: h.update(plan=[*plan(), WINDOW]), "in order"),
        (lambda h: h.update(plan=[[[0, 1, 2, 3, 4, 5]]]), "in order"),
        (lambda h: h.update(plan=[0, [], 1]), "expected a layer, window or list"),
        (lambda h: h.update(plan=[0, "1"]), "expected a layer, window or list"),
        (lambda h: h.update(plan=[0, True]), "expected a layer, window or list"),
        (lambda h: h.update(plan=[[[[[[[[[[0]]]]]]]]]]), "a list of steps"),
        (lambda h: h.update(plan=[0, [1, 2], 3]), "a list of steps"),
        (lambda h: h.update(plan=[{**WINDOW, "fly": 1}, *plan()]), "expected a dict with border"),
        (lambda h: h.update(plan=[{**WINDOW, "size": [99, 99]}, *plan()]), "does not fit"),
        (lambda h: h.update(plan=[{**WINDOW, "padding": [[3, 1], [1, 1]]}, *plan()]), "padding"),
        (lambda h: h.update(plan=[0, [[HALF], *plan()[1]], *plan()[2:]]), "one size"),
        (lambda h: h.update(plan=[*plan()[:-1], [[], []], 5]), r"layer 5 .*: weights of shape"),
        (lambda h: h["layers"][4].update(pooling="least"), "layer 4 .*: pooling is 'least'"),
        (lambda h: h["layers"][4].update(pooling=[1]), "layer 4 .*: pooling is"),
        (lambda h: h["layers"][5].update(pool=WINDOW), "layer 5 .*: weights of shape"),
    ],
)
def test_inconsistent_plans_with_a_valid_seal_are_refused(tmp_path, change, message):
    refuse(tmp_path / "net.npz", NET, change, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["layers"][5].pop("pool"), "layer 5 .*: weights of shape"),
        (lambda h: h["layers"][5].update(pool=None), "expected a dict with border"),
        (lambda h: h["layers"][5]["pool"].update(size=[3, 4]), "expected all"),
        (lambda h: h["layers"][5]["pool"].update(padding=[[1, 0], [0, 0]]), "expected all"),
    ],
)
def test_an_average_is_of_all_pixels(tmp_path, change, message):
    refuse(tmp_path / "net.npz", AVERAGE, change, message)


def refuse(path, net, change, message):
    net.save(path)
    header, arrays = read_archive(path, KIND, VERSION)
    change(header)
    write_archive(path, KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match=message):
        bitnet.load(path)


def test_a_plan_comes_back():
    steps = [0, Window((2, 2)), [[1, [[2], []]], [Window((3, 3), padding=((1, 1), (1, 1)))]], 3]
    assert plan_of(json.loads(json.dumps(described(steps))), 4) == steps


RNG = np.random.default_rng(9)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [
                QuantConv2d(3, 4, rng=RNG, kernel_size=3, padding="same"),
                AvgPool2d(4),
                Flatten(),
                BatchNorm(4),
            ],
            "expected a 1x1 kernel",
        ),
        (
            [
                QuantConv2d(3, 4, rng=RNG, kernel_size=1, padding="same"),
                BatchNorm(4),
                Quantize(2),
                QuantConv2d(4, 4, rng=RNG, kernel_size=1, padding="same"),
                AvgPool2d(2),
                Flatten(),
                BatchNorm(4),
            ],
            "expected all",
        ),
        (
            [
                QuantConv2d(3, 4, rng=RNG, kernel_size=1, padding="same"),
                AvgPool2d(4),
                Flatten(),
                BatchNorm(4),
                Flatten(),
            ],
            "expected no more layers",
        ),
        ([Branches(Sequential(Flatten()))], "expected QuantConv2d or"),
        (
            [
                QuantConv2d(3, 4, rng=RNG, kernel_size=1, padding="same"),
                BatchNorm(4),
                Quantize(2),
                AvgPool2d(4),
                Flatten(),
            ],
            "expected Flatten",
        ),
    ],
)
def test_other_structures_are_refused(layers, message):
    with pytest.raises(InputError, match=message):
        bitnet.freeze(Sequential(*layers), image=(4, 4))


def test_compare_refuses_another_net():
    with pytest.raises(InputError, match="differ in shape"):
        bitnet.compare(MODEL, AVERAGE, pixels(0, 1, (9, 8)))


def test_the_table_of_a_branched_net():
    table = bitnet.summary(AVERAGE)
    rows = [(row.outputs, row.macs) for row in table.rows]
    assert rows == [
        ((4, 4, 6), 9 * 8 * 6 * 27),
        ((4, 4, 7), 16 * 7 * 6),
        ((4, 4, 5), 16 * 5 * 9 * 7),
        ((4, 4, 64), 16 * 64 * 7),
        ((4, 4, 4), 16 * 4 * 6),
        ((3,), 16 * 3 * 79),
    ]
    assert table.overhead + sum(row.n_bytes for row in table.rows) == table.file_bytes
