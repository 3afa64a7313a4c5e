"""Arrays of pixels from `.npy` and `.npz` files; nothing is unpickled."""

import os
import pathlib
import zipfile

from bitnet import archive
from bitnet.errors import InputError, visible
from bitnet.files import opened

MAGIC, MAX_BYTES, BLOCK = archive.NPY, 1 << 30, 1 << 20
UNPACKED, MAX_RATIO = 64 << 20, 100  # an .npz file unpacks to 64 MiB plus 100 times its size
EXPECTED = "uint8 pixels from 0 to 255 (convert floats by (255 * x).round().astype('uint8'))"


def parse_npy(content, name):
    """Return the array of pixels in the bytes of a `.npy` file."""
    return archive.parse_npy(content, name, ("|u1",), EXPECTED)


def read_arrays(path, max_bytes=MAX_BYTES):
    """Return the arrays of pixels in an `.npz` file by name, or in a `.npy` file as {"": array}."""
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
            return {"": parse_npy(content, path)}
        try:
            return _read_npz(file, path, max_bytes)
        except InputError:
            raise
        except (*archive.DAMAGED, OSError) as error:  # OSError: a place outside of the file
            raise InputError(
                f"{path}: not a .npy or .npz file, or damaged ({error!s:.200})"
            ) from None


def _read_npz(file, path, max_bytes):
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
            with opened_zip.open(info) as member:
                content = _whole(member, info.file_size)
            arrays[name] = parse_npy(content.toreadonly(), f"{path}: {visible(name):.60}")
        return arrays


def _whole(member, n_bytes):
    """Return the bytes of a member that states this size, in memory once."""
    content, done = memoryview(bytearray(n_bytes)), 0
    while done < n_bytes and (more := member.readinto(content[done : done + BLOCK])):
        done += more
    if done < n_bytes or member.read(1):
        raise EOFError(f"a member has other than the {n_bytes} bytes that the file states")
    return content
