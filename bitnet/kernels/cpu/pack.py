"""Packing numbers into bits and spreading bits over numbers, a word of 64 at a time.

Each loop runs over whole words first and over the tail of a row after that: LLVM turns a
constant count of 64 comparisons, shifts and ORs into vector instructions.
"""

import numpy as np

from bitnet.kernels.bits import Bits, Planes, words_for
from bitnet.kernels.cpu.jit import jit


@jit
def _pack_rows(x, words):
    """Bit 1 where x >= 0; x (R, N), words (R, K)."""
    n_rows, n = x.shape
    for r in range(n_rows):
        for k in range(n // 64):
            word = np.uint64(0)
            for b in range(64):
                word |= np.uint64(x[r, 64 * k + b] >= 0) << np.uint64(b)
            words[r, k] = word
        if n % 64:
            word = np.uint64(0)
            for b in range(n % 64):
                word |= np.uint64(x[r, n - n % 64 + b] >= 0) << np.uint64(b)
            words[r, n // 64] = word


@jit
def _pack_mask_rows(x, window, words):
    """Bit 1 where |x| <= window; x (R, N), words (R, K)."""
    n_rows, n = x.shape
    for r in range(n_rows):
        for k in range(words.shape[1]):
            word = np.uint64(0)
            for b in range(min(64, n - 64 * k)):
                word |= np.uint64(abs(x[r, 64 * k + b]) <= window) << np.uint64(b)
            words[r, k] = word


@jit
def _split_rows(pixels, words):
    """Bit p of each pixel into plane p; pixels (R, N), words (8, R, K)."""
    n_rows, n = pixels.shape
    for plane in range(8):
        for r in range(n_rows):
            for k in range(words.shape[2]):
                word = np.uint64(0)
                for b in range(min(64, n - 64 * k)):
                    bit = (pixels[r, 64 * k + b] >> plane) & 1
                    word |= np.uint64(bit) << np.uint64(b)
                words[plane, r, k] = word


@jit
def _threshold_rows(z, thresholds, rising, words):
    """Bit 1 where z is on the right side of its column's threshold; z (R, N), words (R, K)."""
    n_rows, n = z.shape
    for r in range(n_rows):
        for k in range(words.shape[1]):
            word = np.uint64(0)
            for b in range(min(64, n - 64 * k)):
                i = 64 * k + b
                above = z[r, i] >= thresholds[i]
                below = z[r, i] <= thresholds[i]
                word |= np.uint64(above if rising[i] else below) << np.uint64(b)
            words[r, k] = word


@jit
def _unpack_rows(words, y):
    """+1 for bit 1, -1 for bit 0; words (R, K), y (R, N)."""
    n_rows, n = y.shape
    for r in range(n_rows):
        for k in range(words.shape[1]):
            word = words[r, k]
            for b in range(min(64, n - 64 * k)):
                bit = (word >> np.uint64(b)) & np.uint64(1)
                y[r, 64 * k + b] = 2 * np.int64(bit) - 1


@jit
def _where_rows(words, x, y):
    """x where the bit is 1, zero elsewhere; words (R, K), x and y (R, N)."""
    n_rows, n = x.shape
    for r in range(n_rows):
        for k in range(words.shape[1]):
            word = words[r, k]
            for b in range(min(64, n - 64 * k)):
                i = 64 * k + b
                y[r, i] = x[r, i] if (word >> np.uint64(b)) & np.uint64(1) else y.dtype.type(0)


def _rows(x):
    """x as a contiguous matrix with the same last axis: (..., N) -> (R, N)."""
    return np.ascontiguousarray(x).reshape(int(np.prod(x.shape[:-1])), x.shape[-1])


def _empty_words(shape):
    """Uninitialized words for an array of this shape; every kernel here writes all of them."""
    return np.empty((*shape[:-1], words_for(shape[-1])), np.uint64)


def pack(x):
    """See `bitnet.kernels.pack`."""
    if x.dtype == np.bool_:
        x = x.view(np.int8) - np.int8(1)  # True -> 0, which packs as +1; False -> -1
    words = _empty_words(x.shape)
    _pack_rows(_rows(x), _rows(words))
    return Bits(words, x.shape)


def pack_mask(x, window):
    """See `bitnet.kernels.pack_mask`."""
    words = _empty_words(x.shape)
    _pack_mask_rows(_rows(x), window, _rows(words))
    return Bits(words, x.shape)


def unpack(bits, dtype):
    """See `bitnet.kernels.unpack`."""
    y = np.empty(bits.shape, dtype)
    _unpack_rows(_rows(bits.words), _rows(y))
    return y


def where(mask, x):
    """See `bitnet.kernels.where`."""
    y = np.empty(x.shape, x.dtype)
    _where_rows(_rows(mask.words), _rows(x), _rows(y))
    return y


def split_planes(pixels):
    """See `bitnet.kernels.split_planes`."""
    words = _empty_words((8, *pixels.shape))
    rows = _rows(pixels)
    _split_rows(rows, words.reshape(8, rows.shape[0], words.shape[-1]))
    return Planes(Bits(words, (8, *pixels.shape)), [1 << b for b in range(8)])


def threshold(z, thresholds, rising):
    """See `bitnet.kernels.threshold`."""
    words = _empty_words(z.shape)
    _threshold_rows(_rows(z), thresholds, rising, _rows(words))
    return Bits(words, z.shape)
