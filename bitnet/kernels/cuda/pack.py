"""Packing of numbers by ballots, and unpacking: the lanes of a warp are 32 neighbouring columns.

A ballot collects one bit from each lane of a warp into 32 bits in the order of the columns, which
are half a word in memory.  A warp makes eight ballots, for 256 columns, and its first eight lanes
store the results side by side.

    halves   32-bit halves of words, H = 2 K per row
    strips   groups of eight halves, ceil(H / 8) per row
"""

import functools
import math

import numpy as np
from numba import cuda

from bitnet.arrays import array_module
from bitnet.kernels.bits import BitPlanes, Bits, words_for
from bitnet.kernels.cuda.launch import (
    ALL,
    STRIP,
    by_threads,
    by_warps,
    flat,
    here,
    inlined,
    place,
    row_of_halves,
)

MOST_THREADS = 1 << 18  # that count flips; each has several halves if there are more
BITS_OF_BYTE = [1 << b for b in range(8)]


def strips(test, masked=False):
    """Make a kernel that packs the result of a test of each number, and a mask if `masked`.

    test(number, column, *operands) returns a bit and a bit of the mask; x (R N), out, mask (R H).
    """

    @cuda.jit
    def kernel(x, p, q, r, s, n_rows, n, halves, out, mask):
        lane, row, strip = place(cuda.grid(1), (halves + STRIP - 1) // STRIP)
        own = own_mask = np.uint32(0)
        for k in range(STRIP):
            column, bit, inside = (strip * STRIP + k) * 32 + lane, False, False
            if row < n_rows and column < n:
                bit, inside = test(x[row * n + column], column, p, q, r, s)
            word = np.uint32(cuda.ballot_sync(ALL, bit))
            word_of_mask = np.uint32(cuda.ballot_sync(ALL, inside)) if masked else word
            if lane == k:
                own, own_mask = word, word_of_mask
        if row < n_rows and lane < STRIP and strip * STRIP + lane < halves:
            at = row * halves + strip * STRIP + lane
            out[at] = own
            if masked:
                mask[at] = own_mask

    return kernel


@inlined
def _at_least(number, column, least, q, r, s):
    """Return whether x >= least."""
    return number >= least, False


@inlined
def _within(number, column, least, window, r, s):
    """Return whether x >= least, and whether |x| <= window, for the mask."""
    return number >= least, abs(number) <= window


@inlined
def _beyond(number, column, values, increasing, r, s):
    """Return whether z passes the threshold of its column."""
    value = values[column]
    return number >= value if increasing[column] else number <= value, False


_pack_rows, _threshold_rows = strips(_at_least), strips(_beyond)
_pack_mask_rows = strips(_within, masked=True)


@cuda.jit
def _split_rows(codes, n_planes, n_rows, n, halves, out):
    """Write bit p of each integer to plane p, of at most 32; codes (R N), out (P R H)."""
    lane, row, half = place(cuda.grid(1), halves)
    code = np.int32(0)
    if row < n_rows and 32 * half + lane < n:
        code = np.int32(codes[row * n + 32 * half + lane])
    own = np.uint32(0)
    for plane in range(n_planes):
        word = cuda.ballot_sync(ALL, (code >> plane) & 1 == 1)
        if lane == plane:
            own = np.uint32(word)
    if row < n_rows and lane < n_planes:
        out[(lane * n_rows + row) * halves + half] = own


@cuda.jit
def _transpose_rows(halves_in, n_rows, n, halves, n_blocks, out):
    """Write bit j of row i to bit i of row j; halves_in (R, H), out (N, 32-row blocks of R).

    A warp has a square of 32 x 32 bits, one row per lane; ballots collect its columns.
    """
    lane, block, half = place(cuda.grid(1), halves)
    row, word = 32 * block + lane, np.uint32(0)
    if row < n_rows:
        word = halves_in[row * halves + half]
    own = np.uint32(0)
    for b in range(32):
        column = cuda.ballot_sync(ALL, (word >> np.uint32(b)) & np.uint32(1) == 1)
        if lane == b:
            own = np.uint32(column)
    if block < n_blocks and 32 * half + lane < n:
        out[(32 * half + lane) * n_blocks + block] = own


def _from_bits(masked):
    """Make a kernel that writes +1 and -1 for bits, or, if masked, x and 0; x and y (R N)."""

    @cuda.jit
    def kernel(halves_in, n_rows, n, halves, x, y):
        lane, row, strip = place(cuda.grid(1), (halves + STRIP - 1) // STRIP)
        if row < n_rows:
            for half in range(strip * STRIP, min(strip * STRIP + STRIP, halves)):
                if 32 * half + lane < n:
                    at = row * n + 32 * half + lane
                    bit = (halves_in[row * halves + half] >> np.uint32(lane)) & np.uint32(1)
                    if not masked:
                        y[at] = 1 if bit else -1
                    elif bit:
                        y[at] = x[at]
                    else:
                        y[at] = 0

    return kernel


_unpack_rows, _where_rows = _from_bits(masked=False), _from_bits(masked=True)


@cuda.jit
def _rank_rows(z, thresholds, increasing, n_columns, n_steps, codes):
    """Count the thresholds of its column that each integer passes; z (R M), thresholds (M L).

    Decreasing columns are negated: z <= t is ~z >= ~t.  The search is binary.
    """
    at = cuda.grid(1)
    if at < codes.size:
        column = at % n_columns
        turned = np.int32(0) if increasing[column] else np.int32(-1)
        number, low, high = np.int32(z[at] ^ turned), 0, n_steps
        while low < high:
            middle = (low + high) // 2
            if number >= np.int32(thresholds[column * n_steps + middle] ^ turned):
                low = middle + 1
            else:
                high = middle
        codes[at] = low


@cuda.jit
def _ones_of_rows(halves_in, coefficients, n_rows, halves, sums):
    """Sum the bits of each row over the weighted planes; halves_in (P R H), sums (R)."""
    lane, row, _ = place(cuda.grid(1), 1)
    total = np.int32(0)
    if row < n_rows:
        for plane in range(coefficients.size):
            first, ones = (plane * n_rows + row) * halves, np.int32(0)
            for half in range(lane, halves, 32):
                ones += np.int32(cuda.popc(halves_in[first + half]))
            total += np.int32(ones * coefficients[plane])
    for distance in (16, 8, 4, 2, 1):
        total += np.int32(cuda.shfl_xor_sync(ALL, total, distance))
    if row < n_rows and lane == 0:
        sums[row] = total


@cuda.jit
def _flips_of(a, b, total):
    """Add the number of bits that differ between a and b to total (1)."""
    differing = np.int32(0)
    for at in range(cuda.grid(1), a.size, cuda.gridsize(1)):
        differing += np.int32(cuda.popc(np.uint32(a[at] ^ b[at])))
    for distance in (16, 8, 4, 2, 1):
        differing += np.int32(cuda.shfl_xor_sync(ALL, differing, distance))
    if cuda.threadIdx.x % 32 == 0:
        cuda.atomic.add(total, 0, differing)


def _rows(shape):
    """Return the number of rows of an array that is packed along its last axis."""
    return math.prod(shape[:-1])


def empty_words(xp, shape):
    """Return empty words for signs of this shape, their halves per row, and their flat halves."""
    words = xp.empty((*shape[:-1], words_for(shape[-1])), np.uint64)
    return words, 2 * words.shape[-1], row_of_halves(words) if words.size else None


def by_strips(kernel, x, *operands, masked=False):
    """Return Bits of the shape of x, and the mask if there is one, from a kernel of `strips`."""
    made = [empty_words(array_module(x), x.shape) for _ in range(1 + masked)]
    numbers, halves, rows = flat(x), made[0][1], _rows(x.shape)
    mask = made[1][2] if masked else numbers  # not written if there is no mask
    given = *operands, *[0] * (4 - len(operands)), rows, x.shape[-1], halves, made[0][2], mask
    by_warps(kernel, rows * -(-halves // STRIP), numbers, *given)
    return [Bits(words, x.shape) for words, _, _ in made]


def pack(x):
    """See `bitnet.kernels.pack`."""
    if x.ndim == 2 and not x.flags.c_contiguous and x.T.flags.c_contiguous:
        return transpose(pack(x.T))
    booleans = x.dtype == np.bool_
    numbers = x.view(np.int8) if booleans else x
    return by_strips(_pack_rows, numbers, numbers.dtype.type(booleans))[0]


def pack_with_mask(x, window):
    """See `bitnet.kernels.pack_with_mask`."""
    numbers = x.dtype.type(0), x.dtype.type(window)
    return tuple(by_strips(_pack_mask_rows, x, *numbers, masked=True))


def threshold(z, thresholds):
    """See `bitnet.kernels.threshold`."""
    return by_strips(_threshold_rows, z, thresholds.values, thresholds.increasing)[0]


def split(codes, n_planes):
    """Split the lowest bits of integers of at most 32 bits into planes: Bits (P, ..., N)."""
    shape = (n_planes, *codes.shape)
    words, halves, out = empty_words(array_module(codes), shape)
    rows = _rows(codes.shape)
    by_warps(_split_rows, rows * halves, flat(codes), n_planes, rows, shape[-1], halves, out)
    return Bits(words, shape)


def split_planes(pixels):
    """See `bitnet.kernels.split_planes`."""
    return BitPlanes(split(pixels, 8), BITS_OF_BYTE)


def split_codes(codes, patterns, n_planes):
    """See `bitnet.kernels.reference.split_codes`."""
    xp = array_module(codes)
    return split(xp.asarray(patterns).view(np.int32)[codes], n_planes)


def transpose(bits):
    """See `bitnet.kernels.reference.transpose`."""
    n_rows, n = bits.shape
    words, n_blocks, out = empty_words(array_module(bits.words), (n, n_rows))
    if words.size:
        halves = 2 * bits.words.shape[1]
        given = row_of_halves(bits.words), n_rows, n, halves, n_blocks, out
        by_warps(_transpose_rows, n_blocks * halves, *given)
    return Bits(words, (n, n_rows))


def _unpacked(kernel, bits, x, y):
    """Unpack bits to y with a kernel of `_from_bits`."""
    if y.size:
        rows, halves = _rows(y.shape), 2 * bits.words.shape[-1]
        given = rows, y.shape[-1], halves, flat(x), y.reshape(-1)
        by_warps(kernel, rows * -(-halves // STRIP), row_of_halves(bits.words), *given)
    return y


def unpack(bits, dtype):
    """See `bitnet.kernels.unpack`."""
    y = array_module(bits.words).empty(bits.shape, dtype)
    return _unpacked(_unpack_rows, bits, bits.words, y)  # x is not read


def where(mask, x):
    """See `bitnet.kernels.where`."""
    return _unpacked(_where_rows, mask, x, array_module(x).empty(x.shape, x.dtype))


def rank(z, steps):
    """See `bitnet.kernels.rank`."""
    codes = array_module(z).empty(z.shape, np.uint8)
    values, sizes = flat(steps.values), steps.values.shape
    if not sizes[1]:
        codes[...] = 0
        return codes
    given = flat(z), values, steps.increasing, *sizes, codes.reshape(-1)
    by_threads(_rank_rows, codes.size, *given)
    return codes


@functools.lru_cache(maxsize=256)
def on_gpu(xp, where, numbers):
    """Return integers, modulo 2^32, as an int32 array, cached per device and stream."""
    return xp.asarray(np.array(numbers, np.int64).astype(np.int32))


def ones(words, coefficients=(1,)):
    """Return sum_p coefficients[p] * popcount(row of plane p), int32 (R,); words (P, R, K)."""
    xp, (_, n_rows, n_words) = array_module(words), words.shape
    if not words.size:
        return xp.zeros(n_rows, np.int32)
    sums, weights = xp.empty(n_rows, np.int32), on_gpu(xp, here(xp), coefficients)
    rows = row_of_halves(words)
    by_warps(_ones_of_rows, n_rows, rows, weights, n_rows, 2 * n_words, sums)
    return sums


def count_flips(a, b):
    """See `bitnet.kernels.count_flips`."""
    total = array_module(a.words).zeros(1, np.int64)
    if a.words.size:
        threads = min(MOST_THREADS, 2 * a.words.size)
        by_threads(_flips_of, threads, row_of_halves(a.words), row_of_halves(b.words), total)
    return int(total[0])
