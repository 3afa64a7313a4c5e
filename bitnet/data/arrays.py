"""Arrays of pixels from `.npy` and `.npz` files, of which nothing is unpickled.

The header of each array is held against the bytes that are there before anything is allocated.
"""

import math
import pathlib
import re
import struct
import zipfile
import zlib

import numpy as np

from bitnet.errors import InputError

__all__ = ["MAGIC", "parse_npy", "read_arrays"]

MAGIC = b"\x93NUMPY"
MAX_BYTES = 1 << 30
HEADER = re.compile(
    r"\{'descr': '\|u1', 'fortran_order': (False|True), "
    r"'shape': \((|\d{1,19},|\d{1,19}(?:, \d{1,19}){1,9})\), \}\s*",
    re.ASCII,
)
TYPE = re.compile(r"\{'descr': '([|<>=]\w{1,20})',", re.ASCII)
REFUSED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)


def parse_npy(content, name):
    """The array of pixels in the bytes of a `.npy` file.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        What it is called, for messages.

    Returns
    -------
    numpy.ndarray
        uint8.

    Raises
    ------
    InputError
        If the bytes are no such file, are cut off, or hold other numbers than uint8.

    Examples
    --------
    >>> import io
    >>> np.save(file := io.BytesIO(), np.eye(2, dtype=np.uint8))
    >>> parse_npy(file.getvalue(), "eye")
    array([[1, 0],
           [0, 1]], dtype=uint8)
    """
    if content[:6] != MAGIC or len(content) < 12:
        raise InputError(f"{name}: no .npy file")
    size, start = (2, "<H") if content[6] == 1 else (4, "<I")
    (length,) = struct.unpack(start, content[8 : 8 + size])
    begin = 8 + size + length
    header = content[8 + size : min(begin, 8 + size + 10_000)].decode("latin1")
    fits = HEADER.fullmatch(header)
    if fits is None:
        kind = TYPE.match(header)
        came = f"numbers of type {kind[1]}" if kind else f"{header.strip()[:80]!r}"
        raise InputError(
            f"{name}: the array holds {came}; expected uint8 pixels from 0 to 255 (of floats from "
            "0 to 1: (255 * x).round().astype(numpy.uint8))"
        )
    shape = tuple(int(size) for size in fits[2].split(",") if size)
    if math.prod(shape) != len(content) - begin:
        raise InputError(
            f"{name}: shape {shape} for {len(content) - begin} bytes; the file is cut off"
        )
    order = "F" if fits[1] == "True" else "C"
    try:
        return np.frombuffer(content, np.uint8, offset=begin).reshape(shape, order=order)
    except (ValueError, OverflowError):  # an empty array with an axis that no array can have
        raise InputError(f"{name}: shape {shape}; expected images of pixels") from None


def read_arrays(path, max_bytes=MAX_BYTES):
    """The arrays of pixels in a `.npy` or `.npz` file.

    Parameters
    ----------
    path : str or path
        The file; an `.npz` may be compressed.
    max_bytes : int, optional
        The most to read, and to unpack, 1 GiB.

    Returns
    -------
    dict of str to numpy.ndarray
        uint8, by name; that of a `.npy` is "".

    Raises
    ------
    InputError
        If the file is neither, damaged or too large, or holds other numbers than uint8.
    OSError
        If it cannot be opened or read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/a.npz", images=np.zeros((5, 2, 2), np.uint8))
    ...     read_arrays(f"{folder}/a.npz")["images"].shape
    (5, 2, 2)
    """
    path = pathlib.Path(path)
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(0)
        if start == MAGIC:
            content = file.read(max_bytes + 1)
            if len(content) > max_bytes:
                raise InputError(f"{path}: more than the {max_bytes} bytes that are read")
            return {"": parse_npy(content, path)}
        try:
            return _read_npz(file, path, max_bytes)
        except InputError:
            raise
        except REFUSED as error:
            raise InputError(f"{path}: no .npy or .npz file, or damaged ({error})") from None


def _read_npz(file, path, max_bytes):
    """The arrays of an `.npz` by name."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(info.file_size for info in members) > max_bytes:
            raise InputError(f"{path}: more than {max_bytes} bytes, unpacked")
        arrays = {}
        for info in members:
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as member:
                content = member.read(info.file_size + 1)
            arrays[name] = parse_npy(content, f"{path}: {name}")
        return arrays
