"""Batches of a data set, shuffled for training or in order."""

import numpy as np

from bitnet.backend import check_generator
from bitnet.errors import InputError

__all__ = ["batches"]


def batches(images, labels, batch_size, rng=None):
    """Go once through images and labels, some rows at a time.

    Parameters
    ----------
    images : numpy.ndarray
        Shape (count, ...); floats must be finite.
    labels : numpy.ndarray
        Integers of shape (count,).
    batch_size : int
        Rows in a batch, 1 or more.
    rng : numpy.random.Generator, optional
        Shuffle the rows, and leave out the last ones that do not fill a batch.  Without
        it the rows come in order and the last batch may be smaller.

    Returns
    -------
    list of (numpy.ndarray, numpy.ndarray)
        As an iterator with a length: images and labels of each batch.

    Raises
    ------
    InputError
        If the arrays do not fit, are empty, hold NaN or infinity, or the batch size is
        below 1 or, for shuffled batches, above the number of rows.

    Examples
    --------
    >>> images, labels = np.arange(10).reshape(5, 2), np.arange(5)
    >>> [y.tolist() for x, y in batches(images, labels, 2)]
    [[0, 1], [2, 3], [4]]
    >>> len(batches(images, labels, 2, np.random.default_rng(0)))
    2
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise InputError(f"batches: batch_size is {batch_size!r}; expected 1 or more")
    if (
        images.ndim == 0
        or len(images) == 0
        or labels.shape != (len(images),)
        or labels.dtype.kind not in "iu"
    ):
        raise InputError(
            f"batches: images of shape {images.shape} and {labels.dtype} labels of shape "
            f"{labels.shape}; expected one integer label an image, and at least one image"
        )
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise InputError("batches: the images hold NaN or infinity; clean the data first")
    if rng is not None:
        check_generator("batches", rng)
    if rng is not None and batch_size > len(images):
        raise InputError(f"batches: a batch of {batch_size} of only {len(images)} images")
    return _Batches(images, labels, int(batch_size), rng)


class _Batches:
    """The batches of one pass; the order is drawn when the pass begins."""

    def __init__(self, images, labels, batch_size, rng):
        self.images, self.labels, self.batch_size, self.rng = images, labels, batch_size, rng

    def __len__(self):
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + (self.rng is None and rest > 0)

    def __iter__(self):
        order = None if self.rng is None else self.rng.permutation(len(self.images))
        for i in range(len(self)):
            rows = slice(i * self.batch_size, (i + 1) * self.batch_size)
            rows = rows if order is None else order[rows]
            yield self.images[rows], self.labels[rows]
