"""Convolutions of signs that read packed images in place, without copies of the patches.

The channels of a pixel are `K = words_for(C)` words, and the pixels of a row are contiguous.  The
taps of one row of a window are therefore `columns * K` contiguous words.  A tile of `xnor` is
here four neighbouring outputs, 32 channels, and one such segment per row of taps.

For a border of +1 or -1 the images are copied with these bits around them.  For a border of 0
they are copied with -1 around them, which subtracts the weights of the outer taps from the sum:

    z = base - 2 count,   base = C * taps + (sum of the weights of the taps outside the images)

The base is the same for all outputs whose outer taps are the same: a class of outputs.
"""

import math

import numpy as np

from bitnet.kernels.bits import Bits, words_for
from bitnet.kernels.cpu import tile_choice
from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import jit, level, vector_level
from bitnet.kernels.cpu.pack import threshold
from bitnet.kernels.cpu.xnor import (
    COUNTS,
    LANES,
    MACS_PER_NS,
    PANEL,
    counted_taps,
    kept,
    limits_of,
    panels_of,
    popcount,
    store_integers,
    store_signs,
    tiles,
)
from bitnet.kernels.threads import shared


def _convolution(lanes, kind):
    """Make a routine for a row of n outputs, with n_rows segments of n_words words each.

    tables: for each output, the address of the bases or limits of its class.
    """
    counts_of = COUNTS[lanes][0]

    def convolve(
        e, x, n, stride, n_rows, row_stride, n_words, panels, n_panels, tables, flips, y, y_stride
    ):
        def tile(part, weight, pixels, first, zeros):
            at = x + first * stride

            def row_of_taps(i, counts):
                words, bits = at + i * row_stride, weight + i * (n_words << 8)
                return counts_of(e, pixels, words, stride, bits, n_words, counts)

            counts = e.repeat(n_rows, zeros, row_of_taps)
            own = [e.load("i64", tables + (first + pixel << 3)) for pixel in range(pixels)]
            to = y + first * y_stride
            if kind == "signs":
                store_signs(e, lanes, counts, part, own, flips, to, y_stride)
                return

            def base(pixel, offset):
                return e.load(f"<{lanes} x i32>", own[pixel] + offset)

            store_integers(e, lanes, counts, part, base, to, y_stride)

        tiles(e, lanes, panels, n_panels, n_rows * n_words, n, tile)

    return routine(convolve)


def _loops(kind, level):
    """Compile the convolution of a level, for "integers" or "signs"."""
    convolve = _convolution(LANES[level], kind)

    def run(x, stride, taps, panels, tables, of, flips, own, y, start, stop):
        """Write the rows of outputs from start to stop, counted over all images.

        x (B, H, W, K) with its border, panels (P, taps K, 32), tables (classes, 32 P) of bases or
        limits, of (H', W') the classes, flips (P,), own (W',), y (B, H', W', .).
        """
        n_words, weight, n_panels = taps[1] * x.shape[3], address(panels, "uint64"), len(panels)
        each, flip, y_stride = address(own, "int64"), address(flips, "uint32"), y.strides[2]
        row_stride, step = x.strides[1], stride[1] * x.strides[2]
        for row in range(start, stop):
            b, h = row // of.shape[0], row % of.shape[0]
            for w in range(of.shape[1]):
                own[w] = address(tables, "int32 int64") + of[h, w] * tables.strides[0]
            at = address(x, "uint64") + b * x.strides[0] + h * stride[0] * row_stride
            to = address(y, "int32 uint64") + b * y.strides[0] + h * y.strides[1]
            n, rows = len(own), taps[0]
            convolve(
                at, n, step, rows, row_stride, n_words, weight, n_panels, each, flip, to, y_stride
            )

    return jit(run, f"{kind}_{level}")


INTEGERS = {level: _loops("integers", level) for level in LANES}
SIGNS = {level: _loops("signs", level) for level in LANES}
NO_FLIPS = np.zeros(1, np.uint32)


@jit
def _integers_portable(x, stride, taps, words, bases, of, y, start, stop):
    """Compute integers with plain loops; words (M, rows, columns K), y (B, H', W', M)."""
    for row in range(start, stop):
        b, h = row // of.shape[0], row % of.shape[0]
        for w in range(of.shape[1]):
            first = w * stride[1] * x.shape[3]
            for m in range(words.shape[0]):
                differing = np.uint64(0)
                for i in range(taps[0]):
                    line = x[b, h * stride[0] + i].reshape(-1)
                    for k in range(words.shape[2]):
                        differing += popcount(line[first + k] ^ words[m, i, k])
                y[b, h, w, m] = bases[of[h, w], m] - 2 * np.int64(differing)


def _shared(run, y, weight):
    """Distribute the rows of outputs y (B, H', W', .) over threads."""
    work_ns = math.prod(y.shape[:3]) * math.prod(weight.shape) / MACS_PER_NS[vector_level()]
    shared(run, math.prod(y.shape[:2]), 1, work_ns)


def _convolve(loops, x, weight, window, tables, flips, y):
    """Write y with the loops of this level; tables (classes, 32 P) of bases or limits."""
    words, of = window.surrounded(x), window.classes(*x.shape[1:3])[1]
    convolve, given = loops[vector_level()], (words, window.stride, window.size, panels_of(weight))

    def run(start, stop):
        convolve(*given, tables, of, flips, np.empty(of.shape[1], np.int64), y, start, stop)

    _shared(run, y, weight)


def _tiles_pay(x, weight, window):
    """Return whether tiles are faster for a convolution of signs."""
    n_rows = len(x) * math.prod(window.output(*x.shape[1:3]))
    return tile_choice.pay("signs", n_rows, len(weight), math.prod(weight.shape[1:]))


def xnor_conv(x, weight, window):
    """See `bitnet.kernels.xnor_conv`."""
    if _tiles_pay(x, weight, window):
        bases = bases_of(x.shape, weight, window)
        return tile_choice.products_of("signs").conv(x, weight, window, bases)
    bases, m = bases_of(x.shape, weight, window), weight.shape[0]
    by_tiles = level() != "portable"
    width = bases.shape[1] if by_tiles else m
    z = np.empty((x.shape[0], *window.output(*x.shape[1:3]), width), np.int32)
    if by_tiles:
        _convolve(INTEGERS, x, weight, window, bases, NO_FLIPS, z)
        return z if width == m else np.ascontiguousarray(z[..., :m])
    words, of = window.surrounded(x), window.classes(*x.shape[1:3])[1]
    shape = m, window.size[0], window.size[1] * words.shape[3]
    rows = np.ascontiguousarray(weight.words).reshape(shape)

    def run(start, stop):
        with np.errstate(over="ignore"):  # NumPy would warn if Numba does not compile
            _integers_portable(words, window.stride, window.size, rows, bases, of, z, start, stop)

    _shared(run, z, weight)
    return z


def xnor_conv_sign(x, weight, window, thresholds):
    """See `bitnet.kernels.xnor_conv_sign`."""
    if _tiles_pay(x, weight, window):
        bases = bases_of(x.shape, weight, window)
        return tile_choice.products_of("signs").conv_sign(x, weight, window, bases, thresholds)
    if level() == "portable":
        return threshold(xnor_conv(x, weight, window), thresholds)
    m = weight.shape[0]
    limits, flips = limits_of(thresholds, bases_of(x.shape, weight, window)[:, :m])
    shape = x.shape[0], *window.output(*x.shape[1:3])
    y = (np.zeros if len(flips) % 2 else np.empty)((*shape, words_for(m)), np.uint64)
    _convolve(SIGNS, x, weight, window, limits, flips, y)
    return Bits(y, (*shape, m))


def bases_of(shape, weight, window):
    """Return the bases (classes, 32 P) int32, from which counts are subtracted.

    They depend on the weight and the size of the images, and are cached in a prepared weight.
    """

    def make(weight):
        bits, m = weight.shape[-1], weight.shape[0]
        outside = 1 - counted_taps(window, shape[1:3])[0]
        ones = np.bitwise_count(weight.words).sum(axis=-1, dtype=np.int32)
        sums = (2 * ones - bits).reshape(m, window.taps)
        bases = np.zeros((len(outside), PANEL * -(-m // PANEL)), np.int32)
        bases[:, :m] = bits * window.taps + outside @ sums.T
        return bases

    return kept(weight, ("bases", shape[1:3], window), make)
