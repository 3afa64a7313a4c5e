"""The log of a training: JSON lines, first the settings, then one object per epoch."""

import json
import pathlib

from bitnet.archive import to_json
from bitnet.errors import InputError
from bitnet.files import check_writable, replacing
from bitnet.training.settings import MAY_CHANGE


class Log:
    """A file of JSON lines; that of a resumed training keeps the lines of the epochs done."""

    def __init__(self, path, experiment):
        shared = experiment.optimizer.settings() | experiment.schedule.settings()
        self.path, lines = path, [to_json({"settings": shared | experiment.settings})]
        check_writable(path)
        if pathlib.Path(path).is_file() and pathlib.Path(path).stat().st_size:
            lines = self._earlier(experiment.settings, experiment.done)
        with replacing(path) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())

    def _earlier(self, settings, done):
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
                    self._check(record.get("settings") if known else None, settings)
                if not kept or (type(epoch) is int and epoch <= done):
                    kept.append(line.rstrip("\n"))
        return kept

    def _check(self, logged, settings):
        """Refuse the log of a training other than the one resumed."""
        if not isinstance(logged, dict):
            raise InputError(f"--log: {self.path} is not a training log; choose another name")
        for name in sorted(settings.keys() - set(MAY_CHANGE)):
            if logged.get(name) != settings[name]:
                differs = f"is from another training ({name} differs)"
                raise InputError(f"--log: {self.path} {differs}; choose another name")

    def write(self, epoch):
        """Add the line of an epoch."""
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(to_json(epoch.record()) + "\n")
        except OSError as error:
            error.filename = str(self.path)
            raise
