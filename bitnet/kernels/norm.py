"""Batch norm on integers: its statistics, forward with the sign, and backward."""

from bitnet.errors import unfit
from bitnet.kernels import reference
from bitnet.kernels.dispatch import check_bits, check_numbers, kernel


def column_sums(z):
    """Return the sum of each column of integers, and of their squares, without rounding.

    The statistics of batch norm over integer pre-activations come from these two, and do not
    depend on the order of the rows.

    Parameters
    ----------
    z : int32 array of shape (B, C)

    Returns
    -------
    sums, squares : int64 arrays of shape (C,)
        Exact while the sum of squares is below 2**63.

    Examples
    --------
    >>> import numpy as np
    >>> column_sums(np.array([[1, 2], [3, -4]], np.int32))
    (array([ 4, -2]), array([10, 20]))
    """
    _check_matrix("column_sums", z)
    return kernel(reference.column_sums)(z)


def normalize_sign(z, mean, scale, shift, clip_value=None):
    """Normalize integers by given statistics and pack their signs, in one sweep.

    `y = (z - mean) * scale + shift` in float32, rounded in this order, is packed as it is made
    and never stored.

    Parameters
    ----------
    z : int32 array of shape (B, C)
    mean, scale, shift : float array of shape (C,)
    clip_value : float, optional
        Also pack where `|y| <= clip_value`, for the straight-through estimator.

    Returns
    -------
    signs, mask : Bits of shape (B, C)
        The mask is of use only with a clip_value.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.float32([1.0])
    >>> signs, mask = normalize_sign(np.array([[0], [3]], np.int32), one, one, one, clip_value=1.0)
    >>> signs.signs().T, mask.signs().T
    (array([[1, 1]], dtype=int8), array([[ 1, -1]], dtype=int8))
    """
    _check_matrix("normalize_sign", z, mean, scale, shift)
    return kernel(reference.normalize_sign)(z, mean, scale, shift, clip_value)


def batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma):
    """Return the gradients of batch norm on integers, with the mask of the sign after it.

    With g = grad_y where the mask is 1, and xhat = (z - mean) * inv_std:
    `grad_beta = sum g`, `grad_gamma = sum g * xhat` over the rows, and
    `grad_z = (g - (grad_beta + xhat * grad_gamma) / B) * (gamma * inv_std)`.

    Parameters
    ----------
    grad_y : float array of shape (B, C)
    mask : Bits of shape (B, C) or None
        Where the gradient passes; None lets all pass.
    z : int32 array of shape (B, C)
    mean, inv_std, gamma : float arrays of shape (C,)

    Returns
    -------
    grad_z, grad_gamma, grad_beta : arrays of shapes (B, C), (C,) and (C,)

    Examples
    --------
    >>> import numpy as np
    >>> z, zero, one = np.array([[1], [-1]], np.int32), np.float32([0.0]), np.float32([1.0])
    >>> batch_norm_backward(np.float32([[1.0], [3.0]]), None, z, zero, one, one)[1:]
    (array([-2.], dtype=float32), array([4.], dtype=float32))
    """
    _check_matrix("batch_norm_backward", z, mean, inv_std, gamma)
    masks = () if mask is None else (mask,)
    check_bits("batch_norm_backward", *masks)
    if any(x.shape != z.shape for x in (grad_y, *masks)):
        raise unfit("batch_norm_backward", "one shape (B, C)", grad_y, *masks, z)
    return kernel(reference.batch_norm_backward)(grad_y, mask, z, mean, inv_std, gamma)


def _check_matrix(name, z, *columns):
    """Refuse what is not an integer matrix with one number a column in each other array."""
    check_numbers(name, z, "i", "integers")
    if z.ndim != 2 or any(column.shape != z.shape[1:] for column in columns):
        raise unfit(name, "integers (B, C), and one number per column (C,)", z, *columns)
