"""Batch norm and sign on integers, and their backward pass, in one or two passes.

All float operations are in float32 and in the order of `reference`, so that the results are equal
bit for bit.
"""

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.bits import Bits, words_for
from bitnet.kernels.cpu.jit import inner, jit
from bitnet.kernels.cpu.pack import pack_mask_words
from bitnet.kernels.threads import shared

NUMBERS_PER_NS = {"sum": 3.0, "sign": 2.0, "gradient": 1.0}  # approximate, one thread


@jit
def _column_sums(z, sums):
    """Sum the columns of z (B, C) int32; sums (C,) int64."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            sums[j] += np.int64(z[i, j])


@jit
def _column_squares(z, centre, high, low):
    """Sum both halves of (z - centre)**2 down the columns of z (B, C); high and low (C,) int64."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            distance = np.int64(z[i, j]) - centre[j]
            square = np.uint64(distance * distance)  # modulo 2**64, below which it is
            high[j] += np.int64(square >> np.uint64(32))
            low[j] += np.int64(square & np.uint64(0xFFFFFFFF))


@jit
def _normalize_sign(z, mean, scale, shift, clip_value, y, words, mask):
    """Pack the signs of y = (z - mean) * scale + shift; y (1, 64 K) is scratch, NaN at its end."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            y[0, j] = (np.float32(z[i, j]) - mean[j]) * scale[j] + shift[j]
        pack_mask_words(y, clip_value, np.int64(0), words[i : i + 1], mask[i : i + 1])


@inner
def _passing(grad_y, mask, i, g):
    """Write the gradients of row i to g, with 0 where the mask, if there is one, is 0."""
    n = grad_y.shape[1]
    if not len(mask):
        for j in range(n):
            g[j] = grad_y[i, j]
        return
    for k in range(mask.shape[1]):
        word = mask[i, k]
        for b in range(min(64, n - 64 * k)):
            number = grad_y[i, 64 * k + b]
            g[64 * k + b] = number if (word >> np.uint64(b)) & np.uint64(1) else np.float32(0)


@jit
def _gradient_sums(grad_y, mask, z, mean, inv_std, grad_z, sums, products):
    """Sum g and g * xhat down the columns, and write g, the masked gradients, to grad_z."""
    n_rows, n = z.shape
    for i in range(n_rows):
        g = grad_z[i]
        _passing(grad_y, mask, i, g)
        for j in range(n):
            xhat = (np.float32(z[i, j]) - mean[j]) * inv_std[j]
            sums[j] += np.float64(g[j])
            products[j] += np.float64(g[j] * xhat)


@jit
def _gradient_of_numbers(z, mean, inv_std, scale, grad_z, sums, products, count):
    """Replace g by the gradient of z; scale = gamma * inv_std, with sums over `count` rows."""
    n_rows, n = z.shape
    for i in range(n_rows):
        g = grad_z[i]
        for j in range(n):
            xhat = (np.float32(z[i, j]) - mean[j]) * inv_std[j]
            along = (np.float32(sums[j]) + xhat * np.float32(products[j])) / count
            g[j] = (g[j] - along) * scale[j]


def column_moments(z):
    """See `bitnet.kernels.column_moments`."""
    z, n = np.ascontiguousarray(z), len(z)

    def total(sum_columns, count, *given):
        parts = []

        def run(start, stop):
            parts.append(np.zeros((count, z.shape[1]), np.int64))
            sum_columns(z[start:stop], *given, *parts[-1])

        shared(run, n, 1, z.size / NUMBERS_PER_NS["sum"])
        return sum(parts)

    (sums,) = total(_column_sums, 1)
    return reference.moments(sums, *total(_column_squares, 2, reference.centre_of(sums, n)), n)


def _float32(*arrays):
    """Return whether all arrays are float32."""
    return all(x.dtype == np.float32 for x in arrays)


def normalize_sign(z, mean, scale, shift, clip_value):
    """See `bitnet.kernels.normalize_sign`."""
    if z.dtype != np.int32 or not _float32(mean, scale, shift):
        return reference.normalize_sign(z, mean, scale, shift, clip_value)
    z, shape = np.ascontiguousarray(z), (z.shape[0], words_for(z.shape[1]))
    words, mask = np.empty((2, *shape), np.uint64)
    limit = np.float32(np.inf if clip_value is None else clip_value)

    def run(i, j):
        y = np.full((1, 64 * shape[1]), np.nan, np.float32)
        _normalize_sign(z[i:j], mean, scale, shift, limit, y, words[i:j], mask[i:j])

    shared(run, len(z), 1, z.size / NUMBERS_PER_NS["sign"])
    return Bits(words, z.shape), Bits(mask, z.shape)


def batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma):
    """See `bitnet.kernels.batch_norm_backward`."""
    if z.dtype != np.int32 or not _float32(grad_y, mean, inv_std, gamma):
        return reference.batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma)
    words = np.empty((0, 0), np.uint64) if mask is None else np.ascontiguousarray(mask.words)
    grad_z, z = np.empty(z.shape, np.float32), np.ascontiguousarray(z)
    sums, products = np.zeros((2, z.shape[1]))
    _gradient_sums(np.ascontiguousarray(grad_y), words, z, mean, inv_std, grad_z, sums, products)
    columns, count = (mean, inv_std, gamma * inv_std), np.float32(len(z))

    def run(i, j):
        _gradient_of_numbers(z[i:j], *columns, grad_z[i:j], sums, products, count)

    shared(run, len(z), 1, z.size / NUMBERS_PER_NS["gradient"])
    return grad_z, products.astype(np.float32), sums.astype(np.float32)
