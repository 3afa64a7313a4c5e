"""One step of an optimizer in one pass: moments, weights, clip, new signs, and their flips."""

import functools
import math

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import inner, jit, level
from bitnet.kernels.cpu.products import signed_rows
from bitnet.kernels.cpu.rounding import nearest_power
from bitnet.kernels.cpu.xnor import popcount
from bitnet.kernels.products import Product
from bitnet.kernels.threads import shared

ELEMENTS_PER_NS = 1.2  # approximate, one thread
PART = 1 << 19  # elements whose gradient is computed and used within the cache


@inner
def _sgd(w, g, velocity, unused, c):
    """Return w, the velocity and another moment after a step; c = rate, momentum, nesterov."""
    rate, momentum, nesterov = c
    v = velocity * momentum + g
    return w - rate * (g + momentum * v if nesterov else v), v, unused


@inner
def _adam(w, g, m, v, c):
    """Step like `_sgd`; c = rate, 1 - beta1, 1 - beta2, correction2, eps, correction1."""
    rate, rest1, rest2, correction2, eps, correction1 = c
    m = m + rest1 * (g - m)
    v = v + rest2 * (g * g - v)
    return w - rate * (m / (np.sqrt(v) * correction2 + eps) * correction1), m, v


@inner
def _decayed_maximum(u, g, beta2):
    """Return max(beta2 u, |g|); keeps NaN."""
    decayed, magnitude = beta2 * u, abs(g)
    return decayed if decayed >= magnitude or decayed != decayed else magnitude


@inner
def _adamax(w, g, m, u, c):
    """Step like `_sgd`; c = rate, 1 - beta1, beta2, eps, correction1."""
    rate, rest1, beta2, eps, correction1 = c
    m = m + rest1 * (g - m)
    u = _decayed_maximum(u, g, beta2)
    return w - rate * (m / (u + eps) * correction1), m, u


@inner
def _shift_adamax(w, g, m, v, c):
    """Step like `_sgd`; c = rate, 1 - beta1, beta2, eps."""
    rate, rest1, beta2, eps = c
    m = m + rest1 * (g - m)
    v = _decayed_maximum(v, g, beta2)
    power = nearest_power(v + eps)
    return w - rate * (m / power if power != 0 else np.float32(0)), m, v


@inner
def _shift_adamax_code(w, g, m, v, c):
    """Step like `_shift_adamax`, but store the rounded v."""
    rate, rest1, beta2, eps = c
    m = m + rest1 * (g - m)
    v = nearest_power(_decayed_maximum(v, g, beta2)) + eps
    return w - rate * (m / v), m, v


@inner
def _bop(w, g, m, unused, c):
    """Flip a weight of +1 or -1, like `_sgd`; c = rate, threshold."""
    rate, threshold = c
    m = m + rate * (g - m)
    flipped = -w if m * w > threshold else w
    return flipped if m == m else m, m, unused  # NaN


RULES = {  # the step, and the number of moments
    "sgd": (_sgd, 1),
    "adam": (_adam, 2),
    "adamax": (_adamax, 2),
    "shift_adamax": (_shift_adamax, 2),
    "shift_adamax_code": (_shift_adamax_code, 2),
    "bop": (_bop, 1),
}


@inner
def _same(moment):
    """Return a moment in float32."""
    return moment


@inner
def _kept(x, bits):
    """Return a float32 without rounding."""
    return x


@inner
def _widened(moment):
    """Return a moment in bfloat16 as float32."""
    return np.int32(np.int32(moment) << np.int32(16)).view(np.float32)


@inner
def _narrowed(x, bits):
    """Round a float32 to bfloat16 with 16 random bits, like `reference.narrowed`."""
    half = np.uint32(np.float32(x).view(np.uint32) + bits) >> np.uint32(16)
    return np.uint16(half if x == x else np.uint32(0x7FC0))


@inner
def _random_bits(low, high, index):
    """Return 32 random bits, like `reference.random_bits`; low and high are those of the seed."""
    x = np.uint32(index * np.uint32(0x9E3779B9) + low)
    x = np.uint32((x ^ (x >> np.uint32(16)) ^ high) * np.uint32(0x21F0AAAD))
    x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x735A2D97))
    return np.uint32(x ^ (x >> np.uint32(15)))


@routine
def _pack_whole_words(e, numbers, n_words, words):
    """Pack the signs of 64 floats per word."""

    def word(k, _):
        for first in range(0, 64, 16):
            ones = e.load("<16 x float>", numbers + (k << 8) + 4 * first).at_least(0.0)
            e.store(ones.bits_as("i16"), words + (k << 3) + first // 8)
        return []

    e.repeat(n_words, [], word)


@inner
def _pack_by_routine(row, new):
    """Pack the signs of a row (N,) into words (K,)."""
    whole = len(row) // 64
    _pack_whole_words(address(row, "float32"), whole, address(new, "uint64"))
    _pack_plainly(row, whole, new)


@inner
def _pack_plainly(row, first, new):
    """Pack like `_pack_by_routine`, from word `first` on."""
    for k in range(first, len(new)):
        word = np.uint64(0)
        for b in range(min(64, len(row) - 64 * k)):
            word |= np.uint64(row[64 * k + b] >= 0) << np.uint64(b)
        new[k] = word


@inner
def _pack_portably(row, new):
    """Pack like `_pack_by_routine`, in plain loops."""
    _pack_plainly(row, 0, new)


@inner
def _replace(words, new):
    """Copy new words (K,) to words; return how many bits changed."""
    flips = np.uint64(0)
    for k in range(len(words)):
        flips += popcount(words[k] ^ new[k])
        words[k] = new[k]
    return flips


@functools.cache
def _loop(rule, narrow, portable):
    """Compile the loop of a rule over rows, for moments in float32 or in bfloat16."""
    pack_row = _pack_portably if portable else _pack_by_routine
    step, n_moments = RULES[rule]
    two, (read, store) = n_moments == 2, (_widened, _narrowed) if narrow else (_same, _kept)

    def run(w, g, m, v, c, clip, words, new, seed, first):
        """Update weights (R, N), moments and words (R, K or 0); return the counts of NaN and flips.

        seed: its halves; `first` is the number of the first weight in the sequence of random bits;
        new (K or 0) is scratch memory.
        """
        lost, flips = 0, np.uint64(0)
        for i in range(w.shape[0]):
            begin = np.uint32(first + i * w.shape[1] + 1)
            for j in range(w.shape[1]):
                own_m = read(m[i, j])
                own_v = read(v[i, j]) if two else own_m
                moved, new_m, new_v = step(w[i, j], g[i, j], own_m, own_v, c)
                bits = _random_bits(seed[0], seed[1], np.uint32(begin + np.uint32(j)))
                m[i, j] = store(new_m, bits >> np.uint32(16))
                if two:
                    v[i, j] = store(new_v, bits & np.uint32(0xFFFF))
                moved = -clip if moved < -clip else moved  # keeps NaN
                w[i, j] = clip if moved > clip else moved
                lost += moved != moved
            if len(new):
                pack_row(w[i], new)
                flips += _replace(words[i], new)
        return lost, flips

    name = f"{rule}_{'bfloat16' if narrow else 'float32'}"
    return jit(run, f"{name}_portable" if portable else name)


def update(rule, weight, grad, state, constants, clip, words, seed):
    """See `bitnet.kernels.update`."""
    if weight.dtype != np.float32:
        return reference.update(rule, weight, grad, state, constants, clip, words, seed)
    n = weight.shape[-1] if weight.ndim else 1
    shape = math.prod(weight.shape[:-1]), n
    arrays = [array.reshape(shape) for array in (weight, *state)]
    arrays += arrays[-1:] * (3 - len(arrays))  # SGD and Bop have one array of state, not two
    constants = tuple(map(np.float32, constants))
    clip = np.float32(np.inf if clip is None else clip)
    multiply, work_ns = None, weight.size / ELEMENTS_PER_NS
    if isinstance(grad, Product):
        multiply, macs_per_ns = signed_rows(grad.x, grad.signs)
        work_ns += weight.size * grad.x.shape[1] / macs_per_ns
        if np.isinf(macs_per_ns):  # a BLAS, which uses threads itself
            multiply, grad = None, grad.array()
    if multiply is None:
        grad = np.ascontiguousarray(grad).reshape(shape)
    size = max(32, PART // max(1, n) // 32 * 32)  # rows
    n_words = 0 if words is None else words.shape[-1]
    words = np.empty((shape[0], 0), np.uint64) if words is None else words
    words, counts = words.reshape(shape[0], n_words), [(0, 0)]
    loop = _loop(rule, state[0].dtype == np.uint16, level() == "portable")
    halves = np.uint32((seed or 0) & 0xFFFFFFFF), np.uint32((seed or 0) >> 32)

    def rows(start, stop):
        new = np.empty(n_words, np.uint64)
        room = np.empty((min(size, stop - start) if multiply else 0, n), np.float32)
        for i in range(start, stop, size):
            j = min(stop, i + size)
            g = room[: j - i] if multiply else grad[i:j]
            if multiply:
                multiply(i, j, g)
            w, m, v = (array[i:j] for array in arrays)
            with np.errstate(all="ignore"):  # NumPy would warn if Numba does not compile
                counts.append(loop(w, g, m, v, constants, clip, words[i:j], new, halves, i * n))

    shared(rows, shape[0], 32, work_ns)
    lost, flips = map(sum, zip(*counts, strict=True))
    return None if lost else int(flips)
