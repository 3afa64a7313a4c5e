"""Batch norm on integers, forward with the sign, and backward."""

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels.reference.pack import pack_with_mask, where


def column_sums(z):
    """The sums of each column of integers, and of their squares: exact, as int64."""
    z = z.astype(np.int64)
    return z.sum(axis=0), (z * z).sum(axis=0)


def normalize_sign(z, mean, scale, shift, clip_value):
    """The signs of y = (z - mean) * scale + shift, and where |y| <= clip_value, both as Bits."""
    y = (z.astype(mean.dtype) - mean) * scale + shift
    return pack_with_mask(y, y.dtype.type(np.inf if clip_value is None else clip_value))


def batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma):
    """The gradients of z, gamma and beta of y = (z - mean) * inv_std * gamma + beta.

    `mask` says where grad_y counts.  Sums run down the columns in float64, row after row.
    """
    g = grad_y if mask is None else where(mask, grad_y)
    xhat = (z.astype(mean.dtype) - mean) * inv_std
    grad_beta, grad_gamma = (_running_total(terms) for terms in (g, g * xhat))
    along = (grad_beta + xhat * grad_gamma) / xhat.dtype.type(len(z))  # what mean and var take away
    return (g - along) * (gamma * inv_std), grad_gamma, grad_beta


def _running_total(terms):
    """The sum over the first axis in float64, strictly one row after the other; not by CuPy."""
    if array_module(terms) is not np:
        return terms.sum(axis=0, dtype=np.float64).astype(terms.dtype)
    return np.add.accumulate(terms, axis=0, dtype=np.float64)[-1:].sum(axis=0).astype(terms.dtype)
