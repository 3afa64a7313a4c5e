"""Convolutions of images (B, H, W, C): of floats, and of bits or pixels with k-bit filters."""

import math

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, is_array
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import unfit
from bitnet.kernels import Window
from bitnet.kernels.threads import shared
from bitnet.nn.functional.linear import GRADIENTS, check_quantized, in_units, times_scale
from bitnet.nn.functional.products import blas_product, matrix_product

COPIED_PER_NS = 4  # bytes, one thread, about


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
    """patches @ filters + bias, group by group."""

    def __init__(self, window, groups=1):
        self.window, self.groups = window, groups

    def forward(self, x, weight, bias):  # (B, H, W, C), (M, rows, columns, C / groups), (M,)
        self.size, self.weight = x.shape[1:3], weight
        xp = array_module(x)
        images = xp.split(x, self.groups, axis=3)
        self.patches = [self.patches_of(part) for part in images]
        pairs = zip(self.patches, xp.split(weight, self.groups), strict=True)
        y = xp.concatenate([matrix_product(rows, matrix_of(own).T) for rows, own in pairs], axis=1)
        y = y + bias
        return y.reshape(len(x), *self.window.output(*self.size), len(weight))

    def backward(self, grad_y):
        weight, rows, xp = self.weight, pixels_of(grad_y), array_module(grad_y)
        grads = xp.split(rows, self.groups, axis=1)
        grad_x = None
        if self.needs_grad[0]:
            shape = *grad_y.shape[:3], *weight.shape[1:]
            pairs = zip(grads, xp.split(weight, self.groups), strict=True)
            patches = (blas_product(grad, matrix_of(own)).reshape(shape) for grad, own in pairs)
            parts = [kernels.add_patches(part, self.window, self.size) for part in patches]
            grad_x = xp.concatenate(parts, axis=3)
        pairs = zip(grads, self.patches, strict=True)
        grad_weight = xp.concatenate([blas_product(grad.T, patches) for grad, patches in pairs])
        grad_bias = xp.ones(len(rows), rows.dtype) @ rows
        return grad_x, grad_weight.reshape(weight.shape), grad_bias

    def patches_of(self, x):
        """Return the patch of each output pixel, copied by threads: (R, N)."""
        views = self.window.views(x, self.window.border)
        if array_module(x) is not np:
            return rows_of(views)
        patches = np.empty(views.shape, x.dtype)
        copy_ns = patches.nbytes / COPIED_PER_NS
        shared(lambda i, j: np.copyto(patches[i:j], views[i:j]), len(x), 1, copy_ns)
        return rows_of(patches)


def conv2d(
    x: TensorLike, weight: TensorLike, bias: TensorLike, window: Window, groups: int = 1
) -> Tensor:
    """Convolve float images with float filters, which are not flipped.

    Parameters
    ----------
    x : Tensor or array
        Images of shape (B, H, W, C).
    weight, bias : Tensor or array
        Filters of shape (M, rows, columns, C / groups), and a bias of shape (M,).
    window : Window
        Kernel size, stride and padding; padding pixels have the value `window.border`.
    groups : int, optional
        Number of groups of channels, each with M / groups filters of C / groups channels.

    Returns
    -------
    Tensor
        Shape (B, H', W', M).

    Examples
    --------
    >>> x, weight = np.ones((1, 3, 3, 1), np.float32), np.ones((1, 2, 2, 1), np.float32)
    >>> conv2d(x, weight, np.zeros(1, np.float32), Window((2, 2))).data.ravel()
    array([4., 4., 4., 4.], dtype=float32)
    """
    x, weight, bias = as_tensor(x), as_tensor(weight), as_tensor(bias)
    _check("conv2d", x, weight, window, groups)
    if bias.shape != weight.shape[:1]:
        raise unfit("conv2d", "filters (M, rows, columns, C) and a bias (M,)", weight, bias)
    return Conv2d(window, groups)(x, weight, bias)


def _check(name, x, weight, window, groups):
    """Refuse images, filters, a window and groups that do not fit."""
    fits = x.ndim == weight.ndim == 4
    if fits:
        n = kernels.check_groups(name, x.shape[3], weight.shape[0], groups)
        fits = weight.shape[3] == n
    if not fits or not isinstance(window, Window) or weight.shape[1:3] != tuple(window.size):
        expected = "(B, H, W, C), (M, rows, columns, C / groups) and a Window of as many taps"
        raise unfit(name, expected, x, weight, window)
    window.output(*x.shape[1:3])


class QuantizedConv2d(Function):
    """The convolution of k-bit integers, or pixels, with k-bit filters."""

    _takes_bits = True

    def __init__(self, window, gradient_bits=None, rng=None, groups=1):
        self.window, self.rule, self.groups = window, (gradient_bits, rng, groups), groups

    def forward(self, x, weight):  # (B, H, W, C), (M, rows, columns, C)
        self.weight, self.size = weight, x.shape[1:3]
        self.x = x.copy() if is_array(x) else x  # whoever loads the pixels may reuse their buffer
        return times_scale(kernels.plane_conv(x, weight, self.window, self.groups), x)

    def backward(self, grad_z):  # (B, H', W', M)
        grad_x = grad_weight = None
        if self.needs_grad[0]:  # one scale per pixel
            operands = in_units(grad_z, self.x), self.weight, self.window, self.size
            grad_x = kernels.gradient_of_images(*operands, *self.rule)
        if self.needs_grad[1]:  # one scale per filter
            grad = in_units(grad_z, self.weight)
            grad = kernels.gradient_of_filters(grad, self.x, self.window, *self.rule)
            grad_weight = times_scale(grad, self.x)
        return grad_x, grad_weight


def quantized_conv2d(
    x: TensorLike,
    weight: TensorLike,
    window: Window,
    grad_format: str = "float32",
    rng: np.random.Generator | None = None,
    groups: int = 1,
) -> Tensor:
    """Convolve k-bit integers with k-bit filters.

    The results are exact integers in the units of both operands, as for `quantized_linear`.  With a
    border of 0 they are exact at the border too, because taps outside the images add nothing; with
    another one, pixels outside count as those inside that no dropout sets to zero.

    Parameters
    ----------
    x : Tensor of Bits, of BitPlanes, or of uint8
        Images of shape (B, H, W, C): signs, k-bit integers, or 8-bit pixels, which count as
        `2p - 255`.
    weight : Tensor of Bits or of BitPlanes
        Filters of shape (M, rows, columns, C / groups).
    window : Window
        Kernel size, stride, padding and border.
    grad_format, rng : optional
        As for `quantized_linear`, with one scale per output pixel for the gradient of the images
        and one per filter for that of the filters.
    groups : int, optional
        As for `conv2d`.

    Returns
    -------
    Tensor
        int32 of shape (B, H', W', M); float32 for BitPlanes whose scale is not 1, such as after
        dropout.

    Examples
    --------
    >>> from bitnet.nn.functional import sign
    >>> x, weight = sign(np.ones((1, 2, 2, 3))), sign(-np.ones((1, 2, 2, 3)))
    >>> quantized_conv2d(x, weight, Window((2, 2)))
    Tensor(array([[[[-12]]]], dtype=int32))
    """
    x, weight = as_tensor(x), as_tensor(weight)
    check_quantized("quantized_conv2d", x, grad_format, rng)
    _check("quantized_conv2d", x, weight, window, groups)
    return QuantizedConv2d(window, GRADIENTS[grad_format], rng, groups)(x, weight)
