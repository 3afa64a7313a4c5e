"""Gradients of convolutions: products of floats or integers with the signs of patches."""

import math

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits
from bitnet.kernels.cuda.conv import flat_rows
from bitnet.kernels.cuda.launch import rung
from bitnet.kernels.cuda.pack import transpose
from bitnet.kernels.cuda.products import (
    exact_type,
    floats_of,
    multiply,
    planes_of,
    separate,
    together,
    unscaled,
)
from bitnet.kernels.cuda.rounding import round_gradient


def gradient_of_images(grad_z, weight, window, size, largest, seed, odd=False):
    """See `bitnet.kernels.gradient_of_images`; computes gradients of patches, then sums them."""
    m, *taps = weight.shape
    numbers = grad_z.reshape(math.prod(grad_z.shape[:3]), m)
    numbers = numbers if largest is None else round_gradient(numbers, largest, seed, odd)
    patches = unscaled(numbers, flat_rows(weight))
    return reference.add_patches(patches.reshape(*grad_z.shape[:3], *taps), window, size)


def gradient_of_filters(grad_z, x, window, largest, seed, odd=False):
    """See `bitnet.kernels.gradient_of_filters`; computes one product per tap."""
    m, channels = grad_z.shape[3], x.shape[3]
    numbers = grad_z.reshape(math.prod(grad_z.shape[:3]), m).T
    if largest is None:
        taps = _seen_floats(x, window, numbers.dtype)
        y = [numbers @ seen.reshape(-1, channels) for seen in taps]
        return array_module(grad_z).stack(y, axis=1).reshape(m, *window.size, channels)
    numbers = round_gradient(numbers, largest, seed, odd)
    if rung() == "tensor" and isinstance(x, (Bits, BitPlanes)):
        sums = _by_planes(numbers, x, window)
    else:
        dtype = exact_type(numbers, x)
        values = numbers.values.astype(dtype)
        y = [values @ seen.reshape(-1, channels) for seen in _seen_floats(x, window, dtype)]
        sums = array_module(grad_z).stack(y, axis=1)
    y = sums.reshape(m, -1).astype(np.float32) * numbers.scales[:, None]
    return y.reshape(m, *window.size, channels)


def _seen_floats(x, window, dtype):
    """Yield the pixels of each tap, including padding, as floats."""
    pads = (0, 0), *window.padding, (0, 0)
    numbers, beyond = floats_of(x, dtype), reference.beyond(x, window.border)
    padded = array_module(numbers).pad(numbers, pads, constant_values=beyond)
    return window.seen(padded)


def _by_planes(numbers, x, window):
    """Return the exact products (M, taps, C) of integers with Bits or BitPlanes at each tap."""
    xp, channels, seen = array_module(numbers.values), x.shape[3], []
    for bits in separate(x):
        taps = [xp.ascontiguousarray(words) for words in window.seen(window.surrounded(bits))]
        rows = [words.reshape(-1, words.shape[-1]) for words in taps]
        parts = [transpose(Bits(words, (len(words), channels))).words for words in rows]
        seen.append(xp.concatenate(parts))
    signs = together(x, seen, (len(seen[0]), numbers.shape[1]))
    sums = multiply(planes_of(numbers), signs) >> 1
    sums = sums.reshape(len(sums), window.taps, channels)
    if window.border:
        return sums
    # a border of 0 was stored as planes of -1, whose part of each tap's sum is subtracted
    inside, of = window.classes(*x.shape[1:3])
    outside = xp.asarray((~inside)[of].reshape(-1, window.taps).astype(np.int32))
    number = -1 if isinstance(x, Bits) else x.offset - sum(x.coefficients)
    of_area = numbers.values.reshape(len(sums), -1, len(outside)).sum(axis=1, dtype=np.int32)
    return sums - np.int32(number) * (of_area @ outside)[:, :, None]
