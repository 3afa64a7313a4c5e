"""One step of an optimizer in one pass: moments, weights, clip, new signs, and their flips."""

import math

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.cpu.pack import pack_rows
from bitnet.kernels.cpu.products import signed_rows
from bitnet.kernels.cpu.rounding import nearest_power
from bitnet.kernels.products import Product
from bitnet.kernels.threads import shared

ELEMENTS_PER_NS = 0.7  # approximate, one thread
PART = 1 << 17  # elements whose gradient is computed and used within the cache


@jit
def _sgd(w, g, velocity, unused, c, clip):
    """Update weights (R, N) and count those that became NaN; c = rate, momentum, nesterov."""
    rate, momentum, nesterov = c[0], c[1], c[2]
    lost = 0
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            v = velocity[i, j] * momentum + g[i, j]
            velocity[i, j] = v
            moved = w[i, j] - rate * (g[i, j] + momentum * v if nesterov else v)
            moved = -clip if moved < -clip else moved  # keeps NaN
            w[i, j] = clip if moved > clip else moved
            lost += moved != moved
    return lost


@jit
def _adam(w, g, m, v, c, clip):
    """Update like `_sgd`; c = rate, 1 - beta1, 1 - beta2, correction2, eps, correction1."""
    rate, rest1, rest2, correction2, eps, correction1 = c[0], c[1], c[2], c[3], c[4], c[5]
    lost = 0
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            new_m = m[i, j] + rest1 * (g[i, j] - m[i, j])
            new_v = v[i, j] + rest2 * (g[i, j] * g[i, j] - v[i, j])
            m[i, j] = new_m
            v[i, j] = new_v
            direction = new_m / (np.sqrt(new_v) * correction2 + eps) * correction1
            moved = w[i, j] - rate * direction
            moved = -clip if moved < -clip else moved
            w[i, j] = clip if moved > clip else moved
            lost += moved != moved
    return lost


@jit
def _adamax(w, g, m, u, c, clip):
    """Update like `_sgd`; c = rate, 1 - beta1, beta2, eps, correction1."""
    rate, rest1, beta2, eps, correction1 = c[0], c[1], c[2], c[3], c[4]
    lost = 0
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            new_m = m[i, j] + rest1 * (g[i, j] - m[i, j])
            decayed, magnitude = beta2 * u[i, j], abs(g[i, j])
            new_u = decayed if decayed >= magnitude or decayed != decayed else magnitude
            m[i, j] = new_m
            u[i, j] = new_u
            moved = w[i, j] - rate * (new_m / (new_u + eps) * correction1)
            moved = -clip if moved < -clip else moved
            w[i, j] = clip if moved > clip else moved
            lost += moved != moved
    return lost


@jit
def _shift_adamax(w, g, m, v, c, clip):
    """Update like `_sgd`; c = rate, 1 - beta1, beta2, eps."""
    rate, rest1, beta2, eps = c[0], c[1], c[2], c[3]
    lost = 0
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            new_m = m[i, j] + rest1 * (g[i, j] - m[i, j])
            decayed, magnitude = beta2 * v[i, j], abs(g[i, j])
            new_v = decayed if decayed >= magnitude or decayed != decayed else magnitude
            m[i, j] = new_m
            v[i, j] = new_v
            power = nearest_power(new_v + eps)
            moved = w[i, j] - rate * (new_m / power if power != 0 else np.float32(0))
            moved = -clip if moved < -clip else moved
            w[i, j] = clip if moved > clip else moved
            lost += moved != moved
    return lost


@jit
def _shift_adamax_code(w, g, m, v, c, clip):
    """Update like `_shift_adamax`, but store the rounded v."""
    rate, rest1, beta2, eps = c[0], c[1], c[2], c[3]
    lost = 0
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            new_m = m[i, j] + rest1 * (g[i, j] - m[i, j])
            decayed, magnitude = beta2 * v[i, j], abs(g[i, j])
            new_v = decayed if decayed >= magnitude or decayed != decayed else magnitude
            rounded = nearest_power(new_v) + eps
            m[i, j] = new_m
            v[i, j] = rounded
            moved = w[i, j] - rate * (new_m / rounded)
            moved = -clip if moved < -clip else moved
            w[i, j] = clip if moved > clip else moved
            lost += moved != moved
    return lost


@jit
def _bop(w, g, m, unused, c, clip):
    """Flip weights of +1 and -1, like `_sgd`; c = rate, threshold."""
    rate, threshold = c[0], c[1]
    lost = 0
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            new_m = m[i, j] + rate * (g[i, j] - m[i, j])
            m[i, j] = new_m
            flipped = -w[i, j] if new_m * w[i, j] > threshold else w[i, j]
            flipped = flipped if new_m == new_m else new_m  # NaN
            flipped = -clip if flipped < -clip else flipped
            w[i, j] = clip if flipped > clip else flipped
            lost += flipped != flipped
    return lost


RULES = {
    "sgd": _sgd,
    "adam": _adam,
    "adamax": _adamax,
    "shift_adamax": _shift_adamax,
    "shift_adamax_code": _shift_adamax_code,
    "bop": _bop,
}


def update(rule, weight, grad, state, constants, clip, words):
    """See `bitnet.kernels.update`."""
    if weight.dtype != np.float32:
        return reference.update(rule, weight, grad, state, constants, clip, words)
    n = weight.shape[-1] if weight.ndim else 1
    shape = math.prod(weight.shape[:-1]), n
    arrays = [array.reshape(shape) for array in (weight, *state)]
    arrays += arrays[-1:] * (3 - len(arrays))  # SGD and Bop have one array of state, not two
    constants = np.array(constants, np.float32)
    clip = np.float32(np.inf if clip is None else clip)
    multiply, work_ns = None, weight.size / ELEMENTS_PER_NS
    if isinstance(grad, Product):
        multiply, macs_per_ns = signed_rows(grad.x, grad.signs)
        work_ns += weight.size * grad.x.shape[1] / macs_per_ns
        if np.isinf(macs_per_ns):  # a BLAS, which uses threads itself
            multiply, grad = None, grad.array()
    if multiply is None:
        grad = np.ascontiguousarray(grad).reshape(shape)
    size = max(32, PART // max(1, shape[1]) // 32 * 32)  # rows
    if words is not None:
        words = words.reshape(shape[0], words.shape[-1])
    flips, lost = [], []

    def rows(start, stop):
        room = np.empty((min(size, stop - start) if multiply else 0, shape[1]), np.float32)
        for i in range(start, stop, size):
            j = min(stop, i + size)
            if multiply is None:
                g = grad[i:j]
            else:
                g = room[: j - i]
                multiply(i, j, g)
            w, m, v = (array[i:j] for array in arrays)
            lost.append(RULES[rule](w, g, m, v, constants, clip))
            if words is not None:
                new = np.empty_like(words[i:j])
                pack_rows(w, new)
                flips.append(int(np.bitwise_count(words[i:j] ^ new).sum(dtype=np.int64)))
                words[i:j] = new

    shared(rows, shape[0], 32, work_ns)
    return None if sum(lost) else sum(flips)
