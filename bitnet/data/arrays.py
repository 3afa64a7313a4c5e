"""Arrays from `.npy` and `.npz` files; nothing is unpickled."""

import os
import pathlib
import zipfile

import numpy as np

from bitnet import archive
from bitnet.errors import InputError, visible
from bitnet.files import opened

MAGIC, MAX_BYTES, BLOCK = archive.NPY, 1 << 30, 1 << 20
UNPACKED, MAX_RATIO = 64 << 20, 100  # an .npz file unpacks to 64 MiB plus 100 times its size
PIXELS, EXPECTED = ("|u1",), "uint8 pixels from 0 to 255"
EXPECTED += " (convert floats by (255 * x).round().astype('uint8'))"
FLOATS = tuple(f"{order}f{size}" for size in (2, 4, 8) for order in "<>")
NUMBERS = ("|b1", "|u1", "|i1", *(f"{o}{k}{n}" for n in (2, 4, 8) for k in "iu" for o in "<>"))
NUMBERS += FLOATS
TEXT = tuple(f"{kind}{n}" for n in range(1, 257) for kind in ("<U", ">U", "|S"))
EXPECTED_NUMBERS = "real numbers, or text of at most 256 characters"


class Foreign(str):
    """What an array is instead of one that can be read, as a sentence."""


def parse_npy(content, name, types=PIXELS, expected=EXPECTED):
    """Return the array in the bytes of a `.npy` file: pixels, or numbers of other `types`."""
    return archive.parse_npy(content, name, types, expected)


def read_arrays(path, types=PIXELS, expected=EXPECTED, max_bytes=MAX_BYTES):
    """Return the arrays in an `.npz` file by name, or in a `.npy` file as {"": array}.

    An array of an `.npz` file that has another type is `Foreign`.
    """
    path = pathlib.Path(path)
    with opened(path, "a .npy or .npz file") as file:
        start = file.read(6)
        file.seek(0)
        if start == MAGIC:
            content = file.read(max_bytes + 1)
            if len(content) > max_bytes:
                raise InputError(
                    f"{path}: the file is too large; expected at most {max_bytes} bytes"
                )
            return {"": parse_npy(content, path, types, expected)}
        try:
            return _read_npz(file, path, types, expected, max_bytes)
        except InputError:
            raise
        except (*archive.DAMAGED, OSError) as error:  # OSError: a place outside of the file
            raise InputError(
                f"{path}: not a .npy or .npz file, or damaged ({error!s:.200})"
            ) from None


def _read_npz(file, path, types, expected, max_bytes):
    """Return the arrays of an `.npz` file by name."""
    with zipfile.ZipFile(file) as opened_zip:
        members = opened_zip.infolist()
        n_file = os.fstat(file.fileno()).st_size
        most = min(max_bytes, UNPACKED + MAX_RATIO * n_file)
        if (n_bytes := sum(info.file_size for info in members)) > most:
            expected = f"expected at most {most}, for a file of {n_file}"
            raise InputError(f"{path}: {n_bytes} bytes, too large when unpacked; {expected}")
        arrays = {}
        for info in members:
            name = info.filename.removesuffix(".npy")
            where = f"{path}: {visible(name):.60}"
            with opened_zip.open(info) as member:
                content = _whole(member, info.file_size).toreadonly()
            try:
                arrays[name] = parse_npy(content, where, types, expected)
            except InputError as error:
                arrays[name] = Foreign(str(error))
        return arrays


def _whole(member, n_bytes):
    """Return the bytes of a member that states this size, in memory once."""
    content, done = memoryview(bytearray(n_bytes)), 0
    while done < n_bytes and (more := member.readinto(content[done : done + BLOCK])):
        done += more
    if done < n_bytes or member.read(1):
        raise EOFError(f"a member has other than the {n_bytes} bytes that the file states")
    return content


def as_numbers(array, name):
    """Return real numbers as float32; refuse NaN, infinity and too large ones."""
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(numbers).all():
        raise InputError(
            f"{name}: NaN, infinity or a number too large for float32; fill it in, or remove its "
            "rows"
        )
    return numbers
