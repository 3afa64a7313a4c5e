"""The two products of a convolution's backward pass: the gradients of images and of filters."""

import math

import numpy as np

from bitnet.arrays import array_module
from bitnet.errors import InputError
from bitnet.kernels.bits import Bits, Planes
from bitnet.kernels.dispatch import check_bits, check_numbers, check_pixels, kernel
from bitnet.kernels.groups import channels, check_groups, filters
from bitnet.kernels.operands import Rounding
from bitnet.kernels.training import powers
from bitnet.kernels.window import Window

__all__ = ["gradient_of_filters", "gradient_of_images"]


def gradient_of_images(grad_z, weight, window, size, bits=None, rng=None, groups=1):
    """The gradient of a convolution's images: each pixel's sum over the taps that saw it.

    grad_x[b, r, s, c] = sum over the taps (i, j) with h * stride + i - above = r and
    w * stride + j - left = s of sum_m grad_z[b, h, w, m] * weight[m, i, j, c].

    Parameters
    ----------
    grad_z : numpy.ndarray
        Floats of shape (B, H', W', M).
    weight : Bits or Planes
        Filters of shape (M, rows, columns, C / groups).
    window : Window
        Where the taps stand.
    size : (int, int)
        H and W of the images.
    bits : int or Rounding, optional
        Multiply integers of so many bits, from 2 to 8, with one scale an output pixel, or what
        else `quantize` makes of them; by default floats.
    rng : numpy.random.Generator, optional
        Round to integers by chance.
    groups : int, optional
        Groups of channels, each with M / groups filters of C / groups channels.

    Returns
    -------
    numpy.ndarray
        Shape (B, H, W, C), of the type of grad_z.

    Raises
    ------
    InputError
        If the operands do not fit.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> weight = pack(np.ones((1, 1, 2, 1)))
    >>> grad_z = np.float32([1, 2]).reshape(1, 1, 2, 1)
    >>> gradient_of_images(grad_z, weight, Window((1, 2)), (1, 3)).ravel()
    array([1., 3., 2.], dtype=float32)
    """
    if not isinstance(weight, Planes):
        check_bits("gradient_of_images", weight)
    _check("gradient_of_images", grad_z, weight.shape, window, (len(grad_z), *size), bits)
    check_groups("gradient_of_images", weight.shape[0], weight.shape[0], groups)
    parts, rule = _numbers(grad_z, bits, rng, groups)
    gradient, size = kernel("gradient_of_images"), tuple(size)
    pairs = zip(parts, filters(weight, groups), strict=True)
    return _one([gradient(part, own, window, size, *rule()) for part, own in pairs], axis=3)


def gradient_of_filters(grad_z, x, window, bits=None, rng=None, groups=1):
    """The gradient of a convolution's filters: the sum over all output pixels and images.

    grad_weight[m, i, j, c] = sum over b, h, w of
    grad_z[b, h, w, m] * x[b, h * stride + i - above, w * stride + j - left, c].

    Parameters
    ----------
    grad_z : numpy.ndarray
        Floats of shape (B, H', W', M).
    x : Bits or Planes or numpy.ndarray
        Images of shape (B, H, W, C): signs, integers, or uint8 pixels, which count as `2p - 255`.
    window : Window
        Where the taps stand; beyond the images x is as `plane_conv` says.
    bits : int or Rounding, optional
        Multiply integers of so many bits, from 2 to 8, with one scale a filter, or what else
        `quantize` makes of them; by default floats.
    rng : numpy.random.Generator, optional
        Round to integers by chance.
    groups : int, optional
        Groups of channels, each with M / groups filters of C / groups channels.

    Returns
    -------
    numpy.ndarray
        Shape (M, rows, columns, C / groups), of the type of grad_z.

    Raises
    ------
    InputError
        If the operands do not fit.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> x, grad_z = pack(np.ones((1, 1, 3, 1))), np.float32([1, 2]).reshape(1, 1, 2, 1)
    >>> gradient_of_filters(grad_z, x, Window((1, 2))).ravel()
    array([3., 3.], dtype=float32)
    """
    if not isinstance(x, (Bits, Planes)):
        check_pixels("gradient_of_filters", x)
    if len(x.shape) != 4:
        raise InputError(f"gradient_of_filters: images {x.shape}; expected (B, H, W, C)")
    m = grad_z.shape[-1] if grad_z.ndim else 0
    n = check_groups("gradient_of_filters", x.shape[3], m, groups)
    taps = (m, *getattr(window, "size", ()), n)
    _check("gradient_of_filters", grad_z, taps, window, x.shape[:3], bits)
    images = [x] if groups == 1 else channels(x, groups)
    parts, rule = _numbers(grad_z, bits, rng, groups)
    gradient = kernel("gradient_of_filters")
    pairs = zip(parts, images, strict=True)
    return _one([gradient(part, own, window, *rule()) for part, own in pairs], axis=0)


def _check(name, grad_z, weight, window, images, bits):
    """Refuse a gradient, filters, a window and images (B, H, W) that do not fit."""
    check_numbers(name, grad_z, "f", "floats")
    fits = isinstance(window, Window) and grad_z.ndim == len(weight) == 4
    if fits:
        shape = images[0], *window.output(*images[1:]), weight[0]
        fits = tuple(weight[1:3]) == tuple(window.size) and grad_z.shape == shape
    if not fits:
        raise InputError(
            f"{name}: gradients {grad_z.shape}, filters {tuple(weight)}, images {tuple(images)} "
            f"and {window!r} do not fit; expected (B, H', W', M) and (M, rows, columns, C)"
        )
    largest = 127 if bits is None else Rounding.of(bits).largest or 127
    if math.prod(grad_z.shape[1:3]) * largest > np.iinfo(np.int32).max:
        raise InputError(
            f"{name}: {grad_z.shape[1]} x {grad_z.shape[2]} output pixels; their sums pass int32"
        )


def _numbers(grad_z, bits, rng, groups):
    """The gradient of each group of channels, and a function of what the kernels round it by.

    Powers of two are made here, of all groups at once; they are floats to the kernels.
    """
    rule = None if bits is None else Rounding.of(bits)
    grad_z = grad_z if rule is None else grad_z.astype(np.float32, copy=False)
    if rule is not None and not rule.largest:
        grad_z, rule = powers(grad_z, rule, rng), None
    xp = array_module(grad_z)
    parts = [xp.ascontiguousarray(part) for part in xp.split(grad_z, groups, axis=-1)]
    return parts, lambda: (None, None, False) if rule is None else rule.numbers(rng)


def _one(parts, axis):
    """The gradients of all groups in one array."""
    return parts[0] if len(parts) == 1 else array_module(*parts).concatenate(parts, axis=axis)
