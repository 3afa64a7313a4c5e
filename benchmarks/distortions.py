"""Random distortions of grey-scale images: shifts, rotations, zooms, shears and elastic waves.

Each image is sampled between its pixels at places that an affine map and a smooth field of
displacements give (Simard et al., 2003, "Best practices for convolutional neural networks applied
to visual document analysis").  `distorted_copies` writes several distorted copies of a training
set to a file, so that trainings share them and a teacher sees each image once.
"""

import pathlib

import numpy as np

PART = 100  # images at once, whose places stay in the cache
SHIFT, DEGREES, ZOOM, SHEAR, WAVES = 2.0, 14.0, 0.14, 0.15, 1.0  # WAVES: deviation in pixels
KNOTS = 6  # of the waves on each axis


def distorted(images, rng, strength=1.0):
    """Return uint8 images (B, H, W), each distorted at random, by at most `strength` of all."""
    out = np.empty_like(images)
    for start in range(0, len(images), PART):
        part = slice(start, start + PART)
        out[part] = _sampled(images[part], *_places(images[part].shape, rng, strength))
    return out


def _places(shape, rng, strength):
    """Return the rows and the columns (B, H, W) at which images are sampled."""
    count, height, width = shape

    def drawn(most):
        return rng.uniform(-most * strength, most * strength, (count, 1, 1)).astype(np.float32)

    angle, down, right = drawn(np.radians(DEGREES)), drawn(SHIFT), drawn(SHIFT)
    zoom_y, zoom_x, shear = np.exp(drawn(ZOOM)), np.exp(drawn(ZOOM)), drawn(SHEAR)
    y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
    x = np.arange(width, dtype=np.float32)[None] - (width - 1) / 2
    x = x + shear * y
    rows = zoom_y * (np.cos(angle) * y - np.sin(angle) * x) + down
    columns = zoom_x * (np.sin(angle) * y + np.cos(angle) * x) + right
    size = WAVES * strength
    rows += size * _waves(shape, rng) + np.float32((height - 1) / 2)
    columns += size * _waves(shape, rng) + np.float32((width - 1) / 2)
    return rows, columns


def _waves(shape, rng):
    """Return smooth fields (B, H, W) of about unit variance, each from KNOTS x KNOTS numbers."""
    count, *sizes = shape
    field = rng.standard_normal((count, KNOTS, KNOTS), dtype=np.float32)
    rise, run = (_bells(size) for size in sizes)
    return rise @ field @ run.T


def _bells(size):
    """Return the shares (size, KNOTS) of the knots at each pixel, rows of unit length."""
    at, knots = np.linspace(0, KNOTS - 1, size), np.arange(KNOTS)
    bells = np.exp(-((at[:, None] - knots) ** 2)).astype(np.float32)
    return bells / np.sqrt((bells**2).sum(axis=1, keepdims=True))


def _sampled(images, rows, columns):
    """Return uint8 images sampled at fractional places; outside they are 0."""
    count, height, width = images.shape
    padded = np.zeros((count, height + 3, width + 3), np.float32)
    padded[:, 1:-2, 1:-2] = images
    rows = np.clip(rows + 1, 0, height + 1)
    columns = np.clip(columns + 1, 0, width + 1)
    top, left = rows.astype(np.int32), columns.astype(np.int32)
    down, right = rows - top, columns - left
    at = (np.arange(count, dtype=np.int32)[:, None, None] * (height + 3) + top) * (width + 3) + left
    flat = padded.reshape(-1)
    above = flat[at] + (flat[at + 1] - flat[at]) * right
    at += width + 3
    below = flat[at] + (flat[at + 1] - flat[at]) * right
    return (above + (below - above) * down + np.float32(0.5)).astype(np.uint8)


def distorted_copies(images, count, path, strength=1.0):
    """Return `count` distorted copies (count, B, H, W) of images, from a file that is made once."""
    path, shape = pathlib.Path(path), (count, *images.shape)
    if not path.exists():
        made = path.with_suffix(".part")
        copies = np.lib.format.open_memmap(made, "w+", np.uint8, shape)
        for seed, copy in enumerate(copies):
            copy[:] = distorted(images, np.random.default_rng(seed), strength)
        copies.flush()
        made.rename(path)
    return np.load(path, mmap_mode="r")
