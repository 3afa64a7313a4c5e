"""Products of signs with signs on tiles, as integers or as signs, and their convolutions.

Both operands are bytes of +1 and -1.  So is the padding after the last element of a row: it adds a
product of +1 per element to each total, which the bases subtract.
"""

import math

import numpy as np

from bitnet.kernels.bits import Bits, words_for
from bitnet.kernels.cpu.tile_layouts import bits_along
from bitnet.kernels.cpu.tile_products import all_rows, of_patches, padded_table, product, with_table
from bitnet.kernels.cpu.tile_rows import put_bits
from bitnet.kernels.cpu.xnor import kept
from bitnet.kernels.memory import aligned_empty


def tile_panels(weight):
    """Return the layout of Bits (M, N) or (M, rows, columns, C) for tiles, cached if prepared."""

    def make(weight):
        return bits_along(weight.words.reshape(len(weight), math.prod(weight.words.shape[1:])))

    return kept(weight, "tiles along", make)


def gemm(x, weight):
    """Compute `bitnet.kernels.xnor_gemm`."""
    words, m = np.ascontiguousarray(x.words), len(weight)
    padding = 64 * words.shape[1] - x.shape[1]
    bases = kept(weight, "tile bases", lambda _: padded_table([-padding] * m))
    return _integers(_of_bits(words), (*x.shape, m), tile_panels(weight), bases)


def gemm_sign(x, weight, thresholds):
    """Compute `bitnet.kernels.xnor_sign`."""
    words, key = np.ascontiguousarray(x.words), ("tiles", x.shape[1])
    if key not in thresholds.limits:
        thresholds.limits[key] = limits_of(thresholds, x.shape[1] - 64 * words.shape[1])
    limits, flips = thresholds.limits[key]
    shape = *x.shape, len(weight)
    return Bits(_signs(_of_bits(words), shape, tile_panels(weight), limits, flips), shape[::2])


def conv(x, weight, window, bases):
    """Compute `bitnet.kernels.xnor_conv`, with the bases of `conv.bases_of`."""
    put, shape, of = _patches(x, weight, window)
    bases = padded_table(bases[:, : len(weight)] - shape[1])
    z = _integers(put, shape, tile_panels(weight), bases, of)
    return z.reshape(len(x), *of.shape, len(weight))


def conv_sign(x, weight, window, bases, thresholds):
    """Compute `bitnet.kernels.xnor_conv_sign`, with the bases of `conv.bases_of`."""
    put, shape, of = _patches(x, weight, window)
    limits, flips = limits_of(thresholds, bases[:, : len(weight)] - shape[1])
    words = _signs(put, shape, tile_panels(weight), limits, flips, of)
    size = len(x), *of.shape
    return Bits(words.reshape(*size, words.shape[1]), (*size, len(weight)))


def _of_bits(words):
    """Return `put` for rows of signs, words (R, K)."""
    return lambda i, j, *room: put_bits(words[i:j], *room)


def _patches(x, weight, window):
    """Return `put` for the patches of images, the shape of the product, and the classes."""
    images, of = window.surrounded(x), window.classes(*x.shape[1:3])[1]
    n = 64 * window.taps * images.shape[3]
    return of_patches(images, window, of.shape, put_bits), (len(x) * of.size, n, len(weight)), of


def _integers(put, shape, panels, bases, of=None):
    """Return z (R, M) int32; shape (R, N, M), bases (classes, 32 P)."""
    n_rows, n, m = shape
    z = aligned_empty((n_rows, m), np.int32)
    rows = product(put, panels, "ii", "integers", with_table(bases, of))
    all_rows(rows, n_rows, z, n)
    return z


def _signs(put, shape, panels, limits, flips, of=None):
    """Return the signs of z (R, M) as words; shape (R, N, M), limits and flips of `limits_of`."""
    n_rows, n, m = shape
    y = (np.zeros if len(panels) % 2 else np.empty)((n_rows, words_for(m)), np.uint64)
    rows = product(put, panels, "ii", "signs", with_table(limits, of, flips=flips))
    all_rows(rows, n_rows, y, n)
    return y


def limits_of(thresholds, bases):
    """Convert thresholds of z = total + base to limits of the total, and bits to flip.

    Increasing: z >= t where total >= t - base.  Decreasing: z <= t where not z >= t + 1.  The bases
    are one number, or integers (classes, M).  Padding columns have a limit that no total reaches.
    """
    values, falling = thresholds.values.astype(np.int64), ~thresholds.increasing
    ends = np.iinfo(np.int32)
    limits = np.clip(values + falling - np.asarray(bases), ends.min, ends.max)
    limits = padded_table(limits, ends.max)
    flips = np.zeros(limits.shape[1], np.bool_)
    flips[: len(falling)] = falling
    return limits, np.packbits(flips, bitorder="little").view(np.uint32)
