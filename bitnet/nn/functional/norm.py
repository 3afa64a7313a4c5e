"""Batch normalization with batch or fixed statistics."""

import math
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, unfit

FEW, LIMIT = 8, 2  # with fewer rows an inverse deviation enters as at most LIMIT times the average


def checked(name, x, gamma, beta, least=0):
    """Return the operands as Tensors (..., C), (C,) and (C,), with at least `least` rows."""
    x, gamma, beta = as_tensor(x), as_tensor(gamma), as_tensor(beta)
    if x.ndim < 2 or gamma.shape != x.shape[-1:] or beta.shape != x.shape[-1:]:
        raise unfit(name, "(..., C), (C,) and (C,)", x, gamma, beta)
    if math.prod(x.shape[:-1]) < least:
        raise InputError(
            f"{name}: an input of shape {x.shape} has no statistics; expected at least "
            f"{least} rows, or the evaluation mode (model.eval())"
        )
    return x, gamma, beta


def is_integer(x):
    """Return whether a Tensor holds pre-activations of a binary layer."""
    return getattr(x.data, "dtype", None) == np.int32


class BatchNorm(Function):
    """gamma * (x - mean) / sqrt(var + eps) + beta, mean and var over all axes but the last."""

    def __init__(self, eps):
        self.eps = eps

    def forward(self, x, gamma, beta):  # (..., C), (C,), (C,)
        self.axes = tuple(range(x.ndim - 1))
        self.count = math.prod(x.shape[:-1])
        x, self.gamma = x.astype(gamma.dtype, copy=False), gamma
        self.mean = x.mean(axis=self.axes, dtype=np.float64).astype(x.dtype)
        self.xhat = x - self.mean
        variance = (self.xhat * self.xhat).mean(axis=self.axes, dtype=np.float64)
        self.inv_std = (1 / array_module(x).sqrt(variance + self.eps)).astype(x.dtype)
        self.xhat *= self.inv_std
        y = self.xhat * gamma
        y += beta
        return y

    def backward(self, grad_y):
        grad_beta = grad_y.sum(axis=self.axes)
        grad_gamma = (grad_y * self.xhat).sum(axis=self.axes)
        along = self.xhat * grad_gamma  # what mean and var take away
        along += grad_beta
        along /= self.count
        grad_x = array_module(along).subtract(grad_y, along, out=along)
        grad_x *= self.gamma * self.inv_std
        return grad_x, grad_gamma, grad_beta


class IntegerBatchNorm(Function):
    """Batch norm of integers with exact sums; only the integers are kept for backward."""

    def __init__(self, eps):
        self.eps = eps

    def forward(self, z, gamma, beta):  # (..., C) int32, (C,), (C,)
        scale = self.remember(z, gamma)
        return (z.astype(gamma.dtype) - self.mean) * scale + beta

    def backward(self, grad_y):
        return self.gradients_of_integers(grad_y, None)

    def remember(self, z, gamma):
        """Save what backward needs; return gamma * inv_std."""
        self.z, self.gamma = z, gamma
        rows = z.reshape(-1, z.shape[-1])
        mean, variance = kernels.column_moments(rows)
        self.mean = mean.astype(gamma.dtype)
        self.inv_std = (1 / array_module(z).sqrt(variance + self.eps)).astype(gamma.dtype)
        return gamma * self.inv_std

    def gradients_of_integers(self, grad_y, passes):
        """Return the gradients of z, gamma and beta, in one pass over rows of integers."""
        rows = (-1, self.z.shape[-1])
        statistics = self.mean, self.inv_std, self.gamma
        arrays = grad_y.reshape(rows), passes, self.z.reshape(rows)
        grad_z, *others = kernels.batch_norm_backward(*arrays, *statistics)
        return grad_z.reshape(self.z.shape), *others


def batch_norm(
    x: TensorLike,
    gamma: TensorLike,
    beta: TensorLike,
    eps: float = 0.0001,
    running: tuple[np.ndarray, np.ndarray] | None = None,
    momentum: float = 0.1,
) -> Tensor:
    """Normalize with the statistics of this batch, as in training.

    `y = gamma * (x - mean) * inv_std + beta`, `inv_std = 1 / sqrt(var + eps)`, with the mean
    and the biased variance over all axes but the last; part of Algorithm 1 of the papers.

    Parameters
    ----------
    x : Tensor
        Floats, or integer pre-activations, of shape (..., C), with at least two rows.
    gamma, beta : Tensor
        Shape (C,).
    eps : float, optional
        Added to the variance; 1e-4 in the papers' code.
    running : pair of numpy.ndarray, optional
        Running mean and running inverse standard deviation, of shape (C,), updated in place:
        `running = (1 - momentum) * running + momentum * batch`.  The papers' code averages the
        inverse standard deviation instead of the variance.
    momentum : float, optional
        The weight of this batch in the running statistics; 0.1 in the papers' code.  With 1 they
        become those of this batch.

    Returns
    -------
    Tensor
        Floats of the shape of `x` and the type of `gamma`.

    Notes
    -----
    The inverse deviation of a few rows says little: for n normal rows it is too large, on average,
    by a factor of 1.2 for n = 8, 1.6 for 4, 2.2 for 3, without limit for 2, and it is
    1 / sqrt(eps) where all rows are equal.  One such batch, often the last of an epoch, would spoil
    the average.  From fewer than 8 rows it therefore enters as at most twice the running one,
    unless momentum is 1; batches with more rows are averaged as in the papers' code.

    Examples
    --------
    >>> batch_norm([[1.0], [3.0]], [2.0], [5.0]).data.round(3).ravel()
    array([3., 7.], dtype=float32)
    """
    x, gamma, beta = checked("batch_norm", x, gamma, beta, least=2)
    node = IntegerBatchNorm(eps) if is_integer(x) else BatchNorm(eps)
    return update_running(node, node(x, gamma, beta), running, momentum)


def update_running(node, y, running, momentum):
    """Average the statistics of the batch into the running ones; return y."""
    if running is not None:
        inv_std, m = node.inv_std, np.float64(momentum)
        if math.prod(y.shape[:-1]) < FEW and momentum < 1:
            inv_std = array_module(inv_std).minimum(inv_std, LIMIT * running[1])
        for average, batch in zip(running, (node.mean, inv_std), strict=True):
            average[...] = average * (1 - m) + batch * m  # in float64
    return y


class Normalize(Function):
    """(x - mean) * (gamma * inv_std) + beta with fixed mean and inv_std."""

    def __init__(self, mean, inv_std):
        self.mean, self.inv_std = mean, inv_std

    def forward(self, x, gamma, beta):
        self.centred = x.astype(gamma.dtype, copy=False) - self.mean
        self.scale = gamma * self.inv_std
        return self.centred * self.scale + beta

    def backward(self, grad_y):
        axes = tuple(range(grad_y.ndim - 1))
        grad_gamma = (grad_y * self.centred).sum(axis=axes) * self.inv_std
        return grad_y * self.scale, grad_gamma, grad_y.sum(axis=axes)


def normalize(
    x: TensorLike, gamma: TensorLike, beta: TensorLike, mean: Any, inv_std: Any
) -> Tensor:
    """Normalize with fixed statistics, as in evaluation.

    `y = (x - mean) * (gamma * inv_std) + beta`, rounded in this order: the thresholds of a frozen
    net are found by bisecting this expression, and its scores are computed with it.

    Parameters
    ----------
    x : Tensor
        Floats, or integer pre-activations, of shape (..., C).
    gamma, beta : Tensor
        Shape (C,).
    mean, inv_std : numpy.ndarray
        Shape (C,).

    Returns
    -------
    Tensor
        Floats of the shape of `x` and the type of `gamma`.

    Examples
    --------
    >>> normalize([[4.0]], [3.0], [1.0], np.float32([2.0]), np.float32([0.5]))
    Tensor(array([[4.]], dtype=float32))
    """
    return Normalize(mean, inv_std)(*checked("normalize", x, gamma, beta))
