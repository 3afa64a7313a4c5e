"""Products of low-bit integers as bytes, see `dots`.

Inputs are `gain * s + base` with signed bytes s, and weights `gain * u + base` with unsigned bytes
u.  Gains and bases add multiples of the sums of rows and of columns to the products of bytes, see
`product` and `convolve`.
"""

import functools
import math

import numpy as np

from bitnet.kernels.bits import BitPlanes, Bits, words_for
from bitnet.kernels.cpu.dots import (
    OF_BITS,
    ROWS,
    TILES,
    bit_panels,
    chain,
    kind_for,
    padded,
    panels,
    rows_of,
)
from bitnet.kernels.cpu.emit import address
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.cpu.pack import transpose, unpack
from bitnet.kernels.cpu.xnor import counted_taps, kept
from bitnet.kernels.memory import aligned_empty
from bitnet.kernels.threads import shared

SPREAD = np.array([sum((b >> i & 1) << 8 * i for i in range(8)) for b in range(256)], np.uint64)


@jit
def _gather(words, spread, factors, y):
    """Compute y = sum_p factors[p] * bit p; words (P, R, 8 K) uint8, y (R, 8 K) of 8 bytes each."""
    for r in range(y.shape[0]):
        for i in range(y.shape[1]):
            total = np.uint64(0)
            for p in range(len(factors)):  # no byte of the sum exceeds 255
                total += spread[words[p, r, i]] * factors[p]
            y[r, i] = total


def _convolution(kind):
    """Compile the convolution of one kind of products."""
    add, columns = TILES[kind], kind.columns

    def run(
        images, stride, taps, n, panels, chain, affine, bases, of, patches, sums, z, start, stop
    ):
        """Compute rows of z (B H', W', M) = gain * patches @ columns + row_factor * sum + base.

        images (B, H, W n): padded, with n channels; bases (classes, M); patches (ROWS, P) with
        zeros after the taps; sums (ROWS, V columns).
        """
        (n_rows, n_columns), (gain, row_factor) = of.shape, affine
        at, row_stride = address(patches, "int8 int16"), patches.strides[0]
        for row in range(start, stop):
            b, h = row // n_rows, row % n_rows
            for w in range(0, n_columns, ROWS):
                count = min(ROWS, n_columns - w)
                for r in range(count):
                    first = (w + r) * stride[1] * n
                    for i in range(taps[0]):
                        seen = images[b, h * stride[0] + i, first : first + taps[1] * n]
                        to = patches[r, i * len(seen) : (i + 1) * len(seen)]
                        for j in range(len(seen)):
                            to[j] = seen[j]
                for r in range(ROWS):
                    for m in range(sums.shape[1]):
                        sums[r, m] = 0
                for v in range(len(panels)):
                    panel = address(panels, "uint8 uint16") + v * panels.strides[0]
                    to = address(sums, "int32") + 4 * v * columns
                    add(at, row_stride, panel, panels.shape[1], chain, to, sums.strides[0])
                for r in range(count):
                    base, y, own, total = bases[of[h, w + r]], z[row, w + r], sums[r], np.int32(0)
                    for k in range(taps[0] * taps[1] * n):
                        total += np.int32(patches[r, k])
                    more = row_factor * total
                    for m in range(len(y)):
                        y[m] = gain * own[m] + (base[m] + more)

    return jit(run, f"convolution_{kind.name}")


CONVOLUTIONS = {kind: _convolution(kind) for kind in TILES}


def form(x):
    """Return (gain, base) if all integers are `gain * u + base` with bytes u, otherwise None."""
    if isinstance(x, np.ndarray):
        return 2, -255
    return (2, -1) if isinstance(x, Bits) else _affine(x.coefficients, x.offset)


@functools.lru_cache(maxsize=256)
def _affine(coefficients, offset):
    """Return the `form` of BitPlanes."""
    unit, total = functools.reduce(math.gcd, coefficients), sum(coefficients)
    fits = min(coefficients) > 0 and total <= 255 * unit
    return (2 * unit, offset - total) if fits else None


@functools.lru_cache(maxsize=256)
def _factors(coefficients):
    """Return the coefficients of planes divided by their greatest common divisor, and the sum."""
    factors = np.array(coefficients, np.uint64) // np.uint64(
        functools.reduce(math.gcd, coefficients)
    )
    return factors, int(factors.sum())


def highest(x):
    """Return the unsigned byte of which all planes are +1."""
    if isinstance(x, BitPlanes):
        return _factors(x.coefficients)[1]
    return 1 if isinstance(x, Bits) else 255


def unsigned(x):
    """Return the bytes u of pixels, Bits or BitPlanes that have a `form`, as uint8."""
    if isinstance(x, np.ndarray):
        return x
    one = isinstance(x, Bits)
    words, factors = (x.words[None], (1,)) if one else (x.bits.words, x.coefficients)
    words = np.ascontiguousarray(words).view(np.uint8)
    words = words.reshape(len(words), math.prod(words.shape[1:-1]), words.shape[-1])
    y = np.empty(words.shape[1:], np.uint64)
    _gather(words, SPREAD, _factors(factors)[0], y)
    y = y.view(np.uint8).reshape(*x.shape[:-1], 64 * words_for(x.shape[-1]))
    return y[..., : x.shape[-1]]


def signed(weight):
    """Return (s, gain, base) for weights `gain * s + base` with signed bytes s."""
    if isinstance(weight, Bits):
        return unpack(weight, np.dtype(np.int8)), 1, 0
    gain, base = form(weight)
    u = unsigned(weight)
    if weight.largest <= 127:
        return (np.uint8(gain) * u + np.uint8(base % 256)).view(np.int8), 1, 0
    return (u ^ np.uint8(128)).view(np.int8), gain, base + 128 * gain  # u = s + 128


def left_of(x):
    """Return (s, gain, base) for the inputs of a product, `gain * s + base` with signed bytes s."""
    u, (gain, base) = unsigned(x), form(x)
    if highest(x) <= 127:
        return u.view(np.int8), gain, base
    return (u ^ np.uint8(128)).view(np.int8), gain, base + 128 * gain  # u = s + 128


def largest_of(x):
    """Return the largest absolute value of the bytes of `left_of`."""
    return highest(x) if highest(x) <= 127 else 128


def kind_of(x, weight):
    """Return the `dots.Kind` that multiplies the bytes of x and weight, or None."""
    return kind_for(largest_of(x), highest(weight)) if form(x) and form(weight) else None


def kind_of_numbers(largest, x):
    """Return the `dots.Kind` that multiplies integers up to `largest` and bytes of x, or None."""
    return kind_for(largest, highest(x)) if form(x) else None


def product(x, weight):
    """Compute `bitnet.kernels.plane_gemm` of operands (B, N) and (M, N) that have a `kind_of`."""
    kind, (batch, n), m = kind_of(x, weight), x.shape, weight.shape[0]
    of_bits = isinstance(weight, Bits) and kind in OF_BITS

    def laid_out(weight):
        if of_bits:
            return bit_panels(transpose(weight).words, m), _row_ones(weight)
        u = unsigned(weight)
        return panels(kind, u, rows_are_columns=True), u.sum(axis=1, dtype=np.int32)

    right, column_sums = kept(weight, f"columns of {kind.name}", laid_out)
    (left, x_gain, x_base), (gain, base) = left_of(x), form(weight)
    bases = _modular(x_base * gain) * column_sums + _modular([n * x_base * base])
    affine = _modular(x_gain * gain), _modular(x_gain * base)
    largest = largest_of(x), highest(weight)
    rows = rows_of(kind, padded(left, kind), right, largest, *affine, bases)
    z = np.empty((batch, m), np.int32)
    shared(lambda i, j: rows(i, j, z[i:j]), batch, ROWS, batch * n * m / kind.macs_per_ns)
    return z


def integer_rows(kind, numbers, largest, x, scales=None):
    """Return a function of (start, stop, y) for rows of numbers @ x, with or without scales.

    numbers (R, B) of at most `largest`; x (B, N): Bits, BitPlanes or pixels with this
    `kind_of_numbers`.  The function writes int32, or float32 with scales (R,).
    """
    if isinstance(x, Bits) and kind in OF_BITS:
        right = bit_panels(x.words, x.shape[1])
    else:
        right = kept_in_planes(x, f"rows of {kind.name}", lambda x: panels(kind, unsigned(x)))
    given = kind, padded(numbers, kind), right, (largest, highest(x)), *form(x)
    return rows_of(*given, scales=scales, factor=getattr(x, "scale", 1.0))


def kept_in_planes(x, name, make):
    """Return a layout, cached in prepared BitPlanes and otherwise made in each call."""
    return kept(x, name, make) if isinstance(x, BitPlanes) else make(x)


def _row_ones(x):
    """Return the number of ones in each row of Bits, int32."""
    return np.bitwise_count(x.words).sum(axis=-1, dtype=np.int32)


def _modular(number):
    """Wrap an integer to int32: parts of a sum may overflow although the sum fits."""
    return np.int64(number).astype(np.int32)


def convolve(x, weight, window):
    """Compute `bitnet.kernels.plane_conv` of operands that have a `kind_of`."""
    (m, *taps, channels), (n_images, *size, _) = weight.shape, x.shape
    n, kind = math.prod(taps) * channels, kind_of(x, weight)

    def laid_out(weight):
        filters = unsigned(weight).reshape(m, n)
        by_tap = filters.reshape(m, math.prod(taps), channels).sum(axis=2, dtype=np.int32)
        return panels(kind, filters, rows_are_columns=True), by_tap

    right, by_tap = kept(weight, f"filters of {kind.name}", laid_out)
    (images, x_gain, x_base), (gain, base) = left_of(x), form(weight)
    counted, of = counted_taps(window, size)
    bases = _modular(x_base * gain) * (counted @ by_tap.T)
    bases += _modular(x_base * base * channels) * counted.sum(axis=1, dtype=np.int32)[:, None]
    border = ((0, 0), *window.padding, (0, 0))
    images = images.astype(kind.dtypes[0], copy=False)
    images = np.pad(images, border, constant_values=_outside(x, window.border, x_gain, x_base))
    images = images.reshape(*images.shape[:2], images.shape[2] * channels)
    z = np.empty((n_images * len(of), of.shape[1], m), np.int32)

    def run(start, stop):
        patches = padded(np.zeros((0, n), np.int8), kind)
        sums = aligned_empty((ROWS, kind.columns * len(right)), np.int32)
        given = images, window.stride, window.size, channels, right
        given += (chain(largest_of(x), highest(weight)),)
        affine = _modular(x_gain * gain), _modular(x_gain * base)
        CONVOLUTIONS[kind](*given, affine, bases, of, patches, sums, z, start, stop)

    shared(run, len(z), 1, z.size * n / kind.macs_per_ns)
    return z.reshape(n_images, *of.shape, m)


def _outside(x, border, gain, base):
    """Return the signed byte of pixels in the padding, which count as 0 or as all planes ±1."""
    if not border:
        return 0
    x_gain, x_base = form(x)
    return (x_gain * (highest(x) if border == 1 else 0) + x_base - base) // gain
