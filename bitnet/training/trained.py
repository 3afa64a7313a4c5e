"""A trained net from its file, with all that is needed to use it on images; and as a teacher.

Before a model is allocated the arrays in the file must be as large as the settings say.
"""

import dataclasses
import zlib
from functools import partial

import numpy as np

from bitnet.archive import kind_of
from bitnet.data.preparation import Preparation
from bitnet.deploy import file as frozen_file
from bitnet.deploy.language_file import LANGUAGE_MODEL
from bitnet.errors import InputError
from bitnet.nn import Module, functional
from bitnet.nn.models.names import net_named
from bitnet.training.checkpoint import KIND, read_checkpoint
from bitnet.training.metrics import scores
from bitnet.training.settings import as_before, check_settings, inputs_of, model_of

__all__ = ["Teacher", "Trained", "load_trained", "open_net", "raw_scores"]

OF_TEXTS = "the file holds a language model; expected a net of images"


def with_channels(images):
    """Images (count, H, W) as (count, H, W, 1); others as they are."""
    return images[..., None] if images.ndim == 3 else images


def of_begun(extra, begun=True):
    """The arrays of an epoch that is begun, or the others."""
    return {name: a for name, a in extra.items() if name.startswith("begun.") == begun}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model with all that is needed to use it on images as they are in files.

    Attributes
    ----------
    model : Sequential
        In evaluation mode.
    settings : dict
        Those of the training, see `bitnet.settings`.
    epoch : int
        Epochs done.
    preparation : Preparation or None
        What happens to images before the model.
    batch : int or None
        How many images `scores` takes at once; None for a usual number.

    Examples
    --------
    >>> settings = {"net": "mlp:8", "data": "mnist", "recipe": "default", "float": False}
    >>> settings |= {"epochs": 7, "batch": 10, "lr": 0.003, "gradient": None, "rounding": None}
    >>> settings |= {"picture": [28, 28, 1], "classes": ["a", "b"]}
    >>> trained = Trained(model_of(settings, np.random.default_rng(0)), settings)
    >>> trained.scores(np.zeros((3, 28, 28), np.uint8)).shape
    (3, 2)
    """

    model: Module
    settings: dict
    epoch: int = 0
    preparation: Preparation | None = None
    batch: int | None = None

    def to(self, device):
        """Move the model, see `Module.to`; images and scores stay with the processor."""
        self.model.to(device)
        return self

    @property
    def classes(self):
        """The names of the classes."""
        return tuple(self.settings["classes"])

    @property
    def picture(self):
        """Rows, columns and channels of the images."""
        return tuple(self.settings["picture"])

    @property
    def image(self):
        """The same, if the model takes images; None if it takes rows of pixels."""
        return self.picture if net_named(self.settings["net"]).is_conv else None

    def prepare(self, images):
        """uint8 images (count, H, W[, C]) as prepared uint8 images (count, H, W, C)."""
        images = with_channels(np.asarray(images))
        if images.dtype != np.uint8 or images.shape[1:] != self.picture:
            raise InputError(
                f"images are {images.dtype} of shape {images.shape}; expected uint8 of shape "
                f"(count, {', '.join(map(str, self.picture))})"
            )
        return images if self.preparation is None else self.preparation(images)

    def scores(self, images):
        """The outputs, float32 (count, C), for uint8 images (count, H, W[, C]) as in files."""
        return self.scores_of_prepared(self.prepare(images))

    def scores_of_prepared(self, images):
        """The outputs for what `prepare` returned."""
        return scores(self.model, images, inputs_of(self.settings), self.batch)

    def predict(self, images):
        """The classes, int64 (count,), for uint8 images (count, H, W[, C]) as in files."""
        return self.scores(images).argmax(axis=1)


def load_trained(path):
    """The model of a training's checkpoint.

    Parameters
    ----------
    path : str or path
        What `bitnet train` wrote.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        If the file is no checkpoint of a training, is damaged, or its arrays are not those of
        the model that its settings describe.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> try:
    ...     load_trained(__file__)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    not a bitnet file, or its end is cut off; expected a training checkpoint
    """
    return read_trained(path)[0]


def read_trained(path):
    """The Trained of a file, and its Checkpoint."""
    file = read_checkpoint(path)
    settings = file.settings.get("experiment")
    if "language" in file.settings:
        raise InputError(f"{path}: {OF_TEXTS}")
    if not isinstance(settings, dict):
        raise InputError(f"{path}: a checkpoint of another program than `bitnet train`")
    settings = as_before(settings)
    try:
        check_settings(settings)
        net, n_classes = net_named(settings["net"]), len(settings["classes"])
        expected = net.weights(settings["picture"], n_classes)
        there = sum(a.size for name, a in file.model.items() if name.endswith(".weight"))
        if there != expected:
            raise InputError(f"{there} weights; the net {net.name} has {expected}")
        model = model_of(settings, np.random.default_rng(0))
        model.load_state_dict(file.model)
        preparation = None
        if settings["prepare"]:
            preparation = Preparation.from_arrays(
                file.notes.get("prepare"), of_begun(file.extra, False)
            )
            header = preparation.header
            if [header["steps"], header["image"]] != [settings["prepare"], settings["picture"]]:
                raise InputError(f"{preparation!r} is of other images or steps than the settings")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Trained(model.eval(), settings, file.epoch, preparation), file


def open_net(path):
    """A trained or a frozen net from its file, whichever it is.

    Parameters
    ----------
    path : str or path
        What `bitnet train` or `bitnet freeze` wrote.

    Returns
    -------
    Trained or FrozenNet

    Raises
    ------
    InputError
        If it is neither, or damaged.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> try:
    ...     open_net(__file__)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    not a file of bitnet, or its end is cut off; expected a net
    """
    kind = kind_of(path)
    if kind == LANGUAGE_MODEL:
        raise InputError(f"{path}: {OF_TEXTS}")
    return load_trained(path) if kind == KIND else frozen_file.load(path)


def raw_scores(net, images):
    """The outputs of a trained or frozen net for images as they are in files.

    Parameters
    ----------
    net : Trained or FrozenNet
        As `open_net` gives it.
    images : numpy.ndarray
        uint8 of shape (count, H, W) or (count, H, W, C).

    Returns
    -------
    numpy.ndarray
        float32 of shape (count, C).

    Raises
    ------
    InputError
        If the images do not fit.

    Examples
    --------
    >>> import bitnet
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([4, 3], np.random.default_rng(0)))
    >>> raw_scores(net, np.zeros((5, 2, 2), np.uint8)).shape
    (5, 3)
    """
    return prepared_scores(net, net.prepare(images))


def prepared_scores(net, images):
    """The outputs of a trained or frozen net for what its `prepare` returned."""
    return net.scores_of_prepared(images) if isinstance(net, Trained) else net.scores(images)


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained net, mostly the float twin, whose scores another net learns (distillation).

    Called with prepared images it gives its scores, float32 (B, C); it learns nothing itself.

    Attributes
    ----------
    trained : Trained
        The net.
    temperature, weight : float
        As for `functional.distillation`.

    Examples
    --------
    >>> settings = {"net": "mlp:8", "data": "mnist", "recipe": "default", "float": False}
    >>> settings |= {"epochs": 7, "batch": 10, "lr": 0.003, "gradient": None, "rounding": None}
    >>> settings |= {"picture": [28, 28, 1], "classes": ["a", "b"]}
    >>> trained = Trained(model_of(settings, np.random.default_rng(0)), settings)
    >>> teacher = Teacher(trained, 4.0, 0.5)
    >>> teacher(np.zeros((3, 28, 28, 1), np.uint8)).shape
    (3, 2)
    """

    trained: Trained
    temperature: float
    weight: float

    @classmethod
    def of(cls, settings):
        """The teacher that the settings of a training name, once it fits them."""
        path, expected = settings["teacher"], settings["teacher_crc32"]
        try:
            teacher = cls(load_trained(path), settings["temperature"], settings["teacher_weight"])
        except OSError as error:
            raise InputError(f"teacher {path}: {error.strerror}; name its file") from None
        own = teacher.trained.settings
        same = ["picture", "classes", "prepare", *(["crc32"] if settings["prepare"] else [])]
        if differ := [name for name in same if own[name] != settings[name]]:
            raise InputError(
                f"teacher {path}: its {differ[0]} is {own[differ[0]]!r:.60}, the training's "
                f"{settings[differ[0]]!r:.60}; expected a teacher of the same images and classes"
            )
        if expected is not None and teacher.crc32 != expected:
            raise InputError(
                f"teacher {path}: its weights are others than when the training began; give the "
                "file that it began with"
            )
        return teacher

    def __call__(self, images):
        """The scores for prepared images."""
        return self.trained.scores_of_prepared(images)

    def loss(self, hard):
        """From scores, labels and the teacher's scores to a Tensor; `hard` is of the labels."""
        soft = {"temperature": self.temperature, "weight": self.weight}
        return partial(functional.distillation, hard=hard, **soft)

    @property
    def crc32(self):
        """The CRC-32 of the weights and statistics."""
        crc = 0
        for array in self.trained.model.state_dict().values():
            crc = zlib.crc32(np.ascontiguousarray(array), crc)
        return crc
