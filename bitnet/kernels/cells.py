"""The element-wise part of recurrent cells, a time step forward or backward; rows of embeddings.

Floats all, also where the products are of bits: section 4.5 of the second paper (arXiv
1609.07061) says nothing of gates; He et al. (arXiv 1611.10176) leave them and the LSTM's cell
in float.  s is the logistic function, `s(v) = (1 + tanh(v / 2)) / 2`.  In float32 tanh is
Lambert's continued fraction v / (1 + v^2 / (3 + v^2 / (5 + ...))) up to 25, of v within
[-9, 9]: within 5e-7, and the same bits on every processor.
"""

import numpy as np

from bitnet.arrays import array_module
from bitnet.errors import InputError
from bitnet.kernels import reference
from bitnet.kernels.dispatch import check_numbers, kernel, unfit

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def rnn_step(z, product, unit, relu, h):
    """One step of a plain recurrent layer: `h = f(z + unit * product)`, f tanh or max(0, .).

    Parameters
    ----------
    z : numpy.ndarray
        Floats of shape (B, H): the product of the input, and the bias; overwritten.
    product : numpy.ndarray
        The state times the weights: int32, or floats of the type of z, of shape (B, H).
    unit : float
        What a 1 of the product stands for.
    relu : bool
        Whether f is the rectifier.
    h : numpy.ndarray
        Floats of shape (B, H): receives the new state.

    Examples
    --------
    >>> z, h = np.float32([[1.0, -1.0]]), np.empty((1, 2), np.float32)
    >>> rnn_step(z, np.array([[4, 4]], np.int32), 0.5, True, h)
    >>> h
    array([[3., 1.]], dtype=float32)
    """
    _check("rnn", z, product, h)
    kernel(reference.rnn_step)(z, product, z.dtype.type(unit), bool(relu), h)


def rnn_back(h, grad_h, relu, grad_z):
    """The backward pass of `rnn_step`: `grad_z = grad_h * f'`.

    f' is `1 - h^2`, or 1 where h > 0.

    Parameters
    ----------
    h, grad_h : numpy.ndarray
        The new state and its gradient, floats of shape (B, H).
    relu : bool
        As for `rnn_step`.
    grad_z : numpy.ndarray
        Shape (B, H): receives the gradient of z, and of `unit * product`.

    Examples
    --------
    >>> h, grad_z = np.float32([[0.5]]), np.empty((1, 1), np.float32)
    >>> rnn_back(h, np.float32([[2.0]]), False, grad_z)
    >>> grad_z
    array([[1.5]], dtype=float32)
    """
    _check("rnn", grad_z, None, h, grad_h)
    kernel(reference.rnn_back)(h, grad_h, bool(relu), grad_z)


def lstm_step(z, product, unit, before, c, h):
    """One step of long short-term memory (Hochreiter and Schmidhuber; with a forget gate).

    `v = z + unit * product` is cut into i, f, g, o; `c = s(f) * before + s(i) * tanh(g)` and
    `h = s(o) * tanh(c)`.

    Parameters
    ----------
    z : numpy.ndarray
        Floats of shape (B, 4H); becomes the gates s(i), s(f), tanh(g), s(o).
    product, unit : optional
        As for `rnn_step`, the product of shape (B, 4H); both are needed.
    before : numpy.ndarray
        The cell before, floats of shape (B, H).
    c, h : numpy.ndarray
        Shape (B, H): receive the new cell and the new state; c may be `before`.

    Examples
    --------
    >>> z, product = np.float32([[100, -100, 100, 0]]), np.zeros((1, 4), np.int32)
    >>> before, c, h = np.ones((3, 1, 1), np.float32)
    >>> lstm_step(z, product, 1.0, before, c, h)
    >>> c, np.round(h, 4)
    (array([[1.]], dtype=float32), array([[0.3808]], dtype=float32))
    """
    _check("lstm", z, product, before, c, h)
    kernel(reference.lstm_step)(z, product, z.dtype.type(unit), before, c, h)


def lstm_back(gates, before, c, grad_h, grad_c, grad_z):
    """The backward pass of `lstm_step`.

    With t = tanh(c) and d = grad_c + grad_h * o * (1 - t^2), the gradients of what the gates
    are made of are d g i (1 - i), d before f (1 - f), d i (1 - g^2) and grad_h t o (1 - o), and
    that of the cell before is d f.

    Parameters
    ----------
    gates : numpy.ndarray
        What `lstm_step` left in z, shape (B, 4H).
    before, c : numpy.ndarray
        The cell before and the new one, (B, H).
    grad_h : numpy.ndarray
        The gradient of the new state, (B, H).
    grad_c : numpy.ndarray
        The gradient of the new cell, (B, H); becomes that of the cell before.
    grad_z : numpy.ndarray
        Shape (B, 4H): receives the gradient of z, and of `unit * product`.

    Examples
    --------
    >>> gates, one = np.float32([[0.5, 0.25, 0.0, 0.5]]), np.float32([[1.0]])
    >>> grad_c, grad_z = one.copy(), np.empty((1, 4), np.float32)
    >>> lstm_back(gates, one, 0 * one, 0 * one, grad_c, grad_z)
    >>> grad_c, grad_z
    (array([[0.25]], dtype=float32), array([[0.    , 0.1875, 0.5   , 0.    ]], dtype=float32))
    """
    _check("lstm", gates, None, before, c, grad_h, grad_c)
    _check("lstm", grad_z, None, c)
    kernel(reference.lstm_back)(gates, before, c, grad_h, grad_c, grad_z)


def gru_step(z, product, unit, before, inner, h):
    """One step of a gated recurrent unit, with the reset behind the product.

    z and p = unit * product are cut into r, u, n: `r = s(z_r + p_r)`, `u = s(z_u + p_u)`,
    `n = tanh(z_n + r * p_n)` and `h = n + u * (before - n)`.  The unit of Cho et al. (arXiv
    1406.1078) resets the state before its product; behind it, one product a step is enough.

    Parameters
    ----------
    z : numpy.ndarray
        Floats of shape (B, 3H); becomes r, u, n.
    product, unit : optional
        As for `rnn_step`, the product of shape (B, 3H); both are needed.
    before : numpy.ndarray
        The state before, floats of shape (B, H).
    inner, h : numpy.ndarray
        Shape (B, H): receive p_n and the new state.

    Examples
    --------
    >>> z, product = np.float32([[0, 100, 0]]), np.zeros((1, 3), np.int32)
    >>> before, inner, h = np.full((3, 1, 1), 0.75, np.float32)
    >>> gru_step(z, product, 1.0, before, inner, h)
    >>> h
    array([[0.75]], dtype=float32)
    """
    _check("gru", z, product, before, inner, h)
    kernel(reference.gru_step)(z, product, z.dtype.type(unit), before, inner, h)


def gru_back(gates, inner, before, grad_h, grad_z, grad_p):
    """The backward pass of `gru_step`.

    The gradient of n's sum is `d = grad_h (1 - u) (1 - n^2)`; those of r and u are
    `d inner r (1 - r)` and `grad_h (before - n) u (1 - u)`.

    Parameters
    ----------
    gates, inner, before : numpy.ndarray
        What `gru_step` left in z, (B, 3H), and in inner, and what it was given, (B, H).
    grad_h : numpy.ndarray
        The gradient of the new state, (B, H); becomes the part of that of the state before
        that does not pass through the product, `grad_h u`.
    grad_z, grad_p : numpy.ndarray
        Shape (B, 3H): receive the gradients of z and of `unit * product`, the latter with
        `d r` for n.

    Examples
    --------
    >>> gates, one = np.float32([[0.5, 0.0, 0.0]]), np.float32([[1.0]])
    >>> grad_z, grad_p = np.empty((2, 1, 3), np.float32)
    >>> gru_back(gates, one, one, one.copy(), grad_z, grad_p)
    >>> grad_z, grad_p
    (array([[0.25, 0.  , 1.  ]], dtype=float32), array([[0.25, 0.  , 0.5 ]], dtype=float32))
    """
    _check("gru", gates, None, inner, before, grad_h)
    _check("gru", grad_z, grad_p, inner)
    kernel(reference.gru_back)(gates, inner, before, grad_h, grad_z, grad_p)


def add_rows(y, rows, x):
    """Add rows of one matrix to chosen rows of another: `y[rows[i]] += x[i]`, one by one.

    On a GPU the additions to one row come in no certain order.

    Parameters
    ----------
    y : numpy.ndarray
        Floats of shape (M, N), contiguous; changed in place.
    rows : numpy.ndarray
        int64 of shape (R,), from 0 to M - 1; a row may come more than once.
    x : numpy.ndarray
        Of the type of y, shape (R, N).

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
    """Integers as numbers with a bias: `y = z * unit + bias`, rounded in this order.

    Parameters
    ----------
    z : numpy.ndarray
        int32 of shape (R, M).
    unit : float
        What a 1 stands for; taken in the type of the bias.
    bias : numpy.ndarray
        Floats of shape (M,).

    Returns
    -------
    numpy.ndarray
        Shape (R, M), of the type of the bias.

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
    wide, narrow = GATES[kind], states[0]
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
