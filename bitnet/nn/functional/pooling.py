"""Pooling of images (B, H, W, C), and flattening to rows."""

import math

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, unfit
from bitnet.kernels import BitPlanes, Bits, Window
from bitnet.nn.functional.linear import times_scale


class MaxPool2d(Function):
    """The maximum of each window; the gradient goes to its first occurrence."""

    def __init__(self, window):
        self.window = window

    def forward(self, x):  # (B, H, W, C) floats or int32
        self.size = x.shape[1:3]
        y, self.first = kernels.max_pool(x, self.window)
        return y

    def backward(self, grad_y):
        return kernels.max_pool_backward(grad_y, self.first, self.window, self.size)


class MaxPoolBits(Function):
    """The maximum of each window of Bits or BitPlanes; backward as `MaxPool2d`."""

    _takes_bits = True

    def __init__(self, window):
        self.window = window

    def forward(self, x):
        self.x, self.y = x, kernels.max_pool_bits(x, self.window)
        return self.y

    def backward(self, grad_y):
        return kernels.max_pool_bits_backward(grad_y, self.x, self.y, self.window)


def max_pool2d(x: TensorLike, window: Window) -> Tensor:
    """Return the maximum of each window; the papers' ConvNets pool before batch norm.

    Parameters
    ----------
    x : Tensor or array or Bits or BitPlanes
        Floats, integer pre-activations, or packed activations, of shape (B, H, W, C).
    window : Window
        Kernel size, stride and padding; padding pixels are never the maximum.

    Returns
    -------
    Tensor
        Shape (B, H', W', C), of the type of `x`; packed activations stay packed.

    Examples
    --------
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    >>> max_pool2d(x, Window((2, 2), (2, 2))).data.ravel()
    array([ 5.,  7., 13., 15.], dtype=float32)
    """
    x = as_tensor(x)
    _check("max_pool2d", x, window)
    packed = isinstance(x.data, (Bits, BitPlanes))
    return MaxPoolBits(window)(x) if packed else MaxPool2d(window)(x)


class AvgPool2d(Function):
    """The mean over each window, or the sum of integers; padding counts as 0."""

    _takes_bits = True

    def __init__(self, window):
        self.window = window

    def forward(self, x):
        self.size, self.divisor = x.shape[1:3], getattr(x, "unit", 1)
        y = kernels.sum_pool(x, self.window)
        if y.dtype.kind == "f":
            self.divisor = self.window.taps
        return times_scale(y, x)

    def backward(self, grad_y):
        xp = array_module(grad_y)
        each = (grad_y / grad_y.dtype.type(self.divisor))[:, :, :, None, None]
        shape = (*grad_y.shape[:3], *self.window.size, grad_y.shape[3])
        return kernels.add_patches(xp.broadcast_to(each, shape), self.window, self.size)


def avg_pool2d(x: TensorLike, window: Window) -> Tensor:
    """Return the average of each window, or for integers the exact sum.

    The sum is the mean times the number of taps, a factor that batch norm removes.  GoogleNet ends
    with such an average.

    Parameters
    ----------
    x : Tensor or array or Bits or BitPlanes
        Floats, int32, or BitPlanes, which count as their integers, of shape (B, H, W, C).
    window : Window
        Kernel size, stride and padding; padding pixels count as 0.

    Returns
    -------
    Tensor
        Shape (B, H', W', C): the means of floats, otherwise int32; float32 for BitPlanes whose
        scale is not 1, such as after dropout.

    Examples
    --------
    >>> avg_pool2d(np.ones((1, 4, 4, 1), np.float32), Window((4, 4))).data.ravel()
    array([1.], dtype=float32)
    >>> avg_pool2d(kernels.pack(np.ones((1, 4, 4, 1))), Window((4, 4))).data.ravel()
    array([16], dtype=int32)
    """
    x = as_tensor(x)
    _check("avg_pool2d", x, window)
    packed = isinstance(x.data, (Bits, BitPlanes))
    if not packed and not x.is_float and x.data.dtype != np.int32:
        raise InputError(
            f"avg_pool2d: got {x.data.dtype}; expected floats, int32, Bits or BitPlanes"
        )
    return AvgPool2d(window)(x)


class Flatten(Function):
    """Images as rows; bits stay packed."""

    _takes_bits = True

    def forward(self, x):
        self.shape = x.shape
        if isinstance(x, (Bits, BitPlanes)):
            return kernels.flatten(x)
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def backward(self, grad_y):
        return grad_y.reshape(self.shape)


def flatten(x: TensorLike) -> Tensor:
    """Reshape images (B, H, W, C) to rows (B, H W C), for the linear layers after convolutions.

    Parameters
    ----------
    x : Tensor or array or Bits
        An array with two axes or more; bits stay packed.

    Examples
    --------
    >>> flatten(np.ones((2, 3, 3, 4), np.float32)).shape
    (2, 36)
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise InputError(f"flatten: got the shape {x.shape}; expected (B, ...)")
    return Flatten()(x)


def _check(name, x, window):
    """Refuse inputs that are not images, or a window that does not fit."""
    if x.ndim != 4 or not isinstance(window, Window):
        raise unfit(name, "images (B, H, W, C) and a Window", x, window)
    window.output(*x.shape[1:3])
