"""The log of a training: JSON lines, the settings first, then an object an epoch.

A log may be of another machine, or cut off: each line is checked before anything is drawn of it.
"""

import dataclasses
import json
import os
import pathlib

from bitnet.errors import InputError
from bitnet.training.loop import Epoch

FIGURES = [f.name for f in dataclasses.fields(Epoch) if f.name not in ("epoch", "histograms")]
MAX_BYTES, MAX_LINE, MAX_EPOCHS = 256 << 20, 4 << 20, 10**6
MAX_LAYERS, MAX_BINS = 200, 1000
LARGEST = 1e30  # of a figure


@dataclasses.dataclass(frozen=True)
class RunLog:
    """What a log holds: the file's name without suffix, the settings, and a dict for each epoch.

    Each epoch has the key "epoch", and those of `FIGURES` and "histograms" that were logged.
    """

    name: str
    settings: dict
    epochs: list

    def series(self, figure):
        """The epochs that have a figure, and the figure: two lists of equal length."""
        there = [record for record in self.epochs if record.get(figure) is not None]
        return [record["epoch"] for record in there], [record[figure] for record in there]


def read_log(path):
    """Read and check the log of a training.

    Parameters
    ----------
    path : str or path
        What `bitnet train --log` wrote.

    Returns
    -------
    RunLog
        An epoch that comes twice, as after `--resume`, is taken from its last line.

    Raises
    ------
    InputError
        If the file is too large, a line is no JSON object of a log, a number is not finite, or
        there is no epoch; with the number of the line.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "run.jsonl")
    ...     _ = path.write_text('{"settings": {"seed": 0}}\\n{"epoch": 1, "loss": 0.5}\\n')
    ...     read_log(path)
    RunLog(name='run', settings={'seed': 0}, epochs=[{'epoch': 1, 'loss': 0.5}])
    """
    path = pathlib.Path(path)
    settings, epochs = {}, {}
    with open(path, "rb") as file:
        if (n_bytes := os.fstat(file.fileno()).st_size) > MAX_BYTES:
            raise InputError(f"{path}: {n_bytes} bytes; expected a log of at most {MAX_BYTES}")
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
            try:
                record = _object(line)
                if "settings" in record and "epoch" not in record:
                    settings = record["settings"] or {}
                    if not isinstance(settings, dict):
                        raise InputError("settings are no object")
                elif number == 1:
                    raise InputError('expected {"settings": ...}, the first line of a log')
                else:
                    record = _epoch(record)
                    epochs[record["epoch"]] = record
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
            if len(epochs) > MAX_EPOCHS:
                raise InputError(f"{path}, line {number}: more than {MAX_EPOCHS} epochs")
    if not epochs:
        raise InputError(f"{path}: the log holds no epoch; expected a line for each")
    return RunLog(path.stem, settings, [epochs[number] for number in sorted(epochs)])


def _refuse(constant):
    """NaN and Infinity are no JSON."""
    raise ValueError(f"{constant} is no number")


def _object(line):
    """The JSON object of a line."""
    if len(line) > MAX_LINE:
        raise InputError(f"more than {MAX_LINE} bytes; expected an object an epoch")
    try:
        record = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(":")[0]
        raise InputError(f"no JSON ({reason:.80}); is the log cut off, or another file?") from None
    if not isinstance(record, dict):
        raise InputError(f"got {type(record).__name__}; expected a JSON object")
    return record


def _epoch(record):
    """The figures of an epoch that are known, checked."""
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
    """The counts of each layer, checked."""
    if not isinstance(layers, dict) or len(layers) > MAX_LAYERS:
        raise InputError(f"histograms are {layers!r:.40}; expected lists of counts by layer")
    for name, counts in layers.items():
        whole = isinstance(counts, list) and 2 <= len(counts) <= MAX_BINS
        if not whole or not all(type(n) is int and 0 <= n < 2**53 for n in counts):
            raise InputError(f"the histogram {name!r:.40} is no list of 2 to {MAX_BINS} counts")
    return layers
