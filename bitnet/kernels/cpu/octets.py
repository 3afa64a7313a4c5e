"""Products of low-bit integers as bytes: one instruction computes 64 products.

BitPlanes are `gain * u + base` with an unsigned byte u, and weights are `gain * s + base` with a
signed byte s.  The instruction vpdpbusd multiplies 64 unsigned with 64 signed bytes, and adds each
four neighbouring products to one of 16 sums.  Both operands are therefore laid out with four
contracted elements side by side.  Gains and bases add multiples of the row sums to the sums of
bytes, see `product` and `convolve`.
"""

import functools
import math

import numpy as np

from bitnet.kernels.bits import BitPlanes, Bits, words_for
from bitnet.kernels.cpu.emit import address
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.cpu.pack import unpack
from bitnet.kernels.cpu.pixels import ROWS, VECTORS, multiply_bytes
from bitnet.kernels.cpu.xnor import counted_taps, kept
from bitnet.kernels.memory import aligned_empty, aligned_zeros
from bitnet.kernels.threads import shared

MACS_PER_NS = 150  # approximate, one thread
COLUMNS = 16 * VECTORS  # outputs of a tile
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


@jit
def _make_panels(fours, panels):
    """Arrange rows of fours (V COLUMNS, F) uint32 as columns of tiles (V, F, COLUMNS)."""
    for j in range(len(panels)):
        for f in range(panels.shape[1]):
            panel = panels[j, f]
            for m in range(COLUMNS):
                panel[m] = fours[j * COLUMNS + m, f]


@jit
def _multiply(left, panels, sums, gain, bases, z):
    """Compute z (R, M) = gain * left (R or more, 4 F) @ panels (V, F, COLUMNS, 4) + bases."""
    (n_rows, n), n_fours, step = z.shape, panels.shape[1], panels.strides[1]
    for j in range(len(panels)):
        width, panel = (
            min(COLUMNS, n - j * COLUMNS),
            address(panels, "int8") + j * panels.strides[0],
        )
        for i in range(0, n_rows, ROWS):
            at, to = address(left, "uint8") + i * left.strides[0], address(sums, "int32")
            multiply_bytes(at, left.strides[0], panel, step, n_fours, to, sums.strides[0])
            for r in range(min(ROWS, n_rows - i)):
                row, base = z[i + r, j * COLUMNS :], bases[j * COLUMNS :]
                for m in range(width):
                    row[m] = gain * sums[r, m] + base[m]


@jit
def _convolve(
    images, stride, taps, n, panels, gain, extra, bases, of, patches, sums, z, start, stop
):
    """Compute rows of z (B H', W', M) = gain * bytes @ columns + extra * their sum + base.

    images (B, H, W n): padded, with n channels; panels (V, P / 4, COLUMNS, 4), in which column M
    contains ones if extra is not 0; bases (classes, M); patches (4, P) with zeros after the taps;
    sums (4, V COLUMNS).
    """
    n_rows, n_columns = of.shape
    at, row_stride, total = address(patches, "uint8"), patches.strides[0], address(sums, "int32")
    n_fours, step = panels.shape[1], panels.strides[1]
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
            for j in range(len(panels)):
                panel, to = address(panels, "int8") + j * panels.strides[0], total + 4 * j * COLUMNS
                multiply_bytes(at, row_stride, panel, step, n_fours, to, sums.strides[0])
            for r in range(count):
                base, y, own = bases[of[h, w + r]], z[row, w + r], sums[r]
                more = extra * own[len(y)] if extra else np.int32(0)
                for m in range(len(y)):
                    y[m] = gain * own[m] + (base[m] + more)


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
    """Return the coefficients of planes divided by their greatest common divisor."""
    return np.array(coefficients, np.uint64) // np.uint64(functools.reduce(math.gcd, coefficients))


def unsigned(x):
    """Return the bytes u of pixels, Bits or BitPlanes that have a `form`, as uint8."""
    if isinstance(x, np.ndarray):
        return x
    one = isinstance(x, Bits)
    words, factors = (x.words[None], (1,)) if one else (x.bits.words, x.coefficients)
    words = np.ascontiguousarray(words).view(np.uint8)
    words = words.reshape(len(words), math.prod(words.shape[1:-1]), words.shape[-1])
    y = np.empty(words.shape[1:], np.uint64)
    _gather(words, SPREAD, _factors(factors), y)
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


def _panels(rows):
    """Return rows of signed bytes (M, N) as the columns of tiles: (V, F, COLUMNS, 4)."""
    m, n = rows.shape
    padded = aligned_zeros((m + -m % COLUMNS, n + -n % 4), np.int8)
    padded[:m, :n] = rows
    fours = padded.view(np.uint32)
    panels = aligned_empty((len(padded) // COLUMNS, fours.shape[1], COLUMNS), np.uint32)
    _make_panels(fours, panels)
    return panels.view(np.int8).reshape(*panels.shape, 4)


def product(x, weight):
    """Compute `bitnet.kernels.plane_gemm` of operands (B, N) and (M, N) that have a `form`."""

    def laid_out(weight):
        rows, *affine = signed(weight)
        return _panels(rows), rows.sum(axis=1, dtype=np.int32), *affine

    panels, row_sums, gain, base = kept(weight, "bytes", laid_out)
    (x_gain, x_base), (batch, n), m = form(x), x.shape, weight.shape[0]
    u = unsigned(x)
    left = aligned_zeros((batch + ROWS, 4 * panels.shape[1]), np.uint8)
    left[:batch, :n] = u
    z, sums_gain = np.empty((batch, m), np.int32), _modular(x_gain * gain)
    bases = _modular(x_base * gain) * row_sums + _modular([n * x_base * base])

    def run(i, j):
        sums = aligned_empty((ROWS, COLUMNS), np.int32)
        _multiply(left[i:], panels, sums, sums_gain, bases, z[i:j])

    shared(run, batch, ROWS, batch * n * m / MACS_PER_NS)
    if base:
        z += (_modular(x_gain * base) * u.sum(axis=1, dtype=np.int32))[:, None]
    return z


def _modular(number):
    """Wrap an integer to int32: parts of a sum may overflow although the sum fits."""
    return np.int64(number).astype(np.int32)


def convolve(x, weight, window):
    """Compute `bitnet.kernels.plane_conv` of operands that have a `form`."""
    (m, *taps, channels), (n_images, *size, _) = weight.shape, x.shape
    n = math.prod(taps) * channels

    def laid_out(weight):
        filters, gain, base = signed(weight)
        by_tap = filters.reshape(m, math.prod(taps), channels).sum(axis=2, dtype=np.int32)
        rows = filters.reshape(m, n)
        ones = np.ones((1 if base else 0, n), np.int8)
        return _panels(np.concatenate([rows, ones])), by_tap, gain, base

    panels, by_tap, gain, base = kept(weight, "bytes of a convolution", laid_out)
    x_gain, x_base = form(x)
    counted, of = counted_taps(window, size)
    bases = _modular(x_base * gain) * (counted @ by_tap.T)
    bases += _modular(x_base * base * channels) * counted.sum(axis=1, dtype=np.int32)[:, None]
    outside = _highest(x) if window.border == 1 else 0
    border = ((0, 0), *window.padding, (0, 0))
    images = np.pad(unsigned(x), border, constant_values=outside)
    images = images.reshape(*images.shape[:2], images.shape[2] * channels)
    z = np.empty((n_images * len(of), of.shape[1], m), np.int32)

    def run(start, stop):
        patches = aligned_zeros((ROWS, 4 * panels.shape[1]), np.uint8)
        sums = aligned_empty((ROWS, COLUMNS * len(panels)), np.int32)
        given = images, window.stride, window.size, channels, panels, _modular(x_gain * gain)
        rest = _modular(x_gain * base), bases, of, patches, sums, z
        _convolve(*given, *rest, start, stop)

    shared(run, len(z), 1, z.size * n / MACS_PER_NS)
    return z.reshape(n_images, *of.shape, m)


def _highest(x):
    """Return the byte of which all planes are +1."""
    if not isinstance(x, BitPlanes):
        return 255 if isinstance(x, np.ndarray) else 1
    return sum(x.coefficients) // functools.reduce(math.gcd, x.coefficients)
