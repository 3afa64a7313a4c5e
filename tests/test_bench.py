"""The stopwatch: what it prints, that its contestants take turns, and what it refuses."""

import functools

import numpy as np
import pytest

from bitnet import InputError, bench
from bitnet.__main__ import main


def test_contestants_take_turns_and_the_first_turn_does_not_count():
    calls = []
    seconds = bench.interleaved(
        [lambda: calls.append("a"), lambda: calls.append("b")], turns=2, least_s=0
    )
    assert calls == ["a", "b"] * 3
    assert seconds.shape == (2, 2)
    assert (seconds >= 0).all()


def test_float_layers_are_the_net_that_float_predict_runs():
    rng = np.random.default_rng(0)
    layers = bench.float_layers([5, 4, 3], rng)
    x = rng.standard_normal((7, 5), np.float32)
    (w0, b0), (w1, b1) = layers
    hidden = x @ w0 + b0
    expected = (np.where(hidden > 0, hidden, 0) @ w1 + b1).argmax(axis=1)
    np.testing.assert_array_equal(bench.float_predict(x, layers), expected)


@pytest.mark.parametrize(("frozen_s", "loses"), [(2.0, True), (0.5, False)])
def test_the_report_says_where_bits_lose(monkeypatch, frozen_s, loses):
    def compare(width, batch, rng, turns):
        return np.array([[1.0, 1.0, frozen_s]] * turns)

    monkeypatch.setattr(bench, "compare_mlp", compare)
    lines = list(bench.report(widths=(8,), batches=(4,), turns=3))
    assert lines[2].split() == ["8", "4", "4", "4", str(int(4 / frozen_s)), f"{1 / frozen_s:.2f}"]
    assert any("Slower than float32: frozen, 8 units, batch 4." in line for line in lines) == loses


def test_a_wrong_kernel_is_not_timed(monkeypatch):
    scores = iter([np.zeros((3, 10)), np.ones((3, 10))])
    monkeypatch.setattr("bitnet.deploy.runtime.FrozenNet.scores", lambda net, x: next(scores))
    with pytest.raises(InputError, match="reference's integers"):
        bench.compare_mlp(8, 3, np.random.default_rng(0), turns=1)


def test_the_verb_prints_the_machine_and_the_table(monkeypatch, capsys):
    small = functools.partial(bench.report, widths=(8,), batches=(1,), turns=1)
    monkeypatch.setattr("bitnet.verbs.bench.report", small)
    main(["bench"])
    out = capsys.readouterr().out
    for name in ("processor", "numpy", "kernels", "threads", "blas", "images a second"):
        assert f"\n{name} " in f"\n{out}"


@pytest.mark.parametrize("threads", ["0", "-1"])
def test_the_verb_refuses_less_than_one_thread(threads):
    with pytest.raises(InputError, match=f"--threads is {threads}; expected a whole number from 1"):
        main(["bench", "--threads", threads])
