"""Products of signs on a GPU: four kernels (rungs), each faster than the one before.

    naive       one thread per output, the simplest form
    tiled       a block keeps a square of both operands in shared memory
    registers   a thread keeps 32 outputs in registers
    tensor      a warp multiplies 16 x 8 x 256 bits in one instruction, see `tensor`

The last two also multiply patches of images and operands with several planes, and can compare the
results with thresholds and store bits.  They count the bits that both operands have in common, by
AND, which is what tensor cores count.  For planes A_p of x and B_q of w, one bit each,

    z[i, j] = 4 sum_pq c_p d_q popcount(A_p[i] & B_q[j]) + r[i] + s[class of i, j]

where r and s contain the terms of only one operand: for signs, s - r = n - 2 popcounts of each.
In both operands 0 is used for missing elements, so that tails and borders add nothing.

Images are read in place, in pieces of 16 bytes.  A row of x begins at `places[i % area]` in image
`i // area`, and its pieces are at the offsets `taps` from there.  A matrix is a batch of images
with one pixel.  The kernels count in halves, which are 32 bits of a word.

    taps     (T 4)     offset in halves, row of the tap, column of the tap, 0
    places   (A 4)     offset in halves, first row and column of the window, class
    shape    a `Shape`
"""

from typing import NamedTuple

import numpy as np
from numba import cuda

from bitnet.kernels.cuda.instructions import HALVES, element, folder
from bitnet.kernels.cuda.launch import ALL, MOST, inlined

SIDE = 16  # of a square of outputs, and halves per step, on the rung `tiled`
SQUARE = SIDE, SIDE + 1  # padded, so that no two lanes read from one bank
FAR = np.int32(-(1 << 29))  # a row outside any image


class Shape(NamedTuple):
    """The sizes of a product; sizes of images, planes and rows of w are in halves."""

    rows: int
    columns: int
    pieces: int  # T, per row of w
    area: int  # A, outputs per image
    image: int
    height: int
    width: int
    x_plane: int
    w_plane: int
    w_planes: int  # number of planes


class Patch(NamedTuple):
    """The outputs per thread on the rung `registers`, down and 32 apart, and the warps per block.

    A warp has an even number of rows.  The columns of a block fill whole words: `wide` is even.
    """

    high: int
    wide: int
    warps: int


@inlined
def divided(i, area):
    """Return quotient and remainder in 32 bits, as a GPU divides 64-bit numbers slowly."""
    i, area = np.uint32(i), np.uint32(area)
    return np.int64(i // area), np.int64(i % area)


@inlined
def row_of(i, places, shape):
    """Return the first half of row i of x, and the row and column of its window."""
    if i >= shape.rows:
        return 0, FAR, FAR
    image, place = divided(i, shape.area)
    begin = image * shape.image + element(places, 4 * place)
    return begin, element(places, 4 * place + 1), element(places, 4 * place + 2)


@inlined
def inside(row, column, shape):
    """Return whether a pixel is inside the image, as 32 bits, without a branch."""
    row_is, column_is = np.uint32(row), np.uint32(column)  # negative numbers become large
    return (row_is < np.uint32(shape.height)) & (column_is < np.uint32(shape.width))


@inlined
def addends(i, places, shape, r):
    """Return r[i], which is added to the counts of row i, and the place of its class in s."""
    if i >= shape.rows:
        return np.int32(0), np.uint32(0)
    _, place = divided(i, shape.area)
    of_class = np.uint32(element(places, 4 * place + 3))
    return element(r, i), np.uint32(of_class * np.uint32(shape.columns))


@inlined
def integer(count, own, s, group, column, shape):
    """Return z of a count; it fits int32, and overflows of parts of it cancel."""
    at = np.uint32(group + min(np.uint32(column), np.uint32(shape.columns - 1)))
    return np.int32(4 * count + own + element(s, np.int64(at)))


@inlined
def limit_of(column, shape, values, increasing):
    """Return (t, 0) for a threshold z >= t of a column, and (~t, -1) for z <= t, as ~z >= ~t.

    After the last column, return a threshold that no number reaches.
    """
    there = column < shape.columns
    at = np.uint32(column) if there else np.uint32(0)
    turned = np.int32(0) if increasing[at] else np.int32(-1)
    limit = np.int32(values[at] ^ turned)
    return (limit if there else np.int32(0x7FFFFFFF)), (turned if there else np.int32(0))


@inlined
def nothing(counts, i, j, limits, turned, places, shape, r, s, out):
    """Do nothing: no row is left to store."""


@inlined
def corner(rows, columns):
    """Return the first row and column of this block, for blocks with `rows` and `columns`."""
    return cuda.blockIdx.x * rows, (cuda.blockIdx.y + MOST * cuda.blockIdx.z) * columns


@cuda.jit
def naive(x, w, rows, columns, halves, n, z):
    """Multiply with one thread per output, which reads a row of each operand from memory.

    Gain: 32 products in three instructions.  But neighbouring threads read distant addresses, and
    every number is read as often as it is used.
    """
    top, left = corner(SIDE, SIDE)
    i, j = top + cuda.threadIdx.y, left + cuda.threadIdx.x
    if i < rows and j < columns:
        differing = np.int32(0)
        for k in range(halves):
            differing += np.int32(cuda.popc(np.uint32(x[i * halves + k] ^ w[j * halves + k])))
        z[i * columns + j] = n - 2 * differing


@cuda.jit
def tiled(x, w, rows, columns, halves, n, z):
    """Multiply with blocks of 16 x 16 outputs, which share 16 halves of their rows and columns.

    Gain: each half is read from memory once for 16 outputs, in whole lines.  The limit is now the
    shared memory, with two reads per count.
    """
    mine = cuda.shared.array(SQUARE, np.uint32)
    other = cuda.shared.array(SQUARE, np.uint32)
    right, down, (top, left) = cuda.threadIdx.x, cuda.threadIdx.y, corner(SIDE, SIDE)
    i, j = top + down, left + right
    differing, column = np.int32(0), left + down  # of w, while it is copied
    for first in range(0, halves, SIDE):
        k = first + right
        mine[down, right] = x[i * halves + k] if i < rows and k < halves else np.uint32(0)
        other[down, right] = w[column * halves + k] if column < columns and k < halves else 0
        cuda.syncthreads()
        for k in range(SIDE):
            differing += np.int32(cuda.popc(np.uint32(mine[down, k] ^ other[right, k])))
        cuda.syncthreads()
    if i < rows and j < columns:
        z[i * columns + j] = n - 2 * differing


def _stores_of_registers(patch, part, bits):
    """Make a function that stores the rows of a warp from `part` on, from the counts."""
    high, wide, _ = patch
    if part == high:
        return nothing
    following = _stores_of_registers(patch, part + 1, bits)

    @inlined
    def integers(counts, i, j, limits, turned, places, shape, r, s, out):
        (own, group), pitch = addends(i, places, shape, r), shape.columns + shape.columns % 2
        if i < shape.rows:
            for k in range(wide):
                column = j + 32 * k
                if column < shape.columns:
                    count = counts[wide * part + k]
                    out[i * pitch + column] = integer(count, own, s, group, column, shape)
        following(counts, i + 1, j, limits, turned, places, shape, r, s, out)

    @inlined
    def signs(counts, i, j, limits, turned, places, shape, r, s, out):
        (own, group), halves = addends(i, places, shape, r), (shape.columns + 63) // 64 * 2
        for k in range(wide):
            z = integer(counts[wide * part + k], own, s, group, j + 32 * k, shape)
            word = cuda.ballot_sync(ALL, (z ^ turned[k]) >= limits[k])
            at = j // 32 + k
            if i < shape.rows and cuda.threadIdx.x % 32 == 0 and at < halves:
                out[i * halves + at] = word
        following(counts, i + 1, j, limits, turned, places, shape, r, s, out)

    return signs if bits else integers


def _registers(patch, bits):
    """Make the kernel of the rung `registers`: a thread has 8 x 4 of a block's 64 x 128 outputs.

    Gain: 12 reads of shared memory serve 32 counts, and the limit is now the popcounts, 16 per
    clock and multiprocessor.  The lanes of a warp are 32 neighbouring columns, so that a ballot
    packs the results of the thresholds.
    """
    high, wide, warps = patch
    rows, columns, n_counts = high * warps, 32 * wide, high * wide
    apart, pitch = 32 * warps // HALVES, columns + 1  # rows that the block copies at once; padded
    own_rows, own_columns = rows // apart, columns // apart
    size_of_rows, size_of_columns = rows * HALVES, HALVES * pitch
    store, fold = _stores_of_registers(patch, 0, bits), folder(n_counts)

    @cuda.jit
    def product(x, w, taps, places, shape, coefficients, r, s, values, increasing, out):
        mine = cuda.shared.array(size_of_rows, np.uint32)  # (row, half)
        other = cuda.shared.array(size_of_columns, np.uint32)  # (half, column), padded
        counts = cuda.local.array(n_counts, np.int32)
        totals = cuda.local.array(n_counts, np.int32)
        others = cuda.local.array(wide, np.uint32)
        limits = cuda.local.array(wide, np.int32)
        turned = cuda.local.array(wide, np.int32)
        begins = cuda.local.array(own_rows, np.int64)
        tops = cuda.local.array(own_rows, np.int32)
        lefts = cuda.local.array(own_rows, np.int32)
        lane, warp = cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
        first, half = cuda.threadIdx.x // HALVES, cuda.threadIdx.x % HALVES  # to copy
        first_row, first_column = corner(rows, columns)
        for k in range(own_rows):
            begins[k], tops[k], lefts[k] = row_of(first_row + first + apart * k, places, shape)
        for k in range(n_counts):
            counts[k] = 0
            totals[k] = 0
        for pair in range(coefficients.size):
            p, q = divided(pair, shape.w_planes)
            x_plane, w_plane = p * shape.x_plane, q * shape.w_plane
            for step in range(0, shape.pieces, HALVES // 4):
                piece = step + half // 4
                there, tap = piece < shape.pieces, 4 * min(piece, shape.pieces - 1)
                down, right = element(taps, tap + 1), element(taps, tap + 2)
                offset = x_plane + element(taps, tap) + half % 4
                w_at = w_plane + 4 * piece + half % 4
                for k in range(own_rows):
                    number = np.uint32(0)
                    if there and inside(tops[k] + down, lefts[k] + right, shape):
                        number = element(x, begins[k] + offset)
                    mine[(first + apart * k) * HALVES + half] = number
                for k in range(own_columns):
                    number, column = np.uint32(0), first_column + first + apart * k
                    if there and column < shape.columns:
                        number = element(w, w_at + 4 * column * shape.pieces)
                    other[half * pitch + first + apart * k] = number
                cuda.syncthreads()
                for k in range(HALVES):
                    for j in range(wide):
                        others[j] = element(other, k * pitch + lane + 32 * j)
                    for i in range(high):
                        row = element(mine, (high * warp + i) * HALVES + k)
                        for j in range(wide):
                            common = cuda.popc(np.uint32(row & others[j]))
                            counts[wide * i + j] += np.int32(common)
                cuda.syncthreads()
            fold(totals, counts, np.int32(coefficients[pair]))
        i, j = first_row + high * warp, first_column + lane
        if bits:
            for k in range(wide):
                limits[k], turned[k] = limit_of(j + 32 * k, shape, values, increasing)
        store(totals, i, j, limits, turned, places, shape, r, s, out)

    return product


def _of_patch(patch, bits):
    """Return a kernel, and the rows, columns and threads of its blocks."""
    return _registers(patch, bits), patch.high * patch.warps, 32 * patch.wide, 32 * patch.warps


PATCH = Patch(8, 4, 8)  # 64 x 128 outputs per block
BY_REGISTERS = {bits: _of_patch(PATCH, bits) for bits in (False, True)}
