"""Larger images, and means over whole images."""

import numpy as np

from bitnet import kernels
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits, Window
from bitnet.nn.functional.pooling import avg_pool2d
from bitnet.nn.functional.shapes import mean, reshape


class Upsample(Function):
    """Each pixel several times, down and to the right."""

    _takes_bits = True

    def __init__(self, factors):
        self.factors = factors

    def forward(self, x):  # (B, H, W, C)
        self.shape = x.shape
        return kernels.upsample(x, self.factors)

    def backward(self, grad_y):
        n, height, width, channels = self.shape
        (down, right) = self.factors
        return grad_y.reshape(n, height, down, width, right, channels).sum(axis=(2, 4))


def upsample(x: TensorLike, factors: tuple[int, int]) -> Tensor:
    """Repeat each pixel of images (nearest neighbour), down and to the right.

    Parameters
    ----------
    x : Tensor or array or Bits or BitPlanes
        Shape (B, H, W, C); packed values stay packed.
    factors : (int, int)
        How often rows and columns are repeated, 1 or more.

    Returns
    -------
    Tensor
        Shape (B, H * down, W * right, C).

    Examples
    --------
    >>> upsample(np.float32([1, 2]).reshape(1, 1, 2, 1), (2, 2)).data[0, :, :, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]], dtype=float32)
    """
    x, pair = as_tensor(x), isinstance(factors, (tuple, list)) and len(factors) == 2
    if x.ndim != 4 or not pair or not all(isinstance(n, (int, np.integer)) for n in factors):
        came = f"shape {x.shape} and factors {factors!r:.40}"
        raise InputError(f"upsample: got {came}; expected images (B, H, W, C) and two integers")
    if min(factors) < 1:
        raise InputError(f"upsample: the factors are {factors}; expected 1 or more")
    return Upsample((int(factors[0]), int(factors[1])))(x)


def global_avg_pool(x: TensorLike) -> Tensor:
    """Return the mean of each channel over all pixels or steps; of integers the exact sum.

    Parameters
    ----------
    x : Tensor or array or Bits or BitPlanes
        Images of shape (B, H, W, C), or sequences (B, L, C).

    Returns
    -------
    Tensor
        Shape (B, C): the means of floats, otherwise sums, as of `avg_pool2d`.

    Examples
    --------
    >>> global_avg_pool(np.ones((2, 3, 3, 4), np.float32)).shape
    (2, 4)
    """
    x = as_tensor(x)
    if x.ndim not in (3, 4):
        came = f"shape {x.shape}"
        raise InputError(f"global_avg_pool: got {came}; expected (B, H, W, C) or (B, L, C)")
    if not isinstance(x.data, (Bits, BitPlanes)) and x.is_float:
        return mean(x, axis=tuple(range(1, x.ndim - 1)))
    images = x if x.ndim == 4 else reshape(x, len(x), 1, *x.shape[1:])
    sums = avg_pool2d(images, Window(images.shape[1:3]))  # type: ignore[arg-type]
    return reshape(sums, len(x), x.shape[-1])
