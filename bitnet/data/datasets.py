"""Finding and reading the data sets: the embedded digits, MNIST and Fashion-MNIST."""

import dataclasses
import os
import pathlib

import numpy as np

from bitnet.data.idx import read_idx
from bitnet.errors import InputError

__all__ = ["DATASETS", "Dataset", "available", "load_dataset", "scale_pixels"]

DATASETS = ("embedded", "mnist", "fashion-mnist")

FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
CLASSES = {
    "embedded": tuple("0123456789"),
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
}
SOURCES = {
    "mnist": "the MNIST database of handwritten digits (LeCun, Cortes, Burges)",
    "fashion-mnist": "github.com/zalandoresearch/fashion-mnist, folder data/fashion",
}


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images of a training and a test set with their labels.

    Attributes
    ----------
    name : str
        One of `DATASETS`.
    train_images, test_images : numpy.ndarray
        uint8 of shape (count, height, width), 0 black to 255 white.
    train_labels, test_labels : numpy.ndarray
        uint8 of shape (count,), the index of the class.
    classes : tuple of str
        The names of the classes.

    Examples
    --------
    >>> load_dataset("embedded").train_images.shape
    (10000, 28, 28)
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple

    def flattened(self):
        """The data set with each image as a row of pixels, (count, height * width)."""
        return self.with_images(lambda images: images.reshape(len(images), -1))

    def with_images(self, change):
        """The data set with `change(images)` in place of the training and the test images."""
        train_images, test_images = change(self.train_images), change(self.test_images)
        return dataclasses.replace(self, train_images=train_images, test_images=test_images)

    def first(self, n_train, n_test):
        """The first images and labels of both sets."""
        return dataclasses.replace(
            self,
            train_images=self.train_images[:n_train],
            train_labels=self.train_labels[:n_train],
            test_images=self.test_images[:n_test],
            test_labels=self.test_labels[:n_test],
        )


def load_dataset(name):
    """Read a data set.

    "embedded" is part of the package: the first 10 000 training images of MNIST and every
    fifth of its test images.  The others are looked for in the folder `name` below the
    folder that the environment variable BITNET_DATA names, or, where it is not set, below
    the folder `bitnet` of the user's cache.

    Parameters
    ----------
    name : {"embedded", "mnist", "fashion-mnist"}
        Which one.

    Returns
    -------
    Dataset
        Images, labels and the names of the classes.

    Raises
    ------
    InputError
        If the name is unknown, a file is missing (the message says what to download and
        where to put it), or the files do not fit together.

    Examples
    --------
    >>> digits = load_dataset("embedded")
    >>> digits.train_labels[:10], digits.test_images.shape
    (array([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], dtype=uint8), (2000, 28, 28))
    """
    if name not in DATASETS:
        raise InputError(f"unknown data set {name!r}; expected one of {', '.join(DATASETS)}")
    folder = folder_of(name)
    arrays = {field: read_idx(_find(name, folder, stem)) for field, stem in FILES.items()}
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        _check(f"{folder}: the {part} set", images, labels, len(CLASSES[name]))
    return Dataset(name, **arrays, classes=CLASSES[name])


def scale_pixels(images):
    """Pixels from 0 to 255 as floats from -1 to 1, for nets that compute in float.

    `2 p / 255 - 1`, the scaling of the papers' Theano code; a binary net takes the pixels
    themselves, as `2 p - 255`.

    Parameters
    ----------
    images : numpy.ndarray
        uint8, of any shape.

    Returns
    -------
    numpy.ndarray
        float32 of the same shape.

    Examples
    --------
    >>> scale_pixels(np.array([0, 255], np.uint8))
    array([-1.,  1.], dtype=float32)
    """
    return images.astype(np.float32) * np.float32(2 / 255) - np.float32(1)


def available():
    """Where each data set is, or what is missing.

    Returns
    -------
    list of (str, str)
        The name, and the folder or the reason; files are not opened.

    Examples
    --------
    >>> available()[0][0]
    'embedded'
    """
    facts = []
    for name in DATASETS:
        folder = folder_of(name)
        try:
            for stem in FILES.values():
                _find(name, folder, stem)
            facts.append((name, str(folder)))
        except InputError as error:
            facts.append((name, str(error)))
    return facts


def folder_of(name):
    """The folder in which the files of a data set belong."""
    if name == "embedded":
        return pathlib.Path(__file__).parent / "digits"
    if os.environ.get("BITNET_DATA"):
        return pathlib.Path(os.environ["BITNET_DATA"]) / name
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(cache) / "bitnet" / name


def _find(name, folder, stem):
    """The path of a file, plain or gzip."""
    for path in (folder / f"{stem}.gz", folder / stem):
        if path.is_file():
            return path
    raise InputError(
        f"no {stem}.gz in {folder}; download the four files "
        f"{', '.join(f'{s}.gz' for s in FILES.values())} of {SOURCES.get(name, 'the package')} "
        "and put them there, or set BITNET_DATA to the folder above it"
    )


def _check(what, images, labels, n_classes):
    if images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
        raise InputError(f"{what} has images of shape {images.shape}; expected (count, 28, 28)")
    if labels.shape != images.shape[:1]:
        raise InputError(f"{what} has {len(images)} images and labels of shape {labels.shape}")
    if labels.max() >= n_classes:
        raise InputError(f"{what} has a label {labels.max()}; expected 0 to {n_classes - 1}")
