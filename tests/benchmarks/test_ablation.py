"""`benchmarks/ablation.py` as a user types it: lines, gains, and what stands in for the data."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

FILE = pathlib.Path(__file__).parents[2] / "benchmarks" / "ablation.py"


def run(folder, *words):
    command = [sys.executable, str(FILE), "--threads", "1", *words]
    environment = {**os.environ, "BITNET_DATA": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_quick(tmp_path):
    lines = "base", "re-estimation", "distillation", "shifts, code", "approx-sign"
    done = run(tmp_path, "--quick", "--only", *lines, "--out", "a.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "a.json").read_text())
    assert set(figures["accuracy"]) == {*lines, "float twin"}
    assert "note:" not in done.stdout
    for name in lines:
        (share,), (base,) = figures["accuracy"][name], figures["accuracy"]["base"]
        row = re.search(rf"^{name} +(\S+)% +0\.00 +(\S+) ", done.stdout, re.MULTILINE)
        assert row, name
        assert float(row[1]) == pytest.approx(100 * share, abs=0.006)
        assert float(row[2]) == pytest.approx(100 * (share - base), abs=0.006)
        assert share > 0.4  # ten classes


def test_the_digits_take_the_place_of_a_set_that_is_not_there(tmp_path):
    words = "--only", "base", "--seeds", "1", "--epochs", "1", "--units", "8"
    done = run(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "note: the embedded digits replace fashion-mnist" in done.stdout
    assert list(tmp_path.iterdir()) == []  # nothing is written without --out
