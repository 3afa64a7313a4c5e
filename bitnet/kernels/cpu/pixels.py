"""Products of floats with 8-bit pixels, for backward passes.

A BLAS would be as fast, but its threads spin after a call and keep the processors from the next
kernels.
"""

import numpy as np

from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.memory import aligned_empty, aligned_zeros

ROWS, VECTORS = 4, 4  # per tile
MACS_PER_NS = 40


@routine
def _tile(e, numbers, stride, pixels, pixel_stride, count, sums, sums_stride):
    """Multiply ROWS rows of floats with 16 * VECTORS columns; each sum is rounded once per step."""
    kind = "<16 x float>"

    def contracted(k, totals):
        at = pixels + k * pixel_stride
        columns = [e.load(kind, at + 64 * v) for v in range(VECTORS)]
        new = []
        for row in range(ROWS):
            number = e.splat(kind, e.load("float", numbers + stride * row + (k << 2)))
            for v, column in enumerate(columns):
                total = totals[row * VECTORS + v]
                new.append(e.call("llvm.fma.v16f32", kind, column, number, total))
        return new

    totals = e.repeat(count, [e.constant(kind, 0)] * (ROWS * VECTORS), contracted)
    for i, total in enumerate(totals):
        row, v = divmod(i, VECTORS)
        e.store(total, sums + sums_stride * row + 64 * v)


@jit
def _multiply(numbers, pixels, sums, y):
    """Compute y = numbers @ pixels; numbers (R, B), pixels (B, N), sums (4, N), y (<= R, n)."""
    n_rows, n = y.shape
    for i in range(0, n_rows, ROWS):
        at, step = address(numbers, "float32") + i * numbers.strides[0], numbers.strides[0]
        for j in range(0, pixels.shape[1], 16 * VECTORS):
            column, to = address(pixels, "float32") + 4 * j, address(sums, "float32") + 4 * j
            _tile(at, step, column, pixels.strides[0], len(pixels), to, sums.strides[0])
        for r in range(min(ROWS, n_rows - i)):
            for j in range(n):
                y[i + r, j] = sums[r, j]


def float_rows(numbers, pixels):
    """Return a function of (start, stop, y) for rows of numbers @ (2 pixels - 255).

    numbers (R, B) float32, pixels (B, N).  The function writes the rows from start to stop to y.
    """
    width = 16 * VECTORS
    columns = aligned_zeros((len(pixels), -(-pixels.shape[1] // width) * width), np.float32)
    np.subtract(np.float32(2) * pixels, np.float32(255), out=columns[:, : pixels.shape[1]])
    left = aligned_zeros((len(numbers) + ROWS, len(pixels)), np.float32)
    left[: len(numbers)] = numbers

    def rows(start, stop, y):
        sums = aligned_empty((ROWS, columns.shape[1]), np.float32)
        _multiply(left[start:], columns, sums, y)

    return rows
