"""One step of a recurrent cell, forward and backward, and additions to rows of embeddings."""

import numpy as np

from bitnet.arrays import array_module

# x / (1 + x^2 / (3 + x^2 / (5 + ... x^2 / 25))) = x TOP(x^2) / BOTTOM(x^2), the constant first
_UPPER = 7905853580625, 1159525191825, 41247931725, 523783260, 2552550, 4095, 1
_LOWER = 7905853580625, 3794809718700, 252070693875, 5237832600, 41351310, 120120, 91
TOP, BOTTOM = tuple(map(np.float32, _UPPER)), tuple(map(np.float32, _LOWER))
LIMIT, ONE, HALF = np.float32(9), np.float32(1), np.float32(0.5)


def tanh(x):
    """Return tanh of floats; for float32 from sums, products and one division."""
    xp = array_module(x)
    if x.dtype != np.float32:
        return xp.tanh(x)
    x = x.clip(-LIMIT, LIMIT)
    square = x * x
    top, bottom = xp.full_like(x, TOP[-1]), xp.full_like(x, BOTTOM[-1])
    for upper, lower in zip(TOP[-2::-1], BOTTOM[-2::-1], strict=True):
        top, bottom = top * square + upper, bottom * square + lower
    return (x * top / bottom).clip(-ONE, ONE)


def _logistic(x):
    """Return 1 / (1 + e^-x)."""
    half = x.dtype.type(0.5)
    return tanh(x * half) * half + half


def _added(z, product, unit):
    """Add unit * product to z in place."""
    z += product.astype(z.dtype) * unit


def rnn_step(z, product, unit, relu, h):
    """Compute h = f(z + unit * product)."""
    _added(z, product, unit)
    h[...] = array_module(z).maximum(z, 0) if relu else tanh(z)


def rnn_back(h, grad_h, relu, grad_z):
    """Compute grad_h * f'."""
    zero = h.dtype.type(0)
    grad_z[...] = array_module(h).where(h > 0, grad_h, zero) if relu else grad_h * (1 - h * h)


def lstm_step(z, product, unit, before, c, h):
    """Compute the gates in place, c = f * before + i * g and h = o * tanh(c)."""
    _added(z, product, unit)
    i, f, g, o = array_module(z).split(z, 4, axis=1)
    for gate in (i, f, o):
        gate[...] = _logistic(gate)
    g[...] = tanh(g)
    c[...] = f * before + i * g
    h[...] = o * tanh(c)


def lstm_back(gates, before, c, grad_h, grad_c, grad_z):
    """Compute the gradients of the four sums; grad_c becomes that of the previous cell."""
    xp = array_module(gates)
    i, f, g, o = xp.split(gates, 4, axis=1)
    t = tanh(c)
    d = grad_c + grad_h * o * (1 - t * t)
    sums = d * g * (i * (1 - i)), d * before * (f * (1 - f)), d * i * (1 - g * g)
    grad_z[...] = xp.concatenate([*sums, grad_h * t * (o * (1 - o))], axis=1)
    grad_c[...] = d * f


def gru_step(z, product, unit, before, inner, h):
    """Compute the gates in place and h = n + u * (before - n)."""
    m = h.shape[1]
    _added(z[:, : 2 * m], product[:, : 2 * m], unit)
    r, u, n = array_module(z).split(z, 3, axis=1)
    r[...], u[...] = _logistic(r), _logistic(u)
    inner[...] = product[:, 2 * m :].astype(z.dtype) * unit
    n[...] = tanh(n + r * inner)
    h[...] = n + u * (before - n)


def gru_back(gates, inner, before, grad_h, grad_z, grad_p):
    """Compute the gradients of the sums and of the product; grad_h becomes that of `before`."""
    xp = array_module(gates)
    r, u, n = xp.split(gates, 3, axis=1)
    d = grad_h * (1 - u) * (1 - n * n)
    both = d * inner * (r * (1 - r)), grad_h * (before - n) * (u * (1 - u))
    grad_z[...] = xp.concatenate([*both, d], axis=1)
    grad_p[...] = xp.concatenate([*both, d * r], axis=1)
    grad_h *= u


def add_rows(y, rows, x):
    """Compute y[rows[i]] += x[i] for one i after the other; CuPy does not define the order."""
    array_module(y).add.at(y, rows, x)


def affine(z, unit, bias):
    """Return z * unit + bias."""
    return z.astype(bias.dtype) * unit + bias
