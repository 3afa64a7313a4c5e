"""Tests of the table of runs: the epochs shown, differing settings, mean and deviation."""

import json
import statistics

import pytest

import bitnet
from bitnet import InputError
from bitnet.analysis import compare_runs, read_run
from bitnet.training import Experiment
from bitnet.training.log import RunLog


def run(name, accuracies, validation=None, **settings):
    epochs = [
        {"epoch": i + 1, "loss": 1.0 / (i + 1), "test_accuracy": accuracy, "seconds": 2.0}
        for i, accuracy in enumerate(accuracies)
    ]
    for record, figure in zip(epochs, validation or [], strict=False):
        record["validation_accuracy"] = figure
    return RunLog(name, settings, epochs)


def test_the_best_epoch_on_the_validation_part_or_the_last():
    table = compare_runs([run("a", [0.5, 0.6, 0.7]), run("b", [0.8, 0.6, 0.9], [0.2, 0.3, 0.1])])
    assert [(row.epoch, row.epochs, row.seconds) for row in table.runs] == [
        (3, 3, 6.0),
        (2, 3, 6.0),
    ]
    assert [row.figures["test_accuracy"] for row in table.runs] == [0.7, 0.6]
    assert table.means == []
    assert str(table).splitlines() == [
        "run  epoch     loss  validation accuracy  test accuracy  seconds",
        "a      3/3  0.33333                    -         70.00%      6.0",
        "b      2/3      0.5               30.00%         60.00%      6.0",
    ]


def test_runs_that_differ_only_in_the_seed_have_a_mean():
    few = {"net": "mlp:8", "crc32": 1, "lr": 0.1, "betas": [0.9]}
    runs = [run(f"a{i}", [0.5 + i / 10], **few, seed=i) for i in range(3)]
    runs += [run("b", [0.9], **few | {"lr": 0.2, "betas": [0.8]}, seed=0)]
    table = compare_runs(runs)
    (mean,) = table.means
    assert mean.runs == ["a0", "a1", "a2"]
    values = [0.5, 0.6, 0.7]
    expected = statistics.mean(values), statistics.stdev(values)
    assert mean.figures["test_accuracy"] == pytest.approx(expected)
    assert list(table.runs[0].settings) == ["lr", "seed"]
    lines = str(table).splitlines()
    assert lines[0].split()[:3] == ["run", "lr", "seed"]
    assert lines[-1].split()[:4] == ["mean", "of", "3", "0.1"]
    assert "60.00% ± 10.00%" in lines[-1]
    assert json.loads(json.dumps(table.record()))["means"][0]["runs"] == mean.runs


@pytest.mark.parametrize(("unit", "measure"), [("words", "perplexity"), ("characters", "bits")])
def test_a_text_has_one_measure(unit, measure):
    figures = {"valid_loss": 2.0, "valid_perplexity": 7.4, "valid_bits": 2.9}
    figures |= {name.replace("valid", "test"): value for name, value in figures.items()}
    first, later = ({"epoch": i, "loss": 2.0, **figures} for i in (1, 2))
    later["valid_loss"] = 3.0
    (row,) = compare_runs([RunLog("a", {"unit": unit}, [first, later])]).runs
    assert row.epoch == 1
    assert list(row.figures) == ["loss", f"valid_{measure}", f"test_{measure}"]
    assert row.seconds is None


@pytest.mark.parametrize("validation", [0, 50])
def test_a_checkpoint_and_both_logs_of_a_run_tell_the_same(tmp_path, validation):
    settings = {"net": "mlp:8", "limit": 200, "epochs": 3, "batch": 20, "validation": validation}
    experiment = Experiment(settings)
    records = [epoch.record() for epoch in experiment.epochs()]
    experiment.save(tmp_path / "a.checkpoint")
    lines = [{"settings": experiment.settings}, *records]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    names = [name for name in records[0] if name != "histograms"]
    rows = [names, *([record[name] for name in names] for record in records)]
    (tmp_path / "a.csv").write_text("".join(f"{','.join(map(str, row))}\n" for row in rows))
    logs = [read_run(tmp_path / f"a.{kind}") for kind in ("checkpoint", "jsonl", "csv")]
    runs = compare_runs(logs).runs
    assert runs[0].figures == runs[1].figures == runs[2].figures
    assert {(own.epoch, own.epochs) for own in runs} == {(runs[1].epoch, 3)}
    assert logs[0].settings == logs[1].settings
    assert (runs[0].seconds, logs[2].settings) == (None, {})
    assert runs[1].seconds == runs[2].seconds == sum(record["seconds"] for record in records)


def test_other_files_are_refused(tmp_path):
    experiment = Experiment({"net": "mlp:8", "limit": 100})
    experiment.save(tmp_path / "a.checkpoint")
    with pytest.raises(InputError, match="no epoch is done; train it with `bitnet train --resume"):
        read_run(tmp_path / "a.checkpoint")
    bitnet.load(tmp_path / "a.checkpoint").freeze().save(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"no record of its training; .*`bitnet freeze --check`"):
        read_run(tmp_path / "a.npz")
    with pytest.raises(InputError, match="got no runs"):
        compare_runs([])
