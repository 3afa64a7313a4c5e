"""Max-pooling of images (B, H, W, C), packed or not, and sums of patches, the backward of many."""

import numpy as np

from bitnet.errors import InputError, unfit
from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits
from bitnet.kernels.dispatch import check_numbers, kernel
from bitnet.kernels.window import Window


def max_pool(x, window):
    """Return the largest number that each output pixel sees, per channel, and where it is.

    Parameters
    ----------
    x : float, int32 or uint8 array of shape (B, H, W, C)
    window : Window
        Where the taps stand, fewer than 256; what lies beyond the images never wins.

    Returns
    -------
    y : array of shape (B, H', W', C)
    first : uint8 array of the same shape
        The first tap, counted row after row, with the largest number.

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
    """Refuse what is no images, and windows that do not fit or see nothing."""
    if x.ndim != 4 or not isinstance(window, Window) or window.taps > 255:
        raise unfit(name, "images (B, H, W, C) and a Window of at most 255 taps", x, window)
    if max(max(pair) for pair in window.padding) >= min(window.size):
        raise InputError(
            f"{name}: padding {window.padding} with a window of {window.size}; expected pads "
            "below its size, so that each window sees a pixel"
        )
    window.output(*x.shape[1:3])


def max_pool_backward(grad_y, first, window, size):
    """Return the gradient of the images: that of each output pixel, at the tap that won.

    Parameters
    ----------
    grad_y : float array of shape (B, H', W', C)
    first : as `max_pool` returned it
    window : Window
    size : (H, W) of the images

    Returns
    -------
    array of shape (B, H, W, C), of the type of grad_y

    Examples
    --------
    >>> grad, first = np.float32([[[[5.0]]]]), np.uint8([[[[1]]]])
    >>> max_pool_backward(grad, first, Window((2, 2)), (2, 2)).ravel()
    array([0., 5., 0., 0.], dtype=float32)
    """
    check_numbers("max_pool_backward", grad_y, "f", "floats")
    fits = grad_y.ndim == 4 and grad_y.shape == first.shape and first.dtype == np.uint8
    if not fits or grad_y.shape[1:3] != window.output(*size):
        expected = f"(B, H', W', C) of images of {tuple(size)}, and uint8 taps"
        raise unfit("max_pool_backward", expected, grad_y, first, window)
    return kernel(reference.max_pool_backward)(grad_y, first, window, tuple(size))


def max_pool_bits(x, window):
    """Return the largest number that each output pixel sees of packed images, packed.

    Of signs it is the OR of the bits.  BitPlanes are compared from the one that counts most.

    Parameters
    ----------
    x : Bits or BitPlanes of shape (B, H, W, C)
    window : Window

    Returns
    -------
    Bits or BitPlanes of shape (B, H', W', C), of the kind of x

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


def max_pool_bits_backward(grad_y, x, y, window):
    """Return the gradient of packed images: that of each output pixel, at the first tap that won.

    Parameters
    ----------
    grad_y : float array of shape (B, H', W', C)
    x, y : Bits or BitPlanes
        The images, and what `max_pool_bits` made of them.
    window : Window

    Returns
    -------
    array of shape (B, H, W, C), of the type of grad_y

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
        expected = "two of (B, H', W', C), and images (B, H, W, C)"
        raise unfit("max_pool_bits_backward", expected, grad_y, y, x, window)
    pooled, _ = _planes_of("max_pool_bits_backward", y)
    return kernel(reference.max_pool_bits_backward)(grad_y, *planes, pooled, window)


def _planes_of(name, x):
    """The planes (P, ...) of Bits or BitPlanes, and what they count."""
    if not isinstance(x, (Bits, BitPlanes)):
        raise InputError(f"{name}: got {type(x).__name__}; expected Bits or BitPlanes")
    if isinstance(x, Bits):
        return Bits(x.words[None], (1, *x.shape)), (1,)
    return x.bits, x.coefficients


def add_patches(patches, window, size):
    """Sum the patches that saw each pixel: the backward of taking patches.

    Parameters
    ----------
    patches : float array of shape (B, H', W', rows, columns, C)
    window : Window
    size : (H, W) of the images

    Returns
    -------
    array of shape (B, H, W, C), of the type of patches
        Each pixel is a sum from the last tap to the first.

    Examples
    --------
    >>> window = Window((1, 2))
    >>> add_patches(np.ones((1, 1, 2, 1, 2, 1), np.float32), window, (1, 3)).ravel()
    array([1., 2., 1.], dtype=float32)
    """
    check_numbers("add_patches", patches, "f", "floats")
    fits = patches.ndim == 6 and patches.shape[3:5] == tuple(window.size)
    if not fits or patches.shape[1:3] != window.output(*size):
        expected = f"(B, H', W', rows, columns, C) of images of {tuple(size)}"
        raise unfit("add_patches", expected, patches, window)
    return kernel(reference.add_patches)(patches, window, tuple(size))
