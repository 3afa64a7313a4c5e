"""Pooling and sums of patches, for one pixel with all its channels at a time."""

import functools

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.bits import Bits
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.threads import shared

NUMBERS_PER_NS = 1.0  # read or written, approximate, one thread


@jit
def _max_pool(x, stride, taps, pads, y, first):
    """Find the maxima and their taps: x (B, H, W, C), y and first (B, H', W', C)."""
    for b in range(y.shape[0]):
        for h in range(y.shape[1]):
            for w in range(y.shape[2]):
                seen = False
                for i in range(taps[0]):
                    for j in range(taps[1]):
                        row, column = h * stride[0] - pads[0] + i, w * stride[1] - pads[1] + j
                        if not (0 <= row < x.shape[1] and 0 <= column < x.shape[2]):
                            continue
                        tap = np.uint8(i * taps[1] + j)
                        for c in range(x.shape[3]):
                            number = x[b, row, column, c]
                            better = not seen or number > y[b, h, w, c]
                            y[b, h, w, c] = number if better else y[b, h, w, c]
                            first[b, h, w, c] = tap if better else first[b, h, w, c]
                        seen = True


@jit
def _max_pool_backward(grad_y, first, stride, taps, pads, grad_x):
    """Add the gradients at the tap `first` to grad_x (B, H, W, C), which must contain zeros."""
    for b in range(grad_y.shape[0]):
        for h in range(grad_y.shape[1]):
            for w in range(grad_y.shape[2]):
                for i in range(taps[0]):
                    for j in range(taps[1]):
                        row, column = h * stride[0] - pads[0] + i, w * stride[1] - pads[1] + j
                        if not (0 <= row < grad_x.shape[1] and 0 <= column < grad_x.shape[2]):
                            continue
                        tap = np.uint8(i * taps[1] + j)
                        for c in range(grad_x.shape[3]):
                            passes = first[b, h, w, c] == tap
                            grad = grad_y[b, h, w, c] if passes else np.float32(0)
                            grad_x[b, row, column, c] += grad


@jit
def _max_pool_words(words, stride, taps, pads, best):
    """Find the maxima of integers whose coefficients are 1, 2, 4, ...; words (B, P, H, W, K).

    64 channels are compared at a time: the greater number has the 1 in the highest plane in which
    the two differ.
    """
    n_planes = words.shape[1]
    for b in range(best.shape[0]):
        for h in range(best.shape[2]):
            for w in range(best.shape[3]):
                for k in range(best.shape[4]):
                    seen = False
                    for i in range(taps[0]):
                        for j in range(taps[1]):
                            row, column = h * stride[0] - pads[0] + i, w * stride[1] - pads[1] + j
                            if not (0 <= row < words.shape[2] and 0 <= column < words.shape[3]):
                                continue
                            greater, equal = np.uint64(0), ~np.uint64(0)
                            for p in range(n_planes - 1, -1, -1):
                                new, old = words[b, p, row, column, k], best[b, p, h, w, k]
                                greater |= equal & new & ~old
                                equal &= ~(new ^ old)
                            greater = greater if seen else ~np.uint64(0)
                            for p in range(n_planes):
                                new, old = words[b, p, row, column, k], best[b, p, h, w, k]
                                best[b, p, h, w, k] = (old & ~greater) | (new & greater)
                            seen = True


@jit
def _max_pool_words_backward(grad_y, words, best, stride, taps, pads, grad_x):
    """Add gradients (B, H', W', C) at the first best tap to zeros grad_x (B, H, W, C).

    For words and best see `_max_pool_words`.
    """
    for b in range(grad_y.shape[0]):
        for h in range(grad_y.shape[1]):
            for w in range(grad_y.shape[2]):
                for k in range(words.shape[4]):
                    left = ~np.uint64(0)  # channels whose tap is still to be found
                    for i in range(taps[0]):
                        for j in range(taps[1]):
                            row, column = h * stride[0] - pads[0] + i, w * stride[1] - pads[1] + j
                            if not (0 <= row < words.shape[2] and 0 <= column < words.shape[3]):
                                continue
                            found = left
                            for p in range(words.shape[1]):
                                found &= ~(words[b, p, row, column, k] ^ best[b, p, h, w, k])
                            left &= ~found
                            for c in range(64 * k, min(64 * k + 64, grad_y.shape[3])):
                                passes = (found >> np.uint64(c - 64 * k)) & np.uint64(1)
                                grad = grad_y[b, h, w, c] if passes else np.float32(0)
                                grad_x[b, row, column, c] += grad


@jit
def _add_patches(patches, stride, pads, total):
    """Add patches (B, H', W', rows, columns, C or more) to zeros total (B, H, W, C)."""
    for b in range(total.shape[0]):
        for i in range(patches.shape[3] - 1, -1, -1):
            for j in range(patches.shape[4] - 1, -1, -1):
                for h in range(patches.shape[1]):
                    row = h * stride[0] - pads[0] + i
                    if not 0 <= row < total.shape[1]:
                        continue
                    for w in range(patches.shape[2]):
                        column = w * stride[1] - pads[1] + j
                        if 0 <= column < total.shape[2]:
                            pixel, seen = total[b, row, column], patches[b, h, w, i, j]
                            for c in range(len(pixel)):
                                pixel[c] += seen[c]


def _by_images(run, arrays, size):
    """Distribute a loop over images over threads."""
    work_ns = size / NUMBERS_PER_NS
    shared(lambda i, j: run(*(a[i:j] for a in arrays)), len(arrays[0]), 1, work_ns)


def _pads(window):
    """Return the padding above and to the left, in pixels."""
    return window.padding[0][0], window.padding[1][0]


def max_pool(x, window):
    """See `bitnet.kernels.max_pool`."""
    if x.dtype not in (np.float32, np.int32, np.uint8):
        return reference.max_pool(x, window)
    x = np.ascontiguousarray(x)
    y = np.empty((x.shape[0], *window.output(*x.shape[1:3]), x.shape[3]), x.dtype)
    first, settings = np.empty(y.shape, np.uint8), (window.stride, window.size, _pads(window))
    _by_images(lambda x, y, first: _max_pool(x, *settings, y, first), (x, y, first), x.size)
    return y, first


def max_pool_backward(grad_y, first, window, size):
    """See `bitnet.kernels.max_pool_backward`."""
    if grad_y.dtype != np.float32:
        return reference.max_pool_backward(grad_y, first, window, size)
    grad_y, first = np.ascontiguousarray(grad_y), np.ascontiguousarray(first)
    grad_x = np.zeros((grad_y.shape[0], *size, grad_y.shape[3]), np.float32)
    settings = window.stride, window.size, _pads(window)

    def run(grad_y, first, grad_x):
        _max_pool_backward(grad_y, first, *settings, grad_x)

    _by_images(run, (grad_y, first, grad_x), grad_x.size)
    return grad_x


def max_pool_bits(bits, coefficients, window):
    """See `bitnet.kernels.max_pool_bits`."""
    if not _counts_in_twos(coefficients):
        return reference.max_pool_bits(bits, coefficients, window)
    n_planes, n_images, height, width, _ = bits.shape
    shape = (n_planes, n_images, *window.output(height, width), bits.words.shape[-1])
    best, settings = np.empty(shape, np.uint64), (window.stride, window.size, _pads(window))
    arrays = (np.moveaxis(words, 0, 1) for words in (bits.words, best))
    size = bits.words.size * window.taps
    _by_images(lambda x, y: _max_pool_words(x, *settings, y), tuple(arrays), size)
    return Bits(best, (*shape[:-1], bits.shape[-1]))


def max_pool_bits_backward(grad_y, bits, coefficients, pooled, window):
    """See `bitnet.kernels.max_pool_bits_backward`."""
    if grad_y.dtype != np.float32:
        return reference.max_pool_bits_backward(grad_y, bits, coefficients, pooled, window)
    grad_x = np.zeros(bits.shape[1:], np.float32)
    settings = window.stride, window.size, _pads(window)
    planes = (np.moveaxis(b.words, 0, 1) for b in (bits, pooled))

    def run(grad_y, words, best, grad_x):
        _max_pool_words_backward(grad_y, words, best, *settings, grad_x)

    _by_images(run, (np.ascontiguousarray(grad_y), *planes, grad_x), grad_x.size)
    return grad_x


def _counts_in_twos(coefficients):
    """Return whether the coefficients are 1, 2, 4, ..."""
    return all(c == 1 << p for p, c in enumerate(coefficients))


def add_patches(patches, window, size):
    """See `bitnet.kernels.add_patches`."""
    if patches.dtype != np.float32:
        return reference.add_patches(patches, window, size)
    total = np.zeros((patches.shape[0], *size, patches.shape[5]), np.float32)
    run = functools.partial(add_patches_to, window)
    _by_images(run, (patches, total), patches.size)
    return total


def add_patches_to(window, patches, total):
    """Add patches (B, H', W', rows, columns, C) to images (B, H, W, C), on this thread."""
    if patches.dtype == np.float32:
        _add_patches(patches, window.stride, _pads(window), total)
    else:
        total += reference.add_patches(patches, window, total.shape[1:3])
