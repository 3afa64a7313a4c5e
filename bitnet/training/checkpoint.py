"""Checkpoints: everything a training needs to resume as if it had not been interrupted."""

import dataclasses
import json

from bitnet.archive import MAX_BYTES, read_archive, to_json, write_archive
from bitnet.devices import check_generator, to_cpu
from bitnet.errors import InputError
from bitnet.nn.module import check_state

KIND, VERSION = "training checkpoint", 1
UNFIT_STATE = (TypeError, ValueError, KeyError, IndexError, OverflowError)  # of a generator
PARTS = ("model", "optimizer", "extra")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a file of `save_checkpoint` holds: states, settings, notes, and arrays by name."""

    epoch: int
    rng: object
    schedule: object
    settings: dict
    notes: dict
    model: dict
    optimizer: dict
    extra: dict


def save_checkpoint(
    path, epoch, model, optimizer, schedule, rng, settings=None, notes=None, extra=None
):
    """Write the state of a training, whole or not at all.

    The file is written beside `path` and renamed: a process killed at any moment leaves
    the last complete checkpoint.

    Parameters
    ----------
    path : str or path
        The file.
    epoch : int
        Epochs done.
    model : Module
        Its latent weights and running statistics.
    optimizer : Optimizer
        Its moments, steps and settings.
    schedule : Schedule
        Its settings and its state.
    rng : numpy.random.Generator
        The state of the one generator that the training draws from.
    settings : dict, optional
        What else a resumed training must share (JSON), as the data set's name.
    notes : dict, optional
        What else to put down (JSON), for `read_checkpoint`.
    extra : dict of str to numpy.ndarray, optional
        More arrays, for `read_checkpoint`.

    Raises
    ------
    OSError
        If the file cannot be written; the old one stays.

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
    header = {
        "epoch": int(epoch),
        "rng": rng.bit_generator.state,
        "schedule": schedule.state(),
        "settings": _settings(optimizer, schedule, settings),
        "notes": notes or {},
    }
    arrays = {f"model/{name}": array for name, array in model.state_dict().items()}
    arrays |= {f"optimizer/{name}": array for name, array in optimizer.state_dict().items()}
    arrays |= {f"extra/{name}": array for name, array in to_cpu(extra or {}).items()}
    write_archive(path, KIND, VERSION, header, arrays)


def load_checkpoint(path, model, optimizer, schedule, rng, settings=None):
    """Put the state of a checkpoint into a model, an optimizer and a generator.

    Nothing is changed unless everything fits.

    Parameters
    ----------
    path : str or path
        What `save_checkpoint` wrote.
    model : Module
        Of the same structure.
    optimizer : Optimizer
        Of the same kind and settings.
    schedule : Schedule
        With the same settings; takes its state.
    rng : numpy.random.Generator
        Of the same kind.
    settings : dict, optional
        The same as when the checkpoint was written.

    Returns
    -------
    int
        Epochs done.

    Raises
    ------
    InputError
        If the file is no checkpoint, is damaged, or is of another training.
    OSError
        If it cannot be read.

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
                f"{path}: the checkpoint is of a training with {name} = {came!r}; "
                f"this one has {expected.get(name)!r}; use the same settings, or another file"
            )
    check_state(f"{path}: model", model.state_dict(), file.model)
    check_state(f"{path}: optimizer", optimizer.state_dict(), file.optimizer)
    before = rng.bit_generator.state
    try:
        rng.bit_generator.state = file.rng
    except UNFIT_STATE as error:
        raise InputError(f"{path}: the random state does not fit ({error})") from None
    try:
        schedule.load_state(file.schedule)
    except InputError as error:
        rng.bit_generator.state = before
        raise InputError(f"{path}: {error}") from None
    model.load_state_dict(file.model)
    optimizer.load_state_dict(file.optimizer)
    return file.epoch


def read_checkpoint(path, max_bytes=MAX_BYTES):
    """Read what `save_checkpoint` wrote, before there is a model that it could fit.

    Parameters
    ----------
    path : str or path
        The file.
    max_bytes : int, optional
        The largest file to read, 4 GiB.

    Returns
    -------
    Checkpoint
        With epoch, rng, schedule, settings, notes, and the arrays model, optimizer and extra by
        name, which are no larger than the file; nothing else about them is checked.

    Raises
    ------
    InputError
        If the file is no checkpoint or is damaged.
    OSError
        If it cannot be read.

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
        raise InputError(f"{path}: the checkpoint's notes are {notes!r:.60}; expected names")
    parts = {part: {} for part in PARTS}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        if part not in parts:
            raise InputError(f"{path}: the checkpoint holds an unknown array {name!r:.60}")
        parts[part][rest] = array
    return Checkpoint(epoch, header.get("rng"), header.get("schedule"), settings, notes, **parts)


def _settings(optimizer, schedule, settings):
    """All that a resumed training must share, by name."""
    shared = {**optimizer.settings(), **schedule.settings(), **(settings or {})}
    return json.loads(to_json(shared))  # as it comes back from a file: lists for tuples
