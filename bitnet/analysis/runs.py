"""A table of trainings from their logs: settings that differ, figures, mean and deviation."""

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitnet.analysis.table import aligned
from bitnet.archive import kind_of, to_json
from bitnet.errors import InputError
from bitnet.training.checkpoint import KIND, read_checkpoint
from bitnet.training.log import FIGURES, RunLog, check_records, read_log
from bitnet.training.settings import SETTINGS

# the epoch that is shown is the best by one of these
BEST = dict.fromkeys((f"validation_{name}" for name in ("accuracy", "r2", "f1")), max)
BEST |= {"valid_loss": min}
PARTS = "loss", "train", "validation", "valid", "test"  # of the names of figures, in order
SAME = {"seed", "folder", "crc32", "init_crc32", "teacher_crc32"}  # in the runs of one mean
SHARES = "accuracy", "f1"  # shown in per cent
LONGEST = 24  # characters of a setting


@dataclasses.dataclass(frozen=True)
class Run:
    """A row of the table: the number of epochs, and the figures of the best epoch or the last.

    `settings` has those that differ between the runs.  `seconds` is the time of all epochs, or None
    if it is not known.
    """

    name: str
    settings: dict[str, Any]
    epochs: int
    epoch: int
    seconds: float | None
    figures: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Mean:
    """The mean and the sample standard deviation of the figures of runs that differ in the seed."""

    settings: dict[str, Any]
    runs: list[str]
    figures: dict[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class RunTable:
    """The rows of `compare_runs`; `str` gives a text table.

    Attributes
    ----------
    runs : list of Run
        One row per run.
    means : list of Mean
        One row for each two or more runs that differ only in the seed.

    Examples
    --------
    >>> logs = [RunLog("a", {}, [{"epoch": 1, "loss": 0.5, "test_accuracy": 0.75}])]
    >>> print(compare_runs(logs))
    run  epoch  loss  test accuracy
    a      1/1   0.5         75.00%
    """

    runs: list[Run]
    means: list[Mean]

    def __str__(self) -> str:
        names = list(self.runs[0].settings)
        there = {name for run in self.runs for name in run.figures}
        figures = sorted(there, key=lambda name: (PARTS.index(_part(name)), FIGURES.index(name)))
        timed = any(run.seconds is not None for run in self.runs)
        titles = [name.replace("_", " ") for name in (*names, "epoch", *figures)]
        rows = [["run", *titles, *(["seconds"] if timed else [])]]
        for run in self.runs:
            row = [run.name, *(_setting(run.settings[name]) for name in names)]
            row += [f"{run.epoch}/{run.epochs}"]
            row += [_figure(name, run.figures.get(name)) for name in figures]
            seconds = "-" if run.seconds is None else f"{run.seconds:.1f}"
            rows.append(row + ([seconds] if timed else []))
        for mean in self.means:
            row = [f"mean of {len(mean.runs)}"]
            row += ["" if name == "seed" else _setting(mean.settings[name]) for name in names]
            row += ["", *(_spread(name, mean.figures.get(name)) for name in figures)]
            rows.append(row + ([""] if timed else []))
        return "\n".join(aligned(rows, left=1 + len(names)))

    def record(self) -> dict:
        """Return the table as a dict for JSON."""
        return dataclasses.asdict(self)


def read_run(path: str | Path) -> RunLog:
    """Read the settings and the figures of a training from its log or its checkpoint.

    Parameters
    ----------
    path : str or path
        A file of `bitnet train`: a log, see `read_log`, or a checkpoint, which has only the
        figures of its best and its last epoch.

    Returns
    -------
    RunLog
        The settings and the figures of epochs.

    Raises
    ------
    InputError
        If the file is neither, is damaged, or has no epoch.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from bitnet.training import Experiment
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     experiment = Experiment({"net": "mlp:8", "limit": 200, "epochs": 2})
    ...     _ = list(experiment.epochs())
    ...     experiment.save(f"{folder}/run.checkpoint")
    ...     read_run(f"{folder}/run.checkpoint").epochs[0]["epoch"]
    2
    """
    path = Path(path)
    if path.suffix.lower() in (".jsonl", ".csv"):
        return read_log(path)
    if (kind := kind_of(path)) != KIND:
        raise InputError(
            f"{path}: a {kind}, which has no record of its training; expected a log or a "
            "checkpoint; `bitnet freeze --check` compares a frozen net with the trained one"
        )
    file = read_checkpoint(path)
    settings = file.settings.get("experiment")
    if not isinstance(settings, dict):
        raise InputError(f"{path}: from another program; expected a file of `bitnet train`")
    try:
        records = check_records(file.notes.get("records"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if not records:
        raise InputError(f"{path}: no epoch is done; train it with `bitnet train --resume {path}`")
    return RunLog(path.stem, settings, records)


def compare_runs(runs: Sequence[RunLog]) -> RunTable:
    """Return a table of trainings, with the mean and the deviation over seeds.

    The figures of a run are those of its best epoch on the validation part, or of its last epoch
    if it has none.

    Parameters
    ----------
    runs : sequence of RunLog
        What `read_run` or `read_log` returned.

    Returns
    -------
    RunTable
        The rows.

    Raises
    ------
    InputError
        If there are no runs.

    Examples
    --------
    >>> epochs = [[{"epoch": 1, "loss": 0.5, "test_accuracy": a}] for a in (0.75, 0.85)]
    >>> print(compare_runs([RunLog(f"run{i}", {"seed": i}, epochs[i]) for i in (0, 1)]))
    run        seed  epoch     loss   test accuracy
    run0       0       1/1      0.5          75.00%
    run1       1       1/1      0.5          85.00%
    mean of 2               0.5 ± 0  80.00% ± 7.07%
    """
    if not runs:
        raise InputError("compare_runs: got no runs; expected one or more")
    names = dict.fromkeys(name for run in runs for name in run.settings)
    if SETTINGS.keys() & names:  # of `bitnet train`; logs also have those of the optimizer
        names = {name: None for name in names if name in SETTINGS}
    all_of = {name: {to_json(run.settings.get(name)) for run in runs} for name in names}
    differing = [name for name in names if len(all_of[name]) > 1 and not name.endswith("crc32")]
    rows = [_run(run, {name: run.settings.get(name) for name in differing}) for run in runs]
    groups: dict[str, list[Run]] = {}
    for run, row in zip(runs, rows, strict=True):
        own = {name: value for name, value in run.settings.items() if name in names.keys() - SAME}
        if run.settings:  # a log in CSV has none
            groups.setdefault(to_json(dict(sorted(own.items()))), []).append(row)
    return RunTable(rows, [_mean(group) for group in groups.values() if len(group) > 1])


def _run(run, settings):
    """Return the row of a RunLog."""
    best = run.epochs[-1]
    for figure, better in BEST.items():
        if having := [record for record in run.epochs if figure in record]:
            best = better(having, key=lambda record, name=figure: record[name])
            break
    seconds = [record.get("seconds") for record in run.epochs]
    total = None if None in seconds else sum(seconds)
    figures = {name: value for name, value in best.items() if _part(name) in PARTS}
    measure = "bits" if run.settings.get("unit") == "characters" else "perplexity"
    others = {"bits", "perplexity", "loss"} - {measure}
    if "valid_loss" in figures:  # three measures of one loss
        figures = {k: v for k, v in figures.items() if k.partition("_")[2] not in others}
    return Run(run.name, settings, run.epochs[-1]["epoch"], best["epoch"], total, figures)


def _part(figure):
    """Return the part of the data that a figure is measured on, or "loss"."""
    return figure.partition("_")[0]


def _mean(group):
    """Return the row of the mean of runs that differ only in the seed."""
    common = [name for name in group[0].figures if all(name in run.figures for run in group)]
    values = {name: [run.figures[name] for run in group] for name in common}
    figures = {name: (statistics.mean(own), statistics.stdev(own)) for name, own in values.items()}
    return Mean(group[0].settings, [run.name for run in group], figures)


def _setting(value):
    """Format the value of a setting."""
    text = "-" if value is None else value if isinstance(value, str) else to_json(value)
    return text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}"


def _figure(name, value):
    """Format a figure: accuracies in per cent."""
    if value is None:
        return "-"
    return f"{value:.2%}" if name.endswith(SHARES) else f"{value:.5g}"


def _spread(name, pair):
    """Format a mean and a deviation."""
    if pair is None:
        return "-"
    mean, deviation = pair
    if name.endswith(SHARES):
        return f"{mean:.2%} ± {deviation:.2%}"
    return f"{mean:.5g} ± {deviation:.2g}"
