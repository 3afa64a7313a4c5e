"""Tests of reading logs: the result, and errors with the number of the line."""

import dataclasses
import json

import pytest

from bitnet import InputError
from bitnet.training import log as runlog
from bitnet.training.log import read_log
from bitnet.training.loop import Epoch

FIRST = '{"settings": {"net": "mlp:8"}}\n'


def write(tmp_path, text):
    path = tmp_path / "run.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_log_and_its_series(tmp_path):
    records = [
        {"epoch": 1, "loss": 0.5, "flip_ratio": None, "note": "unknown keys are left out"},
        {"epoch": 2, "loss": 0.25, "histograms": {"layers.0.weight": [1, 2, 3]}},
    ]
    log = read_log(write(tmp_path, FIRST + "".join(json.dumps(r) + "\n" for r in records)))
    assert (log.name, log.settings) == ("run", {"net": "mlp:8"})
    assert log.series("loss") == ([1, 2], [0.5, 0.25])
    assert log.series("flip_ratio") == ([], [])
    assert log.series("histograms") == ([2], [{"layers.0.weight": [1, 2, 3]}])
    assert "note" not in log.epochs[0]


def test_a_resumed_training_overwrites_the_epochs_that_it_repeats(tmp_path):
    text = FIRST + '{"epoch": 1, "loss": 3}\n{"epoch": 2, "loss": 2}\n'
    text += FIRST + '{"epoch": 2, "loss": 1}\n{"epoch": 3, "loss": 0}'
    assert read_log(write(tmp_path, text)).series("loss") == ([1, 2, 3], [3, 1, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no epoch"),
        (FIRST, "has no epoch"),
        ('{"epoch": 1}\n', "line 1: expected .*settings"),
        ('{"settings": 3}\n', "line 1: settings"),
        (FIRST + '{"epoch": 1, "loss"', "line 2: not JSON"),
        (FIRST + "\n", "line 2: not JSON"),
        (FIRST + "[1]\n", "line 2: got list"),
        (FIRST + "{}\n", "line 2: epoch is None"),
        (FIRST + '{"epoch": 0}\n', "line 2: epoch is 0"),
        (FIRST + '{"epoch": true}\n', "line 2: epoch is True"),
        (FIRST + '{"epoch": 1.0}\n', "line 2: epoch is 1.0"),
        (FIRST + '{"epoch": 1}\n{"epoch": 2, "loss": "x"}\n', "line 3: loss is 'x'"),
        (FIRST + '{"epoch": 1, "loss": true}\n', "line 2: loss is True"),
        (FIRST + '{"epoch": 1, "loss": NaN}\n', "line 2: not JSON .NaN"),
        (FIRST + '{"epoch": 1, "loss": -Infinity}\n', "line 2: not JSON .-Infinity"),
        (FIRST + '{"epoch": 1, "loss": 1e999}\n', "line 2: loss is inf"),
        (FIRST + '{"epoch": 1, "loss": ' + "9" * 5000 + "}\n", "line 2: not JSON"),
        (FIRST + '{"epoch": 1, "loss": ' + "9" * 400 + "}\n", "line 2: loss is 9"),
        (FIRST + "[" * 100_000 + "\n", "line 2: not JSON"),
        (FIRST + '{"epoch": 1, "histograms": [1]}\n', "line 2: histograms"),
        (FIRST + '{"epoch": 1, "histograms": {"a": [1]}}\n', "line 2: the histogram 'a'"),
        (FIRST + '{"epoch": 1, "histograms": {"a": [1, -1]}}\n', "line 2: the histogram 'a'"),
        (FIRST + '{"epoch": 1, "histograms": {"a": [1, 0.5]}}\n', "line 2: the histogram 'a'"),
        (b"\x93NUMPY\xff\n", "line 1: not JSON"),
        (FIRST + '{"epoch": 1, "x": "' + "x" * (4 << 20) + '"}', "line 2: more than"),
    ],
)
def test_broken_logs_are_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as refused:
        read_log(write(tmp_path, text))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300 + len(str(tmp_path))


def test_limits_of_size(tmp_path, monkeypatch):
    path = write(tmp_path, FIRST + '{"epoch": 1}\n{"epoch": 2}\n')
    monkeypatch.setattr(runlog, "MAX_EPOCHS", 1)
    with pytest.raises(InputError, match="line 3: more than 1 epochs"):
        read_log(path)
    monkeypatch.setattr(runlog, "MAX_BYTES", 10)
    with pytest.raises(InputError, match="at most 10"):
        read_log(path)
    with pytest.raises(FileNotFoundError):
        read_log(tmp_path / "none.jsonl")


def test_the_figures_of_a_log_are_those_of_an_epoch():
    own = {field.name for field in dataclasses.fields(Epoch)}
    assert set(runlog.FIGURES) == own - {"epoch", "histograms"}


def test_a_log_in_csv(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("epoch,loss,note,test_accuracy\n1,0.5,x,0.25\n2,0.25,,\n")
    log = read_log(path)
    assert (log.name, log.settings) == ("run", {})
    assert log.epochs == [
        {"epoch": 1, "loss": 0.5, "test_accuracy": 0.25},
        {"epoch": 2, "loss": 0.25},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no epoch"),
        ("epoch,loss\n", "has no epoch"),
        ("loss\n", "line 1: expected the names of columns"),
        ("epoch,loss\n1\n", "line 2: 1 cells; expected 2"),
        ("epoch,loss\n1,0.5\n2,0.\n3", "line 4: 1 cells"),
        ("epoch,loss\none,0.5\n", "line 2: epoch is 'one'"),
        ("epoch,loss\n1.0,0.5\n", "line 2: epoch is '1.0'"),
        ("epoch,loss\n1,high\n", "line 2: loss is 'high'"),
        ("epoch,loss\n1,nan\n", "line 2: loss is nan"),
        ("epoch,loss\n1,inf\n", "line 2: loss is inf"),
        (b"\xff\xfe,loss\n", "line 1: expected the names"),
    ],
)
def test_what_is_no_log_in_csv(tmp_path, text, message):
    path = tmp_path / "run.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read_log(path)
