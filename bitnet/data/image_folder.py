"""Folders of images, in ImageNet's layout, and single images: pictures of any size as squares.

    FOLDER/train/CLASS/*.jpg    FOLDER/val/CLASS/*.jpg, or FOLDER/test/CLASS/*.jpg

Pillow (extra `images`) decodes them.  The middle of each picture, as large a square as fits, is
scaled to the size that is asked for.
"""

import contextlib
import errno
import importlib.util
import os
import pathlib
import threading
import warnings

import numpy as np

from bitnet.archive import size_of
from bitnet.errors import InputError, check_count

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".webp")
MAX_PIXELS = 1 << 26  # of a file, 67 million
MAX_FILE = 1 << 28  # bytes
MAX_BYTES = 1 << 32  # of all images of a folder, decoded
MAX_SIZE = 4096
MAX_CLASSES = 1 << 16
MODES = {1: "L", 3: "RGB"}


def read_image(path, size, channels=3):
    """Read one picture as a square.

    It is turned as its camera notes, put on white where it is transparent, cut to the largest
    square in its middle, and scaled; a square of the right size comes as it is.  Of an animation
    the first picture counts.

    Parameters
    ----------
    path : str or path
        A JPEG, PNG, BMP, GIF, PPM, PGM or WebP file of at most 256 MiB and 67 million pixels.
    size : int
        Pixels along each side, 1 to 4096.
    channels : {1, 3}, optional
        Grey, or red, green and blue.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (size, size, channels), for one channel (size, size).

    Raises
    ------
    InputError
        If Pillow is missing, or the file is damaged, too large or no such picture.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/two.pgm", "wb") as file:
    ...         _ = file.write(b"P5 2 2 255 " + bytes([0, 50, 100, 200]))
    ...     read_image(f"{folder}/two.pgm", size=2, channels=1)
    array([[  0,  50],
           [100, 200]], dtype=uint8)
    """
    check_wanted(size, channels)
    from PIL import Image

    with opened(path, channels) as image:
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        box = left, top, left + side, top + side
        return np.array(image.resize((size, size), Image.Resampling.BILINEAR, box))


class _Quiet:
    """No warnings of Pillow, on pictures that are refused or are fine, while any thread decodes."""

    def __init__(self):
        self.lock, self.depth, self.filters = threading.Lock(), 0, None

    def __enter__(self):
        with self.lock:
            self.depth += 1
            if self.depth == 1:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *error):
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                self.filters.__exit__(*error)


_quiet = _Quiet()


@contextlib.contextmanager
def opened(path, channels, least=None):
    """A picture turned upright, of 8 bits, without transparency; its errors name the file.

    With `least` a JPEG may be decoded at an eighth, a quarter or half of its size, but with no
    side below it.
    """
    from PIL import Image, ImageOps

    with open(path, "rb") as file, _quiet:
        size_of(path, file, MAX_FILE)
        try:
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    came = f"{width} x {height} pixels"
                    raise InputError(f"{path}: {came}; at most {MAX_PIXELS} are decoded")
                if least is not None:
                    image.draft(None, (least, least))
                image = ImageOps.exif_transpose(_on_white(_on_8_bits(image)))
                yield image.convert(MODES[channels])
        except (InputError, MemoryError):
            raise
        except Exception as error:  # Pillow raises many kinds for files that are damaged
            named = repr(file) in str(error)  # by Pillow, where it knows no more to say
            reason = "" if named else f" ({error})"
            what = f"no picture that can be read, or damaged{reason}"
            raise InputError(f"{path}: {what}; expected {', '.join(FORMATS)}") from None


def check_wanted(size, channels):
    """Refuse a size that cannot be, and say what is missing."""
    if importlib.util.find_spec("PIL") is None:
        how = "run `pip install pillow`, or the extra `images`"
        raise InputError(f"reading pictures needs Pillow; {how}")
    check_count("image folder", size=size, most=MAX_SIZE)
    if channels not in MODES:
        raise InputError(f"channels is {channels!r}; expected 1 (grey) or 3 (red, green, blue)")


def _on_8_bits(image):
    """A picture of 16 bits as one of 8; Pillow's own conversion clips."""
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image, np.int64).clip(0, 65535) >> 8).astype(np.uint8))


def _on_white(image):
    """A picture without transparency."""
    if not image.has_transparency_data:
        return image
    from PIL import Image

    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def read_images_of(path, size, channels=3):
    """Read one picture, or all pictures that are in a folder.

    Parameters
    ----------
    path : str or path
        A file, or a folder; its folders and other files are left out.
    size, channels : int
        As for `read_image`.

    Returns
    -------
    paths : list of pathlib.Path
        Those of the pictures, sorted by name.
    images : numpy.ndarray
        uint8 of shape (count, size, size, channels), for one channel (count, size, size).

    Raises
    ------
    InputError
        If a picture cannot be read, there is none, or there are more than fit 4 GiB.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.pgm", "a.pgm"):
    ...         with open(f"{folder}/{name}", "wb") as file:
    ...             _ = file.write(b"P5 1 1 255 " + name[:1].encode())
    ...     paths, images = read_images_of(folder, size=1, channels=1)
    >>> [path.name for path in paths], images.ravel()
    (['a.pgm', 'b.pgm'], array([97, 98], dtype=uint8))
    """
    path = pathlib.Path(path)
    if not path.exists():  # said before that Pillow is missing
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    paths = _pictures(path) if path.is_dir() else [path]
    if not paths:
        endings = ", ".join(ENDINGS)
        raise InputError(f"{path}: no pictures in it; expected files ending in {endings}")
    return paths, _read_all(paths, size, channels, path)


def _pictures(folder):
    """The files of a folder that are named like pictures, sorted."""
    named = (p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and p.name[:1] != ".")
    return sorted(path for path in named if path.is_file())


def _read_all(paths, size, channels, where):
    """All pictures as one array, whose size is checked first."""
    check_wanted(size, channels)
    n_bytes = len(paths) * int(size) ** 2 * channels
    if n_bytes > MAX_BYTES:
        came = f"{len(paths)} images of {size} x {size} x {channels} are {n_bytes} bytes"
        most = f"at most {MAX_BYTES} are held in memory"
        raise InputError(f"{where}: {came}; {most}; take a smaller size")
    images = np.empty((len(paths), size, size) + ((3,) if channels == 3 else ()), np.uint8)
    for i, path in enumerate(paths):
        images[i] = read_image(path, size, channels)
    return images


def read_image_folder(folder, size=32, channels=3):
    """Read what `list_image_folder` lists: (images, labels, test images, test labels), and the
    classes.
    """
    *sets, classes = list_image_folder(folder)
    arrays = []
    for paths, labels in sets:
        arrays += [_read_all(paths, size, channels, paths[0].parent.parent), labels]
    return tuple(arrays), classes


def list_image_folder(folder):
    """List the pictures of a training and a test set in ImageNet's layout, without reading them.

    Parameters
    ----------
    folder : str or path
        With `train/CLASS/` and `val/CLASS/`, or where there is no `val`, `test/CLASS/`.  The
        classes are the names of the folders, sorted, the same in both.  They take turns, each as
        often as its share, so that the first pictures and the last ones are of all classes.

    Returns
    -------
    train, test : (list of pathlib.Path, numpy.ndarray)
        The files, and the number of the class of each.
    classes : tuple of str
        Their names.

    Raises
    ------
    InputError
        If a folder is missing or empty, or the classes of the two sets differ.

    Examples
    --------
    >>> list_image_folder("no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    bitnet.errors.InputError: no/such/folder: no folder train in it; ...
    """
    folder = pathlib.Path(folder)
    parts = [folder / "train", folder / "val"]
    if not parts[1].is_dir():
        parts[1] = folder / "test"
    for part, name in zip(parts, ("train", "val or test"), strict=True):
        if not part.is_dir():
            layout = "FOLDER/train/CLASS/*.png (or jpg, ...) and FOLDER/val or FOLDER/test likewise"
            raise InputError(f"{folder}: no folder {name} in it; expected {layout}")
    classes, test_classes = map(_classes, parts)
    if different := sorted(set(classes) ^ set(test_classes)):
        what = f"the class {different[0]!r} is only in one of {parts[0].name} and {parts[1].name}"
        raise InputError(f"{folder}: {what}; expected the same folders in both")
    sets = []
    for part in parts:
        turns = []  # where in its class a picture stands, from 0 to 1, its label and its path
        for label, name in enumerate(classes):
            found = _pictures(part / name)
            if not found:
                raise InputError(f"{part / name}: no pictures in it; expected {', '.join(ENDINGS)}")
            turns += [((i + 0.5) / len(found), label, path) for i, path in enumerate(found)]
        _, labels, paths = zip(*sorted(turns), strict=True)
        sets.append((list(paths), np.array(labels, np.min_scalar_type(len(classes) - 1))))
    return *sets, classes


def _classes(part):
    """The names of the classes of one set: those of its folders."""
    names = tuple(sorted(p.name for p in part.iterdir() if p.is_dir() and p.name[:1] != "."))
    if not 1 <= len(names) <= MAX_CLASSES:
        raise InputError(f"{part}: {len(names)} folders in it; expected one for each class")
    return names
