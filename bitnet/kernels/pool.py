"""Max-pooling of images (B, H, W, C), packed or not, and sums of overlapping patches."""

from typing import Any

import numpy as np

from bitnet.arrays import Array, array_module
from bitnet.errors import InputError, unfit
from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits, Packed
from bitnet.kernels.dispatch import check_numbers, kernel
from bitnet.kernels.window import Window


def max_pool(x: Array, window: Window) -> tuple[Array, Array]:
    """Return the maximum of each window, per channel, and the tap where it is.

    Parameters
    ----------
    x : float, int32 or uint8 array of shape (B, H, W, C)
        The images.
    window : Window
        A window with fewer than 256 taps; padding is never the maximum.

    Returns
    -------
    y : array of shape (B, H', W', C)
        The maxima.
    first : uint8 array of the same shape
        The first tap with the maximum, counted row by row.

    Examples
    --------
    >>> y, first = max_pool(np.float32([[[[1.0], [3.0]], [[2.0], [3.0]]]]), Window((2, 2)))
    >>> y.ravel(), first.ravel()
    (array([3.], dtype=float32), array([1], dtype=uint8))
    """
    check_numbers("max_pool", x, "fiu")
    _check_window("max_pool", x, window)
    return kernel(reference.max_pool)(x, window)


def _check_window(name, x, window):
    """Reject anything but images, and windows that do not fit or lie outside the images."""
    if x.ndim != 4 or not isinstance(window, Window) or window.taps > 255:
        raise unfit(name, "images (B, H, W, C) and a Window of at most 255 taps", x, window)
    if window.is_dilated:
        raise InputError(f"{name}: the window has a dilation of {window.dilation}; expected 1")
    if not window.sees_pixels:
        raise InputError(
            f"{name}: padding is {window.padding} with a window of {window.size}; expected padding "
            "below its rows and columns, so that each window sees a pixel"
        )
    window.output(*x.shape[1:3])


def max_pool_backward(grad_y: Array, first: Array, window: Window, size: tuple[int, int]) -> Array:
    """Return the gradient of the images: each output gradient goes to the tap of the maximum.

    Parameters
    ----------
    grad_y : float array of shape (B, H', W', C)
        The gradient of the output.
    first : uint8 array of the same shape
        The taps that `max_pool` returned.
    window : Window
        The window of `max_pool`.
    size : (int, int)
        Height and width of the images.

    Returns
    -------
    array of shape (B, H, W, C)
        The gradient, in the type of grad_y.

    Examples
    --------
    >>> grad, first = np.float32([[[[5.0]]]]), np.uint8([[[[1]]]])
    >>> max_pool_backward(grad, first, Window((2, 2)), (2, 2)).ravel()
    array([0., 5., 0., 0.], dtype=float32)
    """
    check_numbers("max_pool_backward", grad_y, "f", "floats")
    fits = grad_y.ndim == 4 and grad_y.shape == first.shape and first.dtype == np.uint8
    if not fits or grad_y.shape[1:3] != window.output(*size):
        expected = f"gradients (B, H', W', C) for images of {tuple(size)}, and uint8 taps"
        raise unfit("max_pool_backward", expected, grad_y, first, window)
    return kernel(reference.max_pool_backward)(grad_y, first, window, tuple(size))


def max_pool_bits(x: Packed, window: Window) -> Packed:
    """Return the maximum of each window of packed images, packed.

    The maximum of signs is the OR of their bits.  BitPlanes are compared from the plane with the
    largest coefficient downwards.

    Parameters
    ----------
    x : Bits or BitPlanes of shape (B, H, W, C)
        The packed images.
    window : Window
        A window with fewer than 256 taps; padding is never the maximum.

    Returns
    -------
    Bits or BitPlanes of shape (B, H', W', C)
        The maxima, in the class of x.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> x = pack(np.array([[[[-1.0, -1.0], [1.0, -1.0]]]]))
    >>> max_pool_bits(x, Window((1, 2))).signs()
    array([[[[ 1, -1]]]], dtype=int8)
    """
    planes = _planes_of("max_pool_bits", x)
    _check_window("max_pool_bits", x, window)
    pooled = kernel(reference.max_pool_bits)(*planes, window)
    return pooled[0] if isinstance(x, Bits) else x.with_bits(pooled)


def max_pool_bits_backward(grad_y: Array, x: Packed, y: Packed, window: Window) -> Array:
    """Return the gradient of packed images: each output gradient goes to the first maximum.

    Parameters
    ----------
    grad_y : float array of shape (B, H', W', C)
        The gradient of the output.
    x, y : Bits or BitPlanes
        The images, and the output of `max_pool_bits`.
    window : Window
        The window of `max_pool_bits`.

    Returns
    -------
    array of shape (B, H, W, C)
        The gradient, in the type of grad_y.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> x = pack(np.array([[[[-1.0], [1.0], [1.0]]]]))
    >>> y = max_pool_bits(x, Window((1, 3)))
    >>> max_pool_bits_backward(np.float32([[[[5.0]]]]), x, y, Window((1, 3))).ravel()
    array([0., 5., 0.], dtype=float32)
    """
    check_numbers("max_pool_bits_backward", grad_y, "f", "floats")
    planes = _planes_of("max_pool_bits_backward", x)
    fits = x.ndim == 4 and grad_y.shape == y.shape
    if not fits or y.shape[1:3] != window.output(*x.shape[1:3]):
        expected = "gradients and outputs (B, H', W', C), and images (B, H, W, C)"
        raise unfit("max_pool_bits_backward", expected, grad_y, y, x, window)
    pooled, _ = _planes_of("max_pool_bits_backward", y)
    return kernel(reference.max_pool_bits_backward)(grad_y, *planes, pooled, window)


def _planes_of(name, x):
    """Return the planes (P, ...) of Bits or BitPlanes, and their coefficients."""
    if not isinstance(x, (Bits, BitPlanes)):
        raise InputError(f"{name}: got {type(x).__name__}; expected Bits or BitPlanes")
    if isinstance(x, Bits):
        return Bits(x.words[None], (1, *x.shape)), (1,)
    return x.bits, x.coefficients


def add_patches(patches: Array, window: Window, size: tuple[int, int]) -> Array:
    """Sum overlapping patches into images (col2im): the backward pass of extracting patches.

    Parameters
    ----------
    patches : float array of shape (B, H', W', rows, columns, C)
        One patch per output pixel.
    window : Window
        The taps of a patch.
    size : (int, int)
        Height and width of the images.

    Returns
    -------
    array of shape (B, H, W, C)
        The sums, in the type of patches, added from the last tap to the first.

    Examples
    --------
    >>> window = Window((1, 2))
    >>> add_patches(np.ones((1, 1, 2, 1, 2, 1), np.float32), window, (1, 3)).ravel()
    array([1., 2., 1.], dtype=float32)
    """
    check_numbers("add_patches", patches, "f", "floats")
    fits = patches.ndim == 6 and patches.shape[3:5] == tuple(window.size)
    if not fits or patches.shape[1:3] != window.output(*size):
        expected = f"patches (B, H', W', rows, columns, C) of images of {tuple(size)}"
        raise unfit("add_patches", expected, patches, window)
    if window.is_dilated:
        y = array_module(patches).zeros((len(patches), *size, patches.shape[-1]), patches.dtype)
        for pixels, outputs, own in window.phases(*size):
            at = (slice(None), *pixels)
            part = array_module(patches).ascontiguousarray(patches[(slice(None), *outputs)])
            y[at] = kernel(reference.add_patches)(part, own, y[at].shape[1:3])
        return y
    return kernel(reference.add_patches)(patches, window, tuple(size))


def sum_pool(x: Any, window: Window) -> Array:
    """Return the sum of each window of integers, or the mean of floats; padding counts as 0.

    Parameters
    ----------
    x : Bits, BitPlanes, or an array of shape (B, H, W, C)
        Packed values count as their integers.
    window : Window
        Kernel size, stride and padding.

    Returns
    -------
    array of shape (B, H', W', C)
        int32 for packed values, otherwise of the type of x; the taps are added in order.

    Raises
    ------
    InputError
        If the largest integer times the number of taps does not fit the type of the result.

    Examples
    --------
    >>> sum_pool(np.ones((1, 2, 2, 1), np.int32), Window((2, 2))).ravel()
    array([4], dtype=int32)
    """
    largest = getattr(x, "largest", 1)  # of packed values
    if isinstance(x, (Bits, BitPlanes)):
        x = x.integers() if isinstance(x, BitPlanes) else x.signs(np.int32)
    elif x.dtype.kind != "f" and x.size:  # one number, so the host waits once for a GPU
        largest = int(array_module(x).maximum(x.max(), -x.min().astype(np.int64)))
    if x.dtype.kind != "f" and largest * window.taps > np.iinfo(x.dtype).max:
        raise InputError(
            f"sum_pool: the sum of {window.taps} integers of up to {largest} can overflow "
            f"{x.dtype}; use a smaller window, or convert the integers to floats"
        )
    views = window.views(x)
    total = sum(views[:, :, :, i, j] for i, j in np.ndindex(*views.shape[3:5]))
    return total if x.dtype.kind != "f" else total / x.dtype.type(window.taps)
