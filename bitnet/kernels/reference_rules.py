"""The definitions of the optimizers' steps, in NumPy; a part of `bitnet.kernels.reference`."""

import numpy as np

from bitnet.arrays import array_module


def ap2(x):
    """sign(x) * 2**round(log2 |x|); zeros and what is not finite stay."""
    xp = array_module(x)
    fraction, exponent = xp.frexp(x)  # |x| = fraction * 2**exponent, 1/2 <= fraction < 1
    up = abs(fraction).astype(np.float64) >= 0.5**0.5  # the float64 next above sqrt(1/2)
    with np.errstate(all="ignore"):
        powers = xp.ldexp(xp.sign(x), exponent - 1 + up)
    return xp.where(xp.isfinite(x) & (x != 0), powers, x)


def _sgd(g, velocity, momentum, nesterov):
    """v <- momentum v + g; v, or g + momentum v."""
    velocity *= momentum
    velocity += g
    return g + momentum * velocity if nesterov else velocity


def _adam(g, m, v, rest1, rest2, correction2, eps, correction1):
    """m <- m + (1 - b1) (g - m), v <- v + (1 - b2) (g^2 - v); m / (sqrt(v) c2 + eps) c1."""
    m += rest1 * (g - m)
    v += rest2 * (g * g - v)
    return m / (array_module(v).sqrt(v) * correction2 + eps) * correction1


def _adamax(g, m, u, rest1, beta2, eps, correction1):
    """m <- m + (1 - b1) (g - m), u <- max(b2 u, |g|); m / (u + eps) c1."""
    m += rest1 * (g - m)
    array_module(u).maximum(beta2 * u, abs(g), out=u)
    return m / (u + eps) * correction1


def _shift_adamax(g, m, v, rest1, beta2, eps):
    """m <- m + (1 - b1) (g - m), v <- max(b2 v, |g|); m / AP2(v + eps), and 0 for 0 / 0."""
    m += rest1 * (g - m)
    xp = array_module(v)
    xp.maximum(beta2 * v, abs(g), out=v)
    power = ap2(v + eps)
    with np.errstate(all="ignore"):
        return xp.where(power != 0, m / power, m.dtype.type(0))


def _shift_adamax_code(g, m, v, rest1, beta2, eps):
    """As `_shift_adamax`, but v <- AP2(max(b2 v, |g|)) + eps stays in the state; m / v."""
    m += rest1 * (g - m)
    xp = array_module(v)
    xp.add(ap2(xp.maximum(beta2 * v, abs(g))), eps, out=v)
    return m / v


def flip(weight, g, m, rate, threshold):
    """m <- m + rate (g - m); w <- -w where m w > threshold."""
    m += rate * (g - m)
    xp, one = array_module(m), m.dtype.type(1)
    weight *= xp.where(m * weight > threshold, -one, one)
    weight[...] = xp.where(xp.isnan(m), m, weight)


DIRECTIONS = {
    "sgd": _sgd,
    "adam": _adam,
    "adamax": _adamax,
    "shift_adamax": _shift_adamax,
    "shift_adamax_code": _shift_adamax_code,
}
