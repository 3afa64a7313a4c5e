"""Matrix products with one or two packed operands."""

import numpy as np

from bitnet.arrays import array_module
from bitnet.kernels.bits import BitPlanes, Bits, Quantized
from bitnet.kernels.reference.pack import bitwise_count, threshold


def prepare(bits):
    """Return the weights unchanged: the definition caches no layouts."""
    return bits


def xnor_gemm(x, weight):
    """Return z[i, j] = sum_n x[i, n] * weight[j, n] = n - 2 popcount(x ^ weight), for Bits."""
    z = array_module(x).empty((x.shape[0], weight.shape[0]), np.int32)
    for i in range(len(z)):
        differ = bitwise_count(x.words[i] ^ weight.words)
        z[i] = x.shape[-1] - 2 * differ.sum(axis=-1, dtype=np.int32)
    return z


def xnor_sign(x, weight, thresholds):
    """Return the signs of a frozen layer."""
    return threshold(xnor_gemm(x, weight), thresholds)


def plane_gemm(x, weight):
    """Return the integers of x @ the integers of weight.T."""
    return (integers(x) @ integers(weight).T).astype(np.int32)


def integers(x):
    """Return the integers that Bits, planes (without their scale) or pixels represent."""
    if isinstance(x, BitPlanes):
        return x.integers().astype(np.int64)
    return x.signs(np.int64) if isinstance(x, Bits) else 2 * x.astype(np.int64) - 255


def signed_gemm(x, signs):
    """Return y[i, n] = sum_m x[i, m] * signs[m, n] in floats, or in exact integers, then scaled."""
    if isinstance(signs, BitPlanes) and not isinstance(x, Quantized):
        return x @ signs.numbers(x.dtype)
    y = multiply(x, integers(signs))
    return y * np.float32(signs.scale) if isinstance(signs, BitPlanes) else y


def multiply(x, integers):
    """Multiply floats with integers, or exact integers with integers and then scale each row."""
    if not isinstance(x, Quantized):
        return x @ integers.astype(x.dtype)
    return (x.values.astype(np.int64) @ integers).astype(np.float32) * x.scales[:, None]
