"""The definitions of the optimizers' steps, in NumPy; a part of `bitnet.kernels.reference`."""

import numpy as np


def ap2(x):
    """sign(x) * 2**round(log2 |x|); zeros and what is not finite stay."""
    fraction, exponent = np.frexp(x)  # |x| = fraction * 2**exponent, 1/2 <= fraction < 1
    up = abs(fraction) >= np.float64(0.5) ** 0.5  # the float64 next above sqrt(1/2)
    with np.errstate(all="ignore"):
        powers = np.copysign(np.ldexp(x.dtype.type(1), exponent - 1 + up), x)
    return np.where(np.isfinite(x) & (x != 0), powers, x)


def _sgd(g, velocity, momentum, nesterov):
    """v <- momentum v + g; v, or g + momentum v."""
    velocity *= momentum
    velocity += g
    return g + momentum * velocity if nesterov else velocity


def _adam(g, m, v, rest1, rest2, correction2, eps, correction1):
    """m <- m + (1 - b1) (g - m), v <- v + (1 - b2) (g^2 - v); m / (sqrt(v) c2 + eps) c1."""
    m += rest1 * (g - m)
    v += rest2 * (g * g - v)
    return m / (np.sqrt(v) * correction2 + eps) * correction1


def _adamax(g, m, u, rest1, beta2, eps, correction1):
    """m <- m + (1 - b1) (g - m), u <- max(b2 u, |g|); m / (u + eps) c1."""
    m += rest1 * (g - m)
    np.maximum(beta2 * u, abs(g), out=u)
    return m / (u + eps) * correction1


def _shift_adamax(g, m, v, rest1, beta2, eps):
    """m <- m + (1 - b1) (g - m), v <- max(b2 v, |g|); m / AP2(v + eps), and 0 for 0 / 0."""
    m += rest1 * (g - m)
    np.maximum(beta2 * v, abs(g), out=v)
    power = ap2(v + eps)
    return np.divide(m, power, out=np.zeros_like(m), where=power != 0)


def _shift_adamax_code(g, m, v, rest1, beta2, eps):
    """As `_shift_adamax`, but v <- AP2(max(b2 v, |g|)) + eps stays in the state; m / v."""
    m += rest1 * (g - m)
    np.add(ap2(np.maximum(beta2 * v, abs(g))), eps, out=v)
    return m / v


def flip(weight, g, m, rate, threshold):
    """m <- m + rate (g - m); w <- -w where m w > threshold."""
    m += rate * (g - m)
    weight[m * weight > threshold] *= -1
    weight[np.isnan(m)] = np.nan


DIRECTIONS = {
    "sgd": _sgd,
    "adam": _adam,
    "adamax": _adamax,
    "shift_adamax": _shift_adamax,
    "shift_adamax_code": _shift_adamax_code,
}
