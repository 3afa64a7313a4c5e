"""The stopwatch: what it prints, that its contestants take turns, and what it refuses."""

import functools
import importlib
import pathlib
import sys

import numpy as np
import pytest

from bitnet import InputError

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def stopwatch(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("stopwatch")


def test_contestants_take_turns_and_the_first_turn_does_not_count(stopwatch):
    calls = []
    both = [lambda: calls.append("a"), lambda: calls.append("b")]
    seconds = stopwatch.interleaved(both, turns=2, least_s=0)
    assert calls == ["a", "b"] * 3
    assert seconds.shape == (2, 2)
    assert (seconds >= 0).all()


def test_float_layers_are_the_net_that_float_predict_runs(stopwatch):
    rng = np.random.default_rng(0)
    layers = stopwatch.float_layers([5, 4, 3], rng)
    x = rng.standard_normal((7, 5), np.float32)
    (w0, b0), (w1, b1) = layers
    hidden = x @ w0 + b0
    expected = (np.where(hidden > 0, hidden, 0) @ w1 + b1).argmax(axis=1)
    np.testing.assert_array_equal(stopwatch.float_predict(x, layers), expected)


@pytest.mark.parametrize(("frozen_s", "loses"), [(2.0, True), (0.5, False)])
def test_the_report_says_where_bits_lose(stopwatch, monkeypatch, frozen_s, loses):
    def compare(width, batch, rng, turns):
        return np.array([[1.0, 1.0, frozen_s]] * turns)

    monkeypatch.setattr(stopwatch, "compare_mlp", compare)
    lines = list(stopwatch.report(widths=(8,), batches=(4,), turns=3))
    assert lines[2].split() == ["8", "4", "4", "4", str(int(4 / frozen_s)), f"{1 / frozen_s:.2f}"]
    assert any("Slower than float32: frozen, 8 units, batch 4." in line for line in lines) == loses


def test_a_wrong_kernel_is_not_timed(stopwatch, monkeypatch):
    scores = iter([np.zeros((3, 10)), np.ones((3, 10))])
    monkeypatch.setattr("bitnet.deploy.FrozenNet.scores", lambda net, x: next(scores))
    with pytest.raises(InputError, match="reference's integers"):
        stopwatch.compare_mlp(8, 3, np.random.default_rng(0), turns=1)


def test_it_prints_the_machine_and_the_table(stopwatch, monkeypatch, capsys):
    small = functools.partial(stopwatch.report, widths=(8,), batches=(1,), turns=1)
    monkeypatch.setattr(stopwatch, "report", small)
    monkeypatch.setattr(sys, "argv", ["stopwatch.py"])
    stopwatch.main()
    out = capsys.readouterr().out
    for name in ("processor", "numpy", "kernels", "threads", "blas", "images per second"):
        assert f"\n{name} " in f"\n{out}"


@pytest.mark.parametrize("threads", ["0", "-1"])
def test_less_than_one_thread_is_refused(stopwatch, monkeypatch, capsys, threads):
    monkeypatch.setattr(sys, "argv", ["stopwatch.py", "--threads", threads])
    with pytest.raises(SystemExit, match="2"):
        stopwatch.main()
    assert "expected a whole number from 1" in capsys.readouterr().err
