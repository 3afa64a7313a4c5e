"""Numbers to codes, and codes to the planes of their numbers."""

import numpy as np

from bitnet.kernels.bits import Bits, words_for
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.cpu.pack import as_rows

EACH = np.uint64(0x0101010101010101)  # bit 0 of each byte
GATHER = np.uint64(0x0102040810204080)  # times that: bit 0 of byte j goes to bit 56 + j


@jit
def _step_codes(x, factor, low, high, nearest, first, codes):
    """Codes of a flat x; first is what low is rounded to."""
    for i in range(len(x)):
        y = x[i] * factor
        y = min(y, high) if y > low else low
        y = np.rint(y) if nearest else np.floor(y)
        codes[i] = np.uint8(np.int32(y - first))


@jit
def _edge_codes(x, edges, signed, codes):
    """Codes of x (R, N) by edges (L,)."""
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


@jit
def _split(codes, table, same, chunk, eights, words):
    """Bit p of the pattern of each code into plane p; codes (R, N), words (P, R, K).

    table (G, 256): the byte g of each code's pattern; `same` where it is the code itself.
    chunk (64,) uint8 and eights (8,) uint64 are the same memory: 64 such bytes at work.
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


def step_codes(x, factor, low, high, nearest):
    """See `bitnet.kernels.step_codes`."""
    codes = np.empty(x.shape, np.uint8)
    first = np.rint(low) if nearest else np.floor(low)
    with np.errstate(all="ignore"):  # where Numba does not compile, NumPy would warn
        _step_codes(np.ascontiguousarray(x).ravel(), factor, low, high, nearest, first,
                    codes.reshape(-1))  # fmt: skip
    return codes


def edge_codes(x, edges, signed):
    """See `bitnet.kernels.edge_codes`."""
    codes = np.empty(x.shape, np.uint8)
    _edge_codes(as_rows(x), edges, signed, as_rows(codes))
    return codes


def split_codes(codes, patterns, n_planes):
    """See `bitnet.kernels.Levels.planes`."""
    rows = as_rows(codes)
    words = np.empty((n_planes, *codes.shape[:-1], words_for(codes.shape[-1])), np.uint64)
    groups = -(-n_planes // 8)
    table = np.zeros((groups, 256), np.uint8)
    for g in range(groups):
        table[g, : len(patterns)] = patterns >> np.uint32(8 * g) & np.uint32(255)
    same = groups == 1 and np.array_equal(patterns, np.arange(len(patterns)))
    eights = np.zeros(8, np.uint64)
    planes = words.reshape(n_planes, len(rows), words.shape[-1])
    with np.errstate(over="ignore"):  # where Numba does not compile, NumPy would warn
        _split(rows, table, same, eights.view(np.uint8), eights, planes)
    return Bits(words, (n_planes, *codes.shape))
