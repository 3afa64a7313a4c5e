"""Products of signs on a GPU as a ladder: four kernels, each with what it buys over the one before.

    naive       a thread an output, as one would write it first
    tiled       a block keeps a square of both operands in shared memory
    registers   a thread keeps 32 outputs in registers
    tensor      a warp multiplies 16 x 8 x 256 bits in one instruction

The upper two multiply patches of images too, and operands of several planes, and can compare with
thresholds and store bits.  They count the bits that both operands have, by AND, since that is what
tensor cores count; for planes A_p of x and B_q of w, one bit each,

    z[i, j] = 4 sum_pq c_p d_q popcount(A_p[i] & B_q[j]) + r[i] + s[class of i, j]

where r and s hold what only one operand adds: of signs, s - r = n - 2 popcounts of each.  In both
operands 0 stands for what is not there, so that tails and borders add nothing.

Operands are images as `places` reads them; a matrix is images of one pixel.  Halves are 32 bits of
a word, in which the kernels count.
"""

import numpy as np
from numba import cuda

from bitnet.kernels.cuda.instructions import (
    HALVES,
    commit_copies,
    copy_piece,
    element,
    folder,
    multiplier,
    store_pair,
    waiter,
)
from bitnet.kernels.cuda.launch import MOST, inlined
from bitnet.kernels.cuda.pack import ALL
from bitnet.kernels.cuda.places import (
    Patch,
    Tile,
    addends,
    divided,
    inside,
    integer,
    limit_of,
    nothing,
    row_of,
)

SIDE = 16  # of a square of outputs, and its halves at a time, on the rung `tiled`
SQUARE = SIDE, SIDE + 1  # a pad, so that no two lanes read from one bank
STAGES = 3  # steps of the rung `tensor` in shared memory: one at work, two on their way
wait_for_step = waiter(STAGES - 2)
PATCH = Patch(8, 4, 8)  # 64 x 128 outputs of a block
LARGE = Tile(4, 8, 2, 2)  # 128 x 128 outputs of a block, 64 x 64 of a warp
SMALL = Tile(2, 4, 2, 2)  # 64 x 64 and 32 x 32: more blocks, and registers left for planes


@inlined
def corner(rows, columns):
    """The first row and the first column of this block, if blocks have so many."""
    return cuda.blockIdx.x * rows, (cuda.blockIdx.y + MOST * cuda.blockIdx.z) * columns


@cuda.jit
def naive(x, w, rows, columns, halves, n, z):
    """One thread an output: reads a row of each operand from memory, 2 halves a multiplication.

    What it buys: nothing but 32 products in three instructions.  Neighbouring threads read far
    from each other, and every number is read as often as it is used.
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
    """A block of 16 x 16 outputs shares 16 halves at a time of its rows and columns.

    What it buys: each half comes from memory once for 16 outputs, in whole lines.  Now the reads
    of shared memory, two for one count, are what it waits for.
    """
    mine = cuda.shared.array(SQUARE, np.uint32)
    other = cuda.shared.array(SQUARE, np.uint32)
    right, down, (top, left) = cuda.threadIdx.x, cuda.threadIdx.y, corner(SIDE, SIDE)
    i, j = top + down, left + right
    differing, column = np.int32(0), left + down  # of w, while it is fetched
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
    """Store row `part` of the rows of a warp, and then those below it, from the counts."""
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
    """The rung `registers`: a thread has 8 rows by 4 columns of a block's 64 by 128.

    What it buys: 12 reads of shared memory serve 32 counts, and the popcounts are what it waits
    for, 16 a clock and multiprocessor.  The lanes of a warp are 32 neighbouring columns, so that a
    ballot packs what has passed its threshold.
    """
    high, wide, warps = patch
    rows, columns, n_counts = high * warps, 32 * wide, high * wide
    apart, pitch = 32 * warps // HALVES, columns + 1  # rows that the block fetches at once; a pad
    own_rows, own_columns = rows // apart, columns // apart
    size_of_rows, size_of_columns = rows * HALVES, HALVES * pitch
    store, fold = _stores_of_registers(patch, 0, bits), folder(n_counts)

    @cuda.jit
    def product(x, w, taps, places, shape, coefficients, r, s, values, rising, out):
        mine = cuda.shared.array(size_of_rows, np.uint32)  # (row, half)
        other = cuda.shared.array(size_of_columns, np.uint32)  # (half, column), with a pad
        counts = cuda.local.array(n_counts, np.int32)
        totals = cuda.local.array(n_counts, np.int32)
        others = cuda.local.array(wide, np.uint32)
        limits = cuda.local.array(wide, np.int32)
        turned = cuda.local.array(wide, np.int32)
        begins = cuda.local.array(own_rows, np.int64)
        tops = cuda.local.array(own_rows, np.int32)
        lefts = cuda.local.array(own_rows, np.int32)
        lane, warp = cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
        first, half = cuda.threadIdx.x // HALVES, cuda.threadIdx.x % HALVES  # to be fetched
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
                limits[k], turned[k] = limit_of(j + 32 * k, shape, values, rising)
        store(totals, i, j, limits, turned, places, shape, r, s, out)

    return product


def _integers_of_tensor(tile, part):
    """Counts to integers, in row `part` of the rows that a lane has, and then in those below it.

    All of them before one is stored, so that no read has to wait for a store.
    """
    if part == 2 * tile.high:
        return nothing
    following, wide = _integers_of_tensor(tile, part + 1), tile.wide
    first = 4 * wide * (part // 2) + 2 * (part % 2)

    @inlined
    def integers(counts, i, j, limits, turned, places, shape, r, s, out):
        own, group = addends(i, places, shape, r)
        for n in range(2 * wide):  # two columns of each multiplication
            k, column = first + 4 * (n // 2) + n % 2, j + 8 * (n // 2) + n % 2
            counts[k] = integer(counts[k], own, s, group, column, shape)
        following(counts, i + 8, j, limits, turned, places, shape, r, s, out)

    return integers


def _stores_of_tensor(tile, part, bits):
    """Store row `part` of a lane's rows, integers, or counts as bits, and then those below it."""
    if part == 2 * tile.high:
        return nothing
    following, wide = _stores_of_tensor(tile, part + 1, bits), tile.wide
    first = 4 * wide * (part // 2) + 2 * (part % 2)

    @inlined
    def integers(counts, i, j, limits, turned, places, shape, r, s, out):
        pitch = shape.columns + shape.columns % 2
        for n in range(wide):
            column, k = j + 8 * n, first + 4 * n  # an even one
            if i < shape.rows and column < shape.columns:
                store_pair(out, i * pitch + column, counts[k], counts[k + 1])
        following(counts, i + 8, j, limits, turned, places, shape, r, s, out)

    @inlined
    def signs(counts, i, j, limits, turned, places, shape, r, s, words):
        own, group = addends(i, places, shape, r)
        for half in range(wide // 4):
            word = np.uint32(0)
            for n in range(8):  # 4 multiplications, 2 columns of each
                k, column = 8 * half + n, j + 32 * half + 8 * (n // 2) + n % 2
                count = counts[first + 16 * half + 4 * (n // 2) + n % 2]
                z = integer(count, own, s, group, column, shape)
                bit = np.uint32((z ^ turned[k]) >= limits[k])
                word |= bit << np.uint32(8 * (n // 2) + n % 2)
            words[wide // 4 * part + half] = word
        following(counts, i + 8, j, limits, turned, places, shape, r, s, words)

    return signs if bits else integers


def _tensor(tile, planes, bits):
    """The rung `tensor`: each warp has 16 x 8 outputs `high` times down and `wide` times across.

    What it buys: one instruction for 32 768 products, where the popcounts of `registers` take
    32 and as many ANDs and sums.  The operands come to shared memory by copies that do not wait,
    two steps of 512 bits ahead, and lie there as `instructions` says.
    """
    high, wide, down, across = tile
    block_rows, block_columns, threads = 16 * high * down, 8 * wide * across, 32 * down * across
    stage, number = (block_rows + block_columns) * HALVES, 4 * high * wide
    size, apart = STAGES * stage, threads // 4
    of_lane, n_words = 2 * wide, 2 * high * wide // 4  # columns, and halves of them
    own_rows, own_columns = block_rows // apart, block_columns // apart
    multiply, fold = multiplier(high, wide), folder(number)
    store, finish = _stores_of_tensor(tile, 0, bits), _integers_of_tensor(tile, 0)

    @inlined
    def tap_of(step, taps, shape):
        """The piece that this thread has of a step, and the place of its tap."""
        piece = 4 * step + cuda.threadIdx.x % 4
        at = 4 * min(piece, shape.pieces - 1)
        return piece, element(taps, at), element(taps, at + 1), element(taps, at + 2)

    @inlined
    def fetch(shared, to, tap, x_plane, w_plane, begins, tops, lefts, x, w, shape):
        """Begin to copy one step of the block's rows and columns: a thread takes one quarter."""
        quarter, first = cuda.threadIdx.x % 4, cuda.threadIdx.x // 4
        piece, offset, down, right = tap
        there, x_at = piece < shape.pieces, x_plane + offset
        to += first * HALVES + 4 * (quarter ^ (first // 2 % 4))  # apart is a multiple of 8
        for k in range(own_rows):
            seen = there & inside(tops[k] + down, lefts[k] + right, shape)
            at = x_at + begins[k] if seen else 0
            copy_piece(shared, to + apart * k * HALVES, x, at, np.int32(16 if seen else 0))
        column = corner(block_rows, block_columns)[1] + first
        w_at = w_plane + 4 * (column * shape.pieces + piece)
        for k in range(own_columns):
            seen = there & (np.uint32(column + apart * k) < np.uint32(shape.columns))
            at = w_at + 4 * apart * k * shape.pieces if seen else 0
            place = to + (block_rows + apart * k) * HALVES
            copy_piece(shared, place, w, at, np.int32(16 if seen else 0))

    @inlined
    def next_step(to, ahead, steps, q, x_plane, w_plane, shape):
        """The stage and the step that are fetched next, and the places of their planes."""
        to, ahead = to + stage if to + stage < STAGES * stage else 0, ahead + 1
        if planes and ahead == steps:
            ahead, q, w_plane = 0, q + 1, w_plane + shape.w_plane
            if q == shape.w_planes:
                q, w_plane, x_plane = 0, 0, x_plane + shape.x_plane
        return to, ahead, q, x_plane, w_plane

    @cuda.jit
    def product(x, w, taps, places, shape, coefficients, r, s, values, rising, out):
        shared = cuda.shared.array(size, np.uint32, alignment=16)  # as pieces are
        counts = cuda.local.array(number, np.int32)
        totals = cuda.local.array(number, np.int32)
        begins = cuda.local.array(own_rows, np.int64)
        tops = cuda.local.array(own_rows, np.int32)
        lefts = cuda.local.array(own_rows, np.int32)
        limits = cuda.local.array(of_lane, np.int32)
        turned = cuda.local.array(of_lane, np.int32)
        words = cuda.local.array(n_words, np.uint32)
        lane, warp = cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
        first_row, first_column = corner(block_rows, block_columns)
        for k in range(own_rows):
            i = first_row + cuda.threadIdx.x // 4 + apart * k
            begins[k], tops[k], lefts[k] = row_of(i, places, shape)
        for k in range(number):
            counts[k] = 0
            totals[k] = 0
        steps, pairs = (shape.pieces + 3) // 4, coefficients.size if planes else 1
        row, column = 16 * high * (warp // across), 8 * wide * (warp % across)
        turn = lane // 2 % 4
        reads_x = (row + lane % 16) * HALVES + 4 * (lane // 16 ^ turn)
        reads_w = (block_rows + column + lane % 8) * HALVES + 4 * (lane // 8 ^ turn)
        at, step, pair = 0, 0, 0  # what is multiplied
        to, ahead, q, x_plane, w_plane = 0, 0, 0, 0, 0  # what is fetched
        tap = tap_of(0, taps, shape)
        for k in range(STAGES - 1):
            if k < steps * pairs:
                fetch(shared, to, tap, x_plane, w_plane, begins, tops, lefts, x, w, shape)
            commit_copies()
            to, ahead, q, x_plane, w_plane = next_step(to, ahead, steps, q, x_plane, w_plane, shape)
            tap = tap_of(ahead, taps, shape)
        for done in range(steps * pairs):
            wait_for_step()
            cuda.syncthreads()
            if done + STAGES - 1 < steps * pairs:
                fetch(shared, to, tap, x_plane, w_plane, begins, tops, lefts, x, w, shape)
            commit_copies()
            to, ahead, q, x_plane, w_plane = next_step(to, ahead, steps, q, x_plane, w_plane, shape)
            tap = tap_of(ahead, taps, shape)  # comes while the warp multiplies
            multiply(counts, shared, at + reads_x, at + reads_w)
            at = at + stage if at + stage < STAGES * stage else 0
            step += 1
            if planes and step == steps:
                fold(totals, counts, np.int32(coefficients[pair]))
                step, pair = 0, pair + 1
        i, j = first_row + row + lane // 4, first_column + column + 2 * (lane % 4)
        if not bits:
            numbers = totals if planes else counts
            finish(numbers, i, j, limits, turned, places, shape, r, s, out)
            store(numbers, i, j, limits, turned, places, shape, r, s, out)
            return
        for k in range(2 * wide):
            limits[k], turned[k] = limit_of(j + 8 * (k // 2) + k % 2, shape, values, rising)
        store(counts, i, j, limits, turned, places, shape, r, s, words)
        for k in range(n_words):  # the four lanes of a row have its columns between them
            word = np.uint32(words[k] << np.uint32(2 * (lane % 4)))
            word |= np.uint32(cuda.shfl_xor_sync(ALL, np.int32(word), 1))
            words[k] = word | np.uint32(cuda.shfl_xor_sync(ALL, np.int32(word), 2))
        halves = (shape.columns + 63) // 64 * 2
        for k in range(n_words):
            row, half = i + 8 * (k // (wide // 4)), k % (wide // 4)
            if row < shape.rows and lane % 4 == half and j // 32 + half < halves:
                out[row * halves + j // 32 + half] = words[k]

    return product


def _of_tile(tile, planes, bits):
    """A kernel, and the rows, columns and threads of its blocks."""
    rows, columns = 16 * tile.high * tile.down, 8 * tile.wide * tile.across
    return _tensor(tile, planes, bits), rows, columns, 32 * tile.down * tile.across


def _of_patch(patch, bits):
    """The same of a patch."""
    return _registers(patch, bits), patch.high * patch.warps, 32 * patch.wide, 32 * patch.warps


BY_REGISTERS = {bits: _of_patch(PATCH, bits) for bits in (False, True)}
BY_TENSOR = {
    (tile, False, bits): _of_tile(tile, False, bits)
    for tile in (LARGE, SMALL)
    for bits in (False, True)
}
BY_TENSOR[SMALL, True, False] = _of_tile(SMALL, True, False)
