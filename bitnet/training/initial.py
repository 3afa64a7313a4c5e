"""Initial weights from another training: fine-tuning, and float first, then bits."""

import dataclasses
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bitnet.archive import kind_of
from bitnet.arrays import plain, to_cpu
from bitnet.data.vocabulary import Vocabulary
from bitnet.errors import InputError
from bitnet.nn.module import Module
from bitnet.training.checkpoint import KIND, read_checkpoint

STATISTICS = {"running_mean", "running_inv_std", "batches"}  # of batch norms
NAMED = 3  # parameters in `str(Initial)`


@dataclasses.dataclass(frozen=True)
class Initial:
    """Which parameters of a model came from a checkpoint, and which kept their random values.

    `loaded` has the names of the parameters; `kept` has a reason by name, and
    `settings` those of the training in the file, where they are known.
    """

    loaded: tuple[str, ...]
    kept: dict[str, str]
    settings: dict = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Initial({len(self.loaded)} parameters loaded, {len(self.kept)} kept)"

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.kept)
        words = f"{len(self.loaded)} of {total} parameters"
        reasons = [f"{name} ({reason})" for name, reason in self.kept.items()]
        more = len(reasons) - NAMED
        named = reasons[:NAMED] + ([f"{more} more"] if more > 0 else [])
        return words + (f"; not loaded: {', '.join(named)}" if named else "")


def initialize(
    model: Module, path: str | Path | BinaryIO, from_float: bool | None = None
) -> Initial:
    """Copy the parameters of a checkpoint that fit into a model.

    The checkpoint may be that of the same net, of its float twin, or of a net with another number
    of classes or another first layer.  Layers with the same names correspond.  If the names
    differ, as those of a net and its float twin do, the i-th layer with weights corresponds to the
    i-th one, and so do norms.  Parameters of equal shape are copied.  Latent weights are clipped to
    their range; the weights of a float net are first scaled to the deviation of the random ones
    that they replace.  Running statistics start over.

    Parameters
    ----------
    model : Module
        The model to change.
    path : str, path or binary stream
        A file of `bitnet train` or `save_checkpoint`.
    from_float : bool, optional
        Whether the weights in the file are those of a float net; default: what the settings of
        `bitnet train` in the file say, or False.

    Returns
    -------
    Initial
        What was copied.

    Raises
    ------
    InputError
        If the file is not a checkpoint, or no weight fits; the model is then unchanged.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import io
    >>> from bitnet.nn import models
    >>> from bitnet.optim import Adam, schedules
    >>> from bitnet.training import save_checkpoint
    >>> rng, file = np.random.default_rng(0), io.BytesIO()
    >>> twin = models.float_mlp([784, 32, 10], rng=rng)
    >>> save_checkpoint(file, 1, twin, Adam(twin.parameters()), schedules.Constant(1e-3), rng)
    >>> _ = file.seek(0)
    >>> model = models.binary_mlp([784, 32, 5], rng=rng)
    >>> initialize(model, file, from_float=True).kept["layers.3.weight"]
    '(10, 32) there, (5, 32) here'
    """
    start = _start(_read(path))
    is_float = start.is_float if from_float is None else from_float
    return copy_parameters(model, dataclasses.replace(start, is_float=is_float), path)


@dataclasses.dataclass(frozen=True)
class Start:
    """The arrays of a model in a checkpoint, and the vocabulary of a language model."""

    arrays: dict
    settings: dict
    is_float: bool = False
    vocabulary: Vocabulary | None = None


def read_initial(settings):
    """Return the `Start` of a new training with the setting `init`, or None."""
    path = settings["init"]
    if path is None or settings["init_crc32"] is not None:  # a resumed training has its weights
        return None
    try:
        file = _read(path)
        if "steps" not in settings:
            return _start(file)
        vocabulary = Vocabulary.from_header(file.notes.get("vocabulary"))
        if vocabulary.unit != settings["unit"]:
            came = f"the net predicts {vocabulary.unit}, but unit is {settings['unit']}"
            raise InputError(f"{came}; expected the same unit")
        if settings["vocabulary"] is not None:
            raise InputError("its vocabulary is used; remove vocabulary")
    except OSError as error:
        raise InputError(f"init {path}: {error.strerror}; give its path") from None
    except InputError as error:
        raise InputError(f"init {path}: {str(error).removeprefix(f'{path}: ')}") from None
    return _start(file, vocabulary)


def _start(file, vocabulary=None):
    """Return the Start in a Checkpoint."""
    own = file.settings.get("experiment")
    own = own if isinstance(own, dict) else {}
    return Start(file.model, own, own.get("float") is True, vocabulary)


def _read(path):
    """Return the Checkpoint in a file; refuse a frozen net."""
    if kind_of(path) != KIND:
        raise InputError(
            f"{path}: a frozen net has no latent weights; expected a checkpoint of `bitnet train`"
        )
    return read_checkpoint(path)


def copy_parameters(model, start, path):
    """Copy the arrays of a Start that fit into a model; return the `Initial`."""
    own = dict(model.named_parameters())
    there, here = _layers(start.arrays), _layers(own)
    partner = _pairs(there, here)
    fits, kept = {}, {}
    for name, parameter in own.items():
        layer, _, leaf = name.rpartition(".")
        found = there.get(partner.get(layer), {}).get(leaf)
        if found is None:
            kept[name] = "not in the file"
        elif found.shape != parameter.shape:
            kept[name] = f"{found.shape} there, {parameter.shape} here"
        else:
            fits[name] = plain(found, f"{path}: {name}")
    if not any(array.ndim > 1 for array in fits.values()):
        reason = next((why for name, why in kept.items() if own[name].ndim > 1), "no weights")
        raise InputError(
            f"{path}: no weights fit the net ({reason}); expected the checkpoint of a net with "
            "equal layers"
        )
    for name, array in fits.items():
        _assign(own[name], array, start.is_float)
    return Initial(tuple(fits), kept, start.settings)


def _assign(parameter, array, is_float):
    """Set a Parameter; weights of a float net are scaled first if it is clipped."""
    if parameter.clip is not None:
        deviation = array.std()
        if is_float and deviation > 0:
            array = array * (to_cpu(parameter.data).std() / deviation)
        array = np.clip(array, -parameter.clip, parameter.clip)
    parameter.assign(array)


def _layers(named):
    """Return dicts of arrays or Parameters, by leaf, by the dotted name of their layer."""
    layers: dict[str, dict] = {}
    for name, array in named.items():
        layer, _, leaf = name.rpartition(".")
        layers.setdefault(layer, {})[leaf] = array
    return layers


def _pairs(there, here):
    """Return for each layer of a model the corresponding layer of a checkpoint."""
    if all(_kind(there.get(name, {})) == _kind(leaves) for name, leaves in here.items()):
        return {name: name for name in here}
    pairs = {}
    for kind in {_kind(leaves) for leaves in here.values()}:
        own, others = (
            [name for name, leaves in layers.items() if _kind(leaves) == kind]
            for layers in (here, there)
        )
        pairs |= dict(zip(own, others, strict=False))
    return pairs


def _kind(leaves):
    """Return what tells kinds of layers apart: the names of their parameters but biases."""
    return frozenset(leaves.keys() - STATISTICS - {"bias"})
