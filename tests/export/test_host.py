"""Nets in C on the host: what `compare` counts, other outputs than classes, and errors."""

import re

import exported
import numpy as np
import pytest
from exported import mlp, of

import bitnet
from bitnet import InputError, nn
from bitnet.export import Compiled
from bitnet.export.c import host

NO_GCC = exported.missing(["gcc"])
needs_gcc = pytest.mark.skipif(NO_GCC is not None, reason=str(NO_GCC))


@pytest.fixture(scope="module")
def both():
    """Return a model and its frozen net."""
    model = mlp(20, 9, 3)
    return model, bitnet.freeze(model)


@pytest.fixture
def x():
    return np.random.default_rng(0).integers(0, 256, (7, 20), np.uint8)


@needs_gcc
def test_compare_takes_the_model_or_the_frozen_net(both, x):
    model, net = both
    compiled = Compiled(net, "gcc")
    assert repr(compiled) == "Compiled(FrozenNet(20-9-3, pixels), gcc)"
    for own in both:
        agreement = bitnet.compare(own, compiled, x)
        assert agreement == bitnet.compare(model, net, x)
        assert (agreement.images, agreement.integers) == (7, 7 * 12)
    assert compiled.scores(x[:0]).shape == (0, 3)
    assert compiled.predict(x[:0]).dtype == np.int64


@needs_gcc
def test_compare_counts_what_differs(both, x, monkeypatch):
    model, net = both
    text = bitnet.export.to_c(net)
    last = list(re.finditer(r"net_w\d+\[\d+\] NET_FLASH NET_ALIGN = \{\s+0x(\w{8})", text))[-1]
    changed = f"{int(last[1], 16) ^ 1:08x}"  # one weight of the first class
    text = text[: last.start(1)] + changed + text[last.end(1) :]
    monkeypatch.setattr(host, "to_c", lambda *_, **__: text)
    agreement = bitnet.compare(model, Compiled(net, "gcc"), x)
    assert (agreement.differing_integers, agreement.differing_scores) == (7, 7)
    assert not agreement.is_complete
    assert Compiled(net, "gcc").self_test() == 1


@needs_gcc
def test_integers_in_place_of_scores(both, x):
    compiled = Compiled(both[1], "gcc", scores="integer")
    assert bitnet.compare(both[0], compiled, x).is_complete
    assert compiled.scores(x).dtype == np.int32


@needs_gcc
def test_integers_that_no_window_covers_are_masked():
    rng = np.random.default_rng(0)
    layers = nn.BinaryConv2d(1, 3, 2, rng=rng), nn.MaxPool2d(2), nn.BatchNorm(3), nn.Sign()
    case = of(nn.Sequential(*layers, nn.Flatten(), nn.BinaryLinear(12, 2, rng=rng)), IMAGE)
    (z, last), expected = Compiled(case.net, "gcc").pre_activations(IMAGE), case.net
    assert z.shape == (1, 5, 5, 3)
    assert np.ma.count_masked(z) == 9 * 3
    assert not np.ma.is_masked(last)
    assert (z == expected.pre_activations(IMAGE)[0]).all()
    assert bitnet.compare(case.net, Compiled(case.net, "gcc"), IMAGE).integers == 16 * 3 + 2


IMAGE = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1) * 7


@needs_gcc
def test_several_outputs_and_a_regression(both, x):
    net = both[1]
    net.target = "regression"
    try:
        assert np.array_equal(Compiled(net, "gcc").predict(x), net.predict(x))
    finally:
        net.target = "classification"
    case = exported.case("lstm 5")
    compiled = Compiled(case.net, "gcc", steps=5)
    assert [own.shape for own in compiled.run(*case.inputs[0])] == [(5, 7), (1, 9), (1, 9)]
    ids, *states = case.inputs[0]
    with pytest.raises(InputError, match=r"shape \(4, 1\); expected \(5, 1\), one sequence"):
        compiled.run(ids[:4], *states)


def test_there_is_no_such_compiler(both):
    with pytest.raises(InputError, match="the compiler 'no-such-cc' was not found; expected"):
        Compiled(both[1], "no-such-cc")


@needs_gcc
def test_the_compiler_fails(both):
    with pytest.raises(InputError, match=r"gcc failed with .*error.*; expected a library"):
        Compiled(both[1], "gcc", ["-DNET_FLASH=("])


@needs_gcc
def test_the_library_cannot_be_loaded(both):
    with pytest.raises(InputError, match=r"undefined symbol: NET_READ16; expected"):
        Compiled(both[1], "gcc", ["-w", "-DNET_READ32(at)=(*(at))"])


@needs_gcc
def test_fast_math_is_refused(both):
    with pytest.raises(InputError, match="needs a compilation without -ffast-math"):
        Compiled(both[1], "gcc", ["-ffast-math"])


def test_other_objects_are_refused(both, x):
    with pytest.raises(InputError, match="got FrozenNet and str; expected"):
        bitnet.compare(both[1], "net.h", x)
