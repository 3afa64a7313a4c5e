"""The elementwise part of one step of a recurrent cell, and additions to rows of embeddings.

All of it is in floats, even when the products are products of bits: section 4.5 of the second
paper (arXiv 1609.07061) does not mention gates; He et al. (arXiv 1611.10176) keep them and the
LSTM's cell in float.  s is the logistic function, `s(v) = (1 + tanh(v / 2)) / 2`.  In float32,
tanh is Lambert's continued fraction v / (1 + v^2 / (3 + v^2 / (5 + ...))) up to 25, for v clipped
to [-9, 9].  Its error is at most 5e-7, and every processor returns the same bits.

Shapes: states and cells (B, H); z, products, gates and their gradients (B, gates * H).  Each
function writes its results into its last arrays.  A product is int32, or has the type of z;
`unit` is the value of a 1 in it.
"""

import numpy as np

from bitnet.arrays import Array, array_module
from bitnet.errors import InputError, unfit
from bitnet.kernels import reference
from bitnet.kernels.dispatch import check_numbers, kernel

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def rnn_step(z: Array, product: Array, unit: float, relu: bool, h: Array) -> None:
    """Compute one step of a plain RNN: `h = f(z + unit * product)`, with f tanh or max(0, .).

    z is overwritten.
    """
    _check("rnn", z, product, h)
    kernel(reference.rnn_step)(z, product, z.dtype.type(unit), bool(relu), h)


def rnn_back(h: Array, grad_h: Array, relu: bool, grad_z: Array) -> None:
    """Compute the backward pass of `rnn_step`: `grad_z = grad_h f'`.

    f' is 1 - h^2 for tanh, and 1 where h > 0 and 0 elsewhere for max(0, .).
    """
    _check("rnn", grad_z, None, h, grad_h)
    kernel(reference.rnn_back)(h, grad_h, bool(relu), grad_z)


def lstm_step(z: Array, product: Array, unit: float, before: Array, c: Array, h: Array) -> None:
    """Compute one step of an LSTM (Hochreiter and Schmidhuber) with a forget gate.

    `z + unit * product` is split into i, f, g, o; `c = s(f) * before + s(i) * tanh(g)` and
    `h = s(o) * tanh(c)`.  z becomes the gates s(i), s(f), tanh(g), s(o); c may be `before`.
    """
    _check("lstm", z, product, before, c, h)
    kernel(reference.lstm_step)(z, product, z.dtype.type(unit), before, c, h)


def lstm_back(
    gates: Array, before: Array, c: Array, grad_h: Array, grad_c: Array, grad_z: Array
) -> None:
    """Compute the backward pass of `lstm_step`, which left the gates in z.

    With t = tanh(c) and d = grad_c + grad_h * o * (1 - t^2), the gradients of the gates' inputs
    are d g i (1 - i), d before f (1 - f), d i (1 - g^2) and grad_h t o (1 - o).  grad_c becomes
    the gradient of the previous cell, d f.
    """
    _check("lstm", gates, None, before, c, grad_h, grad_c)
    _check("lstm", grad_z, None, c)
    kernel(reference.lstm_back)(gates, before, c, grad_h, grad_c, grad_z)


def gru_step(z: Array, product: Array, unit: float, before: Array, inner: Array, h: Array) -> None:
    """Compute one step of a GRU that resets after the product.

    z and p = unit * product are split into r, u, n: `r = s(z_r + p_r)`, `u = s(z_u + p_u)`,
    `n = tanh(z_n + r * p_n)` and `h = n + u * (before - n)`; z becomes r, u, n, and inner p_n.
    The GRU of Cho et al. (arXiv 1406.1078) resets the state before its product.  With the reset
    after the product, one product per step is enough.
    """
    _check("gru", z, product, before, inner, h)
    kernel(reference.gru_step)(z, product, z.dtype.type(unit), before, inner, h)


def gru_back(
    gates: Array, inner: Array, before: Array, grad_h: Array, grad_z: Array, grad_p: Array
) -> None:
    """Compute the backward pass of `gru_step`, which left the gates in z.

    The gradient of n's sum is `d = grad_h (1 - u) (1 - n^2)`; those of r and u are
    `d inner r (1 - r)` and `grad_h (before - n) u (1 - u)`.  grad_p equals grad_z, except for n,
    where it is `d r`.  grad_h becomes `grad_h u`, the part that does not pass through the product.
    """
    _check("gru", gates, None, inner, before, grad_h)
    _check("gru", grad_z, grad_p, inner)
    kernel(reference.gru_back)(gates, inner, before, grad_h, grad_z, grad_p)


def add_rows(y: Array, rows: Array, x: Array) -> None:
    """Add the rows of one matrix to selected rows of another: `y[rows[i]] += x[i]`, one by one.

    On a GPU the order of the additions to one row is not defined.

    Parameters
    ----------
    y : contiguous float array of shape (M, N)
        The matrix that is changed in place.
    rows : int64 array of shape (R,)
        Row numbers from 0 to M - 1, which may repeat.
    x : array of shape (R, N)
        The rows to add, of the same type as y.

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
    if not ((rows >= 0) & (rows < len(y))).all():  # one number, so the host waits once for a GPU
        raise InputError(
            f"add_rows: rows are {rows.min()} to {rows.max()}; expected 0 to {len(y) - 1}"
        )
    kernel(reference.add_rows)(y, rows, array_module(x).ascontiguousarray(x))


def affine(z: Array, unit: float, bias: Array) -> Array:
    """Rescale integers and add a bias: `y = z * unit + bias`, rounded in this order.

    Parameters
    ----------
    z : int32 array of shape (R, M)
        The integers.
    unit : float
        The value of the integer 1, converted to the type of the bias.
    bias : float array of shape (M,)
        One number per column.

    Returns
    -------
    array of shape (R, M)
        The numbers, in the type of the bias.

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
    """Reject arrays that a kernel would read or write out of bounds."""
    wide, narrow = {"rnn": 1, "lstm": 4, "gru": 3}[kind], states[0]
    fits = narrow.ndim == 2 and z.shape == (narrow.shape[0], wide * narrow.shape[1])
    fits = fits and z.dtype.kind == "f"
    fits = fits and all((a.shape, a.dtype) == (narrow.shape, z.dtype) for a in states)
    arrays = [z, *states]
    if product is not None:
        fits = fits and product.shape == z.shape and product.dtype in (z.dtype, np.int32)
        arrays.append(product)
    if not fits or not all(a.flags.c_contiguous for a in arrays):
        expected = "of one type, a product of that type or int32, and states (B, H)"
        raise unfit(f"{kind} cell", f"contiguous floats (B, {wide}H) {expected}", *arrays)
