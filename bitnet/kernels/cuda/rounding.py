"""Rounding of numbers to k-bit integers per row, to the nearest or stochastically.

Each float operation is rounded separately, like in `reference`, so that the results are equal bit
for bit.
"""

import numpy as np
from numba import cuda

from bitnet.arrays import array_module
from bitnet.kernels import reference
from bitnet.kernels.bits import Quantized
from bitnet.kernels.cuda.instructions import divided, minus, plus, times
from bitnet.kernels.cuda.launch import ALL, by_warps, flat, inlined, place

SPAN = 256  # numbers of one row per warp
INSIDE = 12582912  # 1.5 * 2**23: adding it to a float32 rounds to an integer


@cuda.jit
def _largest_of_rows(bits, n_rows, n, largest):
    """Find the largest |x| of each row, as the bits of floats, which compare like integers."""
    lane, row, span = place(cuda.grid(1), (n + SPAN - 1) // SPAN)
    first = span * SPAN
    own = np.int32(0)
    if row < n_rows:
        for column in range(first + lane, min(n, first + SPAN), 32):
            own = max(own, np.int32(bits[row * n + column] & np.int32(0x7FFFFFFF)))
    for distance in (16, 8, 4, 2, 1):
        own = max(own, np.int32(cuda.shfl_xor_sync(ALL, own, distance)))
    if row < n_rows and lane == 0:
        cuda.atomic.max(largest, row, own)


@inlined
def _whole(v):
    """Round a float below 2**22 to the nearest integer, ties to even; keep NaN and infinity."""
    return minus(plus(v, np.float32(INSIDE)), np.float32(INSIDE))


@inlined
def _below(v):
    """Return the floor of such a float."""
    whole = _whole(v)
    return minus(whole, np.float32(1)) if whole > v else whole


@inlined
def _uniform(seed, index):
    """Return number `index` of `reference.uniform`."""
    x = np.uint64(seed + np.uint64(index + 1) * np.uint64(0x9E3779B97F4A7C15))
    x = np.uint64((x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9))
    x = np.uint64((x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))
    top = np.int32((x ^ (x >> np.uint64(31))) >> np.uint64(40))
    return times(np.float32(top), np.float32(2**-24))


@cuda.jit
def _quantize_rows(x, magnitudes, largest, seed, chance, odd, n_rows, n, values, scales):
    """Round x (R C) to values (R C), to the nearest or stochastically; magnitudes, scales (R)."""
    lane, row, span = place(cuda.grid(1), (n + SPAN - 1) // SPAN)
    first = span * SPAN
    if row < n_rows:
        factor = divided(largest, magnitudes[row])
        for column in range(first + lane, min(n, first + SPAN), 32):
            at = row * n + column
            v = times(x[at], factor)
            if odd:
                v = times(plus(v, largest), np.float32(0.5))
            v = _below(plus(v, _uniform(seed, at))) if chance else _whole(v)
            if odd:
                v = minus(times(np.float32(2), v), largest)
            finite = abs(v) <= plus(largest, np.float32(2))
            v = largest if v > largest else v
            v = -largest if v < -largest else v
            values[at] = np.int16(np.int32(v if finite else np.float32(0)))
        if first + lane == 0:
            scales[row] = divided(magnitudes[row], largest)


def round_gradient(x, largest, seed, odd=False):
    """See `bitnet.kernels.round_gradient`."""
    if not (x.size and x.dtype == np.float32):
        return reference.round_gradient(x, largest, seed, odd)
    xp, (n_rows, n) = array_module(x), x.shape
    numbers, magnitudes = flat(x), xp.zeros(n_rows, np.int32)
    values, scales = xp.empty(x.shape, np.int16), xp.empty(n_rows, np.float32)
    warps, rounding = n_rows * -(-n // SPAN), (int(seed is not None), int(odd))
    by_warps(_largest_of_rows, warps, numbers.view(np.int32), n_rows, n, magnitudes)
    given = numbers, magnitudes.view(np.float32), np.float32(largest), np.uint64(seed or 0)
    by_warps(_quantize_rows, warps, *given, *rounding, n_rows, n, values.reshape(-1), scales)
    return Quantized(values, scales, largest)
