"""Summary: counts by hand, and bytes equal to those of the file on disk."""

import json
import math

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.analysis.report import in_order, summary
from bitnet.nn import (
    AvgPool2d,
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    Branches,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
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


class Inside(Module):
    """A user's layer with a product inside."""

    def __init__(self):
        self.linear = Linear(3, 2, rng=RNG)

    def forward(self, x):
        return self.linear(x)


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
    net = bitnet.freeze(model, image=image and image[:2])
    net.save(tmp_path / "net.npz")
    on_disk = (tmp_path / "net.npz").stat().st_size
    frozen, trained = summary(net), summary(model, image)
    assert frozen.file_bytes == trained.file_bytes == on_disk
    assert frozen.overhead == trained.overhead > 0
    assert frozen.total("n_bytes") + frozen.overhead == on_disk
    assert trained.total("file_bytes") + trained.overhead == on_disk
    loaded = summary(bitnet.load(tmp_path / "net.npz"))
    assert loaded == frozen
    assert f"{on_disk:,}" in str(frozen)
    assert f"{on_disk:,}" in str(trained)


@pytest.mark.parametrize("name", NETS)
def test_model_and_frozen_net_count_the_same(name):
    model, image = NETS[name]
    net = bitnet.freeze(model, image=image and image[:2])
    trained, frozen = summary(model, image), summary(net)
    assert trained.macs == frozen.macs
    assert trained.one_bit == frozen.one_bit
    assert trained.weights == frozen.weights
    pairs = [[row for row in table.rows if row.precision] for table in (trained, frozen)]
    for row, own in zip(*pairs, strict=True):
        for field in (
            "weights",
            "bits",
            "precision",
            "planes",
            "words",
            "read",
            "read_bits",
            "written",
            "written_bits",
            "units",
            "comparisons",
            "multiplications",
            "shifts",
        ):
            assert getattr(row, field) == getattr(own, field), field
    state = model.state_dict().values()
    assert trained.total("n_bytes") == sum(array.nbytes for array in state)
    x = RNG.integers(0, 256, (1, *(image or net.shape)), dtype=np.uint8)
    assert frozen.total("units") == sum(z.size for z in net.pre_activations(x))


def test_the_papers_counts():
    for net, weights, macs in (
        (models.CIFAR10, 14_022_016, 616_966_144),
        (models.SVHN, 6_397_632, None),
    ):
        table = summary(models.binary_convnet(**net, rng=RNG), net["image"])
        assert table.one_bit == weights
        assert macs is None or sum(table.macs.values()) == macs
    assert table.rows[0].outputs == (32, 32, 64)
    mlp = summary(models.binary_mlp(models.MNIST_TORCH, rng=RNG))
    assert mlp.one_bit == sum(mlp.macs.values()) == 10_014_720


def test_a_convnet_by_hand():
    table = summary(bitnet.freeze(convnet(), image=(11, 10)))
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
    table = summary(*NETS["groups"])
    assert table.one_bit == 6 * 9 * 2 + 360
    assert table.macs["8x1"] == 20 * 6 * 9 * 2
    frozen = summary(bitnet.freeze(NETS["groups"][0], image=(5, 4)))
    assert frozen.rows[0].name == "0 FrozenConv(4, 6, 3x3, groups=2)"


def test_fewer_planes_of_the_pixels():
    net = bitnet.nn.models.binary_mlp([70, 5, 3], rng=np.random.default_rng(0), input_planes=3)
    rows = summary(net).rows
    assert [(row.precision, row.planes) for row in rows[:2]] == [(None, 0), ("3x1", 3)]
    assert (rows[1].read, rows[1].read_bits, rows[1].words) == (70, 3, 5 * 3 * 2)


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
    assert str(table).count(" MACs") == 3
    found = table.as_dict()
    assert found["totals"]["weights"] == {"2-bit": 70 * 65 + 27, "4-bit": 65 * 9}
    assert [layer["one_bit"] for layer in found["layers"]] == [0, 0, 0]


def test_codes_are_compared_after_the_pooling_and_signs_before_it():
    rows = summary(*NETS["few bits of images"]).rows
    compared = [row.comparisons for row in rows if row.precision]
    assert compared == [3 * 2 * 70 * 7, 3 * 2 * 4, 6, 0]
    signs = summary(bitnet.freeze(convnet(), image=(11, 10))).rows
    assert [row.comparisons for row in signs] == [30 * 13, 16 * 70, 9, 0]
    for bits, first in ((1, 72 * 6), (2, 16 * 6 * 3)):  # after an average in both cases
        rows = summary(bitnet.freeze(branched(bits), image=(9, 8))).rows
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
    table = summary(model, (5, 4, 3))
    assert table.weights == {1: 9 * 3 * 5, 2: 9 * 5 * 7, 4: 20 * 17 * 4}
    assert {p: n for p, n in table.macs.items() if n} == {
        "8x1": 20 * 9 * 3 * 5,
        "2x2": 20 * 9 * 5 * 7,
        "2x4": 20 * 17 * 4,
    }
    names = [row.name for row in table.rows]
    assert names[3:7] == [
        "3.1.0 QuantConv2d(5, 7, 3x3)",
        "3.1.1 BatchNorm(7)",
        "3.1.2 Quantize(uniform:2)",
        "3.2.0 MaxPool2d(3x3)",
    ]
    frozen = summary(bitnet.freeze(model, image=(5, 4)))
    assert table.total("file_bytes") == frozen.total("n_bytes") > 0
    assert table.total("n_bytes") == sum(a.nbytes for a in model.state_dict().values())


def test_googlenet_and_its_heads():
    options = {
        "image": (64, 64),
        "inflation": 1 / 16,
        "weight_quantizer": 2,
        "activation_quantizer": 3,
    }
    model = googlenet(5, rng=RNG, **options)
    table = summary(model, (64, 64, 3))
    weights = [
        p.size
        for name, p in model.state_dict().items()
        if name.endswith("weight") and name.startswith("layers")
    ]
    assert table.weights == {2: sum(weights)}
    assert {p for p, n in table.macs.items() if n} == {"8x2", "3x2"}
    assert table.total("n_bytes") == sum(a.nbytes for a in model.state_dict().values())
    assert [row.name for row in table.rows[-2:]] == [
        "head after layer 14, in training",
        "head after layer 17, in training",
    ]
    bare = summary(googlenet(5, rng=RNG, auxiliary=False, **options), (64, 64, 3))
    assert (bare.macs, bare.weights) == (table.macs, table.weights)


def test_sequentials_inside_count_as_one():
    flat = models.binary_mlp([30, 9, 4], rng=RNG)
    nested = Sequential(Sequential(*flat.layers[:2]), Sequential(*flat.layers[2:]))
    found, expected = summary(nested), summary(flat)
    assert found.macs == expected.macs
    assert found.rows[-1].name == "1.2 BatchNorm(4)"
    assert found.input == expected.input


def test_a_float_net_has_no_column_of_bits():
    assert "-bit" not in str(summary(models.float_mlp([3, 2], rng=RNG)))


@pytest.mark.parametrize("name", NETS)
def test_reprs_are_one_line_and_a_notebook_shows_the_table(name):
    net, image = NETS[name]
    table = summary(net, image)
    assert repr(table).startswith("Summary(Sequential of ")
    assert "\n" not in repr(table) + repr(table.rows[0])
    assert max(len(repr(table)), *(len(repr(row)) for row in table.rows)) < 120
    html = table._repr_html_()
    assert html.count("<tr>") == str(table).count("\n") - len([*table._notes()])
    assert all(f">{title}</th>" in html for title in ("layer", "output", "float32", "bytes"))


def test_precisions_in_order():
    mixed = ["float32", "2x8", "8x1", "10x1", "1x1", "2x2"]
    assert in_order(mixed) == ["1x1", "8x1", "10x1", "2x2", "2x8", "float32"]


def test_float_twins_and_models_that_cannot_be_frozen():
    twin = summary(models.float_convnet((8, 8, 3), [(4,)], (5, 2), rng=RNG), (8, 8, 3))
    macs = 64 * 27 * 4 + 64 * 5 + 10
    assert twin.macs == {"1x1": 0, "8x1": 0, "float32": macs}
    assert twin.file_bytes is None
    assert twin.overhead is None
    assert "cannot be frozen: layers.0 is Conv2d" in str(twin)
    assert "1x1 MACs" not in str(twin)
    mixed = Sequential(
        BinaryConv2d(3, 4, rng=RNG, kernel_size=3, padding="same"),
        BatchNorm(4),
        ReLU(),
        AvgPool2d(),
        Flatten(),
        Linear(64, 2, rng=RNG),
    )
    table = summary(mixed, (8, 8, 3))
    assert table.macs == {"1x1": 0, "8x1": 64 * 27 * 4, "float32": 128}
    assert table.file_bytes is None


def test_signs_as_input():
    model = Sequential(Sign(), *models.binary_mlp([70, 3], rng=RNG).layers)
    table = summary(model)
    assert table.macs == {"1x1": 210, "8x1": 0, "float32": 0}
    assert table.file_bytes == summary(bitnet.freeze(model, "signs")).file_bytes
    quantized = Sequential(Quantize(1), *models.binary_mlp([70, 3], rng=RNG).layers)
    assert summary(quantized).macs == table.macs
    assert summary(quantized).file_bytes == table.file_bytes


def test_the_mode_of_the_model_is_kept():
    model = models.binary_mlp([8, 3], rng=RNG)
    before = model.state_dict()
    summary(model)
    assert model.training
    assert all(np.array_equal(a, model.state_dict()[name]) for name, a in before.items())


def test_the_dict_is_json_and_has_the_totals():
    table = summary(*NETS["convnet"])
    found = json.loads(json.dumps(table.as_dict()))
    assert found["totals"]["macs"] == table.macs
    assert found["totals"]["one_bit"] == sum(layer["one_bit"] for layer in found["layers"])
    assert (
        found["overhead_bytes"] + sum(layer["file_bytes"] for layer in found["layers"])
        == (found["file_bytes"])
    )
    assert found["layers"][0]["outputs"] == [6, 5, 13]


@pytest.mark.parametrize(
    ("net", "image", "message"),
    [
        (3, None, "got int"),
        (Linear(3, 2, rng=RNG), None, "got Linear"),
        (Sequential(), None, "image="),
        (Sequential(Inside()), (3,), "whose inner layers"),
        (convnet(), None, "image="),
        (convnet(), (8, 8), r"\(B, H, W, 3\)"),
        (convnet(), (8, 0, 3), "1 or more"),
        (convnet(), "88", "1 or more"),
        (convnet(), (10**5, 10**5, 3), "at most"),
        (convnet(), (2, 2, 3), "does not fit"),
        (models.binary_mlp([784, 10], rng=RNG), (28, 27), "784"),
    ],
)
def test_what_does_not_fit_is_refused(net, image, message):
    with pytest.raises(InputError, match=message):
        summary(net, image)


def test_a_picture_for_an_mlp():
    assert summary(NETS["mlp"][0], (28, 28, 1)).input == (math.prod((28, 28)),)


@pytest.mark.parametrize("weights", ["ternary", 3, None])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_a_language_model_by_hand(kind, weights):
    activations = weights and 4
    few = {
        "weight_quantizer": weights,
        "activation_quantizer": activations,
        "width": 5,
        "units": 6,
        "layers": 2,
    }
    table = summary(models.language_model(9, rng=RNG, kind=kind, **few))
    rows = {"rnn": 6, "gru": 18, "lstm": 24}[kind]
    shapes = [(9, 5), (rows, 5), (rows, 6), (rows, 6), (rows, 6), (9, 6)]
    assert [row.outputs for row in table.rows] == shapes
    assert [row.weights for row in table.rows] == [m * n for m, n in shapes]
    assert [row.macs for row in table.rows] == [0, *(m * n for m, n in shapes[1:])]
    bits = {"ternary": 2, 3: 3, None: 32}[weights]
    assert [row.bits for row in table.rows] == [activations or 32, *[bits] * 5]
    assert [row.n_bytes for row in table.rows] == [-(-r.weights * r.bits // 8) for r in table.rows]
    found = json.loads(json.dumps(table.as_dict()))
    assert found["bytes"] == table.total("n_bytes")
    assert found["products"] == table.total("macs")
    assert f"{found['products']:,}" in str(table)
    assert (table.input, table.file_bytes, table.is_frozen) == ((), None, False)


def test_a_frozen_language_model_has_the_matrices_of_its_training():
    model = models.language_model(
        9, rng=RNG, kind="gru", width=5, units=6, weight_quantizer=2, activation_quantizer="log:3"
    )
    trained, frozen = summary(model), summary(bitnet.freeze(model))
    assert trained.rows == frozen.rows
    assert frozen.is_frozen
    assert str(frozen).startswith("FrozenLanguageModel(9-5-6 gru-9)\nmatrix")
