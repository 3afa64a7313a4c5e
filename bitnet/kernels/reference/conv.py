"""Convolutions of images (B, H, W, C) with filters (M, rows, columns, C), and their gradients."""

import math

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels.bits import BitPlanes, Bits
from bitnet.kernels.reference.pack import threshold
from bitnet.kernels.reference.pool import add_patches
from bitnet.kernels.reference.products import integers, multiply
from bitnet.kernels.reference.rounding import round_gradient


def xnor_conv(x, weight, window):
    """Return the product of each patch with the filter of each channel, (B, H', W', M)."""
    return plane_conv(x, weight, window)


def xnor_conv_sign(x, weight, window, thresholds):
    """Return the signs of a frozen convolution."""
    return threshold(xnor_conv(x, weight, window), thresholds)


def plane_conv(x, weight, window):
    """Return the product of the integers of each patch with those of each filter."""
    patches = window.views(integers(x), beyond(x, window.border))
    z = array_module(x).einsum("bhwijc,mijc->bhwm", patches, integers(weight))
    return z.astype(np.int32)


def beyond(x, border):
    """Return the integer of padding: 0, or the one whose planes are all +1 or all -1."""
    if isinstance(x, BitPlanes):
        return border * sum(x.coefficients) + (x.offset if border else 0)
    return border * (1 if isinstance(x, Bits) else 255)


def gradient_of_images(grad_z, weight, window, size, largest, seed, odd=False):
    """Return the gradient times the filters of each tap, summed over the taps of each pixel."""
    m, *taps = weight.shape
    numbers = grad_z.reshape(math.prod(grad_z.shape[:3]), m)
    numbers = numbers if largest is None else round_gradient(numbers, largest, seed, odd)
    patches = multiply(numbers, integers(weight).reshape(m, math.prod(taps)))
    return add_patches(patches.reshape(*grad_z.shape[:3], *taps), window, size)


def gradient_of_filters(grad_z, x, window, largest, seed, odd=False):
    """Return the product of the gradient with the pixels of each tap."""
    m = grad_z.shape[3]
    numbers = grad_z.reshape(math.prod(grad_z.shape[:3]), m).T
    numbers = numbers if largest is None else round_gradient(numbers, largest, seed, odd)
    patches = window.views(integers(x), beyond(x, window.border))
    rows = patches.reshape(math.prod(patches.shape[:3]), math.prod(patches.shape[3:]))
    return multiply(numbers, rows).reshape(m, *window.size, x.shape[3])
