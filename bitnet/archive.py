"""A `.npz` file that is whole or is refused, and is never half-written.

The file is an ordinary zip of `.npy` members, uncompressed, which `numpy.load` opens.  The
first member, `header.npy`, is JSON text as bytes.  Zip keeps a CRC-32 for each array; the
archive's comment keeps the SHA-256 of all bytes before the digest, so that a change of any
byte, of the zip's own fields too, is noticed.  Nothing is unpickled.
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

__all__ = [
    "archive_bytes",
    "check_writable",
    "kind_of",
    "read_archive",
    "replacing",
    "to_json",
    "write_archive",
]

LABEL = b"sha256 "
DIGEST = 64  # hexadecimal digits
MAX_BYTES = 4 << 30

TYPES = ("|b1", "|u1", "|i1", "<i4", "<i8", "<f4", "<f8")
NPY_HEADER = re.compile(  # version 1.0, as numpy.lib.format writes it, in C order
    rb"\x93NUMPY\x01\x00..\{'descr': '([|<]\w\w)', 'fortran_order': False, "
    rb"'shape': \(([\d, ]{0,160})\), \} *\n",
    re.DOTALL,
)

# what the standard library and NumPy raise for a malformed zip, array or JSON text
REFUSED = (
    zipfile.BadZipFile,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    EOFError,
    RuntimeError,
    OSError,
    zlib.error,
    struct.error,
)


@contextlib.contextmanager
def replacing(path):
    """A binary file that takes the place of `path` when the block ends well, and only then.

    The bytes go to `.NAME.PROCESS.partial` beside it, a file of this process alone, are flushed
    to the disk, and the file is renamed.  Whatever happens, also where two processes write at
    once, `path` holds all of one's bytes.

    Parameters
    ----------
    path : str or path
        The file to replace or make.

    Yields
    ------
    file
        Open for reading and writing.

    Raises
    ------
    OSError
        If the file cannot be written; the partial file is removed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/a") as file:
    ...         _ = file.write(b"whole")
    ...     open(f"{folder}/a", "rb").read()
    b'whole'
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
    """The file that is written before it takes the place of `path`."""
    path = pathlib.Path(path)
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def check_writable(path):
    """Refuse a path that cannot be written, before the work whose result goes there.

    Parameters
    ----------
    path : str or path
        A file to be written later.

    Raises
    ------
    InputError
        If its folder is missing, or the path is a folder or another thing than a file.
    OSError
        If the system refuses a file of this name there.

    Examples
    --------
    >>> try:
    ...     check_writable("no/such/folder/net.npz")
    ... except InputError as error:
    ...     print(error)
    cannot write no/such/folder/net.npz: there is no folder no/such/folder; make it first
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise InputError(f"cannot write {path}: it is a folder or a device; expected a file's name")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    try:
        _partial(path).touch()
        _partial(path).unlink()
    except OSError as error:
        error.filename = str(path)
        raise


def write_archive(path, kind, version, header, arrays):
    """Write arrays and a header, whole or not at all.

    Parameters
    ----------
    path : str or path
        The file.
    kind : str
        What the file holds, as "frozen net".
    version : int
        The version of that kind.
    header : dict
        What JSON can hold; NumPy's scalars and arrays become numbers and lists.
    arrays : dict of str to numpy.ndarray
        By name.

    Raises
    ------
    OSError
        If the file cannot be written; what was there stays.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_archive(f"{folder}/a.npz", "test", 1, {"n": 3}, {"x": np.arange(3)})
    ...     read_archive(f"{folder}/a.npz", "test", 1)
    ({'n': 3}, {'x': array([0, 1, 2])})
    """
    with replacing(path) as file:
        _write(file, kind, version, header, arrays)


def archive_bytes(kind, version, header, arrays):
    """The bytes that `write_archive` would write, without a file.

    Parameters
    ----------
    kind, version, header, arrays : optional
        As for `write_archive`.

    Returns
    -------
    int

    Examples
    --------
    >>> archive_bytes("test", 1, {"n": 3}, {"x": np.arange(3)})
    612
    """
    file = io.BytesIO()
    _write(file, kind, version, header, arrays)
    return file.tell()


def _write(file, kind, version, header, arrays):
    """The zip of a header and arrays, and the digest behind it."""
    text = to_json({"magic": "bitnet", "kind": kind, "version": version, **header})
    members = {"header": np.frombuffer(text.encode(), np.uint8), **arrays}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = LABEL + b"0" * DIGEST
        for name, array in members.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = _digest(file, n_bytes - DIGEST)
    file.seek(n_bytes - DIGEST)
    file.write(digest)


def to_json(value):
    """A value as JSON text; NumPy's scalars and arrays become numbers and lists.

    Parameters
    ----------
    value : dict, list, str, number or None
        With such values inside.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If something else is inside.

    Examples
    --------
    >>> to_json({"n": np.float32(0.5), "sizes": (1, 2)})
    '{"n": 0.5, "sizes": [1, 2]}'
    """

    def plain(inner):
        if isinstance(inner, (np.ndarray, np.generic)):
            return inner.tolist()
        raise InputError(
            f"a file's header cannot hold {type(inner).__name__} ({inner!r}); "
            "expected text, numbers, lists and dicts"
        )

    return json.dumps(value, default=plain)


def _digest(file, n_bytes):
    """The SHA-256 of the next `n_bytes` of a file, in hexadecimal."""
    digest = hashlib.sha256()
    while n_bytes > 0 and (block := file.read(min(n_bytes, 1 << 20))):
        digest.update(block)
        n_bytes -= len(block)
    return digest.hexdigest().encode()


def read_archive(path, kind, version, max_bytes=MAX_BYTES):
    """Read what `write_archive` wrote, or refuse the file.

    Sizes are held against the bytes that are there before anything is allocated.

    Parameters
    ----------
    path : str or path
    kind : str
        What the file must hold.
    version : int
        The version that the caller understands.
    max_bytes : int, optional
        The largest file to read, 4 GiB.

    Returns
    -------
    header : dict
        Without the magic, kind and version.
    arrays : dict of str to numpy.ndarray
        By name.

    Raises
    ------
    InputError
        If the file is too large, of another kind or version, truncated or changed.
    OSError
        If it cannot be opened or read.

    Examples
    --------
    See `write_archive`.

    >>> try:
    ...     read_archive(__file__, "frozen net", 1)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    not a bitnet file, or its end is cut off; expected a frozen net
    """
    _check_regular(path)
    with open(path, "rb") as file:
        n_bytes = file.seek(0, os.SEEK_END)
        if n_bytes > max_bytes:
            raise InputError(f"{path}: {n_bytes} bytes; expected at most {max_bytes}")
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
            raise InputError(f"{path}: not a {kind} of bitnet ({error})") from None
    try:
        header = json.loads(members.pop("header").tobytes())
        came = header.pop("magic"), header.pop("kind"), header.pop("version")
    except REFUSED:
        raise InputError(f"{path}: the file has no header of bitnet; expected a {kind}") from None
    if came[:2] != ("bitnet", kind):
        raise InputError(f"{path}: the file holds a {came[1]!r}; expected a {kind}")
    if came[2] != version:
        raise InputError(
            f"{path}: version {came[2]!r} of a {kind}; this bitnet reads version {version}"
        )
    return header, members


def kind_of(path):
    """What a file of `write_archive` says that it holds; the rest of it is not read.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the file is none of bitnet's.
    OSError
        If it cannot be opened or read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_archive(f"{folder}/a.npz", "test", 1, {}, {})
    ...     kind_of(f"{folder}/a.npz")
    'test'
    """
    return header_of(path)["kind"]


def header_of(path):
    """What a file says of itself; the rest of it is not read."""
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


def _check_regular(path):
    """Refuse a device or a pipe, which has no end or no size."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path}: it is a device or a pipe; expected a file of bitnet")


def _read_members(file, n_bytes):
    """The arrays of a zip file of this size, by name."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = {info.filename for info in members}
        if len(names) < len(members) or sum(info.file_size for info in members) > n_bytes:
            raise ValueError("two members share a name or their bytes")
        return {info.filename.removesuffix(".npy"): _read_member(archive, info) for info in members}


def _read_member(archive, info):
    """The array of one zip member, whose header may not promise more bytes than there are."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError(f"{info.filename} is compressed")
    content = archive.read(info)
    header = NPY_HEADER.match(content)
    if header is None or header[1].decode() not in TYPES:
        raise ValueError(f"{info.filename} is no .npy array of a type that is used here")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(size) for size in header[2].split(b",") if size.strip())  # "3, 4" or "3,"
    if math.prod(shape) * dtype.itemsize != len(content) - header.end():
        raise ValueError(f"the header of {info.filename} does not fit its bytes")
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[:] = np.frombuffer(content[header.end() :], np.uint8)
    return array
