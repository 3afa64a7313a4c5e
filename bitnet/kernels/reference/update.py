"""One step of an optimizer: the direction, the clipped weights, and their new signs."""

import math

import numpy as np

from bitnet.arrays import array_module, as_array
from bitnet.kernels.reference.pack import bitwise_count, pack
from bitnet.kernels.reference.rounding import ap2


def _sgd(g, velocity, momentum, nesterov):
    """Update v <- momentum v + g; return v, or g + momentum v."""
    velocity *= momentum
    velocity += g
    return g + momentum * velocity if nesterov else velocity


def _adam(g, m, v, rest1, rest2, correction2, eps, correction1):
    """Update m += (1 - b1) (g - m), v += (1 - b2) (g^2 - v); return m / (sqrt(v) c2 + eps) c1."""
    m += rest1 * (g - m)
    v += rest2 * (g * g - v)
    return m / (array_module(v).sqrt(v) * correction2 + eps) * correction1


def _adamax(g, m, u, rest1, beta2, eps, correction1):
    """Update m += (1 - b1) (g - m), u <- max(b2 u, |g|); return m / (u + eps) c1."""
    m += rest1 * (g - m)
    array_module(u).maximum(beta2 * u, abs(g), out=u)
    return m / (u + eps) * correction1


def _shift_adamax(g, m, v, rest1, beta2, eps):
    """Update m += (1 - b1) (g - m), v <- max(b2 v, |g|); return m / AP2(v + eps), 0 for 0 / 0."""
    m += rest1 * (g - m)
    xp = array_module(v)
    xp.maximum(beta2 * v, abs(g), out=v)
    power = ap2(v + eps)
    with np.errstate(all="ignore"):
        return xp.where(power != 0, m / power, m.dtype.type(0))


def _shift_adamax_code(g, m, v, rest1, beta2, eps):
    """Update like `_shift_adamax`, but store v <- AP2(max(b2 v, |g|)) + eps; return m / v."""
    m += rest1 * (g - m)
    xp = array_module(v)
    xp.add(ap2(xp.maximum(beta2 * v, abs(g))), eps, out=v)
    return m / v


def flip(weight, g, m, rate, threshold):
    """Update m += rate (g - m), then w <- -w where m w > threshold."""
    m += rate * (g - m)
    xp, one = array_module(m), m.dtype.type(1)
    weight *= xp.where(m * weight > threshold, -one, one)
    weight[...] = xp.where(xp.isnan(m), m, weight)


_RULES = _sgd, _adam, _adamax, _shift_adamax, _shift_adamax_code
DIRECTIONS = {rule.__name__[1:]: rule for rule in _RULES}


def widened(moment):
    """Return numbers in bfloat16, uint16 as the upper halves of float32, as float32."""
    return (moment.astype(np.uint32) << np.uint32(16)).view(np.float32)


def random_bits(seed, shape, xp=np):
    """Return 32 random bits per element, uint32: a hash of its index and both halves of a seed."""
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    x = xp.arange(1, math.prod(shape) + 1, dtype=np.uint32).reshape(shape)
    x = x * np.uint32(0x9E3779B9) + low  # 2^32 divided by the golden ratio
    x = (x ^ (x >> np.uint32(16)) ^ high) * np.uint32(0x21F0AAAD)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x735A2D97)
    return x ^ (x >> np.uint32(15))


def narrowed(x, bits):
    """Round float32 stochastically to bfloat16: add 16 random bits, and drop the lower half."""
    halves = (x.view(np.uint32) + bits) >> np.uint32(16)
    return array_module(x).where(x == x, halves, np.uint32(0x7FC0)).astype(np.uint16)


def update(rule, weight, grad, state, constants, clip, words, seed=None):
    """Compute w <- clip(w - rate * direction, -clip, clip) in place, and write the signs to words.

    Return the number of signs that changed, or None if a weight is NaN.  The direction of each
    rule is elementwise, with the constants of `kernels.update`; "bop" flips weights of +1 and -1.
    Moments in bfloat16 are rounded after the step.
    """
    if state[0].dtype == np.uint16:
        moments = [widened(moment) for moment in state]
        flips = update(rule, weight, grad, moments, constants, clip, words)
        bits = random_bits(seed, weight.shape, array_module(weight))
        halves = bits >> np.uint32(16), bits & np.uint32(0xFFFF)
        for own, moment, random in zip(state, moments, halves, strict=False):
            own[...] = narrowed(moment, random)
        return flips
    grad = as_array(grad)
    rate, *constants = (weight.dtype.type(c) for c in constants)
    if rule == "bop":
        flip(weight, grad, *state, rate, *constants)
    else:
        weight -= rate * DIRECTIONS[rule](grad, *state, *constants)
    if clip is not None:
        weight.clip(-weight.dtype.type(clip), weight.dtype.type(clip), out=weight)
    xp = array_module(weight)
    if not weight.size or (words is None and xp is not np):
        return 0
    lost = xp.isnan(weight.min())
    if words is None:
        return None if lost else 0
    new = pack(weight).words
    flips = bitwise_count(words ^ new).sum(dtype=np.int64)
    words[...] = new
    flips = int(xp.where(lost, -1, flips))  # one number, so the host waits once for a GPU
    return None if flips < 0 else flips
