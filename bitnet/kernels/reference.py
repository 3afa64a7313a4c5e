"""The definition of every kernel in a line or two of NumPy; all other versions must equal it.

Arguments are valid here: `bitnet.kernels` has checked them.  Shapes: B rows of a batch,
M outputs, N inputs, K words in a row.  `xp` is NumPy, or CuPy for CuPy's arrays: what is said
here runs on a GPU too, with the functions and arguments that both have.
"""

import math

import numpy as np

from bitnet.arrays import array_module, is_array
from bitnet.kernels.bits import WORD, WORD_BITS, Bits, Planes, words_for
from bitnet.kernels.operands import Quantized
from bitnet.kernels.reference_cells import (
    add_rows,
    affine,
    gru_back,
    gru_step,
    lstm_back,
    lstm_step,
    rnn_back,
    rnn_step,
)
from bitnet.kernels.reference_rules import DIRECTIONS, ap2, flip  # noqa: F401


def pack(x):
    """x >= 0 (True, for booleans) as Bits of the same shape."""
    xp, n_words = array_module(x), words_for(x.shape[-1])
    ones = xp.zeros((*x.shape[:-1], n_words * WORD_BITS), np.bool_)
    ones[..., : x.shape[-1]] = x if x.dtype == np.bool_ else x >= 0
    words = xp.packbits(ones.ravel(), bitorder="little").view(WORD)
    return Bits(words.reshape(*x.shape[:-1], n_words), x.shape)


def pack_with_mask(x, window):
    """x >= 0, and |x| <= window: where the straight-through estimator lets a gradient pass."""
    return pack(x), pack(abs(x) <= window)


def transpose(bits):
    """Bits (N, M) from Bits (M, N)."""
    return pack(bits.signs().T)


def prepare(bits):
    """Nothing is laid out here."""
    return bits


def unpack(bits, dtype):
    """+1 and -1 as numbers."""
    return bits.signs(dtype)


def where(mask, x):
    """x where the bit of the mask is 1, zero elsewhere."""
    return array_module(x).where(mask.signs() > 0, x, x.dtype.type(0))


def split_planes(pixels):
    """The eight ±1 planes of 2p - 255, least significant first."""
    weights = [1 << b for b in range(8)]
    ones = array_module(pixels).stack([pixels & weight != 0 for weight in weights])
    return Planes(pack(ones), weights)


def xnor_gemm(x, weight):
    """z[i, j] = sum_n x[i, n] * weight[j, n] = n - 2 popcount(x ^ weight), for ±1 in Bits."""
    z = array_module(x).empty((x.shape[0], weight.shape[0]), np.int32)
    for i in range(len(z)):
        differ = bitwise_count(x.words[i] ^ weight.words)
        z[i] = x.shape[-1] - 2 * differ.sum(axis=-1, dtype=np.int32)
    return z


def bitwise_count(words):
    """The number of ones in each word: `numpy.bitwise_count`, which CuPy before 14 lacks."""
    if array_module(words) is np:
        return np.bitwise_count(words)
    ones = words.view(np.uint8).reshape(*words.shape, WORD.itemsize)
    ones = ones - (ones >> 1 & 0x55)  # in each pair of bits
    ones = (ones & 0x33) + (ones >> 2 & 0x33)  # in four
    return ((ones + (ones >> 4)) & 0x0F).sum(axis=-1, dtype=np.uint8)


def xnor_sign(x, weight, thresholds):
    """The signs of a frozen layer."""
    return threshold(xnor_gemm(x, weight), thresholds)


def xnor_conv(x, weight, window):
    """What each output pixel sees, times the filter of each channel: (B, H', W', M)."""
    patches = window.views(x.signs(np.int32), window.border)
    return array_module(x).einsum("bhwijc,mijc->bhwm", patches, weight.signs(np.int32))


def max_pool(x, window):
    """The largest number of each window, and the first tap that has it."""
    if x.dtype == np.uint8:  # what lies beyond the images is less than 0
        y, first = max_pool(x.astype(np.int16), window)
        return y.astype(np.uint8), first
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    xp = array_module(x)
    y = first = None
    x = xp.pad(x, ((0, 0), *window.padding, (0, 0)), constant_values=least)
    for tap, numbers in enumerate(window.seen(x)):
        if y is None:
            y, first = numbers.copy(), xp.zeros(numbers.shape, np.uint8)
        better = numbers > y
        y, first = xp.where(better, numbers, y), xp.where(better, np.uint8(tap), first)
    return y, first


def max_pool_bits(bits, coefficients, window):
    """The planes of the largest integer of each window; bits (P, B, H, W, C)."""
    _, first = max_pool(Planes(bits, coefficients).integers(), window)
    xp = array_module(bits)
    pads = ((0, 0), (0, 0), *window.padding, (0, 0))
    ones = xp.pad(bits.signs() > 0, pads)
    seen = [xp.stack(taps) for taps in zip(*map(window.seen, ones), strict=True)]
    won = xp.zeros(seen[0].shape, np.bool_)
    for tap, own in enumerate(seen):
        won |= (first == tap) & own
    return pack(won)


def max_pool_bits_backward(grad_y, bits, coefficients, pooled, window):
    """The gradient of each output pixel at the first tap that has the largest integer."""
    _, first = max_pool(Planes(bits, coefficients).integers(), window)
    return max_pool_backward(grad_y, first, window, bits.shape[2:4])


def concatenate(parts):
    """The signs of all parts, one after the other along the last axis."""
    return pack(array_module(*parts).concatenate([part.signs() for part in parts], axis=-1))


def max_pool_backward(grad_y, first, window, size):
    """The gradient of each output pixel at the tap that won."""
    xp, zero = array_module(grad_y), grad_y.dtype.type(0)
    patches = [xp.where(first == tap, grad_y, zero) for tap in range(window.taps)]
    shape = (*grad_y.shape[:3], *window.size, grad_y.shape[3])
    return add_patches(xp.stack(patches, axis=3).reshape(shape), window, size)


def add_patches(patches, window, size):
    """Each pixel's sum over the patches that saw it, from the last tap to the first."""
    (n_images, *_, channels), columns = patches.shape, window.size[1]
    padded = (n_images, *window.padded(*size), channels)
    total = array_module(patches).zeros(padded, patches.dtype)
    for tap, seen in reversed([*enumerate(window.seen(total))]):
        seen += patches[:, :, :, tap // columns, tap % columns]
    (above, _), (left, _) = window.padding
    return total[:, above : above + size[0], left : left + size[1]]


def gradient_of_images(grad_z, weight, window, size, largest, seed, odd=False):
    """The gradient's product with the filters of each tap, summed over the taps of each pixel."""
    m, *taps = weight.shape
    numbers = grad_z.reshape(math.prod(grad_z.shape[:3]), m)
    numbers = numbers if largest is None else quantize(numbers, largest, seed, odd)
    patches = _product(numbers, _integers(weight).reshape(m, math.prod(taps)))
    return add_patches(patches.reshape(*grad_z.shape[:3], *taps), window, size)


def gradient_of_filters(grad_z, x, window, largest, seed, odd=False):
    """The gradient's product with what each tap saw."""
    m = grad_z.shape[3]
    numbers = grad_z.reshape(math.prod(grad_z.shape[:3]), m).T
    numbers = numbers if largest is None else quantize(numbers, largest, seed, odd)
    patches = window.views(_integers(x), beyond(x, window.border))
    rows = patches.reshape(math.prod(patches.shape[:3]), math.prod(patches.shape[3:]))
    return _product(numbers, rows).reshape(m, *window.size, x.shape[3])


def _product(x, integers):
    """Floats times integers, or exact integers and then a scale a row."""
    if not isinstance(x, Quantized):
        return x @ integers.astype(x.dtype)
    return (x.values.astype(np.int64) @ integers).astype(np.float32) * x.scales[:, None]


def beyond(x, border):
    """The integer that stands beyond images: 0, or the one whose planes are all +1, or all -1."""
    if isinstance(x, Planes):
        return border * sum(x.coefficients) + (x.offset if border else 0)
    return border * (1 if isinstance(x, Bits) else 255)


def xnor_conv_sign(x, weight, window, thresholds):
    """The signs of a frozen convolution."""
    return threshold(xnor_conv(x, weight, window), thresholds)


def plane_conv(x, weight, window):
    """The integers that each output pixel sees, times those of the filter of each channel."""
    patches = window.views(_integers(x), beyond(x, window.border))
    z = array_module(x).einsum("bhwijc,mijc->bhwm", patches, _integers(weight))
    return z.astype(np.int32)


def plane_gemm(x, weight):
    """z = integers of x @ integers of weight.T."""
    return (_integers(x) @ _integers(weight).T).astype(np.int32)


def _integers(x):
    """Bits, planes without their scale, or pixels, as the integers that they stand for."""
    if isinstance(x, Planes):
        return x.integers().astype(np.int64)
    return x.signs(np.int64) if isinstance(x, Bits) else 2 * x.astype(np.int64) - 255


def signed_gemm(x, signs):
    """y[i, n] = sum_m x[i, m] * signs[m, n]: floats, or exact integers and then a scale a row."""
    if isinstance(x, Quantized):
        sums = x.values.astype(np.int64) @ _integers(signs)
        return sums.astype(np.float32) * x.scales[:, None] * np.float32(getattr(signs, "scale", 1))
    numbers = signs.numbers if isinstance(signs, Planes) else _integers(signs).astype
    return x @ numbers(x.dtype)


def signed_rows(x, signs):
    """Rows of the product, from all of it."""
    y = signed_gemm(x, signs)

    def rows(start, stop, out):
        out[...] = y[start:stop]

    return rows, np.inf


def threshold(z, thresholds):
    """z >= value where the unit rises, z <= value where it falls, as Bits."""
    passed = z >= thresholds.values, z <= thresholds.values
    return pack(array_module(z).where(thresholds.rising, *passed))


def step_codes(x, factor, low, high, nearest):
    """round(clip(x * factor, low, high)) - round(low), to the nearest integer or down."""
    xp = array_module(x)
    with np.errstate(all="ignore"):  # what passes the range of floats, and NaN
        y = x * factor
        y = xp.where(y > low, xp.minimum(y, high), low)
    y = xp.rint(y) - np.rint(low) if nearest else xp.floor(y) - np.floor(low)
    return y.astype(np.uint8)


def edge_codes(x, edges, signed):
    """The number of edges that |x| reaches; where signed, up or down from the middle code."""
    found = (abs(x)[..., None] >= edges).sum(axis=-1, dtype=np.int16)
    below = len(edges) - found if signed else 0 * found
    above = found + (len(edges) if signed else 0)
    return array_module(x).where(x > 0, above, below).astype(np.uint8)


def split_codes(codes, patterns, n_planes):
    """Bit p of the pattern of each code in plane p."""
    found = patterns[codes]
    ones = [found >> np.uint32(plane) & 1 == 1 for plane in range(n_planes)]
    return pack(array_module(codes).stack(ones))


def rank(z, steps):
    """The number of thresholds of its column that each integer passes."""
    z = z[..., None]
    passed = z >= steps.values, z <= steps.values
    passed = array_module(z).where(steps.rising[:, None], *passed)
    return passed.sum(axis=-1, dtype=np.uint8)


def count_flips(a, b):
    """The number of signs that differ."""
    return int(bitwise_count(a.words ^ b.words).sum(dtype=np.int64))


def quantize(x, largest, seed, odd=False):
    """Integers round(largest * x / max|x|), row by row, and the scales max|x| / largest.

    Where odd, those that differ from `largest` by an even number.
    """
    xp = array_module(x)
    magnitude = abs(x).max(axis=1) if x.size else xp.zeros(len(x), np.float32)
    with np.errstate(all="ignore"):  # rows of zeros, or of what is not finite
        v = x * (np.float32(largest) / magnitude)[:, None]
        v = (v + np.float32(largest)) * np.float32(0.5) if odd else v
        v = xp.rint(v) if seed is None else xp.floor(v + uniform(seed, x.shape, xp))
        v = 2 * v - np.float32(largest) if odd else v
        v = xp.where(abs(v) <= largest + 2, v, np.float32(0)).clip(-largest, largest)
    return Quantized(v.astype(np.int16), magnitude / np.float32(largest), largest)


def powers(x, count):
    """sign(x) 2^round(log2 |x|), or 0 below the `count` powers up to that of max|x|."""
    if not x.size:
        return x.copy()
    xp = array_module(x)
    largest = abs(x).max()
    exponents, top = _nearest_power(abs(x)), _nearest_power(largest)
    there = (exponents > top - count) & (abs(x) >= np.finfo(x.dtype).tiny)
    with np.errstate(all="ignore"):
        y = xp.where(there, xp.ldexp(xp.sign(x), exponents), x.dtype.type(0))
        return xp.where(xp.isfinite(largest), y, x.dtype.type(np.nan))


def _nearest_power(x):
    """round(log2 x): its edges are sqrt(1/2) 2^e."""
    fraction, exponent = array_module(x).frexp(x)
    return exponent - (fraction < x.dtype.type(math.sqrt(0.5)))


def uniform(seed, shape, xp=np):
    """Numbers from 0 to below 1, float32: the top 24 bits of splitmix64(seed + index)."""
    i = xp.arange(1, math.prod(shape) + 1, dtype=np.uint64).reshape(shape)
    x = np.uint64(seed) + i * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def column_sums(z):
    """The sums of each column of integers, and of their squares: exact, as int64."""
    z = z.astype(np.int64)
    return z.sum(axis=0), (z * z).sum(axis=0)


def normalize_sign(z, mean, scale, shift, window):
    """The signs of y = (z - mean) * scale + shift, and where |y| <= window, both as Bits."""
    y = (z.astype(mean.dtype) - mean) * scale + shift
    return pack_with_mask(y, y.dtype.type(np.inf if window is None else window))


def batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma):
    """The gradients of z, gamma and beta of y = (z - mean) * inv_std * gamma + beta.

    `mask` says where grad_y counts.  Sums run down the columns in float64, row after row.
    """
    g = grad_y if mask is None else where(mask, grad_y)
    xhat = (z.astype(mean.dtype) - mean) * inv_std
    grad_beta, grad_gamma = (_running_total(terms) for terms in (g, g * xhat))
    along = (grad_beta + xhat * grad_gamma) / xhat.dtype.type(len(z))  # what mean and var take away
    return (g - along) * (gamma * inv_std), grad_gamma, grad_beta


def _running_total(terms):
    """The sum over the first axis in float64, strictly one row after the other; not by CuPy."""
    if array_module(terms) is not np:
        return terms.sum(axis=0, dtype=np.float64).astype(terms.dtype)
    return np.add.accumulate(terms, axis=0, dtype=np.float64)[-1:].sum(axis=0).astype(terms.dtype)


def update(rule, weight, grad, state, constants, bound, words):
    """w <- clip(w - direction, -bound, bound) in place; the new signs into words.

    Returns the signs that changed, None if a weight is NaN.  The direction of each rule is
    elementwise, with the constants of `kernels.update`; "bop" flips weights of +1 and -1.
    """
    grad = grad if is_array(grad) else grad.array()
    rate, *constants = (weight.dtype.type(c) for c in constants)
    if rule == "bop":
        flip(weight, grad, *state, rate, *constants)
    else:
        weight -= rate * DIRECTIONS[rule](grad, *state, *constants)
    if bound is not None:
        weight.clip(-weight.dtype.type(bound), weight.dtype.type(bound), out=weight)
    xp = array_module(weight)
    if not weight.size or (words is None and xp is not np):
        return 0
    lost = xp.isnan(weight.min())
    if words is None:
        return None if lost else 0
    new = pack(weight).words
    flips = bitwise_count(words ^ new).sum(dtype=np.int64)
    words[...] = new
    flips = int(xp.where(lost, -1, flips))  # one number, and so one wait for a GPU
    return None if flips < 0 else flips
