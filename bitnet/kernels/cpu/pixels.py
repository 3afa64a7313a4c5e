"""Products with 8-bit pixels: the first layer's convolution, and the backward of first layers.

Integers are multiplied four at a time: the instruction vpdpbusd multiplies 64 bytes without a
sign by 64 with one, and adds each four neighbouring products to one of 16 sums.  Both operands
are therefore laid out with four contracted elements side by side.  Floats are multiplied with
the pixels as floats, one at a time; a BLAS would be as fast, but its threads spin after a call
and take the processors from the kernels that follow.
"""

import math

import numpy as np

from bitnet.kernels.cpu.emit import routine
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.cpu.pack import unpack
from bitnet.kernels.threads import shared

ROWS, VECTORS = 4, 4  # of a tile
MACS_PER_NS, FLOAT_MACS_PER_NS = 150, 40


def _tile_routine(kind, element, multiply_add):
    """ROWS rows of numbers times 16 * VECTORS columns of pixels, fours or floats, into sums."""

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


_multiply_fours = _tile_routine(
    "<16 x i32>",
    "i32",
    lambda e, total, column, number: e.call(
        "llvm.x86.avx512.vpdpbusd.512", "<16 x i32>", total, column, number
    ),
)
_multiply_pixels = _tile_routine(  # the pixels are the rows, and the signs the columns
    "<16 x i32>",
    "i32",
    lambda e, total, column, number: e.call(
        "llvm.x86.avx512.vpdpbusd.512", "<16 x i32>", total, number, column
    ),
)
_multiply_floats = _tile_routine(
    "<16 x float>",
    "float",
    lambda e, total, column, number: e.call(
        "llvm.fma.v16f32", "<16 x float>", column, number, total
    ),
)


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
            _multiply_fours(at, numbers.strides[0], fours.ctypes.data + 4 * j, fours.strides[0],
                            fours.shape[0], sums.ctypes.data + 4 * j, sums.strides[0])  # fmt: skip
        for r in range(min(ROWS, n_rows - i)):
            shift = 255 * totals[i + r]
            for j in range(n):
                y[i + r, j] = np.float32(2 * sums[r, j] - shift) * scales[i + r]


@jit
def _convolve(pixels, stride, taps, n, fours, bases, of, patches, sums, z, start, stop):
    """Rows of z (B H', W', M) = 2 pixels @ signs + base, of images with their border (B, H, W n).

    n channels, fours (P / 4, N, 4) int8, bases (classes, M); patches (4, P) with zeros behind the
    taps, sums (4, N).
    """
    n_rows, n_columns = of.shape
    for row in range(start, stop):
        b, h = row // n_rows, row % n_rows
        for w in range(0, n_columns, ROWS):
            count = min(ROWS, n_columns - w)
            for r in range(count):
                first = (w + r) * stride[1] * n
                for i in range(taps[0]):
                    seen = pixels[b, h * stride[0] + i, first : first + taps[1] * n]
                    for j in range(len(seen)):
                        patches[r, i * len(seen) + j] = seen[j]
            for j in range(0, fours.shape[1], 16 * VECTORS):
                _multiply_pixels(patches.ctypes.data, patches.strides[0], fours.ctypes.data + 4 * j,
                                 fours.strides[0], fours.shape[0], sums.ctypes.data + 4 * j,
                                 sums.strides[0])  # fmt: skip
            for r in range(count):
                base, y = bases[of[h, w + r]], z[row, w + r]
                for m in range(len(y)):
                    y[m] = 2 * sums[r, m] + base[m]


@jit
def _multiply_by_floats(numbers, pixels, sums, y):
    """y = numbers @ pixels; numbers (R, B), pixels (B, N), sums (4, N), y (R or fewer, n)."""
    n_rows, n = y.shape
    for i in range(0, n_rows, ROWS):
        at = numbers.ctypes.data + i * numbers.strides[0]
        for j in range(0, pixels.shape[1], 16 * VECTORS):
            _multiply_floats(at, numbers.strides[0], pixels.ctypes.data + 4 * j, pixels.strides[0],
                             len(pixels), sums.ctypes.data + 4 * j, sums.strides[0])  # fmt: skip
        for r in range(min(ROWS, n_rows - i)):
            for j in range(n):
                y[i + r, j] = sums[r, j]


def convolve(pixels, weight, window):
    """The convolution of uint8 images with signs, as `bitnet.kernels.plane_conv`."""
    (m, *taps, channels), (n_images, *size, _) = weight.shape, pixels.shape
    inside, of = window.classes(*size)
    signs = unpack(weight, np.dtype(np.int8)).reshape(m, math.prod(taps) * channels)
    fours = -(-signs.shape[1] // 4)
    columns = np.zeros((4 * fours, -(-m // (16 * VECTORS)) * 16 * VECTORS), np.int8)
    columns[: signs.shape[1], :m] = signs.T
    columns = np.ascontiguousarray(columns.reshape(fours, 4, -1).transpose(0, 2, 1))
    counted = inside if window.border == 0 else np.ones_like(inside)
    by_tap = signs.reshape(m, window.taps, channels).sum(axis=2, dtype=np.int32)
    bases = -255 * (counted.astype(np.int32) @ by_tap.T)
    border = ((0, 0), *window.padding, (0, 0))
    images = np.pad(pixels, border, constant_values=255 if window.border == 1 else 0)
    images = images.reshape(*images.shape[:2], images.shape[2] * channels)
    z = np.empty((n_images * len(of), of.shape[1], m), np.int32)

    def run(start, stop):
        patches = np.zeros((ROWS, 4 * fours), np.uint8)
        sums = np.empty((ROWS, columns.shape[1]), np.int32)
        given = images, window.stride, window.size, channels, columns, bases, of
        _convolve(*given, patches, sums, z, start, stop)

    shared(run, len(z), 1, z.size * signs.shape[1] / MACS_PER_NS)
    return z.reshape(n_images, *of.shape, m)


def pixel_rows(numbers, pixels, scales):
    """The rows of scale * (numbers @ (2 pixels - 255)): numbers (R, B) to 127, pixels (B, N).

    Returns a function that writes the rows from start to stop into y, float32.
    """
    batch, fours = len(pixels), -(-len(pixels) // 4)
    padded = _padded(pixels, 4 * fours)
    padded = np.ascontiguousarray(padded.reshape(fours, 4, padded.shape[1]).transpose(0, 2, 1))
    totals = numbers.sum(axis=1, dtype=np.int32)
    left = np.zeros((len(numbers) + ROWS, 4 * fours), np.int8)
    left[: len(numbers), :batch] = numbers

    def rows(start, stop, y):
        sums = np.empty((ROWS, padded.shape[1]), np.int32)
        part = left[start:], padded, totals[start:stop], scales[start:stop]
        _multiply(*part, sums, y)

    return rows


def float_pixel_rows(numbers, pixels):
    """The rows of numbers @ (2 pixels - 255), as `pixel_rows`, for float32 numbers (R, B)."""
    columns = 2 * _padded(pixels, len(pixels)).astype(np.float32) - 255
    left = np.zeros((len(numbers) + ROWS, len(pixels)), np.float32)
    left[: len(numbers)] = numbers

    def rows(start, stop, y):
        sums = np.empty((ROWS, columns.shape[1]), np.float32)
        _multiply_by_floats(left[start:], columns, sums, y)

    return rows


def _padded(pixels, height):
    """A copy with zeros up to `height` rows and whole tiles of columns."""
    width = 16 * VECTORS
    padded = np.zeros((height, -(-pixels.shape[1] // width) * width), np.uint8)
    padded[: len(pixels), : pixels.shape[1]] = pixels
    return padded
