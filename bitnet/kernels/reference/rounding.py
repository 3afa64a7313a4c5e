"""Rounding of numbers to integers with one scale per row, and to powers of two."""

import math

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels.bits import Quantized


def round_gradient(x, largest, seed, odd=False):
    """Return the integers round(largest * x / max|x|) of each row, and the scales max|x| / largest.

    If odd, only integers that differ from `largest` by an even number are used.
    """
    xp = array_module(x)
    magnitude = abs(x).max(axis=1) if x.size else xp.zeros(len(x), np.float32)
    with np.errstate(all="ignore"):  # rows of zeros, NaN or infinity
        v = x * (np.float32(largest) / magnitude)[:, None]
        v = (v + np.float32(largest)) * np.float32(0.5) if odd else v
        v = xp.rint(v) if seed is None else xp.floor(v + uniform(seed, x.shape, xp))
        v = 2 * v - np.float32(largest) if odd else v
        v = xp.where(abs(v) <= largest + 2, v, np.float32(0)).clip(-largest, largest)
    return Quantized(v.astype(np.int16), magnitude / np.float32(largest), largest)


def uniform(seed, shape, xp=np):
    """Return float32 numbers in [0, 1): the top 24 bits of splitmix64(seed + index)."""
    i = xp.arange(1, math.prod(shape) + 1, dtype=np.uint64).reshape(shape)
    x = np.uint64(seed) + i * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def powers(x, count):
    """Return sign(x) 2^round(log2 |x|), or 0 below the `count` powers up to that of max|x|."""
    if not x.size:
        return x.copy()
    xp = array_module(x)
    largest = abs(x).max()
    exponents, top = _nearest_power(abs(x)), _nearest_power(largest)
    there = (exponents > top - count) & (abs(x) >= np.finfo(x.dtype).tiny)
    with np.errstate(all="ignore"):
        y = xp.where(there, xp.ldexp(xp.sign(x), exponents), x.dtype.type(0))
        return xp.where(xp.isfinite(largest), y, x.dtype.type(np.nan))


def _nearest_power(x):
    """Return round(log2 x), which changes at sqrt(1/2) 2^e."""
    fraction, exponent = array_module(x).frexp(x)
    return exponent - (fraction < x.dtype.type(math.sqrt(0.5)))


def ap2(x):
    """Return sign(x) * 2**round(log2 |x|); zeros, infinity and NaN are unchanged."""
    xp = array_module(x)
    fraction, exponent = xp.frexp(x)  # |x| = fraction * 2**exponent, 1/2 <= fraction < 1
    up = abs(fraction).astype(np.float64) >= 0.5**0.5  # the float64 next above sqrt(1/2)
    with np.errstate(all="ignore"):
        powers = xp.ldexp(xp.sign(x), exponent - 1 + up)
    return xp.where(xp.isfinite(x) & (x != 0), powers, x)
