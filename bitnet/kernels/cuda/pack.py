"""Numbers to bits by ballots, and back: the lanes of a warp are 32 neighbouring columns.

A ballot asks all lanes of a warp one question, and their answers are 32 bits in the order of the
columns: half a word, as it is to be stored.  A warp asks eight times, of 256 columns, and its
first eight lanes store what came out side by side.

    halves   32-bit halves of words; H = 2 K in a row
    strips   of eight halves, ceil(H / 8) in a row
"""

import functools
import math

import numpy as np
from numba import cuda

from bitnet.arrays import array_module
from bitnet.kernels.bits import Bits, Planes, words_for
from bitnet.kernels.cuda.launch import here, inlined, launch, row_of_halves

ALL = np.uint32(0xFFFFFFFF)  # lanes
STRIP = 8  # halves that one warp makes of one row
THREADS = 256  # in a block; 8 warps
WARPS = THREADS // 32
BITS_OF_BYTE = [1 << b for b in range(8)]


@inlined
def place(strips):
    """The lane of this thread, and the row and the strip of its warp."""
    warp = cuda.blockIdx.x * WARPS + cuda.threadIdx.x // 32
    return cuda.threadIdx.x % 32, warp // strips, warp % strips


@cuda.jit
def _pack_rows(x, least, n_rows, n, halves, out):
    """Bit 1 where x >= least; x (R N), out (R H)."""
    strips = (halves + STRIP - 1) // STRIP
    lane, row, strip = place(strips)
    own = np.uint32(0)
    for k in range(STRIP):
        column = (strip * STRIP + k) * 32 + lane
        bit = False
        if row < n_rows and column < n:
            bit = x[row * n + column] >= least
        word = cuda.ballot_sync(ALL, bit)
        if lane == k:
            own = np.uint32(word)
    if row < n_rows and lane < STRIP and strip * STRIP + lane < halves:
        out[row * halves + strip * STRIP + lane] = own


@cuda.jit
def _pack_mask_rows(x, least, window, n_rows, n, halves, out, mask):
    """As `_pack_rows`; bit 1 in the mask where |x| <= window."""
    strips = (halves + STRIP - 1) // STRIP
    lane, row, strip = place(strips)
    own = own_mask = np.uint32(0)
    for k in range(STRIP):
        column = (strip * STRIP + k) * 32 + lane
        bit = inside = False
        if row < n_rows and column < n:
            number = x[row * n + column]
            bit, inside = number >= least, abs(number) <= window
        word, word_of_mask = cuda.ballot_sync(ALL, bit), cuda.ballot_sync(ALL, inside)
        if lane == k:
            own, own_mask = np.uint32(word), np.uint32(word_of_mask)
    if row < n_rows and lane < STRIP and strip * STRIP + lane < halves:
        at = row * halves + strip * STRIP + lane
        out[at] = own
        mask[at] = own_mask


@cuda.jit
def _threshold_rows(z, values, rising, n_rows, n, halves, out):
    """Bit 1 where z is on the right side of its column's threshold; z (R N), out (R H)."""
    strips = (halves + STRIP - 1) // STRIP
    lane, row, strip = place(strips)
    own = np.uint32(0)
    for k in range(STRIP):
        column = (strip * STRIP + k) * 32 + lane
        bit = False
        if row < n_rows and column < n:
            number, value = z[row * n + column], values[column]
            bit = number >= value if rising[column] else number <= value
        word = cuda.ballot_sync(ALL, bit)
        if lane == k:
            own = np.uint32(word)
    if row < n_rows and lane < STRIP and strip * STRIP + lane < halves:
        out[row * halves + strip * STRIP + lane] = own


@cuda.jit
def _split_rows(codes, n_planes, n_rows, n, halves, out):
    """Bit p of each integer into plane p, of 32 at most; codes (R N), out (P R H)."""
    lane, row, half = place(halves)
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
    """Bit i of row j from bit j of row i; halves_in (R, H), out (N, 32-row blocks of R).

    A warp takes a square of 32 x 32 bits, one row a lane; ballots take its columns.
    """
    lane, block, half = place(halves)
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


@cuda.jit
def _unpack_rows(halves_in, n_rows, n, halves, y):
    """+1 for bit 1, -1 for bit 0; y (R N)."""
    lane, row, strip = place((halves + STRIP - 1) // STRIP)
    if row < n_rows:
        for half in range(strip * STRIP, min(strip * STRIP + STRIP, halves)):
            if 32 * half + lane < n:
                bit = (halves_in[row * halves + half] >> np.uint32(lane)) & np.uint32(1)
                y[row * n + 32 * half + lane] = 1 if bit else -1


@cuda.jit
def _where_rows(halves_in, n_rows, n, halves, x, y):
    """x where the bit is 1, zero elsewhere; x and y (R N)."""
    lane, row, strip = place((halves + STRIP - 1) // STRIP)
    if row < n_rows:
        for half in range(strip * STRIP, min(strip * STRIP + STRIP, halves)):
            if 32 * half + lane < n:
                at = row * n + 32 * half + lane
                if (halves_in[row * halves + half] >> np.uint32(lane)) & np.uint32(1):
                    y[at] = x[at]
                else:
                    y[at] = 0


@cuda.jit
def _rank_rows(z, thresholds, rising, n_columns, n_steps, codes):
    """How many thresholds of its column each integer passes; z (R M), thresholds (M L), sorted.

    Falling columns are negated: z <= t is ~z >= ~t.  The search halves what is left.
    """
    at = cuda.grid(1)
    if at < codes.size:
        column = at % n_columns
        turned = np.int32(0) if rising[column] else np.int32(-1)
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
    """The weighted sum over the planes of the bits in each row; halves_in (P R H), sums (R)."""
    lane, row, _ = place(1)
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
    """Add the bits in which a and b differ to total (1)."""
    differing = np.int32(0)
    for at in range(cuda.grid(1), a.size, cuda.gridsize(1)):
        differing += np.int32(cuda.popc(np.uint32(a[at] ^ b[at])))
    for distance in (16, 8, 4, 2, 1):
        differing += np.int32(cuda.shfl_xor_sync(ALL, differing, distance))
    if cuda.threadIdx.x % 32 == 0:
        cuda.atomic.add(total, 0, differing)


def flat(x):
    """The numbers of an array, in order, on one axis."""
    return array_module(x).ascontiguousarray(x).reshape(-1)


def _rows(shape):
    """The rows of an array that is packed along its last axis."""
    return math.prod(shape[:-1])


def _warps(count):
    """A grid of so many warps."""
    return (-(-count // WARPS),)


def _threads(count):
    """A grid of so many threads."""
    return (-(-count // THREADS),)


def empty_words(xp, shape):
    """Words for an array of signs of this shape, and their halves in a row and in memory."""
    words = xp.empty((*shape[:-1], words_for(shape[-1])), np.uint64)
    return words, 2 * words.shape[-1], row_of_halves(words) if words.size else None


def by_strips(kernel, shape, *arguments, masks=0):
    """Bits of a shape, and as many more, from a kernel that makes a strip of each in a warp."""
    made = [empty_words(array_module(*arguments), shape) for _ in range(1 + masks)]
    halves, rows = made[0][1], _rows(shape)
    outs = [out for _, _, out in made]
    blocks = _warps(rows * -(-halves // STRIP))
    launch(kernel, blocks, THREADS, *arguments, rows, shape[-1], halves, *outs)
    return [Bits(words, shape) for words, _, _ in made]


def pack(x):
    """See `bitnet.kernels.pack`."""
    if x.ndim == 2 and not x.flags.c_contiguous and x.T.flags.c_contiguous:
        return transpose(pack(x.T))
    booleans = x.dtype == np.bool_
    numbers = flat(x).view(np.int8) if booleans else flat(x)
    return by_strips(_pack_rows, x.shape, numbers, numbers.dtype.type(booleans))[0]


def pack_with_mask(x, window):
    """See `bitnet.kernels.pack_with_mask`."""
    numbers = x.dtype.type(0), x.dtype.type(window)
    return tuple(by_strips(_pack_mask_rows, x.shape, flat(x), *numbers, masks=1))


def threshold(z, thresholds):
    """See `bitnet.kernels.threshold`."""
    values, rising = thresholds.values, thresholds.rising
    return by_strips(_threshold_rows, z.shape, flat(z), values, rising)[0]


def split(codes, n_planes):
    """The lowest bits of integers, of 32 bits at most, as planes: Bits (P, ..., N)."""
    shape = (n_planes, *codes.shape)
    words, halves, out = empty_words(array_module(codes), shape)
    rows = _rows(codes.shape)
    blocks = _warps(rows * halves)
    launch(_split_rows, blocks, THREADS, flat(codes), n_planes, rows, shape[-1], halves, out)
    return Bits(words, shape)


def split_planes(pixels):
    """See `bitnet.kernels.split_planes`."""
    return Planes(split(pixels, 8), BITS_OF_BYTE)


def split_codes(codes, patterns, n_planes):
    """The planes of the pattern of each code: as `bitnet.kernels.reference.split_codes`."""
    xp = array_module(codes)
    return split(xp.asarray(patterns).view(np.int32)[codes], n_planes)


def transpose(bits):
    """See `bitnet.kernels.reference.transpose`."""
    n_rows, n = bits.shape
    words, n_blocks, out = empty_words(array_module(bits.words), (n, n_rows))
    if words.size:
        halves = 2 * bits.words.shape[1]
        blocks, rows = _warps(n_blocks * halves), row_of_halves(bits.words)
        launch(_transpose_rows, blocks, THREADS, rows, n_rows, n, halves, n_blocks, out)
    return Bits(words, (n, n_rows))


def unpack(bits, dtype):
    """See `bitnet.kernels.unpack`."""
    y = array_module(bits.words).empty(bits.shape, dtype)
    if y.size:
        halves, given = 2 * bits.words.shape[-1], row_of_halves(bits.words)
        rows, n = _rows(bits.shape), bits.shape[-1]
        blocks = _warps(rows * -(-halves // STRIP))
        launch(_unpack_rows, blocks, THREADS, given, rows, n, halves, y.reshape(-1))
    return y


def where(mask, x):
    """See `bitnet.kernels.where`."""
    y = array_module(x).empty(x.shape, x.dtype)
    if y.size:
        halves, given = 2 * mask.words.shape[-1], row_of_halves(mask.words)
        rows, n, to = _rows(x.shape), x.shape[-1], y.reshape(-1)
        blocks = _warps(rows * -(-halves // STRIP))
        launch(_where_rows, blocks, THREADS, given, rows, n, halves, flat(x), to)
    return y


def rank(z, steps):
    """See `bitnet.kernels.rank`."""
    codes = array_module(z).empty(z.shape, np.uint8)
    values, sizes = flat(steps.values), steps.values.shape
    blocks, to = _threads(codes.size), codes.reshape(-1)
    if not sizes[1]:
        codes[...] = 0
        return codes
    launch(_rank_rows, blocks, THREADS, flat(z), values, steps.rising, *sizes, to)
    return codes


@functools.lru_cache(maxsize=256)
def on_gpu(xp, where, numbers):
    """A tuple of integers, modulo 2^32, as an array of this device and stream: int32."""
    return xp.asarray(np.array(numbers, np.int64).astype(np.int32))


def ones(words, coefficients=(1,)):
    """sum_p coefficients[p] * popcount of each row of plane p: int32 (R,); words (P, R, K)."""
    xp, (_, n_rows, n_words) = array_module(words), words.shape
    if not words.size:
        return xp.zeros(n_rows, np.int32)
    sums, weights = xp.empty(n_rows, np.int32), on_gpu(xp, here(xp), coefficients)
    rows = row_of_halves(words)
    launch(_ones_of_rows, _warps(n_rows), THREADS, rows, weights, n_rows, 2 * n_words, sums)
    return sums


def count_flips(a, b):
    """See `bitnet.kernels.count_flips`."""
    total = array_module(a.words).zeros(1, np.int64)
    if a.words.size:
        blocks = (min(1024, -(-2 * a.words.size // THREADS)),)
        launch(_flips_of, blocks, THREADS, *map(row_of_halves, (a.words, b.words)), total)
    return int(total[0])
