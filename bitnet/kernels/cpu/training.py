"""What stands between the products in training, each in one or two sweeps over its arrays.

Batch norm and sign with their backward pass on integers, and gradients as small integers with
a scale a row.  Every operation on floats is written out in the order of `reference`, in
float32, so that the results are the same bit for bit.
"""

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.bits import Bits, Quantized, words_for
from bitnet.kernels.cpu.emit import routine
from bitnet.kernels.cpu.jit import inner, jit, level
from bitnet.kernels.cpu.pack import pack_mask_words
from bitnet.kernels.threads import shared

NUMBERS_PER_NS = {"sum": 3.0, "sign": 2.0, "gradient": 1.0}  # one thread, about
INFINITE, HIDDEN = np.int32(0x7F800000), np.int32(0x00800000)  # of a float32, its bits
UP = HIDDEN - np.int32(0x003504F3)  # carries into the exponent from sqrt(2) on
SIDE = 16  # rows and columns that change places together: a register of float32


@jit
def _column_sums(z, sums, squares):
    """z (B, C) int32; sums and squares (C,) int64."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            number = np.int64(z[i, j])
            sums[j] += number
            squares[j] += number * number


@jit
def _normalize_sign(z, mean, scale, shift, window, y, words, mask):
    """Signs of y = (z - mean) * scale + shift; y (1, 64 K) holds a row and NaN."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            y[0, j] = (np.float32(z[i, j]) - mean[j]) * scale[j] + shift[j]
        pack_mask_words(y, window, 0, words[i : i + 1], mask[i : i + 1])


@inner
def _passing(grad_y, mask, i, g):
    """g = the gradients of row i where the mask, if there is one, lets them pass."""
    n = grad_y.shape[1]
    if not len(mask):
        for j in range(n):
            g[j] = grad_y[i, j]
        return
    for k in range(mask.shape[1]):
        word = mask[i, k]
        for b in range(min(64, n - 64 * k)):
            number = grad_y[i, 64 * k + b]
            g[64 * k + b] = number if (word >> np.uint64(b)) & np.uint64(1) else np.float32(0)


@jit
def _gradient_sums(grad_y, mask, z, mean, inv_std, grad_z, sums, products):
    """The sums of g and of g * xhat down the columns; grad_z gets g, what the mask lets pass."""
    n_rows, n = z.shape
    for i in range(n_rows):
        g = grad_z[i]
        _passing(grad_y, mask, i, g)
        for j in range(n):
            xhat = (np.float32(z[i, j]) - mean[j]) * inv_std[j]
            sums[j] += np.float64(g[j])
            products[j] += np.float64(g[j] * xhat)


@jit
def _gradient_of_numbers(z, mean, inv_std, scale, grad_z, sums, products, count):
    """The gradient of z in place of g; scale = gamma * inv_std, sums over `count` rows."""
    n_rows, n = z.shape
    for i in range(n_rows):
        g = grad_z[i]
        for j in range(n):
            xhat = (np.float32(z[i, j]) - mean[j]) * inv_std[j]
            along = (np.float32(sums[j]) + xhat * np.float32(products[j])) / count
            g[j] = (g[j] - along) * scale[j]


@inner
def round_row(v, seed, first, stochastic, largest, odd, values):
    """The integers of a row of floats v, by the nearest or by chance; v is overwritten."""
    if odd:
        for j in range(len(v)):
            v[j] = (v[j] + largest) * np.float32(0.5)
    if stochastic:  # floor(v + u), u the top 24 bits of splitmix64(seed + index)
        for j in range(len(v)):
            x = seed + np.uint64(first + j + 1) * np.uint64(0x9E3779B97F4A7C15)
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            top = np.int32((x ^ (x >> np.uint64(31))) >> np.uint64(40))
            v[j] = np.floor(v[j] + np.float32(top) * np.float32(2**-24))
    else:
        for j in range(len(v)):  # adding 1.5 * 2**23 leaves no bits behind the point
            v[j] = (v[j] + np.float32(12582912)) - np.float32(12582912)
    if odd:
        for j in range(len(v)):
            v[j] = np.float32(2) * v[j] - largest
    for j in range(len(v)):
        finite = abs(v[j]) <= largest + np.float32(2)
        inside = min(max(v[j], -largest), largest) if finite else np.float32(0)
        values[j] = np.int16(np.int32(inside))


@jit
def quantize_rows(x, first, largest, seed, stochastic, odd, v, values, scales):
    """x (R, C) to integers (R, C); magnitudes are compared as the bits of floats; v (C,).

    x begins at the number `first` of the array that the random numbers are counted through.
    """
    bits, scale_bits = x.view(np.int32), scales.view(np.int32)
    for i in range(x.shape[0]):
        magnitude = np.int32(0)
        for j in range(x.shape[1]):
            magnitude = max(magnitude, bits[i, j] & np.int32(0x7FFFFFFF))
        scale_bits[i] = magnitude
        factor = largest / scales[i]
        for j in range(x.shape[1]):
            v[j] = x[i, j] * factor
        round_row(v, seed, first + i * x.shape[1], stochastic, largest, odd, values[i])
        scales[i] = scales[i] / largest


@jit
def _powers(x, largest, count, y):
    """The nearest powers of two of floats, or 0; x and y as the bits of float32.

    An exponent is rounded by an addition to the bits: a fraction from sqrt(2) on carries.
    """
    least = max(np.int64((largest + UP) & INFINITE) - np.int64(count - 1) * HIDDEN, HIDDEN)
    for i in range(len(x)):
        magnitude = x[i] & np.int32(0x7FFFFFFF)
        power = np.int32((magnitude + UP) & INFINITE)
        there = power >= least and magnitude >= HIDDEN
        y[i] = power | (x[i] & np.int32(-2147483648)) if there else np.int32(0)


@routine
def _transpose_square(e, x, x_stride, y, y_stride):
    """y = x.T for SIDE x SIDE numbers of 32 bits: squares of s x s change places, s = 8 to 1."""
    rows = [e.load(f"<{SIDE} x i32>", x + x_stride * i) for i in range(SIDE)]
    for s in (8, 4, 2, 1):
        upper = [lane + SIDE - s if lane & s else lane for lane in range(SIDE)]
        lower = [lane + SIDE if lane & s else lane + s for lane in range(SIDE)]
        for i in range(SIDE):
            if not i & s:
                a, b = rows[i], rows[i + s]
                rows[i], rows[i + s] = e.part(a, upper, b), e.part(a, lower, b)
    for i, row in enumerate(rows):
        e.store(row, y + y_stride * i)


@jit
def transpose_numbers(x, transposed):
    """A copy of x (C, R) as (R, C), C and R at least SIDE; the last squares may overlap others."""
    n_rows, n = x.shape
    for first in range(0, n, SIDE):
        i = min(first, n - SIDE)
        for second in range(0, n_rows, SIDE):
            j = min(second, n_rows - SIDE)
            source = x.ctypes.data + j * x.strides[0] + 4 * i
            target = transposed.ctypes.data + i * transposed.strides[0] + 4 * j
            _transpose_square(source, x.strides[0], target, transposed.strides[0])


def column_sums(z):
    """See `bitnet.kernels.column_sums`."""
    z, parts = np.ascontiguousarray(z), []

    def run(start, stop):
        both = np.zeros((2, z.shape[1]), np.int64)
        _column_sums(z[start:stop], *both)
        parts.append(both)

    shared(run, len(z), 1, z.size / NUMBERS_PER_NS["sum"])
    return tuple(sum(parts))


def normalize_sign(z, mean, scale, shift, window):
    """See `bitnet.kernels.normalize_sign`."""
    if z.dtype != np.int32 or {mean.dtype, scale.dtype, shift.dtype} != {np.dtype(np.float32)}:
        return reference.normalize_sign(z, mean, scale, shift, window)
    z, shape = np.ascontiguousarray(z), (z.shape[0], words_for(z.shape[1]))
    words, mask = np.empty((2, *shape), np.uint64)
    limit = np.float32(np.inf if window is None else window)

    def run(i, j):
        y = np.full((1, 64 * shape[1]), np.nan, np.float32)
        _normalize_sign(z[i:j], mean, scale, shift, limit, y, words[i:j], mask[i:j])

    shared(run, len(z), 1, z.size / NUMBERS_PER_NS["sign"])
    return Bits(words, z.shape), Bits(mask, z.shape)


def batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma):
    """See `bitnet.kernels.batch_norm_backward`."""
    if z.dtype != np.int32 or {a.dtype for a in (grad_y, mean, inv_std, gamma)} != {
        np.dtype(np.float32)
    }:
        return reference.batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma)
    words = np.empty((0, 0), np.uint64) if mask is None else np.ascontiguousarray(mask.words)
    grad_z, z = np.empty(z.shape, np.float32), np.ascontiguousarray(z)
    sums, products = np.zeros((2, z.shape[1]))
    _gradient_sums(np.ascontiguousarray(grad_y), words, z, mean, inv_std, grad_z, sums, products)
    columns, count = (mean, inv_std, gamma * inv_std), np.float32(len(z))

    def run(i, j):
        _gradient_of_numbers(z[i:j], *columns, grad_z[i:j], sums, products, count)

    shared(run, len(z), 1, z.size / NUMBERS_PER_NS["gradient"])
    return grad_z, products.astype(np.float32), sums.astype(np.float32)


def powers(x, count):
    """See `bitnet.kernels.quantize`."""
    across = x.ndim == 2 and not x.flags.c_contiguous and x.T.flags.c_contiguous
    bits = np.ascontiguousarray(x.T if across else x).view(np.int32)
    largest = (bits & np.int32(0x7FFFFFFF)).max(initial=0)
    if largest >= INFINITE:
        return np.full_like(x, np.nan)
    y = np.empty(bits.shape, np.float32)
    _powers(bits.reshape(-1), largest, count, y.view(np.int32).reshape(-1))
    return y.T if across else y


def quantize(x, largest, seed, odd=False):
    """See `bitnet.kernels.quantize`."""
    values = np.empty(x.shape, np.int16)
    scales = np.empty(x.shape[0], np.float32)
    settings = np.float32(largest), np.uint64(seed or 0), seed is not None, odd
    by_columns = x.T.flags.c_contiguous and min(x.shape) >= SIDE
    if by_columns and not x.flags.c_contiguous and level() != "portable":
        transposed = np.empty(x.shape, np.float32)
        transpose_numbers(x.T, transposed)
        x = transposed
    v = np.empty(x.shape[1], np.float32)
    with np.errstate(all="ignore"):  # where Numba does not compile, NumPy would warn
        quantize_rows(np.ascontiguousarray(x), 0, *settings, v, values, scales)
    return Quantized(values, scales, largest)
