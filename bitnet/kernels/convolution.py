"""Convolutions of images of bits (B, H, W, C) with filters of bits (M, rows, columns, C)."""

import math

from bitnet.errors import InputError
from bitnet.kernels.bits import Bits
from bitnet.kernels.dispatch import check_bits, kernel
from bitnet.kernels.groups import channels, check_groups, filters
from bitnet.kernels.groups import thresholds as of_groups
from bitnet.kernels.operands import Thresholds
from bitnet.kernels.packing import concatenate
from bitnet.kernels.products import check_operands, check_range
from bitnet.kernels.window import Window

__all__ = ["plane_conv", "xnor_conv", "xnor_conv_sign"]


def _check(name, x, weight, window, groups):
    """Refuse images, filters, a window and groups that do not fit."""
    check_bits(name, x, weight)
    _check_window(name, x, weight, window, groups)


def _check_window(name, x, weight, window, groups):
    """Refuse shapes that do not fit."""
    if not isinstance(window, Window):
        raise InputError(f"{name}: got {type(window).__name__}; expected a Window")
    fits = len(x.shape) == len(weight.shape) == 4
    if fits:
        n = check_groups(name, x.shape[3], weight.shape[0], groups)
        fits = weight.shape[3] == n
    if not fits or weight.shape[1:3] != tuple(window.size):
        raise InputError(
            f"{name}: images {x.shape}, filters {weight.shape} and a window of {window.size} do "
            "not fit; expected (B, H, W, C), (M, rows, columns, C / groups) and (rows, columns)"
        )
    window.output(*x.shape[1:3])


def _by_groups(convolve, x, weight, window, groups, thresholds=None):
    """The convolutions of all groups, side by side."""
    rest = [()] * groups if thresholds is None else [(steps,) for steps in thresholds]
    if groups == 1:
        return convolve(x, weight, window, *rest[0])
    parts = zip(channels(x, groups), filters(weight, groups), rest, strict=True)
    return concatenate([convolve(part, own, window, *steps) for part, own, steps in parts])


def xnor_conv(x, weight, window, groups=1):
    """The convolution of ±1 images with ±1 filters, by counting the bits that differ.

    z[b, h, w, m] = sum over taps (i, j) and channels c of
    x[b, h * stride + i - above, w * stride + j - left, c] * weight[m, i, j, c], as exact
    integers; x is `window.border` beyond the images.  As in the papers' code the filters are not
    turned over.

    Parameters
    ----------
    x : Bits
        Images of shape (B, H, W, C).
    weight : Bits
        Filters of shape (M, rows, columns, C / groups).
    window : Window
        Where the taps stand.
    groups : int, optional
        Groups of channels, each with M / groups filters of C / groups channels.

    Returns
    -------
    numpy.ndarray
        int32 of shape (B, H', W', M).

    Raises
    ------
    InputError
        If the operands do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.kernels import pack
    >>> x, weight = pack(np.ones((1, 3, 3, 2))), pack(np.ones((1, 3, 3, 2)))
    >>> xnor_conv(x, weight, Window((3, 3), padding=((1, 1), (1, 1))))[0, :, :, 0]
    array([[ 8, 12,  8],
           [12, 18, 12],
           [ 8, 12,  8]], dtype=int32)
    """
    _check("xnor_conv", x, weight, window, groups)
    return _by_groups(kernel("xnor_conv"), x, weight, window, groups)


def xnor_conv_sign(x, weight, window, thresholds, groups=1):
    """A frozen convolution: `threshold(xnor_conv(x, weight, window), thresholds)`.

    The counts of differing bits are compared while they are in registers, and only the next
    layer's bits are written.

    Parameters
    ----------
    x : Bits
        Images of shape (B, H, W, C).
    weight : Bits
        Filters of shape (M, rows, columns, C / groups).
    window : Window
        Where the taps stand.
    thresholds : Thresholds
        Of M channels.
    groups : int, optional
        Groups of channels, each with M / groups filters of C / groups channels.

    Returns
    -------
    Bits
        Shape (B, H', W', M).

    Raises
    ------
    InputError
        If the operands do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.kernels import pack
    >>> x, weight = pack(np.ones((1, 2, 2, 2))), pack(np.ones((1, 1, 1, 2)))
    >>> least = Thresholds(np.array([3], np.int32), np.array([True]))
    >>> xnor_conv_sign(x, weight, Window((1, 1)), least).signs().ravel()
    array([-1, -1, -1, -1], dtype=int8)
    """
    _check("xnor_conv_sign", x, weight, window, groups)
    if not isinstance(thresholds, Thresholds) or thresholds.values.shape != weight.shape[:1]:
        raise InputError(f"xnor_conv_sign: expected the Thresholds of {weight.shape[0]} channels")
    each = [thresholds] if groups == 1 else of_groups(thresholds, groups)
    return _by_groups(kernel("xnor_conv_sign"), x, weight, window, groups, each)


def plane_conv(x, weight, window, groups=1):
    """The convolution of integers of a few bits with filters of a few bits.

    As `xnor_conv` on the integers of Planes, without their units.  A pixel p counts as `2p - 255`,
    255 times its value scaled to [-1, 1].  Beyond the images stands 0 for a border of 0, otherwise
    the integer whose planes are all +1, or all -1: for pixels 255 or -255.

    Parameters
    ----------
    x : Bits or Planes or numpy.ndarray
        Images of shape (B, H, W, C); an array holds uint8 pixels.
    weight : Bits or Planes
        Filters of shape (M, rows, columns, C / groups).
    window : Window
        Where the taps stand.
    groups : int, optional
        Groups of channels, each with M / groups filters of C / groups channels.

    Returns
    -------
    numpy.ndarray
        int32 of shape (B, H', W', M).

    Raises
    ------
    InputError
        If the operands do not fit or the sums could pass int32.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.kernels import pack
    >>> pixels, weight = np.full((1, 2, 2, 1), 255, np.uint8), pack(np.ones((1, 2, 2, 1)))
    >>> plane_conv(pixels, weight, Window((2, 2))).ravel()
    array([1020], dtype=int32)
    """
    check_operands("plane_conv", x, weight)
    _check_window("plane_conv", x, weight, window, groups)
    check_range("plane_conv", x, weight, math.prod(weight.shape[1:]))
    both = isinstance(x, Bits) and isinstance(weight, Bits)
    return _by_groups(kernel("xnor_conv" if both else "plane_conv"), x, weight, window, groups)
