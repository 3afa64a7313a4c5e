"""Pooling of images (B, H, W, C), and images as rows for the layers behind them."""

import math

import numpy as np

from bitnet import kernels
from bitnet.backend import array_module
from bitnet.errors import InputError
from bitnet.kernels import Bits, Window
from bitnet.tensor import Function, as_tensor

__all__ = ["avg_pool2d", "flatten", "max_pool2d"]


class MaxPool2d(Function):
    """The largest number of each window; the gradient goes to the first tap that has it."""

    def __init__(self, window):
        self.window = window

    def forward(self, x):  # (B, H, W, C) floats or int32
        self.size = x.shape[1:3]
        y, self.first = kernels.max_pool(x, self.window)
        return y

    def backward(self, grad_y):
        return kernels.max_pool_backward(grad_y, self.first, self.window, self.size)


def max_pool2d(x, window):
    """Max-pooling; the papers' ConvNets have it between a convolution and batch norm.

    Parameters
    ----------
    x : Tensor or array
        Floats, or integer pre-activations, of shape (B, H, W, C).
    window : Window
        Where the taps stand; what lies beyond the images never wins.

    Returns
    -------
    Tensor
        Shape (B, H', W', C), of the type of `x`.

    Raises
    ------
    InputError
        If `x` holds no images of numbers or the window does not fit.

    Examples
    --------
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    >>> max_pool2d(x, Window((2, 2), (2, 2))).data[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """
    x = as_tensor(x)
    _check("max_pool2d", x, window)
    return MaxPool2d(window)(x)


class AvgPool2d(Function):
    """The mean over each window; pixels beyond the images count as 0."""

    def __init__(self, window):
        self.window = window

    def forward(self, x):
        self.size = x.shape[1:3]
        return sum(_taps(self.window.views(x))) / x.dtype.type(self.window.taps)

    def backward(self, grad_y):
        xp = array_module(grad_y)
        each = (grad_y / grad_y.dtype.type(self.window.taps))[:, :, :, None, None]
        shape = (*grad_y.shape[:3], *self.window.size, grad_y.shape[3])
        return kernels.add_patches(xp.broadcast_to(each, shape), self.window, self.size)


def avg_pool2d(x, window):
    """The mean over each window, as at the end of GoogleNet.

    Parameters
    ----------
    x : Tensor or array
        Floats of shape (B, H, W, C).
    window : Window
        Where the taps stand; pixels beyond the images count as 0.

    Returns
    -------
    Tensor
        Shape (B, H', W', C).

    Raises
    ------
    InputError
        If `x` holds no images of floats or the window does not fit.

    Examples
    --------
    >>> avg_pool2d(np.ones((1, 4, 4, 1), np.float32), Window((4, 4))).data.ravel()
    array([1.], dtype=float32)
    """
    x = as_tensor(x)
    _check("avg_pool2d", x, window)
    if not x.is_float:
        raise InputError(f"avg_pool2d: got {x.data.dtype}; expected floats")
    return AvgPool2d(window)(x)


class Flatten(Function):
    """Images as rows, bits as bits."""

    takes_bits = True

    def forward(self, x):
        self.shape = x.shape
        if isinstance(x, Bits):
            return kernels.flatten(x)
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def backward(self, grad_y):
        return grad_y.reshape(self.shape)


def flatten(x):
    """Images (B, H, W, C) as rows (B, H W C), for the linear layers behind convolutions.

    Parameters
    ----------
    x : Tensor or array or Bits
        Of two axes or more.

    Returns
    -------
    Tensor
        The same elements, of shape (B, N); bits stay packed.

    Raises
    ------
    InputError
        If there are fewer than two axes.

    Examples
    --------
    >>> flatten(np.ones((2, 3, 3, 4), np.float32)).shape
    (2, 36)
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise InputError(f"flatten: got the shape {x.shape}; expected (B, ...)")
    return Flatten()(x)


def _taps(patches):
    """The views of each tap, (B, H', W', C), row after row."""
    return [patches[:, :, :, i, j] for i, j in np.ndindex(*patches.shape[3:5])]


def _check(name, x, window):
    """Refuse what is no images, or a window that does not fit."""
    if x.ndim != 4 or not hasattr(x.data, "dtype") or not isinstance(window, Window):
        raise InputError(f"{name}: got {x.data!r:.60} and {window!r}; expected images (B, H, W, C) "
                         "of numbers and a Window")  # fmt: skip
    window.output(*x.shape[1:3])
