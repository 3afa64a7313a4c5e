"""Reading a data set by its name: the embedded digits, the published sets, a folder of images."""

import dataclasses
import pathlib

import numpy as np

from bitnet.data.catalogue import PUBLISHED, find_files, folder_of, published
from bitnet.data.cifar import read_cifar, read_class_names
from bitnet.data.idx import read_idx
from bitnet.data.image_folder import read_image_folder
from bitnet.data.svhn import read_svhn
from bitnet.errors import InputError, check_choice

DATASETS = ("embedded", *PUBLISHED, "folder")
EMBEDDED = pathlib.Path(__file__).parent / "digits"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images of a training and a test set with their labels.

    Attributes
    ----------
    name : str
        One of `DATASETS`.
    train_images, test_images : numpy.ndarray
        uint8, 0 black to 255 full brightness: (count, height, width) for one channel,
        (count, height, width, 3) for red, green and blue.
    train_labels, test_labels : numpy.ndarray
        Integers of shape (count,), the index of the class.
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
        """The data set with each image as a row of numbers, (count, height * width * channels)."""
        return self.with_images(lambda images: images.reshape(len(images), -1))

    def with_channels(self):
        """The data set with images of shape (count, height, width, channels), also for one."""
        return self.with_images(lambda images: images[..., None] if images.ndim == 3 else images)

    def with_images(self, change):
        """The data set with `change(images)` in place of the training and the test images."""
        train_images, test_images = change(self.train_images), change(self.test_images)
        return dataclasses.replace(self, train_images=train_images, test_images=test_images)

    def first(self, n_train, n_test):
        """The first images and labels of both sets."""
        train = self.train_images[:n_train], self.train_labels[:n_train]
        test = self.test_images[:n_test], self.test_labels[:n_test]
        return Dataset(self.name, *train, *test, self.classes)


def load_dataset(name, folder=None, size=None, channels=None):
    """Read a data set.

    "embedded" is part of the package: the first 10 000 training images of MNIST and every fifth of
    its test images.  "folder" is a folder of pictures, see `list_image_folder`.  The others are
    looked for in the folder of their name ("svhn" for "svhn-extra" too, which adds the set extra to
    the training images) below BITNET_DATA, or, where that is not set, below `bitnet` in the user's
    cache.

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    folder : str or path, optional
        Where the files are, instead.
    size, channels : int, optional
        For "folder": pixels along each side (default: 32), and 1 or 3 (default: 3).

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If the name is unknown, a file is missing (the message says how to get it and where to put
        it), a library that reads it is missing, or the files do not fit together.

    Examples
    --------
    >>> digits = load_dataset("embedded")
    >>> digits.train_labels[:10], digits.test_images.shape
    (array([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], dtype=uint8), (2000, 28, 28))
    """
    check_choice("load_dataset", DATASETS, name=name)
    if name == "folder":
        if folder is None:
            raise InputError("the data set 'folder' needs folder=, the folder with the images")
        options = {"size": size, "channels": channels}
        given = {key: value for key, value in options.items() if value is not None}
        arrays, classes = read_image_folder(folder, **given)
        return Dataset(name, *arrays, classes)
    if size is not None or channels is not None:
        raise InputError(f"the images of {name!r} have one size; size and channels are of 'folder'")
    if name == "embedded" and folder is not None:
        raise InputError("the data set 'embedded' is part of the package; leave out folder=")
    stored, place = ("mnist", EMBEDDED) if name == "embedded" else (name, folder or folder_of(name))
    known, paths = published(stored), _paths(stored, place)
    classes, arrays = _class_names(known, paths), []
    for part, files in (("train", known.train), ("test", known.test)):
        here, paths = paths[: len(files)], paths[len(files) :]
        images, labels = _read(known.kind, here)
        _check(f"{here[0].parent}: the {part} set", known.kind, images, labels, len(classes))
        arrays += [images, labels]
    return Dataset(name, *arrays, classes)


def _paths(name, folder):
    """The paths of all files of a published set."""
    found = find_files(name, folder)
    missing = [file for file, path in found.items() if path is None]
    if not missing:
        return list(found.values())
    known = published(name)
    downloads = f"{', '.join(file.name for file in known.downloads)} of {known.about}"
    what = "what it holds" if known.archive_folder else "them"
    how = f"download {downloads} and put {what} there, or set BITNET_DATA to the folder above it"
    raise InputError(f"no {missing[0]} in {folder}; run `bitnet data fetch {name}`, or {how}")


def _class_names(known, paths):
    """The names of the classes, from the set's own list where it is beside its files."""
    path = paths[0].parent / known.names_file
    return read_class_names(path, len(known.classes)) if path.is_file() else known.classes


def _read(kind, paths):
    """Images and labels of some files of one kind."""
    if kind == "idx":
        return tuple(map(read_idx, paths))
    if kind == "svhn":
        parts = [read_svhn(path) for path in paths]
    else:
        parts = [read_cifar(path, int(kind.removeprefix("cifar"))) for path in paths]
    return parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts, strict=True)))


def scale_pixels(images):
    """Return pixels from 0 to 255 as float32 from -1 to 1, for nets that compute in float.

    `2 p / 255 - 1`, the scaling of the papers' Theano code; a binary net takes the pixels
    themselves, as `2 p - 255`.

    Parameters
    ----------
    images : numpy.ndarray
        uint8, of any shape.

    Examples
    --------
    >>> scale_pixels(np.array([0, 255], np.uint8))
    array([-1.,  1.], dtype=float32)
    """
    return images.astype(np.float32) * np.float32(2 / 255) - np.float32(1)


def available():
    """Return where each data set is, or what is missing, as pairs (name, words); no file is opened.

    Examples
    --------
    >>> available()[0][0]
    'embedded'
    """
    facts = [("embedded", str(EMBEDDED))]
    for name in PUBLISHED:
        folder, found = folder_of(name), find_files(name, folder_of(name))
        missing = [file for file, path in found.items() if path is None]
        if missing:
            megabytes = sum(file.n_bytes for file in published(name).downloads) / 1e6
            what = f"no {missing[0]} in {folder}" if any(found.values()) else f"not in {folder}"
            facts.append((name, f"{what}; `bitnet data fetch {name}` ({megabytes:,.0f} MB)"))
        else:
            facts.append((name, str(next(iter(found.values())).parent)))
    return [*facts, ("folder", "pictures of yours, as FOLDER/train/CLASS/*.jpg and FOLDER/val/...")]


def _check(what, kind, images, labels, n_classes):
    if len(images) == 0 or (kind == "idx" and images.shape[1:] != (28, 28)):
        raise InputError(f"{what} has images of shape {images.shape}; expected (count, 28, 28)")
    if labels.shape != images.shape[:1]:
        raise InputError(f"{what} has {len(images)} images and labels of shape {labels.shape}")
    if labels.max() >= n_classes:
        raise InputError(f"{what} has a label {labels.max()}; expected 0 to {n_classes - 1}")
