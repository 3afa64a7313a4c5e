"""What `bitnet status` says about this machine."""

import pathlib
import re

import pytest

from bitnet import kernels
from bitnet.__main__ import main
from bitnet.cli import status
from bitnet.kernels import memory

RESULTS = pathlib.Path(__file__).parents[2] / "benchmarks/results/kernels.txt"
ROWS = {
    "signs": "xnor_gemm",
    "2 bits": "plane_gemm 2 x 1 bits",
    "3 bits": "plane_gemm 3 x 1 bits",
    "4 bits": "plane_gemm 4 x 1 bits",
    "pixels": "plane_gemm pixels",
    "gradients": "signed_gemm int8",
}


def on_level(monkeypatch, name):
    cpu = pytest.importorskip("bitnet.kernels.cpu", reason="levels are those of Numba's kernels")
    monkeypatch.setattr(kernels.dispatch, "_chosen", "numba")
    monkeypatch.setattr(cpu, "level", lambda: name)


@pytest.mark.parametrize("level", status.FACTORS)
def test_the_factors_are_those_of_the_benchmark(level):
    """Up to a quarter, which is what two runs may differ by."""
    (part,) = (p for p in RESULTS.read_text().split("\n\n$ ") if f"level {level}:" in p)
    for name, factor in status.FACTORS[level].items():
        row = rf"^{ROWS[name]} 1000 x 4096 x 4096 +[\d.]+ +\d+ +([\d.]+)"
        measured = float(re.search(row, part, re.MULTILINE)[1])
        assert measured == pytest.approx(factor, rel=0.25), name


def test_a_level_is_described_by_its_factors(monkeypatch):
    on_level(monkeypatch, "avx2")
    assert status.good_for().startswith(
        "products of signs 7 times as fast as float32 in NumPy, 2 bits 3"
    )


def test_a_level_that_was_not_measured_has_no_factor(monkeypatch):
    on_level(monkeypatch, "next")
    assert status.good_for().startswith("not measured at level next")


def test_the_reference_is_for_small_nets():
    with kernels.using("reference"):
        assert status.good_for() == "tests and small nets; the fast kernels need Numba"


def test_caches_that_are_not_reported_are_assumed(monkeypatch):
    monkeypatch.setattr(memory, "found_caches", lambda: {1: 48 << 10, 2: 2 << 20})
    monkeypatch.setattr(memory, "cache_sizes", memory.cache_sizes.__wrapped__)
    assert status.caches() == "L1 48 KiB, L2 2 MiB, L3 8 MiB (not reported, assumed)"


def test_both_are_in_the_output(capsys):
    main(["status"])
    lines = capsys.readouterr().out.splitlines()
    facts = {line[:20].strip(): line[21:] for line in lines}
    assert facts["good for"] == status.good_for()
    assert facts["caches"] == status.caches()
