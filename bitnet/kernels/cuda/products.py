"""Products of signs, of planes, and of numbers with signs, with operands laid out for `xnor`.

An operand is sum_p c_p s_p + o with signs s_p = 2 A_p - 1, which is 2 U + (o - sum c) with
U = sum_p c_p A_p and bits A_p.  The product of x, (U, a), with w, (V, b), over n numbers is then

    4 sum U V  +  2 b sum U  +  (2 a sum V + n a b)

The kernels count the first term.  The second is r and the third s, summed over the taps that are
inside the images, or over all taps for a border of +1 or -1.

k-bit integers are planes in two's complement: v = sum_p w_p A_p with w = 1, 2, 4, ..., and
-2^(k-1) for the sign.  Their products with signs are computed exactly by `multiply` on tensor
cores.  On the rungs below, a BLAS is faster; it multiplies the same integers as floats, in a type
in which their sums are not rounded.

Floats are multiplied by unpacked signs by cuBLAS.  This takes as many operations, but one
instruction each instead of two, and tensor cores if CuPy is set to use them.  `signed_floats` is a
kernel that unpacks nothing, for when memory is short.
"""

import functools
import math

import numpy as np
from numba import cuda

from bitnet.arrays import array_module
from bitnet.kernels.bits import BitPlanes, Bits, Quantized
from bitnet.kernels.cuda import tensor, xnor
from bitnet.kernels.cuda.launch import (
    MOST,
    SIMULATED,
    by_threads,
    flat,
    here,
    in_pieces,
    inlined,
    launch,
    row_of_halves,
    rung,
)
from bitnet.kernels.cuda.pack import (
    empty_words,
    on_gpu,
    ones,
    split,
    split_planes,
    threshold,
    transpose,
    unpack,
)
from bitnet.kernels.window import Window

ONE_PIXEL = Window((1, 1))
LANES, DOWN = 32, 8  # columns and rows per block of `signed_floats`
TILE = DOWN, LANES


class Operand:
    """Bits (..., N) or BitPlanes for kernels: words (P, ..., K) with even K, and integers."""

    def __init__(self, x):
        self.planes = isinstance(x, BitPlanes)
        self.words = x.bits.words if self.planes else x.words[None]
        self.coefficients = x.coefficients if self.planes else (1,)
        self.added = (x.offset if self.planes else 0) - sum(self.coefficients)  # a or b above
        self.xp, n_words = array_module(self.words), self.words.shape[-1]
        if n_words % 2:  # a piece has two words
            even = self.xp.zeros((*self.words.shape[:-1], n_words + 1), np.uint64)
            even[..., :n_words] = self.words
            self.words = even
        self.words = in_pieces(self.words)
        self.halves = 2 * self.words.shape[-1]  # per pixel, or per row
        self.kept = {}  # a cache of s, for prepared weights

    def sums_times(self, factor):
        """Return U or V of each row, with flattened leading axes, times a factor, int32 (R,)."""
        planes, *shape, n_words = self.words.shape
        words = self.words.reshape(planes, math.prod(shape), n_words)
        return ones(words, tuple(factor * c for c in self.coefficients))

    @functools.cached_property
    def sums(self):
        """U or V of each row, int32 (R,)."""
        return self.sums_times(1)


def prepare(bits):
    """See `bitnet.kernels.prepare`."""
    prepared = Bits(bits.words, bits.shape)
    prepared.layouts = {}
    return prepared


def kept(weight, name, make):
    """Return the result of `make`, cached in prepared weights for each stream."""
    if weight.layouts is None:
        return make(weight)
    key = name, here(array_module(weight))
    if key not in weight.layouts:
        weight.layouts[key] = make(weight)
    return weight.layouts[key]


def operand(weight):
    """Return the Operand of weights, cached in prepared ones."""
    return kept(weight, "operand", Operand)


def separate(x):
    """Return the Bits of each plane of BitPlanes, or the one of Bits."""
    return [x] if isinstance(x, Bits) else [x.bits[p] for p in range(len(x.coefficients))]


def together(x, parts, shape):
    """Return Bits, or BitPlanes like x, with a new shape, from the words of each plane."""
    if isinstance(x, Bits):
        return Bits(parts[0], shape)
    return x.with_bits(Bits(array_module(*parts).stack(parts), (len(parts), *shape)))


@functools.lru_cache(maxsize=256)
def geometry(xp, where, window, height, width, halves):
    """Return the kernels' `taps` and `places`, and the taps that count per class of outputs."""
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
    """Return images padded with +1, and a window without padding; kernels handle 0 and -1."""
    if window.border != 1 or not any(map(any, window.padding)):
        return x, window
    parts = [window.surrounded(bits) for bits in separate(x)]
    around = together(x, parts, (*parts[0].shape[:3], x.shape[3]))
    return around, Window(window.size, window.stride, border=1)


@cuda.jit
def _window_sums(sums, places, height, width, taps, columns, factor, r):
    """Compute r of each output: factor times the sum of sums (B H W) over its window."""
    i, area = cuda.grid(1), places.size // 4
    if i < r.size:
        at, total = 4 * (i % area), np.int32(0)
        for tap in range(taps):
            row, column = places[at + 1] + tap // columns, places[at + 2] + tap % columns
            if 0 <= row < height and 0 <= column < width:
                total += np.int32(sums[((i // area) * height + row) * width + column])
        r[i] = factor * total


def _of_outputs(left, factor, window, places, size, rows):
    """Return r of each output: factor times the sums over its window, or over a row of a matrix."""
    if window == ONE_PIXEL and size == (1, 1):
        return left.sums_times(factor)
    r = left.xp.empty(rows, np.int32)
    given = places, *size, window.taps, window.size[1], factor
    by_threads(_window_sums, rows, left.sums, *given, r)
    return r


def _of_classes(left, right, m, window, counted, size, channels):
    """Return s of each class and column, see above, cached in prepared weights."""
    key = window, size, left.added
    if key not in right.kept:
        n = counted.sum(axis=1, dtype=np.int32) * np.int32(channels * left.added * right.added)
        v = right.xp.ascontiguousarray(right.sums.reshape(m, window.taps).T)
        right.kept[key] = (counted @ v * np.int32(2 * left.added) + n[:, None]).reshape(-1)
    return right.kept[key]


@functools.cache
def _processors(where):
    """Return the number of multiprocessors of the current GPU."""
    return 1 if SIMULATED else cuda.get_current_device().MULTIPROCESSOR_COUNT


def _kernel(where, rows, columns, planes, bits):
    """Return the kernel of the rung, and the rows, columns and threads of its blocks."""
    if rung() != "tensor":
        return xnor.BY_REGISTERS[bits]
    _, high, wide, _ = tensor.BY_TENSOR[tensor.LARGE, False, bits]
    large = not planes and -(-rows // high) * -(-columns // wide) >= _processors(where)
    return tensor.BY_TENSOR[tensor.LARGE if large else tensor.SMALL, planes, bits]


def multiply(x, weight, window=ONE_PIXEL, thresholds=None):
    """Multiply images (B, H, W, C), or rows (B, N), with filters (M, ...) to int32 or Bits."""
    x, window = _surrounded(x, window)
    left, right = Operand(x), operand(weight)
    xp, m, channels = left.xp, weight.shape[0], x.shape[-1]
    size = x.shape[1:3] if len(x.shape) == 4 else (1, 1)
    output = window.output(*size)
    shape = (x.shape[0], *(output if len(x.shape) == 4 else ()), m)
    rows, area = x.shape[0] * math.prod(output), math.prod(output)
    if not rows * m * channels:
        z = xp.zeros(shape, np.int32)
        return z if thresholds is None else threshold(z, thresholds)
    where = here(xp)
    taps, places, counted = geometry(xp, where, window, *size, left.halves)
    r = _of_outputs(left, 2 * right.added, window, places, size, rows)
    s = _of_classes(left, right, m, window, counted, size, channels)
    out = xp.empty((*shape[:-1], m + m % 2), np.int32)  # columns are stored in pairs
    to, values, increasing = out.reshape(-1), s, s
    if thresholds is not None:
        out, _, to = empty_words(xp, shape)
        values, increasing = thresholds.values, thresholds.increasing
    pieces, image = window.taps * left.halves // 4, math.prod(size) * left.halves
    in_planes = x.shape[0] * image, m * pieces * 4, len(right.coefficients)
    sizes = xnor.Shape(rows, m, pieces, area, image, *size, *in_planes)
    pairs = tuple(c * d for c in left.coefficients for d in right.coefficients)
    planes = left.planes or right.planes
    kernel, high, wide, threads = _kernel(where, rows, m, planes, thresholds is not None)
    operands = row_of_halves(left.words), row_of_halves(right.words)
    given = *operands, taps, places, sizes, on_gpu(xp, where, pairs), r, s, values, increasing, to
    launch(kernel, (-(-rows // high), -(-m // wide)), threads, *given)
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


def plane_gemm(x, weight):
    """See `bitnet.kernels.plane_gemm`."""
    return multiply(x if isinstance(x, (Bits, BitPlanes)) else split_planes(x), weight)


@inlined
def _signed(number, half, lane):
    """Return the number, or its negative if the lane's bit is 0."""
    return number if (half >> np.uint32(lane)) & np.uint32(1) else -number


def _signed_floats(dtype):
    """Return the kernel for one type of floats."""

    @cuda.jit
    def product(x, halves_in, rows, inner, columns, halves, y):
        """Compute y = x @ signs; all 32 lanes, one per column, read one half of a row of signs.

        x (B M) in a tile of 8 rows by 32, signs (M H), y (B N).
        """
        tile = cuda.shared.array(TILE, dtype)
        lane, down = cuda.threadIdx.x, cuda.threadIdx.y
        i, block = cuda.blockIdx.x * DOWN + down, cuda.blockIdx.y + MOST * cuda.blockIdx.z
        if block >= halves:
            return
        total = dtype(0)
        for first in range(0, inner, LANES):
            there = i < rows and first + lane < inner
            tile[down, lane] = x[i * inner + first + lane] if there else dtype(0)
            cuda.syncthreads()
            for k in range(min(LANES, inner - first)):
                total += _signed(tile[down, k], halves_in[(first + k) * halves + block], lane)
            cuda.syncthreads()
        column = block * LANES + lane
        if i < rows and column < columns:
            y[i * columns + column] = total

    return product


FLOATS = {np.dtype(kind): _signed_floats(kind) for kind in (np.float32, np.float64)}


def signed_floats(x, signs):
    """Multiply floats (B, M) with Bits (M, N) without unpacking them."""
    xp, (rows, inner), columns = array_module(x), x.shape, signs.shape[1]
    if not rows * inner * columns:
        return xp.zeros((rows, columns), x.dtype)
    y, halves = xp.empty((rows, columns), x.dtype), 2 * signs.words.shape[1]
    blocks = -(-rows // DOWN), -(-columns // LANES)
    given = flat(x), row_of_halves(signs.words), rows, inner, columns, halves, y.reshape(-1)
    launch(FLOATS[x.dtype], blocks, (LANES, DOWN), *given)
    return y


def signed_gemm(x, signs):
    """See `bitnet.kernels.signed_gemm`."""
    if isinstance(x, Quantized):
        return unscaled(x, signs) * np.float32(getattr(signs, "scale", 1))
    return x @ signs.numbers(x.dtype) if isinstance(signs, BitPlanes) else unscaled(x, signs)


def unscaled(x, signs):
    """Compute `signed_gemm` without the scale of planes."""
    if isinstance(x, Quantized):
        return _sums(x, signs).astype(np.float32) * x.scales[:, None]
    return x @ floats_of(signs, x.dtype)


def floats_of(signs, dtype):
    """Return the values of signs, planes (without their scale) or pixels as floats."""
    if isinstance(signs, Bits):
        return unpack(signs, np.dtype(dtype))
    if isinstance(signs, BitPlanes):
        return BitPlanes(signs.bits, signs.coefficients, 1.0, signs.offset).numbers(dtype)
    return np.dtype(dtype).type(2) * signs - np.dtype(dtype).type(255)


def exact_type(x, signs):
    """Return a float type in which sums of products of these integers are exact."""
    largest = 255 if not isinstance(signs, (Bits, BitPlanes)) else getattr(signs, "largest", 1)
    return np.float32 if x.largest * x.shape[1] * largest < 2**24 else np.float64


def _sums(x, signs):
    """Return the exact products of integers (B, M) with signs, planes or pixels (M, N)."""
    if rung() != "tensor" or not isinstance(signs, (Bits, BitPlanes)):
        dtype = exact_type(x, signs)
        return x.values.astype(dtype) @ floats_of(signs, dtype)
    return multiply(planes_of(x), _transposed(signs)) >> 1


def planes_of(x):
    """Return twice the integers as BitPlanes: 2 v = sum_p w_p s_p - 1, as the w_p sum to -1."""
    n_planes = int(x.largest).bit_length() + 1
    weights = [1 << p for p in range(n_planes - 1)] + [-(1 << (n_planes - 1))]
    return BitPlanes(split(x.values, n_planes), weights, offset=-1)


def _transposed(signs):
    """Transpose Bits or BitPlanes (M, N) to (N, M)."""
    return together(signs, [transpose(bits).words for bits in separate(signs)], signs.shape[::-1])
