"""Products of small integers and 8-bit pixels, four at a time: the first layer's backward.

The instruction vpdpbusd multiplies 64 bytes without a sign by 64 with one, and adds each four
neighbouring products to one of 16 sums.  Both operands are therefore laid out with four
contracted elements side by side.
"""

import numpy as np

from bitnet.kernels.cpu.emit import routine
from bitnet.kernels.cpu.jit import jit

ROWS, VECTORS = 4, 4  # of a tile
MACS_PER_NS = 150


def _tile(e, numbers, stride, pixels, pixel_stride, n_fours, sums, sums_stride):
    """Four rows of fours of numbers times 64 columns of fours of pixels."""
    register = "<16 x i32>"

    def four(k, totals):
        at = pixels + k * pixel_stride
        columns = [e.load(register, at + 64 * v) for v in range(VECTORS)]
        new = []
        for row in range(ROWS):
            number = e.splat(register, e.load("i32", numbers + stride * row + (k << 2)))
            for v in range(VECTORS):
                total = totals[row * VECTORS + v]
                operands = total, columns[v], number
                new.append(e.call("llvm.x86.avx512.vpdpbusd.512", register, *operands))
        return new

    totals = e.repeat(n_fours, [e.constant(register, 0)] * (ROWS * VECTORS), four)
    for i, total in enumerate(totals):
        row, v = divmod(i, VECTORS)
        e.store(total, sums + sums_stride * row + 64 * v)


_multiply_tile = routine(_tile)


@jit
def _multiply(numbers, fours, totals, scales, sums, y):
    """y = scale * (2 numbers @ pixels - 255 total).

    numbers (R, B) int8 with B and R multiples of four, fours (B / 4, N, 4), sums (4, N), the
    totals of the rows of numbers (R,), y (R or fewer, n).
    """
    n_rows, n = y.shape
    for i in range(0, n_rows, ROWS):
        at = numbers.ctypes.data + i * numbers.strides[0]
        for j in range(0, fours.shape[1], 16 * VECTORS):
            _multiply_tile(at, numbers.strides[0], fours.ctypes.data + 4 * j, fours.strides[0],
                           fours.shape[0], sums.ctypes.data + 4 * j, sums.strides[0])  # fmt: skip
        for r in range(min(ROWS, n_rows - i)):
            shift = 255 * totals[i + r]
            for j in range(n):
                y[i + r, j] = np.float32(2 * sums[r, j] - shift) * scales[i + r]


def pixel_rows(numbers, pixels, scales):
    """The rows of scale * (numbers @ (2 pixels - 255)): numbers (R, B) to 127, pixels (B, N).

    Returns a function that writes the rows from start to stop into y, float32.
    """
    batch, n = pixels.shape
    width, fours = 16 * VECTORS, -(-batch // 4)
    padded = np.zeros((4 * fours, -(-n // width) * width), np.uint8)
    padded[:batch, :n] = pixels
    padded = np.ascontiguousarray(padded.reshape(fours, 4, padded.shape[1]).transpose(0, 2, 1))
    totals = numbers.sum(axis=1, dtype=np.int32)
    left = np.zeros((len(numbers) + ROWS, 4 * fours), np.int8)
    left[: len(numbers), :batch] = numbers

    def rows(start, stop, y):
        sums = np.empty((ROWS, padded.shape[1]), np.int32)
        part = left[start:], padded, totals[start:stop], scales[start:stop]
        _multiply(*part, sums, y)

    return rows
