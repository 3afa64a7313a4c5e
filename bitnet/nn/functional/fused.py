"""Batch norm of integers fused with the sign: one pass that stores no floats.

The results and gradients are those of the two functions in `norm` and `ste`.
"""

from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.autograd import Tensor, TensorLike
from bitnet.errors import InputError
from bitnet.kernels import Bits
from bitnet.nn.functional.norm import IntegerBatchNorm, checked, is_integer, update_running
from bitnet.nn.functional.ste import check_clip_value


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


def _checked_for_sign(name, x, gamma, beta, least=0):
    """Check as `checked`, and that x holds integers and gamma and beta are finite."""
    x, gamma, beta = checked(name, x, gamma, beta, least)
    if not is_integer(x):
        raise InputError(f"{name}: got {x.data!r:.60}; expected int32, such as from a binary layer")
    is_finite = array_module(gamma).isfinite
    if not (is_finite(gamma.data) & is_finite(beta.data)).all():
        cure = "check the data, or lower the learning rate"
        raise InputError(f"{name}: gamma or beta holds NaN or infinity; {cure}")
    return x, gamma, beta


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
