"""The frozen net: shapes, errors, reprs, and prediction without Numba."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from alone import numpy_alone

import bitnet
from bitnet import InputError, kernels
from bitnet.deploy import FrozenNet
from bitnet.deploy.html import html_table
from bitnet.deploy.runtime import FrozenLayer, FrozenOutput
from bitnet.nn import BatchNorm, Quantize, QuantLinear, Sequential
from bitnet.nn.models.feedforward import binary_mlp

RNG = np.random.default_rng(0)
NET = bitnet.freeze(binary_mlp([784, 40, 10], rng=np.random.default_rng(0)))
SIGNS = bitnet.freeze(binary_mlp([70, 40, 10], rng=np.random.default_rng(0)), "signs")
PIXELS = np.random.default_rng(1).integers(0, 256, (2300, 784), dtype=np.uint8)


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
    assert repr(hidden) == "FrozenLayer(Bits(shape=(40, 784), 4160 bytes))"
    assert repr(output) == "FrozenOutput(Bits(shape=(10, 40), 80 bytes))"
    few = Sequential(QuantLinear(70, 5, rng=RNG, weight_quantizer=2), BatchNorm(5), Quantize(3))
    few = bitnet.freeze(Sequential(*few.layers, QuantLinear(5, 3, rng=RNG), BatchNorm(3)))
    assert repr(few.layers[0]).endswith("2 planes, unit=0.333333), 3-bit outputs)")
    for net, rows in (
        (NET, [("0 FrozenLayer", "40x784", "40", "1", "1"), ("1 FrozenOutput", "10x40", "10")]),
        (few, [("0 FrozenLayer", "5x70", "5", "2", "3"), ("1 FrozenOutput", "3x5", "3")]),
    ):
        head, *shown = re.findall("<tr>(.*?)</tr>", net._repr_html_())
        assert re.findall("<th.*?>(.*?)</th>", head)[0] == "layer"
        cells = [re.findall("<td.*?>(.*?)</td>", row) for row in shown]
        assert [tuple(row[: len(own)]) for row, own in zip(cells, rows, strict=True)] == rows
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
        (NET, PIXELS[0], r"\(784,\).*image\[None\]"),
        (NET, PIXELS[:, :783], r"expected \(B, 784\)"),
        (NET, PIXELS.reshape(-1, 28, 28)[:, 1:], r"expected \(B, 784\)"),
        (NET, PIXELS.astype(np.float32), "float32; expected uint8"),
        (NET, PIXELS.astype(np.int64), "int64; expected uint8"),
        (NET, kernels.pack(PIXELS > 9), "expected pixels"),
        (NET, np.array(None), "shape"),
        (NET, [], "shape"),
        (NET, [[1, 2], [3]], "different length"),
        (NET, PIXELS[:0, :9], r"\(0, 9\); expected \(B, 784\)"),
        (SIGNS, np.zeros((2, 70)), r"each \+1 or -1"),
        (SIGNS, np.full((2, 70), np.nan), r"each \+1 or -1"),
        (SIGNS, np.full((2, 70), np.inf), r"each \+1 or -1"),
        (SIGNS, np.ones((2, 70), np.uint8), r"each \+1 or -1"),
        (SIGNS, np.ones((2, 69)), r"expected \(B, 70\)"),
        (SIGNS, kernels.pack(np.ones(70)), r"\(B, 70\)"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(net, x, message):
    for method in (net.predict, net.scores, net.pre_activations):
        with pytest.raises(InputError, match=message):
            method(x)


def layer(m=3, n=4, thresholds=None, increasing=None):
    thresholds = np.zeros(m, np.int32) if thresholds is None else thresholds
    increasing = np.ones(m, bool) if increasing is None else increasing
    return FrozenLayer(kernels.pack(np.ones((m, n))), thresholds, increasing)


def output(m=2, n=3, **changes):
    floats = {name: np.ones(m, np.float32) for name in ("mean", "scale", "shift")} | changes
    return FrozenOutput(kernels.pack(np.ones((m, n))), **floats)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "then one FrozenOutput"),
        ([layer()], "then one FrozenOutput"),
        ([output(), output()], "got FrozenOutput, FrozenOutput"),
        ([layer(), output(n=4)], r"layer 1 .*: weights of shape \(2, 4\); expected \(M, 3\)"),
        ([layer(thresholds=np.zeros(3)), output()], "thresholds is float64"),
        ([layer(thresholds=np.zeros(2, np.int32)), output()], r"\(2,\); expected int32 of"),
        ([layer(increasing=np.ones(3, np.uint8)), output()], "increasing is uint8"),
        ([layer(), output(mean=np.float32([np.nan, 0]))], "mean holds NaN"),
        ([layer(), output(scale=np.float32([0, np.inf]))], "scale holds NaN or infinity"),
        ([layer(0, 4), output(n=0)], "1 or more"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers, message):
    with pytest.raises(InputError, match=message):
        FrozenNet(layers)


def test_an_unknown_input_is_refused():
    with pytest.raises(InputError, match="floats"):
        FrozenNet([output()], "floats")


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
    net = bitnet.freeze(binary_mlp([20, 8, 3], rng=np.random.default_rng(0)))
    hidden, output = net.layers
    for array in (hidden.bits.words, hidden.thresholds, hidden.increasing, output.mean):
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0
