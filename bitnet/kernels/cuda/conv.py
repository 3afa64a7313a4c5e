"""Convolutions of signs and planes, in which `multiply` reads the images in place."""

import math

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels.bits import BitPlanes, Bits
from bitnet.kernels.cuda.launch import here
from bitnet.kernels.cuda.pack import pack, unpack
from bitnet.kernels.cuda.products import geometry, kept, multiply, operand, plane_gemm


def xnor_conv(x, weight, window):
    """See `bitnet.kernels.xnor_conv`."""
    return multiply(x, weight, window)


def xnor_conv_sign(x, weight, window, thresholds):
    """See `bitnet.kernels.xnor_conv_sign`."""
    return multiply(x, weight, window, thresholds)


def plane_conv(x, weight, window):
    """See `bitnet.kernels.plane_conv`."""
    if isinstance(x, (Bits, BitPlanes)):
        return multiply(x, weight, window)
    return _by_patches(x, weight, window)


def _by_patches(pixels, weight, window):
    """Compute `plane_conv` of pixels by patches, as few channels would leave words mostly empty."""
    m, patches = weight.shape[0], window.views_of_pixels(pixels)
    rows = patches.reshape(math.prod(patches.shape[:3]), math.prod(patches.shape[3:]))
    z = plane_gemm(rows, flat_rows(weight)).reshape(*patches.shape[:3], m)
    if window.border:
        return z
    xp = array_module(pixels)
    own = operand(weight)  # black padding counted as -255 per pixel
    _, places, counted = geometry(xp, here(xp), window, *pixels.shape[1:3], own.halves)
    sums = 2 * own.sums + np.int32(own.added * weight.shape[-1])
    missing = (1 - counted) @ xp.ascontiguousarray(sums.reshape(m, window.taps).T)
    return z + 255 * missing[places.reshape(*patches.shape[1:3], 4)[..., 3]]


def flat_rows(weight):
    """Reshape filters (M, rows, columns, C) to (M, N); cached in prepared weights."""
    return kept(weight, "rows", _flattened)


def _flattened(weight):
    """Compute `flat_rows`; the result is prepared if the filters are."""
    planes = isinstance(weight, BitPlanes)
    rows = weight.with_bits(_flat_bits(weight.bits, 2)) if planes else _flat_bits(weight, 1)
    if weight.layouts is not None:
        rows.layouts = {}
    return rows


def _flat_bits(bits, axes):
    """Return Bits with all axes after the first ones joined."""
    shape = (*bits.shape[:axes], math.prod(bits.shape[axes:]))
    if bits.shape[-1] % 64 == 0 and bits.words.size:
        words = array_module(bits.words).ascontiguousarray(bits.words)
        return Bits(words.reshape(*shape[:-1], -1), shape)
    return pack(unpack(bits, np.dtype(np.int8)).reshape(shape))
