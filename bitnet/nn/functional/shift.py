"""Shift-based batch normalization: products with powers of two, Algorithm 2 of the papers."""

import math

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import check_choice
from bitnet.nn.functional.norm import checked, update_running

SHIFT_VARIANTS = ("paper", "code")


class AP2(Function):
    """Round to the nearest power of two; backward with slope 1."""

    def forward(self, x):
        return kernels.ap2(x)

    def backward(self, grad_y):
        return grad_y


def ap2(x: TensorLike) -> Tensor:
    """Round each number to a power of two, `sign(x) * 2**round(log2 |x|)`; backward with slope 1.

    Parameters
    ----------
    x : Tensor
        Floats.

    Returns
    -------
    Tensor
        Of the same shape and type.

    Examples
    --------
    >>> ap2([3.0, -0.3]).data
    array([ 4.  , -0.25], dtype=float32)
    """
    return AP2()(as_tensor(x))


class ShiftBatchNorm(Function):
    """AP2(gamma) * c * AP2(inv_std) + beta, c = x - mean, inv_std of mean(c * AP2(c))."""

    def __init__(self, eps):
        self.eps = eps

    def forward(self, x, gamma, beta):  # (..., C), (C,), (C,)
        self.axes, self.count = tuple(range(x.ndim - 1)), math.prod(x.shape[:-1])
        self.mean = mean_of(x, gamma.dtype)
        self.c = x.astype(gamma.dtype, copy=False) - self.mean
        variance = (self.c * kernels.ap2(self.c)).mean(axis=self.axes, dtype=np.float64)
        self.inv_std = (1 / array_module(x).sqrt(variance + self.eps)).astype(gamma.dtype)
        self.shift, self.gamma_shift = kernels.ap2(self.inv_std), kernels.ap2(gamma)
        return self.c * (self.shift * self.gamma_shift) + beta

    def backward(self, grad_y):  # each AP2(v) counts as v plus a constant
        grad_beta = grad_y.sum(axis=self.axes)
        grad_shifted = (grad_y * self.c).sum(axis=self.axes)  # of inv_std and gamma
        grad_gamma = grad_shifted * self.shift
        grad_variance = grad_shifted * self.gamma_shift * self.inv_std**3 / -2
        grad_x = self.c + kernels.ap2(self.c)
        grad_x *= grad_variance / self.count
        grad_x += grad_y * (self.gamma_shift * self.shift)
        grad_x -= grad_x.mean(axis=self.axes)
        return grad_x, grad_gamma, grad_beta


class CodeShiftBatchNorm(ShiftBatchNorm):
    """The same forward pass; backward as in the authors' code, that of batch norm on AP2(c)."""

    def backward(self, grad_y):
        power = kernels.ap2(self.c)
        grad_beta = grad_y.sum(axis=self.axes)
        along = (grad_y * power).sum(axis=self.axes)
        grad_gamma = along * self.shift  # of AP2(xhat), which is AP2(c) * AP2(inv_std)
        grad_x = grad_y - grad_beta / self.count
        grad_x -= power * (self.shift**2 * along / self.count)
        grad_x *= self.shift * self.gamma_shift
        return grad_x, grad_gamma, grad_beta


def mean_of(x, dtype):
    """Return the column means; those of integers come from exact sums."""
    rows = x.reshape(-1, x.shape[-1])
    if x.dtype == np.int32:
        return kernels.column_moments(rows)[0].astype(dtype)
    return rows.mean(axis=0, dtype=np.float64).astype(dtype)


def shift_batch_norm(
    x: TensorLike,
    gamma: TensorLike,
    beta: TensorLike,
    eps: float = 1e-05,
    running: tuple[np.ndarray, np.ndarray] | None = None,
    momentum: float = 0.125,
    variant: str = "paper",
) -> Tensor:
    """Normalize by shifts, with the statistics of this batch, as in training.

    With c = x - mean(x) and `ap2`:
    `y = AP2(gamma) * (c * AP2(1 / sqrt(mean(c * AP2(c)) + eps))) + beta`, Algorithm 2 of arXiv
    1602.02830 (version 2) and 1609.07061; beta, which its last line omits, is in the authors'
    code.  The variants differ in the backward pass, which the papers do not print; s and a are the
    shifts of inv_std and gamma.

    "paper" differentiates the printed lines, with slope 1 for each AP2:
    `grad_gamma = s * sum(grad_y * c)`, and grad_x is
    `a s grad_y - (c + AP2(c)) a inv_std^3 mean(grad_y * c) / 2` less its mean.  "code" is the
    authors' `BatchNormalizationShiftPow2.lua`, which uses AP2(c) instead of c and shifts instead of
    scales: `grad_gamma = sum(AP2(c s) * grad_y)` and
    `grad_x = a s (grad_y - mean(grad_y) - AP2(c) s^2 mean(AP2(c) * grad_y))`.

    Parameters
    ----------
    x, gamma, beta, running : optional
        As for `batch_norm`; the first three are required.
    eps : float, optional
        Added to the variance; 1e-5 in the authors' code.
    momentum : float, optional
        The weight of this batch in the running statistics; 2^-3 in the authors' code.
    variant : {"paper", "code"}, optional
        The backward pass.

    Returns
    -------
    Tensor
        Floats of the shape of `x` and the type of `gamma`.

    Examples
    --------
    >>> shift_batch_norm([[1.0], [9.0]], [3.0], [5.0]).data.ravel()  # variance 16, gamma as 4
    array([1., 9.], dtype=float32)
    """
    check_choice("shift_batch_norm", SHIFT_VARIANTS, variant=variant)
    x, gamma, beta = checked("shift_batch_norm", x, gamma, beta, least=2)
    node = ShiftBatchNorm(eps) if variant == "paper" else CodeShiftBatchNorm(eps)
    return update_running(node, node(x, gamma, beta), running, momentum)
