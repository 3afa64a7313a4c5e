"""The right operand of a product of tiles: columns of bits, one word per row of a tile, or bytes.

    bits    panels[p, k, h, g] = word g of a tile: 16 columns, 4 contracted elements   uint64
    bytes   panels[p, k, h, g, c, i] = column 32 p + 16 h + c, element 64 k + 4 g + i  uint8

A panel has 32 columns, the width of two tiles, and k counts 64 contracted elements.  Bit 4 c + i of
a word is element i of column c.  So the words of a tile become its rows if each bit becomes a byte.
The layouts of bits are as large as the packed matrix.  "Along" is said of matrices (M, N) whose
rows become columns of the product, "across" of matrices (N, M) whose columns do.
"""

import numpy as np

from bitnet.kernels.bits import words_for
from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.memory import aligned_empty, aligned_zeros

PANEL = 32  # columns
EVEN = [8 * (2 * i) + b for b in range(8) for i in range(8)]  # byte b of columns 0, 2, ..., 14
ODD = [lane + 8 for lane in EVEN]
INTERLEAVED = [0, 8, 1, 9, 2, 10, 3, 11], [4, 12, 5, 13, 6, 14, 7, 15]
QUARTERS = [4 * row + q for q in range(4) for row in range(4)]  # of four rows of four
FOURS = [16 * i + c for c in range(16) for i in range(4)]  # bit c of each of four rows
BYTES_OF_FOURS = [[32 * i + 16 * h + c for c in range(16) for i in range(4)] for h in range(2)]


@routine
def _words_along(e, words, stride, to):
    """Store the 16 words of a tile from one word of each of 16 columns."""
    columns = [e.load("i64", words + stride * c) for c in range(16)]
    left, right = (e.together(own).bits_as("<64 x i8>") for own in (columns[:8], columns[8:]))
    even, odd = (e.part(left, lanes, right) for lanes in (EVEN, ODD))
    shorts = "<32 x i16>"
    odd_above = (odd.bits_as(shorts) << 4).bits_as("<64 x i8>") & -16
    even_below = (even.bits_as(shorts) >> 4).bits_as("<64 x i8>") & 15
    low, high = (even & 15) | odd_above, even_below | (odd & -16)
    pair = low.bits_as("<8 x i64>"), high.bits_as("<8 x i64>")
    for i, lanes in enumerate(INTERLEAVED):
        e.store(e.part(pair[0], lanes, pair[1]), to + 64 * i)


@routine
def _words_across(e, words, stride, to, panel_stride):
    """Store one word for each of four tiles side by side from 64 bits of each of four rows."""
    rows = e.together([e.load("i64", words + stride * i) for i in range(4)])
    quarters = e.part(rows.bits_as("<16 x i16>"), QUARTERS).bits_as("<4 x i64>")
    for q in range(4):
        bits = e.part(e.lane(quarters, q).bits_as("<64 x i1>"), FOURS)
        e.store(bits.bits_as("i64"), to + panel_stride * (q // 2) + 128 * (q % 2))


@routine
def _bytes_across(e, rows, stride, to):
    """Store one row of each of two tiles side by side from 32 bytes of each of four rows."""
    a, b, c, d = (e.load("<32 x i8>", rows + stride * i) for i in range(4))
    all_rows = e.part(e.part(a, range(64), b), range(128), e.part(c, range(64), d))
    for h, lanes in enumerate(BYTES_OF_FOURS):
        e.store(e.part(all_rows, lanes), to + 1024 * h)


@routine
def _bytes_along(e, rows, stride, to):
    """Store a tile from 64 bytes of each of 16 columns: transpose 16 x 16 groups of four bytes."""
    fours = [e.load("<16 x i32>", rows + stride * c) for c in range(16)]
    for step in (8, 4, 2, 1):  # exchange two of the four squares of this side in larger squares
        first = [lane + 16 - step if lane & step else lane for lane in range(16)]
        second = [lane + 16 if lane & step else lane + step for lane in range(16)]
        for i in (i for i in range(16) if not i & step):
            pair = fours[i], fours[i + step]
            fours[i] = e.part(pair[0], first, pair[1])
            fours[i + step] = e.part(pair[0], second, pair[1])
    for g, register in enumerate(fours):
        e.store(register, to + 64 * g)


@jit
def _arrange_along(words, last, panels):
    """Fill panels (P, K, 2, 16) of words (M, K); last (16, K): the rows after the last 16 m."""
    for j in range((len(words) + 15) // 16):
        whole = 16 * (j + 1) <= len(words)
        stride = 8 * words.shape[1]  # bytes; a single row may have any stride
        at = address(words, "uint64") + 16 * j * stride if whole else address(last, "uint64")
        to = address(panels, "uint64") + j // 2 * panels.strides[0] + j % 2 * 128
        for k in range(words.shape[1]):
            _words_along(at + 8 * k, stride, to + k * panels.strides[1])


@jit
def _arrange_across(words, last, panels):
    """Fill panels (2 K, T, 2, 16) of words (R, K); last (64, K): the rows after the last 64 t."""
    for t in range(panels.shape[1]):
        whole = 64 * (t + 1) <= len(words)
        stride = 8 * words.shape[1]
        at = address(words, "uint64") + 64 * t * stride if whole else address(last, "uint64")
        for k in range(words.shape[1]):
            to = address(panels, "uint64") + 2 * k * panels.strides[0] + t * panels.strides[1]
            for g in range(16):
                row = at + 8 * k + 4 * g * stride
                _words_across(row, stride, to + 8 * g, panels.strides[0])


@jit
def _arrange_bytes_across(rows, panels):
    """Fill panels (P, T, 2, 16, 16, 4) of bytes (64 T, 32 P or more)."""
    stride = rows.strides[0]
    for t in range(panels.shape[1]):
        for g in range(16):
            at = address(rows, "uint8") + (64 * t + 4 * g) * stride
            for p in range(len(panels)):
                to = address(panels, "uint8") + p * panels.strides[0] + t * panels.strides[1]
                _bytes_across(at + 32 * p, stride, to + 64 * g)


@jit
def _arrange_bytes_along(rows, panels):
    """Fill panels (P, T, 2, 16, 16, 4) of bytes (16 columns or more, 64 T)."""
    stride = rows.strides[0]
    for j in range(0, len(rows), 16):
        at = address(rows, "uint8") + j * stride
        to = address(panels, "uint8") + j // PANEL * panels.strides[0] + j % PANEL // 16 * 1024
        for t in range(panels.shape[1]):
            _bytes_along(at + 64 * t, stride, to + t * panels.strides[1])


def bits_along(words):
    """Return the layout of bits whose rows, words (M, K), are columns of the product."""
    words, m = np.ascontiguousarray(words), len(words)
    panels = aligned_zeros((-(-m // PANEL), words.shape[1], 2, 16), np.uint64)
    _arrange_along(words, _rows_after(words, 16), panels)
    return panels


def bits_across(words):
    """Return the layout of bits whose columns, packed in words (R, K), are those of the product."""
    words, n_rows = np.ascontiguousarray(words), len(words)
    panels = aligned_empty((2 * words.shape[1], -(-n_rows // 64), 2, 16), np.uint64)
    _arrange_across(words, _rows_after(words, 64), panels)
    return panels


def _rows_after(words, step):
    """Return the rows after the last whole `step` of them, followed by rows of zeros."""
    last, left = np.zeros((step, words.shape[1]), np.uint64), len(words) % step
    last[:left] = words[len(words) - left :]
    return last


def bytes_along(rows):
    """Return the layout of bytes whose rows (M, N) are columns of the product."""
    m, n = rows.shape
    make = aligned_zeros if m % PANEL else aligned_empty
    panels = make((-(-m // PANEL), words_for(n), 2, 16, 16, 4), np.uint8)
    _arrange_bytes_along(_padded(rows.view(np.uint8), 16), panels)
    return panels


def _padded(rows, step):
    """Return bytes (R, N), after the last ones zeros up to whole steps of rows and 64 columns."""
    n_rows, n = rows.shape
    shape = n_rows + -n_rows % step, 64 * words_for(n)
    if shape == rows.shape:
        return np.ascontiguousarray(rows)
    padded = aligned_zeros(shape, np.uint8)
    padded[:n_rows, :n] = rows
    return padded


def bytes_across(rows):
    """Return the layout of bytes whose columns (R, N) are those of the product."""
    n_rows, n = rows.shape
    n_panels, n_tiles = -(-n // PANEL), words_for(n_rows)
    panels = aligned_empty((n_panels, n_tiles, 2, 16, 16, 4), np.uint8)
    _arrange_bytes_across(_padded(rows, 64), panels)
    return panels
