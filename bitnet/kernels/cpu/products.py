"""Matrix products of packed signs: XOR, popcount and add, one word of 64 products at a time."""

import numpy as np

from bitnet.kernels.bits import Planes
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.cpu.pack import split_planes, unpack


@jit
def _popcount(word):
    """The number of ones in a uint64, by adding neighbours; LLVM makes one instruction of it."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@jit
def _xnor_rows(x, weight, n, z):
    """z = n - 2 popcount(x ^ weight); x (B, K), weight (M, K), z (B, M)."""
    for i in range(x.shape[0]):
        for j in range(weight.shape[0]):
            differing = np.uint64(0)
            for k in range(x.shape[1]):
                differing += _popcount(x[i, k] ^ weight[j, k])
            z[i, j] = n - 2 * np.int64(differing)


@jit
def _plane_rows(x, coefficients, weight, n, z):
    """z = sum_p c_p (n - 2 popcount(x_p ^ weight)); x (P, B, K), weight (K, M), z (B, M).

    The weights are transposed so that the innermost loop runs over outputs: rows of pixels
    are a few words long, too short for a loop over words to fill vectors.
    """
    differing = np.empty(weight.shape[1], np.uint64)
    for i in range(x.shape[1]):
        for p in range(x.shape[0]):
            differing[:] = 0
            for k in range(x.shape[2]):
                word = x[p, i, k]
                for j in range(weight.shape[1]):
                    differing[j] += _popcount(word ^ weight[k, j])
            for j in range(weight.shape[1]):
                z[i, j] += coefficients[p] * (n - 2 * np.int64(differing[j]))


def xnor_gemm(x, weight):
    """See `bitnet.kernels.xnor_gemm`."""
    z = np.empty((x.shape[0], weight.shape[0]), np.int32)
    words = np.ascontiguousarray(x.words), np.ascontiguousarray(weight.words)
    _xnor_rows(*words, x.shape[-1], z)
    return z


def plane_gemm(x, weight):
    """See `bitnet.kernels.plane_gemm`."""
    x = x if isinstance(x, Planes) else split_planes(x)
    z = np.zeros((x.shape[0], weight.shape[0]), np.int32)
    words = np.ascontiguousarray(x.bits.words), np.ascontiguousarray(weight.words.T)
    _plane_rows(words[0], np.array(x.coefficients, np.int64), words[1], x.shape[-1], z)
    return z


def signed_gemm(x, signs):
    """See `bitnet.kernels.signed_gemm`: the signs become floats, the BLAS multiplies."""
    return x @ unpack(signs, x.dtype)
