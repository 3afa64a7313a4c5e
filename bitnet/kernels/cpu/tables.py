"""Products of numbers and signs by lookup: many signed sums are computed once and then found.

Of six consecutive numbers of a row there are only 64 sums ±g0 ±g1 ±g2 ±g3 ±g4 ±g5.  They are
computed once and fill two registers; then the six signs of a column are the number, from 0 to
63, of the sum that the column needs.  One instruction finds the sums for 32 columns, one adds
them: two for 192 products.

              numbers   in a group   lanes   groups in an index word
    integers  int16     6            32      2      (12 bits of 16)
    floats    float32   5            16      6      (30 bits of 32)

    index[v, w, lane] = the signs of column (v * lanes + lane), rows (w * word_rows) to
                        (w + 1) * word_rows, the first row in the lowest bit

Sums of int16 are exact as long as `6 * groups * largest <= 32767`; after that many groups
they move to int32.  Floats are added in groups of five, with less rounding than one by one.
"""

import dataclasses

import numpy as np

from bitnet.kernels.cpu.emit import routine
from bitnet.kernels.cpu.jit import jit

VECTORS = 4  # registers of columns in a tile; the index has a multiple of them
TILE_ROWS = 4
ROWS = 32  # of the result that share one sweep over a part of the index
TABLE_BYTES = 128  # two registers


@dataclasses.dataclass(frozen=True)
class Kind:
    """The numbers of a table product, and how many fit where."""

    number: str  # of the table, in LLVM
    total: str  # of the sums
    index: str
    lanes: int
    group: int
    groups: int  # in an index word
    lookup: str  # the instruction

    @property
    def word_rows(self):
        """The contracted elements that one index word stands for."""
        return self.group * self.groups


INTEGER_BLOCK, FLOAT_BLOCK = 24, 8  # index words whose tables, for four rows, stay in the cache
MACS_PER_NS = {"integers": 350, "floats": 130}  # one thread, about
INTEGERS = Kind("i16", "i32", "i16", 32, 6, 2, "llvm.x86.avx512.vpermi2var.hi.512")
FLOATS = Kind("float", "float", "i32", 16, 5, 6, "llvm.x86.avx512.vpermi2var.ps.512")


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


def _lookup_routine(kind, rows):
    """Add to the sums of a few rows, for all columns, what their tables hold for each index."""
    register, indices = f"<{kind.lanes} x {kind.number}>", f"<{kind.lanes} x {kind.index}>"
    pieces = kind.lanes // 16  # registers of sums for one of numbers

    def look_up(e, tables, table_stride, index, index_stride, n_vectors, n_words, sums, stride):
        def columns(tile, _):
            first = index + tile * VECTORS * index_stride

            def word(w, found):
                index = [
                    e.load(indices, first + index_stride * v + (w << 6)) for v in range(VECTORS)
                ]
                for group in range(kind.groups):
                    at = tables + (w * kind.groups + group) * TABLE_BYTES
                    for r in range(rows):
                        low = e.load(register, at + table_stride * r)
                        high = e.load(register, at + table_stride * r + 64)
                        for v in range(VECTORS):
                            sums = e.call(kind.lookup, register, low, index[v], high)
                            found[r * VECTORS + v] = found[r * VECTORS + v] + sums
                    index = [i >> kind.group for i in index]
                return found

            start = [e.constant(register, 0)] * (rows * VECTORS)
            for i, found in enumerate(e.repeat(n_words, start, word)):
                row, v = divmod(i, VECTORS)
                at = sums + stride * row + (tile * VECTORS + v) * (4 * kind.lanes)
                for piece in range(pieces):
                    more = found
                    if pieces > 1:
                        more = e.part(found, range(16 * piece, 16 * piece + 16))
                        more = more.to(f"<16 x {kind.total}>")
                    total = e.load(f"<16 x {kind.total}>", at + 64 * piece)
                    e.store(total + more, at + 64 * piece)
            return []

        e.repeat(n_vectors.divided_by(VECTORS), [], columns)

    return routine(look_up)


def _index_routine(kind):
    """Index words of all columns from `word_rows` rows of packed signs that follow each other."""
    indices = f"<{kind.lanes} x {kind.index}>"

    def build(e, words, stride, n_vectors, index, index_stride):
        def vector(v, _):
            bits = e.constant(indices, 0)
            for r in range(kind.word_rows):
                at = words + stride * r + v * (kind.lanes // 8)
                ones = e.load(f"i{kind.lanes}", at).bits_as(f"<{kind.lanes} x i1>")
                bits = bits | ones.chosen(e.constant(indices, 1 << r), e.constant(indices, 0))
            e.store(bits, index + v * index_stride)
            return []

        e.repeat(n_vectors, [], vector)

    return routine(build)


_fill_integers, _fill_floats = _table_routine(INTEGERS), _table_routine(FLOATS)
_look_up_integers_4, _look_up_floats_4 = _lookup_routine(INTEGERS, 4), _lookup_routine(FLOATS, 4)
_look_up_integers_1, _look_up_floats_1 = _lookup_routine(INTEGERS, 1), _lookup_routine(FLOATS, 1)
_index_integers, _index_floats = _index_routine(INTEGERS), _index_routine(FLOATS)


@jit
def _index_of_columns_integers(words, last_rows, n_vectors, index):
    """The index of columns of signs; words (M, K), last_rows: the last ones, filled up (12, K)."""
    step = 12 * words.strides[0]
    for w in range(index.shape[1]):
        whole = 12 * (w + 1) <= words.shape[0]
        at = words.ctypes.data + w * step if whole else last_rows.ctypes.data
        to = index.ctypes.data + w * 64
        _index_integers(at, words.strides[0], n_vectors, to, index.strides[0])


@jit
def _index_of_columns_floats(words, last_rows, n_vectors, index):
    """As `_index_of_columns_integers`, for groups of 30 rows."""
    step = 30 * words.strides[0]
    for w in range(index.shape[1]):
        whole = 30 * (w + 1) <= words.shape[0]
        at = words.ctypes.data + w * step if whole else last_rows.ctypes.data
        to = index.ctypes.data + w * 64
        _index_floats(at, words.strides[0], n_vectors, to, index.strides[0])


@jit
def _index_of_rows(words, n, index):
    """The index whose columns are rows of packed signs (M, K), 12 of their n bits a word."""
    for j in range(words.shape[0]):
        for w in range(index.shape[1]):
            first = 12 * w
            bits = words[j, first // 64] >> np.uint64(first % 64)
            if first % 64 > 52 and first // 64 + 1 < words.shape[1]:
                bits |= words[j, first // 64 + 1] << np.uint64(64 - first % 64)
            index[j // 32, w, j % 32] = bits & np.uint64(0xFFF)


@jit
def _multiply_integers(numbers, index, block, scale, factor, offset, as_floats, y):
    """y = signs looked up, times the numbers (R, C) int16; y (R, N) int32, or floats' bits.

    Integers: factor * sum + offset[column].  Floats: sum * scale[row].
    """
    n_rows, n = y.shape
    n_vectors, n_words = index.shape[0], index.shape[1]
    padded = np.zeros((TILE_ROWS, 12 * block), np.int16)
    tables = np.empty((TILE_ROWS, 2 * block, 64), np.int16)
    sums = np.empty((ROWS, 32 * n_vectors), np.int32)
    y_floats = y.view(np.float32)
    for start in range(0, n_rows, ROWS):
        stop = min(n_rows, start + ROWS)
        for i in range(stop - start):
            for j in range(sums.shape[1]):
                sums[i, j] = 0
        for w in range(0, n_words, block):
            words = min(block, n_words - w)
            at = index.ctypes.data + 64 * w
            i = start
            while i < stop:
                rows = TILE_ROWS if i + TILE_ROWS <= stop else 1
                for r in range(rows):
                    there = min(12 * words, numbers.shape[1] - 12 * w)
                    for c in range(there):
                        padded[r, c] = numbers[i + r, 12 * w + c]
                    for c in range(there, padded.shape[1]):
                        padded[r, c] = 0
                    _fill_integers(padded.ctypes.data + r * padded.strides[0], 2 * words,
                                   tables.ctypes.data + r * tables.strides[0])  # fmt: skip
                to = sums.ctypes.data + (i - start) * sums.strides[0]
                if rows == TILE_ROWS:
                    _look_up_integers_4(
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
                    _look_up_integers_1(
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


def column_index(words, kind):
    """The index of the columns of packed signs, words (M, K): the sums run over the M rows."""
    words, m = np.ascontiguousarray(words), words.shape[0]
    n_vectors = words.shape[1] * 64 // kind.lanes
    dtype = np.uint16 if kind is INTEGERS else np.uint32
    shape = (-(-n_vectors // VECTORS) * VECTORS, -(-m // kind.word_rows), kind.lanes)
    index = (np.empty if shape[0] == n_vectors else np.zeros)(shape, dtype)
    last = np.zeros((kind.word_rows, words.shape[1]), np.uint64)
    last[: m % kind.word_rows] = words[m - m % kind.word_rows :]
    build = _index_of_columns_integers if kind is INTEGERS else _index_of_columns_floats
    build(words, last, n_vectors, index)
    return index


def row_index(words, n):
    """The index of the rows of packed signs, words (M, K) with n signs each: sums over the n."""
    n_vectors = -(-words.shape[0] // (32 * VECTORS)) * VECTORS
    index = np.zeros((n_vectors, -(-n // 12), 32), np.uint16)
    _index_of_rows(np.ascontiguousarray(words), n, index)
    return index


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
