"""Conversions of numbers to bits and to codes, and back."""

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels.bits import WORD, WORD_BITS, BitPlanes, Bits, words_for


def pack(x):
    """Return x >= 0, or booleans x, as Bits of the same shape."""
    xp, n_words = array_module(x), words_for(x.shape[-1])
    ones = xp.zeros((*x.shape[:-1], n_words * WORD_BITS), np.bool_)
    ones[..., : x.shape[-1]] = x if x.dtype == np.bool_ else x >= 0
    words = xp.packbits(ones.ravel(), bitorder="little").view(WORD)
    return Bits(words.reshape(*x.shape[:-1], n_words), x.shape)


def pack_with_mask(x, clip_value):
    """Return x >= 0, and |x| <= clip_value, where the straight-through gradient passes, as Bits."""
    return pack(x), pack(abs(x) <= clip_value)


def transpose(bits):
    """Transpose Bits (M, N) to Bits (N, M)."""
    return pack(bits.signs().T)


def unpack(bits, dtype):
    """Return the numbers +1 and -1."""
    return bits.signs(dtype)


def where(mask, x):
    """Return x where the bit of the mask is 1, and zero elsewhere."""
    return array_module(x).where(mask.signs() > 0, x, x.dtype.type(0))


def concatenate(parts):
    """Concatenate the signs of all parts along the last axis."""
    return pack(array_module(*parts).concatenate([part.signs() for part in parts], axis=-1))


def split_planes(pixels):
    """Return the eight ±1 planes of 2p - 255, least significant first."""
    weights = [1 << b for b in range(8)]
    ones = array_module(pixels).stack([pixels & weight != 0 for weight in weights])
    return BitPlanes(pack(ones), weights)


def split_codes(codes, patterns, n_planes):
    """Return planes: plane p has bit p of the pattern of each code."""
    found = patterns[codes]
    ones = [found >> np.uint32(plane) & 1 == 1 for plane in range(n_planes)]
    return pack(array_module(codes).stack(ones))


def step_codes(x, factor, low, high, nearest):
    """Return round(clip(x * factor, low, high)) - round(low), rounded to the nearest or down."""
    xp = array_module(x)
    with np.errstate(all="ignore"):  # overflow and NaN
        y = x * factor
        y = xp.where(y > low, xp.minimum(y, high), low)
    y = xp.rint(y) - np.rint(low) if nearest else xp.floor(y) - np.floor(low)
    return y.astype(np.uint8)


def edge_codes(x, edges, signed):
    """Count the edges that |x| reaches; if signed, up or down from the middle code."""
    found = (abs(x)[..., None] >= edges).sum(axis=-1, dtype=np.int16)
    below = len(edges) - found if signed else 0 * found
    above = found + (len(edges) if signed else 0)
    return array_module(x).where(x > 0, above, below).astype(np.uint8)


def rank(z, steps):
    """Count the thresholds of its column that each integer passes."""
    z = z[..., None]
    passed = z >= steps.values, z <= steps.values
    passed = array_module(z).where(steps.increasing[:, None], *passed)
    return passed.sum(axis=-1, dtype=np.uint8)


def threshold(z, thresholds):
    """Return z >= value for increasing units and z <= value for decreasing ones, as Bits."""
    passed = z >= thresholds.values, z <= thresholds.values
    return pack(array_module(z).where(thresholds.increasing, *passed))


def count_flips(a, b):
    """Count the signs that differ."""
    return int(bitwise_count(a.words ^ b.words).sum(dtype=np.int64))


def bitwise_count(words):
    """Count the ones in each word, like `numpy.bitwise_count`, which CuPy before 14 lacks."""
    if array_module(words) is np:
        return np.bitwise_count(words)
    ones = words.view(np.uint8).reshape(*words.shape, WORD.itemsize)
    ones = ones - (ones >> 1 & 0x55)  # counts of pairs of bits
    ones = (ones & 0x33) + (ones >> 2 & 0x33)  # counts of four bits
    return ((ones + (ones >> 4)) & 0x0F).sum(axis=-1, dtype=np.uint8)
