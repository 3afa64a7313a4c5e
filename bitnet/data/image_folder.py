"""Folders of images in the layout of ImageNet, and single images, cut and scaled to squares.

    FOLDER/train/CLASS/*.jpg    FOLDER/val/CLASS/*.jpg, or FOLDER/test/CLASS/*.jpg

or, if every fifth picture of each class shall be for the test, FOLDER/CLASS/*.jpg.

Pillow (extra `images`) decodes them.  The largest square in the centre of each image is scaled to
the requested size.
"""

import contextlib
import errno
import importlib.util
import os
import pathlib
import threading
import warnings

import numpy as np

from bitnet.errors import InputError, check_count
from bitnet.files import opened, size_of

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF")
ENDINGS: tuple[str, ...] = (
    ".jpg",
    ".jpeg",
    ".jfif",
    ".png",
    ".bmp",
    ".gif",
    ".pgm",
    ".ppm",
    ".webp",
    ".tif",
)
ENDINGS += (".tiff",)
OTHER = (".heic", ".heif", ".avif")  # of phones; Pillow needs a plugin for them
BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif")
MAX_PIXELS = 1 << 26  # per file, 67 million
STRIP = 1 << 20  # pixels that are converted at once
MAX_FILE = 1 << 28  # bytes
MAX_BYTES = 1 << 32  # for all decoded images of a folder
MAX_SIZE = 4096
TEST_ROWS = 5  # one of so many pictures is for the test
LAYOUT = (
    "FOLDER/train/CLASS/*.png (or .jpg, ...) and FOLDER/val or FOLDER/test, or FOLDER/CLASS/*.png"
)
MAX_CLASSES = 1 << 16
MODES = {1: "L", 3: "RGB"}
Files = tuple[list[pathlib.Path], np.ndarray]  # and the labels


def read_image(path: pathlib.Path | str, size: int, channels: int = 3) -> np.ndarray:
    """Read one image file as a square.

    The image is rotated as its EXIF data state, put on a white background if it is transparent,
    cropped to the largest square in its centre, and scaled.  A square of the right size is not
    changed.  Only the first frame of an animation is read.

    Parameters
    ----------
    path : str or path
        A JPEG, PNG, BMP, GIF, PPM, PGM, TIFF or WebP file of at most 256 MiB and 67 million pixels,
        which need at most 8 bytes of memory each.  Of 16-bit pixels the upper 8 bits are taken.
    size : int
        Pixels per side, 1 to 4096.
    channels : {1, 3}, optional
        Grey, or RGB.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (size, size, 3), or (size, size) for one channel.

    Raises
    ------
    InputError
        If Pillow is missing, or the file is damaged, too large or not such an image.

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
    return _square(path, size, channels)


def _square(path, size, channels, spans=None):
    """Return an image as `read_image` does; add the span of 16-bit pixels to `spans`."""
    check_wanted(size, channels)
    from PIL import Image

    with upright(path, channels, spans=spans) as image:
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        box = left, top, left + side, top + side
        return np.array(image.resize((size, size), Image.Resampling.BILINEAR, box))


class _Quiet:
    """A context without warnings, which Pillow raises for unusual images, in any thread."""

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
def upright(path, channels, least=None, spans=None):
    """Open an image upright, with 8 bits and without transparency; errors name the file.

    With `least`, a JPEG may be decoded at 1/8, 1/4 or 1/2 of its size, if both sides stay at
    `least` pixels or more.  The smallest and the largest of 16-bit pixels are added to the list
    `spans`.
    """
    from PIL import Image, ImageOps

    with opened(path, "a picture") as file, _quiet:
        size_of(path, file, MAX_FILE)
        _check_brand(path, file)
        try:
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    came = f"{width} x {height} pixels"
                    raise InputError(f"{path}: {came}; expected at most {MAX_PIXELS} in all")
                if image.mode == "F":
                    raise InputError(f"{path}: float pixels; expected 8 or 16 bits; convert them")
                if least is not None:
                    image.draft(None, (least, least))
                ImageOps.exif_transpose(image, in_place=True)  # first: conversions lose the EXIF
                yield _converted(image, MODES[channels], [] if spans is None else spans)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # Pillow raises many classes for damaged files
            named = repr(file) in str(error)  # Pillow names the file object if it knows no reason
            reason = "" if named else f" ({error})"
            what = f"not a readable picture, or damaged{reason}"
            raise InputError(f"{path}: {what}; expected {', '.join(FORMATS)}") from None


def check_wanted(size, channels):
    """Raise InputError if Pillow is missing, or size or channels are invalid."""
    if importlib.util.find_spec("PIL") is None:
        how = "run `pip install pillow`, or the extra `images`"
        raise InputError(f"reading image files needs Pillow; {how}")
    check_count("image folder", size=size, most=MAX_SIZE)
    if channels not in MODES:
        raise InputError(f"channels is {channels!r}; expected 1 (grey) or 3 (RGB)")


def _check_brand(path, file):
    """Raise InputError for a HEIC or AVIF picture, with the way out."""
    start = file.read(12)
    file.seek(0)
    if start[4:8] == b"ftyp" and start[8:12] in BRANDS:
        raise InputError(
            f"{path}: a HEIC or AVIF picture, as phones write them; expected {', '.join(FORMATS)}; "
            "convert it to JPEG first"
        )


def _converted(image, mode, spans):
    """Return an image with 8 bits, without transparency, in a mode; made in strips of rows."""
    from PIL import Image

    if image.mode == mode and not image.has_transparency_data:
        return image
    (width, height), result = image.size, Image.new(mode, image.size)
    step = max(1, STRIP // width)
    for top in range(0, height, step):
        part = image.crop((0, top, width, min(top + step, height)))
        result.paste(_on_white(_on_8_bits(part, spans)).convert(mode), (0, top))
    return result


def _on_8_bits(image, spans):
    """Convert 16-bit images to 8 bits; the conversion of Pillow would clip."""
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    pixels = np.asarray(image).clip(0, 65535)
    spans.append((int(pixels.min()), int(pixels.max())))
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def note_of(spans):
    """Return what a user should know about 16-bit pixels, as a list of no or one sentence."""
    if not spans:
        return []
    least, most = min(least for least, _ in spans), max(most for _, most in spans)
    n_bits = max(8, most.bit_length())
    what = f"some pictures have 16 bits per pixel, with values from {least} to {most}"
    if n_bits == 16:
        return [f"{what}; the upper 8 bits are taken"]
    cure = f"multiply them by {2 ** (16 - n_bits)} first, or all pictures are dark"
    return [f"{what}, which {n_bits} bits hold; the upper 8 of 16 bits are taken: {cure}"]


def _on_white(image):
    """Put a transparent image on a white background."""
    if not image.has_transparency_data:
        return image
    from PIL import Image

    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def read_images_of(
    path: pathlib.Path | str, size: int, channels: int = 3
) -> tuple[list[pathlib.Path], np.ndarray]:
    """Read one image file, or all image files of a folder.

    Parameters
    ----------
    path : str or path
        A file, or a folder; subfolders and other files are ignored.
    size, channels : int
        See `read_image`.

    Returns
    -------
    paths : list of pathlib.Path
        The image files, sorted by name.
    images : numpy.ndarray
        uint8 of shape (count, size, size, 3), or (count, size, size) for one channel.

    Raises
    ------
    InputError
        If an image cannot be read, there is none, or all of them need more than 4 GiB.

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
    if not path.exists():  # reported before a missing Pillow
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    paths = _pictures(path) if path.is_dir() else [path]
    if not paths:
        endings = ", ".join(ENDINGS)
        raise InputError(f"{path}: no pictures in it; expected files ending in {endings}")
    return paths, _read_all(paths, size, channels, path)


def _pictures(folder):
    """Return the files of a folder with the suffix of an image, sorted."""
    named = (p for p in folder.iterdir() if p.name[:1] != "." and p.is_file())
    found = sorted(p for p in named if p.suffix.lower() in ENDINGS + OTHER)
    if other := [path for path in found if path.suffix.lower() in OTHER]:
        raise InputError(
            f"{other[0]}: {other[0].suffix} pictures, as phones write them, are not read; convert "
            f"them to JPEG, or remove them ({len(other)} here)"
        )
    return found


def _read_all(paths, size, channels, where, spans=None):
    """Read image files into one array, after a check of its size."""
    check_wanted(size, channels)
    n_bytes = len(paths) * int(size) ** 2 * channels
    if n_bytes > MAX_BYTES:
        came = f"{len(paths)} images of {size}x{size}x{channels} need {n_bytes} bytes"
        most = f"expected at most {MAX_BYTES}"
        raise InputError(f"{where}: {came}; {most}; use a smaller size")
    images = np.empty((len(paths), size, size) + ((3,) if channels == 3 else ()), np.uint8)
    for i, path in enumerate(paths):
        images[i] = _square(path, size, channels, spans)
    return images


def read_image_folder(folder, size=32, channels=3):
    """Return the parts of a Dataset in a folder, as its keyword arguments."""
    train, test, classes = list_image_folder(folder)
    spans: list = []
    images, test_images = (
        _read_all(paths, size, channels, paths[0].parent.parent, spans)
        for paths, _ in (train, test)
    )
    notes = note_of(spans)
    if not (pathlib.Path(folder) / "train").is_dir():
        notes.append(f"no test part: every fifth of the {len(images) + len(test_images)} is one")
    if lacking := sorted(set(range(len(classes))) - set(test[1].tolist())):
        names = ", ".join(classes[i] for i in lacking)
        notes.append(f"the test part has no picture of {names:.200}")
    sets = {"train_images": images, "train_labels": train[1]}
    sets |= {"test_images": test_images, "test_labels": test[1]}
    return sets | {"classes": classes, "notes": notes}


def list_image_folder(folder: pathlib.Path | str) -> tuple[Files, Files, tuple[str, ...]]:
    """List the training and test images of a folder in the layout of ImageNet.

    No image is read.

    Parameters
    ----------
    folder : str or path
        A folder with `train/CLASS/` and `val/CLASS/`, or `test/CLASS/` if there is no `val`.  The
        class names are the sorted names of the folders in `train`; others may lack some.  Without
        these folders it has the classes themselves, and every fifth file of each is for the test.
        The classes alternate in proportion to their sizes: the first files come from all classes,
        and so do the last.

    Returns
    -------
    train, test : (list of pathlib.Path, numpy.ndarray)
        The files, and the class index of each.
    classes : tuple of str
        The class names.

    Raises
    ------
    InputError
        If a folder is missing or empty, or only the test set has a class.

    Examples
    --------
    >>> list_image_folder("no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    bitnet.errors.InputError: no/such/folder: there is no such folder; ...
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; expected {LAYOUT}")
    parts = [folder / "train", folder / "val"]
    parts[1] = parts[1] if parts[1].is_dir() else folder / "test"
    is_split = [part.is_dir() for part in parts]
    if is_split == [False, False]:
        return _split_by_class(folder)
    if not all(is_split):
        name = "train" if is_split[1] else "val or test"
        raise InputError(f"{folder}: no folder {name} in it; expected {LAYOUT}")
    classes, test_classes = map(_classes, parts)
    if different := sorted(set(test_classes) - set(classes)):
        raise InputError(
            f"{folder}: the class {different[0]!r} is in {parts[1].name} and not in train; "
            "expected pictures of it there too"
        )
    train = [_filled(parts[0] / name) for name in classes]
    test = [_filled(parts[1] / name) if name in test_classes else [] for name in classes]
    return _in_turns(train), _in_turns(test), classes


def _split_by_class(folder):
    """Return the sets of a folder of classes: every fifth file of each is for the test."""
    if not any(path.is_dir() and path.name[:1] != "." for path in folder.iterdir()):
        raise InputError(f"{folder}: no folder train and no folders of classes; expected {LAYOUT}")
    classes = _classes(folder)
    files = [_filled(folder / name) for name in classes]
    test = [own[TEST_ROWS - 1 :: TEST_ROWS] for own in files]
    if not any(test):
        raise InputError(
            f"{folder}: fewer than {TEST_ROWS} pictures in each class, so none is left for a test; "
            "expected more"
        )
    train = [[p for i, p in enumerate(own) if i % TEST_ROWS < TEST_ROWS - 1] for own in files]
    return _in_turns(train), _in_turns(test), classes


def _filled(folder):
    """Return the files of a class; refuse none."""
    if found := _pictures(folder):
        return found
    raise InputError(f"{folder}: no pictures in it; expected {', '.join(ENDINGS)}")


def _in_turns(files):
    """Return the files of all classes and their labels; the classes alternate."""
    turns = [  # the position of each file in its class, from 0 to 1, its label and its path
        ((i + 0.5) / len(own), label, path)
        for label, own in enumerate(files)
        for i, path in enumerate(own)
    ]
    _, labels, paths = zip(*sorted(turns), strict=True)
    return list(paths), np.array(labels, np.min_scalar_type(len(files) - 1))


def _classes(part):
    """Return the class names of a set: the names of its folders."""
    names = tuple(sorted(p.name for p in part.iterdir() if p.is_dir() and p.name[:1] != "."))
    if not 1 <= len(names) <= MAX_CLASSES:
        raise InputError(
            f"{part}: {len(names)} folders in it; expected one per class, at most {MAX_CLASSES}"
        )
    return names
