"""Products of signs on tensor cores: the top rung, see `xnor`.

Gain: one instruction computes 32 768 products, for which the rung `registers` needs 32 popcounts
and as many ANDs and sums.  Asynchronous copies bring the operands to shared memory two steps of
512 bits ahead, in the layout that `instructions` describes.
"""

from typing import NamedTuple

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
from bitnet.kernels.cuda.launch import ALL, MOST, inlined
from bitnet.kernels.cuda.xnor import addends, inside, integer, limit_of, nothing, row_of

STAGES = 3  # steps in shared memory: one in use, two in flight
wait_for_step = waiter(STAGES - 2)


class Tile(NamedTuple):
    """The multiplications per warp, with 16 x 8 outputs each, and the warps per block.

    The columns of a block fill whole words: `wide * across` is a multiple of 8.
    """

    high: int
    wide: int
    down: int
    across: int


def _integers_of_tensor(tile, part):
    """Make a function that converts counts to integers, from row `part` of a lane's rows on.

    It converts all counts before any is stored, so that no read waits for a store.
    """
    if part == 2 * tile.high:
        return nothing
    following, wide = _integers_of_tensor(tile, part + 1), tile.wide
    first = 4 * wide * (part // 2) + 2 * (part % 2)

    @inlined
    def integers(counts, i, j, limits, turned, places, shape, r, s, out):
        own, group = addends(i, places, shape, r)
        for n in range(2 * wide):  # two columns per multiplication
            k, column = first + 4 * (n // 2) + n % 2, j + 8 * (n // 2) + n % 2
            counts[k] = integer(counts[k], own, s, group, column, shape)
        following(counts, i + 8, j, limits, turned, places, shape, r, s, out)

    return integers


def _stores_of_tensor(tile, part, bits):
    """Make a function that stores a lane's rows from `part` on, as integers or as bits."""
    if part == 2 * tile.high:
        return nothing
    following, wide = _stores_of_tensor(tile, part + 1, bits), tile.wide
    first = 4 * wide * (part // 2) + 2 * (part % 2)

    @inlined
    def integers(counts, i, j, limits, turned, places, shape, r, s, out):
        pitch = shape.columns + shape.columns % 2
        for n in range(wide):
            column, k = j + 8 * n, first + 4 * n  # even
            if i < shape.rows and column < shape.columns:
                store_pair(out, i * pitch + column, counts[k], counts[k + 1])
        following(counts, i + 8, j, limits, turned, places, shape, r, s, out)

    @inlined
    def signs(counts, i, j, limits, turned, places, shape, r, s, words):
        own, group = addends(i, places, shape, r)
        for half in range(wide // 4):
            word = np.uint32(0)
            for n in range(8):  # 4 multiplications with 2 columns each
                k, column = 8 * half + n, j + 32 * half + 8 * (n // 2) + n % 2
                count = counts[first + 16 * half + 4 * (n // 2) + n % 2]
                z = integer(count, own, s, group, column, shape)
                bit = np.uint32((z ^ turned[k]) >= limits[k])
                word |= bit << np.uint32(8 * (n // 2) + n % 2)
            words[wide // 4 * part + half] = word
        following(counts, i + 8, j, limits, turned, places, shape, r, s, words)

    return signs if bits else integers


def _tensor(tile, planes, bits):
    """Make the kernel, whose warps have `high` x `wide` tiles of 16 x 8 outputs."""
    high, wide, down, across = tile
    block_rows, block_columns, threads = 16 * high * down, 8 * wide * across, 32 * down * across
    stage, number = (block_rows + block_columns) * HALVES, 4 * high * wide
    size, apart = STAGES * stage, threads // 4
    of_lane, n_words = 2 * wide, 2 * high * wide // 4  # columns, and their halves of words
    own_rows, own_columns = block_rows // apart, block_columns // apart
    multiply, fold = multiplier(high, wide), folder(number)
    store, finish = _stores_of_tensor(tile, 0, bits), _integers_of_tensor(tile, 0)

    @inlined
    def corner():
        """Return the first row and the first column of this block."""
        column = (cuda.blockIdx.y + MOST * cuda.blockIdx.z) * block_columns
        return cuda.blockIdx.x * block_rows, column

    @inlined
    def tap_of(step, taps, shape):
        """Return the piece of a step that this thread copies, and the place of its tap."""
        piece = 4 * step + cuda.threadIdx.x % 4
        at = 4 * min(piece, shape.pieces - 1)
        return piece, element(taps, at), element(taps, at + 1), element(taps, at + 2)

    @inlined
    def fetch(shared, to, tap, x_plane, w_plane, begins, tops, lefts, x, w, shape):
        """Start to copy one step of the block's rows and columns, one quarter per thread."""
        quarter, first = cuda.threadIdx.x % 4, cuda.threadIdx.x // 4
        piece, offset, down, right = tap
        there, x_at = piece < shape.pieces, x_plane + offset
        to += first * HALVES + 4 * (quarter ^ (first // 2 % 4))  # `apart` is a multiple of 8
        for k in range(own_rows):
            seen = there & inside(tops[k] + down, lefts[k] + right, shape)
            at = x_at + begins[k] if seen else 0
            copy_piece(shared, to + apart * k * HALVES, x, at, np.int32(16 if seen else 0))
        column = corner()[1] + first
        w_at = w_plane + 4 * (column * shape.pieces + piece)
        for k in range(own_columns):
            seen = there & (np.uint32(column + apart * k) < np.uint32(shape.columns))
            at = w_at + 4 * apart * k * shape.pieces if seen else 0
            place = to + (block_rows + apart * k) * HALVES
            copy_piece(shared, place, w, at, np.int32(16 if seen else 0))

    @inlined
    def next_step(to, ahead, steps, q, x_plane, w_plane, shape):
        """Return the next stage and step to copy, and the places of their planes."""
        to, ahead = to + stage if to + stage < STAGES * stage else 0, ahead + 1
        if planes and ahead == steps:
            ahead, q, w_plane = 0, q + 1, w_plane + shape.w_plane
            if q == shape.w_planes:
                q, w_plane, x_plane = 0, 0, x_plane + shape.x_plane
        return to, ahead, q, x_plane, w_plane

    @cuda.jit
    def product(x, w, taps, places, shape, coefficients, r, s, values, increasing, out):
        shared = cuda.shared.array(size, np.uint32, alignment=16)  # the size of a piece
        counts = cuda.local.array(number, np.int32)
        totals = cuda.local.array(number, np.int32)
        begins = cuda.local.array(own_rows, np.int64)
        tops = cuda.local.array(own_rows, np.int32)
        lefts = cuda.local.array(own_rows, np.int32)
        limits = cuda.local.array(of_lane, np.int32)
        turned = cuda.local.array(of_lane, np.int32)
        words = cuda.local.array(n_words, np.uint32)
        lane, warp = cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
        first_row, first_column = corner()
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
        at, step, pair = 0, 0, 0  # the step in use
        to, ahead, q, x_plane, w_plane = 0, 0, 0, 0, 0  # the step that is copied
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
            tap = tap_of(ahead, taps, shape)  # is loaded while the warp multiplies
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
            limits[k], turned[k] = limit_of(j + 8 * (k // 2) + k % 2, shape, values, increasing)
        store(counts, i, j, limits, turned, places, shape, r, s, words)
        for k in range(n_words):  # the four lanes of a row share its columns
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
    """Return a kernel, and the rows, columns and threads of its blocks."""
    rows, columns = 16 * tile.high * tile.down, 8 * tile.wide * tile.across
    return _tensor(tile, planes, bits), rows, columns, 32 * tile.down * tile.across


LARGE = Tile(4, 8, 2, 2)  # 128 x 128 outputs per block, 64 x 64 per warp
SMALL = Tile(2, 4, 2, 2)  # 64 x 64 and 32 x 32, for more blocks, and with free registers for planes
BY_TENSOR = {
    (tile, False, bits): _of_tile(tile, False, bits)
    for tile in (LARGE, SMALL)
    for bits in (False, True)
}
BY_TENSOR[SMALL, True, False] = _of_tile(SMALL, True, False)
