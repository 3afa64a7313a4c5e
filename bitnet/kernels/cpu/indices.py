"""Packed signs as indices of tables: the signs of several rows of a column in one small number.

    index[v, w, lane] = the signs of column (v * lanes + lane), rows (w * word_rows) to
                        (w + 1) * word_rows, the first row in the lowest bit

"Columns" are those of the ±1 factor of a product, and the sums run over its rows.  The index is
built from packed rows as they are, without a transpose of bits, or, for weights whose packed
axis is summed over, from pieces of 12 bits of each row.
"""

import dataclasses

import numpy as np

from bitnet.kernels.cpu.emit import routine
from bitnet.kernels.cpu.jit import jit

VECTORS = 4  # the index has a multiple of these registers of columns, with zeros behind the last


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


INTEGERS = Kind("i16", "i32", "i16", 32, 6, 2, "llvm.x86.avx512.vpermi2var.hi.512")
FLOATS = Kind("float", "float", "i32", 16, 5, 6, "llvm.x86.avx512.vpermi2var.ps.512")


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


_index_integers, _index_floats = _index_routine(INTEGERS), _index_routine(FLOATS)


@jit
def _index_of_columns_integers(words, last_rows, n_vectors, index):
    """The index of columns of signs; words (M, K), last_rows: the last ones, filled up (12, K)."""
    row = 8 * words.shape[1]  # bytes; the strides of a single row may be anything
    for w in range(index.shape[1]):
        whole = 12 * (w + 1) <= words.shape[0]
        at = words.ctypes.data + w * 12 * row if whole else last_rows.ctypes.data
        to = index.ctypes.data + w * 64
        _index_integers(at, row, n_vectors, to, index.strides[0])


@jit
def _index_of_columns_floats(words, last_rows, n_vectors, index):
    """As `_index_of_columns_integers`, for groups of 30 rows."""
    row = 8 * words.shape[1]
    for w in range(index.shape[1]):
        whole = 30 * (w + 1) <= words.shape[0]
        at = words.ctypes.data + w * 30 * row if whole else last_rows.ctypes.data
        to = index.ctypes.data + w * 64
        _index_floats(at, row, n_vectors, to, index.strides[0])


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
