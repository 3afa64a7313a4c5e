"""The binary version of CIFAR-10 and CIFAR-100: records of labels and pixels, without a header.

    CIFAR-10    label | 1024 red | 1024 green | 1024 blue
    CIFAR-100   coarse label | fine label | 1024 red | 1024 green | 1024 blue

Each entry is one byte; pixels are in row-major order.  The Python version of these sets is a
pickle, which can run arbitrary code when it is opened, and is refused.
"""

import pathlib

import numpy as np

from bitnet.errors import InputError
from bitnet.files import opened, replacing, size_of

SIDE, CHANNELS = 32, 3
PIXELS = SIDE * SIDE * CHANNELS
LABELS = {10: (10,), 100: (20, 100)}  # number of classes of each label
MAX_BYTES = 1 << 30
MAX_NAMES = 1 << 16  # bytes of a list of names
NAMES = {10: "CIFAR-10 binary version", 100: "CIFAR-100 binary version"}


def read_cifar(
    path: pathlib.Path | str, classes: int = 10, max_bytes: int = MAX_BYTES
) -> tuple[np.ndarray, np.ndarray]:
    """Read a file of the binary version of CIFAR-10 or CIFAR-100.

    Parameters
    ----------
    path : str or path
        Such as `data_batch_1.bin`, `test_batch.bin`, or `train.bin` of CIFAR-100.
    classes : {10, 100}, optional
        The number of classes of the set.
    max_bytes : int, optional
        The largest file to read (default: 1 GiB).

    Returns
    -------
    images : numpy.ndarray
        uint8 of shape (count, 32, 32, 3): red, green and blue.
    labels : numpy.ndarray
        uint8 of shape (count,); for CIFAR-100 the fine labels.

    Raises
    ------
    InputError
        If the file is a pickle, is too large, is not a whole number of records, or has an invalid
        label.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_cifar(f"{folder}/one.bin", np.zeros((1, 32, 32, 3), np.uint8), [7])
    ...     images, labels = read_cifar(f"{folder}/one.bin")
    >>> images.shape, labels
    ((1, 32, 32, 3), array([7], dtype=uint8))
    """
    if classes not in LABELS:
        raise InputError(f"read_cifar: classes is {classes!r}; expected 10 or 100")
    record = len(LABELS[classes]) + PIXELS
    with opened(path) as file:
        n_bytes, start = size_of(path, file, max_bytes), file.read(2)
        if (
            start[:1] == b"\x80" and 2 <= start[-1] <= 5
        ):  # the first bytes of every pickle since 2003
            instead = f"download the file {NAMES[classes]!r} instead of the Python version"
            raise InputError(f"{path}: the file is a pickle, which can run code; {instead}")
        if n_bytes == 0 or n_bytes % record:
            came = f"{n_bytes} bytes are not a whole number of records of {record} bytes"
            expected = f"a file of the {NAMES[classes]}, unpacked"
            raise InputError(f"{path}: {came}; expected {expected}")
        file.seek(0)
        records = np.frombuffer(file.read(n_bytes), np.uint8)
    if records.size != n_bytes:
        raise InputError(
            f"{path}: read {records.size} bytes; expected {n_bytes}; it was truncated while open"
        )
    records = records.reshape(-1, record)
    for column, count in enumerate(LABELS[classes]):
        if (largest := int(records[:, column].max())) >= count:
            raise InputError(f"{path}: a label is {largest}; expected 0 to {count - 1}")
    planes = records[:, -PIXELS:].reshape(-1, CHANNELS, SIDE, SIDE)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return images, records[:, len(LABELS[classes]) - 1].copy()


def read_class_names(path, count):
    """Read `count` different class names, one per line, such as `batches.meta.txt`."""
    with opened(path) as file:
        content = file.read(MAX_NAMES + 1)
    if len(content) > MAX_NAMES or not content.isascii():
        raise InputError(f"{path}: not a list of {count} names in ASCII")
    names = tuple(line.strip() for line in content.decode().split("\n") if line.strip())
    if len(names) != count or len(set(names)) < count:
        raise InputError(f"{path}: {len(set(names))} different names; expected {count}")
    if not all(name.isprintable() and len(name) <= 64 for name in names):
        raise InputError(f"{path}: a name is not a printable line of at most 64 characters")
    return names


def write_cifar(path, images, labels, coarse=None):
    """Write a file of the binary version of CIFAR-10, or of CIFAR-100 if `coarse` is given."""
    columns = [labels] if coarse is None else [coarse, labels]
    columns = [np.asarray(column) for column in columns]
    fits = images.dtype == np.uint8 and images.shape[1:] == (SIDE, SIDE, CHANNELS)
    if not fits or any(column.shape != images.shape[:1] for column in columns):
        came = f"{images.dtype} {images.shape} with {len(columns[0])} labels"
        expected = "uint8 (count, 32, 32, 3) and one label per image"
        raise InputError(f"write_cifar: {came}; expected {expected}")
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), PIXELS)
    records = np.column_stack([*(c.astype(np.uint8) for c in columns), planes])
    with replacing(path) as file:
        file.write(records.tobytes())
