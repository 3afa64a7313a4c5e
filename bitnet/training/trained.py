"""A trained net from its file, with all that is needed to use it; and as a teacher.

Before a model is allocated the arrays in the file must be as large as the settings say.
"""

import dataclasses
import zlib
from functools import partial

import numpy as np

from bitnet.archive import MAX_BYTES, header_of, kind_of
from bitnet.data import Preparation, Vocabulary
from bitnet.deploy.file import LANGUAGE_MODEL
from bitnet.errors import InputError
from bitnet.nn import Module, functional
from bitnet.nn.models import net_named
from bitnet.training.checkpoint import KIND, read_checkpoint
from bitnet.training.files import load
from bitnet.training.metrics import scores
from bitnet.training.settings import check_settings, model_of, task_of
from bitnet.training.sources import inputs_of

OF_TEXTS = "the file holds a language model; expected a net of images"


def of_begun(extra, begun=True):
    """The arrays of an epoch that is begun, or the others."""
    return {name: a for name, a in extra.items() if name.startswith("begun.") == begun}


@dataclasses.dataclass
class Trained:
    """A trained model in evaluation mode, with all that is needed to use it.

    A net of images has `classes`, a `picture` and mostly no `preparation`, and takes images as
    they are in files, `batch` at once; a language model has a `vocabulary`.  The settings are
    those of the training.
    """

    model: Module
    settings: dict
    epoch: int = 0
    preparation: Preparation | None = None
    vocabulary: Vocabulary | None = None
    batch: int | None = None

    def to(self, device):
        """Move the model, see `Module.to`; images and scores stay with the processor."""
        self.model.to(device)
        return self

    @property
    def task(self):
        """What it learned: "images" or "texts"."""
        return task_of(self.settings)

    @property
    def unit(self):
        """What a token is: "words" or "characters"."""
        return self.vocabulary.unit

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
        images = np.asarray(images)
        images = images[..., None] if images.ndim == 3 else images
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


def load_trained(path, max_bytes=MAX_BYTES):
    """The Trained of a training's checkpoint; refuses arrays that its settings do not describe."""
    return read_trained(path, max_bytes)[0]


def read_trained(path, max_bytes=MAX_BYTES):
    """The Trained of a file, and its Checkpoint."""
    file = read_checkpoint(path, max_bytes)
    settings = file.settings.get("experiment")
    if not isinstance(settings, dict):
        raise InputError(f"{path}: a checkpoint of another program than `bitnet train`")
    try:
        check_settings(settings)
        is_text = task_of(settings) == "texts"
        kept = _vocabulary(settings, file) if is_text else None
        _check_size(settings, file)
        model = model_of(settings, np.random.default_rng(0))
        model.load_state_dict(file.model)
        kept = {"vocabulary": kept} if is_text else {"preparation": _preparation(settings, file)}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Trained(model.eval(), settings, file.epoch, **kept), file


def _check_size(settings, file):
    """Refuse a file whose weights are not as many as those of the net."""
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
        raise InputError(f"{there} weights in the file; the net {net.name} has {expected}")


def _vocabulary(settings, file):
    """The Vocabulary of a file, once it fits the settings."""
    vocabulary = Vocabulary.from_header(file.notes.get("vocabulary"))
    came = f"{len(vocabulary)} {vocabulary.unit}"
    expected = f"{settings['tokens']} {settings['unit']}"
    if came != expected:
        raise InputError(f"the vocabulary has {came}; the settings say {expected}")
    return vocabulary


def _preparation(settings, file):
    """The Preparation of a file, once it fits the settings, or None."""
    if not settings["prepare"]:
        return None
    arrays = of_begun(file.extra, False)
    preparation = Preparation.from_arrays(file.notes.get("prepare"), arrays)
    header = preparation.header
    if [header["steps"], header["image"]] != [settings["prepare"], settings["picture"]]:
        raise InputError(f"{preparation!r} is of other images or steps than the settings")
    return preparation


def task_in(path):
    """What the net of a file does, "images" or "texts"; the file is not read whole."""
    header = header_of(path)
    settings = header.get("settings")
    if header["kind"] != KIND or not isinstance(settings, dict):
        return "texts" if header["kind"] == LANGUAGE_MODEL else "images"
    settings = settings.get("experiment")
    return task_of(settings) if isinstance(settings, dict) else "images"


def load_net(path):
    """The Trained or the frozen net of a file; a checkpoint may be larger than `load` allows."""
    return load_trained(path) if kind_of(path) == KIND else load(path)


def open_net(path):
    """The Trained or FrozenNet of a file; refuses one of a language model."""
    if task_in(path) == "texts":
        raise InputError(f"{path}: {OF_TEXTS}")
    return load_net(path)


def raw_scores(net, images):
    """The outputs of a Trained or FrozenNet for uint8 images (count, H, W[, C]) as in files."""
    return prepared_scores(net, net.prepare(images))


def prepared_scores(net, images):
    """The outputs of a trained or frozen net for what its `prepare` returned."""
    return net.scores_of_prepared(images) if isinstance(net, Trained) else net.scores(images)


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained net, mostly the float twin, whose scores another net learns (distillation).

    Called with prepared images it gives its scores, float32 (B, C); it learns nothing itself.
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
        if teacher.trained.task != "images":
            raise InputError(f"teacher {path}: {OF_TEXTS}")
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
