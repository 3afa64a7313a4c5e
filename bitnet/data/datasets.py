"""Data sets by name: the embedded digits, the published sets, and folders of images."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from bitnet.arrays import plain
from bitnet.data.catalogue import PUBLISHED, find_files, folder_of, published
from bitnet.data.cifar import read_cifar, read_class_names
from bitnet.data.display import grouped, image_table, size_in_words
from bitnet.data.idx import read_idx
from bitnet.data.image_folder import read_image_folder
from bitnet.data.own import read_own
from bitnet.data.svhn import read_svhn
from bitnet.data.targets import TARGETS, check_labels, check_targets
from bitnet.errors import InputError, check_choice, unfit

DATASETS = ("embedded", *PUBLISHED, "folder")
EMBEDDED = pathlib.Path(__file__).parent / "digits"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Training and test images with their labels.

    Attributes
    ----------
    name : str
        One of `DATASETS`, or the name of a file.
    train_images, test_images : numpy.ndarray
        uint8 from 0 (black) to 255: (count, height, width) for one channel,
        (count, height, width, 3) for RGB; or numbers, float32, also of shape (count, inputs).
    train_labels, test_labels : numpy.ndarray
        Class indices, integers of shape (count,); for other targets numbers (float32), or labels
        that are 0 or 1, of shape (count, outputs).
    classes : tuple of str
        The names of the classes, numbers or labels.
    target : str
        "classification", "regression" or "multilabel".
    columns : tuple of str
        The names of the inputs of a table; otherwise empty.
    notes : list of str
        What a user should know about how a file was read.

    Examples
    --------
    >>> digits = load_dataset("embedded")
    >>> digits
    Dataset('embedded', 10 000 + 2 000 images of 28x28x1, 10 classes)
    >>> digits.train_images.shape
    (10000, 28, 28)
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    target: str = TARGETS[0]
    columns: tuple[str, ...] = ()
    notes: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self):
        check_choice("Dataset", TARGETS, target=self.target)
        for part in ("train", "test"):
            images = plain(getattr(self, f"{part}_images"), f"{part}_images")
            labels = plain(getattr(self, f"{part}_labels"), f"{part}_labels")
            what = f"Dataset: the {part} set"
            check_targets(what, images, labels, self.target, len(self.classes))
            object.__setattr__(self, f"{part}_images", images)
            object.__setattr__(self, f"{part}_labels", labels)

    def __repr__(self):
        counts = f"{grouped(len(self.train_images))} + {grouped(len(self.test_images))} images"
        size, n = size_in_words(self.train_images.shape[1:]), grouped(len(self.classes))
        outputs = {"classification": "classes", "regression": "numbers"}.get(self.target, "labels")
        return f"Dataset({self.name!r}, {counts} of {size}, {n} {outputs})"

    def _repr_html_(self):
        classes = self.classes if self.target == TARGETS[0] else ()
        return image_table(repr(self), self.train_images, self.train_labels, classes)

    def flattened(self) -> "Dataset":
        """Return the data set with each image as a row of height * width * channels numbers."""
        return self.with_images(lambda images: images.reshape(len(images), -1))

    def with_channels(self) -> "Dataset":
        """Return the data set with images of shape (count, height, width, channels).

        Rows of numbers become images of one pixel with as many channels.
        """
        return self.with_images(with_channels)

    def with_images(self, change: Callable[[np.ndarray], np.ndarray]) -> "Dataset":
        """Return the data set with `change` applied to the training and the test images."""
        train_images, test_images = change(self.train_images), change(self.test_images)
        return dataclasses.replace(self, train_images=train_images, test_images=test_images)

    def first(self, n_train: int, n_test: int) -> "Dataset":
        """Return the data set with only its first training and test images."""
        return dataclasses.replace(
            self,
            train_images=self.train_images[:n_train],
            train_labels=self.train_labels[:n_train],
            test_images=self.test_images[:n_test],
            test_labels=self.test_labels[:n_test],
        )


def with_channels(images):
    """Return images of shape (count, height, width, channels)."""
    if images.ndim == 2:
        return images[:, None, None]
    return images[..., None] if images.ndim == 3 else images


def read_dataset(
    path: pathlib.Path | str,
    target: str | None = None,
    label: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Dataset:
    """Read your own data from a file: a table, arrays, or a pair of IDX files.

    Inputs that are uint8 are pixels; all others are numbers, float32.  If the file has no test
    part, and no file with `test` in place of `train` in its name is next to it, every fifth row of
    each class (of all rows for other targets) becomes one; the same rows each time.

    Parameters
    ----------
    path : str or path
        `NAME.csv` or `NAME.tsv`: columns of numbers separated by commas, semicolons or tabs, with
        or without names in the first line, and one or more columns of labels.  `NAME.npz`: the
        arrays `images` and `labels`, or `x_train`, `y_train`, `x_test` and `y_test`.  Or an IDX
        file of images, such as `emnist-letters-train-images-idx3-ubyte.gz`, next to its labels.
    target : {"classification", "regression", "multilabel"}, optional
        What the labels are: classes (whole numbers from any number on, or text), numbers to
        predict, or several labels that are 0 or 1.  Default: text and whole numbers are classes,
        other numbers a regression, several columns of 0 and 1 labels; it is asked for where there
        are too many whole numbers for classes.
    label, drop : sequence of str, optional
        For tables: the columns of the labels (default: that named label, class, target or y,
        otherwise the last one), and columns to leave out.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If the file is damaged, a cell is missing or not a number, or labels and inputs do not fit.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "sensors.csv")
    ...     _ = path.write_text("heat,light,label\\n" + "20.5,3,off\\n31,8,on\\n" * 10)
    ...     data = read_dataset(path)
    >>> data, data.columns, data.classes
    (Dataset('sensors.csv', 16 + 4 images of 2, 2 classes), ('heat', 'light'), ('off', 'on'))
    """
    return Dataset(**read_own(path, target, tuple(label), tuple(drop)))


def load_dataset(
    name: str,
    folder: pathlib.Path | str | None = None,
    size: int | None = None,
    channels: int | None = None,
) -> Dataset:
    """Load a data set by name.

    "embedded" is part of the package: the first 10 000 training images of MNIST and every fifth of
    its test images.  "folder" reads a folder of image files, see `list_image_folder`.  The other
    sets are read from the folder with their name inside BITNET_DATA, or inside `bitnet` in the user
    cache if BITNET_DATA is not set.  "svhn-extra" is "svhn" with the extra images added to the
    training images, in the folder `svhn`.

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    folder : str or path, optional
        Read the files from this folder instead.
    size, channels : int, optional
        For "folder": pixels per side (default: 32), and 1 or 3 channels (default: 3).

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If the name is unknown, a file is missing (the message says how to get it and where to put
        it), a required library is missing, or the files do not fit together.

    Examples
    --------
    >>> digits = load_dataset("embedded")
    >>> digits.train_labels[:10], digits.test_images.shape
    (array([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], dtype=uint8), (2000, 28, 28))
    """
    check_choice("load_dataset", DATASETS, name=name)
    if name == "folder":
        if folder is None:
            raise InputError("the data set 'folder' needs folder=, the folder of the images")
        options = {"size": size, "channels": channels}
        given = {key: value for key, value in options.items() if value is not None}
        return Dataset(name, **read_image_folder(folder, **given))
    if size is not None or channels is not None:
        raise InputError(f"size and channels apply only to the data set 'folder', not to {name!r}")
    if name == "embedded" and folder is not None:
        raise InputError("the data set 'embedded' is part of the package; remove folder=")
    stored, place = ("mnist", EMBEDDED) if name == "embedded" else (name, folder or folder_of(name))
    known, paths = published(stored), _paths(stored, place)
    classes, parts = _class_names(known, paths), []
    for part, files in (("train", known.train), ("test", known.test)):
        here, paths = paths[: len(files)], paths[len(files) :]
        images, labels = _read(known.kind, here)
        _check(f"{here[0].parent}: the {part} set", known.kind, images, labels, len(classes))
        parts.append((images, labels))
    return Dataset(name, *parts[0], *parts[1], classes)


def _paths(name, folder):
    """Return the paths of all files of a published set."""
    found = find_files(name, folder)
    missing = [file for file, path in found.items() if path is None]
    if not missing:
        return list(found.values())
    known = published(name)
    downloads = f"{', '.join(file.name for file in known.downloads)} of {known.about}"
    what = "its files" if known.archive_folder else "them"
    how = f"download {downloads} and put {what} there, or set BITNET_DATA to its parent folder"
    raise InputError(f"no {missing[0]} in {folder}; run `bitnet data fetch {name}`, or {how}")


def _class_names(known, paths):
    """Return the class names, from the list among the files of the set if there is one."""
    path = paths[0].parent / known.names_file
    return read_class_names(path, len(known.classes)) if path.is_file() else known.classes


def _read(kind, paths):
    """Return the images and labels in files of one format."""
    if kind == "idx":
        return tuple(map(read_idx, paths))
    if kind == "svhn":
        parts = [read_svhn(path) for path in paths]
    else:
        parts = [read_cifar(path, int(kind.removeprefix("cifar"))) for path in paths]
    return parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts, strict=True)))


def scale_pixels(images: np.ndarray) -> np.ndarray:
    """Rescale pixels from 0..255 to float32 from -1 to 1, for nets that compute in float.

    `2 p / 255 - 1`, as in the Theano code of the papers.  A binary net takes the
    pixels themselves and computes with `2 p - 255`.

    Parameters
    ----------
    images : numpy.ndarray
        uint8 of any shape; other types are refused, as their range is not known.

    Returns
    -------
    numpy.ndarray
        float32 of the same shape.

    Examples
    --------
    >>> scale_pixels(np.array([0, 255], np.uint8))
    array([-1.,  1.], dtype=float32)
    """
    if getattr(images, "dtype", None) != np.uint8:
        cure = "uint8 pixels from 0 to 255; round other numbers to that range first"
        raise unfit("scale_pixels", cure, images)
    return images.astype(np.float32) * np.float32(2 / 255) - np.float32(1)


def available() -> list[tuple[str, str]]:
    """Return where each data set is, or what is missing, without opening files.

    Returns
    -------
    list of (str, str)
        The name of each data set, and its folder or how to get it.

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
    return [*facts, ("folder", "your own images: FOLDER/train/CLASS/*.jpg and FOLDER/val/...")]


def _check(what, kind, images, labels, n_classes):
    """Raise InputError if images and labels do not fit together."""
    if len(images) == 0 or (kind == "idx" and images.shape[1:] != (28, 28)):
        raise InputError(f"{what} has images of shape {images.shape}; expected (count, 28, 28)")
    check_labels(what, images, labels, n_classes)
