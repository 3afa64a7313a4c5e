"""`benchmarks/gpu.py`: each part runs, and checks the kernels that it would time."""

import importlib.util
import pathlib
import sys

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.nn import models

FILE = pathlib.Path(__file__).parents[3] / "benchmarks" / "gpu.py"


@pytest.fixture
def benchmark(to_gpu, small_blocks, monkeypatch):
    """Return the module, with each contestant run once and not timed."""
    monkeypatch.syspath_prepend(str(FILE.parent))
    spec = importlib.util.spec_from_file_location("benchmark_gpu", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def once(contestants, timed=None):
        for run in contestants:
            run()
        return np.ones((1, len(contestants)))

    contest = sys.modules["gpu_contest"]
    monkeypatch.setattr(contest, "interleaved_s", once)
    for own in (contest, sys.modules["gpu_nets"], module):
        monkeypatch.setattr(own, "torch_on_gpu", lambda: None)
    monkeypatch.setattr("bitnet.devices.gpu_problem", lambda: None)
    return module


def test_products(benchmark, capsys):
    benchmark.products(3, 4, 70)
    lines = capsys.readouterr().out.split("\n")
    expected = ["float32, naive", "cuBLAS float32", "xnor_gemm, naive", "xnor_gemm, tiled"]
    for rung in ("registers", "tensor"):
        expected += [f"xnor_gemm, {rung}", f"xnor_sign, {rung}"]
    assert [line.split("  ")[0] for line in lines[2:]][:-1] == expected


def test_what_fails_is_named_and_the_rest_runs(benchmark, monkeypatch, capsys):
    tried = []

    def products(*sizes):
        tried.append(sizes)
        assert sizes[0] != 3, "wrong"

    monkeypatch.setattr(benchmark, "products", products)
    monkeypatch.setattr(benchmark, "gpu_problem", lambda: None)
    monkeypatch.setattr(sys.modules["cupy"], "__version__", "0", raising=False)
    monkeypatch.setattr(benchmark.machine, "lines", lambda package: [])
    words = ["--part", "products", "--sizes", "3", "4", "--widths", "5", "--images", "7"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    with pytest.raises(InputError, match=r"these parts failed: products 3 x 3 x 3$"):
        benchmark.main()
    assert tried == [(3, 3, 3), (4, 4, 4), (7, 5, 784), (7, 5, 5), (100, 5, 5)]
    assert "AssertionError: wrong" in capsys.readouterr().err


def test_an_opponent_that_cannot_run_is_named(benchmark, capsys):
    def run():
        raise RuntimeError("no such GPU\nand more")

    assert list(benchmark.those_that_run({"a": run, "b": list})) == ["b"]
    assert capsys.readouterr().out == "skipped: a: no such GPU\n"


def test_gradients_and_a_convolution(benchmark, capsys):
    benchmark.gradients(3, 7, 9)
    benchmark.convolution(1, 3, 5)
    out = capsys.readouterr().out
    assert "signed_gemm int8, planes" in out
    assert "xnor_conv, tensor" in out


def test_a_step_of_adam(benchmark, capsys, monkeypatch):
    from bitnet.kernels import cuda

    benchmark.update(10, 70)
    assert "update, no signs" in capsys.readouterr().out
    monkeypatch.setattr(cuda, "update", lambda *operands: 0)
    benchmark.kernels.dispatch._function.cache_clear()
    with pytest.raises(AssertionError, match="update"):
        benchmark.update(10, 70)
    benchmark.kernels.dispatch._function.cache_clear()


def test_a_frozen_net(benchmark, capsys, monkeypatch):
    nets = sys.modules["gpu_nets"]
    monkeypatch.setattr(nets, "CHECKED", 1)
    monkeypatch.setattr(nets, "rungs", lambda: ["tensor"])
    nets.mlp(16, 1)
    lines = capsys.readouterr().out.split("\n")
    expected = ["float32, naive", "float32, cuBLAS", "frozen, tensor"]
    assert [line.split("  ")[0] for line in lines[2:]][:-1] == expected


def test_a_net_of_floats_that_is_wrong_is_found(benchmark, monkeypatch):
    nets = sys.modules["gpu_nets"]
    monkeypatch.setattr(nets, "CHECKED", 1)
    monkeypatch.setattr("gpu_baseline.naive", lambda x, w: x @ w.T + 1)
    net = bitnet.freeze(models.binary_mlp([784, 3, 10], rng=np.random.default_rng(0)))
    with pytest.raises(AssertionError, match="float32, naive"):
        nets.float_nets(net.to("gpu"))


def test_a_product_that_is_wrong_is_found(benchmark, monkeypatch):
    from bitnet.kernels import cuda

    right = cuda.xnor_sign

    def wrong(x, weight, steps):
        return right(x, weight, benchmark.kernels.Thresholds(steps.values + 99, steps.increasing))

    monkeypatch.setattr(cuda, "xnor_sign", wrong)
    benchmark.kernels.dispatch._function.cache_clear()
    with pytest.raises(AssertionError, match="naive"):
        benchmark.products(3, 4, 70)
    benchmark.kernels.dispatch._function.cache_clear()
