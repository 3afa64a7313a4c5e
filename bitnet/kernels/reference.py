"""The definition of every kernel in a line or two of NumPy; all other versions must equal it.

Arguments are valid here: `bitnet.kernels` has checked them.  Shapes: B rows of a batch,
M outputs, N inputs, K words in a row.
"""

import numpy as np

from bitnet.kernels.bits import WORD, Bits, Planes, words_for


def pack(x):
    """x >= 0 (True, for booleans) as Bits of the same shape."""
    ones = np.packbits(x if x.dtype == np.bool_ else x >= 0, axis=-1, bitorder="little")
    rows = np.zeros((*x.shape[:-1], words_for(x.shape[-1]) * 8), np.uint8)
    rows[..., : ones.shape[-1]] = ones
    return Bits(rows.view(WORD), x.shape)


def pack_mask(x, window):
    """|x| <= window as Bits: bit 1 where the straight-through estimator lets a gradient pass."""
    return pack(np.abs(x) <= window)


def unpack(bits, dtype):
    """+1 and -1 as numbers."""
    return bits.signs(dtype)


def where(mask, x):
    """x where the bit of the mask is 1, zero elsewhere."""
    return np.where(mask.signs() > 0, x, x.dtype.type(0))


def split_planes(pixels):
    """The eight ±1 planes of 2p - 255, least significant first."""
    weights = [1 << b for b in range(8)]
    return Planes(pack(np.stack([pixels & weight != 0 for weight in weights])), weights)


def xnor_gemm(x, weight):
    """z[i, j] = sum_n x[i, n] * weight[j, n] = n - 2 popcount(x ^ weight), for ±1 in Bits."""
    z = np.empty((x.shape[0], weight.shape[0]), np.int32)
    for i, row in enumerate(x.words):
        z[i] = x.shape[-1] - 2 * np.bitwise_count(row ^ weight.words).sum(axis=-1, dtype=np.int32)
    return z


def plane_gemm(x, weight):
    """z = sum_p c_p xnor_gemm(plane p of x, weight), for Planes or for pixels split into them."""
    x = x if isinstance(x, Planes) else split_planes(x)
    z = np.zeros((x.shape[0], weight.shape[0]), np.int32)
    for plane, coefficient in enumerate(x.coefficients):
        z += np.int32(coefficient) * xnor_gemm(x.bits[plane], weight)
    return z


def signed_gemm(x, signs):
    """y[i, n] = sum_m x[i, m] * signs[m, n], floats times ±1."""
    return x @ signs.signs(x.dtype)


def threshold(z, thresholds, rising):
    """z >= threshold where the column rises, z <= threshold where it falls, as Bits."""
    return pack(np.where(rising, z >= thresholds, z <= thresholds))


def count_flips(a, b):
    """The number of signs that differ."""
    return int(np.bitwise_count(a.words ^ b.words).sum(dtype=np.int64))
