"""Batch norm on integers: the forward pass with the sign, and the backward pass."""

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels.reference.pack import pack_with_mask, where


def column_moments(z):
    """Return the mean and the biased variance of the integers of each column, as float64."""
    z, n = z.astype(np.int64), len(z)
    sums = z.sum(axis=0)
    distances = z - centre_of(sums, n)
    squares = (distances * distances).astype(np.uint64)  # below 2**64
    high, low = squares >> np.uint64(32), squares & np.uint64(2**32 - 1)
    return moments(sums, high.sum(axis=0), low.sum(axis=0), n)


def centre_of(sums, n):
    """Return the means of columns, rounded to integers."""
    return array_module(sums).rint(sums / n).astype(np.int64)


def moments(sums, high, low, n):
    """Return mean and variance for exact sums of z and of both halves of (z - centre)**2."""
    rest = sums - n * centre_of(sums, n)
    return sums / n, (high * 2.0**32 + low - rest * (rest / n)) / n


def normalize_sign(z, mean, scale, shift, clip_value):
    """Return y >= 0 and |y| <= clip_value as Bits, for y = (z - mean) * scale + shift."""
    y = (z.astype(mean.dtype) - mean) * scale + shift
    return pack_with_mask(y, y.dtype.type(np.inf if clip_value is None else clip_value))


def batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma):
    """Return the gradients of z, gamma and beta for y = (z - mean) * inv_std * gamma + beta.

    `mask` is +1 where grad_y counts.  Columns are summed in float64, one row after the other.
    """
    g = grad_y if mask is None else where(mask, grad_y)
    xhat = (z.astype(mean.dtype) - mean) * inv_std
    grad_beta, grad_gamma = (_running_total(terms) for terms in (g, g * xhat))
    along = (grad_beta + xhat * grad_gamma) / xhat.dtype.type(len(z))  # through mean and variance
    return (g - along) * (gamma * inv_std), grad_gamma, grad_beta


def _running_total(terms):
    """Sum the first axis in float64, strictly one row after the other (except in CuPy)."""
    if array_module(terms) is not np:
        return terms.sum(axis=0, dtype=np.float64).astype(terms.dtype)
    return np.add.accumulate(terms, axis=0, dtype=np.float64)[-1:].sum(axis=0).astype(terms.dtype)
