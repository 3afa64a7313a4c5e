"""The backward products of a convolution, computed for some output pixels at a time in the cache.

For the images, the gradient of a few rows of output pixels is rounded to integers, multiplied
by the filters of all taps, and added to the pixels of the taps.  For the filters, the gradient is
transposed and rounded, and the patches are packed, some images at a time; then some filters at a
time are multiplied by the bits of the patches.  8-bit pixels count as eight times as many
channels: `2p - 255` is the sum of 2^b s_b.
"""

import math

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits, words_for
from bitnet.kernels.cpu import octets, tables, tile_choice
from bitnet.kernels.cpu.dots import ROWS
from bitnet.kernels.cpu.jit import at_least, inner, jit
from bitnet.kernels.cpu.pack import pack, unpack
from bitnet.kernels.cpu.pool import add_patches_to
from bitnet.kernels.cpu.products import planes_of, signed_gemm, signed_rows
from bitnet.kernels.cpu.rounding import (
    quantize_rows,
    round_gradient,
    round_row,
    rule_of,
    transposed,
)
from bitnet.kernels.cpu.tables import INTEGERS, column_index
from bitnet.kernels.cpu.xnor import counted_taps
from bitnet.kernels.memory import aligned_empty, aligned_zeros
from bitnet.kernels.products import LARGEST_SUM
from bitnet.kernels.threads import shared

OUTPUTS = 32  # output pixels whose gradients are multiplied at once, or a whole longer row
BITS, BITS_IN_FLOATS = 1 << 27, 1 << 22  # of patches multiplied at once, by tables, by a BLAS
TRANSPOSED = 1 << 17  # numbers transposed at once
NUMBERS_PER_NS, WORDS_PER_NS = 1.5, 0.5  # approximate, one thread
FLOATS = 1 << 18  # of gradients of patches stored at once


@inner
def _add(sums, first, widths, taps, stride, pads, total):
    """Add the patches of some output pixels, from number `first` of its image on.

    sums (R, taps C or more), total (H, W C), widths: W' and W.
    """
    n = total.shape[1] // widths[1]  # C
    for r in range(len(sums)):
        top = (first + r) // widths[0] * stride[0] - pads[0]
        left = (first + r) % widths[0] * stride[1] - pads[1]
        start, stop = max(0, -left), min(taps[1], widths[1] - left)
        for i in range(taps[0]):
            if 0 <= top + i < len(total) and start < stop:
                patch = sums[r, (i * taps[1] + start) * n : (i * taps[1] + stop) * n]
                row = total[top + i, (left + start) * n : (left + stop) * n]
                for c in range(len(row)):
                    row[c] += patch[c]


@jit
def _images(grad, first, rule, index, scratch, widths, taps, stride, pads, total):
    """Compute total (B, H, W C) from grad (B, H' W', M) from image number `first` on.

    scratch: a row (M,), integers (R, M or more), scales (R,), sums (R, taps C or more), tables.
    """
    largest, seed, stochastic, odd = rule
    v, values, scales, sums, table = scratch
    n_rows, m = grad.shape[1:]
    step = len(values) // widths[0] * widths[0]
    for b in range(len(grad)):
        for r in range(0, n_rows, step):
            count = min(step, n_rows - r)
            at = ((first + b) * n_rows + r) * m
            part = grad[b, r : r + count]
            quantize_rows(part, at, largest, seed, stochastic, odd, v, values, scales)
            whole = -(-count // tables.TILE) * tables.TILE
            if index.shape[1] <= table.shape[1]:
                tables.multiply_one_block(values[:whole], index, table, scales, sums[:whole])
            else:
                integers = sums[:whole].view(np.int32)
                tables.multiply_integers(values[:whole], index, table, integers)
                tables.scale_rows(integers, scales)
            _add(sums[:count], r, widths, taps, stride, pads, total[b])


def gradient_of_images(grad_z, weight, window, size, largest, seed, odd=False):
    """See `bitnet.kernels.gradient_of_images`."""
    m, *taps = weight.shape
    filters = _as_rows(weight)
    by_products = largest is None or not at_least("avx512") or isinstance(weight, BitPlanes)
    n_rows, n = math.prod(grad_z.shape[:3]), math.prod(taps)
    if by_products or not grad_z.size or tile_choice.pay("bytes", n_rows, n, m):
        rule = largest, seed, odd
        return _images_by_products(grad_z, filters, taps, window, size, rule)
    index = column_index(filters.words, INTEGERS)
    n_images, *output, _ = grad_z.shape
    total = np.zeros((n_images, size[0], size[1] * taps[2]), np.float32)
    grad = grad_z.reshape(n_images, math.prod(output), m)
    outputs = max(OUTPUTS, output[1])
    rows = -(-outputs // tables.TILE) * tables.TILE
    rule = rule_of(largest, seed, odd)
    pads = window.padding[0][0], window.padding[1][0]
    place = (output[1], size[1]), tuple(taps[:2]), window.stride, pads

    def run(i, j):
        scratch = (
            np.empty(m, np.float32),
            aligned_zeros((rows, 12 * index.shape[1]), np.int16),
            np.zeros(rows, np.float32),
            aligned_empty((rows, 32 * len(index)), np.float32),
            tables.scratch_tables(index, largest),
        )
        _images(grad[i:j], i, rule, index, scratch, *place, total[i:j])

    work_ns = grad.size * math.prod(taps) / tables.MACS_PER_NS["integers"]
    shared(run, n_images, 1, work_ns)
    return total.reshape(n_images, *size, taps[2])


def _as_rows(weight):
    """Return filters (M, rows, columns, C) as a matrix (M, N)."""
    if isinstance(weight, BitPlanes):
        planes = [_as_rows(part) for _, part in planes_of(weight)]
        words = np.stack([plane.words for plane in planes])
        return weight.with_bits(Bits(words, (len(words), *planes[0].shape)))
    shape = len(weight), math.prod(weight.shape[1:])
    return pack(unpack(weight, np.dtype(np.int8)).reshape(shape))


def _images_by_products(grad_z, filters, taps, window, size, rule):
    """Compute `gradient_of_images` with products and sums of patches, some images at a time."""
    largest, (n_images, *output, m) = rule[0], grad_z.shape
    places, n = math.prod(output), math.prod(taps)
    numbers = grad_z.reshape(n_images * places, m)
    numbers = numbers if largest is None else round_gradient(numbers, *rule)
    rows, macs_per_ns = signed_rows(numbers, filters)
    step = max(1, FLOATS // max(1, places * n))
    grad_x = np.zeros((n_images, *size, taps[2]), grad_z.dtype)

    def run(start, stop):
        for i in range(start, stop, step):
            j = min(stop, i + step)
            patches = np.empty(((j - i) * places, n), grad_z.dtype)
            rows(i * places, j * places, patches)
            add_patches_to(window, patches.reshape(j - i, *output, *taps), grad_x[i:j])

    shared(run, n_images, 1, grad_z.size * n / macs_per_ns)
    return grad_x


@jit
def _column_magnitudes(bits, first, stop, largest):
    """Find the largest magnitude of each column, as bits: bits (R, M) int32, largest (M,)."""
    largest = largest[first:stop]
    for i in range(len(bits)):
        row = bits[i][first:stop]
        for j in range(len(row)):
            largest[j] = max(largest[j], row[j] & np.int32(0x7FFFFFFF))


@jit
def _round_columns(numbers, factors, at, first, step, rule, values, by_place):
    """Round numbers (M, r) in place to the columns of values (M, R) from number `at` on.

    by_place (M, P) gets their sums over the images.  `first` is the number of the first column
    of values among the `step` columns of all parts.
    """
    largest, seed, stochastic, odd = rule
    n = by_place.shape[1]
    for m in range(len(numbers)):
        row = numbers[m]
        to = values[m][at : at + len(row)]
        for j in range(len(row)):
            row[j] = row[j] * factors[m]
        round_row(row, seed, m * step + first + at, stochastic, largest, odd, to)
        for start in range(0, len(row), n):
            image, sums = to[start : start + n], by_place[m]
            for p in range(n):
                sums[p] += image[p]


@jit
def _scale(total, beyond, scales, y):
    """Compute y = scale * (total + beyond): (M, taps, C), (M, taps) and (M,)."""
    for m in range(len(y)):
        scale = np.float64(scales[m])
        for tap in range(y.shape[1]):
            own, to, more = total[m, tap], y[m, tap], beyond[m, tap]
            for c in range(len(to)):
                to[c] = np.float32(np.float64(own[c] + more) * scale)


@jit
def _concatenate(words, n, stride, taps, patches):
    """Write the bits of each patch to patches (B, H', W', K), which must contain zeros.

    words (B, H, W, k): padded images with n bits per pixel.
    """
    for b in range(patches.shape[0]):
        for h in range(patches.shape[1]):
            for w in range(patches.shape[2]):
                to = patches[b, h, w]
                for i in range(taps[0]):
                    for j in range(taps[1]):
                        at = n * (i * taps[1] + j)
                        shift = np.uint64(at % 64)
                        for k in range(words.shape[3]):
                            word = words[b, h * stride[0] + i, w * stride[1] + j, k]
                            to[at // 64 + k] |= word << shift
                            if shift and at // 64 + k + 1 < len(to):
                                to[at // 64 + k + 1] |= word >> (np.uint64(64) - shift)


def gradient_of_filters(grad_z, x, window, largest, seed, odd=False):
    """See `bitnet.kernels.gradient_of_filters`."""
    if largest is None:
        return _filters_of_floats(grad_z, x, window)
    (n_images, *output, m), places = grad_z.shape, math.prod(grad_z.shape[1:3])
    grad = np.ascontiguousarray(grad_z).reshape(n_images * places, m)
    scales = np.zeros(m, np.float32)
    magnitudes, work_ns = scales.view(np.int32), grad.size / NUMBERS_PER_NS
    as_bits = grad.view(np.int32)
    shared(lambda i, j: _column_magnitudes(as_bits, i, j, magnitudes), m, 16, work_ns)
    rule = rule_of(largest, seed, odd)
    bits, coefficients = _bits_of(x)
    n = window.taps * bits.shape[3]
    at_once = BITS if at_least("avx2") else BITS_IN_FLOATS
    at_once = min(at_once // max(1, n * places), LARGEST_SUM // max(1, largest * places))
    at_once, parts = max(1, at_once), []
    for i in range(0, max(1, n_images), at_once):
        j = min(n_images, i + at_once)
        some = Bits(bits.words[i:j], (j - i, *bits.shape[1:]))
        numbers, by_place = _rounded_columns(grad, i * places, j * places, places, scales, rule)
        sums = _sums(numbers, _patches(some, window, output), m, n, largest, (j - i) * places)
        parts.append((sums, by_place))
    total, by_place = parts[0] if len(parts) == 1 else map(_total, zip(*parts, strict=True))
    inside, of = window.classes(*x.shape[1:3])
    beyond = np.zeros((m, window.taps), np.int64)
    if not window.border:  # padding counted as -1, not 0
        outside = ~inside[of.ravel()]
        some = outside.any(axis=1)
        beyond += by_place[:, some].astype(np.int64) @ outside[some].astype(np.int64)
    scales = scales / np.float32(largest)
    if isinstance(x, Bits) and total.dtype == np.int32:
        y = np.empty((m, window.taps, x.shape[3]), np.float32)
        total = total.reshape(y.shape)

        def scale(i, j):
            _scale(total[i:j], beyond[i:j], scales[i:j], y[i:j])

        shared(scale, m, 1, y.size / NUMBERS_PER_NS)
        return y.reshape(m, *window.size, x.shape[3])
    total = total.reshape(m, window.taps, bits.shape[3]) + beyond[:, :, None]
    if isinstance(x, BitPlanes):
        total = total.reshape(m, window.taps, len(coefficients), -1)[..., : x.shape[3]]
        total = np.moveaxis(total, 2, 3) @ np.array(coefficients)
        if x.offset:
            counted = counted_taps(window, x.shape[1:3])[0]
            counts = by_place.astype(np.int64) @ counted[of.ravel()]
            total += x.offset * counts[:, :, None]
    elif not isinstance(x, Bits):
        total = total.reshape(m, window.taps, x.shape[3], 8) @ (1 << np.arange(8))
    total = total.reshape(m, *window.size, x.shape[3]).astype(np.float64)
    with np.errstate(all="ignore"):  # for a gradient with NaN or infinity
        return (total * scales[:, None, None, None]).astype(np.float32)


def _total(parts):
    """Add arrays of integers in int64."""
    return sum(part.astype(np.int64) for part in parts)


def _rounded_columns(grad, first, stop, places, scales, rule):
    """Round some rows of gradients (R, M) as columns, with the largest magnitude of each.

    Return int16 (M, R) with zeros up to whole tiles and groups, and the sums over the images
    (M, P), int32.
    """
    (n_rows, m), count, sums = grad.shape, stop - first, []
    shape = m + -m % tables.TILE, count + -count % INTEGERS.word_rows
    numbers = aligned_empty(shape, np.int16)
    numbers[m:], numbers[:, count:] = 0, 0
    with np.errstate(all="ignore"):  # columns of zeros, NaN or infinity
        factors = rule[0] / scales
    at_once = max(1, TRANSPOSED // max(1, m * places))

    def run(start, stop):
        by_place = np.zeros((m, places), np.int32)
        sums.append(by_place)
        for i in range(start, stop, at_once):
            at, end = i * places, min(stop, i + at_once) * places
            columns = transposed(grad[first + at : first + end])
            with np.errstate(all="ignore"):  # NumPy would warn if Numba does not compile
                _round_columns(columns, factors, at, first, n_rows, rule, numbers, by_place)

    shared(run, count // max(1, places), 1, count * m / NUMBERS_PER_NS)
    return numbers, sum(sums)


def _sums(numbers, patches, m, n, largest, n_rows):
    """Return the integers numbers @ patches, (m, n), for int16 (M, R) and words (R, K)."""
    if largest <= tile_choice.LARGEST and tile_choice.pay("bytes", m, n, n_rows):
        return tile_choice.products_of("bytes").integers(numbers[:m], patches, n)
    if at_least("avx512"):
        index = column_index(patches, INTEGERS)
        sums = aligned_empty((len(numbers), 32 * len(index)), np.int32)

        def run(i, j):
            table = tables.scratch_tables(index, largest)
            tables.multiply_integers(numbers[i:j], index, table, sums[i:j])

        work_ns = m * n * n_rows / tables.MACS_PER_NS["integers"]
        shared(run, len(numbers), tables.ROWS, work_ns)
        return np.ascontiguousarray(sums[:m, :n])
    bits = Bits(patches, (n_rows, n))
    if kind := octets.kind_of_numbers(largest, bits):
        sums = np.empty((m, n), np.int32)
        rows = octets.integer_rows(kind, numbers[:m, :n_rows], largest, bits)
        work_ns = m * n * n_rows / kind.macs_per_ns
        shared(lambda i, j: rows(i, j, sums[i:j]), m, ROWS, work_ns)
        return sums
    dtype = np.dtype(np.float32 if largest * n_rows < 2**24 else np.float64)
    return (numbers[:m, :n_rows].astype(dtype) @ unpack(bits, dtype)).astype(np.int64)


def _bits_of(x):
    """Return Bits, pixels or planes as Bits with more channels, and the coefficients of the planes.

    Pixels (B, H, W, C) become (B, H, W, 8 C), the bits of each byte from the lowest on; planes
    are joined as whole words.
    """
    if isinstance(x, Bits):
        return x, None
    *shape, channels = x.shape
    if isinstance(x, BitPlanes):
        n_planes, n_words = len(x.coefficients), x.bits.words.shape[-1]
        words = np.moveaxis(x.bits.words, 0, 3).reshape(*shape, n_planes * n_words)
        return Bits(words, (*shape, 64 * n_planes * n_words)), x.coefficients
    padded = np.zeros((*shape, 8 * words_for(8 * channels)), np.uint8)
    padded[..., :channels] = x
    words = padded.view("<u8").astype(np.uint64, copy=False)
    return Bits(words, (*shape, 8 * channels)), None


def _patches(x, window, output):
    """Return the patches of Bits (B, H, W, C) as words (R, K)."""
    n = window.taps * x.shape[3]
    patches = np.zeros((x.shape[0], *output, words_for(n)), np.uint64)

    def run(i, j):
        some = window.surrounded(Bits(x.words[i:j], (j - i, *x.shape[1:])))
        _concatenate(some, x.shape[3], window.stride, window.size, patches[i:j])

    shared(run, len(patches), 1, patches.size / WORDS_PER_NS)
    return patches.reshape(math.prod(patches.shape[:3]), patches.shape[3])


def _filters_of_floats(grad_z, x, window):
    """Compute `gradient_of_filters` in floats."""
    if not at_least("avx512") or grad_z.dtype != np.float32 or isinstance(x, BitPlanes):
        return reference.gradient_of_filters(grad_z, x, window, None, None)
    n_images, *output, m = grad_z.shape
    columns = grad_z.reshape(n_images * math.prod(output), m).T
    if isinstance(x, Bits):
        n = window.taps * x.shape[3]
        patches = Bits(_patches(x, window, output), (columns.shape[1], n))
    else:
        views = window.views_of_pixels(x)
        patches = views.reshape(columns.shape[1], window.taps * x.shape[3])
    total = signed_gemm(np.ascontiguousarray(columns), patches)
    total = total.reshape(m, *window.size, x.shape[3])
    if not window.border:  # padding counted as -1, or -255, not 0
        inside, of = window.classes(*x.shape[1:3])
        by_place = columns.reshape(m, n_images, of.size).sum(axis=1)
        beyond = by_place @ (~inside[of.ravel()]).astype(np.float32)  # (M, taps)
        total += (1 if isinstance(x, Bits) else 255) * beyond.reshape(m, *window.size, 1)
    return total
