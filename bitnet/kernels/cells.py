"""The element-wise part of recurrent cells, a time step forward or backward; rows of embeddings.

Floats all, also where the products are of bits: section 4.5 of the second paper (arXiv
1609.07061) says nothing of gates; He et al. (arXiv 1611.10176) leave them and the LSTM's cell
in float.  s is the logistic function, `s(v) = (1 + tanh(v / 2)) / 2`.  In float32 tanh is
Lambert's continued fraction v / (1 + v^2 / (3 + v^2 / (5 + ...))) up to 25, of v within
[-9, 9]: within 5e-7, and the same bits on every processor.

Shapes: states and cells (B, H); z, products, gates and their gradients (B, gates * H).  The last
arrays of each function receive its results.  A product is int32, or of the type of z; `unit` is
what a 1 of it stands for.
"""

import numpy as np

from bitnet.arrays import array_module
from bitnet.errors import InputError, unfit
from bitnet.kernels import reference
from bitnet.kernels.dispatch import check_numbers, kernel

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def rnn_step(z, product, unit, relu, h):
    """One step of a plain layer: `h = f(z + unit * product)`, f tanh or max(0, .); z is lost."""
    _check("rnn", z, product, h)
    kernel(reference.rnn_step)(z, product, z.dtype.type(unit), bool(relu), h)


def rnn_back(h, grad_h, relu, grad_z):
    """The backward pass of `rnn_step`: `grad_z = grad_h f'`, f' being 1 - h^2, or 1 where h > 0."""
    _check("rnn", grad_z, None, h, grad_h)
    kernel(reference.rnn_back)(h, grad_h, bool(relu), grad_z)


def lstm_step(z, product, unit, before, c, h):
    """One step of long short-term memory (Hochreiter and Schmidhuber; with a forget gate).

    `z + unit * product` is cut into i, f, g, o; `c = s(f) * before + s(i) * tanh(g)` and
    `h = s(o) * tanh(c)`.  z becomes the gates s(i), s(f), tanh(g), s(o); c may be `before`.
    """
    _check("lstm", z, product, before, c, h)
    kernel(reference.lstm_step)(z, product, z.dtype.type(unit), before, c, h)


def lstm_back(gates, before, c, grad_h, grad_c, grad_z):
    """The backward pass of `lstm_step`, which left the gates in z.

    With t = tanh(c) and d = grad_c + grad_h * o * (1 - t^2), the gradients of what the gates
    are made of are d g i (1 - i), d before f (1 - f), d i (1 - g^2) and grad_h t o (1 - o), and
    that of the cell before is d f, in place of that of c.
    """
    _check("lstm", gates, None, before, c, grad_h, grad_c)
    _check("lstm", grad_z, None, c)
    kernel(reference.lstm_back)(gates, before, c, grad_h, grad_c, grad_z)


def gru_step(z, product, unit, before, inner, h):
    """One step of a gated recurrent unit, with the reset after the product.

    z and p = unit * product are cut into r, u, n: `r = s(z_r + p_r)`, `u = s(z_u + p_u)`,
    `n = tanh(z_n + r * p_n)` and `h = n + u * (before - n)`; z becomes r, u, n, and inner p_n.
    The unit of Cho et al. (arXiv 1406.1078) resets the state before its product; after it, one
    product per step is enough.
    """
    _check("gru", z, product, before, inner, h)
    kernel(reference.gru_step)(z, product, z.dtype.type(unit), before, inner, h)


def gru_back(gates, inner, before, grad_h, grad_z, grad_p):
    """The backward pass of `gru_step`, which left the gates in z.

    The gradient of n's sum is `d = grad_h (1 - u) (1 - n^2)`; those of r and u are
    `d inner r (1 - r)` and `grad_h (before - n) u (1 - u)`.  grad_p differs from grad_z by `d r`
    for n.  grad_h becomes `grad_h u`, which does not pass through the product.
    """
    _check("gru", gates, None, inner, before, grad_h)
    _check("gru", grad_z, grad_p, inner)
    kernel(reference.gru_back)(gates, inner, before, grad_h, grad_z, grad_p)


def add_rows(y, rows, x):
    """Add rows of one matrix to chosen rows of another: `y[rows[i]] += x[i]`, one by one.

    On a GPU the additions to one row come in no certain order.

    Parameters
    ----------
    y : contiguous float array of shape (M, N)
        Is changed in place.
    rows : int64 array of shape (R,)
        From 0 to M - 1; a row may come more than once.
    x : array of shape (R, N), of the type of y

    Examples
    --------
    >>> y = np.zeros((2, 1), np.float32)
    >>> add_rows(y, np.array([1, 1]), np.float32([[2.0], [3.0]]))
    >>> y.T
    array([[0., 5.]], dtype=float32)
    """
    check_numbers("add_rows", y, "f", "floats")
    fits = y.ndim == x.ndim == 2 and x.shape == (*rows.shape, y.shape[1]) and x.dtype == y.dtype
    if not fits or rows.dtype != np.int64 or not y.flags.c_contiguous:
        raise unfit("add_rows", "contiguous (M, N), int64 (R,) and (R, N)", y, rows, x)
    if not ((rows >= 0) & (rows < len(y))).all():  # one number, and so one wait for a GPU
        raise InputError(f"add_rows: rows {rows.min()} to {rows.max()} of {len(y)}")
    kernel(reference.add_rows)(y, rows, array_module(x).ascontiguousarray(x))


def affine(z, unit, bias):
    """Return integers as numbers with a bias: `y = z * unit + bias`, rounded in this order.

    Parameters
    ----------
    z : int32 array of shape (R, M)
    unit : float
        The value of 1, taken in the type of the bias.
    bias : float array of shape (M,)

    Returns
    -------
    array of shape (R, M), of the type of the bias

    Examples
    --------
    >>> affine(np.array([[3, -1]], np.int32), 0.5, np.float32([1.0, 2.0]))
    array([[2.5, 1.5]], dtype=float32)
    """
    check_numbers("affine", bias, "f", "floats")
    if z.ndim != 2 or z.dtype != np.int32 or bias.shape != z.shape[1:]:
        raise unfit("affine", "int32 (R, M) and a bias (M,)", z, bias)
    contiguous = array_module(bias).ascontiguousarray(bias)
    return kernel(reference.affine)(z, bias.dtype.type(unit), contiguous)


def _check(kind, z, product, *states):
    """Refuse arrays that a kernel would read or write beyond their ends."""
    wide, narrow = {"rnn": 1, "lstm": 4, "gru": 3}[kind], states[0]
    fits = narrow.ndim == 2 and z.shape == (narrow.shape[0], wide * narrow.shape[1])
    fits = fits and z.dtype.kind == "f"
    fits = fits and all((a.shape, a.dtype) == (narrow.shape, z.dtype) for a in states)
    arrays = [z, *states]
    if product is not None:
        fits = fits and product.shape == z.shape and product.dtype in (z.dtype, np.int32)
        arrays.append(product)
    if not fits or not all(a.flags.c_contiguous for a in arrays):
        expected = "of one type, a product of these or of int32, and states (B, H)"
        raise unfit(f"{kind} cell", f"contiguous floats (B, {wide}H) {expected}", *arrays)
