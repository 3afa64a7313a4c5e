"""Products of numbers and signs by lookup in tables of signed sums.

Six consecutive numbers of a row have only 64 signed sums ±g0 ±g1 ±g2 ±g3 ±g4 ±g5.  They are
computed once and fill two registers.  The six signs of a column are then the index, from 0 to 63,
of the sum that the column needs.  One instruction looks up the sums for 32 columns, and one adds
them: two instructions for 192 products.

              numbers   in a group   lanes   groups in an index word
    integers  int16     6            32      2      (12 bits of 16)
    floats    float32   5            16      6      (30 bits of 32)

Sums of int16 are exact while `6 * groups * largest <= 32767`; after that many groups they are
added to int32.  Floats are added in groups of five, which rounds less than one by one.

The signs of the groups are the index:

    index[v, w, lane] = the signs of column (v * lanes + lane), rows (w * word_rows) to
                        (w + 1) * word_rows, the first row in the lowest bit

"Columns" are those of the ±1 factor of a product, and the sums run over its rows.  The index is
built from packed rows without transposing bits, or, for weights that are summed over their packed
axis, from 12-bit pieces of each row.
"""

import dataclasses

import numpy as np

from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.memory import aligned_empty, aligned_zeros
from bitnet.kernels.threads import shared

TILE = 4  # rows of numbers that share each load of the index
ROWS = 32  # rows that share one pass over a part of the index
TABLE_BYTES = 128  # two registers
INTEGER_BLOCK, FLOAT_BLOCK = 24, 8  # index words whose tables for four rows stay in the cache
VECTORS = 4  # the index is padded with zero columns to a multiple of these registers
MACS_PER_NS = {"integers": 350, "floats": 130}  # approximate, one thread
INDICES_PER_NS = 3.0  # entries of an index, approximate, one thread


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type of numbers in a table product, and its sizes."""

    number: str  # LLVM type of the table
    total: str  # LLVM type of the sums
    index: str
    lanes: int
    group: int
    groups: int  # per index word
    lookup: str  # LLVM name of the lookup instruction

    @property
    def word_rows(self):
        """The number of contracted elements of one index word."""
        return self.group * self.groups


INTEGERS = Kind("i16", "i32", "i16", 32, 6, 2, "llvm.x86.avx512.vpermi2var.hi.512")
FLOATS = Kind("float", "float", "i32", 16, 5, 6, "llvm.x86.avx512.vpermi2var.ps.512")


def _index_routine(kind):
    """Make a routine that computes the index words of all columns from rows of signs."""
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


def _fill_routine(kind):
    """Make a routine that fills two registers of sums per group of numbers, for four rows."""
    register = f"<{kind.lanes} x {kind.number}>"
    size = 64 // kind.lanes  # bytes per number
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
                e.store(sums - last, to)  # entries whose highest index bit is 0
                e.store(sums + last, to + 64)
            return []

        e.repeat(n_groups, [], one)

    return routine(fill)


def _found(e, kind, tables, table_stride, index, index_stride, n_words, n_groups):
    """Sum over n_words of the index, for four rows and VECTORS registers of columns."""
    register, indices = f"<{kind.lanes} x {kind.number}>", f"<{kind.lanes} x {kind.index}>"

    def word(w, found):
        which = [e.load(indices, index + index_stride * v + (w << 6)) for v in range(VECTORS)]

        def group(g, values):  # a loop: LLVM would keep the sums of all unrolled groups at once
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
    """Widen 32 int16 sums to two registers of int32; return 16 floats unchanged."""
    if sums.ir.type.count == 16:
        return [sums]
    halves = (e.part(sums, range(first, first + 16)) for first in (0, 16))
    return [half.to("<16 x i32>") for half in halves]


def _sweep(e, kind, tables, table_stride, index, index_stride, n_vectors, n_words, n_groups, use):
    """Look up the sums of four rows for all columns and pass 16 at a time to `use`."""

    def columns(tile, _):
        first = index + tile * VECTORS * index_stride
        found = _found(e, kind, tables, table_stride, first, index_stride, n_words, n_groups)
        for row in range(TILE):
            offset = tile * (VECTORS * kind.lanes * 4)
            for register in found[row]:
                for sums in _sixteens(e, register):
                    use(row, sums, offset)
                    offset = offset + 64
        return []

    e.repeat(n_vectors.divided_by(VECTORS), [], columns)


def _add_routine(kind):
    """Make a routine that adds the looked-up sums for four rows and all columns."""

    def add(e, table, table_stride, index, index_stride, n_vectors, words, groups, sums, stride):
        def use(row, more, offset):
            at = sums + stride * row + offset
            e.store(e.load(f"<16 x {kind.total}>", at) + more, at)

        _sweep(e, kind, table, table_stride, index, index_stride, n_vectors, words, groups, use)

    return routine(add)


@routine
def _one_block(
    e, table, table_stride, index, index_stride, n_vectors, words, groups, scales, y, stride
):
    """Store float(sums) * scale per row, like `_add_routine`, for sums that fit int16."""
    scale = [e.splat("<16 x float>", e.load("float", scales + 4 * row)) for row in range(TILE)]

    def use(row, sums, offset):
        e.store(sums.to("<16 x float>") * scale[row], y + stride * row + offset)

    _sweep(e, INTEGERS, table, table_stride, index, index_stride, n_vectors, words, groups, use)


@routine
def _scale_in_place(e, sums, n_sixteens, scale):
    """Convert one row of int32 sums to floats sum * scale in place."""
    factor = e.splat("<16 x float>", e.load("float", scale))

    def sixteen(i, _):
        at = sums + (i << 6)
        e.store(e.load("<16 x i32>", at).to("<16 x float>") * factor, at)
        return []

    e.repeat(n_sixteens, [], sixteen)


_fill_integers = _fill_routine(INTEGERS)


def _loops(name, kind, fill):
    """Compile the product for one type of numbers."""
    add, word_rows, n_groups = _add_routine(kind), kind.word_rows, kind.groups

    def run(numbers, index, tables, sums):
        """Write numbers @ signs to sums (R, lanes V); numbers (R, word_rows W), index (V, W, .).

        R is a multiple of four; tables (4, words, .) hold some words of four rows.
        """
        n_rows, n_words, block = len(numbers), index.shape[1], tables.shape[1]
        at, step, groups = address(tables, "float32 int16"), tables.strides[0], tables.shape[2]
        stride, index_stride, n_vectors = numbers.strides[0], index.strides[0], len(index)
        for start in range(0, n_rows, ROWS):
            for i in range(start, min(n_rows, start + ROWS)):
                for j in range(sums.shape[1]):
                    sums[i, j] = 0
            for w in range(0, n_words, block):
                words, which = min(block, n_words - w), address(index, "uint16 uint32") + 64 * w
                for i in range(start, min(n_rows, start + ROWS), TILE):
                    row = (
                        address(numbers, "float32 int16")
                        + i * stride
                        + numbers.itemsize * word_rows * w
                    )
                    fill(row, stride, n_groups * words, at, step)
                    to, width = (
                        address(sums, "float32 int32") + i * sums.strides[0],
                        sums.strides[0],
                    )
                    add(at, step, which, index_stride, n_vectors, words, groups, to, width)

    return jit(run, name)


multiply_integers = _loops("multiply_integers", INTEGERS, _fill_integers)
_multiply_floats = _loops("multiply_floats", FLOATS, _fill_routine(FLOATS))


@jit
def multiply_one_block(numbers, index, tables, scales, y):
    """Compute y = scale * numbers @ signs if one block of tables suffices; y (R, 32 V) float32."""
    at, step, groups = address(tables, "int16"), tables.strides[0], tables.shape[2]
    which, index_stride, words = address(index, "uint16"), index.strides[0], index.shape[1]
    for i in range(0, len(numbers), TILE):
        row = address(numbers, "int16") + i * numbers.strides[0]
        _fill_integers(row, numbers.strides[0], 2 * words, at, step)
        to, scale = address(y, "float32") + i * y.strides[0], address(scales, "float32") + 4 * i
        stride, n = y.strides[0], len(index)
        _one_block(at, step, which, index_stride, n, words, groups, scale, to, stride)


@jit
def scale_rows(sums, scales):
    """Convert rows of int32 sums to floats sum * scale in place; sums (R, 16 S)."""
    for i in range(len(sums)):
        row, scale = (
            address(sums, "int32") + i * sums.strides[0],
            address(scales, "float32") + 4 * i,
        )
        _scale_in_place(row, sums.shape[1] // 16, scale)


def largest_number():
    """Return the largest absolute value of integers in a table product."""
    return 32767 // 12


def scratch_tables(index, largest):
    """Return scratch memory for the tables of integers up to `largest`, for four rows."""
    block = min(INTEGER_BLOCK, 32767 // (12 * max(1, largest)), max(1, index.shape[1]))
    return aligned_empty((TILE, block, 2, 64), np.int16)


def integer_rows(numbers, index, n, largest, scales=None):
    """Return a function of (start, stop, y) for rows of numbers @ signs, with or without scales.

    numbers (R, C) int16 of at most `largest`; signs (C, n) as an index; scales (R,) float32.
    The function writes the rows from start to stop to y: int32, or float32 with scales.
    """
    padded = _padded(numbers, 12 * index.shape[1])
    padded_scales = None if scales is None else np.append(scales, np.zeros(TILE, np.float32))

    def rows(start, stop, y):
        tables = scratch_tables(index, largest)
        part = padded[start : start + -(-(stop - start) // TILE) * TILE]
        one_block = scales is not None and index.shape[1] <= tables.shape[1]
        sums = _whole(y, part, index, np.float32 if one_block else np.int32)
        if one_block:
            multiply_one_block(part, index, tables, padded_scales[start:], sums)
        else:
            multiply_integers(part, index, tables, sums)
            if scales is not None:
                scale_rows(sums, padded_scales[start:])
                sums = sums.view(np.float32)
        if sums.shape != y.shape:
            y[...] = sums[: stop - start, :n]

    return rows


def float_rows(x, index):
    """Return a function of (start, stop, y) for the rows of x @ signs, x (R, C) float32."""
    padded = _padded(x, 30 * index.shape[1])

    def rows(start, stop, y):
        tables = aligned_empty((TILE, FLOAT_BLOCK, 6, 32), np.float32)
        part = padded[start : start + -(-(stop - start) // TILE) * TILE]
        sums = _whole(y, part, index, np.float32)
        _multiply_floats(part, index, tables, sums)
        if sums.shape != y.shape:
            y[...] = sums[: stop - start, : y.shape[1]]

    return rows


def _padded(numbers, width):
    """Return a copy padded with zeros to `width` columns and by TILE rows."""
    padded = aligned_zeros((len(numbers) + TILE, width), numbers.dtype)
    padded[: len(numbers), : numbers.shape[1]] = numbers
    return padded


def _whole(y, part, index, dtype):
    """Return y in another type if it has whole tiles, otherwise a larger array."""
    shape = len(part), index.shape[0] * index.shape[2]
    return y.view(dtype) if y.shape == shape else aligned_empty(shape, dtype)


def _index_loops(name, kind):
    """Compile the index of columns for one type of numbers."""
    build, word_rows = _index_routine(kind), kind.word_rows

    def run(words, last_rows, n_vectors, first, stop, index):
        """Write index words of words (M, K); last_rows (word_rows, K) are the padded last rows."""
        row = 8 * words.shape[1]  # bytes; a single row may have any stride
        for w in range(first, stop):
            whole = word_rows * (w + 1) <= words.shape[0]
            at = (
                address(words, "uint64") + w * word_rows * row
                if whole
                else address(last_rows, "uint64")
            )
            build(at, row, n_vectors, address(index, "uint16 uint32") + w * 64, index.strides[0])

    return jit(run, name)


_index_integers = _index_loops("index_integers", INTEGERS)
_index_floats = _index_loops("index_floats", FLOATS)


@jit
def _index_of_rows(words, n, index):
    """Build the index whose columns are rows of packed signs (M, K), with 12 of n bits per word."""
    for j in range(words.shape[0]):
        for w in range(index.shape[1]):
            first = 12 * w
            bits = words[j, first // 64] >> np.uint64(first % 64)
            if first % 64 > 52 and first // 64 + 1 < words.shape[1]:
                bits |= words[j, first // 64 + 1] << np.uint64(64 - first % 64)
            index[j // 32, w, j % 32] = bits & np.uint64(0xFFF)


def column_index(words, kind):
    """Return the index of the columns of packed signs, words (M, K), for sums over the M rows."""
    words, m = np.ascontiguousarray(words), words.shape[0]
    n_vectors = words.shape[1] * 64 // kind.lanes
    dtype = np.uint16 if kind is INTEGERS else np.uint32
    shape = (-(-n_vectors // VECTORS) * VECTORS, -(-m // kind.word_rows), kind.lanes)
    index = (aligned_empty if shape[0] == n_vectors else aligned_zeros)(shape, dtype)
    last = np.zeros((kind.word_rows, words.shape[1]), np.uint64)
    last[: m % kind.word_rows] = words[m - m % kind.word_rows :]
    build = _index_integers if kind is INTEGERS else _index_floats
    work_ns = index.size / INDICES_PER_NS
    shared(lambda i, j: build(words, last, n_vectors, i, j, index), index.shape[1], 1, work_ns)
    return index


def row_index(words, n):
    """Return the index of the rows of packed signs, words (M, K), for sums over the n signs."""
    n_vectors = -(-words.shape[0] // (32 * VECTORS)) * VECTORS
    index = aligned_zeros((n_vectors, -(-n // 12), 32), np.uint16)
    _index_of_rows(np.ascontiguousarray(words), n, index)
    return index
