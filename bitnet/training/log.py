"""Read the log of a training: JSON lines, first the settings, then one object per epoch, or CSV.

A log may come from another machine or be cut off, so each line is checked.
"""

import csv
import dataclasses
import itertools
import json
import os
from pathlib import Path
from typing import Any

from bitnet.errors import InputError
from bitnet.files import opened
from bitnet.training.loop import Epoch

FIGURES = [f.name for f in dataclasses.fields(Epoch) if f.name not in ("epoch", "histograms")]
COLUMNS = ("epoch", *FIGURES)
MAX_BYTES, MAX_LINE, MAX_EPOCHS = 256 << 20, 4 << 20, 10**6
MAX_LAYERS, MAX_BINS = 200, 1000
LARGEST = 1e30  # value of a figure


@dataclasses.dataclass(frozen=True)
class RunLog:
    """The contents of a log: the file's name without suffix, the settings, and a dict per epoch.

    The dict of an epoch has the key "epoch" and those of `FIGURES` and "histograms" that were
    logged.
    """

    name: str
    settings: dict
    epochs: list[dict]

    def __repr__(self) -> str:
        return f"RunLog({self.name!r}, epochs={len(self.epochs)}, settings={len(self.settings)})"

    def series(self, figure: str) -> tuple[list[int], list[Any]]:
        """Return the epochs that have a figure and its values: two lists of equal length."""
        there = [record for record in self.epochs if record.get(figure) is not None]
        return [record["epoch"] for record in there], [record[figure] for record in there]


def read_log(path: str | Path) -> RunLog:
    """Read and check the log of a training.

    Parameters
    ----------
    path : str or path
        A file written by `bitnet train --log`, `.jsonl` or `.csv`.  A CSV file has no settings and
        no histograms.

    Returns
    -------
    RunLog
        If an epoch occurs twice, such as after `--resume`, its last line counts.

    Raises
    ------
    InputError
        If the file is too large, a line is not that of a log, a number is not finite, or there is
        no epoch.  The message has the number of the line.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "run.jsonl")
    ...     _ = path.write_text('{"settings": {"seed": 0}}\\n{"epoch": 1, "loss": 0.5}\\n')
    ...     read_log(path)
    RunLog('run', epochs=1, settings=1)
    """
    path = Path(path)
    settings: dict = {}
    epochs: dict[int, dict] = {}
    with opened(path, "a training log") as file:
        if (n_bytes := os.fstat(file.fileno()).st_size) > MAX_BYTES:
            raise InputError(f"{path}: {n_bytes} bytes; expected a log of at most {MAX_BYTES}")
        lines = iter(lambda: file.readline(MAX_LINE + 1), b"")
        objects = _csv_objects(lines) if path.suffix.lower() == ".csv" else map(_object, lines)
        for number in itertools.count(1):
            try:
                record = next(objects, None)
                if record is None:
                    break
                if "settings" in record and "epoch" not in record:
                    settings = record["settings"] or {}
                    if not isinstance(settings, dict):
                        raise InputError("settings are not a JSON object")
                elif number == 1:
                    raise InputError('expected {"settings": ...} in the first line of a log')
                else:
                    record = check_epoch(record)
                    epochs[record["epoch"]] = record
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
            if len(epochs) > MAX_EPOCHS:
                raise InputError(f"{path}, line {number}: more than {MAX_EPOCHS} epochs")
    if not epochs:
        raise InputError(f"{path}: the log has no epoch; expected one line per epoch")
    return RunLog(path.stem, settings, [epochs[number] for number in sorted(epochs)])


def _refuse(constant):
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(f"{constant} is not a finite number")


def _object(line):
    """Return the JSON object in a line."""
    if len(line) > MAX_LINE:
        raise InputError(f"more than {MAX_LINE} bytes; expected one JSON object per line")
    try:
        record = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(":")[0]
        raise InputError(f"not JSON ({reason:.80}); is the log cut off, or another file?") from None
    if not isinstance(record, dict):
        raise InputError(f"got {type(record).__name__}; expected a JSON object")
    return record


def _csv_objects(lines):
    """Yield the JSON objects that the lines of a CSV file stand for, first empty settings."""
    header = None
    for line in lines:
        if len(line) > MAX_LINE:
            raise InputError(f"more than {MAX_LINE} bytes; expected one epoch per line")
        cells = next(csv.reader([line.decode(errors="replace")]), [])
        if header is None:
            header = cells
            if "epoch" not in header:
                raise InputError("expected the names of columns, epoch among them")
            yield {"settings": {}}
        elif len(cells) != len(header):
            came = f"{len(cells)} cells; expected {len(header)}"
            raise InputError(f"{came}, as in the first line; is the log cut off?")
        else:
            pairs = zip(header, cells, strict=True)
            yield {name: _number(name, cell) for name, cell in pairs if cell and name in COLUMNS}


def _number(name, cell):
    """Return the number in a cell of a CSV file, or its text, which `check_epoch` refuses."""
    try:
        return int(cell) if name == "epoch" else float(cell)
    except ValueError:
        return cell


def check_records(records):
    """Return the list of the figures of epochs in a checkpoint, each checked."""
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError(f"the figures of epochs are {records!r:.60}; expected a list of them")
    return list(map(check_epoch, records))


def check_epoch(record):
    """Return the known figures of an epoch, checked."""
    epoch = record.get("epoch")
    if type(epoch) is not int or not 1 <= epoch <= 10**9:
        raise InputError(f"epoch is {epoch!r:.40}; expected a whole number of 1 or more")
    kept = {"epoch": epoch}
    for name in FIGURES:
        value = record.get(name)
        if value is None:
            continue
        if type(value) not in (int, float) or not abs(value) <= LARGEST:
            raise InputError(f"{name} is {value!r:.40}; expected a number of at most {LARGEST:g}")
        kept[name] = float(value)
    if record.get("histograms") is not None:
        kept["histograms"] = _histograms(record["histograms"])
    return kept


def _histograms(layers):
    """Return the counts of each layer, checked."""
    if not isinstance(layers, dict) or len(layers) > MAX_LAYERS:
        raise InputError(f"histograms are {layers!r:.40}; expected a list of counts per layer")
    for name, counts in layers.items():
        whole = isinstance(counts, list) and 2 <= len(counts) <= MAX_BINS
        if not whole or not all(type(n) is int and 0 <= n < 2**53 for n in counts):
            raise InputError(f"the histogram {name!r:.40} has no list of 2 to {MAX_BINS} counts")
    return layers
