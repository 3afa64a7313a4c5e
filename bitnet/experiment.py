"""Experiments: the images of a training, and trained nets from their files.

A training's checkpoint keeps its settings and the preparation of its images, so that the file
alone is enough to go on, to evaluate and to freeze.  Before a model is allocated the arrays in
the file must be as large as the settings say.
"""

import dataclasses

import numpy as np

from bitnet.archive import kind_of
from bitnet.checkpoint import KIND, read_checkpoint
from bitnet.data import load_dataset
from bitnet.deploy import file as frozen_file
from bitnet.errors import InputError
from bitnet.fit import Split
from bitnet.module import Module
from bitnet.nets import net_named
from bitnet.settings import check_settings, inputs_of, model_of
from bitnet.train import scores

__all__ = ["Trained", "load_trained", "open_net", "raw_scores", "read_data"]


def read_data(name, folder=None, limit=0, validation=0):
    """The images of a training.

    Parameters
    ----------
    name : str
        One of `bitnet.data.DATASETS`.
    folder : str, optional
        Where the files are, if not at the usual place.
    limit : int, optional
        Only so many images of the training set, and of the test set, the first ones; 0 is all.
    validation : int, optional
        Hold back so many training images, the last ones.

    Returns
    -------
    Split

    Raises
    ------
    InputError
        If the data set is not there, or the training set has not more images than are held back.

    Examples
    --------
    >>> read_data("embedded").test[1].shape
    (2000,)
    """
    data = load_dataset(name, folder=folder) if folder else load_dataset(name)
    data = data.first(limit, limit) if limit else data
    train = with_channels(data.train_images), data.train_labels
    test = with_channels(data.test_images), data.test_labels
    held, count = None, len(train[0])
    if validation >= count:
        raise InputError(f"validation is {validation}; expected fewer than the {count} images")
    if validation:
        train, held = zip(*((a[:-validation], a[-validation:]) for a in train), strict=True)
    return Split(train, test, held, tuple(data.classes))


def with_channels(images):
    """Images (count, H, W) as (count, H, W, 1); others as they are."""
    return images[..., None] if images.ndim == 3 else images


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
    preparation: object = None

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
        return scores(self.model, self.prepare(images), inputs_of(self.settings))

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
    return trained_of(path, read_checkpoint(path))


def trained_of(path, file):
    """The Trained of a Checkpoint that was read from `path`."""
    settings = file.settings.get("experiment")
    if not isinstance(settings, dict):
        raise InputError(f"{path}: a checkpoint of another program than `bitnet train`")
    try:
        check_settings(settings)
        net, n_classes = net_named(settings["net"]), len(settings["classes"])
        expected = net.weights(settings["picture"], n_classes)
        there = sum(a.size for name, a in file.model.items() if name.endswith(".weight"))
        if there != expected:
            raise InputError(f"{there} weights; the net {net.name} has {expected}")
        model = model_of(settings, np.random.default_rng(0))
        model.load_state_dict(file.model)
        preparation = _preparation(file)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Trained(model.eval(), settings, file.epoch, preparation)


def _preparation(file):
    """The preparation that a Checkpoint holds, or None."""
    if file.notes.get("prepare") is None:
        return None
    from bitnet.preparation import Preparation

    return Preparation.from_arrays(file.notes["prepare"], file.extra)


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
    return load_trained(path) if kind_of(path) == KIND else frozen_file.load(path)


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
    >>> net = bitnet.freeze(bitnet.models.binary_mlp([4, 3], np.random.default_rng(0)))
    >>> raw_scores(net, np.zeros((5, 2, 2), np.uint8)).shape
    (5, 3)
    """
    return net.scores(images) if isinstance(net, Trained) else net.scores(net.prepare(images))
