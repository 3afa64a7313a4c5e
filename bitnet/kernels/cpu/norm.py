"""Batch norm and sign on integers, and their backward pass, some columns at a time.

All float operations are in float32 and in the order of `reference`, so that the results are equal
bit for bit.
"""

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.bits import Bits, words_for
from bitnet.kernels.cpu.jit import inner, jit
from bitnet.kernels.cpu.pack import pack_mask_words
from bitnet.kernels.threads import shared

NUMBERS_PER_NS = {"moments": 1.8, "sign": 2.0, "gradient": 0.8}  # approximate, one thread


@jit
def _moments(z, first, stop, sums, centre, high, low):
    """Compute `reference.column_moments` up to exact sums, for the columns from first to stop.

    z (B, C) int32; sums, centre, and both halves of the sums of squares, high and low (C,) int64.
    """
    sums, centre = sums[first:stop], centre[first:stop]
    high, low = high[first:stop], low[first:stop]
    ones = np.int32(0)  # the bits of all magnitudes
    for i in range(len(z)):
        row = z[i][first:stop]
        for j in range(len(row)):
            sums[j] += np.int64(row[j])
            ones |= row[j] ^ (row[j] >> np.int32(31))
    for j in range(len(sums)):
        centre[j] = np.int64(np.rint(np.float64(sums[j]) / np.float64(len(z))))
    if ones < 1 << 20 and len(z) < 1 << 20:  # the sums are below 2**62
        for i in range(len(z)):
            row = z[i][first:stop]
            for j in range(len(row)):
                distance = np.int64(row[j] - np.int32(centre[j]))
                low[j] += distance * distance
        return
    for i in range(len(z)):
        row = z[i][first:stop]
        for j in range(len(row)):
            distance = np.int64(row[j]) - centre[j]
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
def _passing(grad, words, g):
    """Write a row of gradients to g, with 0 where the mask, if there is one, is 0."""
    n = len(g)
    if not len(words):
        for j in range(n):
            g[j] = grad[j]
        return
    for k in range((n + 63) // 64):
        word = words[k]
        for b in range(min(64, n - 64 * k)):
            number = grad[64 * k + b]
            g[64 * k + b] = number if (word >> np.uint64(b)) & np.uint64(1) else np.float32(0)


@jit
def _gradient(grad_y, mask, z, mean, inv_std, scale, first, stop, grad_z, sums, products):
    """Compute `batch_norm_backward` of the columns from first to stop; scale = gamma * inv_std.

    grad_y, z, grad_z (B, C); mask (B, K), or (B, 0) if there is none; sums and products (C,) are
    those of g and of g * xhat down the columns.
    """
    count = np.float32(len(z))
    mean, inv_std, scale = mean[first:stop], inv_std[first:stop], scale[first:stop]
    sums, products = sums[first:stop], products[first:stop]
    for i in range(len(z)):
        g, row = grad_z[i][first:stop], z[i][first:stop]
        _passing(grad_y[i][first:stop], mask[i][first // 64 :], g)
        for j in range(len(g)):
            xhat = (np.float32(row[j]) - mean[j]) * inv_std[j]
            sums[j] += np.float64(g[j])
            products[j] += np.float64(g[j] * xhat)
    for i in range(len(z)):
        g, row = grad_z[i][first:stop], z[i][first:stop]
        for j in range(len(g)):
            xhat = (np.float32(row[j]) - mean[j]) * inv_std[j]
            along = (np.float32(sums[j]) + xhat * np.float32(products[j])) / count
            g[j] = (g[j] - along) * scale[j]


def column_moments(z):
    """See `bitnet.kernels.column_moments`."""
    z, (n_rows, n) = np.ascontiguousarray(z), z.shape
    sums, centre, high, low = np.zeros((4, n), np.int64)
    work_ns = z.size / NUMBERS_PER_NS["moments"]
    shared(lambda i, j: _moments(z, i, j, sums, centre, high, low), n, 64, work_ns)
    return reference.moments(sums, high, low, n_rows)


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
    words = np.empty((len(z), 0), np.uint64) if mask is None else mask.words
    grad_y, words, z = map(np.ascontiguousarray, (grad_y, words, z))
    grad_z, (sums, products) = np.empty(z.shape, np.float32), np.zeros((2, z.shape[1]))
    columns = mean, inv_std, gamma * inv_std

    def run(i, j):
        _gradient(grad_y, words, z, *columns, i, j, grad_z, sums, products)

    shared(run, z.shape[1], 64, z.size / NUMBERS_PER_NS["gradient"])
    return grad_z, products.astype(np.float32), sums.astype(np.float32)
