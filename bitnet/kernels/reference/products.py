"""Matrix products with one operand, or both, in bits."""

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels.bits import BitPlanes, Bits, Quantized
from bitnet.kernels.reference.pack import bitwise_count, threshold


def prepare(bits):
    """Nothing is laid out here."""
    return bits


def xnor_gemm(x, weight):
    """z[i, j] = sum_n x[i, n] * weight[j, n] = n - 2 popcount(x ^ weight), for ±1 in Bits."""
    z = array_module(x).empty((x.shape[0], weight.shape[0]), np.int32)
    for i in range(len(z)):
        differ = bitwise_count(x.words[i] ^ weight.words)
        z[i] = x.shape[-1] - 2 * differ.sum(axis=-1, dtype=np.int32)
    return z


def xnor_sign(x, weight, thresholds):
    """The signs of a frozen layer."""
    return threshold(xnor_gemm(x, weight), thresholds)


def plane_gemm(x, weight):
    """z = integers of x @ integers of weight.T."""
    return (integers(x) @ integers(weight).T).astype(np.int32)


def integers(x):
    """Bits, planes without their scale, or pixels, as the integers that they stand for."""
    if isinstance(x, BitPlanes):
        return x.integers().astype(np.int64)
    return x.signs(np.int64) if isinstance(x, Bits) else 2 * x.astype(np.int64) - 255


def signed_gemm(x, signs):
    """y[i, n] = sum_m x[i, m] * signs[m, n]: floats, or exact integers and then a scale a row."""
    if isinstance(signs, BitPlanes) and not isinstance(x, Quantized):
        return x @ signs.numbers(x.dtype)
    y = multiply(x, integers(signs))
    return y * np.float32(signs.scale) if isinstance(signs, BitPlanes) else y


def multiply(x, integers):
    """Floats times integers, or exact integers and then a scale a row."""
    if not isinstance(x, Quantized):
        return x @ integers.astype(x.dtype)
    return (x.values.astype(np.int64) @ integers).astype(np.float32) * x.scales[:, None]
