"""Make small folders of pictures from photographs in other installed packages.

`imagenet_folder.py --quick` uses this data set.
"""

import importlib.util
import pathlib

import numpy as np

from bitnet.data.image_folder import check_wanted
from bitnet.devices import check_generator
from bitnet.errors import check_count

#          package: folder, names
SHIPPED = {
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
    "skimage": (
        "data",
        "astronaut.png brick.png camera.png chelsea.png coffee.png grass.png gravel.png rocket.jpg",
    ),
}
DRAWN = ("disc", "square", "stripes", "cross")


def photographs():
    """Return the photographs in installed packages as paths by name, without importing them.

    scikit-learn has two in colour, scikit-image four in colour and four in grey.
    """
    found = {}
    for package, (folder, names) in SHIPPED.items():
        spec = importlib.util.find_spec(package)
        for root in spec.submodule_search_locations or () if spec else ():
            paths = (pathlib.Path(root) / folder / name for name in names.split())
            found |= {path.stem: path for path in paths if path.is_file()}
    return dict(sorted(found.items()))


def write_image_folder(folder, rng, train=40, val=10, side=80):
    """Write a small data set in ImageNet's layout for a test, and return its classes.

    `folder` gets `train/CLASS/*.jpg` and `val/CLASS/*.jpg`, with `train` and `val` pictures per
    class.  A class has parts of one photograph with different sizes and brightness.  If fewer than
    two photographs are installed, the classes are drawn: discs, squares, stripes and crosses.
    `side` is the length of the shorter side in pixels; the longer one is up to 1.5 times as long.
    """
    check_wanted(side, 3)
    check_generator("write_image_folder", rng)
    check_count("write_image_folder", train=train)
    train = int(train)
    check_count("write_image_folder", val=val)
    val = int(val)
    from PIL import Image

    found = photographs()
    sources = {name: Image.open(path).convert("RGB") for name, path in found.items()}
    if len(sources) < 2:
        sources = dict.fromkeys(sorted(DRAWN))
    for part, count in (("train", train), ("val", val)):
        for name, source in sources.items():
            own = pathlib.Path(folder) / part / name
            own.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                longer = int(side * rng.uniform(1, 1.5))
                size = (longer, side) if rng.random() < 0.5 else (side, longer)
                picture = _part_of(source, size, rng) if source else _drawn(name, size, rng)
                picture.save(own / f"{i:04}.jpg", quality=90)
    return tuple(sources)


def _part_of(photograph, size, rng):
    """Return a random part of a photograph with a random brightness."""
    from PIL import Image

    largest = min(n / to for n, to in zip(photograph.size, size, strict=True))
    scale = largest * rng.uniform(0.3, 1)
    lengths = [scale * to for to in size]
    starts = [rng.uniform(0, n - own) for n, own in zip(photograph.size, lengths, strict=True)]
    ends = [start + own for start, own in zip(starts, lengths, strict=True)]
    picture = photograph.resize(size, Image.Resampling.BILINEAR, (*starts, *ends))
    gain = rng.uniform(0.6, 1.4)
    return picture.point(lambda value: gain * value)


def _drawn(name, size, rng):
    """Return a bright figure of random colour and place on a dark, noisy background."""
    from PIL import Image

    width, height = size
    radius = min(size) * rng.uniform(0.25, 0.4)
    rows, columns = np.mgrid[:height, :width]
    y = rows - rng.uniform(radius, height - radius)
    x = columns - rng.uniform(radius, width - radius)
    inside = np.maximum(abs(x), abs(y)) < radius
    figures = {
        "disc": x * x + y * y < radius * radius,
        "square": inside,
        "stripes": inside & (y // (radius / 3) % 2 < 1),
        "cross": inside & (np.minimum(abs(x), abs(y)) < radius / 4),
    }
    pixels = rng.integers(0, 80, (height, width, 3))
    pixels[figures[name]] += rng.integers(80, 176, 3)
    return Image.fromarray(pixels.astype(np.uint8))
