"""Batch normalization with batch or fixed statistics."""

import math
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, unfit
from bitnet.kernels import Bits
from bitnet.nn.functional.ste import check_clip_value


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


def _checked_for_sign(name, x, gamma, beta, least=0):
    """Check as `_checked`, and that x holds integers and gamma and beta are finite."""
    x, gamma, beta = checked(name, x, gamma, beta, least)
    if not _is_integer(x):
        raise InputError(f"{name}: got {x.data!r:.60}; expected int32, such as from a binary layer")
    is_finite = array_module(gamma).isfinite
    if not (is_finite(gamma.data) & is_finite(beta.data)).all():
        cure = "check the data, or lower the learning rate"
        raise InputError(f"{name}: gamma or beta holds NaN or infinity; {cure}")
    return x, gamma, beta


def _is_integer(x):
    """Return whether a Tensor holds pre-activations of a binary layer."""
    return getattr(x.data, "dtype", None) == np.int32


class BatchNorm(Function):
    """gamma * (x - mean) / sqrt(var + eps) + beta, mean and var over all axes but the last."""

    def __init__(self, eps):
        self.eps = eps

    def forward(self, x, gamma, beta):  # (..., C), (C,), (C,)
        self.axes = tuple(range(x.ndim - 1))
        self.count = math.prod(x.shape[:-1])
        x = x.astype(gamma.dtype, copy=False)
        self.mean = x.mean(axis=self.axes)
        self.xhat = x - self.mean
        variance = (self.xhat * self.xhat).mean(axis=self.axes)
        self.inv_std = 1 / array_module(x).sqrt(variance + self.eps)
        self.gamma = gamma
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
        sums, squares = (total / len(rows) for total in kernels.column_sums(rows))
        xp = array_module(z)
        variance = xp.maximum(squares - sums * sums, 0)
        self.mean = sums.astype(gamma.dtype)
        self.inv_std = (1 / xp.sqrt(variance + self.eps)).astype(gamma.dtype)
        return gamma * self.inv_std

    def gradients_of_integers(self, grad_y, passes):
        """Return the gradients of z, gamma and beta, in one pass over rows of integers."""
        rows = (-1, self.z.shape[-1])
        statistics = self.mean, self.inv_std, self.gamma
        arrays = grad_y.reshape(rows), passes, self.z.reshape(rows)
        grad_z, *others = kernels.batch_norm_backward(*arrays, *statistics)
        return grad_z.reshape(self.z.shape), *others


class BatchNormSign(IntegerBatchNorm):
    """Batch norm of integers fused with the sign: bits out, no floats stored."""

    def __init__(self, eps, clip_value):
        super().__init__(eps)
        self.clip_value = clip_value

    def forward(self, z, gamma, beta):
        scale = self.remember(z, gamma)
        columns = self.mean, scale, beta
        rows = z.reshape(-1, z.shape[-1])
        signs, self.passes = kernels.normalize_sign(rows, *columns, self.clip_value)
        return Bits(signs.words.reshape(*z.shape[:-1], -1), z.shape)

    def backward(self, grad_y):  # through the sign where |y| <= clip_value, then through batch norm
        return self.gradients_of_integers(
            grad_y, self.passes if self.clip_value is not None else None
        )


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
        `running += momentum * (batch - running)`.  The papers' code averages the inverse standard
        deviation instead of the variance.
    momentum : float, optional
        The weight of this batch in the running statistics; 0.1 in the papers' code.

    Returns
    -------
    Tensor
        Floats of the shape of `x` and the type of `gamma`.

    Examples
    --------
    >>> batch_norm([[1.0], [3.0]], [2.0], [5.0]).data.round(3).ravel()
    array([3., 7.], dtype=float32)
    """
    x, gamma, beta = checked("batch_norm", x, gamma, beta, least=2)
    node = IntegerBatchNorm(eps) if _is_integer(x) else BatchNorm(eps)
    return update_running(node, node(x, gamma, beta), running, momentum)


def update_running(node, y, running, momentum):
    """Average the statistics of the batch into the running ones; return y."""
    if running is not None:
        for average, batch in zip(running, (node.mean, node.inv_std), strict=True):
            average += (momentum * (batch - average)).astype(average.dtype)
    return y


def batch_norm_sign(
    x: TensorLike,
    gamma: TensorLike,
    beta: TensorLike,
    eps: float = 0.0001,
    running: tuple[np.ndarray, np.ndarray] | None = None,
    momentum: float = 0.1,
    clip_value: float | None = 1.0,
) -> Tensor:
    """Return `sign(batch_norm(x, ...), clip_value)` of integers, in one pass without floats.

    Parameters
    ----------
    x : Tensor
        int32 of shape (..., C), with at least two rows.
    gamma, beta, eps, running, momentum : optional
        As for `batch_norm`; the first two are required.
    clip_value : float or None, optional
        As for `sign`.

    Returns
    -------
    Tensor
        The same Bits and gradients as from the two functions.

    Examples
    --------
    >>> batch_norm_sign(np.array([[1], [3]], np.int32), [2.0], [0.0]).data.signs().ravel()
    array([-1,  1], dtype=int8)
    """
    check_clip_value("batch_norm_sign", clip_value)
    x, gamma, beta = _checked_for_sign("batch_norm_sign", x, gamma, beta, least=2)
    node = BatchNormSign(eps, clip_value)
    return update_running(node, node(x, gamma, beta), running, momentum)


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


def normalize_sign(
    x: TensorLike, gamma: TensorLike, beta: TensorLike, mean: Any, inv_std: Any
) -> Tensor:
    """Return `sign(normalize(x, ...))` of integers, in one pass for evaluation, without gradient.

    Parameters
    ----------
    x : Tensor
        int32 of shape (..., C).
    gamma, beta, mean, inv_std : array
        As for `normalize`.

    Returns
    -------
    Tensor
        Bits of the shape of `x`.

    Examples
    --------
    >>> x, one = np.array([[4, -4]], np.int32), np.ones(2, np.float32)
    >>> normalize_sign(x, one, one, one, one).data.signs()
    array([[ 1, -1]], dtype=int8)
    """
    x, gamma, beta = _checked_for_sign("normalize_sign", x, gamma, beta)
    rows = x.data.reshape(-1, x.shape[-1])
    signs, _ = kernels.normalize_sign(rows, mean, gamma.data * inv_std, beta.data)
    return Tensor(Bits(signs.words.reshape(*x.shape[:-1], -1), x.shape))
