"""Operations of a frozen net: counts by hand, and no multiplication after shift-based norms."""

import dataclasses

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.analysis.layer_counts import CELLS, ELEMENTWISE
from bitnet.analysis.operations import KINDS, count_operations
from bitnet.analysis.report import summary
from bitnet.cli.plot import weights_of
from bitnet.deploy import FrozenNet
from bitnet.deploy.floats import COMPARISONS
from bitnet.deploy.graph import KINDS as KINDS_OF_NODES
from bitnet.deploy.graph import FrozenGraph
from bitnet.nn import Quantize, QuantLinear, Sequential
from bitnet.nn.models.feedforward import binary_convnet, binary_mlp, float_mlp
from bitnet.nn.shift import ShiftBatchNorm

RNG = np.random.default_rng(0)


def trained(norm):
    model = binary_mlp([100, 70, 5], rng=np.random.default_rng(0), norm=norm)
    x, labels = RNG.integers(0, 256, (40, 100), dtype=np.uint8), RNG.integers(0, 5, 40)
    adam = bitnet.optim.Adam(model.parameters(), 1e-2)
    for _ in range(3):
        adam.zero_grad()
        bitnet.nn.functional.squared_hinge(model(x), labels).backward()
        adam.step()
    return bitnet.freeze(model)


@pytest.mark.parametrize("norm", ["batch", "shift", "shift-code"])
def test_an_mlp_by_hand(norm):
    """100 pixels are 8 planes of 2 words, 70 signs 2 words."""
    table = count_operations(trained(norm))
    of_layer = [[getattr(row, kind) for kind in KINDS] for row in table.rows]
    words = 70 * 8 * 2
    assert of_layer[0] == [words, words, 70, 70 * 8, 0]
    scales = (0, 5) if norm == "batch" else (5, 0)
    assert of_layer[1] == [10, 10 + 2 * 5, 0, 5 + scales[0], scales[1]]
    assert table.total("multiplications") == scales[1]
    assert ("no multiplication is left" in str(table)) == (norm != "batch")
    assert table.as_dict()["totals"] == {kind: table.total(kind) for kind in KINDS}


def test_a_convnet_by_hand():
    model = binary_convnet((6, 6, 3), [(4, 5)], [7, 2], rng=RNG, norm="shift")
    model_rows = count_operations(bitnet.freeze(model)).rows
    first, second, third, last = model_rows
    assert (first.words, first.comparisons, first.shifts) == (36 * 4 * 8, 36 * 4, 36 * 4 * 8)
    assert (second.words, second.comparisons, second.shifts) == (36 * 5 * 9, 36 * 5, 36 * 5)
    assert (third.words, third.comparisons) == (7 * 1, 7)  # 3 x 3 x 5 = 45 signs
    assert (last.additions, last.shifts, last.multiplications) == (2 + 4, 2 + 2, 0)


def test_few_bits_by_hand():
    """Three planes of activations times two of weights; 2^k - 1 thresholds per unit."""
    layers = QuantLinear(100, 70, rng=RNG, weight_quantizer=1), ShiftBatchNorm(70), Quantize(3)
    model = Sequential(*layers, QuantLinear(70, 5, rng=RNG, weight_quantizer=2), ShiftBatchNorm(5))
    first, last = count_operations(bitnet.freeze(model)).rows
    words = 70 * 8 * 2
    assert [getattr(first, kind) for kind in KINDS] == [words, words, 70 * 7, 70 * 8, 0]
    words = 5 * 3 * 2 * 2
    assert [getattr(last, kind) for kind in KINDS] == [words, words + 10, 0, 5 * 6 + 5, 0]


def test_zeros_and_negative_powers_are_no_multiplication():
    graph = trained("shift").graph
    *nodes, affine = graph.nodes
    scale = np.array([0.0, -0.25, 3.0, -3.0, 2.0**-149], np.float32)
    nodes.append(dataclasses.replace(affine, scale=scale))
    net = FrozenNet(FrozenGraph(nodes, graph.outputs))
    assert count_operations(net).rows[-1].multiplications == 2


def test_products_of_floats():
    rows = count_operations(bitnet.freeze(float_mlp([30, 9, 3], rng=RNG))).rows
    first, last = ([getattr(row, kind) for kind in KINDS] for row in rows)
    assert first == [0, 270 + 3 * 9, 0, 9, 270]  # a bias and an affine map with scales of 1
    assert last == [0, 27 + 3 * 3, 0, 3, 27]


class Floats(bitnet.nn.Module):
    """Operations on floats (B, 6), one after the other."""

    def forward(self, x):
        x = (x + 1.5) * x
        x = x.exp().tanh().sigmoid().abs()
        y = (x / 3.0).reshape(-1, 2, 3)
        return y.sum(axis=2), y.mean(axis=1), y.max(axis=2), x > 0.5


def test_operations_on_floats_by_hand():
    rows = count_operations(bitnet.freeze(Floats(), np.zeros((1, 6), np.float32))).rows
    kinds = "additions", "comparisons", "multiplications"
    assert {row.name: tuple(getattr(row, kind) for kind in kinds) for row in rows} == {
        "add": (6, 0, 0),
        "multiply": (0, 0, 6),
        "exp": (0, 0, 6),
        "tanh": (6 * 12, 0, 6 * 15),
        "sigmoid": (6 * 13, 0, 6 * 17),
        "divide": (0, 0, 6),
        "sum": (6, 0, 0),
        "mean": (6, 0, 3),
        "max": (0, 6, 0),
        "gt": (0, 6, 0),
    }


def test_every_kind_of_node_is_counted_or_known_to_be_free():
    free = {"pixels", "signs", "numbers", "ids", "weights", "constant", "planes", "unpack"}
    free |= {"negate", "abs", "relu", "hardtanh", "maxpool"}
    free |= {
        "flatten",
        "reshape",
        "upsample",
        "transpose",
        "concatenate",
        "slice",
        "gather",
        "take",
        "select",
        "where",
        "maximum",
        "minimum",
    }
    products = {"linear", "conv", "float linear", "float conv", "matmul", *CELLS}
    products |= {"mixed linear", "mixed conv"}
    counted = {"thresholds", "quantize", "affine", "rescale", "sumpool", "avgpool", *COMPARISONS}
    assert products | free | counted | {*ELEMENTWISE, "sum", "mean", "max"} == set(KINDS_OF_NODES)


def test_values_that_nothing_takes():
    """They may be in a file: numbers of an input, of a product, constant ones and weights."""
    header, arrays = bitnet.freeze(binary_mlp([4, 3, 2], rng=RNG)).contents()
    names = [row.name for row in count_operations(FrozenNet.from_contents(header, arrays)).rows]
    n = len(header["nodes"])
    weights = next(i for i, node in enumerate(header["nodes"]) if node["kind"] == "weights")
    header["nodes"] += [{"kind": "relu", "inputs": [n - 1]}, {"kind": "relu", "inputs": [0]}]
    header["nodes"] += [header["nodes"][weights], {"kind": "constant", "inputs": [], "shape": [2]}]
    header["nodes"] += [{"kind": "relu", "inputs": [n + 3]}]
    arrays |= {f"{n + 2}.bits": arrays[f"{weights}.bits"], f"{n + 3}.array": np.float32([1, 2])}
    net = FrozenNet.from_contents(header, arrays)
    found = [row.name for row in count_operations(net).rows]
    assert found[: len(names)] == names
    assert len(weights_of(net)) == 2


def test_only_frozen_nets_are_counted():
    with pytest.raises(InputError, match="expected a FrozenNet"):
        count_operations(binary_mlp([4, 3], rng=RNG))
    model = binary_mlp([4, 3], rng=RNG)
    assert count_operations(summary(model)).rows == count_operations(bitnet.freeze(model)).rows
    model.layers[0].weight.edit()[0, 0] = np.nan
    with pytest.raises(InputError, match=r"cannot be frozen: layers\.0\.weight holds NaN"):
        count_operations(summary(model))


def test_language_models_by_hand():
    """Three planes of states times two of weights; the rows of the table have three planes."""
    kinds = {"width": 70, "units": 65, "weight_quantizer": 2, "activation_quantizer": 3}
    counts = {}
    for kind in ("lstm", "gru", "rnn"):
        model = bitnet.nn.models.language_model(9, rng=RNG, kind=kind, **kinds, layers=2)
        rows = count_operations(bitnet.freeze(model)).rows
        assert len(rows) == 9
        gates = {"lstm": 4, "gru": 3, "rnn": 1}[kind] * 65
        for row in (rows[0], rows[1], rows[4], rows[5]):
            words = gates * 6 * 2
            assert [getattr(row, k) for k in KINDS] == [words, words + gates, 0, gates * 6, gates]
        assert [getattr(rows[8], k) for k in KINDS] == [108, 117, 0, 54, 9]
        # the codes of a state, once for the next step and once for the next layer
        assert [rows[i].comparisons for i in (2, 3, 6, 7)] == 4 * [65 * 7]
        counts[kind] = rows[2].multiplications / 65, rows[2].additions / 65
    logistic, tanh = (17, 13), (15, 12)
    assert counts["rnn"] == tanh
    assert counts["lstm"] == (3 * logistic[0] + 2 * tanh[0] + 3, 3 * logistic[1] + 2 * tanh[1] + 1)
    assert counts["gru"] == (2 * logistic[0] + tanh[0] + 2, 2 * logistic[1] + tanh[1] + 2)


def test_a_tanh_has_as_many_products_as_its_definition():
    from bitnet.analysis.layer_counts import TANH
    from bitnet.kernels.reference import cells

    terms = len(cells.TOP) - 1 + len(cells.BOTTOM) - 1
    assert (terms + 3, terms) == TANH  # and x * x, x * top, and the division
