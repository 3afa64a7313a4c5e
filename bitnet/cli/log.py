"""The log of a training: JSON lines with the settings first, or CSV; one line per epoch."""

import csv
import io
import json
import pathlib

from bitnet.archive import to_json
from bitnet.errors import InputError
from bitnet.files import check_writable, replacing
from bitnet.training.log import COLUMNS
from bitnet.training.settings import MAY_CHANGE

SUFFIXES = ".jsonl", ".csv"


def log_of(path, experiment):
    """Return the log that a path names by its suffix."""
    return (CsvLog if pathlib.Path(path).suffix.lower() == ".csv" else Log)(path, experiment)


class Log:
    """A file of JSON lines; that of a resumed training keeps the lines of the epochs done."""

    def __init__(self, path, experiment):
        self.path = path
        check_writable(path)
        if pathlib.Path(path).is_file() and pathlib.Path(path).stat().st_size:
            lines = self._earlier(experiment)
        else:
            lines = self._first(experiment)
        with replacing(path) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())

    def _first(self, experiment):
        """The lines of a new log: the settings."""
        shared = experiment.optimizer.settings() | experiment.schedule.settings()
        return [to_json({"settings": shared | experiment.settings})]

    def _earlier(self, experiment):
        """The lines of the settings and of the epochs in the checkpoint."""
        kept = []
        with open(self.path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    record = None
                known = isinstance(record, dict)
                epoch = record.get("epoch") if known else None
                if not kept:
                    self._check(record.get("settings") if known else None, experiment.settings)
                if not kept or (type(epoch) is int and epoch <= experiment.done):
                    kept.append(line.rstrip("\n"))
        return kept

    def _check(self, logged, settings):
        """Refuse the log of a training other than the one resumed."""
        if not isinstance(logged, dict):
            raise InputError(f"--log: {self.path} is not a training log; choose another name")
        for name in sorted(settings.keys() - set(MAY_CHANGE)):
            if logged.get(name) != settings[name]:
                self._refuse(name)

    def _refuse(self, name):
        """Refuse the log of another training."""
        differs = f"is from another training ({name} differs)"
        raise InputError(f"--log: {self.path} {differs}; choose another name")

    def write(self, epoch):
        """Add the line of an epoch."""
        self._add(to_json(epoch.record()))

    def _add(self, lines):
        """Add lines at the end of the file."""
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{lines}\n")
        except OSError as error:
            error.filename = str(self.path)
            raise


class CsvLog(Log):
    """A CSV file of the figures of each epoch, with the names of the columns in the first line."""

    def _first(self, experiment):
        """No lines: the columns are those of the first epoch."""
        self.columns = None
        return []

    def _earlier(self, experiment):
        """The line of the columns and those of the epochs in the checkpoint."""
        with open(self.path, encoding="utf-8", errors="replace", newline="") as file:
            rows = list(csv.reader(file))
        self.columns = rows[0]
        if not {"epoch", "loss"} <= set(self.columns) <= set(COLUMNS):
            raise InputError(f"--log: {self.path} is not a training log; choose another name")
        place, done = self.columns.index("epoch"), {str(i + 1) for i in range(experiment.done)}
        kept = [row for row in rows[1:] if len(row) == len(self.columns) and row[place] in done]
        for record in experiment.records:  # a CSV file has no settings to compare
            own = [row for row in kept if row[place] == str(record["epoch"])]
            if any(row[self.columns.index("loss")] != repr(record["loss"]) for row in own):
                self._refuse("loss")
        return [_line(row) for row in (self.columns, *kept)]

    def write(self, epoch):
        """Add the line of an epoch, and before the first one that of the columns."""
        record = epoch.record()
        if self.columns is None:
            self.columns = [name for name in COLUMNS if name in record]
            self._add(_line(self.columns))
        self._add(_line([record.get(name, "") for name in self.columns]))


def _line(cells):
    """One line of a CSV file, without its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
