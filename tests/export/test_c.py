"""Exported C: the same integers, scores and classes as the frozen net, on every target."""

import itertools
import math
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from own_modules import Shortcut
from targets import TARGETS, Emulated, Header
from test_conformance import HERE as CONFORMANCE
from whole_models import whole_models

import bitnet
from bitnet import InputError, nn
from bitnet.export import to_c
from bitnet.export.c.text import check_name

QUICK = ("gcc-O2", "gcc-O3-native", "g++", "cortex-m0", "cortex-m4f", "rv32", "wasm32")
FILES = "mlp", "mlp_low_bit", "convnet", "residual", "float_stem", "decoder"


def normed(model, rng):
    """Return a model whose norms have slopes of both signs and 0."""
    for norm in (own for own in model.modules() if isinstance(own, nn.BatchNorm)):
        n = norm.num_features
        norm.running_mean[:] = rng.normal(0, 3, n)
        norm.running_inv_std[:] = rng.uniform(0.05, 0.3, n)
        norm.gamma.assign(rng.normal(0, 1, n).astype(np.float32) * (np.arange(n) % 7 > 0))
        norm.beta.assign(rng.normal(0, 1, n).astype(np.float32))
    return model.eval()


def mlp(planes=8, weights=1, activations=1):
    """Return an MLP of the top planes of pixels."""
    rng = np.random.default_rng(planes)
    layers = [nn.PixelPlanes(planes)] if planes < 8 else []
    for n, m in ((784, 40), (40, 33), (33, 10)):
        layers += [nn.QuantLinear(n, m, weight_quantizer=weights, rng=rng), nn.BatchNorm(m)]
        layers += [] if m == 10 else [nn.Quantize(activations)]
    return bitnet.freeze(normed(nn.Sequential(*layers), rng), np.zeros((1, 784), np.uint8))


def shortcuts():
    """Return a ConvNet with shortcuts of floats and grouped, dilated and strided windows."""
    rng = np.random.default_rng(7)
    stem = nn.BinaryConv2d(1, 8, 3, stride=2, padding=1, rng=rng), nn.BatchNorm(8)
    body = nn.Sign(), nn.BinaryConv2d(8, 8, 3, padding=1, groups=2, rng=rng), nn.BatchNorm(8)
    wide = nn.Sign(), nn.BinaryConv2d(8, 12, 3, dilation=2, padding=2, rng=rng), nn.PReLU(12)
    end = nn.MaxPool2d(2), nn.BatchNorm(12), nn.Sign(), nn.Flatten()
    head = nn.BinaryLinear(12 * 16, 5, rng=rng), nn.BatchNorm(5)
    model = nn.Sequential(*stem, Shortcut(nn.Sequential(*body)), *wide, *end, *head)
    return bitnet.freeze(normed(model, rng), np.zeros((1, 16, 16, 1), np.uint8))


NETS = {name: lambda name=name: bitnet.load(CONFORMANCE / f"{name}.npz") for name in FILES}
NETS |= {f"planes {k}": lambda k=k: mlp(k) for k in (1, 2, 4, 8)}
NETS |= {"2/2 bits": lambda: mlp(8, 2, 2), "shortcuts": shortcuts}


def drawn(net, count, seed=0):
    """Return inputs for a net."""
    rng = np.random.default_rng(seed)
    if net.input == "pixels":
        x = rng.integers(0, 256, (count, *net.shape), np.uint8)
        x[:1] = 0
        return x
    return rng.standard_normal((count, *net.shape)).astype(np.float32)


def covered(net):
    """Return which of a net's integers a pooling after their product sees."""
    found = []
    for layer in net.integer_layers:
        shape = [n for n in net.graph.values[layer.number].shape if isinstance(n, int)]
        seen = np.ones(shape, np.bool_)
        readers = net.graph.readers[layer.number]
        after = net.graph.nodes[readers[0]] if len(readers) == 1 and readers[0] >= 0 else None
        if after is not None and after.kind in ("maxpool", "sumpool"):
            (above, _), (left, _) = after.window.padding
            seen = np.zeros([n + sum(p) for n, p in zip(shape, after.window.padding, strict=False)])
            for view in after.window.seen(seen[None, ..., None]):
                view[...] = 1
            seen = seen[above : above + shape[0], left : left + shape[1]] > 0
            seen = np.repeat(seen[..., None], shape[2], axis=2)
        found.append(seen.reshape(-1))
    return np.concatenate(found) if found else np.zeros(0, np.bool_)


def assert_same(net, run, inputs, integer=False):
    """Compare all integers, scores and classes."""
    parts = [z.reshape(len(inputs), -1) for z in net.pre_activations(inputs)]
    expected = np.concatenate(parts, axis=1) if parts else np.zeros((len(inputs), 0), np.int32)
    scores, seen = net.scores(inputs), covered(net)
    for x, z, own in zip(inputs, expected, scores, strict=True):
        integers, (found, *_), predicted = run(x)
        assert np.array_equal(integers[seen], z[seen])
        assert integer or np.array_equal(found.view(np.uint32), own.reshape(-1).view(np.uint32))
        assert predicted == own.argmax()
    assert run.self_test() == 0


def sizes_of(net):
    """Return the elements of the input and of the scores."""
    return math.prod(net.shape), math.prod(net.scores(drawn(net, 1)).shape[1:])


def skip_missing(target):
    """Skip a test whose target cannot run here."""
    if reason := TARGETS[target].missing():
        pytest.skip(reason)


def check(name, target, folder, count=3, **options):
    """Compare a net on a target."""
    skip_missing(target)
    net = NETS[name]()
    header = Header(to_c(net, "net", **options))
    run = TARGETS[target].run(header, sizes_of(net), folder)
    assert_same(net, run, drawn(net, count), options.get("scores") == "integer")


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("target", QUICK[:1])
def test_nets_on_this_machine(name, target, tmp_path):
    for first in ("planes", "tables", "adds"):
        check(name, target, tmp_path, first=first)


@pytest.mark.parametrize("name", ["convnet", "residual"])
@pytest.mark.parametrize("target", QUICK[1:])
def test_nets_on_other_targets(name, target, tmp_path):
    check(name, target, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("target", TARGETS)
def test_every_net_on_every_target(name, target, tmp_path):
    firsts = ("planes", "tables", "adds") if NETS[name]().input == "pixels" else ("auto",)
    for first in firsts:
        check(name, target, tmp_path, 8, first=first)


@pytest.mark.parametrize("name", ["mlp", "planes 8", "planes 2", "2/2 bits"])
def test_integer_scores_have_the_order_of_floats(name, tmp_path):
    check(name, "gcc-O2", tmp_path, 300, scores="integer")


def test_a_language_model_runs_step_by_step(tmp_path):
    skip_missing("gcc-O2")
    net = bitnet.load(CONFORMANCE / "lstm.npz")
    ids = np.random.default_rng(0).integers(0, 7, (5, 1))
    zeros = np.zeros((1, 9), np.float32)
    expected = net.run(ids, zeros, zeros)
    for steps in (1, 5):
        header = Header(to_c(net, "net", steps=steps))
        sizes = steps, 9, 9, 7 * steps, 9, 9
        run = TARGETS["gcc-O2"].run(header, sizes, tmp_path)
        h, c, scores = zeros, zeros, []
        for own in ids.reshape(-1, steps).astype(np.int32):
            _, (found, h, c), _ = run(own, h, c)
            scores.append(found)
        found = np.concatenate(scores), h, c
        for a, b in zip(found, expected, strict=True):
            assert np.array_equal(a.view(np.uint32), b.reshape(-1).view(np.uint32))


@pytest.mark.parametrize("kind", ["rows", "images"])
def test_drawn_models(kind, tmp_path):
    skip_missing("gcc-O2")
    counts, turns = {"printed": 0}, itertools.count()

    @settings(max_examples=15, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
    @given(whole_models(kind))
    def try_models(whole):
        inputs = whole.rows(0)
        if whole.too_large or any(not hasattr(x, "dtype") for x in inputs):
            return
        with np.errstate(all="ignore"):
            net = bitnet.freeze(whole.model, inputs, axes=whole.axes)
            expected = net.run(*inputs)
        try:
            text = to_c(net, "net")
        except InputError as error:
            assert "no form in C" in str(error) or "depends on the inputs" in str(error)
            return
        sizes = [x.size for x in inputs] + [y.size for y in expected]
        folder = tmp_path / str(next(turns))
        folder.mkdir()
        run = TARGETS["gcc-O2"].run(Header(text), sizes, folder)
        _, found, _ = run(*inputs)
        counts["printed"] += 1
        for a, b in zip(found, expected, strict=True):
            b = b.reshape(-1)
            numbers = b == b
            assert np.array_equal(np.where(numbers, a, 0), np.where(numbers, b, 0))

    try_models()
    assert counts["printed"] > 2


@pytest.mark.parametrize("name", ["", "9a", "a-b", "int", "class", "é", "a" * 64, 3])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(InputError, match="expected a letter"):
        check_name(name)


@pytest.mark.slow
@pytest.mark.skipif("BITNET_DATA" not in os.environ, reason="BITNET_DATA is not set")
@pytest.mark.parametrize("target", ["gcc-O3-native", "cortex-m0"])
def test_mnist(target, tmp_path):
    skip_missing(target)
    net = mlp()
    images = bitnet.load_dataset("mnist").test_images.reshape(-1, 784)
    images = images[:50] if isinstance(TARGETS[target], Emulated) else images
    run = TARGETS[target].run(Header(to_c(net, "net")), (784, 10), tmp_path)
    assert_same(net, run, images)
