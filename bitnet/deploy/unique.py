"""Filters of a convolution that are equal or opposite, multiplied once and compared often.

The pre-activation of a negated filter is `-z`, and `-z >= t` is `z <= -t`: a filter that is the
opposite of another one needs no product of its own, only the opposite comparison.

Whole filters, over all input channels, are what this is about: it pays where a product is long
and three quarters of the filters repeat (`Reuse.pays`), as where a training has left many units
equal.  It does not for the 256 different 3x3 filters of a first layer on one channel: each is a
product of 9 pixels, and to fetch an integer takes as long as to multiply it anew.

The papers reuse 2-D filters, each on its own channel.  That saves operations on single bits, but
with 64 channels in a word one XOR and one popcount do the work of 64 of those, while the integers
that reuse would have to fetch and add are one for each channel and filter: for 128 3x3 filters on
64 channels, of whose 2-D filters 42 % are unique, it takes 60 times as long as the packed
product, and 75 times with a table of all 512 patches of each channel.  `benchmarks/repetition.py`
has all of them beside each other.
"""

import numpy as np

from bitnet import kernels
from bitnet.kernels import Bits, Thresholds, words_for

__all__ = ["Reuse", "unique_filters", "unique_rows"]

ONE = np.uint64(1)
LEAST_WORDS = 32  # see `Reuse.pays`


def unique_filters(bits):
    """The filters that differ, with a filter and its negation as one.

    Parameters
    ----------
    bits : Bits
        Shape (M, ...).

    Returns
    -------
    unique : Bits
        Shape (U, ...), U of at most M; the first element of each is +1.
    of : numpy.ndarray
        int64 of shape (M,): which of them each filter is.
    negated : numpy.ndarray
        Booleans of shape (M,): whether it is the opposite of that.

    Examples
    --------
    >>> unique, of, negated = unique_filters(kernels.pack(np.array([[1.0, -1.0], [-1.0, 1.0]])))
    >>> unique.signs(), of, negated
    (array([[ 1, -1]], dtype=int8), array([0, 0]), array([False,  True]))
    """
    m = bits.shape[0]
    rows = np.ascontiguousarray(bits.words).reshape(m, -1)
    negated = (rows[:, 0] & ONE) == 0
    ones = kernels.pack(np.ones(bits.shape[-1])).words  # padding bits stay 0
    flipped = np.tile(ones, rows.shape[1] // len(ones)) * negated[:, None].astype(np.uint64)
    unique, of = unique_rows(rows ^ flipped)
    words = unique.reshape(len(unique), *bits.words.shape[1:])
    return Bits(words, (len(unique), *bits.shape[1:])), of, negated


def unique_rows(rows):
    """The rows of a matrix of integers that differ, and which of them each row is.

    Parameters
    ----------
    rows : numpy.ndarray
        Shape (R, C), C of 1 or more.

    Returns
    -------
    unique : numpy.ndarray
        Shape (U, C), in the order of their bytes.
    of : numpy.ndarray
        int64 of shape (R,).

    Examples
    --------
    >>> unique_rows(np.uint64([[1, 2], [0, 7], [1, 2]]))[1]
    array([1, 0, 1])
    """
    rows = np.ascontiguousarray(rows)
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    unique, of = np.unique(whole, return_inverse=True)  # a row is one element, however long
    return unique.view(rows.dtype).reshape(len(unique), rows.shape[1]), of


class Reuse:
    """A convolution whose equal or opposite filters are multiplied once.

    Parameters
    ----------
    bits : Bits
        The filters, shape (M, rows, columns, C).
    steps : Thresholds
        Of the M channels.
    window : Window
        The taps.

    Attributes
    ----------
    weight : Bits
        The U filters that differ.
    of : numpy.ndarray
        Which of them each channel has.

    Examples
    --------
    >>> bits = kernels.pack(np.float32([[[[1.0]]], [[[-1.0]]]]))  # two opposite filters of one tap
    >>> steps = Thresholds(np.array([0, 1], np.int32), np.array([True, True]))
    >>> reuse = Reuse(bits, steps, kernels.Window((1, 1)))
    >>> reuse
    Reuse(1 of 2 filters)
    >>> reuse.signs(kernels.pack(np.float32([[[[1.0], [-1.0]]]]))).signs()[0, 0]
    array([[ 1, -1],
           [-1,  1]], dtype=int8)
    """

    def __init__(self, bits, steps, window):
        unique, self.of, negated = unique_filters(bits)
        self.weight, self.window = kernels.prepare(unique), window
        opposite = np.minimum(-steps.values.astype(np.int64), np.iinfo(np.int32).max)
        values = np.where(negated, opposite, steps.values).astype(np.int32)
        self.steps = Thresholds(values, steps.rising ^ negated)

    def __repr__(self):
        return f"Reuse({len(self.weight)} of {len(self.of)} filters)"

    def pays(self, x):
        """Whether this is faster than to multiply each filter, for pixels or Bits.

        A rule of thumb: a quarter of the filters or fewer differ, and a product has 32 words or
        more (64 bits of each of the taps, or of each of the 8 planes of pixels).  Fetching the
        integer of a channel takes as long as a product of about 10 words.
        """
        m, (u, *_, channels) = len(self.of), self.weight.shape
        words = self.window.taps * words_for(channels)
        if not isinstance(x, Bits):
            words = 8 * words_for(self.window.taps * channels)
        return 4 * u <= m and words >= LEAST_WORDS

    def signs(self, x):
        """The signs of the channels: pixels or Bits (B, H, W, C) to Bits (B, H', W', M)."""
        convolve = kernels.xnor_conv if isinstance(x, Bits) else kernels.plane_conv
        z = convolve(x, self.weight, self.window)
        return kernels.threshold(np.take(z, self.of, axis=3), self.steps)
