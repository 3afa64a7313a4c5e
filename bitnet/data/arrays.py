"""Arrays of pixels from `.npy` and `.npz` files; nothing is unpickled."""

import pathlib
import zipfile

from bitnet import archive
from bitnet.errors import InputError

MAGIC, MAX_BYTES = archive.NPY, 1 << 30
EXPECTED = "uint8 pixels from 0 to 255 (convert floats by (255 * x).round().astype('uint8'))"


def parse_npy(content, name):
    """Return the array of pixels in the bytes of a `.npy` file."""
    return archive.parse_npy(content, name, ("|u1",), EXPECTED)


def read_arrays(path, max_bytes=MAX_BYTES):
    """Return the arrays of pixels in an `.npz` file by name, or in a `.npy` file as {"": array}."""
    path = pathlib.Path(path)
    with open(path, "rb") as file:
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
    with zipfile.ZipFile(file) as opened:
        members = opened.infolist()
        if sum(info.file_size for info in members) > max_bytes:
            raise InputError(f"{path}: too large when unpacked; expected at most {max_bytes} bytes")
        arrays = {}
        for info in members:
            name = info.filename.removesuffix(".npy")
            with opened.open(info) as member:
                content = member.read(info.file_size + 1)
            arrays[name] = parse_npy(content, f"{path}: {name}")
        return arrays
