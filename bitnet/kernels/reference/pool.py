"""Max-pooling of images (B, H, W, C), packed or not, and sums of overlapping patches."""

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels.bits import BitPlanes
from bitnet.kernels.reference.pack import pack


def max_pool(x, window):
    """Return the maximum of each window, and the first tap that has it."""
    if x.dtype == np.uint8:  # padding must be less than 0
        y, first = max_pool(x.astype(np.int16), window)
        return y.astype(np.uint8), first
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    xp = array_module(x)
    x = xp.pad(x, ((0, 0), *window.padding, (0, 0)), constant_values=least)
    y, *others = window.seen(x)
    first = xp.zeros(y.shape, np.uint8)
    for tap, numbers in enumerate(others, 1):
        better = numbers > y
        y, first = xp.where(better, numbers, y), xp.where(better, np.uint8(tap), first)
    return xp.ascontiguousarray(y), first


def max_pool_backward(grad_y, first, window, size):
    """Return the gradient: that of each output pixel, at the tap of the maximum."""
    xp, zero = array_module(grad_y), grad_y.dtype.type(0)
    patches = [xp.where(first == tap, grad_y, zero) for tap in range(window.taps)]
    shape = (*grad_y.shape[:3], *window.size, grad_y.shape[3])
    return add_patches(xp.stack(patches, axis=3).reshape(shape), window, size)


def max_pool_bits(bits, coefficients, window):
    """Return the planes of the largest integer of each window; bits (P, B, H, W, C)."""
    _, first = max_pool(BitPlanes(bits, coefficients).integers(), window)
    xp = array_module(bits)
    pads = ((0, 0), (0, 0), *window.padding, (0, 0))
    ones = xp.pad(bits.signs() > 0, pads)
    won = False
    for tap, own in enumerate(zip(*map(window.seen, ones), strict=True)):
        won = won | (first == tap) & xp.stack(own)
    return pack(won)


def max_pool_bits_backward(grad_y, bits, coefficients, pooled, window):
    """Return the gradient: that of each output pixel, at the first tap with the largest integer."""
    _, first = max_pool(BitPlanes(bits, coefficients).integers(), window)
    return max_pool_backward(grad_y, first, window, bits.shape[2:4])


def add_patches(patches, window, size):
    """Sum the patches that contain each pixel, from the last tap to the first."""
    (n_images, *_, channels), columns = patches.shape, window.size[1]
    padded = (n_images, *window.padded(*size), channels)
    total = array_module(patches).zeros(padded, patches.dtype)
    for tap, seen in reversed([*enumerate(window.seen(total))]):
        seen += patches[:, :, :, tap // columns, tap % columns]
    (above, _), (left, _) = window.padding
    return total[:, above : above + size[0], left : left + size[1]]
