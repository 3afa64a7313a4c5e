"""Convolutions of images (B, H, W, C): of floats, and of bits or pixels with filters of bits."""

import math

import numpy as np

from bitnet import kernels
from bitnet.errors import InputError
from bitnet.functions.linear import GRADIENTS
from bitnet.kernels import Bits, Window
from bitnet.tensor import Function, as_tensor

__all__ = ["binary_conv2d", "conv2d"]


def matrix_of(array):
    """(M, ...) as (M, N)."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def pixels_of(array):
    """(..., C) as (R, C)."""
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


def rows_of(patches):
    """(B, H', W', rows, columns, C) as (R, N)."""
    return patches.reshape(math.prod(patches.shape[:3]), math.prod(patches.shape[3:]))


class Conv2d(Function):
    """patches @ filters + bias."""

    def __init__(self, window):
        self.window = window

    def forward(self, x, weight, bias):  # (B, H, W, C), (M, rows, columns, C), (M,)
        self.size, self.weight = x.shape[1:3], weight
        patches = self.window.views(x, self.window.border)
        self.patches = rows_of(patches)
        y = self.patches @ matrix_of(weight).T + bias
        return y.reshape(*patches.shape[:3], len(weight))

    def backward(self, grad_y):
        weight, rows = self.weight, pixels_of(grad_y)
        grad_x = None
        if self.needs_grad[0]:
            grad = rows @ matrix_of(weight)
            grad = grad.reshape(*grad_y.shape[:3], *weight.shape[1:])
            grad_x = kernels.add_patches(grad, self.window, self.size)
        return grad_x, (rows.T @ self.patches).reshape(weight.shape), rows.sum(axis=0)


def conv2d(x, weight, bias, window):
    """A convolution of floats; filters are not turned over, as everywhere in this field.

    Parameters
    ----------
    x : Tensor or array
        Images of shape (B, H, W, C).
    weight : Tensor or array
        Filters of shape (M, rows, columns, C).
    bias : Tensor or array
        Shape (M,).
    window : Window
        Where the taps stand; beyond the images x is `window.border`.

    Returns
    -------
    Tensor
        Shape (B, H', W', M).

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> x, weight = np.ones((1, 3, 3, 1), np.float32), np.ones((1, 2, 2, 1), np.float32)
    >>> conv2d(x, weight, np.zeros(1, np.float32), Window((2, 2))).data[0, :, :, 0]
    array([[4., 4.],
           [4., 4.]], dtype=float32)
    """
    x, weight, bias = as_tensor(x), as_tensor(weight), as_tensor(bias)
    _check("conv2d", x, weight, window)
    if bias.shape != weight.shape[:1]:
        raise InputError(
            f"conv2d: a bias {bias.shape} for {weight.shape[0]} filters; expected one each"
        )
    return Conv2d(window)(x, weight, bias)


def _check(name, x, weight, window):
    """Refuse images, filters and a window that do not fit."""
    fits = x.ndim == weight.ndim == 4 and x.shape[3] == weight.shape[3]
    if not fits or not isinstance(window, Window) or weight.shape[1:3] != tuple(window.size):
        raise InputError(
            f"{name}: images {x.shape}, filters {weight.shape} and {window!r} do not fit; "
            "expected (B, H, W, C), (M, rows, columns, C) and a Window of as many taps"
        )
    window.output(*x.shape[1:3])


class BinaryConv2d(Function):
    """The convolution of bits or pixels with filters of bits, by counting the bits that differ."""

    takes_bits = True

    def __init__(self, window, gradient_bits=None, rng=None):
        self.window, self.gradient_bits, self.rng = window, gradient_bits, rng

    def forward(self, x, weight):  # (B, H, W, C), (M, rows, columns, C)
        self.x, self.weight, self.size = x, weight, x.shape[1:3]
        if isinstance(x, Bits):
            return kernels.xnor_conv(x, weight, self.window)  # (B, H', W', M) int32, exact
        self.x = x.copy()  # whoever loads the pixels may reuse their buffer
        return kernels.plane_conv(x, weight, self.window)

    def backward(self, grad_z):  # (B, H', W', M)
        window, rule, grad_x, grad_weight = self.window, (self.gradient_bits, self.rng), None, None
        if self.needs_grad[0]:  # one scale a pixel
            grad_x = kernels.gradient_of_images(grad_z, self.weight, window, self.size, *rule)
        if self.needs_grad[1]:  # one scale a filter
            grad_weight = kernels.gradient_of_filters(grad_z, self.x, window, *rule)
        return grad_x, grad_weight


def binary_conv2d(x, weight, window, gradient="float32", rng=None):
    """A convolution with ±1 filters, by counting the bits that differ from them.

    What `binary_linear` is to matrices: exact integers, of the pixels as they are packed, and
    with a border of 0 exact there too, since a tap beyond the images adds nothing.

    Parameters
    ----------
    x : Tensor of Bits or of uint8
        Images of shape (B, H, W, C): signs, or 8-bit pixels, which count as `2p - 255`.
    weight : Tensor of Bits
        Filters of shape (M, rows, columns, C).
    window : Window
        Where the taps stand.
    gradient : {"float32", "int8", "int7", "int6", "int5", "int4"}, optional
        The numbers that the backward products multiply: with one scale a pixel for the images,
        and one a filter for the filters.
    rng : numpy.random.Generator, optional
        Round the gradient's integers by chance, without a bias; otherwise to the nearest.

    Returns
    -------
    Tensor
        int32 of shape (B, H', W', M).

    Raises
    ------
    InputError
        If an operand has another type, the shapes do not fit or there is no such gradient.

    Examples
    --------
    >>> from bitnet.functions import sign
    >>> x, weight = sign(np.ones((1, 2, 2, 3))), sign(-np.ones((1, 2, 2, 3)))
    >>> binary_conv2d(x, weight, Window((2, 2)))
    Tensor(array([[[[-12]]]], dtype=int32))
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if not isinstance(x.data, Bits) and x.data.dtype != np.uint8:
        raise InputError(
            f"binary_conv2d: x holds {x.data.dtype}; expected Bits (put a sign before it) "
            "or uint8 pixels"
        )
    if gradient not in GRADIENTS:
        raise InputError(f"binary_conv2d: gradient is {gradient!r}; expected one of {[*GRADIENTS]}")
    _check("binary_conv2d", x, weight, window)
    return BinaryConv2d(window, GRADIENTS[gradient], rng)(x, weight)
