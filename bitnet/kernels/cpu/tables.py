"""Products of numbers and signs by lookup: many signed sums are computed once and then found.

Of six consecutive numbers of a row there are only 64 sums ±g0 ±g1 ±g2 ±g3 ±g4 ±g5.  They are
computed once and fill two registers; then the six signs of a column are the number, from 0 to
63, of the sum that the column needs.  One instruction finds the sums for 32 columns, one adds
them: two for 192 products.

              numbers   in a group   lanes   groups in an index word
    integers  int16     6            32      2      (12 bits of 16)
    floats    float32   5            16      6      (30 bits of 32)

Sums of int16 are exact as long as `6 * groups * largest <= 32767`; after that many groups
they move to int32.  Floats are added in groups of five, with less rounding than one by one.
"""

import numpy as np

from bitnet.kernels.cpu.emit import routine
from bitnet.kernels.cpu.indices import FLOATS, INTEGERS, VECTORS
from bitnet.kernels.cpu.jit import jit

TILE_ROWS = 4
ROWS = 32  # of the result that share one sweep over a part of the index
TABLE_BYTES = 128  # two registers


INTEGER_BLOCK, FLOAT_BLOCK = 24, 8  # index words whose tables, for four rows, stay in the cache
MACS_PER_NS = {"integers": 350, "floats": 130}  # one thread, about


def _table_routine(kind):
    """Fill the tables of a row: n_groups of `group` numbers to two registers of sums each."""
    register = f"<{kind.lanes} x {kind.number}>"
    size = 64 // kind.lanes  # bytes of a number

    def fill(e, numbers, n_groups, tables):
        def one(g, _):
            at = numbers + g * (kind.group * size)
            each = [
                e.splat(register, e.load(kind.number, at + size * i)) for i in range(kind.group)
            ]
            sums = e.constant(register, 0)
            for i, number in enumerate(each[:-1]):
                sums = sums + number * [1 if lane >> i & 1 else -1 for lane in range(kind.lanes)]
            e.store(sums - each[-1], tables + (g << 7))
            e.store(sums + each[-1], tables + (g << 7) + 64)
            return []

        e.repeat(n_groups, [], one)

    return routine(fill)


def _found(e, kind, rows, tables, table_stride, index, index_stride, n_words):
    """The sums over n_words of index words, for a few rows and VECTORS registers of columns."""
    register, indices = f"<{kind.lanes} x {kind.number}>", f"<{kind.lanes} x {kind.index}>"

    def word(w, found):
        which = [e.load(indices, index + index_stride * v + (w << 6)) for v in range(VECTORS)]
        for group in range(kind.groups):
            at = tables + (w * kind.groups + group) * TABLE_BYTES
            for r in range(rows):
                low = e.load(register, at + table_stride * r)
                high = e.load(register, at + table_stride * r + 64)
                for v in range(VECTORS):
                    sums = e.call(kind.lookup, register, low, which[v], high)
                    found[r * VECTORS + v] = found[r * VECTORS + v] + sums
            which = [i >> kind.group for i in which]
        return found

    return e.repeat(n_words, [e.constant(register, 0)] * (rows * VECTORS), word)


def _lookup_routine(kind, rows):
    """Add to the sums of a few rows, for all columns, what their tables hold for each index."""
    total = f"<16 x {kind.total}>"

    def look_up(e, tables, table_stride, index, index_stride, n_vectors, n_words, sums, stride):
        def columns(tile, _):
            first = index + tile * VECTORS * index_stride
            found = _found(e, kind, rows, tables, table_stride, first, index_stride, n_words)
            for i, more in enumerate(found):
                row, v = divmod(i, VECTORS)
                at = sums + stride * row + (tile * VECTORS + v) * (4 * kind.lanes)
                for piece in range(kind.lanes // 16):
                    sixteen = _sixteen(e, more, piece) if kind is INTEGERS else more
                    e.store(e.load(total, at + 64 * piece) + sixteen, at + 64 * piece)
            return []

        e.repeat(n_vectors.divided_by(VECTORS), [], columns)

    return routine(look_up)


def _sixteen(e, sums, piece):
    """The first or the second half of 32 sums of int16, in int32."""
    return e.part(sums, range(16 * piece, 16 * piece + 16)).to("<16 x i32>")


def _one_block_routine(rows):
    """As `_lookup_routine`, for integers whose sums fit int16 to the end: floats, with a scale."""

    def look_up(
        e, tables, table_stride, index, index_stride, n_vectors, n_words, scales, y, stride
    ):
        scale = [e.splat("<16 x float>", e.load("float", scales + 4 * r)) for r in range(rows)]

        def columns(tile, _):
            first = index + tile * VECTORS * index_stride
            found = _found(e, INTEGERS, rows, tables, table_stride, first, index_stride, n_words)
            for i, sums in enumerate(found):
                row, v = divmod(i, VECTORS)
                at = y + stride * row + (tile * VECTORS + v) * 128
                for piece in range(2):
                    floats = _sixteen(e, sums, piece).to("<16 x float>")
                    e.store(floats * scale[row], at + 64 * piece)
            return []

        e.repeat(n_vectors.divided_by(VECTORS), [], columns)

    return routine(look_up)


_fill_integers, _fill_floats = _table_routine(INTEGERS), _table_routine(FLOATS)
_look_up_integers_4, _look_up_floats_4 = _lookup_routine(INTEGERS, 4), _lookup_routine(FLOATS, 4)
_look_up_integers_1, _look_up_floats_1 = _lookup_routine(INTEGERS, 1), _lookup_routine(FLOATS, 1)
_one_block_4, _one_block_1 = _one_block_routine(4), _one_block_routine(1)


@jit
def _fill_rows(numbers, first, rows, word, n_words, padded, tables):
    """The tables of a few rows, from the numbers that n_words of index words stand for."""
    there = min(12 * n_words, numbers.shape[1] - 12 * word)
    for r in range(rows):
        for c in range(there):
            padded[r, c] = numbers[first + r, 12 * word + c]
        for c in range(there, padded.shape[1]):
            padded[r, c] = 0
        at, to = padded.ctypes.data + r * padded.strides[0], tables.ctypes.data
        _fill_integers(at, 2 * n_words, to + r * tables.strides[0])


@jit
def _multiply_integers(numbers, index, block, scale, factor, offset, as_floats, y):
    """y = signs looked up, times the numbers (R, C) int16; y (R, N) int32, or floats' bits.

    Integers: factor * sum + offset[column].  Floats: sum * scale[row].
    """
    n_rows, n = y.shape
    n_vectors, n_words, step = index.shape[0], index.shape[1], index.strides[0]
    padded = np.empty((TILE_ROWS, 12 * block), np.int16)
    tables = np.empty((TILE_ROWS, 2 * block, 64), np.int16)
    table, table_step = tables.ctypes.data, tables.strides[0]
    if as_floats and n_words <= block and n == 32 * n_vectors:
        i = 0
        while i < n_rows:
            rows = TILE_ROWS if i + TILE_ROWS <= n_rows else 1
            _fill_rows(numbers, i, rows, 0, n_words, padded, tables)
            scales, to = scale.ctypes.data + 4 * i, y.ctypes.data + i * y.strides[0]
            if rows == TILE_ROWS:
                _one_block_4(table, table_step, index.ctypes.data, step, n_vectors, n_words,
                             scales, to, y.strides[0])  # fmt: skip
            else:
                _one_block_1(table, table_step, index.ctypes.data, step, n_vectors, n_words,
                             scales, to, y.strides[0])  # fmt: skip
            i += rows
        return
    sums = np.empty((ROWS, 32 * n_vectors), np.int32)
    y_floats = y.view(np.float32)
    for start in range(0, n_rows, ROWS):
        stop = min(n_rows, start + ROWS)
        for i in range(stop - start):
            for j in range(sums.shape[1]):
                sums[i, j] = 0
        for w in range(0, n_words, block):
            words, at = min(block, n_words - w), index.ctypes.data + 64 * w
            i = start
            while i < stop:
                rows = TILE_ROWS if i + TILE_ROWS <= stop else 1
                _fill_rows(numbers, i, rows, w, words, padded, tables)
                to = sums.ctypes.data + (i - start) * sums.strides[0]
                if rows == TILE_ROWS:
                    _look_up_integers_4(table, table_step, at, step, n_vectors, words, to,
                                        sums.strides[0])  # fmt: skip
                else:
                    _look_up_integers_1(table, table_step, at, step, n_vectors, words, to,
                                        sums.strides[0])  # fmt: skip
                i += rows
        for i in range(start, stop):
            if as_floats:
                for j in range(n):
                    y_floats[i, j] = np.float32(sums[i - start, j]) * scale[i]
            else:
                for j in range(n):
                    y[i, j] = factor * sums[i - start, j] + offset[j]


@jit
def _multiply_floats(numbers, row_step, column_step, first_row, n_contracted, index, y):
    """y = signs looked up, times floats; y (R, N).

    The number in row r and column c is `numbers[r * row_step + c * column_step]`.
    """
    n_rows, n = y.shape
    n_vectors, n_words = index.shape[0], index.shape[1]
    padded = np.zeros((TILE_ROWS, 30 * FLOAT_BLOCK), np.float32)
    tables = np.empty((TILE_ROWS, 6 * FLOAT_BLOCK, 32), np.float32)
    sums = np.empty((ROWS, 16 * n_vectors), np.float32)
    for start in range(0, n_rows, ROWS):
        stop = min(n_rows, start + ROWS)
        for i in range(stop - start):
            for j in range(sums.shape[1]):
                sums[i, j] = 0
        for w in range(0, n_words, FLOAT_BLOCK):
            words = min(FLOAT_BLOCK, n_words - w)
            at = index.ctypes.data + 64 * w
            i = start
            while i < stop:
                rows = TILE_ROWS if i + TILE_ROWS <= stop else 1
                there = min(30 * words, n_contracted - 30 * w)
                from_row = (first_row + i) * row_step + 30 * w * column_step
                for c in range(there):
                    for r in range(rows):
                        padded[r, c] = numbers[from_row + r * row_step + c * column_step]
                for r in range(rows):
                    for c in range(there, padded.shape[1]):
                        padded[r, c] = 0
                    _fill_floats(padded.ctypes.data + r * padded.strides[0], 6 * words,
                                 tables.ctypes.data + r * tables.strides[0])  # fmt: skip
                to = sums.ctypes.data + (i - start) * sums.strides[0]
                if rows == TILE_ROWS:
                    _look_up_floats_4(
                        tables.ctypes.data,
                        tables.strides[0],
                        at,
                        index.strides[0],
                        n_vectors,
                        words,
                        to,
                        sums.strides[0],
                    )
                else:
                    _look_up_floats_1(
                        tables.ctypes.data,
                        tables.strides[0],
                        at,
                        index.strides[0],
                        n_vectors,
                        words,
                        to,
                        sums.strides[0],
                    )
                i += rows
        for i in range(start, stop):
            for j in range(n):
                y[i, j] = sums[i - start, j]


def largest_number():
    """The largest absolute value that integers of a table product may have."""
    return 32767 // 12


def integer_rows(numbers, index, n, largest, offset=0, factor=1, scales=None):
    """The rows of `factor * (numbers @ signs) + offset`, or of `(numbers @ signs) * scale`.

    numbers (R, C) int16 of at most `largest`; signs (C, n) by their index; offset (n,) int32;
    scales (R,) float32.  Returns a function that writes the rows from start to stop into y,
    which is int32, or float32 with scales.
    """
    block = min(INTEGER_BLOCK, 32767 // (12 * max(1, largest)))
    offsets = np.zeros(n, np.int32) + np.int32(offset)
    as_floats = scales is not None
    scales = scales if as_floats else np.zeros(len(numbers), np.float32)

    def rows(start, stop, y):
        part = numbers[start:stop], index, block, scales[start:stop], factor
        _multiply_integers(*part, offsets, as_floats, y.view(np.int32))

    return rows


def float_rows(x, index):
    """The rows of x @ signs for float32 x (R, C), which may be a transposed contiguous array."""
    x = x if x.flags.c_contiguous or x.T.flags.c_contiguous else np.ascontiguousarray(x)
    flat = (x if x.flags.c_contiguous else x.T).reshape(-1)
    steps = (x.shape[1], 1) if x.flags.c_contiguous else (1, x.shape[0])

    def rows(start, stop, y):
        _multiply_floats(flat, *steps, start, x.shape[1], index, y)

    return rows
