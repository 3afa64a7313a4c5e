"""Batch normalization, with the statistics of the batch (training) or fixed ones (evaluation)."""

import math

import numpy as np

from bitnet.errors import InputError
from bitnet.tensor import Function, as_tensor

__all__ = ["batch_norm", "normalize"]


class BatchNorm(Function):
    """gamma * (x - mean) / sqrt(var + eps) + beta, mean and var over all axes but the last."""

    def __init__(self, eps):
        self.eps = eps

    def forward(self, x, gamma, beta):  # (..., C), (C,), (C,)
        self.axes = tuple(range(x.ndim - 1))
        self.count = math.prod(x.shape[:-1])
        x = x.astype(gamma.dtype, copy=False)
        self.mean = x.mean(axis=self.axes)
        centred = x - self.mean
        self.inv_std = 1 / np.sqrt((centred * centred).mean(axis=self.axes) + self.eps)
        self.gamma = gamma
        self.xhat = centred * self.inv_std
        return self.xhat * gamma + beta

    def backward(self, grad_y):
        grad_beta = grad_y.sum(axis=self.axes)
        grad_gamma = (grad_y * self.xhat).sum(axis=self.axes)
        along = (grad_beta + self.xhat * grad_gamma) / self.count  # what mean and var take away
        grad_x = (grad_y - along) * (self.gamma * self.inv_std)
        return grad_x, grad_gamma, grad_beta


def batch_norm(x, gamma, beta, eps=1e-4, running=None, momentum=0.1):
    """Batch normalization with the statistics of this batch, as in training.

    `y = gamma * (x - mean) * inv_std + beta`, `inv_std = 1 / sqrt(var + eps)`, with the mean
    and the biased variance over all axes but the last; part of Algorithm 1 of the papers.

    Parameters
    ----------
    x : Tensor
        Floats, or integer pre-activations, of shape (..., C); two rows or more.
    gamma, beta : Tensor
        Shape (C,).
    eps : float, optional
        Added to the variance; 1e-4 in the papers' code.
    running : pair of numpy.ndarray, optional
        Running mean and running inverse standard deviation, shape (C,) each (the papers'
        code averages the latter, not the variance).  They are changed in place:
        `running += momentum * (batch - running)`.
    momentum : float, optional
        The share of this batch in the running statistics; 0.1 in the papers' code.

    Returns
    -------
    Tensor
        Floats of the shape of `x` and the type of `gamma`.

    Raises
    ------
    InputError
        If there are fewer than two rows or the shapes do not fit.

    Examples
    --------
    >>> y = batch_norm([[1.0], [3.0]], [2.0], [5.0])
    >>> y.data.round(3)
    array([[3.],
           [7.]], dtype=float32)
    """
    x, gamma, beta = as_tensor(x), as_tensor(gamma), as_tensor(beta)
    _check("batch_norm", x, gamma, beta)
    if math.prod(x.shape[:-1]) < 2:
        raise InputError(
            f"batch_norm: an input of shape {x.shape} has no statistics; expected at least "
            "2 rows, or the evaluation mode (model.eval())"
        )
    node = BatchNorm(eps)
    y = node(x, gamma, beta)
    if running is not None:
        for average, batch in zip(running, (node.mean, node.inv_std), strict=True):
            average += (momentum * (batch - average)).astype(average.dtype)
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


def normalize(x, gamma, beta, mean, inv_std):
    """Batch normalization with fixed statistics, as in evaluation.

    `y = (x - mean) * (gamma * inv_std) + beta`, rounded in this order: a frozen net holds
    thresholds found by bisecting this expression, and evaluates it behind its last layer.

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

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> normalize([[4.0]], [3.0], [1.0], np.float32([2.0]), np.float32([0.5]))
    Tensor(array([[4.]], dtype=float32))
    """
    x, gamma, beta = as_tensor(x), as_tensor(gamma), as_tensor(beta)
    _check("normalize", x, gamma, beta)
    return Normalize(mean, inv_std)(x, gamma, beta)


def _check(name, x, gamma, beta):
    if x.ndim < 2 or gamma.shape != x.shape[-1:] or beta.shape != x.shape[-1:]:
        raise InputError(
            f"{name}: shapes {x.shape}, {gamma.shape} and {beta.shape} do not fit; "
            "expected (..., C), (C,) and (C,)"
        )
