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
def _in_fours(pixels, fours):
    """pixels (B, N) to fours (B / 4, N, 4), with zeros where there are none."""
    for k in range(fours.shape[0]):
        for b in range(4):
            row = 4 * k + b
            for j in range(pixels.shape[1]):
                fours[k, j, b] = pixels[row, j] if row < pixels.shape[0] else 0


@jit
def _multiply(numbers, fours, scales, y):
    """y = scale * numbers @ (2 pixels - 255); numbers (R, B) int8, fours (B / 4, N, 4)."""
    n_rows, n = y.shape
    n_fours, n_columns = fours.shape[0], fours.shape[1]
    padded = np.zeros((ROWS, 4 * n_fours), np.int8)
    sums = np.empty((ROWS, n_columns), np.int32)
    for i in range(0, n_rows, ROWS):
        rows = min(ROWS, n_rows - i)
        for r in range(rows):
            for c in range(numbers.shape[1]):
                padded[r, c] = numbers[i + r, c]
        for j in range(0, n_columns, 16 * VECTORS):
            _multiply_tile(
                padded.ctypes.data,
                padded.strides[0],
                fours.ctypes.data + 4 * j,
                fours.strides[0],
                n_fours,
                sums.ctypes.data + 4 * j,
                sums.strides[0],
            )
        for r in range(rows):
            total = np.int32(0)
            for c in range(numbers.shape[1]):
                total += np.int32(padded[r, c])
            for j in range(n):
                y[i + r, j] = np.float32(2 * sums[r, j] - 255 * total) * scales[i + r]


def pixel_rows(numbers, pixels, scales):
    """The rows of scale * (numbers @ (2 pixels - 255)): numbers (R, B) to 127, pixels (B, N).

    Returns a function that writes the rows from start to stop into y, float32.
    """
    batch, n = pixels.shape
    width = 16 * VECTORS
    fours = np.zeros((-(-batch // 4), -(-n // width) * width, 4), np.uint8)
    _in_fours(np.ascontiguousarray(pixels), fours)
    numbers = numbers.astype(np.int8)

    def rows(start, stop, y):
        _multiply(numbers[start:stop], fours, scales[start:stop], y)

    return rows
