"""Matrix products of packed signs: XOR, popcount and add, one word of 64 products at a time."""

import numpy as np
from numba import njit

from bitnet.kernels.bits import Planes
from bitnet.kernels.cpu.pack import split_planes, unpack


@njit(cache=True, inline="always")
def _popcount(word):
    """The number of ones in a uint64, by adding neighbours; LLVM makes one instruction of it."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(cache=True)
def _xnor_rows(x, weight, n, coefficient, z):
    """z += coefficient * (n - 2 popcount(x ^ weight)); x (B, K), weight (M, K), z (B, M)."""
    for i in range(x.shape[0]):
        for j in range(weight.shape[0]):
            differing = np.uint64(0)
            for k in range(x.shape[1]):
                differing += _popcount(x[i, k] ^ weight[j, k])
            z[i, j] += coefficient * (n - 2 * np.int64(differing))


def _accumulate(x, weight, coefficient, z):
    """Add `coefficient` times the product of two Bits to z."""
    words = np.ascontiguousarray(x.words), np.ascontiguousarray(weight.words)
    _xnor_rows(*words, x.shape[-1], coefficient, z)
    return z


def xnor_gemm(x, weight):
    """See `bitnet.kernels.xnor_gemm`."""
    return _accumulate(x, weight, 1, np.zeros((x.shape[0], weight.shape[0]), np.int32))


def plane_gemm(x, weight):
    """See `bitnet.kernels.plane_gemm`."""
    x = x if isinstance(x, Planes) else split_planes(x)
    z = np.zeros((x.shape[0], weight.shape[0]), np.int32)
    for plane, coefficient in enumerate(x.coefficients):
        _accumulate(x.bits[plane], weight, coefficient, z)
    return z


def signed_gemm(x, signs):
    """See `bitnet.kernels.signed_gemm`: the signs become floats, the BLAS multiplies."""
    return x @ unpack(signs, x.dtype)
