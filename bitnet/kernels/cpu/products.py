"""Selection of a product by the number of bits of the operands and the processor level.

on tiles (level amx)           all but floats, for enough rows              `tile_choice`
signs with signs               XOR and popcount                                     `xnor`
k-bit inputs and weights       planes, tables or bytes, see WAYS          `xnor`, `tables`, `octets`
integers with signs            with AVX-512 tables of int16                         `tables`
integers with pixels, planes   bytes or words; with AVX2 signs too                  `dots`
floats with signs              with AVX-512 tables of float32                       `tables`
floats with pixels             with AVX-512 FMA                                     `pixels`

All other products are those of a BLAS, with the signs as numbers.
"""

import math

import numpy as np

from bitnet.kernels.bits import BitPlanes, Bits, Quantized
from bitnet.kernels.cpu import octets, pixels, tables, tile_choice
from bitnet.kernels.cpu.conv import xnor_conv
from bitnet.kernels.cpu.jit import at_least, vector_level
from bitnet.kernels.cpu.pack import numbers, pack, split_planes, unpack
from bitnet.kernels.cpu.tables import FLOATS, INTEGERS, column_index, row_index
from bitnet.kernels.cpu.xnor import counted_taps, kept, xnor_gemm
from bitnet.kernels.memory import aligned_empty
from bitnet.kernels.threads import shared

# by level, the ways to multiply k-bit inputs and m-bit weights, each with the largest k * m for
# which it is used; the first that fits and can multiply these operands
WAYS = {
    "avx512": (("planes", 2), ("tables", 8), ("bytes", 64), ("planes", math.inf)),
    "avx2": (("planes", 2), ("bytes", 64), ("planes", math.inf)),
    "portable": (("planes", math.inf),),
}
WAYS_OF_CONVOLUTIONS = {
    "avx512": (("planes", 4), ("bytes", 64), ("planes", math.inf)),
    "avx2": (("planes", 2), ("bytes", 64), ("planes", math.inf)),
    "portable": (("planes", math.inf),),
}


def plane_gemm(x, weight):
    """See `bitnet.kernels.plane_gemm`."""
    if tile_choice.pay("bytes", len(x), *weight.shape) and _have_forms(x, weight):
        return tile_choice.products_of("bytes").product(x, weight)
    way = _way(WAYS, x, weight)
    if way == "bytes":
        return octets.product(x, weight)
    if isinstance(weight, BitPlanes):
        return _many_planes(x, weight)
    if way == "tables":
        return _table_product(x, weight)
    x = split_planes(x) if isinstance(x, np.ndarray) else x
    z = sum(np.int32(c) * xnor_gemm(part, weight) for c, part in planes_of(x))
    return z + np.int32(x.offset) * row_sums(weight) if x.offset else z


def _way(ways, x, weight):
    """Return the name of the way to multiply these operands."""
    products = _n_planes(x) * _n_planes(weight)
    can = {
        "planes": lambda: True,
        "tables": lambda: _fits_tables(x, weight),
        "bytes": lambda: octets.kind_of(x, weight) is not None,
    }
    return next(way for way, most in ways[vector_level()] if products <= most and can[way]())


def _n_planes(x):
    """Return the number of planes of an operand."""
    return (
        len(x.coefficients) if isinstance(x, BitPlanes) else 8 if isinstance(x, np.ndarray) else 1
    )


def _fits_tables(x, weight):
    """Return whether one operand is Bits and the other has integers for tables."""
    numbers = weight if isinstance(x, Bits) else x
    both = isinstance(x, BitPlanes) and isinstance(weight, BitPlanes)
    return not both and getattr(numbers, "largest", 255) <= tables.largest_number()


def row_sums(x):
    """Return the row sums of Bits, of the integers of BitPlanes, or of 2p - 255, int32 (B,)."""
    if isinstance(x, Bits):
        ones = np.bitwise_count(x.words).sum(axis=-1, dtype=np.int32)
        return 2 * ones - np.int32(x.shape[-1])
    if not isinstance(x, BitPlanes):
        return 2 * x.sum(axis=-1, dtype=np.int32) - np.int32(255 * x.shape[-1])
    sums = np.full(x.shape[:-1], x.offset * x.shape[-1], np.int32)
    for plane, coefficient in enumerate(x.coefficients):
        sums += np.int32(coefficient) * row_sums(x.bits[plane])
    return sums


def plane_conv(x, weight, window):
    """See `bitnet.kernels.plane_conv`."""
    if convolution_on_tiles(x, weight, window):
        return tile_choice.products_of("bytes").convolve(x, weight, window)
    if _way(WAYS_OF_CONVOLUTIONS, x, weight) == "bytes":
        return octets.convolve(x, weight, window)
    if isinstance(weight, BitPlanes):
        ones = pack(np.ones((1, *weight.shape[1:]), np.float32))
        parts = planes_of(weight)
        z = sum(np.int32(c) * plane_conv(x, part, window) for c, part in parts)
        return z + np.int32(weight.offset) * plane_conv(x, ones, window) if weight.offset else z
    if isinstance(x, Bits):
        return xnor_conv(x, weight, window)
    if isinstance(x, np.ndarray):
        return _by_patches(x, weight, window)
    z = sum(np.int32(c) * xnor_conv(part, weight, window) for c, part in planes_of(x))
    if x.offset:
        z += _sums_inside(weight, window, x.shape[1:3], np.int32(x.offset))
    return z


def planes_of(x):
    """Return the coefficient and the Bits of each plane."""
    bits = x.layouts["planes"] if x.layouts else [x.bits[p] for p in range(len(x.coefficients))]
    return zip(x.coefficients, bits, strict=True)


def _sums_inside(weight, window, size, number):
    """Convolve images of one constant number, padded with zeros: int32 (H', W', M)."""
    m, taps = weight.shape[0], window.taps
    counted, of = counted_taps(window, size)
    return (number * (counted @ row_sums(weight).reshape(m, taps).T))[of]


def _by_patches(pixels, weight, window):
    """Compute `plane_conv` of pixels: multiply patches with filters."""
    m, patches = weight.shape[0], window.views_of_pixels(pixels)
    rows = patches.reshape(math.prod(patches.shape[:3]), math.prod(patches.shape[3:]))
    filters = pack(unpack(weight, np.dtype(np.int8)).reshape(m, rows.shape[1]))
    z = plane_gemm(rows, filters).reshape(*patches.shape[:3], m)
    if not window.border:  # black padding counted as -255 per pixel
        inside, of = window.classes(*pixels.shape[1:3])
        z += (255 * (~inside).astype(np.int32) @ row_sums(weight).reshape(m, window.taps).T)[of]
    return z


def _table_product(x, weight):
    """Compute `plane_gemm` with tables: x BitPlanes or pixels, weight Bits (M, N)."""
    (batch, n), m, largest = x.shape, weight.shape[0], getattr(x, "largest", 255)
    numbers = _integers(x)
    index = kept(weight, "index", lambda weight: row_index(weight.words, n))
    rows = tables.integer_rows(numbers, index, m, largest)
    z = np.empty((batch, m), np.int32)
    work_ns = batch * n * m / tables.MACS_PER_NS["integers"]
    shared(lambda i, j: rows(i, j, z[i:j]), batch, tables.TILE, work_ns)
    return z


def _many_planes(x, weight):
    """Compute `plane_gemm` for weights of more than one bit."""
    if isinstance(x, Bits):  # swapped: the weights are the numbers, the inputs the signs
        return np.ascontiguousarray(plane_gemm(weight, x).T)
    z = sum(np.int32(c) * plane_gemm(x, part) for c, part in planes_of(weight))
    return z + np.int32(weight.offset) * row_sums(x)[:, None] if weight.offset else z


def _integers(x):
    """Return the integers that planes (without their scale) or pixels represent, int16 (B, N)."""
    if affine := octets.form(x):
        gain, base = affine
        return octets.unsigned(x).astype(np.int16) * np.int16(gain) + np.int16(base)
    total = np.full(x.shape, x.offset, np.int16)
    for plane, coefficient in enumerate(x.coefficients):
        total += np.int16(coefficient) * unpack(x.bits[plane], np.dtype(np.int16))
    return total


def signed_gemm(x, signs):
    """See `bitnet.kernels.signed_gemm`."""
    y = aligned_empty((x.shape[0], signs.shape[1]), x.dtype)
    rows, macs_per_ns = signed_rows(x, signs)
    work_ns = x.shape[0] * x.shape[1] * signs.shape[1] / macs_per_ns
    step = tile_choice.rows_per_part(len(y)) if signed_on_tiles(x, signs) else tables.TILE
    shared(lambda i, j: rows(i, j, y[i:j]), len(y), step, work_ns)
    return y


def _have_forms(*operands):
    """Return whether all operands are signs, or have an `octets.form`."""
    return all(isinstance(own, Bits) or octets.form(own) for own in operands)


def signed_on_tiles(x, signs):
    """Return whether a `signed_gemm` is computed on tiles."""
    fits = isinstance(x, Quantized) and x.largest <= tile_choice.LARGEST
    pays = fits and tile_choice.pay("bytes", x.shape[0], signs.shape[1], x.shape[1])
    return pays and _have_forms(signs)


def convolution_on_tiles(x, weight, window):
    """Return whether a `plane_conv` is computed on tiles, which take weights of up to 7 bits."""
    if not isinstance(weight, Bits) and weight.largest > tile_choice.LARGEST:
        return False
    n_rows, n = len(x) * math.prod(window.output(*x.shape[1:3])), math.prod(weight.shape[1:])
    return tile_choice.pay("bytes", n_rows, len(weight), n) and _have_forms(x, weight)


def signed_rows(x, signs):
    """Return a function of (start, stop, y) that writes rows of the product to y, and its speed.

    The speed is in multiply-accumulates per nanosecond on one thread, approximately; it is inf for
    a function that uses threads itself.
    """
    quantized, is_avx512 = isinstance(x, Quantized), at_least("avx512")
    if signed_on_tiles(x, signs):
        return tile_choice.products_of("bytes").signed_rows(x, signs), tile_choice.MACS_PER_NS
    if is_avx512 and isinstance(signs, Bits) and x.dtype == np.float32:
        kind = INTEGERS if quantized else FLOATS
        index = column_index(signs.words, kind)
        if not quantized:
            return tables.float_rows(x, index), tables.MACS_PER_NS["floats"]
        rows = tables.integer_rows(x.values, index, signs.shape[1], x.largest, scales=x.scales)
        return rows, tables.MACS_PER_NS["integers"]
    if is_avx512 and not quantized and isinstance(signs, np.ndarray) and x.dtype == np.float32:
        return pixels.float_rows(x, signs), pixels.MACS_PER_NS
    if quantized and (kind := octets.kind_of_numbers(x.largest, signs)):
        return octets.integer_rows(kind, x.values, x.largest, signs, x.scales), kind.macs_per_ns
    if not quantized:
        make = numbers if isinstance(signs, BitPlanes) else _numbers
        factor = octets.kept_in_planes(signs, f"as {x.dtype}", lambda signs: make(signs, x.dtype))
        return lambda i, j, y: np.matmul(x[i:j], factor, out=y), np.inf
    dtype = exact_float(x, signs)
    factor, scale = _numbers(signs, dtype), np.float32(getattr(signs, "scale", 1))

    def rows(start, stop, y):
        sums = (x.values[start:stop].astype(dtype) @ factor).astype(np.float32)
        np.multiply(sums * x.scales[start:stop, None], scale, out=y)

    return rows, np.inf


def exact_float(x, signs):
    """Return the float type in which a BLAS sums the products of these integers exactly."""
    largest = 1
    if isinstance(signs, BitPlanes):
        largest = signs.largest
    elif not isinstance(signs, Bits):
        largest = 255
    return np.float32 if x.largest * x.shape[1] * largest < 2**24 else np.float64


def _numbers(signs, dtype):
    """Return the values of signs, planes (without their scale) or pixels as floats."""
    if isinstance(signs, Bits):
        return unpack(signs, np.dtype(dtype))
    if isinstance(signs, BitPlanes):
        return numbers(BitPlanes(signs.bits, signs.coefficients, 1.0, signs.offset), dtype)
    return np.dtype(dtype).type(2) * signs - np.dtype(dtype).type(255)
