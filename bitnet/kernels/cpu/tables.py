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

TILE = 4  # rows of numbers that share the loads of an index
ROWS = 32  # rows that share one sweep over a part of the index
TABLE_BYTES = 128  # two registers
INTEGER_BLOCK, FLOAT_BLOCK = 24, 8  # index words whose tables, for four rows, stay in the cache
MACS_PER_NS = {"integers": 350, "floats": 130}  # one thread, about


def _fill_routine(kind):
    """The tables of four rows: n_groups of `group` numbers each to two registers of sums."""
    register = f"<{kind.lanes} x {kind.number}>"
    size = 64 // kind.lanes  # bytes of a number
    plus_minus = [
        [1 if lane >> i & 1 else -1 for lane in range(kind.lanes)] for i in range(kind.group - 1)
    ]

    def fill(e, numbers, stride, n_groups, tables, table_stride):
        def one(g, _):
            for row in range(TILE):
                at = numbers + stride * row + g * (kind.group * size)
                each = (e.load(kind.number, at + size * i) for i in range(kind.group))
                *others, last = (e.splat(register, number) for number in each)
                sums = e.constant(register, 0)
                for number, signs in zip(others, plus_minus, strict=True):
                    sums = sums + number * signs
                to = tables + table_stride * row + g * TABLE_BYTES
                e.store(sums - last, to)  # entries with the highest index bit 0
                e.store(sums + last, to + 64)
            return []

        e.repeat(n_groups, [], one)

    return routine(fill)


def _found(e, kind, tables, table_stride, index, index_stride, n_words, n_groups):
    """The sums over n_words of index words, for four rows and VECTORS registers of columns."""
    register, indices = f"<{kind.lanes} x {kind.number}>", f"<{kind.lanes} x {kind.index}>"

    def word(w, found):
        which = [e.load(indices, index + index_stride * v + (w << 6)) for v in range(VECTORS)]

        def group(g, values):  # unrolled, LLVM would keep the sums of all groups at once
            found, which = values[:-VECTORS], values[-VECTORS:]
            at = tables + (w * n_groups + g) * TABLE_BYTES
            for row in range(TILE):
                low = e.load(register, at + table_stride * row)
                high = e.load(register, at + table_stride * row + 64)
                for v in range(VECTORS):
                    sums = e.call(kind.lookup, register, low, which[v], high)
                    found[row * VECTORS + v] = found[row * VECTORS + v] + sums
            return found + [i >> kind.group for i in which]

        return e.repeat(n_groups, found + which, group)[:-VECTORS]

    found = e.repeat(n_words, [e.constant(register, 0)] * (TILE * VECTORS), word)
    return [found[row * VECTORS : (row + 1) * VECTORS] for row in range(TILE)]


def _sixteens(e, sums):
    """32 sums of int16 as two registers of int32; 16 floats as they are."""
    if sums.ir.type.count == 16:
        return [sums]
    halves = (e.part(sums, range(first, first + 16)) for first in (0, 16))
    return [half.to("<16 x i32>") for half in halves]


def _add_routine(kind):
    """Add to the sums of four rows, for all columns, what their tables hold for each index."""
    total = f"<16 x {kind.total}>"

    def add(
        e, tables, table_stride, index, index_stride, n_vectors, n_words, n_groups, sums, stride
    ):
        def columns(tile, _):
            first = index + tile * VECTORS * index_stride
            found = _found(e, kind, tables, table_stride, first, index_stride, n_words, n_groups)
            for row in range(TILE):
                at = sums + stride * row + tile * (VECTORS * kind.lanes * 4)
                for register in found[row]:
                    for more in _sixteens(e, register):
                        e.store(e.load(total, at) + more, at)
                        at = at + 64
            return []

        e.repeat(n_vectors.divided_by(VECTORS), [], columns)

    return routine(add)


@routine
def _one_block(
    e, tables, table_stride, index, index_stride, n_vectors, n_words, n_groups, scales, y, stride
):
    """As `_add_integers`, where the sums fit int16 to the end: times a scale a row, as floats."""
    scale = [e.splat("<16 x float>", e.load("float", scales + 4 * row)) for row in range(TILE)]

    def columns(tile, _):
        first = index + tile * VECTORS * index_stride
        found = _found(e, INTEGERS, tables, table_stride, first, index_stride, n_words, n_groups)
        for row in range(TILE):
            at = y + stride * row + tile * (VECTORS * 128)
            for register in found[row]:
                for sums in _sixteens(e, register):
                    e.store(sums.to("<16 x float>") * scale[row], at)
                    at = at + 64
        return []

    e.repeat(n_vectors.divided_by(VECTORS), [], columns)


@routine
def _scale_in_place(e, sums, n_sixteens, scale):
    """One row of int32 becomes the floats sum * scale, in the same place."""
    factor = e.splat("<16 x float>", e.load("float", scale))

    def sixteen(i, _):
        at = sums + (i << 6)
        e.store(e.load("<16 x i32>", at).to("<16 x float>") * factor, at)
        return []

    e.repeat(n_sixteens, [], sixteen)


_fill_integers, _fill_floats = _fill_routine(INTEGERS), _fill_routine(FLOATS)
_add_integers, _add_floats = _add_routine(INTEGERS), _add_routine(FLOATS)


@jit
def multiply_integers(numbers, index, block, tables, sums):
    """sums = numbers @ signs; numbers (R, 12 W) int16, index (V, W, 32), sums (R, 32 V) int32.

    R is a multiple of four; tables have room for `block` words of four rows.
    """
    n_rows, n_words = len(numbers), index.shape[1]
    tables_at, step = tables.ctypes.data, tables.strides[0]
    for start in range(0, n_rows, ROWS):
        for i in range(start, min(n_rows, start + ROWS)):
            for j in range(sums.shape[1]):
                sums[i, j] = 0
        for w in range(0, n_words, block):
            words, at = min(block, n_words - w), index.ctypes.data + 64 * w
            for i in range(start, min(n_rows, start + ROWS), TILE):
                row = numbers.ctypes.data + i * numbers.strides[0] + 24 * w
                _fill_integers(row, numbers.strides[0], 2 * words, tables_at, step)
                to = sums.ctypes.data + i * sums.strides[0]
                _add_integers(tables_at, step, at, index.strides[0], len(index), words,
                              tables.shape[2], to, sums.strides[0])  # fmt: skip


@jit
def multiply_one_block(numbers, index, tables, scales, y):
    """y = scale * numbers @ signs, where one block of tables holds all; y (R, 32 V) float32."""
    tables_at, step = tables.ctypes.data, tables.strides[0]
    for i in range(0, len(numbers), TILE):
        row = numbers.ctypes.data + i * numbers.strides[0]
        _fill_integers(row, numbers.strides[0], 2 * index.shape[1], tables_at, step)
        to, scale = y.ctypes.data + i * y.strides[0], scales.ctypes.data + 4 * i
        _one_block(tables_at, step, index.ctypes.data, index.strides[0], len(index),
                   index.shape[1], tables.shape[2], scale, to, y.strides[0])  # fmt: skip


@jit
def _multiply_floats(numbers, index, tables, sums):
    """sums = numbers @ signs; numbers (R, 30 W) float32, index (V, W, 16), sums (R, 16 V)."""
    n_rows, n_words = len(numbers), index.shape[1]
    tables_at, step = tables.ctypes.data, tables.strides[0]
    for start in range(0, n_rows, ROWS):
        for i in range(start, min(n_rows, start + ROWS)):
            for j in range(sums.shape[1]):
                sums[i, j] = 0
        for w in range(0, n_words, FLOAT_BLOCK):
            words, at = min(FLOAT_BLOCK, n_words - w), index.ctypes.data + 64 * w
            for i in range(start, min(n_rows, start + ROWS), TILE):
                row = numbers.ctypes.data + i * numbers.strides[0] + 120 * w
                _fill_floats(row, numbers.strides[0], 6 * words, tables_at, step)
                to = sums.ctypes.data + i * sums.strides[0]
                _add_floats(tables_at, step, at, index.strides[0], len(index), words,
                            tables.shape[2], to, sums.strides[0])  # fmt: skip


@jit
def scale_rows(sums, scales):
    """Rows of int32 become the floats sum * scale, in place; sums (R, 16 S)."""
    for i in range(len(sums)):
        row, scale = sums.ctypes.data + i * sums.strides[0], scales.ctypes.data + 4 * i
        _scale_in_place(row, sums.shape[1] // 16, scale)


def largest_number():
    """The largest absolute value that integers of a table product may have."""
    return 32767 // 12


def integer_rows(numbers, index, n, largest, scales=None):
    """The rows of numbers @ signs, or of (numbers @ signs) * scale, as a function.

    numbers (R, C) int16 of at most `largest`; signs (C, n) by their index; scales (R,) float32.
    The function writes the rows from start to stop into y: int32, or float32 with scales.
    """
    block = min(INTEGER_BLOCK, 32767 // (12 * max(1, largest)), max(1, index.shape[1]))
    padded = _padded(numbers, 12 * index.shape[1])
    padded_scales = None if scales is None else np.append(scales, np.zeros(TILE, np.float32))

    def rows(start, stop, y):
        tables = np.empty((TILE, block, 2, 64), np.int16)
        part = padded[start : start + -(-(stop - start) // TILE) * TILE]
        one_block = scales is not None and index.shape[1] <= block
        sums = _whole(y, part, index, np.float32 if one_block else np.int32)
        if one_block:
            multiply_one_block(part, index, tables, padded_scales[start:], sums)
        else:
            multiply_integers(part, index, block, tables, sums)
            if scales is not None:
                scale_rows(sums, padded_scales[start:])
                sums = sums.view(np.float32)
        if sums.shape != y.shape:
            y[...] = sums[: stop - start, :n]

    return rows


def float_rows(x, index):
    """The rows of x @ signs for float32 x (R, C), as a function of (start, stop, y)."""
    padded = _padded(x, 30 * index.shape[1])

    def rows(start, stop, y):
        tables = np.empty((TILE, FLOAT_BLOCK, 6, 32), np.float32)
        part = padded[start : start + -(-(stop - start) // TILE) * TILE]
        sums = _whole(y, part, index, np.float32)
        _multiply_floats(part, index, tables, sums)
        if sums.shape != y.shape:
            y[...] = sums[: stop - start, : y.shape[1]]

    return rows


def _padded(numbers, width):
    """A copy with zeros up to `width` columns, and TILE rows of zeros behind the last."""
    padded = np.zeros((len(numbers) + TILE, width), numbers.dtype)
    padded[: len(numbers), : numbers.shape[1]] = numbers
    return padded


def _whole(y, part, index, dtype):
    """y itself, in another type, where tiles fill it up; otherwise an array that they fill."""
    shape = len(part), index.shape[0] * index.shape[2]
    return y.view(dtype) if y.shape == shape else np.empty(shape, dtype)
