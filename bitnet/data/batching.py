"""Batches of a data set: in order or shuffled, with random flips and shifts."""

import collections
import concurrent.futures
from collections.abc import Iterator

import numpy as np

from bitnet.arrays import check_on_cpu, plain
from bitnet.data.display import grouped, size_in_words
from bitnet.devices import check_generator
from bitnet.errors import InputError, check_count

MAX_PREFETCH = 1024


def batches(
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    rng: np.random.Generator | None = None,
    flip: bool = False,
    pad: int = 0,
    prefetch: int = 0,
    border: float | None = None,
) -> "Batches":
    """Iterate over images and labels in batches of `batch_size`.

    Parameters
    ----------
    images, labels : numpy.ndarray
        Images of shape (count, ...), floats finite, and their labels: integers of shape (count,)
        for classes, or numbers of shape (count,) or (count, outputs), floats finite.
    batch_size : int
        Images per batch, 1 or more.
    rng : numpy.random.Generator, optional
        Shuffle the images, and drop the last ones if they do not fill a batch.  Without it they
        come in order, and the last batch may be smaller.  All random numbers of a pass (order,
        flips, shifts) are drawn when it starts.
    flip : bool, optional
        Mirror each image left to right with probability 1/2.  Needs `rng`.
    pad : int, optional
        Shift each image by -pad to pad pixels in each direction, all equally likely: a random crop
        of the image with a border of `pad` pixels.  Needs `rng`.
    prefetch : int, optional
        The number of batches that a thread prepares in advance, 0 to 1024.  The batches are the
        same.
    border : float, optional
        The value of the border (default: black, which is 0 for integers and -1 for floats from
        `scale_pixels`).  For images of a `Preparation`, 128 is the mean.

    Returns
    -------
    iterable of (numpy.ndarray, numpy.ndarray)
        The images and labels of each batch.  It has a length; each iteration is a new pass.

    Raises
    ------
    InputError
        If the arrays do not fit together, are empty, are on a GPU or contain NaN or infinity, if a
        number is out of range, or if images of this shape cannot be flipped or shifted.

    Examples
    --------
    >>> images, labels = np.arange(10).reshape(5, 2), np.arange(5)
    >>> [y.tolist() for x, y in batches(images, labels, 2)]
    [[0, 1], [2, 3], [4]]
    >>> len(batches(images, labels, 2, np.random.default_rng(0)))
    2
    """
    check_on_cpu("batches", images, labels)
    images, labels = plain(images, "images"), plain(labels, "labels")
    check_count("batches", batch_size=batch_size)
    batch_size = int(batch_size)
    fit = labels.ndim in (1, 2) and labels.shape[:1] == images.shape[:1]
    if not fit or not labels.size or labels.dtype.kind not in "biuf":
        came = f"images of shape {images.shape} and {labels.dtype} labels of shape {labels.shape}"
        expected = "one label, or row of numbers, per image, and at least one image"
        raise InputError(f"batches: {came}; expected {expected}")
    for what, array in (("images", images), ("labels", labels)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"batches: the {what} contain NaN or infinity; clean the data first")
    if rng is not None:
        check_generator("batches", rng)
        if batch_size > len(images):
            raise InputError(f"batches: batch is {batch_size}; there are only {len(images)} images")
    check_count("batches", pad=pad, least=0)
    check_count("batches", prefetch=prefetch, least=0, most=MAX_PREFETCH)
    pad, prefetch = int(pad), int(prefetch)
    if flip or pad:
        _check_changes(images, rng, pad)
    if border is None:
        border = -1 if images.dtype.kind == "f" else 0
    return Batches(images, labels, batch_size, rng, (bool(flip), pad, border), prefetch)


def _check_changes(images, rng, pad):
    """Raise InputError if the images cannot be flipped and shifted."""
    if rng is None:
        raise InputError(
            "batches: flip and pad are random; pass rng, such as numpy.random.default_rng(0)"
        )
    if images.ndim not in (3, 4):
        shapes = "(count, height, width) or (count, height, width, channels)"
        raise InputError(f"batches: flip and pad need images {shapes}; got shape {images.shape}")
    if pad >= min(size := images.shape[1:3]):
        raise InputError(f"batches: pad is {pad}; expected less than the image size {size}")


class Batches:
    """The batches of a data set; each iteration is a pass with its own random numbers."""

    def __init__(self, images, labels, batch_size, rng, change, prefetch):
        self.images, self.labels, self.batch_size, self.rng = images, labels, batch_size, rng
        self.change, self.prefetch = change, prefetch

    def __repr__(self):
        flip, pad, _ = self.change
        facts = [f"{grouped(len(self.images))} images of {size_in_words(self.images.shape[1:])}"]
        facts += [f"batch_size={self.batch_size}"] + ["shuffled"] * (self.rng is not None)
        facts += ["flip"] * flip + [f"pad={pad}"] * (pad > 0)
        return f"batches({', '.join(facts)}: {grouped(len(self))} batches)"

    def __len__(self) -> int:
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + (self.rng is None and rest > 0)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        make, count = self._draw(), len(self)
        return _ahead(make, count, self.prefetch) if self.prefetch else map(make, range(count))

    def _draw(self):
        """Return the function that makes batch number i of a new pass."""
        (flip, pad, border), count = self.change, len(self.images)
        order = None if self.rng is None else self.rng.permutation(count)
        flips = self.rng.integers(0, 2, count, dtype=bool) if flip else np.zeros(count, bool)
        shifts = self.rng.integers(-pad, pad + 1, (count, 2)) if pad else None

        def make(i):
            part = slice(i * self.batch_size, (i + 1) * self.batch_size)
            rows = part if order is None else order[part]
            x = self.images[rows]
            if flip:
                x[flips[part]] = x[flips[part], :, ::-1]
            if pad:
                x = _shifted(x, shifts[part], border)
            return x, self.labels[rows]

        return make


def _shifted(images, shifts, border):
    """Return each image moved down and to the right by its two shifts, in pixels."""
    height, width = images.shape[1:3]
    moved = np.full_like(images, border)
    for y, x, (down, right) in zip(moved, images, shifts.tolist(), strict=True):
        part = x[max(0, -down) : height - down, max(0, -right) : width - right]
        y[max(0, down) : height + down, max(0, right) : width + right] = part
    return moved


def _ahead(make, count, prefetch):
    """Yield `make(0)`, `make(1)`, ...; a thread computes up to `prefetch` of them in advance.

    The thread stops when the iterator ends, is closed or is garbage-collected; `make` holds no
    reference to the iterator.
    """
    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="batches")
    try:
        waiting = collections.deque()
        for i in range(count):
            waiting.append(pool.submit(make, i))
            if len(waiting) > prefetch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
