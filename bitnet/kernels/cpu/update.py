"""One step of an optimizer in one sweep: moments, weights, clip, new signs, and their flips."""

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.cpu.pack import pack_rows
from bitnet.kernels.products import Product
from bitnet.kernels.threads import shared

ELEMENTS_PER_NS = 0.7  # one thread, about
PART = 1 << 18  # elements of a gradient that are multiplied at once, as they are used


@jit
def _clip_row(w, bound):
    """w within [-bound, bound]; NaN stays."""
    for j in range(len(w)):
        low = -bound if w[j] < -bound else w[j]
        w[j] = bound if low > bound else low


@jit
def _pack_row(w, words, i):
    """The signs of w into row i of words; the number that changed."""
    new = np.empty((1, words.shape[1]), np.uint64)
    pack_rows(w.reshape(1, len(w)), new)
    flips = np.uint64(0)
    for k in range(words.shape[1]):
        x = words[i, k] ^ new[0, k]
        x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
        x = (x & np.uint64(0x3333333333333333)) + (
            (x >> np.uint64(2)) & np.uint64(0x3333333333333333)
        )
        x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        flips += (x * np.uint64(0x0101010101010101)) >> np.uint64(56)
        words[i, k] = new[0, k]
    return flips


@jit
def _sgd(w, g, velocity, unused, c, bound, words):
    """Rows of weights (R, N); c = rate, momentum, nesterov; words (R, K) or (0, 0)."""
    rate, momentum, nesterov = c[0], c[1], c[2]
    flips = np.uint64(0)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            v = velocity[i, j] * momentum + g[i, j]
            velocity[i, j] = v
            w[i, j] -= rate * (g[i, j] + momentum * v if nesterov else v)
        _clip_row(w[i], bound)
        if len(words):
            flips += _pack_row(w[i], words, i)
    return flips


@jit
def _adam(w, g, m, v, c, bound, words):
    """As `_sgd`; c = rate, 1 - beta1, 1 - beta2, correction2, eps, correction1."""
    rate, rest1, rest2, correction2, eps, correction1 = c[0], c[1], c[2], c[3], c[4], c[5]
    flips = np.uint64(0)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            new_m = m[i, j] + rest1 * (g[i, j] - m[i, j])
            new_v = v[i, j] + rest2 * (g[i, j] * g[i, j] - v[i, j])
            m[i, j], v[i, j] = new_m, new_v
            w[i, j] -= rate * (new_m / (np.sqrt(new_v) * correction2 + eps) * correction1)
        _clip_row(w[i], bound)
        if len(words):
            flips += _pack_row(w[i], words, i)
    return flips


@jit
def _adamax(w, g, m, u, c, bound, words):
    """As `_sgd`; c = rate, 1 - beta1, beta2, eps, correction1."""
    rate, rest1, beta2, eps, correction1 = c[0], c[1], c[2], c[3], c[4]
    flips = np.uint64(0)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            new_m = m[i, j] + rest1 * (g[i, j] - m[i, j])
            decayed, magnitude = beta2 * u[i, j], abs(g[i, j])
            new_u = decayed if decayed >= magnitude or decayed != decayed else magnitude
            m[i, j], u[i, j] = new_m, new_u
            w[i, j] -= rate * (new_m / (new_u + eps) * correction1)
        _clip_row(w[i], bound)
        if len(words):
            flips += _pack_row(w[i], words, i)
    return flips


RULES = {"sgd": _sgd, "adam": _adam, "adamax": _adamax}


def update(rule, weight, grad, state, constants, bound, words):
    """See `bitnet.kernels.update`."""
    if weight.dtype != np.float32:
        return reference.update(rule, weight, grad, state, constants, bound, words)
    shape = weight.shape if weight.ndim == 2 else (1, weight.size)
    arrays = [array.reshape(shape) for array in (weight, *state)]
    arrays += arrays[-1:] * (3 - len(arrays))  # SGD has one array of state, not two
    words = np.empty((0, 0), np.uint64) if words is None else words
    constants = np.array(constants, np.float32)
    bound = np.float32(np.inf if bound is None else bound)
    flips = []

    def move(start, stop, g):
        w, m, v = (array[start:stop] for array in arrays)
        flips.append(RULES[rule](w, g, m, v, constants, bound, words[start:stop]))

    if isinstance(grad, Product):
        multiply = grad.rows()
        size = max(32, PART // shape[1] // 32 * 32)

        def rows(start, stop):
            for i in range(start, stop, size):
                j = min(stop, i + size)
                g = np.empty((j - i, shape[1]), np.float32)  # stays in the cache
                multiply(i, j, g)
                move(i, j, g)
    else:
        grad = np.ascontiguousarray(grad).reshape(shape)

        def rows(start, stop):
            move(start, stop, grad[start:stop])

    shared(rows, shape[0], 32, weight.size / ELEMENTS_PER_NS)
    return int(sum(flips))
