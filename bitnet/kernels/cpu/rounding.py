"""Rounding of floats to powers of two, to small integers with one scale per row, and to codes.

All float operations are in float32 and in the order of `reference`, so that the results are equal
bit for bit.
"""

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.bits import Quantized
from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import inner, jit, level
from bitnet.kernels.cpu.pack import as_rows
from bitnet.kernels.threads import shared

NUMBERS_PER_NS, ROUNDED_PER_NS = 3.0, 1.5  # approximate, one thread
MAGNITUDE = np.int32(0x7FFFFFFF)  # all bits of a float32 but the sign
INFINITY = np.int32(0x7F800000)  # all bits of the exponent
NORMAL = np.int32(0x00800000)  # the smallest normal number: one bit of the exponent
TO_NEXT = NORMAL - np.int32(0x003504F4)  # from the first float above sqrt(2) to 2
UP = NORMAL - np.int32(0x003504F3)  # added, it carries into the exponent from sqrt(2) on
SIDE = 16  # rows and columns of a square: one register of float32


@inner
def nearest_power(x):
    """Return AP2 of a float32."""
    v = np.float32(x)
    subnormal = v.view(np.int32) & MAGNITUDE < NORMAL
    bits = np.float32(v * np.float32(2**24) if subnormal else v).view(np.int32)
    magnitude = min(bits & MAGNITUDE, INFINITY)
    power = np.int32((magnitude + TO_NEXT) & INFINITY).view(np.float32)
    power = np.float32(power * np.float32(2**-24) if subnormal else power)
    power = -power if bits < 0 else power
    return power if v == v else v


@jit
def _ap2(x, y):
    """Compute y = AP2(x), both (N,)."""
    for i in range(len(x)):
        y[i] = nearest_power(x[i])


@inner
def round_row(v, seed, first, stochastic, largest, odd, values):
    """Round a row of floats v to integers, to the nearest or stochastically; v is overwritten."""
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
        for j in range(len(v)):  # adding 1.5 * 2**23 rounds to an integer
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
    """Round x (R, C) to integers (R, C); v (C,) is scratch memory.

    `first` is the number of the first element of x in the sequence of random numbers.
    """
    for i in range(x.shape[0]):
        magnitude = np.int32(0)  # compared as the bits of floats
        for j in range(x.shape[1]):
            magnitude = max(magnitude, np.float32(x[i, j]).view(np.int32) & MAGNITUDE)
        scales[i] = np.int32(magnitude).view(np.float32)
        factor = largest / scales[i]
        for j in range(x.shape[1]):
            v[j] = x[i, j] * factor
        round_row(v, seed, first + i * x.shape[1], stochastic, largest, odd, values[i])
        scales[i] = scales[i] / largest


@jit
def _powers(x, largest, count, y):
    """Round floats to the nearest powers of two, or 0; x and y are the bits of float32.

    An addition to the bits rounds the exponent: a fraction from sqrt(2) on carries into it.
    """
    least = max(np.int64((largest + UP) & INFINITY) - np.int64(count - 1) * NORMAL, NORMAL)
    for i in range(len(x)):
        magnitude = x[i] & MAGNITUDE
        power = np.int32((magnitude + UP) & INFINITY)
        there = power >= least and magnitude >= NORMAL
        y[i] = power | (x[i] & np.int32(-2147483648)) if there else np.int32(0)


@routine
def _transpose_square(e, x, x_stride, y, y_stride):
    """Compute y = x.T for SIDE x SIDE 32-bit numbers by swapping squares of s x s, s = 8 to 1."""
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
def _transpose_numbers(x, start, transposed):
    """Transpose columns of x (C, R) from `start` on to (r, C); the last squares may overlap.

    C and r are at least SIDE.
    """
    n_rows, n = transposed.shape
    for first in range(0, n_rows, SIDE):
        i = min(first, n_rows - SIDE)
        for second in range(0, n, SIDE):
            j = min(second, n - SIDE)
            source = address(x, "float32") + j * x.strides[0] + 4 * (start + i)
            target = address(transposed, "float32") + i * transposed.strides[0] + 4 * j
            _transpose_square(source, x.strides[0], target, transposed.strides[0])


@jit
def _step_codes(x, factor, low, high, nearest, first, codes):
    """Write the codes of a flat x; first is the rounded low."""
    for i in range(len(x)):
        y = x[i] * factor
        y = min(y, high) if y > low else low
        y = np.rint(y) if nearest else np.floor(y)
        codes[i] = np.uint8(np.int32(y - first))


@jit
def _edge_codes(x, edges, signed, codes):
    """Write the codes of x (R, N) for edges (L,)."""
    middle = np.uint8(len(edges) if signed else 0)
    for r in range(len(x)):
        for i in range(x.shape[1]):
            codes[r, i] = 0
        for j in range(len(edges)):
            for i in range(x.shape[1]):
                codes[r, i] += abs(x[r, i]) >= edges[j]
        for i in range(x.shape[1]):
            found = codes[r, i]
            below = middle - found if signed else np.uint8(0)
            codes[r, i] = middle + found if x[r, i] > 0 else below


def ap2(x):
    """See `bitnet.kernels.ap2`."""
    if x.dtype != np.float32:
        return reference.ap2(x)
    flat, y = np.ascontiguousarray(x).reshape(-1), np.empty(x.size, np.float32)

    def run(i, j):
        with np.errstate(all="ignore"):  # NumPy would warn if Numba does not compile
            _ap2(flat[i:j], y[i:j])

    shared(run, len(flat), 64, x.size / NUMBERS_PER_NS)
    return y.reshape(x.shape)


def powers(x, count):
    """See `bitnet.kernels.round_gradient`."""
    across = x.ndim == 2 and not x.flags.c_contiguous and x.T.flags.c_contiguous
    bits = np.ascontiguousarray(x.T if across else x).view(np.int32)
    largest = (bits & MAGNITUDE).max(initial=0)
    if largest >= INFINITY:
        return np.full_like(x, np.nan)
    y = np.empty(bits.shape, np.float32)
    _powers(bits.reshape(-1), largest, count, y.view(np.int32).reshape(-1))
    return y.T if across else y


def transposed(x, start=0, stop=None):
    """Return a transposed copy (r, C) of columns of floats (C, R)."""
    stop = x.shape[1] if stop is None else stop
    if min(len(x), stop - start) < SIDE or level() == "portable":
        return x[:, start:stop].T.copy()
    y = np.empty((stop - start, len(x)), np.float32)
    _transpose_numbers(x, start, y)
    return y


def rule_of(largest, seed, odd):
    """Return the loops' rounding rule: largest, seed, and whether it is stochastic and odd."""
    return np.float32(largest), np.uint64(seed or 0), seed is not None, odd


def round_gradient(x, largest, seed, odd=False):
    """See `bitnet.kernels.round_gradient`."""
    values = np.empty(x.shape, np.int16)
    scales = np.empty(x.shape[0], np.float32)
    across = x.T.flags.c_contiguous and not x.flags.c_contiguous
    x, rule = x.T if across else np.ascontiguousarray(x), rule_of(largest, seed, odd)

    def run(i, j):
        rows, v = transposed(x, i, j) if across else x[i:j], np.empty(values.shape[1], np.float32)
        with np.errstate(all="ignore"):  # NumPy would warn if Numba does not compile
            quantize_rows(rows, i * len(v), *rule, v, values[i:j], scales[i:j])

    shared(run, len(values), SIDE, x.size / ROUNDED_PER_NS)
    return Quantized(values, scales, largest)


def step_codes(x, factor, low, high, nearest):
    """See `bitnet.kernels.step_codes`."""
    flat, codes = np.ascontiguousarray(x).ravel(), np.empty(x.size, np.uint8)
    first = np.rint(low) if nearest else np.floor(low)
    with np.errstate(all="ignore"):  # NumPy would warn if Numba does not compile
        _step_codes(flat, factor, low, high, nearest, first, codes)
    return codes.reshape(x.shape)


def edge_codes(x, edges, signed):
    """See `bitnet.kernels.edge_codes`."""
    codes = np.empty(x.shape, np.uint8)
    _edge_codes(as_rows(x), edges, signed, as_rows(codes))
    return codes
