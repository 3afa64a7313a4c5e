"""Recurrent cells: loops over segments of rows, which LLVM vectorizes."""

import numpy as np

from bitnet.kernels import reference
from bitnet.kernels.cpu.jit import inner, jit
from bitnet.kernels.reference.cells import BOTTOM, HALF, LIMIT, ONE, TOP
from bitnet.kernels.threads import shared

NUMBERS_PER_NS = 1.0  # approximate, one thread
A0, A1, A2, A3, A4, A5, A6 = TOP
B0, B1, B2, B3, B4, B5, B6 = BOTTOM


@inner
def _tanh(v):
    """Return `reference.tanh` of one float32; NaN is unchanged."""
    v = -LIMIT if v < -LIMIT else v
    v = LIMIT if v > LIMIT else v
    s = v * v
    top = (((((A6 * s + A5) * s + A4) * s + A3) * s + A2) * s + A1) * s + A0
    bottom = (((((B6 * s + B5) * s + B4) * s + B3) * s + B2) * s + B1) * s + B0
    t = v * top / bottom
    t = -ONE if t < -ONE else t
    return ONE if t > ONE else t


@inner
def _add(z, product, unit):
    """Compute z += product * unit for one segment."""
    for j in range(len(z)):
        z[j] += np.float32(product[j]) * unit


@inner
def _to_tanh(v):
    """Replace v by tanh(v)."""
    for j in range(len(v)):
        v[j] = _tanh(v[j])


@inner
def _to_logistic(v):
    """Replace v by logistic(v)."""
    for j in range(len(v)):
        v[j] = _tanh(v[j] * HALF) * HALF + HALF


@jit
def _rnn_step(z, product, unit, relu, h):
    """Write the hidden states h (B, H) of a step; z and product (B, H)."""
    for b in range(len(h)):
        own, y = z[b], h[b]
        _add(own, product[b], unit)
        if relu:
            for j in range(len(y)):
                y[j] = own[j] if own[j] > 0 or own[j] != own[j] else np.float32(0)
        else:
            for j in range(len(y)):
                y[j] = _tanh(own[j])


@jit
def _rnn_back(h, grad_h, relu, grad_z):
    """Write the gradients of z (B, H) from those of h."""
    for b in range(len(h)):
        y, grad, to = h[b], grad_h[b], grad_z[b]
        if relu:
            for j in range(len(y)):
                to[j] = grad[j] if y[j] > 0 else np.float32(0)
        else:
            for j in range(len(y)):
                to[j] = grad[j] * (ONE - y[j] * y[j])


@jit
def _lstm_step(z, product, unit, before, c, h):
    """Write the states c and h (B, H) of a step; z and product (B, 4 H): i, f, g, o."""
    m = h.shape[1]
    for b in range(len(h)):
        own, old, new, y = z[b], before[b], c[b], h[b]
        _add(own, product[b], unit)
        i, f, g, o = own[:m], own[m : 2 * m], own[2 * m : 3 * m], own[3 * m :]
        _to_logistic(own[: 2 * m])
        _to_tanh(g)
        _to_logistic(o)
        for j in range(m):
            new[j] = f[j] * old[j] + i[j] * g[j]
        for j in range(m):
            y[j] = o[j] * _tanh(new[j])


@jit
def _lstm_back(gates, before, c, grad_h, grad_c, grad_z, d):
    """Write the gradients of z (B, 4 H) and of the previous cell; d (2, H) is scratch memory."""
    m = c.shape[1]
    d, t = d[0], d[1]
    for b in range(len(c)):
        own, old, grad, along, to = gates[b], before[b], grad_h[b], grad_c[b], grad_z[b]
        i, f, g, o = own[:m], own[m : 2 * m], own[2 * m : 3 * m], own[3 * m :]
        to_i, to_f, to_g, to_o = to[:m], to[m : 2 * m], to[2 * m : 3 * m], to[3 * m :]
        for j in range(m):
            t[j] = _tanh(c[b, j])
        for j in range(m):
            d[j] = along[j] + grad[j] * o[j] * (ONE - t[j] * t[j])
        for j in range(m):
            to_i[j] = d[j] * g[j] * (i[j] * (ONE - i[j]))
        for j in range(m):
            to_f[j] = d[j] * old[j] * (f[j] * (ONE - f[j]))
        for j in range(m):
            to_g[j] = d[j] * i[j] * (ONE - g[j] * g[j])
        for j in range(m):
            to_o[j] = grad[j] * t[j] * (o[j] * (ONE - o[j]))
        for j in range(m):
            along[j] = d[j] * f[j]


def _lstm_back_with_room(*arrays):
    """Call `_lstm_back` with scratch memory."""
    _lstm_back(*arrays, np.empty((2, arrays[1].shape[1]), np.float32))


@jit
def _gru_step(z, product, unit, before, inner, h):
    """Write the states h (B, H) of a step; z and product (B, 3 H): r, u, n."""
    m = h.shape[1]
    for b in range(len(h)):
        own, old, part, y = z[b], before[b], inner[b], h[b]
        r, u, n, last = own[:m], own[m : 2 * m], own[2 * m :], product[b, 2 * m :]
        _add(own[: 2 * m], product[b, : 2 * m], unit)
        _to_logistic(own[: 2 * m])
        for j in range(m):
            part[j] = np.float32(last[j]) * unit
        for j in range(m):
            n[j] = _tanh(n[j] + r[j] * part[j])
        for j in range(m):
            y[j] = n[j] + u[j] * (old[j] - n[j])


@jit
def _gru_back(gates, inner, before, grad_h, grad_z, grad_p):
    """Write the gradients of z and of the product (B, 3 H), and of the previous state."""
    m = grad_h.shape[1]
    for b in range(len(grad_h)):
        own, part, old = gates[b], inner[b], before[b]
        grad, to, also = grad_h[b], grad_z[b], grad_p[b]
        r, u, n = own[:m], own[m : 2 * m], own[2 * m :]
        to_r, to_u, to_n, also_n = to[:m], to[m : 2 * m], to[2 * m :], also[2 * m :]
        for j in range(m):
            to_n[j] = grad[j] * (ONE - u[j]) * (ONE - n[j] * n[j])
        for j in range(m):
            to_r[j] = to_n[j] * part[j] * (r[j] * (ONE - r[j]))
        for j in range(m):
            to_u[j] = grad[j] * (old[j] - n[j]) * (u[j] * (ONE - u[j]))
        for j in range(2 * m):
            also[j] = to[j]
        for j in range(m):
            also_n[j] = to_n[j] * r[j]
        for j in range(m):
            grad[j] *= u[j]


@jit
def _add_rows(y, rows, x):
    """Add row i of x to row rows[i] of y."""
    for i in range(len(rows)):
        to, own = y[rows[i]], x[i]
        for j in range(len(own)):
            to[j] += own[j]


@jit
def _affine(z, unit, bias, y):
    """Compute y = z * unit + bias for rows of integers z."""
    for i in range(len(z)):
        own, to = z[i], y[i]
        for j in range(len(own)):
            to[j] = np.float32(own[j]) * unit + bias[j]


def _compiled(name, loops):
    """Return a kernel that runs the loops for float32 and the definition for other floats."""
    define = getattr(reference, name)

    def run(*arguments):
        arrays = [a for a in arguments if isinstance(a, np.ndarray)]
        if arrays[0].dtype != np.float32:
            return define(*arguments)
        with np.errstate(all="ignore"):  # NumPy would warn if Numba does not compile
            loops(*arguments)

    run.__doc__ = f"See `bitnet.kernels.{name}`."
    return run


rnn_step, rnn_back = _compiled("rnn_step", _rnn_step), _compiled("rnn_back", _rnn_back)
lstm_step = _compiled("lstm_step", _lstm_step)
lstm_back = _compiled("lstm_back", _lstm_back_with_room)
gru_step, gru_back = _compiled("gru_step", _gru_step), _compiled("gru_back", _gru_back)
add_rows = _compiled("add_rows", _add_rows)


def affine(z, unit, bias):
    """See `bitnet.kernels.affine`."""
    if bias.dtype != np.float32:
        return reference.affine(z, unit, bias)
    z, y = np.ascontiguousarray(z), np.empty(z.shape, np.float32)
    shared(lambda i, j: _affine(z[i:j], unit, bias, y[i:j]), len(z), 1, z.size / NUMBERS_PER_NS)
    return y
