"""Which product runs: by the number of bits of the operands and the level of the processor.

signs with signs               XOR and popcount                        `xnor`
1 to 3 planes with signs       one XNOR product a plane                `xnor`
4- to 8-bit integers, pixels   with AVX-512 tables of int16, else planes  `tables`
floats with signs              with AVX-512 tables of float32, else the BLAS on ±1
numbers with pixels            with AVX-512 vpdpbusd and FMA, else the BLAS  `pixels`
"""

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.bits import Bits, Planes
from bitnet.kernels.cpu import pixels, tables
from bitnet.kernels.cpu.indices import FLOATS, INTEGERS, column_index, row_index
from bitnet.kernels.cpu.jit import level
from bitnet.kernels.cpu.pack import split_planes, unpack
from bitnet.kernels.cpu.xnor import xnor_gemm
from bitnet.kernels.operands import Quantized
from bitnet.kernels.threads import shared

TABLE_PLANES = 4  # planes from which tables are faster than one product a plane


def plane_gemm(x, weight):
    """See `bitnet.kernels.plane_gemm`."""
    if isinstance(weight, Planes):
        return _many_planes(x, weight)
    n_planes = len(x.coefficients) if isinstance(x, Planes) else 8
    largest = x.largest if isinstance(x, Planes) else 255
    if level() == "avx512" and n_planes >= TABLE_PLANES and largest <= tables.largest_number():
        return _table_product(x, weight, largest)
    x = x if isinstance(x, Planes) else split_planes(x)
    z = np.zeros((x.shape[0], weight.shape[0]), np.int32)
    for plane, coefficient in enumerate(x.coefficients):
        z += np.int32(coefficient) * xnor_gemm(x.bits[plane], weight)
    if x.offset:
        z += np.int32(x.offset) * row_sums(weight)
    return z


def row_sums(x):
    """The sums of the rows of Bits, of the integers of Planes, or of 2p - 255: int32 (B,)."""
    if isinstance(x, Bits):
        ones = np.bitwise_count(x.words).sum(axis=-1, dtype=np.int32)
        return 2 * ones - np.int32(x.shape[-1])
    if not isinstance(x, Planes):
        return 2 * x.sum(axis=-1, dtype=np.int32) - np.int32(255 * x.shape[-1])
    sums = np.full(x.shape[:-1], x.offset * x.shape[-1], np.int32)
    for plane, coefficient in enumerate(x.coefficients):
        sums += np.int32(coefficient) * row_sums(x.bits[plane])
    return sums


def plane_conv(images, weight, window):
    """See `bitnet.kernels.plane_conv`."""
    if level() == "avx512":
        return pixels.convolve(images, weight, window)
    return reference.plane_conv(images, weight, window, plane_gemm)


def _table_product(x, weight, largest):
    """plane_gemm by tables: x Planes or pixels, weight Bits (M, N)."""
    (batch, n), m = x.shape, weight.shape[0]
    numbers = _integers(x) if isinstance(x, Planes) else 2 * x.astype(np.int16) - np.int16(255)
    rows = tables.integer_rows(numbers, _kept_index(weight), m, largest)
    z = np.empty((batch, m), np.int32)
    work_ns = batch * n * m / tables.MACS_PER_NS["integers"]
    shared(lambda i, j: rows(i, j, z[i:j]), batch, tables.TILE, work_ns)
    return z


def _many_planes(x, weight):
    """plane_gemm for weights of more than one bit."""
    if isinstance(x, Bits):  # the weights are the numbers, the inputs their signs
        return np.ascontiguousarray(plane_gemm(weight, x).T)
    z = np.zeros((x.shape[0], weight.shape[0]), np.int32)
    for plane, coefficient in enumerate(weight.coefficients):
        z += np.int32(coefficient) * plane_gemm(x, weight.bits[plane])
    if weight.offset:
        z += np.int32(weight.offset) * row_sums(x)[:, None]
    return z


def _integers(planes):
    """The integers that planes stand for, without their scale: int16 (B, N)."""
    total = np.full(planes.shape, planes.offset, np.int16)
    for plane, coefficient in enumerate(planes.coefficients):
        total += np.int16(coefficient) * unpack(planes.bits[plane], np.dtype(np.int16))
    return total


def _kept_index(weight):
    """The table index of the rows of Bits, kept where they keep layouts."""
    kept = weight.layouts if weight.layouts is not None else {}
    if "index" not in kept:
        kept["index"] = row_index(weight.words, weight.shape[1])
    return kept["index"]


def signed_gemm(x, signs):
    """See `bitnet.kernels.signed_gemm`."""
    y = np.empty((x.shape[0], signs.shape[1]), x.dtype)
    rows, macs_per_ns = signed_rows(x, signs)
    work_ns = x.shape[0] * x.shape[1] * signs.shape[1] / macs_per_ns
    shared(lambda i, j: rows(i, j, y[i:j]), len(y), tables.TILE, work_ns)
    return y


def signed_rows(x, signs):
    """How to multiply: a function of (start, stop, y) that writes rows of the product into y.

    Also returns its multiply-accumulates a nanosecond on one thread, about; inf for what has
    threads of its own.
    """
    quantized, by_tables = isinstance(x, Quantized), level() == "avx512"
    if by_tables and isinstance(signs, Bits) and x.dtype == np.float32:
        kind = INTEGERS if quantized else FLOATS
        index = column_index(signs.words, kind)
        if not quantized:
            return tables.float_rows(x, index), tables.MACS_PER_NS["floats"]
        rows = tables.integer_rows(x.values, index, signs.shape[1], x.largest, scales=x.scales)
        return rows, tables.MACS_PER_NS["integers"]
    by_bytes = not quantized or x.largest <= 127
    if by_tables and isinstance(signs, np.ndarray) and x.dtype == np.float32 and by_bytes:
        if not quantized:
            return pixels.float_pixel_rows(x, signs), pixels.FLOAT_MACS_PER_NS
        return pixels.pixel_rows(x.values, signs, x.scales), pixels.MACS_PER_NS
    if not quantized:
        factor = signs.values(x.dtype) if isinstance(signs, Planes) else _numbers(signs, x.dtype)
        return lambda i, j, y: np.matmul(x[i:j], factor, out=y), np.inf
    dtype = exact_float(x, signs)
    factor, scale = _numbers(signs, dtype), np.float32(getattr(signs, "scale", 1))

    def rows(start, stop, y):
        sums = (x.values[start:stop].astype(dtype) @ factor).astype(np.float32)
        np.multiply(sums * x.scales[start:stop, None], scale, out=y)

    return rows, np.inf


def exact_float(x, signs):
    """The float type in which a BLAS adds the products of these integers without rounding."""
    largest = 1
    if isinstance(signs, Planes):
        largest = signs.largest
    elif not isinstance(signs, Bits):
        largest = 255
    return np.float32 if x.largest * x.shape[1] * largest < 2**24 else np.float64


def _numbers(signs, dtype):
    """Signs, planes (without their scale) or pixels, as the floats that they stand for."""
    if isinstance(signs, Bits):
        return unpack(signs, np.dtype(dtype))
    if isinstance(signs, Planes):
        return signs.integers().astype(dtype)
    return np.dtype(dtype).type(2) * signs - np.dtype(dtype).type(255)
