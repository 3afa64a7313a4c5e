"""Products of signs and of planes, as matrices and as convolutions: operands laid out for `xnor`.

An operand is sum_p c_p s_p + o with signs s_p = 2 A_p - 1, so 2 U + (o - sum c) with
U = sum_p c_p A_p, of bits A_p.  The product of x, (U, a), with w, (V, b), over n numbers is then

    4 sum U V  +  2 b sum U  +  (2 a sum V + n a b)

The kernels count the first term; the second is r, the third s, summed over the taps that are
inside the images, or over all where there is a border of +1 or -1.
"""

import functools
import math

import numpy as np
from numba import cuda

from bitnet.arrays import array_module
from bitnet.kernels.bits import Bits, Planes
from bitnet.kernels.cuda import xnor
from bitnet.kernels.cuda.launch import SIMULATED, here, in_pieces, launch, row_of_halves, rung
from bitnet.kernels.cuda.pack import (
    empty_words,
    on_gpu,
    ones,
    pack,
    split_planes,
    threshold,
    unpack,
)
from bitnet.kernels.cuda.places import Shape
from bitnet.kernels.window import Window

ONE_PIXEL = Window((1, 1))
THREADS = 256


class Operand:
    """Bits (..., N) or Planes as the kernels take them: words (P, ..., K), K even, and numbers."""

    def __init__(self, x):
        self.planes = isinstance(x, Planes)
        self.words = x.bits.words if self.planes else x.words[None]
        self.coefficients = x.coefficients if self.planes else (1,)
        self.added = (x.offset if self.planes else 0) - sum(self.coefficients)  # a, or b
        self.xp, n_words = array_module(self.words), self.words.shape[-1]
        if n_words % 2:  # pieces are two words
            even = self.xp.zeros((*self.words.shape[:-1], n_words + 1), np.uint64)
            even[..., :n_words] = self.words
            self.words = even
        self.words = in_pieces(self.words)
        self.halves = 2 * self.words.shape[-1]  # of a pixel, or a row
        self.kept = {}  # s, of weights that keep layouts

    def sums_times(self, factor):
        """U or V of each row, for all axes but the last one in a row, times this: int32 (R,)."""
        planes, *shape, n_words = self.words.shape
        words = self.words.reshape(planes, math.prod(shape), n_words)
        return ones(words, tuple(factor * c for c in self.coefficients))

    @functools.cached_property
    def sums(self):
        """U or V of each row: int32 (R,)."""
        return self.sums_times(1)


def prepare(bits):
    """See `bitnet.kernels.prepare`."""
    prepared = Bits(bits.words, bits.shape)
    prepared.layouts = {}
    return prepared


def _operand(weight):
    """The Operand of weights, kept where they keep layouts, for each stream its own."""
    if weight.layouts is None:
        return Operand(weight)
    key = "operand", here(array_module(weight))
    if key not in weight.layouts:
        weight.layouts[key] = Operand(weight)
    return weight.layouts[key]


@functools.lru_cache(maxsize=256)
def _geometry(xp, where, window, height, width, halves):
    """`taps` and `places` of the kernels, and which taps count in each class of outputs."""
    taps = np.zeros((*window.size, halves // 4, 4), np.int32)
    taps[..., 1] = np.arange(window.size[0])[:, None, None]
    taps[..., 2] = np.arange(window.size[1])[:, None]
    taps[..., 0] = (taps[..., 1] * width + taps[..., 2]) * halves + 4 * np.arange(halves // 4)
    inside, of = window.classes(height, width)
    (above, _), (left, _) = window.padding
    places = np.zeros((*of.shape, 4), np.int32)
    places[..., 1] = np.arange(of.shape[0])[:, None] * window.stride[0] - above
    places[..., 2] = np.arange(of.shape[1]) * window.stride[1] - left
    places[..., 0] = (places[..., 1] * width + places[..., 2]) * halves
    places[..., 3] = of
    counted = (inside | (window.border != 0)).astype(np.int32)
    return tuple(map(xp.asarray, (taps.ravel(), places.ravel(), counted)))


def _surrounded(x, window):
    """Images with their border of +1, and the window on those; of 0 and -1 the kernels know."""
    if window.border != 1 or not any(map(any, window.padding)):
        return x, window
    if isinstance(x, Bits):
        words = window.surrounded(x)
        around = Bits(words, (*words.shape[:3], x.shape[3]))
    else:
        words = [window.surrounded(x.bits[p]) for p in range(len(x.coefficients))]
        words = array_module(*words).stack(words)
        around = x.with_bits(Bits(words, (*words.shape[:4], x.shape[3])))
    return around, Window(window.size, window.stride, border=1)


@cuda.jit
def _window_sums(sums, places, height, width, taps, columns, factor, r):
    """r of each output: factor times the sum over the pixels of sums (B H W) that it sees."""
    i, area = cuda.grid(1), places.size // 4
    if i < r.size:
        at, total = 4 * (i % area), np.int32(0)
        for tap in range(taps):
            row, column = places[at + 1] + tap // columns, places[at + 2] + tap % columns
            if 0 <= row < height and 0 <= column < width:
                total += np.int32(sums[((i // area) * height + row) * width + column])
        r[i] = factor * total


def _of_outputs(left, factor, window, places, size, rows):
    """r of each output: factor times the sums of the pixels that it sees; of a matrix, its rows."""
    if window == ONE_PIXEL and size == (1, 1):
        return left.sums_times(factor)
    r = left.xp.empty(rows, np.int32)
    given = places, *size, window.taps, window.size[1], factor
    launch(_window_sums, (-(-rows // THREADS),), THREADS, left.sums, *given, r)
    return r


def _of_classes(left, right, m, window, counted, size, channels):
    """s of each class and column, as above, which weights that keep layouts keep."""
    key = window, size, left.added
    if key not in right.kept:
        n = counted.sum(axis=1, dtype=np.int32) * np.int32(channels * left.added * right.added)
        v = right.xp.ascontiguousarray(right.sums.reshape(m, window.taps).T)
        right.kept[key] = (counted @ v * np.int32(2 * left.added) + n[:, None]).reshape(-1)
    return right.kept[key]


@functools.cache
def _processors(where):
    """Multiprocessors of a GPU, as CuPy is on it and Numba with it."""
    return 1 if SIMULATED else cuda.get_current_device().MULTIPROCESSOR_COUNT


def _kernel(where, rows, columns, planes, bits):
    """The kernel of the rung, with the rows, columns and threads of its blocks."""
    if rung() != "tensor":
        return xnor.BY_REGISTERS[bits]
    _, high, wide, _ = xnor.BY_TENSOR[xnor.LARGE, False, bits]
    large = not planes and -(-rows // high) * -(-columns // wide) >= _processors(where)
    return xnor.BY_TENSOR[xnor.LARGE if large else xnor.SMALL, planes, bits]


def multiply(x, weight, window=ONE_PIXEL, thresholds=None):
    """The product of images (B, H, W, C), or rows (B, N), with filters (M, ...): int32, or Bits."""
    x, window = _surrounded(x, window)
    left, right = Operand(x), _operand(weight)
    xp, m, channels = left.xp, weight.shape[0], x.shape[-1]
    size = x.shape[1:3] if len(x.shape) == 4 else (1, 1)
    output = window.output(*size)
    shape = (x.shape[0], *(output if len(x.shape) == 4 else ()), m)
    rows, area = x.shape[0] * math.prod(output), math.prod(output)
    if not rows * m * channels:
        z = xp.zeros(shape, np.int32)
        return z if thresholds is None else threshold(z, thresholds)
    where = here(xp)
    taps, places, counted = _geometry(xp, where, window, *size, left.halves)
    r = _of_outputs(left, 2 * right.added, window, places, size, rows)
    s = _of_classes(left, right, m, window, counted, size, channels)
    out = xp.empty((*shape[:-1], m + m % 2), np.int32)  # pairs of columns are stored at once
    flat, values, rising = out.reshape(-1), s, s
    if thresholds is not None:
        out, _, flat = empty_words(xp, shape)
        values, rising = thresholds.values, thresholds.rising
    pieces, image = window.taps * left.halves // 4, math.prod(size) * left.halves
    planes_of = x.shape[0] * image, m * pieces * 4, len(right.coefficients)
    sizes = Shape(rows, m, pieces, area, image, *size, *planes_of)
    pairs = tuple(c * d for c in left.coefficients for d in right.coefficients)
    planes = left.planes or right.planes
    kernel, high, wide, threads = _kernel(where, rows, m, planes, thresholds is not None)
    launch(kernel, (-(-rows // high), -(-m // wide)), threads,
           row_of_halves(left.words), row_of_halves(right.words), taps, places, sizes,
           on_gpu(xp, where, pairs), r, s, values, rising, flat)  # fmt: skip
    if thresholds is not None:
        return Bits(out, shape)
    return xp.ascontiguousarray(out[..., :m]) if m % 2 else out


def xnor_gemm(x, weight):
    """See `bitnet.kernels.xnor_gemm`."""
    kernel = {"naive": xnor.naive, "tiled": xnor.tiled}.get(rung())
    if kernel is None or not x.words.size * weight.words.size:
        return multiply(x, weight)
    (rows, n), columns, halves = x.shape, weight.shape[0], 2 * x.words.shape[1]
    z, side = array_module(x.words).empty((rows, columns), np.int32), xnor.SIDE
    blocks = -(-rows // side), -(-columns // side)
    operands = row_of_halves(x.words), row_of_halves(weight.words)
    launch(kernel, blocks, (side, side), *operands, rows, columns, halves, n, z.reshape(-1))
    return z


def xnor_sign(x, weight, thresholds):
    """See `bitnet.kernels.xnor_sign`."""
    if rung() in ("naive", "tiled"):
        return threshold(xnor_gemm(x, weight), thresholds)
    return multiply(x, weight, thresholds=thresholds)


def xnor_conv(x, weight, window):
    """See `bitnet.kernels.xnor_conv`."""
    return multiply(x, weight, window)


def xnor_conv_sign(x, weight, window, thresholds):
    """See `bitnet.kernels.xnor_conv_sign`."""
    return multiply(x, weight, window, thresholds)


def plane_gemm(x, weight):
    """See `bitnet.kernels.plane_gemm`."""
    return multiply(x if isinstance(x, (Bits, Planes)) else split_planes(x), weight)


def plane_conv(x, weight, window):
    """See `bitnet.kernels.plane_conv`."""
    if isinstance(x, (Bits, Planes)):
        return multiply(x, weight, window)
    return _by_patches(x, weight, window)


def _by_patches(pixels, weight, window):
    """`plane_conv` of pixels, few of which fill a word: patches side by side fill theirs."""
    m, patches = weight.shape[0], window.views_of_pixels(pixels)
    rows = patches.reshape(math.prod(patches.shape[:3]), math.prod(patches.shape[3:]))
    z = plane_gemm(rows, flat_rows(weight)).reshape(*patches.shape[:3], m)
    if window.border:
        return z
    xp = array_module(pixels)
    operand = _operand(weight)  # black pixels stood beyond the images, and counted as -255 each
    _, places, counted = _geometry(xp, here(xp), window, *pixels.shape[1:3], operand.halves)
    sums = 2 * operand.sums + np.int32(operand.added * weight.shape[-1])
    missing = (1 - counted) @ xp.ascontiguousarray(sums.reshape(m, window.taps).T)
    return z + 255 * missing[places.reshape(*patches.shape[1:3], 4)[..., 3]]


def flat_rows(weight):
    """Filters (M, rows, columns, C) as (M, N), Bits or Planes; kept where they keep layouts."""
    key = "rows", here(array_module(weight))
    if weight.layouts is not None and key in weight.layouts:
        return weight.layouts[key]
    if isinstance(weight, Planes):
        flat = weight.with_bits(_flat_bits(weight.bits, 2))
    else:
        flat = _flat_bits(weight, 1)
    if weight.layouts is not None:
        flat.layouts = {}
        weight.layouts[key] = flat
    return flat


def _flat_bits(bits, axes):
    """Bits whose axes behind the first ones are one."""
    shape = (*bits.shape[:axes], math.prod(bits.shape[axes:]))
    if bits.shape[-1] % 64 == 0 and bits.words.size:
        words = array_module(bits.words).ascontiguousarray(bits.words)
        return Bits(words.reshape(*shape[:-1], -1), shape)
    return pack(unpack(bits, np.dtype(np.int8)).reshape(shape))
