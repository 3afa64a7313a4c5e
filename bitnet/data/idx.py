"""IDX, the format of MNIST and Fashion-MNIST: a header (not trusted), then bytes.

    2 zero bytes | type code | number of axes | size of each axis, big-endian uint32 | elements

Only unsigned bytes (type code 8) are read, plain or compressed with gzip.
"""

import gzip
import math
import os
import pathlib
import struct
import zlib

import numpy as np

from bitnet.errors import InputError
from bitnet.files import opened, replacing

UINT8 = 8  # the type code
MAX_AXES = 4
MAX_BYTES = 1 << 30
MAX_DEFLATE_RATIO = 1032  # deflate expands a byte to at most this many
BLOCK = 1 << 20
GZIP = b"\x1f\x8b"  # the first bytes of gzip files
DAMAGED_GZIP = EOFError, zlib.error, gzip.BadGzipFile


def read_idx(path: pathlib.Path | str, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or gzip.

    The size in the header is compared with `max_bytes` and with the size of the file before memory
    is allocated.

    Parameters
    ----------
    path : str or path
        The file; gzip is recognized by its first bytes, not by its name.
    max_bytes : int, optional
        The largest array to read (default: 1 GiB).

    Returns
    -------
    numpy.ndarray
        uint8 of the shape in the header.

    Raises
    ------
    InputError
        If the file is not an IDX file of unsigned bytes, or is truncated, too long, damaged or too
        large.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_idx(f"{folder}/labels.gz", np.array([7, 2], np.uint8))
    ...     read_idx(f"{folder}/labels.gz")
    array([7, 2], dtype=uint8)
    """
    with opened(path, "an IDX file") as raw:
        zipped = raw.read(2) == GZIP
        n_file = raw.seek(0, os.SEEK_END)
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if zipped else raw as file:
            try:
                shape = _read_header(path, file)
                n_elements = math.prod(shape)
                if math.prod(max(size, 1) for size in shape) > max_bytes:
                    came = f"the header states an array of shape {shape}"
                    raise InputError(f"{path}: {came}; expected at most {max_bytes} bytes")
                if n_elements > n_file * (MAX_DEFLATE_RATIO if zipped else 1):
                    raise _truncated(path, n_elements, n_file)
                elements = _read_at_most(file, n_elements + 1)
            except DAMAGED_GZIP as error:
                raise _again(path, f"the gzip data end early or are damaged ({error})") from None
    if len(elements) < n_elements:
        raise _truncated(path, n_elements, len(elements))
    if len(elements) > n_elements:
        raise _again(path, f"too long: more than the {n_elements} bytes that the header states")
    return np.frombuffer(elements, np.uint8).reshape(shape)


def _again(path, reason):
    """Return the error for an incomplete or damaged file."""
    return InputError(f"{path}: {reason}; download it again")


def _truncated(path, stated, found):
    """Return the error for a file that is shorter than its header states."""
    return _again(path, f"truncated: the header states {stated} bytes, and the file has {found}")


def _read_header(path, file):
    """Return the shape in the header."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or not 1 <= start[3] <= MAX_AXES:
        expected = "two zero bytes, a type code and 1 to 4 axes"
        raise InputError(f"{path}: not an IDX file (it starts with {start!r}); expected {expected}")
    if start[2] != UINT8:
        came = f"IDX elements of type code {start[2]}"
        raise InputError(f"{path}: {came}; expected {UINT8}, unsigned bytes")
    sizes = file.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise _again(path, "truncated within the header")
    return struct.unpack(f">{start[3]}I", sizes)


def _read_at_most(file, n_bytes):
    """Read up to `n_bytes`; memory grows only with the bytes that are read."""
    content = bytearray()
    while block := file.read(min(BLOCK, n_bytes - len(content))):
        content += block
    return content


def write_idx(path, array):
    """Write uint8 with 1 to 4 axes as an IDX file, gzip if the name ends in `.gz`."""
    if array.dtype != np.uint8 or not 1 <= array.ndim <= MAX_AXES:
        came = f"{array.dtype} of shape {array.shape}"
        raise InputError(f"write_idx: got {came}; expected uint8 with 1 to {MAX_AXES} axes")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, UINT8, array.ndim, *array.shape)
    content = header + array.tobytes()
    if str(path).endswith(".gz"):
        content = gzip.compress(content, compresslevel=9, mtime=0)
    with replacing(path) as file:
        file.write(content)
