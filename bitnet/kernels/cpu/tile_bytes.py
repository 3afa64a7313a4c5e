"""Products on tiles of low-bit integers and pixels: with signs, with each other, with gradients.

Inputs with an `octets.form` are `gain * u + base` with unsigned bytes u; weights are `gain * s +
base` with signed bytes s, or signs.  The product of the bytes, times the gains, differs from that
of the integers by multiples of the row sums:

    x @ weight.T = x_gain gain u @ s.T + x_base gain sum(s) + n x_base base + x_gain base sum(u)

Parts of the sum may exceed int32 and wrap, although the sum does not.
"""

import functools
import math

import numpy as np

from bitnet.kernels.bits import Bits
from bitnet.kernels.cpu import octets, tile_products
from bitnet.kernels.cpu.pack import pack, unpack
from bitnet.kernels.cpu.tile_layouts import bits_across, bits_along, bytes_across, bytes_along
from bitnet.kernels.cpu.tile_products import all_rows, padded_table, with_scales, with_table
from bitnet.kernels.cpu.tile_rows import put_bytes, put_planes, put_shorts
from bitnet.kernels.cpu.tile_signs import tile_panels
from bitnet.kernels.cpu.xnor import counted_taps, kept
from bitnet.kernels.memory import aligned_empty


def product(x, weight):
    """Compute `bitnet.kernels.plane_gemm` of operands that have a `form`."""
    (n_rows, n), m, (x_gain, x_base) = x.shape, weight.shape[0], octets.form(x)
    panels, sums, gain, base = kept(weight, "tile columns", _columns)

    def make(_):
        return padded_table(x_base * gain * sums + n * x_base * base)

    z = aligned_empty((n_rows, m), np.int32)
    given = with_table(kept(weight, ("tile bases", x_base), make), gain=x_gain * gain)
    rows = tile_products.product(_put_unsigned(x), panels, "ui", "integers", given)
    all_rows(rows, n_rows, z, n)
    if base:
        z += (x_gain * base * _unsigned_sums(x)).astype(np.int32)[:, None]
    return z


def _columns(weight):
    """Return the layout of weights (M, N), the sums of their bytes (M,), their gain and base."""
    if isinstance(weight, Bits):
        ones = np.bitwise_count(weight.words).sum(axis=-1, dtype=np.int64)
        return tile_panels(weight), 2 * ones - weight.shape[-1], 1, 0
    rows, *affine = octets.signed(weight)
    return bytes_along(rows), rows.sum(axis=1, dtype=np.int64), *affine


def _put_unsigned(x):
    """Return `put` for the unsigned bytes of pixels, Bits or BitPlanes (R, N)."""
    if isinstance(x, np.ndarray):
        return _of_bytes(np.ascontiguousarray(x))
    words, factors = _planes(x)
    return lambda i, j, *room: put_planes(words, factors, i, j, *room)


def _of_bytes(rows):
    """Return `put` for rows of bytes (R, N)."""
    return lambda i, j, *room: put_bytes(rows[i:j], *room)


def _planes(x):
    """Return the words of the planes of Bits or BitPlanes, and their factors in the bytes."""
    if isinstance(x, Bits):
        return np.ascontiguousarray(x.words)[None], np.ones(1, np.uint8)
    unit = functools.reduce(math.gcd, x.coefficients)
    factors = np.array([c // unit for c in x.coefficients], np.uint8)
    return np.ascontiguousarray(x.bits.words), factors


def _unsigned_sums(x):
    """Return the row sums of the unsigned bytes (R,)."""
    if isinstance(x, np.ndarray):
        return x.sum(axis=1, dtype=np.int64)
    words, factors = _planes(x)
    return factors.astype(np.int64) @ np.bitwise_count(words).sum(axis=-1, dtype=np.int64)


def signed_rows(x, signs):
    """Return a function of (start, stop, y) for the rows of a `signed_gemm` of Quantized x."""
    if isinstance(signs, Bits):
        panels = kept(signs, "tiles across", lambda signs: bits_across(signs.words))
        given = with_scales(x.scales)
        return tile_products.product(of_shorts(x.values), panels, "ii", "floats", given)
    gain, base = octets.form(signs)
    if isinstance(signs, np.ndarray):
        panels = bytes_across(signs)
    else:
        panels = kept(signs, "tiles across", lambda own: bytes_across(octets.unsigned(own)))
    shifts = (base * x.values.sum(axis=1, dtype=np.int64)).astype(np.int32)
    given = with_scales(x.scales, shifts, gain)
    rows = tile_products.product(of_shorts(x.values), panels, "iu", "floats", given)
    scale = np.float32(getattr(signs, "scale", 1))

    def scaled(start, stop, y):
        rows(start, stop, y)
        np.multiply(y, scale, out=y)

    return rows if scale == 1 else scaled


def of_shorts(numbers):
    """Return `put` for rows of int16 numbers (R, C) from -128 to 127."""
    return lambda i, j, *room: put_shorts(numbers[i:j], *room)


def integers(numbers, words, n):
    """Return numbers @ signs (R, n) int32, for int16 numbers (R, C), and the words of C rows."""
    y, given = aligned_empty((len(numbers), n), np.int32), with_table(padded_table([0] * n))
    rows = tile_products.product(of_shorts(numbers), bits_across(words), "ii", "integers", given)
    all_rows(rows, len(y), y, numbers.shape[1])
    return y


def convolve(x, weight, window):
    """Compute `bitnet.kernels.plane_conv` for weights that are signs, or integers of 7 bits."""
    (m, *_, channels), (x_gain, x_base) = weight.shape, octets.form(x)
    n = window.taps * channels

    def make(weight):
        if isinstance(weight, Bits):
            filters = unpack(weight, np.dtype(np.int8)).reshape(m, n)
            columns = bits_along(pack(filters).words)
        else:
            filters = octets.signed(weight)[0].reshape(m, n)
            columns = bytes_along(filters)
        return columns, filters.reshape(m, window.taps, channels).sum(axis=2, dtype=np.int64)

    columns, by_tap = kept(weight, "tiles of a convolution", make)
    counted, of = counted_taps(window, x.shape[1:3])
    border = ((0, 0), *window.padding, (0, 0))
    fill = octets.highest(x) if window.border == 1 else 0
    images = np.pad(octets.unsigned(x), border, constant_values=fill)
    put = tile_products.of_patches(images, window, of.shape, put_bytes)
    z = aligned_empty((len(x) * of.size, m), np.int32)
    given = with_table(padded_table(x_base * (counted @ by_tap.T)), of, x_gain)
    all_rows(tile_products.product(put, columns, "ui", "integers", given), len(z), z, n)
    return z.reshape(len(x), *of.shape, m)
