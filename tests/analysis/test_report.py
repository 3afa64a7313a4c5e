"""Summary: counts by hand, and bytes equal to those of the file on disk."""

import collections
import dataclasses
import itertools
import json
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

import bitnet
from bitnet import InputError, kernels
from bitnet.analysis.energy import estimate
from bitnet.analysis.report import in_order, summary
from bitnet.data.preparation import Preparation
from bitnet.nn import (
    AvgPool2d,
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    Branches,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    PReLU,
    QuantConv2d,
    Quantize,
    QuantLinear,
    ReLU,
    Sequential,
    Sign,
    models,
)
from bitnet.nn.models.imagenet import googlenet
from bitnet.nn.shift import ShiftBatchNorm

RNG = np.random.default_rng(0)


def convnet(channels=3):
    """Odd widths, strides, poolings and borders."""
    layers = [
        BinaryConv2d(channels, 13, rng=RNG, kernel_size=5, stride=2, border=1, padding="same"),
        BatchNorm(13),
        Sign(),
        BinaryConv2d(13, 70, rng=RNG, kernel_size=(3, 2), padding="valid"),
        MaxPool2d(3, 2, 1),
        BatchNorm(70),
        Sign(),
        Flatten(),
        Dropout(0.5, rng=RNG),
    ]
    n = 70 * 2 * 2
    return Sequential(
        *layers,
        BinaryLinear(n, 9, rng=RNG),
        BatchNorm(9),
        Sign(),
        BinaryLinear(9, 3, rng=RNG),
        BatchNorm(3),
    )


def few_bits():
    """Bits of all kinds: even steps, powers of two, three numbers, steps with an offset."""
    layers = [QuantLinear(70, 65, rng=RNG, weight_quantizer=2), BatchNorm(65), Quantize(2)]
    layers += [
        QuantLinear(65, 9, rng=RNG, weight_quantizer="linear:4:0.25"),
        ShiftBatchNorm(9),
        Quantize("log:3"),
    ]
    return Sequential(*layers, QuantLinear(9, 3, rng=RNG, weight_quantizer="ternary"), BatchNorm(3))


def few_bits_of_images():
    layers = [
        QuantConv2d(3, 70, rng=RNG, kernel_size=3, weight_quantizer=8, padding="same"),
        MaxPool2d(),
        BatchNorm(70),
        Quantize(3),
    ]
    layers += [
        QuantConv2d(70, 4, rng=RNG, kernel_size=3, weight_quantizer=1, groups=2, padding="same"),
        BatchNorm(4),
        Quantize(1),
    ]
    layers += [
        QuantConv2d(4, 6, rng=RNG, kernel_size=2, padding="same"),
        MaxPool2d(),
        BatchNorm(6),
        Quantize("linear:1:1:unsigned"),
    ]
    return Sequential(
        *layers, Flatten(), QuantLinear(6, 3, rng=RNG, weight_quantizer="log:2"), BatchNorm(3)
    )


def branched(bits):
    """Branches within branches, poolings of both kinds, and an average at the end."""

    def stage(inputs, outputs, size=1, pool=(), **more):
        conv = QuantConv2d(inputs, outputs, rng=RNG, kernel_size=size, **more, padding="same")
        return [conv, *pool, BatchNorm(outputs), Quantize(bits)]

    inner = Branches(Sequential(*stage(7, 5, 3)), Sequential(*stage(7, 64, weight_quantizer=3)))
    branches = [*stage(6, 7), inner], stage(6, 4, 1, [AvgPool2d(3, 1, 1)]), [MaxPool2d(3, 1, 1)]
    layers = [*stage(3, 6, 3, [MaxPool2d(2)]), Branches(*(Sequential(*b) for b in branches))]
    end = (
        QuantConv2d(79, 3, rng=RNG, kernel_size=1, padding="same"),
        AvgPool2d((4, 4)),
        Flatten(),
        BatchNorm(3),
    )
    return Sequential(*layers, *end)


def example(image):
    """An example of pixels for freeze, or None."""
    return image and np.zeros((1, *image), np.uint8)


NETS = {
    "mlp": (models.binary_mlp([784, 65, 10], rng=RNG), None),
    "mlp of one layer": (models.binary_mlp([3, 2], rng=RNG), None),
    "mlp with dropout": (models.binary_mlp([30, 64, 9, 4], rng=RNG, dropout=(0.2, 0.5)), None),
    "convnet": (convnet(), (11, 10, 3)),
    "one channel": (convnet(1), (11, 10, 1)),
    "groups": (
        Sequential(
            BinaryConv2d(4, 6, rng=RNG, groups=2, kernel_size=3, padding="same"),
            BatchNorm(6),
            Sign(),
            Flatten(),
            BinaryLinear(6 * 20, 3, rng=RNG),
            BatchNorm(3),
        ),
        (5, 4, 4),
    ),
    "branches of signs": (branched(1), (9, 8, 3)),
    "branches of codes": (branched(2), (9, 8, 3)),
    "few bits": (few_bits(), None),
    "few bits of images": (few_bits_of_images(), (6, 5, 3)),
}


@pytest.mark.parametrize("name", NETS)
def test_the_bytes_are_those_of_the_saved_file(name, tmp_path):
    model, image = NETS[name]
    net = bitnet.freeze(model, example(image))
    net.save(tmp_path / "net.npz")
    on_disk = (tmp_path / "net.npz").stat().st_size
    frozen, trained = summary(net), summary(model, example(image))
    assert frozen.file_bytes == trained.file_bytes == on_disk
    assert frozen.overhead == trained.overhead > 0
    for table in (frozen, trained):
        assert table.total("n_bytes") + table.overhead == on_disk
    loaded = summary(bitnet.load(tmp_path / "net.npz"))
    assert loaded == frozen
    assert f"{on_disk:,}" in str(frozen)
    assert f"{on_disk:,}" in str(trained)


@pytest.mark.parametrize("name", NETS)
def test_model_and_frozen_net_count_the_same(name):
    model, image = NETS[name]
    net = bitnet.freeze(model, example(image))
    trained, frozen = summary(model, example(image)), summary(net)
    assert [dataclasses.replace(row, memory=0) for row in trained.rows] == [*frozen.rows]
    assert trained.total("memory") == sum(a.nbytes for a in model.state_dict().values())
    assert frozen.total("memory") == 0
    x = RNG.integers(0, 256, (1, *(image or net.shape)), dtype=np.uint8)
    assert frozen.total("units") == sum(z.size for z in net.pre_activations(x))


def test_the_papers_counts():
    for net, weights, macs in (
        (models.CIFAR10, 14_022_016, 616_966_144),
        (models.SVHN, 6_397_632, None),
    ):
        table = summary(models.binary_convnet(**net, rng=RNG))
        assert table.one_bit == weights
        assert macs is None or sum(table.macs.values()) == macs
    assert table.rows[0].outputs == (32, 32, 64)
    mlp = summary(models.binary_mlp(models.MNIST_TORCH, rng=RNG))
    assert mlp.one_bit == sum(mlp.macs.values()) == 10_014_720


def test_a_convnet_by_hand():
    table = summary(bitnet.freeze(convnet(), example((11, 10, 3))))
    assert [row.outputs for row in table.rows] == [(6, 5, 13), (2, 2, 70), (9,), (3,)]
    first, second, third, last = table.rows
    assert (first.precision, first.macs, first.words) == ("8x1", 30 * 75 * 13, 30 * 13 * 8 * 2)
    assert (second.precision, second.macs) == ("1x1", 4 * 4 * 6 * 13 * 70)
    assert (second.words, second.units) == (16 * 70 * 6, 16 * 70)
    assert (third.macs, third.words, third.read) == (280 * 9, 9 * 5, 280)
    assert (last.one_bit, last.floats, last.thresholds, last.directions) == (27, 9, 0, 0)
    assert (second.thresholds, second.directions, second.floats) == (70, 70, 0)
    assert [row.n_bytes for row in table.rows] == [
        13 * 25 + 13 * 4 + 2,
        70 * 6 * 2 + 70 * 4 + 9,
        9 * 35 + 9 * 4 + 2,
        3 * 2 + 3 * 12,
    ]


def test_a_grouped_convolution():
    model, image = NETS["groups"]
    table = summary(model, example(image))
    assert table.one_bit == 6 * 9 * 2 + 360
    assert table.macs["8x1"] == 20 * 6 * 9 * 2
    frozen = summary(bitnet.freeze(NETS["groups"][0], example((5, 4, 4))))
    assert frozen.rows[0].name == "layers.0 FrozenConv(4, 6, 3x3, groups=2)"


def test_fewer_planes_of_the_pixels():
    net = bitnet.nn.models.binary_mlp([70, 5, 3], rng=np.random.default_rng(0), input_planes=3)
    first = summary(net).rows[0]
    assert (first.precision, first.planes) == ("3x1", 3)
    assert (first.read, first.read_bits, first.words) == (70, 3, 5 * 3 * 2)


def test_few_bits_by_hand():
    table = summary(bitnet.freeze(few_bits()))
    assert table.weights == {2: 70 * 65 + 27, 4: 65 * 9}
    assert table.one_bit == 0
    first, second, last = table.rows
    assert [row.precision for row in table.rows] == ["8x2", "2x4", "3x2"]
    assert [row.planes for row in table.rows] == [8 * 2, 2 * 4, 6 * 2]  # two for a power of two
    assert [row.words for row in table.rows] == [65 * 16 * 2, 9 * 8 * 2, 3 * 12]
    assert [row.thresholds for row in table.rows] == [65 * 3, 9 * 6, 0]  # log:3 has 7 numbers
    assert [row.comparisons for row in table.rows] == [65 * 3, 9 * 6, 0]
    assert (second.read, second.read_bits, second.written, second.written_bits) == (65, 2, 9, 3)
    assert first.n_bytes == 65 * 9 * 2 + 65 * 3 * 4 + 9
    assert last.n_bytes == 3 * 2 * 2 + 3 * 12
    assert table.macs == {
        "1x1": 0,
        "8x1": 0,
        "3x2": 27,
        "8x2": 70 * 65,
        "2x4": 65 * 9,
        "float32": 0,
    }
    head = str(table).splitlines()[1].split()
    assert head[2:4] == ["2-bit", "4-bit"]
    assert str(table).splitlines()[1].count(" MACs") == 3
    found = table.as_dict()
    assert found["totals"]["weights"] == {"2-bit": 70 * 65 + 27, "4-bit": 65 * 9}
    assert [layer["one_bit"] for layer in found["layers"]] == [0, 0, 0]


def test_codes_are_compared_after_the_pooling_and_signs_before_it():
    model, image = NETS["few bits of images"]
    rows = summary(model, example(image)).rows
    assert [row.comparisons for row in rows] == [3 * 2 * 70 * 7, 3 * 2 * 4, 6, 0]
    signs = summary(bitnet.freeze(convnet(), example((11, 10, 3)))).rows
    assert [row.comparisons for row in signs] == [30 * 13, 16 * 70, 9, 0]
    for bits, first in ((1, 72 * 6), (2, 16 * 6 * 3)):  # after an average in both cases
        rows = summary(bitnet.freeze(branched(bits), example((9, 8, 3)))).rows
        steps = 2**bits - 1
        assert [row.comparisons for row in rows] == [
            first,
            16 * 7 * steps,
            16 * 5 * steps,
            16 * 64 * steps,
            16 * 4 * steps,
            0,
        ]


def test_scales_that_are_shifts():
    model = few_bits()
    model.layers[-1].gamma.edit()[:] = [3.0, 0.0, -0.25]
    last = next(row for row in reversed(summary(model).rows) if row.precision)
    assert (last.multiplications, last.shifts, last.comparisons) == (1, 2, 0)
    model.layers[-1] = ShiftBatchNorm(3)
    model.layers[-1].gamma.edit()[:] = [3.0, 0.0, -0.25]
    last = next(row for row in reversed(summary(model).rows) if row.precision)
    assert (last.multiplications, last.shifts) == (0, 3)
    assert summary(bitnet.freeze(model)).rows[-1].shifts == 3


def test_branches_are_walked_through():
    inner = Sequential(
        QuantConv2d(5, 7, rng=RNG, weight_quantizer=2, kernel_size=3, padding="same"),
        BatchNorm(7),
        Quantize(2),
    )
    pooled = Sequential(MaxPool2d(3, 1, 1))
    model = Sequential(
        QuantConv2d(3, 5, rng=RNG, kernel_size=3, padding="same"),
        BatchNorm(5),
        Quantize(2),
        Branches(Sequential(), inner, pooled),
        Flatten(),
        QuantLinear(20 * 17, 4, rng=RNG, weight_quantizer=4),
        BatchNorm(4),
    )
    table = summary(model, example((5, 4, 3)))
    assert table.weights == {1: 9 * 3 * 5, 2: 9 * 5 * 7, 4: 20 * 17 * 4}
    assert {p: n for p, n in table.macs.items() if n} == {
        "8x1": 20 * 9 * 3 * 5,
        "2x2": 20 * 9 * 5 * 7,
        "2x4": 20 * 17 * 4,
    }
    assert [row.name for row in table.rows] == [
        "layers.0 FrozenConv(3, 5, 3x3, 2-bit outputs)",
        "layers.3.branches.1.layers.0 FrozenConv(5, 7, 3x3, 2-bit outputs)",
        "layers.5 FrozenLinear(340, 4)",
    ]
    assert table.total("memory") == sum(a.nbytes for a in model.state_dict().values())


def test_googlenet_and_its_heads():
    options = {
        "image": (64, 64),
        "inflation": 1 / 16,
        "weight_quantizer": 2,
        "activation_quantizer": 3,
    }
    model = googlenet(5, rng=RNG, **options)
    table = summary(model)
    weights = [
        p.size
        for name, p in model.state_dict().items()
        if name.endswith("weight") and name.startswith("layers")
    ]
    assert table.weights == {2: sum(weights)}
    assert {p for p, n in table.macs.items() if n} == {"8x2", "3x2"}
    state = model.state_dict().items()
    assert table.total("memory") == sum(array.nbytes for _, array in state)
    heads = [row for row in table.rows if row.name.startswith("heads.")]
    assert sum(row.memory for row in heads) == sum(a.nbytes for n, a in state if "heads" in n) > 0
    assert {row.n_bytes for row in heads} == {0}
    bare = summary(googlenet(5, rng=RNG, auxiliary=False, **options))
    assert (bare.macs, bare.weights) == (table.macs, table.weights)


def test_sequentials_inside_count_as_one():
    flat = models.binary_mlp([30, 9, 4], rng=RNG)
    nested = Sequential(Sequential(*flat.layers[:2]), Sequential(*flat.layers[2:]))
    found, expected = summary(nested), summary(flat)
    assert found.macs == expected.macs
    assert found.rows[-1].modules == ("layers.1.layers.1", "layers.1.layers.2")
    assert found.input == expected.input


def test_a_float_net_has_no_column_of_bits():
    assert "-bit" not in str(summary(models.float_mlp([3, 2], rng=RNG)))


@pytest.mark.parametrize("name", NETS)
def test_reprs_are_one_line_and_a_notebook_shows_the_table(name):
    net, image = NETS[name]
    table = summary(net, example(image))
    assert repr(table).startswith("Summary(Sequential of ")
    assert "\n" not in repr(table) + repr(table.rows[0])
    assert max(len(repr(table)), *(len(repr(row)) for row in table.rows)) < 120
    html = table._repr_html_()
    assert html.count("<tr>") == str(table).count("\n") - len([*table._notes()])
    assert all(f">{title}</th>" in html for title in ("layer", "output", "float32", "bytes"))


def test_precisions_in_order():
    mixed = ["float32", "2x8", "8x1", "10x1", "1x1", "2x2"]
    assert in_order(mixed) == ["1x1", "8x1", "10x1", "2x2", "2x8", "float32"]


def test_float_twins():
    table = summary(models.float_convnet((8, 8, 3), [(4,)], (5, 2), rng=RNG))
    macs = 64 * 27 * 4 + 64 * 5 + 10
    assert table.macs == {"1x1": 0, "8x1": 0, "float32": macs}
    assert table.weights == {}
    assert table.total("weights", bits=32) == 27 * 4 + 64 * 5 + 10
    assert table.total("n_bytes") == 4 * table.total("floats")
    assert "1x1 MACs" not in str(table)
    # a bias and an affine map with scales of 1 after each product, after the pooling of the first
    assert table.total("additions") == 64 * 4 + 2 * 16 * 4 + 3 * (5 + 2)
    assert (table.total("multiplications"), table.total("shifts")) == (0, 16 * 4 + 5 + 2)


def test_bits_then_floats():
    mixed = Sequential(
        BinaryConv2d(3, 4, rng=RNG, kernel_size=3, padding="same"),
        BatchNorm(4),
        ReLU(),
        AvgPool2d(),
        Flatten(),
        Linear(64, 2, rng=RNG),
    )
    table = summary(mixed, example((8, 8, 3)))
    assert table.macs == {"1x1": 0, "8x1": 64 * 27 * 4, "float32": 128}
    assert [row.name.split("(")[0] for row in table.rows] == [
        "layers.0 FrozenConv",
        "avgpool",
        "layers.5 FloatLinear",
    ]
    conv, pool, linear = table.rows
    assert (conv.additions, conv.shifts, conv.multiplications) == (2 * 256, 256, 0)
    assert (pool.additions, pool.multiplications) == (4 * 64, 64)
    assert (linear.additions, linear.units) == (2, 2)
    assert (conv.written, conv.written_bits, pool.read, linear.read) == (64, 32, 0, 64)


class Counting(Module):
    """A model that multiplies by the size of the batch."""

    def __init__(self):
        self.linear = QuantLinear(3, 2, rng=RNG)

    def forward(self, x):
        return self.linear(x) * float(len(x.data))


def test_what_cannot_be_frozen_is_counted_in_memory():
    table = summary(Counting(), example((3,)))
    assert (table.file_bytes, table.overhead, table.input) == (None, None, ())
    assert "cannot be frozen: " in str(table)
    assert [(row.name, row.memory) for row in table.rows] == [("linear", 24)]
    assert repr(table) == "Summary(Counting: 24 bytes in memory)"
    assert table.as_dict()["reason"] == table.reason


def test_signs_as_input():
    """Signs of floats: at the input, by a comparison each; or Bits, which cost nothing."""
    model = Sequential(Sign(), *models.binary_mlp([70, 3], rng=RNG).layers)
    table = summary(model)
    assert table.macs == {"1x1": 210, "8x1": 0, "float32": 0}
    first, last = table.rows
    assert (first.name, first.comparisons, first.read_bits, last.read) == ("quantize", 70, 32, 70)
    quantized = Sequential(Quantize(1), *model.layers[1:])
    assert summary(quantized).macs == table.macs
    assert summary(quantized).file_bytes == table.file_bytes
    packed = summary(Sequential(*model.layers[1:]), bitnet.kernels.pack(np.ones((1, 70))))
    assert packed.macs == table.macs
    assert len(packed.rows) == 1


def test_the_mode_of_the_model_is_kept():
    model = models.binary_mlp([8, 3], rng=RNG)
    before = model.state_dict()
    summary(model)
    assert model.training
    assert all(np.array_equal(a, model.state_dict()[name]) for name, a in before.items())


def test_the_dict_is_json_and_has_the_totals():
    model, image = NETS["convnet"]
    table = summary(model, example(image))
    found = json.loads(json.dumps(table.as_dict()))
    assert found["totals"]["macs"] == table.macs
    assert found["totals"]["one_bit"] == sum(layer["one_bit"] for layer in found["layers"])
    n_bytes = sum(layer["n_bytes"] for layer in found["layers"])
    assert found["overhead_bytes"] + n_bytes == found["file_bytes"]
    assert found["layers"][0]["outputs"] == [6, 5, 13]


@pytest.mark.parametrize(
    ("net", "image", "message"),
    [
        (3, None, "got int"),
        (Sequential(), None, "got no example"),
        (convnet(), None, "got no example"),
        (convnet(), np.zeros((1, 8, 8), np.uint8), r"\(B, H, W, 3\)"),
        (convnet(), np.zeros((1, 2, 2, 3), np.uint8), "does not fit"),
        (models.binary_mlp([784, 10], rng=RNG), np.zeros((1, 28, 27), np.uint8), "784"),
    ],
)
def test_what_does_not_fit_is_refused(net, image, message):
    with pytest.raises(InputError, match=message):
        summary(net, image)


@pytest.mark.parametrize("weights", ["ternary", 3])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_a_language_model_by_hand(kind, weights):
    few = {"weight_quantizer": weights, "activation_quantizer": 4, "width": 5, "units": 6}
    model = models.language_model(9, rng=RNG, kind=kind, layers=2, **few)
    table = summary(model)
    rows = {"rnn": 6, "gru": 18, "lstm": 24}[kind]
    shapes = [(9, 5), (rows, 5), (rows, 6), (rows, 6), (rows, 6), (9, 6)]
    matrices = [row for row in table.rows if row.weights]
    assert [row.weights for row in matrices] == [m * n for m, n in shapes]
    assert [row.macs for row in matrices] == [0, *(m * n for m, n in shapes[1:])]
    bits = {"ternary": 2, 3: 3}[weights]
    assert [row.bits for row in matrices] == [4, *[bits] * 5]
    assert {row.precision for row in matrices} == {None, f"4x{bits}"}
    assert [row.name.split()[0] for row in matrices] == [row.modules[0] for row in matrices]
    assert table.total("memory") == sum(a.nbytes for a in model.state_dict().values())
    assert (table.input, table.one, table.is_frozen) == ((), "token", False)
    assert table.overhead > 0
    frozen = summary(bitnet.freeze(model))
    assert frozen.file_bytes == table.file_bytes
    assert str(frozen).startswith("FrozenLanguageModel(9-5-6 ")
    assert table.name == frozen.name.removeprefix("Frozen")


def test_the_preparation_has_a_row(tmp_path):
    model = models.binary_mlp([27, 5, 3], rng=RNG)
    model = Sequential(Sign(), *model.layers)
    net = bitnet.freeze(model)
    net.preparation = Preparation.fit(["gcn", "zca"], RNG.integers(0, 256, (9, 3, 3, 3), np.uint8))
    net.save(tmp_path / "net.npz")
    for table in (summary(net), summary(model, frozen=net)):
        assert table.file_bytes == (tmp_path / "net.npz").stat().st_size
        row = next(row for row in table.rows if row.name == "prepare")
        assert row.n_bytes == sum(array.nbytes for array in net.preparation.arrays.values()) > 0
        assert row.floats == 27 * 27 + 27
    assert summary(model).file_bytes < table.file_bytes
    assert estimate(table).estimates == estimate(net).estimates == estimate(model).estimates


class Shared(Module):
    """A model that applies the same weights twice, and adds a constant to the result."""

    def __init__(self):
        self.linear, self.norm = BinaryLinear(70, 70, rng=RNG), BatchNorm(70)
        self.sign = Sign()

    def forward(self, x):
        x = self.sign(self.norm(self.linear(x)))
        return self.norm(self.linear(x)) + np.arange(70, dtype=np.float32)


def test_shared_weights_have_bytes_once_and_products_twice(tmp_path):
    net = bitnet.freeze(Shared(), np.zeros((1, 70), np.uint8))
    table = summary(net)
    assert table.weights == {1: 4900}
    assert table.macs == {"1x1": 4900, "8x1": 4900, "float32": 0}
    first, second, add = table.rows
    assert (first.n_bytes, second.n_bytes) == (70 * 9 + 70 * 4 + 9, 3 * 70 * 4)
    assert (add.name, add.n_bytes, add.additions) == ("add", 280, 70)
    net.save(tmp_path / "net.npz")
    assert table.file_bytes == (tmp_path / "net.npz").stat().st_size


class Shortcut(Module):
    """A float stem, blocks x + bn(conv(sign(x))), perhaps a rectifier, and a linear layer."""

    def __init__(self, rng, width, size, groups, blocks, kernel, is_float, slope):
        stem = Conv2d if is_float else BinaryConv2d
        self.stem = stem(3, width, rng=rng, kernel_size=kernel, padding="same")
        convs = [
            BinaryConv2d(width, width, rng=rng, kernel_size=kernel, padding="same", groups=groups)
            for _ in range(blocks)
        ]
        self.first, self.convs = BatchNorm(width), convs
        self.norms, self.sign = [BatchNorm(width) for _ in convs], Sign()
        self.slope = PReLU(width) if slope else Sequential()
        self.out = Sequential(Flatten(), BinaryLinear(size * size * width, 5, rng=rng))
        self.norm = BatchNorm(5)

    def forward(self, x):
        x = self.first(self.stem(x))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = self.slope(x + norm(conv(self.sign(x))))
        return self.norm(self.out(self.sign(x)))


@given(
    seeds,
    st.sampled_from([1, 2, 6]),
    st.integers(2, 5),
    st.integers(1, 2),
    st.integers(0, 2),
    st.sampled_from([1, 3]),
    st.booleans(),
    st.booleans(),
)
def test_shortcuts_with_and_without_a_float_stem(
    seed, width, size, groups, blocks, kernel, is_float, slope
):
    groups = min(groups, width)
    rng = np.random.default_rng(seed)
    model = Shortcut(rng, width, size, groups, blocks, kernel, is_float, slope)
    x = np.zeros((1, size, size, 3), np.float32 if is_float else np.uint8)
    table = summary(model, x)
    area, taps = size * size, kernel * kernel
    stem, inner = area * taps * 3 * width, blocks * area * taps * width * width // groups
    expected = {"1x1": inner + 5 * area * width, "8x1": 0, "float32": 0}
    assert table.macs == expected | {"float32" if is_float else "8x1": stem}
    adds = table.total("additions", name="add")
    assert adds == blocks * area * width
    assert table.total("multiplications", name="slope prelu") == slope * blocks * area * width
    assert sum(row.comparisons for row in table.rows) == (blocks + 1) * area * width
    check_bytes(table, model, x)


def check_bytes(table, model, x):
    """Assert that the bytes of the rows and of the overhead are those of the file."""
    net = bitnet.freeze(model, x)
    with tempfile.TemporaryDirectory() as folder:
        net.save(f"{folder}/net.npz")
        assert table.file_bytes == pathlib.Path(f"{folder}/net.npz").stat().st_size
    _, arrays = net.contents()
    assert table.total("n_bytes") == sum(array.nbytes for array in arrays.values())
    assert table.overhead == table.file_bytes - table.total("n_bytes") > 0
    assert table.total("memory") == sum(a.nbytes for a in model.state_dict().values())


@given(
    seeds,
    st.lists(st.sampled_from([9, 64, 65]), min_size=2, max_size=4),
    st.lists(st.sampled_from([1, 2, 3, "ternary", "log:3"]), min_size=3, max_size=3),
    st.lists(st.sampled_from([1, 2, 3, "log:3"]), min_size=3, max_size=3),
)
def test_chains_of_any_bits(seed, sizes, weights, activations):
    rng, layers, expected = np.random.default_rng(seed), [], collections.Counter()
    entered = 8
    pairs = itertools.pairwise(sizes)
    for (n, m), own, after in zip(pairs, weights, activations, strict=False):
        layers.append(QuantLinear(n, m, rng=rng, weight_quantizer=own))
        layers += [BatchNorm(m), Quantize(after)]
        expected[f"{entered}x{BITS.get(own, own)}"] += m * n
        entered = BITS.get(after, after)
    model = Sequential(*layers[:-1])
    table = summary(model)
    assert {p: n for p, n in table.macs.items() if n} == dict(expected)
    assert table.total("units") == sum(sizes[1:])
    assert table.total("weights") == sum(expected.values())
    check_bytes(table, model, None)


BITS = {"ternary": 2, "log:3": 3}


@given(
    seeds,
    st.sampled_from(["rnn", "lstm", "gru"]),
    st.integers(2, 9),
    st.integers(5, 70),
    st.integers(5, 9),
    st.integers(1, 3),
    st.sampled_from([None, 2, 3]),
)
def test_language_models_of_any_sizes(seed, kind, count, width, units, layers, bits):
    few = {"weight_quantizer": bits, "activation_quantizer": bits and 4}
    few |= {"width": width, "units": units}
    rng = np.random.default_rng(seed)
    model = models.language_model(count, rng=rng, kind=kind, layers=layers, **few)
    table = summary(model)
    gates = kernels.GATES[kind] * units
    macs = gates * (width + units) + (layers - 1) * 2 * gates * units + count * units
    expected = {"1x1": 0, "8x1": 0, "float32": 0}
    assert table.macs == expected | {f"4x{bits}" if bits else "float32": macs}
    assert table.weights == ({bits: macs, 4: count * width} if bits else {})
    check_bytes(table, model, None)
