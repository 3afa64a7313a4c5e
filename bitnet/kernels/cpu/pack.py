"""Packing of numbers into bits and unpacking of bits, one 64-bit word at a time.

LLVM vectorizes a loop of 64 comparisons, shifts and ORs only if its length is constant.  Numbers
after the last whole word of a row are therefore packed from a copy that is padded to 64.
"""

import math

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits, words_for
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.threads import shared

THRESHOLDS_PER_NS, RANKS_PER_NS, NUMBERS_PER_NS = 4, 10, 1  # approximate, one thread
COMPARED = 31  # thresholds per column above which the guess of `_search_rows` is faster
SEARCHED = 64  # columns searched at once
BLOCK = 1 << 17  # booleans padded at once
EACH = np.uint64(0x0101010101010101)  # bit 0 of each byte
GATHER = np.uint64(0x0102040810204080)  # times that: bit 0 of byte j goes to bit 56 + j


@jit
def _pack_words(x, first, words):
    """Set bits where x >= 0, in whole words from the first on; x (R, N), words (R, K)."""
    for r in range(x.shape[0]):
        for k in range(x.shape[1] // 64):
            word = np.uint64(0)
            for b in range(64):
                word |= np.uint64(x[r, 64 * k + b] >= 0) << np.uint64(b)
            words[r, first + k] = word


@jit
def pack_mask_words(x, clip_value, first, words, mask):
    """Pack like `_pack_words`, and set bits of the mask (R, K) where |x| <= clip_value."""
    for r in range(x.shape[0]):
        for k in range(x.shape[1] // 64):
            word, inside = np.uint64(0), np.uint64(0)
            for b in range(64):
                word |= np.uint64(x[r, 64 * k + b] >= 0) << np.uint64(b)
                inside |= np.uint64(abs(x[r, 64 * k + b]) <= clip_value) << np.uint64(b)
            words[r, first + k] = word
            mask[r, first + k] = inside


@jit
def _transpose_bits(words, rows, masks, transposed):
    """Write bit i of row j to bit j of row i; words (R, K), transposed (64 K, ceil(R / 64)).

    For 64 rows at a time, squares of s x s bits are swapped, for s = 32, 16, ..., 1 (Warren,
    Hacker's Delight, section 7-3), in all words of the rows.  The masks select the lower s of
    each 2 s bits; rows (64, K) is scratch memory.
    """
    n_rows, n_words = words.shape
    for block in range(transposed.shape[1]):
        there = min(64, n_rows - 64 * block)
        for i in range(64):
            for k in range(n_words):
                rows[i, k] = words[64 * block + i, k] if i < there else np.uint64(0)
        for step in range(6):
            s = np.int64(32) >> step
            low = masks[step]
            for pair in range(32):
                i = (pair & -s) + pair  # without bit s: a number below 64 whose partner is i + s
                for k in range(n_words):
                    swap = ((rows[i, k] >> np.uint64(s)) ^ rows[i + s, k]) & low
                    rows[i + s, k] ^= swap
                    rows[i, k] ^= swap << np.uint64(s)
        for k in range(n_words):
            for i in range(64):
                transposed[64 * k + i, block] = rows[i, k]


@jit
def _split_rows(pixels, words):
    """Write bit p of each pixel to plane p; pixels (R, N), words (8, R, K)."""
    n_rows, n = pixels.shape
    for plane in range(8):
        for r in range(n_rows):
            for k in range(words.shape[2]):
                word = np.uint64(0)
                for b in range(min(64, n - 64 * k)):
                    bit = (pixels[r, 64 * k + b] >> plane) & 1
                    word |= np.uint64(bit) << np.uint64(b)
                words[plane, r, k] = word


@jit
def _split_code_rows(codes, table, same, chunk, eights, words):
    """Write bit p of the pattern of each code to plane p; codes (R, N), words (P, R, K).

    table (G, 256): byte g of the pattern of each code; `same` if it equals the code.
    chunk (64,) uint8 and eights (8,) uint64 are the same scratch memory of 64 bytes.
    """
    n_planes, n_rows, n_words = words.shape
    n = codes.shape[1]
    for r in range(n_rows):
        for k in range(n_words):
            there = min(64, n - 64 * k)
            for g in range(len(table)):
                if there < 64:
                    eights[:] = 0
                if same:
                    for b in range(there):
                        chunk[b] = codes[r, 64 * k + b]
                else:
                    for b in range(there):
                        chunk[b] = table[g, codes[r, 64 * k + b]]
                for p in range(8 * g, min(8 * g + 8, n_planes)):
                    word = np.uint64(0)
                    for i in range(8):
                        ones = (eights[i] >> np.uint64(p - 8 * g)) & EACH
                        word |= ((ones * GATHER) >> np.uint64(56)) << np.uint64(8 * i)
                    words[p, r, k] = word


@jit
def _rank_rows(z, thresholds, falling, codes):
    """Count the thresholds that z passes; z and codes (R, M), thresholds (L, M).

    Decreasing columns are negated: z <= t is -z - 1 >= -t - 1, that is ~z >= ~t.
    """
    for r in range(z.shape[0]):
        for j in range(z.shape[1]):
            codes[r, j] = 0
        for step in range(thresholds.shape[0]):
            for j in range(z.shape[1]):
                codes[r, j] += (z[r, j] ^ falling[j]) >= thresholds[step, j]


@jit
def _search_rows(z, thresholds, falling, codes):
    """Count like `_rank_rows`, starting from a guess; thresholds (M, L).

    After a batch norm most quantizers have equally spaced thresholds, so the position of z between
    the first and the last threshold is close to the code.
    """
    n_steps = thresholds.shape[1]
    for first in range(0, z.shape[1], SEARCHED):  # so that their thresholds stay in the cache
        for j in range(first, min(first + SEARCHED, z.shape[1])):
            own = thresholds[j]
            low, high = np.float32(own[0]), np.float32(own[n_steps - 1])
            slope = np.float32(n_steps - 1) / max(high - low, np.float32(1))
            for r in range(z.shape[0]):
                number = z[r, j] ^ falling[j]
                guess = (np.float32(number) - low) * slope + np.float32(1)
                passed = np.int64(min(max(guess, np.float32(0)), np.float32(n_steps)))
                while passed < n_steps and number >= own[passed]:
                    passed += 1
                while passed > 0 and number < own[passed - 1]:
                    passed -= 1
                codes[r, j] = passed


@jit
def _threshold_rows(z, thresholds, increasing, words):
    """Set bits where z passes the threshold of its column; z (R, N), words (R, K)."""
    n_rows, n = z.shape
    for r in range(n_rows):
        for k in range(words.shape[1]):
            word = np.uint64(0)
            for b in range(min(64, n - 64 * k)):
                i = 64 * k + b
                above = z[r, i] >= thresholds[i]
                below = z[r, i] <= thresholds[i]
                word |= np.uint64(above if increasing[i] else below) << np.uint64(b)
            words[r, k] = word


@jit
def _number_rows(words, coefficients, offset, scale, y):
    """Compute y = scale * (offset + sum_p coefficients[p] * (±1)); words (P, R, K), y (R, N)."""
    total = np.empty(64, np.int32)
    n_rows, n = y.shape
    for r in range(n_rows):
        for k in range(words.shape[2]):
            total[:] = offset
            for p in range(len(words)):
                word, coefficient = words[p, r, k], coefficients[p]
                for b in range(64):
                    bit = np.int32(word >> np.uint64(b) & np.uint64(1))
                    total[b] += coefficient * (2 * bit - np.int32(1))
            row = y[r, 64 * k : min(n, 64 * k + 64)]
            for b in range(len(row)):
                row[b] = row.dtype.type(total[b]) * scale


@jit
def _unpack_rows(words, y):
    """Write +1 for bit 1 and -1 for bit 0; words (R, K), y (R, N)."""
    n_rows, n = y.shape
    for r in range(n_rows):
        for k in range(words.shape[1]):
            word = words[r, k]
            for b in range(min(64, n - 64 * k)):
                bit = (word >> np.uint64(b)) & np.uint64(1)
                y[r, 64 * k + b] = 2 * np.int64(bit) - 1


@jit
def _where_rows(words, x, y):
    """Write x where the bit is 1, zero elsewhere; words (R, K), x and y (R, N)."""
    n_rows, n = x.shape
    for r in range(n_rows):
        for k in range(words.shape[1]):
            word = words[r, k]
            for b in range(min(64, n - 64 * k)):
                i = 64 * k + b
                y[r, i] = x[r, i] if (word >> np.uint64(b)) & np.uint64(1) else y.dtype.type(0)


@jit
def _or_shifted(words, first, shift, joined):
    """OR shifted rows of words (R, K) into rows of joined, from the word `first` on."""
    for r in range(words.shape[0]):
        for k in range(words.shape[1]):
            word = words[r, k]
            joined[r, first + k] |= word << np.uint64(shift)
            if shift and first + k + 1 < joined.shape[1]:
                joined[r, first + k + 1] |= word >> np.uint64(64 - shift)


def as_rows(x):
    """Reshape x (..., N) to a contiguous matrix (R, N)."""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _empty_words(shape):
    """Return uninitialized words for signs of this shape; every kernel writes all of them."""
    return np.empty((*shape[:-1], words_for(shape[-1])), np.uint64)


def _last_word(x):
    """Return the numbers after the last whole word of x (R, N), padded to (R, 64)."""
    left = x.shape[1] % 64
    filled = np.full((len(x), 64), np.nan if x.dtype.kind == "f" else -1, x.dtype)
    filled[:, :left] = x[:, x.shape[1] - left :]
    return filled


def pack_rows(x, words):
    """Set bits where x >= 0; contiguous x (R, N), words (R, K)."""
    _pack_words(x, 0, words)
    if x.shape[1] % 64:
        _pack_words(_last_word(x), x.shape[1] // 64, words)


def pack(x):
    """See `bitnet.kernels.pack`."""
    if x.ndim == 2 and not x.flags.c_contiguous and x.T.flags.c_contiguous:
        return transpose(pack(x.T))
    if x.dtype == np.bool_:
        return _pack_booleans(x)
    if x.dtype.kind == "u":  # all +1, rare: not worth compiling
        return reference.pack(x)
    words = _empty_words(x.shape)
    pack_rows(as_rows(x), as_rows(words))
    return Bits(words, x.shape)


def _pack_booleans(x):
    """Pack True as 1; rows that are no whole words are padded in blocks that stay in the cache."""
    words, n = _empty_words(x.shape), x.shape[-1]
    rows, to = as_rows(x), as_rows(words).view(np.uint8)
    if n % 64 == 0:
        whole = np.packbits(rows.reshape(-1), bitorder="little").view(np.uint64)
        return Bits(whole.reshape(words.shape), x.shape)
    count = max(1, BLOCK // (8 * to.shape[1]))
    padded = np.zeros((count, 8 * to.shape[1]), np.bool_)
    for first in range(0, len(rows), count):
        some = rows[first : first + count]
        padded[: len(some), :n] = some
        packed = np.packbits(padded[: len(some)].reshape(-1), bitorder="little")
        to[first : first + count] = packed.reshape(len(some), to.shape[1])
    return Bits(words, x.shape)


def transpose(bits):
    """See `bitnet.kernels.reference.transpose`."""
    n_rows, n = bits.shape
    words = np.empty((64 * bits.words.shape[1], words_for(n_rows)), np.uint64)
    rows = np.empty((64, bits.words.shape[1]), np.uint64)
    masks = np.array([(2**64 - 1) // (2**s + 1) for s in (32, 16, 8, 4, 2, 1)], np.uint64)
    _transpose_bits(np.ascontiguousarray(bits.words), rows, masks, words)
    return Bits(words[:n], (n, n_rows))


def pack_with_mask(x, clip_value):
    """See `bitnet.kernels.pack_with_mask`."""
    words, mask = _empty_words(x.shape), _empty_words(x.shape)
    rows, each = as_rows(x), (as_rows(words), as_rows(mask))
    pack_mask_words(rows, clip_value, 0, *each)
    if x.shape[-1] % 64:
        pack_mask_words(_last_word(rows), clip_value, x.shape[-1] // 64, *each)
    return Bits(words, x.shape), Bits(mask, x.shape)


def concatenate(parts):
    """See `bitnet.kernels.concatenate`."""
    shape = (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))
    words, n = np.zeros((*shape[:-1], words_for(shape[-1])), np.uint64), 0
    for part in parts:
        _or_shifted(as_rows(part.words), *divmod(n, 64), as_rows(words))
        n += part.shape[-1]
    return Bits(words, shape)


def unpack(bits, dtype):
    """See `bitnet.kernels.unpack`."""
    y = np.empty(bits.shape, dtype)
    _unpack_rows(as_rows(bits.words), as_rows(y))
    return y


def numbers(planes, dtype):
    """Compute `planes.numbers(dtype)`."""
    y = np.empty(planes.shape, dtype)
    rows, words = as_rows(y), np.ascontiguousarray(planes.bits.words)
    words = words.reshape(len(words), len(rows), words.shape[-1])
    coefficients = np.array(planes.coefficients, np.int32)
    offset, scale = np.int32(planes.offset), y.dtype.type(planes.scale)

    def run(start, stop):
        _number_rows(words[:, start:stop], coefficients, offset, scale, rows[start:stop])

    shared(run, len(rows), 1, y.size / NUMBERS_PER_NS)
    return y


def where(mask, x):
    """See `bitnet.kernels.where`."""
    y = np.empty(x.shape, x.dtype)
    _where_rows(as_rows(mask.words), as_rows(x), as_rows(y))
    return y


def split_planes(pixels):
    """See `bitnet.kernels.split_planes`."""
    words = _empty_words((8, *pixels.shape))
    rows = as_rows(pixels)
    _split_rows(rows, words.reshape(8, rows.shape[0], words.shape[-1]))
    return BitPlanes(Bits(words, (8, *pixels.shape)), [1 << b for b in range(8)])


def split_codes(codes, patterns, n_planes):
    """See `bitnet.kernels.Codebook.planes`."""
    rows = as_rows(codes)
    words = np.empty((n_planes, *codes.shape[:-1], words_for(codes.shape[-1])), np.uint64)
    groups = -(-n_planes // 8)
    table = np.zeros((groups, 256), np.uint8)
    for g in range(groups):
        table[g, : len(patterns)] = patterns >> np.uint32(8 * g) & np.uint32(255)
    same = groups == 1 and np.array_equal(patterns, np.arange(len(patterns)))
    eights = np.zeros(8, np.uint64)
    planes = words.reshape(n_planes, len(rows), words.shape[-1])
    with np.errstate(over="ignore"):  # NumPy would warn if Numba does not compile
        _split_code_rows(rows, table, same, eights.view(np.uint8), eights, planes)
    return Bits(words, (n_planes, *codes.shape))


def rank(z, steps):
    """See `bitnet.kernels.rank`."""
    count = steps.values.shape[1]
    searched = count > COMPARED
    if "rank" not in steps.limits:
        falling = np.where(
            steps.increasing, np.int32(0), np.int32(-1)
        )  # xor with -1 is the complement
        values = steps.values ^ falling[:, None]
        steps.limits["rank"] = falling, values if searched else np.ascontiguousarray(values.T)
    falling, values = steps.limits["rank"]
    codes = np.empty(z.shape, np.uint8)
    rows, to, kernel = as_rows(z), as_rows(codes), _search_rows if searched else _rank_rows
    work_ns = z.size * min(count, COMPARED) / RANKS_PER_NS
    shared(lambda i, j: kernel(rows[i:j], values, falling, to[i:j]), len(rows), 1, work_ns)
    return codes


def threshold(z, thresholds):
    """See `bitnet.kernels.threshold`."""
    words = _empty_words(z.shape)
    rows, to = as_rows(z), as_rows(words)

    def run(i, j):
        _threshold_rows(rows[i:j], thresholds.values, thresholds.increasing, to[i:j])

    shared(run, len(rows), 1, z.size / THRESHOLDS_PER_NS)
    return Bits(words, z.shape)
