"""What stands between the products in training: batch norm, quantized gradients, updates."""

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels.bits import words_for
from bitnet.kernels.dispatch import check_bits, check_numbers, kernel
from bitnet.kernels.operands import Rounding

__all__ = ["batch_norm_backward", "column_sums", "normalize_sign", "quantize", "update"]


def column_sums(z):
    """The sum of each column of integers, and of their squares, without rounding.

    The statistics of batch norm over integer pre-activations come from these two, and do not
    depend on the order of the rows.

    Parameters
    ----------
    z : numpy.ndarray
        int32 of shape (B, C).

    Returns
    -------
    sums, squares : numpy.ndarray
        int64 of shape (C,); exact while the sum of squares is below 2**63.

    Raises
    ------
    InputError
        If `z` is no such matrix.

    Examples
    --------
    >>> column_sums(np.array([[1, 2], [3, -4]], np.int32))
    (array([ 4, -2]), array([10, 20]))
    """
    _check_matrix("column_sums", z)
    return kernel("column_sums")(z)


def normalize_sign(z, mean, scale, shift, window=None):
    """Batch norm with given statistics and the sign, of integers, in one sweep.

    `y = (z - mean) * scale + shift` in float32, rounded in this order, is packed as it is made
    and never stored.

    Parameters
    ----------
    z : numpy.ndarray
        int32 of shape (B, C).
    mean, scale, shift : numpy.ndarray
        Floats of shape (C,).
    window : float, optional
        Also pack where `|y| <= window`, for the straight-through estimator.

    Returns
    -------
    signs, mask : Bits, Bits or None
        Of shape (B, C); the mask is of use only with a window.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> one = np.float32([1.0])
    >>> signs, mask = normalize_sign(np.array([[0], [3]], np.int32), one, one, one, window=1.0)
    >>> signs.signs().T, mask.signs().T
    (array([[1, 1]], dtype=int8), array([[ 1, -1]], dtype=int8))
    """
    _check_matrix("normalize_sign", z, mean, scale, shift)
    return kernel("normalize_sign")(z, mean, scale, shift, window)


def batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma):
    """The backward pass of batch norm on integers, with the mask of the sign behind it.

    With g = grad_y where the mask is 1, and xhat = (z - mean) * inv_std:
    `grad_beta = sum g`, `grad_gamma = sum g * xhat` over the rows, and
    `grad_z = (g - (grad_beta + xhat * grad_gamma) / B) * (gamma * inv_std)`.

    Parameters
    ----------
    grad_y : numpy.ndarray
        Floats of shape (B, C), the gradient of the normalized values or of their signs.
    mask : Bits or None
        Shape (B, C): where the gradient passes; None lets all pass.
    z : numpy.ndarray
        int32 of shape (B, C).
    mean, inv_std, gamma : numpy.ndarray
        Floats of shape (C,): the statistics of this batch, and the scale.

    Returns
    -------
    grad_z, grad_gamma, grad_beta : numpy.ndarray
        Shapes (B, C), (C,) and (C,).

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> z, zero, one = np.array([[1], [-1]], np.int32), np.float32([0.0]), np.float32([1.0])
    >>> batch_norm_backward(np.float32([[1.0], [3.0]]), None, z, zero, one, one)[1:]
    (array([-2.], dtype=float32), array([4.], dtype=float32))
    """
    _check_matrix("batch_norm_backward", z, mean, inv_std, gamma)
    if mask is not None:
        check_bits("batch_norm_backward", mask)
    if grad_y.shape != z.shape or (mask is not None and mask.shape != z.shape):
        raise InputError(
            f"batch_norm_backward: a gradient of shape {grad_y.shape} and a mask of shape "
            f"{getattr(mask, 'shape', None)} for integers of shape {z.shape}"
        )
    return kernel("batch_norm_backward")(grad_y, mask, z, mean, inv_std, gamma)


def quantize(x, bits, rng=None):
    """Numbers as integers of a few bits with one scale a row, or as powers of two.

    `values = round(x / scale)` with `scale = max|x| / (2**(bits - 1) - 1)` over the row.  With a
    generator the rounding is stochastic, `floor(x / scale + u)` with u from [0, 1), and its
    expected value is x; without one it is to the nearest integer, ties to even.

    Of kind "dorefa" the integers are `2 round((x / scale + n) / 2) - n`, -n to n without the even
    ones, with n = 2**bits - 1 and `scale = max|x| / n`: equation 11 of DoReFa-Net (arXiv
    1606.06160), whose noise is this u - 1/2.

    Of kind "log" the numbers are `sign(x) 2^round(log2 |x|)` (AP2 of the papers), always to the
    nearest: the second paper (arXiv 1609.07061, section 4.4) has logarithmic gradients of 6 bits
    and no noise.  It does not say their range; here the largest power is that of the max|x| of
    all x, there are 2**(bits - 1) - 1 powers of each sign, and what is below them, or below
    2^-126, is 0.

    Parameters
    ----------
    x : numpy.ndarray
        float32 of shape (R, C); a transposed view is fine.
    bits : int or Rounding
        From 2 to 8, the sign included; or how to round.
    rng : numpy.random.Generator, optional
        The source of one seed a call.

    Returns
    -------
    Quantized or numpy.ndarray
        Shape (R, C); powers of two are float32.  In a row that holds NaN or infinity the scale
        is not finite; of powers of two all are NaN then.

    Raises
    ------
    InputError
        If `x` is no matrix of floats, `bits` is out of range, or powers of two come with a
        generator.

    Examples
    --------
    >>> quantize(np.float32([[0.5, -1.0, 0.1]]), 4).values
    array([[ 4, -7,  1]], dtype=int16)
    >>> quantize(np.float32([[0.5, -1.0, 0.1]]), Rounding("dorefa", 2)).values
    array([[ 1, -3,  1]], dtype=int16)
    >>> quantize(np.float32([[0.5, -0.8, 0.1]]), Rounding("log", 3))
    array([[ 0.5, -1. ,  0. ]], dtype=float32)
    """
    check_numbers("quantize", x, "f", "floats")
    rule = Rounding.of(bits)
    if x.ndim != 2:
        raise InputError(f"quantize: got numbers of shape {x.shape}; expected a matrix")
    x = x.astype(np.float32, copy=False)
    return kernel("quantize")(x, *rule.numbers(rng)) if rule.largest else powers(x, rule, rng)


def powers(x, rule, rng=None):
    """`quantize` of kind "log", of floats of any shape.

    Parameters
    ----------
    x : numpy.ndarray
        float32.
    rule : Rounding
        Of kind "log".
    rng : None
        There is no chance in it.

    Returns
    -------
    numpy.ndarray
        float32 of the same shape.

    Raises
    ------
    InputError
        If a generator comes.

    Examples
    --------
    >>> powers(np.float32([0.3, -0.8, 0.0]), Rounding("log", 6))
    array([ 0.25, -1.  ,  0.  ], dtype=float32)
    """
    if rng is not None:
        raise InputError("quantize: powers of two are rounded to the nearest; expected no rng")
    return kernel("powers")(x, rule.powers)


def update(rule, weight, grad, state, constants, bound=None, words=None):
    """One step of an optimizer, in place: moments, weights, clip, and the weights' new signs.

    `weight <- clip(weight - rate * direction, -bound, bound)`.  The constants begin with the
    rate; then come, with the state and the direction of each rule,

    ================= ======== ======================================== ========================
    sgd               velocity momentum, nesterov (0 or 1)              v, or g + momentum v
    adam              m, v     1 - b1, 1 - b2, 1 / sqrt(1 - b2^t), eps, m / (sqrt(v) c + eps) c1
                               c1 = 1 / (1 - b1^t)
    adamax            m, u     1 - b1, b2, eps, c1 = 1 / (1 - b1^t)     m / (u + eps) c1
    shift_adamax      m, v     1 - b1, b2, eps                          m / AP2(v + eps)
    shift_adamax_code m, v     the same; v <- AP2(v) + eps is kept      m / v
    ================= ======== ======================================== ========================

    "bop" moves nothing but flips weights of +1 and -1 (arXiv 1906.02107): its
    constants are a rate and a threshold, its state is m; `m <- m + rate (g - m)`, and
    `w <- -w where m w > threshold`, that is, where m has the sign of w and is large enough.

    Parameters
    ----------
    rule : {"sgd", "adam", "adamax", "shift_adamax", "shift_adamax_code", "bop"}
        The direction.
    weight : numpy.ndarray
        Floats, contiguous.
    grad : numpy.ndarray or Product
        Of the same shape and type; a Product is multiplied as it is used, some rows at a time.
    state : list of numpy.ndarray
        The moments, of the same shape and type.
    constants : sequence of float
        The rate, then the rule's.
    bound : float, optional
        What the weights are clipped to.
    words : numpy.ndarray, optional
        The packed signs of weights of shape (..., N), (..., K) uint64; receives the new ones.

    Returns
    -------
    int or None
        The signs that changed, 0 without words; None if a weight is NaN now, and has no sign.
        On a GPU weights without words are not looked at, for that would be to wait.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> weight, velocity = np.float32([[0.5, -0.5]]), np.zeros((1, 2), np.float32)
    >>> words = np.array([[1]], np.uint64)
    >>> update("sgd", weight, np.float32([[1.0, 1.0]]), [velocity], [1.0, 0.0, 0.0], 1.0, words)
    1
    >>> weight, words
    (array([[-0.5, -1. ]], dtype=float32), array([[0]], dtype=uint64))
    """
    arrays = [weight, grad, *state]
    changed = [weight, *state] if words is None else [weight, *state, words]
    contiguous = all(array.flags.c_contiguous for array in changed)
    if len({(a.shape, a.dtype) for a in arrays}) != 1 or not contiguous:
        shapes = ", ".join(f"{a.dtype} {a.shape}" for a in arrays)
        raise InputError(f"update: {shapes} do not fit; expected one shape and type, contiguous")
    fit = weight.ndim > 1 and (*weight.shape[:-1], words_for(weight.shape[-1]))
    if words is not None and words.shape != fit:
        raise InputError(f"update: words of shape {words.shape} for weights of {weight.shape}")
    return kernel("update")(rule, weight, grad, state, constants, bound, words)


def _check_matrix(name, z, *columns):
    """Refuse what is not an integer matrix with one number a column in each other array."""
    check_numbers(name, z, "i", "integers")
    shapes = [column.shape for column in columns]
    if z.ndim != 2 or any(shape != z.shape[1:] for shape in shapes):
        raise InputError(
            f"{name}: integers of shape {z.shape} and columns of shapes {shapes} do not fit; "
            "expected (B, C) and (C,)"
        )
