"""Convolutions of images (B, H, W, C) with filters (M, rows, columns, C), and their gradients."""

import math

import numpy as np

from bitnet.arrays import Array, array_module
from bitnet.errors import InputError, unfit
from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits
from bitnet.kernels.codebook import Thresholds
from bitnet.kernels.dispatch import check_bits, check_numbers, check_pixels, kernel
from bitnet.kernels.pack import concatenate, pack, part_of
from bitnet.kernels.products import check_operands, check_range, prepare
from bitnet.kernels.rounding import Rounding, powers
from bitnet.kernels.window import Window

EXPECTED = "(B, H, W, C), (M, rows, columns, C / groups) and a Window of (rows, columns)"


def check_groups(name: str, n: int, m: int, groups: int) -> int:
    """Return the number of input channels per group, or raise `InputError` if groups do not fit.

    Parameters
    ----------
    name : str
        The caller, for the message.
    n, m, groups : int
        The numbers of input channels, filters and groups.

    Examples
    --------
    >>> check_groups("convolution", 96, 256, 2)
    48
    """
    whole = isinstance(groups, (int, np.integer)) and groups >= 1
    if not whole or n % groups or m % groups:
        raise InputError(
            f"{name}: groups is {groups!r} for {n} channels and {m} filters; expected an integer "
            "of 1 or more that divides both"
        )
    return n // int(groups)


def _channels(x, groups):
    """Split images (..., C) into one array (..., C / groups) per group of channels."""
    if groups == 1:
        return [x]
    if isinstance(x, BitPlanes):
        return [x.with_bits(bits) for bits in _channels(x.bits, groups)]
    xp = array_module(x)
    if not isinstance(x, Bits):
        return [xp.ascontiguousarray(part) for part in xp.split(x, groups, axis=-1)]
    n = x.shape[-1] // groups
    if n % 64 == 0:
        parts = xp.split(x.words, groups, axis=-1)
        return [Bits(xp.ascontiguousarray(part), (*x.shape[:-1], n)) for part in parts]
    return [pack(xp.ascontiguousarray(part)) for part in xp.split(x.signs(), groups, axis=-1)]


def _filters(weight, groups):
    """Return the filters of each group, (M / groups, rows, columns, C), cached with the weight."""
    if groups == 1:
        return [weight]
    kept = weight.layouts if weight.layouts is not None else {}
    if ("groups", groups) not in kept:
        step = len(weight) // groups
        slices = [slice(i * step, (i + 1) * step) for i in range(groups)]
        if isinstance(weight, BitPlanes):
            parts = [weight.with_bits(weight.bits[:, own]) for own in slices]
        else:
            parts = [weight[own] for own in slices]
        kept["groups", groups] = parts if weight.layouts is None else [*map(prepare, parts)]
    return kept["groups", groups]


def _thresholds(steps, groups):
    """Return the thresholds of each group of channels, cached in the whole."""
    if ("groups", groups) not in steps.limits:
        split = array_module(steps).split
        pairs = zip(split(steps.values, groups), split(steps.increasing, groups), strict=True)
        steps.limits["groups", groups] = [Thresholds(*pair) for pair in pairs]
    return steps.limits["groups", groups]


def _check(name, images, filters, window, groups):
    """Return the shape of the output, or reject shapes of images and filters that do not fit."""
    fits = isinstance(window, Window) and len(images) == len(filters) == 4
    n = check_groups(name, images[3], filters[0], groups) if fits else None
    if not fits or filters[1:] != (*window.size, n):
        raise unfit(name, EXPECTED, images, filters, window)
    return images[0], *window.output(*images[1:3]), filters[0]


def _by_groups(definition, x, weight, window, groups, *thresholds):
    """Convolve each group of channels and concatenate the results."""
    if window.is_dilated:
        return _by_phases(definition, x, weight, window, groups, *thresholds)
    convolve = kernel(definition)
    if groups == 1:
        return convolve(x, weight, window, *thresholds)
    rest = [_thresholds(steps, groups) for steps in thresholds]
    parts = zip(_channels(x, groups), _filters(weight, groups), *rest, strict=True)
    return concatenate([convolve(part, own, window, *steps) for part, own, *steps in parts])


def _by_phases(definition, x, weight, window, groups, *thresholds):
    """Convolve with a dilated window, as convolutions without dilation of parts of the images."""
    held = None
    for pixels, outputs, own in window.phases(*x.shape[1:3]):
        part = _by_groups(definition, part_of(x, *pixels), weight, own, groups, *thresholds)
        numbers = part.words if isinstance(part, Bits) else part
        if held is None:
            shape = len(x), *window.output(*x.shape[1:3]), numbers.shape[-1]
            held = array_module(numbers).empty(shape, numbers.dtype)
        held[(slice(None), *outputs)] = numbers
    return Bits(held, (*held.shape[:3], len(weight))) if isinstance(part, Bits) else held


def xnor_conv(x: Bits, weight: Bits, window: Window, groups: int = 1) -> Array:
    """Return the convolution of ±1 images with ±1 filters, computed by counting differing bits.

    z[b, h, w, m] = sum over taps (i, j) and channels c of
    x[b, h * stride + i - above, w * stride + j - left, c] * weight[m, i, j, c], as exact
    integers; x is `window.border` outside the images.  As in the papers' code, the filters are
    not flipped.

    Parameters
    ----------
    x : Bits of shape (B, H, W, C)
        The images.
    weight : Bits of shape (M, rows, columns, C / groups)
        The filters.
    window : Window
        The kernel size, stride, padding and border.
    groups : int, optional
        The number of groups of channels, each with M / groups filters.

    Returns
    -------
    int32 array of shape (B, H', W', M)
        The integer pre-activations.

    Examples
    --------
    >>> x, weight = pack(np.ones((1, 3, 3, 2))), pack(np.ones((1, 3, 3, 2)))
    >>> xnor_conv(x, weight, Window((3, 3), padding=((1, 1), (1, 1))))[0, :, :, 0]
    array([[ 8, 12,  8],
           [12, 18, 12],
           [ 8, 12,  8]], dtype=int32)
    """
    check_bits("xnor_conv", x, weight)
    _check("xnor_conv", x.shape, weight.shape, window, groups)
    return _by_groups(reference.xnor_conv, x, weight, window, groups)


def xnor_conv_sign(
    x: Bits, weight: Bits, window: Window, thresholds: Thresholds, groups: int = 1
) -> Bits:
    """Compute a frozen convolution: `threshold(xnor_conv(x, weight, window), thresholds)`.

    The counts of differing bits are compared while they are in registers, and only the next
    layer's bits are written.

    Parameters
    ----------
    x, weight, window, groups : optional
        As for `xnor_conv`; the first three are required.
    thresholds : Thresholds
        One threshold for each of M channels.

    Returns
    -------
    Bits of shape (B, H', W', M)
        The signs.

    Examples
    --------
    >>> x, weight = pack(np.ones((1, 2, 2, 2))), pack(np.ones((1, 1, 1, 2)))
    >>> least = Thresholds(np.array([3], np.int32), np.array([True]))
    >>> xnor_conv_sign(x, weight, Window((1, 1)), least).signs().ravel()
    array([-1, -1, -1, -1], dtype=int8)
    """
    check_bits("xnor_conv_sign", x, weight)
    _check("xnor_conv_sign", x.shape, weight.shape, window, groups)
    if not isinstance(thresholds, Thresholds) or thresholds.values.shape != weight.shape[:1]:
        expected = f"Thresholds with one value for each of {weight.shape[0]} channels"
        raise unfit("xnor_conv_sign", expected, thresholds)
    return _by_groups(reference.xnor_conv_sign, x, weight, window, groups, thresholds)


def plane_conv(
    x: Bits | BitPlanes | Array, weight: Bits | BitPlanes, window: Window, groups: int = 1
) -> Array:
    """Return the convolution of k-bit images with m-bit filters.

    It is `xnor_conv` on the integers of BitPlanes, without their units.  A pixel p counts as
    `2p - 255`, 255 times its value scaled to [-1, 1].  Pixels outside the images count as 0 for a
    border of 0; for +1 or -1 as the integer whose planes are all +1 or all -1: 255 or -255.

    Parameters
    ----------
    x : Bits, BitPlanes or uint8 pixels of shape (B, H, W, C)
        The images.
    weight : Bits or BitPlanes of shape (M, rows, columns, C / groups)
        The filters.
    window, groups : optional
        As for `xnor_conv`; `window` is required.

    Returns
    -------
    int32 array of shape (B, H', W', M)
        The integer pre-activations.

    Examples
    --------
    >>> pixels, weight = np.full((1, 2, 2, 1), 255, np.uint8), pack(np.ones((1, 2, 2, 1)))
    >>> plane_conv(pixels, weight, Window((2, 2))).ravel()
    array([1020], dtype=int32)
    """
    check_operands("plane_conv", x, weight)
    _check("plane_conv", x.shape, weight.shape, window, groups)
    check_range("plane_conv", x, weight, math.prod(weight.shape[1:]))
    both = isinstance(x, Bits) and isinstance(weight, Bits)
    definition = reference.xnor_conv if both else reference.plane_conv
    return _by_groups(definition, x, weight, window, groups)


def gradient_of_images(
    grad_z: Array,
    weight: Bits | BitPlanes,
    window: Window,
    size: tuple[int, int],
    bits: int | Rounding | None = None,
    rng: np.random.Generator | None = None,
    groups: int = 1,
) -> Array:
    """Return the gradient of a convolution with respect to its images.

    grad_x[b, r, s, c] = sum over the taps (i, j) with h * stride + i - above = r and
    w * stride + j - left = s of sum_m grad_z[b, h, w, m] * weight[m, i, j, c].

    Parameters
    ----------
    grad_z : float array of shape (B, H', W', M)
        The gradient of the output.
    weight : Bits or BitPlanes of shape (M, rows, columns, C / groups)
        The filters.
    window : Window
        The kernel size, stride, padding and border.
    size : (int, int)
        Height and width of the images.
    bits, rng : optional
        See `round_gradient`; one scale per output pixel.  Default: multiply floats.
    groups : int, optional
        The number of groups of channels.

    Returns
    -------
    array of shape (B, H, W, C)
        The gradient, in the type of grad_z.

    Examples
    --------
    >>> weight = pack(np.ones((1, 1, 2, 1)))
    >>> grad_z = np.float32([1, 2]).reshape(1, 1, 2, 1)
    >>> gradient_of_images(grad_z, weight, Window((1, 2)), (1, 3)).ravel()
    array([1., 3., 2.], dtype=float32)
    """
    if not isinstance(weight, BitPlanes):
        check_bits("gradient_of_images", weight)
    check_numbers("gradient_of_images", grad_z, "f", "floats")
    check_groups("gradient_of_images", weight.shape[0], weight.shape[0], groups)
    images = len(grad_z), *size, weight.shape[-1] * groups
    shape = _check("gradient_of_images", images, weight.shape, window, groups)
    _check_gradient("gradient_of_images", grad_z, shape, bits)
    if window.is_dilated:
        grad_x = array_module(grad_z).zeros(images, grad_z.dtype)
        for (rows, columns), outputs, own in window.phases(*size):
            seen = grad_x[:, rows, columns]  # a view
            given = part_of(grad_z, *outputs), weight, own, seen.shape[1:3], bits, rng, groups
            seen[...] = gradient_of_images(*given)
        return grad_x
    parts, rule = _numbers(grad_z, bits, rng, groups)
    pairs = zip(parts, _filters(weight, groups), strict=True)
    gradient, pixels = kernel(reference.gradient_of_images), tuple(size)
    return _one([gradient(part, own, window, pixels, *rule()) for part, own in pairs], axis=3)


def gradient_of_filters(
    grad_z: Array,
    x: Bits | BitPlanes | Array,
    window: Window,
    bits: int | Rounding | None = None,
    rng: np.random.Generator | None = None,
    groups: int = 1,
) -> Array:
    """Return the gradient of a convolution with respect to its filters.

    grad_weight[m, i, j, c] = sum over b, h, w of
    grad_z[b, h, w, m] * x[b, h * stride + i - above, w * stride + j - left, c].

    Parameters
    ----------
    grad_z : float array of shape (B, H', W', M)
        The gradient of the output.
    x : Bits, BitPlanes or uint8 pixels of shape (B, H, W, C)
        The images.
    window : Window
        The kernel size, stride, padding and border.
    bits, rng : optional
        See `round_gradient`; one scale per filter.  Default: multiply floats.
    groups : int, optional
        The number of groups of channels.

    Returns
    -------
    array of shape (M, rows, columns, C / groups)
        The gradient, in the type of grad_z.

    Examples
    --------
    >>> x, grad_z = pack(np.ones((1, 1, 3, 1))), np.float32([1, 2]).reshape(1, 1, 2, 1)
    >>> gradient_of_filters(grad_z, x, Window((1, 2))).ravel()
    array([3., 3.], dtype=float32)
    """
    if not isinstance(x, (Bits, BitPlanes)):
        check_pixels("gradient_of_filters", x)
    check_numbers("gradient_of_filters", grad_z, "f", "floats")
    n = check_groups("gradient_of_filters", x.shape[-1], grad_z.shape[-1], groups)
    filters = grad_z.shape[-1], *getattr(window, "size", ()), n
    shape = _check("gradient_of_filters", x.shape, filters, window, groups)
    _check_gradient("gradient_of_filters", grad_z, shape, bits)
    if window.is_dilated:
        total = array_module(grad_z).zeros(filters, grad_z.dtype)
        for pixels, outputs, own in window.phases(*x.shape[1:3]):
            given = part_of(grad_z, *outputs), part_of(x, *pixels), own, bits, rng, groups
            total += gradient_of_filters(*given)
        return total
    parts, rule = _numbers(grad_z, bits, rng, groups)
    gradient = kernel(reference.gradient_of_filters)
    pairs = zip(parts, _channels(x, groups), strict=True)
    return _one([gradient(part, own, window, *rule()) for part, own in pairs], axis=0)


def _check_gradient(name, grad_z, shape, bits):
    """Reject a gradient of the wrong shape, and integers whose sums could overflow int32."""
    if grad_z.shape != shape:
        raise unfit(name, f"gradients {shape}", grad_z)
    largest = 127 if bits is None else Rounding.of(bits).largest or 127
    if math.prod(grad_z.shape[1:3]) * largest > np.iinfo(np.int32).max:
        raise InputError(
            f"{name}: grad_z has {grad_z.shape[1]} x {grad_z.shape[2]} pixels, whose sums overflow "
            f"int32; expected at most {np.iinfo(np.int32).max // largest} pixels per image"
        )


def _numbers(grad_z, bits, rng, groups):
    """Return the gradient of each group, and a function that returns the kernels' rounding rule.

    Powers of two are computed here for all groups at once; the kernels multiply them as floats.
    """
    rule = None if bits is None else Rounding.of(bits)
    grad_z = grad_z if rule is None else grad_z.astype(np.float32, copy=False)
    if rule is not None and not rule.largest:
        grad_z, rule = powers(grad_z, rule, rng), None
    xp = array_module(grad_z)
    parts = [xp.ascontiguousarray(part) for part in xp.split(grad_z, groups, axis=-1)]
    return parts, lambda: (None, None, False) if rule is None else rule.numbers(rng)


def _one(parts, axis):
    """Join the gradients of all groups into one array."""
    return parts[0] if len(parts) == 1 else array_module(*parts).concatenate(parts, axis=axis)
