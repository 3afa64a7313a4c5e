"""Checkpoints: everything that a training needs to resume with the same results."""

import dataclasses
import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bitnet.archive import MAX_BYTES, read_archive, to_json, write_archive
from bitnet.devices import check_generator, to_cpu
from bitnet.errors import InputError, check_count
from bitnet.nn.module import Module, check_state
from bitnet.optim.optimizers import Optimizer
from bitnet.optim.schedules import Schedule

KIND, VERSION = "training checkpoint", 1
# raised when the state of a random generator is set to something else
UNFIT_STATE = (TypeError, ValueError, KeyError, IndexError, OverflowError)
PARTS = ("model", "optimizer", "extra")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint: states, settings, notes, and arrays by name."""

    epoch: int
    rng: Any
    schedule: Any
    settings: dict
    notes: dict
    model: dict
    optimizer: dict
    extra: dict

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, part))} {part} arrays" for part in PARTS)
        return f"Checkpoint(epoch={self.epoch}, {counts})"


def save_checkpoint(
    path: str | Path | BinaryIO,
    epoch: int,
    model: Module,
    optimizer: Optimizer,
    schedule: Schedule,
    rng: np.random.Generator,
    settings: dict | None = None,
    notes: dict | None = None,
    extra: dict | None = None,
) -> None:
    """Write the state of a training to a file, completely or not at all.

    The data are written to a temporary file next to `path`, which is then renamed.  If the process
    is killed, the last complete checkpoint remains.

    Parameters
    ----------
    path : str, path or binary stream
        The file to write, or a stream such as an `io.BytesIO`.
    epoch : int
        Number of completed epochs.
    model : Module
        Its latent weights and running statistics are saved.
    optimizer : Optimizer
        Its moments, step count and settings are saved.
    schedule : Schedule
        Its settings and state are saved.
    rng : numpy.random.Generator
        The generator of the training; its state is saved.
    settings : dict, optional
        Further settings that a resumed training must share, such as the name of the data set;
        JSON values.
    notes : dict, optional
        Further information for `read_checkpoint`; JSON values.
    extra : dict of str to numpy.ndarray, optional
        Further arrays for `read_checkpoint`.

    Raises
    ------
    InputError
        If a weight is not finite, as after a divergence, or something else that `load_checkpoint`
        would refuse; an existing file stays as it is.
    OSError
        If the file cannot be written; an existing file stays as it is.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from bitnet.nn import Linear
    >>> from bitnet.optim import Adam, schedules
    >>> rng = np.random.default_rng(0)
    >>> model = Linear(3, 2, rng=rng)
    >>> training = model, Adam(model.parameters()), schedules.Constant(1e-3), rng
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/a.npz", 5, *training)
    ...     load_checkpoint(f"{folder}/a.npz", *training)
    5
    """
    check_generator("save_checkpoint", rng)
    check_count("save_checkpoint", least=0, epoch=epoch)
    for name, value in (("settings", settings), ("notes", notes), ("extra", extra)):
        if value is not None and not isinstance(value, dict):
            raise InputError(f"save_checkpoint: {name} is {value!r:.60}; expected a dict")
    header = {
        "epoch": int(epoch),
        "rng": rng.bit_generator.state,
        "schedule": schedule.state(),
        "settings": _settings(optimizer, schedule, settings),
        "notes": notes or {},
    }
    for name, part in (("model", model), ("optimizer", optimizer)):
        state = part.state_dict()
        check_state(f"save_checkpoint: {name}", state, state)
    arrays = {f"model/{name}": array for name, array in model.state_dict().items()}
    arrays |= {f"optimizer/{name}": array for name, array in optimizer.state_dict().items()}
    arrays |= {f"extra/{name}": array for name, array in to_cpu(extra or {}).items()}
    write_archive(path, KIND, VERSION, header, arrays)


def load_checkpoint(
    path: str | Path | BinaryIO,
    model: Module,
    optimizer: Optimizer,
    schedule: Schedule,
    rng: np.random.Generator,
    settings: dict | None = None,
) -> int:
    """Load the state of a checkpoint into a model, an optimizer, a schedule and a generator.

    If anything does not fit, nothing is changed.

    Parameters
    ----------
    path : str, path or binary stream
        A file written by `save_checkpoint`.
    model : Module
        A model with the same structure.
    optimizer : Optimizer
        An optimizer of the same class with the same settings.
    schedule : Schedule
        A schedule with the same settings; its state is restored.
    rng : numpy.random.Generator
        A generator with the same bit generator.
    settings : dict, optional
        The settings that were given to `save_checkpoint`.

    Returns
    -------
    int
        Number of completed epochs.

    Raises
    ------
    InputError
        If the file is not a checkpoint, is damaged, or belongs to another training.
    OSError
        If the file cannot be read.

    Examples
    --------
    See `save_checkpoint`.

    >>> try:
    ...     load_checkpoint(__file__, None, None, None, None)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    not a bitnet file, or its end is cut off; expected a training checkpoint
    """
    file = read_checkpoint(path)
    expected = _settings(optimizer, schedule, settings)
    names = sorted(expected.keys() | file.settings.keys())
    for name in sorted(names, key=lambda name: name not in ("optimizer", "schedule")):
        came = file.settings.get(name)
        if to_json(expected.get(name)) != to_json(came):
            raise InputError(
                f"{path}: the training in the checkpoint has {name:.60} = {came!r:.60}; "
                f"this one has {expected.get(name)!r:.60}; use the same settings, or another file"
            )
    check_state(f"{path}: model", model.state_dict(), file.model)
    check_state(f"{path}: optimizer", optimizer.state_dict(), file.optimizer)
    before = rng.bit_generator.state
    try:
        rng.bit_generator.state = file.rng
    except UNFIT_STATE as error:
        raise InputError(f"{path}: the state of the generator does not fit ({error})") from None
    try:
        schedule.load_state(file.schedule)
    except InputError as error:
        rng.bit_generator.state = before
        raise InputError(f"{path}: {error}") from None
    model.load_state_dict(file.model)
    optimizer.load_state_dict(file.optimizer)
    return file.epoch


def read_checkpoint(path: str | Path | BinaryIO, max_bytes: int = MAX_BYTES) -> Checkpoint:
    """Read the contents of a checkpoint without a model to load them into.

    Parameters
    ----------
    path : str, path or binary stream
        A file written by `save_checkpoint`.
    max_bytes : int, optional
        Size of the largest file to read; default: 4 GiB.

    Returns
    -------
    Checkpoint
        Its attributes are `epoch`, `rng`, `schedule`, `settings`, `notes`, and `model`,
        `optimizer` and `extra`, each a dict of arrays.  The arrays together are at most as large
        as the file; their names and shapes are not checked.

    Raises
    ------
    InputError
        If the file is not a checkpoint or is damaged.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> try:
    ...     read_checkpoint(__file__)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    not a bitnet file, or its end is cut off; expected a training checkpoint
    """
    header, arrays = read_archive(path, KIND, VERSION, max_bytes)
    epoch, settings, notes = header.get("epoch"), header.get("settings"), header.get("notes", {})
    if type(epoch) is not int or epoch < 0 or not isinstance(settings, dict):
        raise InputError(f"{path}: the checkpoint has no number of epochs or no settings")
    if not isinstance(notes, dict):
        raise InputError(f"{path}: the checkpoint's notes are {notes!r:.60}; expected a dict")
    parts: dict[str, dict] = {part: {} for part in PARTS}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        if part not in parts:
            raise InputError(f"{path}: the checkpoint has an unknown array {name!r:.60}")
        parts[part][rest] = array
    return Checkpoint(epoch, header.get("rng"), header.get("schedule"), settings, notes, **parts)


def _settings(optimizer, schedule, settings):
    """Return the settings that a resumed training must share."""
    shared = {**optimizer.settings(), **schedule.settings(), **(settings or {})}
    return json.loads(to_json(shared))  # as read from a file: lists, not tuples
