"""The file container: a `.npz` file that is read completely or rejected, and never half-written.

The file is an ordinary uncompressed zip of `.npy` members, which `numpy.load` opens.  The first
member, `header.npy`, is JSON text as bytes.  Zip stores a CRC-32 per array.  The comment of the
archive stores the SHA-256 of all bytes before the digest: a change of any byte, including the
fields of the zip format, is detected.  Nothing is unpickled.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import pathlib
import re
import struct
import zipfile
import zlib

import numpy as np

from bitnet.errors import InputError

LABEL = b"sha256 "
DIGEST = 64  # hexadecimal digits
MAX_BYTES = 4 << 30

# the format of `numpy.lib.format`: NPY, version, length of the header, header, bytes
NPY = b"\x93NUMPY"
NPY_HEADER = re.compile(
    r"\{'descr': '([|<>=]\w{1,20})', 'fortran_order': (False|True), "
    r"'shape': \((|\d{1,19},|\d{1,19}(?:, \d{1,19}){1,9})\), \}\s*",
    re.ASCII,
)
TYPES = ("|b1", "|u1", "|i1", "<i4", "<i8", "<f4", "<f8")

# exceptions of the standard library and NumPy for malformed zips, and for arrays or JSON text
DAMAGED = zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError
REFUSED = *DAMAGED, TypeError, KeyError, AttributeError, OSError


@contextlib.contextmanager
def replacing(path):
    """Open a binary file that replaces `path` only if the block succeeds.

    The bytes go to `.NAME.PROCESS.partial` in the same folder, a file of this process alone.  At
    the end they are flushed to disk and the file is renamed.  Even if two processes write at the
    same time, `path` holds all bytes of one of them.
    """
    path, partial = pathlib.Path(path), _partial(path)
    try:
        with open(partial, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # not the partial file's name
        raise


def _partial(path):
    """Return the path of the temporary file that replaces `path`."""
    path = pathlib.Path(path)
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def check_writable(path):
    """Raise an error if `path` cannot be written; called before a long computation."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise InputError(f"cannot write {path}: it is a folder or a device; expected a file name")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    try:
        _partial(path).touch()
        _partial(path).unlink()
    except OSError as error:
        error.filename = str(path)
        raise


def write_archive(path, kind, version, header, arrays):
    """Write a header and arrays to a file, completely or not at all."""
    with replacing(path) as file:
        _write(file, kind, version, header, arrays)


def archive_bytes(kind, version, header, arrays):
    """Return the number of bytes that `write_archive` would write."""
    file = io.BytesIO()
    _write(file, kind, version, header, arrays)
    return file.tell()


def _write(file, kind, version, header, arrays):
    """Write the zip of a header and arrays, followed by the digest."""
    text = to_json({"magic": "bitnet", "kind": kind, "version": version, **header})
    members = {"header": np.frombuffer(text.encode(), np.uint8), **arrays}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = LABEL + b"0" * DIGEST
        for name, array in members.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = _digest(file, n_bytes - DIGEST)
    file.seek(n_bytes - DIGEST)
    file.write(digest)


def to_json(value):
    """Return a value as JSON text; NumPy scalars and arrays become numbers and lists."""

    def plain(inner):
        if isinstance(inner, (np.ndarray, np.generic)):
            return inner.tolist()
        came, expected = f"{type(inner).__name__} ({inner!r})", "text, numbers, lists and dicts"
        raise InputError(f"a file's header cannot hold {came}; expected {expected}")

    return json.dumps(value, default=plain)


def _digest(file, n_bytes):
    """Return the SHA-256 of the next `n_bytes` of a file, in hexadecimal."""
    digest = hashlib.sha256()
    while n_bytes > 0 and (block := file.read(min(n_bytes, 1 << 20))):
        digest.update(block)
        n_bytes -= len(block)
    return digest.hexdigest().encode()


def read_archive(path, kind, version, max_bytes=MAX_BYTES):
    """Return the header and arrays of a file of `write_archive`; refuse any other file.

    The stated sizes are compared with the size of the file before anything is allocated.
    """
    _check_regular(path)
    with open(path, "rb") as file:
        n_bytes = size_of(path, file, max_bytes)
        file.seek(max(0, n_bytes - len(LABEL) - DIGEST))
        label, stored = file.read(len(LABEL)), file.read(DIGEST)
        if label != LABEL:
            raise InputError(f"{path}: not a bitnet file, or its end is cut off; expected a {kind}")
        file.seek(0)
        if _digest(file, n_bytes - DIGEST) != stored:
            raise InputError(f"{path}: the file is damaged (its SHA-256 differs); copy it again")
        file.seek(0)
        try:
            members = _read_members(file, n_bytes)
        except REFUSED as error:
            raise InputError(f"{path}: not a valid {kind} of bitnet ({error!s:.200})") from None
    try:
        header = json.loads(members.pop("header").tobytes())
        came = header.pop("magic"), header.pop("kind"), header.pop("version")
    except REFUSED:
        raise InputError(f"{path}: the file has no bitnet header; expected a {kind}") from None
    if came[:2] != ("bitnet", kind):
        raise InputError(f"{path}: the file holds a {came[1]!r:.60}; expected a {kind}")
    if came[2] != version:
        stated = f"version {came[2]!r:.60} of a {kind}"
        raise InputError(f"{path}: {stated}; this bitnet reads version {version}")
    return header, members


def kind_of(path):
    """Return the kind that the header of a file states, without reading the rest."""
    return header_of(path)["kind"]


def header_of(path):
    """Return the header of a file without reading the rest."""
    _check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(_read_member(archive, archive.getinfo("header.npy")).tobytes())
        if header["magic"] == "bitnet" and isinstance(header["kind"], str):
            return header
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except REFUSED:
        pass
    raise InputError(f"{path}: not a file of bitnet, or its end is cut off; expected a net")


def size_of(path, file, most):
    """Return the size of an open file in bytes; refuse more than `most`."""
    if (n_bytes := os.fstat(file.fileno()).st_size) > most:
        raise InputError(f"{path}: {n_bytes} bytes; expected at most {most}")
    return n_bytes


def _check_regular(path):
    """Raise InputError for a device or a pipe, which has no end or no size."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path}: it is a device or a pipe; expected a file of bitnet")


def _read_members(file, n_bytes):
    """Return the arrays of a zip file of `n_bytes`, by name."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = {info.filename for info in members}
        if len(names) < len(members) or sum(info.file_size for info in members) > n_bytes:
            raise ValueError("two members share a name or their bytes")
        return {info.filename.removesuffix(".npy"): _read_member(archive, info) for info in members}


def _read_member(archive, info):
    """Return the array of a zip member; refuse a header that states more bytes than there are."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError(f"{info.filename} is compressed")
    array = parse_npy(archive.read(info), info.filename)
    if not array.flags.c_contiguous:
        raise ValueError(f"{info.filename} is in Fortran order")
    return array.copy()  # aligned, and writeable


def parse_npy(content, name, types=TYPES, expected="a type of numbers that bitnet uses"):
    """Return the array in the bytes of a `.npy` file, read-only; refuse a dtype not in `types`.

    The header is compared with the number of bytes; nothing is allocated or unpickled.
    """
    if content[:6] != NPY or len(content) < 12:
        raise InputError(f"{name}: not a .npy file")
    size, form = (2, "<H") if content[6] == 1 else (4, "<I")
    (length,) = struct.unpack(form, content[8 : 8 + size])
    begin = 8 + size + length
    header = content[8 + size : min(begin, 8 + size + 10_000)].decode("latin1")
    fits = NPY_HEADER.fullmatch(header)
    if fits is None or fits[1] not in types:
        came = f"numbers of type {fits[1]}" if fits else repr(header.strip()[:80])
        raise InputError(f"{name}: the array holds {came}; expected {expected}")
    dtype, shape = np.dtype(fits[1]), tuple(int(size) for size in fits[3].split(",") if size)
    n_bytes = len(content) - begin
    if math.prod(shape) * dtype.itemsize != n_bytes:
        raise InputError(f"{name}: shape {shape} for {n_bytes} bytes; the file is cut off")
    order = "F" if fits[2] == "True" else "C"
    try:
        return np.frombuffer(content, dtype, offset=begin).reshape(shape, order=order)
    except (ValueError, OverflowError):  # an empty array with an axis that is too long
        raise InputError(
            f"{name}: shape {shape}; expected a shape that an array can have"
        ) from None
