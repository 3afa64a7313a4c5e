"""Load a trained net from its checkpoint, ready for use, to be frozen, or as a teacher.

The arrays in the file must have the sizes that the settings imply before a model is allocated.
"""

import dataclasses
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np

from bitnet.archive import MAX_BYTES, header_of, kind_of
from bitnet.arrays import plain
from bitnet.data import Preparation, Vocabulary
from bitnet.data.datasets import with_channels
from bitnet.data.targets import predictions
from bitnet.deploy import FrozenNet
from bitnet.deploy.file import LANGUAGE_MODEL
from bitnet.deploy.freeze import freeze
from bitnet.errors import InputError
from bitnet.nn import Module, functional
from bitnet.nn.models import LanguageModel, net_named
from bitnet.training.building import model_of
from bitnet.training.checkpoint import KIND, read_checkpoint
from bitnet.training.files import load
from bitnet.training.metrics import scores
from bitnet.training.settings import check_settings, task_of
from bitnet.training.sources import inputs_of

OF_TEXTS = "the file holds a language model; expected a net for images"


def crc32_of(arrays):
    """Return the CRC-32 of arrays, one after the other."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array), crc)
    return crc


def of_begun(extra, begun=True):
    """Return the arrays of the interrupted epoch, or the other ones."""
    return {name: a for name, a in extra.items() if name.startswith("begun.") == begun}


@dataclasses.dataclass
class Trained:
    """A trained model in evaluation mode, with the settings of its training.

    A net for images has `classes`, a `picture` and perhaps a `preparation`.  It takes images as
    they are in files, `batch` at a time.  A language model has a `vocabulary`.
    """

    model: Module
    settings: dict
    epoch: int = 0
    preparation: Preparation | None = None
    vocabulary: Vocabulary | None = None
    batch: int | None = None

    def __repr__(self) -> str:
        return f"Trained({self.settings['net']!r}, {self.settings['data']!r}, epoch={self.epoch})"

    def to(self, device: str) -> "Trained":
        """Move the model to "cpu" or "gpu", see `Module.to`; images and scores stay in NumPy."""
        self.model.to(device)
        return self

    @property
    def task(self) -> str:
        """The kind of data, "images" or "texts"."""
        return task_of(self.settings)

    @property
    def unit(self) -> str:
        """The unit of the tokens, "words" or "characters"."""
        return self.vocabulary.unit  # type: ignore[union-attr]  # None for images

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(self.settings["classes"])

    @property
    def target(self) -> str:
        """What is predicted: "classification", "regression" or "multilabel"."""
        return self.settings["target"]

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of the inputs of a table, otherwise None."""
        return tuple(self.settings["columns"]) or None

    @property
    def picture(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the images."""
        rows, columns, channels = self.settings["picture"]
        return rows, columns, channels

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 images (count, H, W[, C]) as prepared uint8 images (count, H, W, C)."""
        images = plain(images, "images")
        kinds = {"pixels": (np.uint8, "u"), "numbers": (np.float32, "fiub")}
        dtype, accepted = kinds[self.settings["input"]]
        images = with_channels(images)
        if (
            images.dtype.kind not in accepted
            or images.shape[1:] != self.picture
            or (accepted == "u" and images.dtype != dtype)
        ):
            raise InputError(
                f"images are {images.dtype} of shape {images.shape}; expected "
                f"{np.dtype(dtype)} of shape (count, {', '.join(map(str, self.picture))})"
            )
        images = images.astype(dtype, copy=False)
        return images if self.preparation is None else self.preparation(images)

    def scores(self, images: np.ndarray, prepared: bool = False) -> np.ndarray:
        """Return the scores, float32 (count, C), of uint8 images (count, H, W[, C]) as in files.

        With `prepared`, the images are those that `prepare` returned.
        """
        images = images if prepared else self.prepare(images)
        return scores(self.model, images, inputs_of(self.model), self.batch)

    def predict(self, images: np.ndarray, prepared: bool = False) -> np.ndarray:
        """Return the classes, int64 (count,), of the same images as `scores`.

        For other targets the numbers or labels, see `FrozenNet.predict`.
        """
        return predictions(self.scores(images, prepared), self.target)

    def freeze(self) -> FrozenNet:
        """Return the frozen net, with its classes and preparation, or its vocabulary."""
        if isinstance(self.model, LanguageModel):
            return freeze(self.model, vocabulary=self.vocabulary)
        net = freeze(self.model)
        net.classes, net.data = self.classes, self.settings["data"]
        net.picture, net.preparation = self.picture, self.preparation
        net.target, net.columns = self.target, self.columns
        return net


def norms_without_batches(model):
    """Return the names of the norms whose statistics are those they were made with."""
    named = ((name, getattr(own, "batches", None)) for name, own in model.named_modules())
    return [name for name, batches in named if batches is not None and not int(batches)]


def load_trained(path, max_bytes=MAX_BYTES):
    """Load the Trained in a checkpoint; arrays that do not fit its settings are refused."""
    return read_trained(path, max_bytes)[0]


def read_trained(path, max_bytes=MAX_BYTES):
    """Load the Trained in a checkpoint; return it and the Checkpoint."""
    file = read_checkpoint(path, max_bytes)
    settings = file.settings.get("experiment")
    if not isinstance(settings, dict):
        raise InputError(f"{path}: from another program; expected a file of `bitnet train`")
    try:
        check_settings(settings)
        is_text = task_of(settings) == "texts"
        vocabulary = _vocabulary(settings, file) if is_text else None
        _check_size(settings, file)
        model = model_of(settings, np.random.default_rng(0))
        model.load_state_dict(file.model)
        preparation = None if is_text else _preparation(settings, file)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Trained(model.eval(), settings, file.epoch, preparation, vocabulary), file


def _check_size(settings, file):
    """Refuse a file whose number of weights is not that of the net."""
    net = net_named(settings["net"])
    if net.task == "texts":
        expected = net.weights(settings["tokens"], settings["width"])
        there = sum(array.size for array in file.model.values())
        fits = expected <= there <= 2 * expected + 10**6  # biases, and copies of the table
    else:
        expected = net.weights(settings["picture"], len(settings["classes"]))
        there = sum(a.size for name, a in file.model.items() if name.endswith(".weight"))
        fits = there == expected
    if not fits:
        raise InputError(f"the file has {there} weights; expected {expected} for net {net.name}")


def _vocabulary(settings, file):
    """Return the Vocabulary in a checkpoint, checked against the settings."""
    vocabulary = Vocabulary.from_header(file.notes.get("vocabulary"))
    came = f"{len(vocabulary)} {vocabulary.unit}"
    expected = f"{settings['tokens']} {settings['unit']}"
    if came != expected:
        raise InputError(f"the vocabulary has {came}; expected {expected}, as in the settings")
    return vocabulary


def _preparation(settings, file):
    """Return the Preparation in a checkpoint, checked against the settings, or None."""
    if not settings["prepare"]:
        return None
    arrays = of_begun(file.extra, False)
    preparation = Preparation.from_arrays(file.notes.get("prepare"), arrays)
    header = preparation.header
    if [header["steps"], header["image"]] != [settings["prepare"], settings["picture"]]:
        raise InputError(f"{preparation!r} does not match the images or steps in the settings")
    return preparation


def task_in(path):
    """Return the task of the net in a file, "images" or "texts"; only its header is read."""
    header = header_of(path)
    settings = header.get("settings")
    if header["kind"] != KIND or not isinstance(settings, dict):
        return "texts" if header["kind"] == LANGUAGE_MODEL else "images"
    settings = settings.get("experiment")
    return task_of(settings) if isinstance(settings, dict) else "images"


def load_net(path):
    """Load the trained or frozen net in a file; a checkpoint may be larger than `load` allows."""
    return load_trained(path) if kind_of(path) == KIND else load(path)


def open_net(path):
    """Load the Trained or FrozenNet in a file; a language model is refused."""
    if task_in(path) == "texts":
        raise InputError(f"{path}: {OF_TEXTS}")
    return load_net(path)


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained net, such as the float twin, whose scores another net learns (distillation).

    It maps prepared images to scores, float32 (B, C), and is not trained itself.
    """

    trained: Trained
    temperature: float
    weight: float

    @classmethod
    def of(cls, settings):
        """Load the teacher named in the settings of a training, and check that it fits them."""
        path, expected = settings["teacher"], settings["teacher_crc32"]
        try:
            teacher = cls(load_trained(path), settings["temperature"], settings["teacher_weight"])
        except OSError as error:
            raise InputError(f"teacher {path}: {error.strerror}; give its path") from None
        except InputError as error:
            raise InputError(f"teacher {error}") from None
        own = teacher.trained.settings
        if teacher.trained.task != "images":
            raise InputError(f"teacher {path}: {OF_TEXTS}")
        same = ["picture", "classes", "prepare", *(["crc32"] if settings["prepare"] else [])]
        if differ := [name for name in same if own[name] != settings[name]]:
            raise InputError(
                f"teacher {path}: its {differ[0]} is {own[differ[0]]!r:.60}; expected "
                f"{settings[differ[0]]!r:.60}, as in this training; use the same images"
            )
        if expected is not None and teacher.crc32 != expected:
            raise InputError(
                f"teacher {path}: its weights have changed since the training began; give the "
                "original file"
            )
        return teacher

    def __call__(self, images):
        """Return the scores of prepared images."""
        return self.trained.scores(images, prepared=True)

    def loss(self, hard: Callable) -> Callable:
        """Return the loss of scores, labels and teacher's scores; `hard` is that of the labels."""
        soft = {"temperature": self.temperature, "weight": self.weight}
        return partial(functional.distillation, hard=hard, **soft)

    @property
    def crc32(self):
        """The CRC-32 of the weights and statistics."""
        return crc32_of(self.trained.model.state_dict().values())
