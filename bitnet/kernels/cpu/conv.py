"""Convolutions of signs on packed pixels as they lie, without a copy of what each output sees.

The channels of a pixel are `K = words_for(C)` words, and the pixels of a row follow each other.
The taps of one row of a window are therefore `columns * K` words side by side, and a tile of
`xnor` becomes: four neighbouring outputs, 32 channels, and one such segment for each row of
taps.

A border of +1 or -1 is a copy of the bits with those around them.  A border of 0 is a copy with
-1 around it, which takes the weights of the taps beyond the border away from the sum:

    z = base - 2 count,   base = C * taps + (sum of the weights of the taps beyond the border)

The base is the same for all outputs that miss the same taps, a class of outputs.
"""

import math

import numpy as np

from bitnet.kernels.bits import Bits, words_for
from bitnet.kernels.cpu.emit import routine
from bitnet.kernels.cpu.jit import jit, level
from bitnet.kernels.cpu.pack import threshold
from bitnet.kernels.cpu.xnor import COUNTS, MACS_PER_NS, PANEL, limits_of, panels_of, popcount
from bitnet.kernels.threads import shared


def _convolution(lanes, store):
    """A routine for the outputs of one row, in tiles of 4 pixels, then 1 pixel.

    `store(e, counts, part, tables, flips, at, y_stride)` stores the counts of a tile; the
    tables, one for each pixel, are those of its class.
    """
    counts_of, per_row = COUNTS[lanes]
    part_outputs = lanes * per_row
    parts = PANEL // part_outputs

    def convolve(e, x, n_pixels, pixel_stride, n_segments, segment_stride, n_words, panels,
                 n_panels, tables, flips, y, y_stride):  # fmt: skip
        def part_of_panel(q, _):
            panel = panels + q.divided_by(parts) * (n_segments * n_words << 8)
            weight = panel + q.remainder_of(parts) * (8 * part_outputs)

            def pixels_at(first, pixels):
                at = x + first * pixel_stride

                def segment(s, counts):
                    words, bits = at + s * segment_stride, weight + s * (n_words << 8)
                    return counts_of(e, pixels, words, pixel_stride, bits, n_words, counts)

                zeros = [e.constant(f"<{lanes} x i64>", 0)] * (pixels * per_row)
                counts = e.repeat(n_segments, zeros, segment)
                own = [e.load("i64", tables + (first + pixel << 3)) for pixel in range(pixels)]
                store(e, counts, q, own, flips, y + first * y_stride, y_stride)
                return []

            e.repeat(n_pixels >> 2, [], lambda i, _: pixels_at(i << 2, 4))
            e.repeat(n_pixels & 3, [], lambda i, _: pixels_at((n_pixels >> 2 << 2) + i, 1))
            return []

        e.repeat(n_panels * parts, [], part_of_panel)

    return routine(convolve)


def _integers(lanes):
    """z = base - 2 count, stored as int32."""
    per_row = COUNTS[lanes][1]

    def store(e, counts, part, bases, flips, z, z_stride):
        for i, count in enumerate(counts):
            pixel, register = divmod(i, per_row)
            offset = (part * per_row + register) * (4 * lanes)
            base = e.load(f"<{lanes} x i32>", bases[pixel] + offset)
            e.store(base - (count.to(f"<{lanes} x i32>") << 1), z + z_stride * pixel + offset)

    return _convolution(lanes, store)


def _signs(lanes):
    """One bit an output: 1 where count <= limit, turned over where the bit of flips is 1."""
    per_row = COUNTS[lanes][1]
    word_type = f"i{lanes * per_row}"

    def store(e, counts, part, limits, flips, y, y_stride):
        flip = e.load(word_type, flips + part * (lanes * per_row // 8))
        for pixel in range(len(limits)):
            word = flip
            for register in range(per_row):
                at = limits[pixel] + (part * per_row + register) * (8 * lanes)
                passed = counts[pixel * per_row + register].at_most(e.load(f"<{lanes} x i64>", at))
                passed = passed.bits_as(f"i{lanes}").zero_extended(word_type)
                word = word ^ (passed << lanes * register)
            e.store(word, y + y_stride * pixel + part * (lanes * per_row // 8))

    return _convolution(lanes, store)


_integers_of_8, _signs_of_8 = _integers(8), _signs(8)
_integers_of_4, _signs_of_4 = _integers(4), _signs(4)


@jit
def _integers_avx512(x, stride, taps, panels, tables, of, flips, own, y, start, stop):
    """Rows of outputs from start to stop, counted through all images.

    x (B, H, W, K) with its border, panels (P, taps K, 32), tables (classes, 32 P) of bases or
    limits, of (H', W') the classes, flips (P,), own (W',), y (B, H', W', .).
    """
    for row in range(start, stop):
        b, h = row // of.shape[0], row % of.shape[0]
        for w in range(of.shape[1]):
            own[w] = tables.ctypes.data + of[h, w] * tables.strides[0]
        at = x.ctypes.data + b * x.strides[0] + h * stride[0] * x.strides[1]
        to = y.ctypes.data + b * y.strides[0] + h * y.strides[1]
        _integers_of_8(at, len(own), stride[1] * x.strides[2], taps[0], x.strides[1],
                        taps[1] * x.shape[3], panels.ctypes.data, len(panels), own.ctypes.data,
                        flips.ctypes.data, to, y.strides[2])  # fmt: skip


@jit
def _integers_avx2(x, stride, taps, panels, tables, of, flips, own, y, start, stop):
    """As `_integers_avx512`."""
    for row in range(start, stop):
        b, h = row // of.shape[0], row % of.shape[0]
        for w in range(of.shape[1]):
            own[w] = tables.ctypes.data + of[h, w] * tables.strides[0]
        at = x.ctypes.data + b * x.strides[0] + h * stride[0] * x.strides[1]
        to = y.ctypes.data + b * y.strides[0] + h * y.strides[1]
        _integers_of_4(at, len(own), stride[1] * x.strides[2], taps[0], x.strides[1],
                        taps[1] * x.shape[3], panels.ctypes.data, len(panels), own.ctypes.data,
                        flips.ctypes.data, to, y.strides[2])  # fmt: skip


@jit
def _signs_avx512(x, stride, taps, panels, tables, of, flips, own, y, start, stop):
    """As `_integers_avx512`, with bits out."""
    for row in range(start, stop):
        b, h = row // of.shape[0], row % of.shape[0]
        for w in range(of.shape[1]):
            own[w] = tables.ctypes.data + of[h, w] * tables.strides[0]
        at = x.ctypes.data + b * x.strides[0] + h * stride[0] * x.strides[1]
        to = y.ctypes.data + b * y.strides[0] + h * y.strides[1]
        _signs_of_8(at, len(own), stride[1] * x.strides[2], taps[0], x.strides[1],
                        taps[1] * x.shape[3], panels.ctypes.data, len(panels), own.ctypes.data,
                        flips.ctypes.data, to, y.strides[2])  # fmt: skip


@jit
def _signs_avx2(x, stride, taps, panels, tables, of, flips, own, y, start, stop):
    """As `_integers_avx512`, with bits out."""
    for row in range(start, stop):
        b, h = row // of.shape[0], row % of.shape[0]
        for w in range(of.shape[1]):
            own[w] = tables.ctypes.data + of[h, w] * tables.strides[0]
        at = x.ctypes.data + b * x.strides[0] + h * stride[0] * x.strides[1]
        to = y.ctypes.data + b * y.strides[0] + h * y.strides[1]
        _signs_of_4(at, len(own), stride[1] * x.strides[2], taps[0], x.strides[1],
                        taps[1] * x.shape[3], panels.ctypes.data, len(panels), own.ctypes.data,
                        flips.ctypes.data, to, y.strides[2])  # fmt: skip


@jit
def _integers_portable(x, stride, taps, words, bases, of, y, start, stop):
    """As `_integers_avx512`, by plain loops; words (M, rows, columns K), y (B, H', W', M)."""
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


INTEGERS = {"avx512": _integers_avx512, "avx2": _integers_avx2}
SIGNS = {"avx512": _signs_avx512, "avx2": _signs_avx2}
NO_FLIPS = np.zeros(1, np.uint32)


def xnor_conv(x, weight, window):
    """See `bitnet.kernels.xnor_conv`."""
    words, of = window.surrounded(x), window.classes(*x.shape[1:3])[1]
    bases, m = _bases(x.shape, weight, window), weight.shape[0]
    given = words, window.stride, window.size
    work_ns = of.size * len(words) * math.prod(weight.shape) / MACS_PER_NS[level()]
    n_rows = len(words) * len(of)
    if level() == "portable":
        z = np.empty((len(words), *of.shape, m), np.int32)
        shape = m, window.size[0], window.size[1] * words.shape[3]
        rows = np.ascontiguousarray(weight.words).reshape(shape)

        def run(start, stop):
            with np.errstate(over="ignore"):  # where Numba does not compile, NumPy would warn
                _integers_portable(*given, rows, bases, of, z, start, stop)

        shared(run, n_rows, 1, work_ns)
        return z
    panels, convolve = panels_of(weight), INTEGERS[level()]
    z = np.empty((len(words), *of.shape, PANEL * len(panels)), np.int32)

    def run(start, stop):
        own = np.empty(of.shape[1], np.int64)
        convolve(*given, panels, bases, of, NO_FLIPS, own, z, start, stop)

    shared(run, n_rows, 1, work_ns)
    return z if z.shape[-1] == m else np.ascontiguousarray(z[..., :m])


def xnor_conv_sign(x, weight, window, thresholds):
    """See `bitnet.kernels.xnor_conv_sign`."""
    if level() == "portable":
        return threshold(xnor_conv(x, weight, window), thresholds)
    words, of = window.surrounded(x), window.classes(*x.shape[1:3])[1]
    panels, m, convolve = panels_of(weight), weight.shape[0], SIGNS[level()]
    limits, flips = limits_of(thresholds, _bases(x.shape, weight, window)[:, :m])
    shape = len(words), *of.shape
    y = (np.zeros if len(panels) % 2 else np.empty)((*shape, words_for(m)), np.uint64)

    def run(start, stop):
        own = np.empty(of.shape[1], np.int64)
        convolve(words, window.stride, window.size, panels, limits, of, flips, own, y, start, stop)

    work_ns = of.size * len(words) * math.prod(weight.shape) / MACS_PER_NS[level()]
    shared(run, len(words) * len(of), 1, work_ns)
    return Bits(y, (*shape, m))


def _bases(shape, weight, window):
    """What count is taken from, (classes, 32 P) int32, for images (B, H, W, C).

    Kept where the weight keeps layouts: they are its own, for images of one size.
    """
    kept, key = weight.layouts if weight.layouts is not None else {}, ("bases", shape[1:3], window)
    if key not in kept:
        bits, m = weight.shape[-1], weight.shape[0]
        outside = ~window.classes(*shape[1:3])[0] & (window.border == 0)
        ones = np.bitwise_count(weight.words).sum(axis=-1, dtype=np.int32)
        sums = (2 * ones - bits).reshape(m, window.taps)
        kept[key] = np.zeros((len(outside), PANEL * -(-m // PANEL)), np.int32)
        kept[key][:, :m] = bits * window.taps + outside.astype(np.int32) @ sums.T
    return kept[key]
