"""The file container: a `.npz` file that is read completely or rejected, and never half-written.

The file is an ordinary uncompressed zip of `.npy` members, which `numpy.load` opens.  The first
member, `header.npy`, is JSON text as bytes.  Zip stores a CRC-32 per array.  The comment of the
archive stores the SHA-256 of all bytes before the digest: a change of any byte, including the
fields of the zip format, is detected.  Nothing is unpickled.
"""

import hashlib
import io
import json
import math
import os
import re
import struct
import zipfile
import zlib

import numpy as np

from bitnet.arrays import plain
from bitnet.errors import InputError, visible
from bitnet.files import MAX_BYTES, is_stream, reading, replacing

LABEL = b"sha256 "
DIGEST = 64  # hexadecimal digits
MAX_HEADER = 8 << 20  # bytes; Python objects need about 25 times as much memory
NAME = re.compile(r"[^\\]{1,1000}")  # a backslash would become a slash

# the format of `numpy.lib.format`: NPY, version, length of the header, header, bytes
NPY = b"\x93NUMPY"
NPY_HEADER = re.compile(
    r"\{'descr': '([|<>=]\w{1,20})', 'fortran_order': (False|True), "
    r"'shape': \((|\d{1,19},|\d{1,19}(?:, \d{1,19}){1,9})\), \}\s*",
    re.ASCII,
)
TYPES = ("|b1", "|u1", "|i1", "<u2", "<i4", "<i8", "<f4", "<f8")

# exceptions of the standard library and NumPy for malformed zips, and for arrays or JSON text
DAMAGED = zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError
REFUSED = *DAMAGED, TypeError, KeyError, AttributeError, OSError


def write_archive(path, kind, version, header, arrays):
    """Write a header and arrays to a file, completely or not at all, or to a stream.

    What `read_archive` would refuse is refused before the file is touched.
    """
    members = _members(kind, version, header, arrays)
    if is_stream(path):
        file = io.BytesIO()
        _write(file, members)
        path.write(file.getbuffer())
        return
    with replacing(path) as file:
        _write(file, members)


def archive_bytes(kind, version, header, arrays):
    """Return the number of bytes that `write_archive` would write."""
    file = io.BytesIO()
    _write(file, _members(kind, version, header, arrays))
    return file.tell()


def _members(kind, version, header, arrays):
    """Return the arrays of an archive by name, the header first, in the form that is stored."""
    header = {"magic": "bitnet", "kind": kind, "version": version, **header}
    text = to_json(header).encode()
    _check_header_size(len(text))
    _check_keys(header)
    members = {"header": np.frombuffer(text, np.uint8)}
    for name, given in arrays.items():
        if name in members or not NAME.fullmatch(name) or not name.isprintable():
            expected = "1 to 1000 printable characters, not header"
            raise InputError(f"an array has the name {name!r:.60}; expected {expected}")
        array = plain(given, f"array {name!r}")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype.str not in TYPES:
            expected = f"{', '.join(kind[1:] for kind in TYPES)}; convert it"
            raise InputError(f"array {name!r} is {array.dtype}; expected one of {expected}")
        members[name] = array
    if (n_bytes := sum(array.nbytes + 1000 for array in members.values())) > MAX_BYTES:
        raise InputError(f"the file would have {n_bytes} bytes; expected at most {MAX_BYTES}")
    return {name: np.asarray(array, order="C") for name, array in members.items()}


def _check_keys(value):
    """Refuse the keys of dicts that JSON would turn into text."""
    inner = value if isinstance(value, (list, tuple)) else ()
    if isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise InputError(f"a file's header has the key {wrong[0]!r:.60}; expected text")
        inner = value.values()
    for own in inner:
        _check_keys(own)


def _write(file, members):
    """Write the zip of arrays, followed by the digest."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = LABEL + b"0" * DIGEST
        for name, array in members.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.file_size = array.nbytes + 1000  # selects the form of large members
            with archive.open(info, "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = _digest(file, n_bytes - DIGEST)
    file.seek(n_bytes - DIGEST)
    file.write(digest)


def to_json(value):
    """Return a value as JSON text; NumPy scalars and arrays become numbers and lists."""

    def number(inner):
        if isinstance(inner, (np.ndarray, np.generic)):
            return inner.tolist()
        came, expected = f"{type(inner).__name__} ({inner!r:.60})", "text, numbers, lists and dicts"
        raise InputError(f"a file's header cannot hold {came}; expected {expected}")

    try:
        return json.dumps(value, default=number)
    except (ValueError, TypeError, RecursionError) as error:  # such as an int of 5000 digits
        if isinstance(error, InputError):
            raise
        raise InputError(f"a file's header cannot hold these values ({error})") from None


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
    with reading(path, max_bytes, f"a {kind} of bitnet") as (file, n_bytes, path):
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
        header = _header_from(members.pop("header"))
        came = header.pop("magic"), header.pop("kind"), header.pop("version")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except REFUSED:
        raise InputError(f"{path}: the file has no bitnet header; expected a {kind}") from None
    if came[:2] != ("bitnet", kind):
        raise InputError(f"{path}: the file holds a {came[1]!r:.60}; expected a {kind}")
    if came[2] != version:
        stated = f"version {came[2]!r:.40} of a {kind}"
        raise InputError(f"{path}: {stated}; this bitnet reads version {version}")
    return header, members


def kind_of(path):
    """Return the kind that the header of a file states, without reading the rest."""
    return header_of(path)["kind"]


def header_of(path):
    """Return the header of a file without reading the rest."""
    with reading(path, expected="a file of bitnet") as (file, _, path):
        try:
            with zipfile.ZipFile(file) as archive:
                info = archive.getinfo("header.npy")
                _check_header_size(info.file_size - 1000)
                header = _header_from(_read_member(archive, info))
            if header["magic"] == "bitnet" and isinstance(header["kind"], str):
                return header
        except REFUSED:
            pass
    raise InputError(f"{path}: not a file of bitnet, or its end is cut off; expected a net")


def _header_from(array):
    """Return the header in the bytes of a member."""
    _check_header_size(array.nbytes)
    return json.loads(array.tobytes())


def _check_header_size(n_bytes):
    """Refuse a header that would need much memory."""
    if n_bytes > MAX_HEADER:
        raise InputError(f"a header of {n_bytes} bytes; expected at most {MAX_HEADER}")


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
    name = visible(info.filename)[:60]
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError(f"{name} is compressed")
    array = parse_npy(archive.read(info), name)
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is in Fortran order")
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
    header = bytes(content[8 + size : min(begin, 8 + size + 10_000)]).decode("latin1")
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
