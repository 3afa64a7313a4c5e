"""The frozen net: shapes, errors, reprs, both devices, and prediction without Numba."""

import copy
import dataclasses
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from alone import numpy_alone
from frozen_nets import NETS

import bitnet
from bitnet import InputError, kernels
from bitnet.deploy import FrozenNet
from bitnet.deploy.floats import Affine, Binary, FloatConv
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.html import html_table
from bitnet.deploy.products import Linear, Threshold
from bitnet.deploy.sizes import Size, at
from bitnet.deploy.sources import TYPES, Constant, Input, Weights
from bitnet.nn import BatchNorm, Quantize, QuantLinear, Sequential
from bitnet.nn.models.feedforward import binary_mlp

RNG = np.random.default_rng(0)
NET = bitnet.freeze(binary_mlp([784, 40, 10], rng=np.random.default_rng(0)))
OF_SIGNS = binary_mlp([70, 40, 10], rng=np.random.default_rng(0))
SIGNS = bitnet.freeze(OF_SIGNS, kernels.pack(np.ones((1, 70))))
NUMBERS = bitnet.freeze(Sequential(bitnet.nn.Sign(), *OF_SIGNS.layers))
SEQUENCES = NETS["sequences"]()
PIXELS = np.random.default_rng(1).integers(0, 256, (2300, 784), dtype=np.uint8)
IDS, LENGTHS = np.zeros((3, 2), np.int64), np.array([1, 3])


def test_batches_of_any_size_give_the_same():
    scores = NET.scores(PIXELS)
    assert scores.shape == (2300, 10)
    assert scores.dtype == np.float32
    for size in (1, 3, 200, 201, 1001):
        assert np.array_equal(NET.scores(PIXELS[:size]), scores[:size])
    assert NET.scores(PIXELS[:0]).shape == (0, 10)
    assert NET.predict(PIXELS[:0]).shape == (0,)


def test_a_net_has_a_repr_in_one_line_and_a_table_for_notebooks():
    hidden, output = NET.layers
    assert repr(NET) == "FrozenNet(784-40-10, pixels)"
    assert repr(hidden) == "FrozenLinear(784, 40)"
    assert repr(output) == "FrozenLinear(40, 10)"
    few = Sequential(QuantLinear(70, 5, rng=RNG, weight_quantizer=2), BatchNorm(5), Quantize(3))
    few = bitnet.freeze(Sequential(*few.layers, QuantLinear(5, 3, rng=RNG), BatchNorm(3)))
    assert repr(few.layers[0]) == "FrozenLinear(70, 5, 3-bit outputs)"
    rows = [("FrozenLinear(784, 40)", "layers.0", "40x784", "40", "1", "1")]
    rows += [("FrozenLinear(40, 10)", "layers.3", "10x40", "10", "1", "float32")]
    few_rows = [(repr(few.layers[0]), "layers.0", "5x70", "5", "2", "3")]
    few_rows += [("FrozenLinear(5, 3)", "layers.3", "3x5", "3", "1", "float32")]
    for net, expected in ((NET, rows), (few, few_rows)):
        head, *shown = re.findall("<tr>(.*?)</tr>", net._repr_html_())
        assert re.findall("<th.*?>(.*?)</th>", head)[0] == "layer"
        cells = [re.findall("<td.*?>(.*?)</td>", row) for row in shown]
        assert [tuple(row[:-1]) for row in cells] == expected
        _, arrays = net.contents()
        n_bytes = [int(row[-1].replace(",", "")) for row in cells]
        assert sum(n_bytes) == sum(array.nbytes for array in arrays.values())


def test_a_table_escapes_its_text():
    table = html_table("<b>", ["a & b"], [["<script>"]], ["1 < 2"])
    assert not re.search("<b>|<script>|1 < 2|a & b", table)


def test_images_may_keep_their_shape():
    assert np.array_equal(NET.predict(PIXELS.reshape(-1, 28, 28)), NET.predict(PIXELS))


def test_signs_come_packed_or_as_numbers():
    x = np.random.default_rng(0).choice([-1, 1], (5, 70))
    packed = SIGNS.scores(kernels.pack(x))
    for dtype in (np.int8, np.float32):
        assert np.array_equal(SIGNS.scores(x.astype(dtype)), packed)


@pytest.mark.parametrize(
    ("net", "x", "message"),
    [
        (NET, PIXELS[0], r"\(784,\).*x\[None\]"),
        (NET, PIXELS[:, :783], r"expected \(B, 784\)"),
        (NET, PIXELS.reshape(-1, 28, 28)[:, 1:], r"expected \(B, 784\)"),
        (NET, PIXELS.astype(np.float32), "float32 values; expected uint8"),
        (NET, PIXELS.astype(np.int64), "int64 values; expected uint8"),
        (NET, kernels.pack(PIXELS > 9), "got Bits of shape .*expected pixels"),
        (NET, np.array(None), "object values; expected an array"),
        (NET, [], "shape"),
        (NET, [[1, 2], [3]], "different length"),
        (NET, PIXELS[:0, :9], r"\(0, 9\); expected \(B, 784\)"),
        (SIGNS, np.zeros((2, 70)), r"each \+1 or -1"),
        (SIGNS, np.full((2, 70), np.nan), r"each \+1 or -1"),
        (SIGNS, np.full((2, 70), np.inf), r"each \+1 or -1"),
        (SIGNS, np.ones((2, 70), np.uint8), r"each \+1 or -1"),
        (SIGNS, np.ones((2, 69)), r"expected \(B, 70\)"),
        (SIGNS, kernels.pack(np.ones(70)), r"\(B, 70\)"),
        (NUMBERS, np.ones((2, 70)), r"got float64 values; expected float32 numbers"),
        (NUMBERS, np.full((2, 70), np.float32(np.nan)), "without NaN"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(net, x, message):
    for method in (net.predict, net.scores, net.pre_activations):
        with pytest.raises(InputError, match=message):
            method(x)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((IDS,), "got 1 inputs; expected 2 inputs"),
        ((IDS, LENGTHS, LENGTHS), "got 3 inputs"),
        ((IDS, LENGTHS[:1]), "inputs with B = 2 and 1"),
        ((IDS + 5, LENGTHS), "ids run from 5 to 5; expected 0 to 4"),
        ((IDS - 1, LENGTHS), "ids run from -1"),
        ((IDS + 0.5, LENGTHS), "float64 values; expected integers"),
        ((IDS[0], LENGTHS), r"expected \(T, B\)"),
        ((IDS, LENGTHS + 1), "an index into values of shape .*out of bounds"),
        ((IDS[:0], LENGTHS), "an index into values of shape"),
    ],
)
def test_several_inputs_that_do_not_fit_are_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        SEQUENCES.scores(*inputs)


PIXELS_4 = Input("pixels", (), (Size(1, ("B",)), 4))
ONES = Weights("weights", (), kernels.pack(np.ones((3, 4))))
Z = Linear("linear", (0, 1))


def steps(thresholds=0, increasing=True, inputs=(2,)):
    thresholds, increasing = np.asarray(thresholds), np.asarray(increasing)
    thresholds = thresholds if thresholds.ndim else np.full(3, thresholds, np.int32)
    increasing = increasing if increasing.ndim else np.full(3, increasing)
    return Threshold("thresholds", inputs, thresholds, increasing)


def affine(m=3, **changes):
    floats = {name: np.ones(m, np.float32) for name in ("mean", "scale", "shift")} | changes
    return Affine("affine", (2,), *floats.values())


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], "a graph of 0 nodes"),
        ([ONES], "without an input"),
        ([PIXELS_4, ONES, Linear("linear", (0, 2))], r"\(linear\) has the operands \[0, 2\]"),
        ([PIXELS_4, ONES, Linear("linear", (1, 0))], "expected packed values or pixels"),
        ([PIXELS_4, ONES, Z, steps(np.zeros(3))], "thresholds is float64"),
        ([PIXELS_4, ONES, Z, steps(np.zeros(2, np.int32))], r"\(2,\); expected <i4 of"),
        ([PIXELS_4, ONES, Z, steps(increasing=np.ones(3, np.uint8))], "increasing is uint8"),
        ([PIXELS_4, ONES, Z, steps(inputs=(0,))], "thresholds is int32"),
        ([PIXELS_4, ONES, Z, affine(mean=np.float32([np.nan, 0, 0]))], "mean holds NaN"),
        ([PIXELS_4, ONES, Z, affine(scale=np.float32([0, 0, np.inf]))], "scale holds NaN or inf"),
        ([PIXELS_4, ONES, Z, affine(2)], r"mean is float32 of shape \(2,\)"),
        ([Weights("weights", (), kernels.pack(np.ones((0, 4))))], "sizes of 1 or more"),
        ([PIXELS_4, ONES, Binary("add", (0, 1))], "expected numbers, not packed values"),
        (
            [
                PIXELS_4,
                Constant("constant", (), np.ones(3, np.float32), (3,)),
                Binary("add", (0, 1)),
            ],
            "do not broadcast",
        ),
    ],
)
def test_nodes_that_do_not_fit_are_refused(nodes, message):
    with pytest.raises(InputError, match=message):
        FrozenGraph(nodes, [len(nodes) - 1])


@pytest.mark.parametrize("outputs", [[], [3], [-1], [True], ["0"]])
def test_outputs_that_do_not_exist_are_refused(outputs):
    with pytest.raises(InputError, match="output"):
        FrozenGraph([PIXELS_4, ONES, Z], outputs)


@pytest.mark.parametrize("name", ["mlp", "images", "sequences"])
def test_a_net_moves_to_a_gpu_and_back(name, gpu):
    net = NETS[name]()
    rng = np.random.default_rng(3)
    sizes = {"B": 5, "T": 3}
    inputs = []
    for own in net.graph.inputs:
        shape = [n if isinstance(n, int) else n.at(sizes) for n in own.shape]
        below = getattr(own, "below", 256)
        x = rng.integers(*((1, 4) if below > 256 else (0, below)), shape)
        inputs.append(x.astype(np.uint8) if own.kind == "pixels" else x)
    expected = net.run(*inputs)
    on_gpu = bitnet.to_gpu(net)
    assert (net.device, on_gpu.device) == ("cpu", "gpu")
    for results in (on_gpu.run(*map(bitnet.to_gpu, inputs)), on_gpu.run(*inputs)):
        for own, result in zip(results, expected, strict=True):
            assert np.array_equal(bitnet.to_cpu(own), result)
    back = on_gpu.to("cpu")
    assert back.device == "cpu"
    for own, result in zip(back.run(*inputs), expected, strict=True):
        assert np.array_equal(own, result)


@pytest.mark.skipif(sys.platform == "win32", reason="lays out a virtual environment of Unix")
def test_numpy_alone_is_enough(tmp_path):
    NET.save(tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", PIXELS[:50])
    code = (
        "import sys, numpy as np, bitnet\n"
        "from bitnet.deploy.runtime import FrozenNet\n"
        "net = bitnet.load('net.npz')\n"
        "np.save('scores.npy', net.scores(np.load('x.npy')))\n"
        "assert isinstance(net, FrozenNet)\n"
        "print(bitnet.kernels.implementation(), 'numba' in sys.modules)\n"
    )
    python = numpy_alone(tmp_path / "venv")
    out = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (out.stdout, out.stderr) == ("reference False\n", "")
    assert np.array_equal(np.load(tmp_path / "scores.npy"), NET.scores(PIXELS[:50]))
    out = subprocess.run([python, "-m", "bitnet", "status"], capture_output=True, text=True)
    assert "numba                not installed" in out.stdout
    shutil.rmtree(tmp_path / "venv")


def test_the_arrays_of_a_net_are_read_only():
    net = FrozenNet(bitnet.freeze(binary_mlp([20, 8, 3], rng=np.random.default_rng(0))).graph)
    hidden, output = net.layers
    for array in (hidden.bits.words, hidden.thresholds, hidden.increasing, output.affine.mean):
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0


def _pickled(x):
    return pickle.loads(pickle.dumps(x))  # noqa: S301  (bytes of this test)


@pytest.mark.parametrize("again", [_pickled, copy.deepcopy])
@pytest.mark.parametrize("name", NETS)
def test_a_copied_net_is_read_only_and_keeps_nothing_that_was_computed(name, again):
    net = NETS[name]()
    size = {"B": 3, "T": 2}
    inputs = [np.zeros(at(own.shape, size), TYPES[own.kind][0]) for own in net.graph.inputs]
    inputs = [
        x + 1 if own.kind == "ids" else x for x, own in zip(inputs, net.graph.inputs, strict=True)
    ]
    expected = net.run(*inputs)  # lays the weights out
    copied = again(net)
    assert repr(copied) == repr(net)
    for own in copied.graph.nodes:
        assert set(vars(own)) == {field.name for field in dataclasses.fields(own)}
        assert not any(array.flags.writeable for array in own.arrays())
    assert not {"_fused", "_whole"} & set(vars(copied.graph))
    for found, y in zip(copied.run(*inputs), expected, strict=True):
        assert np.array_equal(found, y)


def test_float_filters_whose_number_depends_on_the_batch_are_refused():
    filters = np.ones((1, 1, 1, 3), np.float32)
    nodes = [
        Input("numbers", (), (Size(1, ("B",)), 4, 4, 3)),
        Constant("constant", (), filters, (Size(1, ("B",)), 1, 1, 3)),
        Constant("constant", (), np.ones(1, np.float32), (Size(1, ("B",)),)),
        FloatConv("float conv", (0, 1, 2), kernels.Window((1, 1)), 1),
    ]
    with pytest.raises(InputError, match="expected float images, filters and bias"):
        FrozenGraph(nodes, [3])
