"""Products of numbers with 8-bit pixels, or with integers as bytes, for backward passes.

Integers are multiplied as bytes: the instruction vpdpbusd multiplies 64 unsigned with 64 signed
bytes, and adds each four neighbouring products to one of 16 sums.  Both operands are therefore
laid out with four contracted elements side by side.  Floats are multiplied by the pixels as
floats.  A BLAS would be as fast, but its threads spin after a call and keep the processors from
the next kernels.
"""

import numpy as np

from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.memory import aligned_empty, aligned_zeros

ROWS, VECTORS = 4, 4  # per tile
MACS_PER_NS, FLOAT_MACS_PER_NS = 150, 40


def _tile_routine(kind, element, multiply_add):
    """Make a routine for ROWS rows of numbers times 16 * VECTORS columns of fours or floats."""

    def tile(e, numbers, stride, pixels, pixel_stride, count, sums, sums_stride):
        def contracted(k, totals):
            at = pixels + k * pixel_stride
            columns = [e.load(kind, at + 64 * v) for v in range(VECTORS)]
            new = []
            for row in range(ROWS):
                number = e.splat(kind, e.load(element, numbers + stride * row + (k << 2)))
                for v in range(VECTORS):
                    total = totals[row * VECTORS + v]
                    new.append(multiply_add(e, total, columns[v], number))
            return new

        totals = e.repeat(count, [e.constant(kind, 0)] * (ROWS * VECTORS), contracted)
        for i, total in enumerate(totals):
            row, v = divmod(i, VECTORS)
            e.store(total, sums + sums_stride * row + 64 * v)

    return routine(tile)


def _dot(e, totals, unsigned, signed):
    """Add each sum of four neighbouring byte products to one of 16 sums."""
    return e.call("llvm.x86.avx512.vpdpbusd.512", "<16 x i32>", totals, unsigned, signed)


def _fused(e, totals, column, number):
    """Add 16 products of floats to 16 sums, each rounded once."""
    return e.call("llvm.fma.v16f32", "<16 x float>", column, number, totals)


_multiply_fours = _tile_routine("<16 x i32>", "i32", _dot)  # unsigned columns, signed rows
multiply_bytes = _tile_routine(  # signed columns, unsigned rows
    "<16 x i32>", "i32", lambda e, totals, column, number: _dot(e, totals, number, column)
)
_multiply_floats = _tile_routine("<16 x float>", "float", _fused)


@jit
def _multiply(numbers, fours, gain, base, totals, scales, sums, y):
    """Compute y = scale * (gain * numbers @ bytes + base * total).

    numbers (R, B) int8 with B and R multiples of four, fours (B / 4, N, 4), sums (4, N), the
    totals of the rows of numbers (R,), y (R or fewer, n).
    """
    n_rows, n = y.shape
    for i in range(0, n_rows, ROWS):
        at, step = address(numbers, "int8") + i * numbers.strides[0], numbers.strides[0]
        for j in range(0, fours.shape[1], 16 * VECTORS):
            column, to = address(fours, "uint8") + 4 * j, address(sums, "int32") + 4 * j
            _multiply_fours(at, step, column, fours.strides[0], len(fours), to, sums.strides[0])
        for r in range(min(ROWS, n_rows - i)):
            shift = base * totals[i + r]
            for j in range(n):
                y[i + r, j] = np.float32(gain * sums[r, j] + shift) * scales[i + r]


@jit
def _multiply_by_floats(numbers, pixels, sums, y):
    """Compute y = numbers @ pixels; numbers (R, B), pixels (B, N), sums (4, N), y (<= R, n)."""
    n_rows, n = y.shape
    for i in range(0, n_rows, ROWS):
        at, step = address(numbers, "float32") + i * numbers.strides[0], numbers.strides[0]
        for j in range(0, pixels.shape[1], 16 * VECTORS):
            column, to = address(pixels, "float32") + 4 * j, address(sums, "float32") + 4 * j
            _multiply_floats(at, step, column, pixels.strides[0], len(pixels), to, sums.strides[0])
        for r in range(min(ROWS, n_rows - i)):
            for j in range(n):
                y[i + r, j] = sums[r, j]


def fours(pixels):
    """Interleave four rows of bytes (B, N) each: (B / 4, N or more, 4)."""
    count = -(-len(pixels) // 4)
    padded = _padded(pixels, 4 * count)
    y = aligned_empty((count, padded.shape[1], 4), np.uint8)
    y[...] = padded.reshape(count, 4, padded.shape[1]).transpose(0, 2, 1)
    return y


def byte_rows(numbers, columns, scales, gain=2, base=-255):
    """Return a function of (start, stop, y) for rows of scale * (numbers @ (gain pixels + base)).

    numbers (R, B) of at most 127, columns: the `fours` of pixels (B, N).  The function writes the
    rows from start to stop to y, float32.
    """
    totals = numbers.sum(axis=1, dtype=np.int32)
    left = aligned_zeros((len(numbers) + ROWS, 4 * len(columns)), np.int8)
    left[: len(numbers), : numbers.shape[1]] = numbers

    def rows(start, stop, y):
        sums = aligned_empty((ROWS, columns.shape[1]), np.int32)
        affine = np.int32(gain), np.int32(base)
        part = left[start:], columns, *affine, totals[start:stop], scales[start:stop]
        _multiply(*part, sums, y)

    return rows


def float_pixel_rows(numbers, pixels):
    """Return a function like `byte_rows` for numbers @ (2 pixels - 255), numbers float32 (R, B)."""
    columns = 2 * _padded(pixels, len(pixels)).astype(np.float32) - 255
    left = aligned_zeros((len(numbers) + ROWS, len(pixels)), np.float32)
    left[: len(numbers)] = numbers

    def rows(start, stop, y):
        sums = aligned_empty((ROWS, columns.shape[1]), np.float32)
        _multiply_by_floats(left[start:], columns, sums, y)

    return rows


def _padded(pixels, height):
    """Return a copy padded with zeros to `height` rows and whole tiles of columns."""
    width = 16 * VECTORS
    padded = aligned_zeros((height, -(-pixels.shape[1] // width) * width), np.uint8)
    padded[: len(pixels), : pixels.shape[1]] = pixels
    return padded
