"""IDX, the format of MNIST and Fashion-MNIST: a header that is not trusted, then bytes.

    2 zero bytes | type code | number of axes | size of each axis, big-endian uint32 | elements

Only unsigned bytes (type code 8) are read, plain or compressed with gzip.
"""

import gzip
import math
import os
import struct
import zlib

import numpy as np

from bitnet.archive import replacing
from bitnet.errors import InputError

UINT8 = 8  # the type code
MAX_AXES = 4
MAX_BYTES = 1 << 30
MAX_DEFLATE_RATIO = 1032  # deflate cannot expand a byte to more than this
BLOCK = 1 << 20


def read_idx(path, max_bytes=MAX_BYTES):
    """Read an IDX file of unsigned bytes, plain or gzip.

    The size that the header promises is held against `max_bytes` and against the bytes that
    are there before an array is made.

    Parameters
    ----------
    path : str or path
        The file; gzip is known by its first bytes, not by its name.
    max_bytes : int, optional
        The largest array to read, 1 GiB.

    Returns
    -------
    numpy.ndarray
        uint8 of the header's shape.

    Raises
    ------
    InputError
        If the file is no IDX file of unsigned bytes, is truncated, too long, damaged, or
        larger than the limit.
    OSError
        If it cannot be opened or read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_idx(f"{folder}/labels.gz", np.array([7, 2], np.uint8))
    ...     read_idx(f"{folder}/labels.gz")
    array([7, 2], dtype=uint8)
    """
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        n_file = raw.seek(0, os.SEEK_END)
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if zipped else raw as file:
            try:
                shape = _read_header(path, file)
                n_elements = math.prod(shape)
                if math.prod(max(size, 1) for size in shape) > max_bytes:
                    raise InputError(
                        f"{path}: the header promises an array of shape {shape}; "
                        f"expected at most {max_bytes} bytes"
                    )
                most = n_file * MAX_DEFLATE_RATIO if zipped else n_file
                if n_elements > most:
                    raise _truncated(path, n_elements, f"a file of {n_file}")
                elements = _read_at_most(file, n_elements + 1)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise InputError(
                    f"{path}: the gzip data end early or are damaged ({error}); download it again"
                ) from None
    if len(elements) < n_elements:
        raise _truncated(path, n_elements, len(elements))
    if len(elements) > n_elements:
        raise InputError(
            f"{path}: too long: bytes follow the {n_elements} that the header promises; "
            "download it again"
        )
    return np.frombuffer(elements, np.uint8).reshape(shape)


def _truncated(path, promised, there):
    return InputError(
        f"{path}: truncated: the header promises {promised} bytes, there are {there}; "
        "download it again"
    )


def _read_header(path, file):
    """The shape that the header states."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or not 1 <= start[3] <= MAX_AXES:
        raise InputError(
            f"{path}: not an IDX file (it starts with {start!r}); "
            "expected two zero bytes, a type code and 1 to 4 axes"
        )
    if start[2] != UINT8:
        raise InputError(
            f"{path}: IDX elements of type code {start[2]}; expected {UINT8}, unsigned bytes"
        )
    sizes = file.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise InputError(f"{path}: truncated within the header; download it again")
    return struct.unpack(f">{start[3]}I", sizes)


def _read_at_most(file, n_bytes):
    """Up to so many bytes; memory grows only with bytes that are really there."""
    content = bytearray()
    while block := file.read(min(BLOCK, n_bytes - len(content))):
        content += block
    return content


def write_idx(path, array):
    """Write an array of unsigned bytes as an IDX file, gzip if the name ends in `.gz`.

    Parameters
    ----------
    path : str or path
        The file; replaced whole or not at all.
    array : numpy.ndarray
        uint8 with 1 to 4 axes.

    Raises
    ------
    InputError
        If the array has another type or number of axes.
    OSError
        If the file cannot be written.

    Examples
    --------
    See `read_idx`.

    >>> try:
    ...     write_idx("labels", np.zeros(3))
    ... except InputError as error:
    ...     print(error)
    write_idx: got float64 of shape (3,); expected uint8 with 1 to 4 axes
    """
    if array.dtype != np.uint8 or not 1 <= array.ndim <= MAX_AXES:
        raise InputError(
            f"write_idx: got {array.dtype} of shape {array.shape}; "
            f"expected uint8 with 1 to {MAX_AXES} axes"
        )
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, UINT8, array.ndim, *array.shape)
    content = header + array.tobytes()
    if str(path).endswith(".gz"):
        content = gzip.compress(content, compresslevel=9, mtime=0)
    with replacing(path) as file:
        file.write(content)
