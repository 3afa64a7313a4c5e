"""Own data from one file: a table, arrays, or a pair of IDX files, with a test part.

    table.csv                            a row per input, a column or more with the labels
    arrays.npz                           images and labels, or x_train, y_train, x_test, y_test
    NAME-train-images-idx3-ubyte[.gz]    with labels, and with the two files of the test part

A file whose name has `train` between other characters is read with the one that has `test` in its
place.  Without a test part every fifth row of the shuffled data, or of each class, is one.
"""

import pathlib
import re

import numpy as np

from bitnet.data.arrays import EXPECTED_NUMBERS, NUMBERS, TEXT, Foreign, as_numbers, read_arrays
from bitnet.data.display import grouped
from bitnet.data.idx import GZIP, read_idx
from bitnet.data.table import SUFFIXES as TABLES
from bitnet.data.table import read_table
from bitnet.data.targets import TARGETS, targets_of
from bitnet.errors import InputError, check_choice, visible
from bitnet.files import opened

TEST_ROWS = 5  # one of so many is a test row
NAMES = {  # of the arrays of a part: pairs of inputs and labels
    "train": (
        *("train_images train_labels", "x_train y_train", "X_train y_train", "images labels"),
        *("x y", "X y", "data labels", "data target"),
    ),
    "test": ("test_images test_labels", "x_test y_test", "X_test y_test"),
}
TRAIN = re.compile(r"(?<![a-z])train(?:ing)?(?![a-z])", re.IGNORECASE)


def is_own(name):
    """Return whether a name is that of a file, not of a data set: it has a suffix, or is IDX."""
    return bool(pathlib.PurePath(name).suffix) or "idx" in name.lower()


def read_own(path, target=None, label=(), drop=(), columns=None, classes=None, whole=False):
    """Return the parts of a Dataset in a file, as its keyword arguments.

    For a trained net, `columns` and `classes` are its names of inputs and outputs; `whole` makes
    all rows of a file without a test part one.
    """
    path = pathlib.Path(path)
    if target is not None:
        check_choice(None, TARGETS, target=target)
    is_table = path.suffix.lower() in TABLES
    if (label or drop) and not is_table:
        option = "label" if label else "drop"
        raise InputError(f"{path}: {option} names columns of a table ({', '.join(TABLES)})")
    if is_table:
        parts = _table(path, label, drop, columns)
    elif path.suffix.lower() == ".npz":
        parts = _arrays(path)
    else:
        parts = _idx(path)
    (images, labels), test, about = parts
    for inputs, own in [(images, labels)] + ([test] if test else []):
        if len(inputs) != len(own):
            raise InputError(
                f"{path}: {len(inputs)} inputs and {len(own)} labels; expected as many of both"
            )
    names = about.pop("label_names", None)
    target, labels, test_labels, classes = targets_of(
        str(path), labels, test and test[1], target, names, classes
    )
    rows = np.random.default_rng(0).permutation(len(labels))  # files are often sorted by class
    if test is None and whole:
        test = images, labels
    elif test is None:
        rows, held = _split(path, rows, labels if target == TARGETS[0] else np.zeros(len(labels)))
        test = images[held], labels[held]
        about["notes"] += [f"no test part: every fifth of the {grouped(len(images))} is one"]
    else:
        test = test[0], test_labels
        if test[0].shape[1:] != images.shape[1:] or test[0].dtype != images.dtype:
            came = f"{test[0].dtype} {test[0].shape[1:]}"
            raise InputError(
                f"{path}: the test inputs are {came}; expected {images.dtype} "
                f"{images.shape[1:]}, as in training"
            )
    sets = {"train_images": images[rows], "train_labels": labels[rows]}
    sets |= {"test_images": test[0], "test_labels": test[1]}
    return sets | {"classes": classes, "target": target, "name": path.name} | about


def _split(path, rows, groups):
    """Return the training and the test rows: of each group, every fifth one is for the test."""
    order = rows[np.argsort(groups[rows], kind="stable")]
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(starts, counts)
    is_test = np.zeros(len(rows), bool)
    is_test[order[rank % TEST_ROWS == TEST_ROWS - 1]] = True
    if not is_test.any():
        raise InputError(
            f"{path}: {len(rows)} rows without a test part; expected {TEST_ROWS} or more, of some "
            "class"
        )
    return rows[~is_test[rows]], rows[is_test[rows]]


def test_file(path):
    """Return the file of the test part next to one whose name has `train`, or None."""
    for word in ("test", "t10k"):
        other = path.with_name(TRAIN.sub(word, path.name))
        if other != path and other.is_file():
            return other
    return None


def _table(path, label, drop, columns):
    """Return the parts of a table, and of its test file."""
    table, other = read_table(path), test_file(path)
    inputs, labels = table.roles(label, drop, columns)
    notes = [f"the labels are in {', '.join(map(visible, labels))}; {len(inputs)} inputs"]
    train = table.inputs(inputs), table.labels(labels)
    test = None
    if other is not None:
        found = read_table(other)
        if missing := [name for name in (*inputs, *labels) if name not in found.columns]:
            raise InputError(f"{other}: no column {missing[0]!r:.60}, which {path.name} has")
        test, notes = (found.inputs(inputs), found.labels(labels)), [*notes, f"test part: {other}"]
    return train, test, {"columns": inputs, "label_names": labels, "notes": notes}


def _arrays(path):
    """Return the parts in an `.npz` file."""
    arrays = read_arrays(path, NUMBERS + TEXT, EXPECTED_NUMBERS)
    parts, used = {}, set()
    for part, pairs in NAMES.items():
        names = next((own for pair in pairs if {*(own := pair.split())} <= set(arrays)), None)
        if names is None:
            continue
        if wrong := [arrays[name] for name in names if isinstance(arrays[name], Foreign)]:
            raise InputError(wrong[0])
        used |= set(names)
        parts[part] = _pictures(path, names[0], arrays[names[0]]), arrays[names[1]]
    if "train" not in parts:
        found = ", ".join(map(visible, arrays)) or "none"
        raise InputError(
            f"{path}: its arrays are {found:.200}; expected images and labels, or x_train, "
            "y_train, x_test and y_test"
        )
    unused = sorted(set(arrays) - used)
    notes = [f"arrays that are not used: {', '.join(map(visible, unused)):.200}"] if unused else []
    return parts["train"], parts.get("test"), {"notes": notes}


def _pictures(path, name, array):
    """Return the inputs in an array: uint8 pixels, or other real numbers as float32."""
    where = f"{path}: {visible(name)}"
    if array.ndim not in (2, 3, 4) or not array.size or array.dtype.kind not in "biuf":
        raise InputError(
            f"{where} is {array.dtype} of shape {array.shape}; expected numbers of shape (count, "
            "inputs), or images (count, rows, columns[, channels])"
        )
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        raise InputError(
            f"{where} has shape {array.shape}; expected channels last, as {name}.transpose(0, 2, "
            "3, 1) gives"
        )
    return array if array.dtype == np.uint8 else as_numbers(array, where)


def _idx(path):
    """Return the parts in IDX files."""
    images = _images(path)
    parts, other = [(images, _labels(path, images))], test_file(path)
    if other is None:
        return parts[0], None, {"notes": []}
    images = _images(other)
    return parts[0], (images, _labels(other, images)), {"notes": [f"test part: {other}"]}


def _images(path):
    """Return the images in an IDX file."""
    with opened(path, "a file of images in IDX format") as file:
        start = file.read(4)
    if start[:2] not in (GZIP, b"\0\0"):
        kinds = f"a table ({', '.join(TABLES)}), arrays (.npz) or images in IDX format"
        raise InputError(f"{path}: the file is none of these: {kinds}; convert it to one of them")
    images = read_idx(path)
    if images.ndim not in (2, 3, 4) or not images.size:
        what = "these may be the labels" if images.ndim == 1 else "it has no images"
        raise InputError(f"{path}: an array of shape {images.shape}; {what}; name the images")
    return images


def _labels(path, images):
    """Return the labels in the IDX file next to that of the images."""
    name = re.sub("images?", "labels", path.name)
    name = re.sub(r"idx\d", "idx1", name)
    suffix = ".gz" if name.endswith(".gz") else ""
    stem = name.removesuffix(".gz")
    for each in (name, stem, f"{stem}.gz", f"{stem.replace('labels', 'label')}{suffix}"):
        other = path.with_name(each)
        if other != path and other.is_file():
            labels = read_idx(other)
            if labels.shape != images.shape[:1]:
                raise InputError(
                    f"{other}: labels of shape {labels.shape}; expected {len(images)}, one for "
                    f"each image in {path.name}"
                )
            return labels
    raise InputError(f"{path}: no file {name} next to it; expected the labels of the images there")
