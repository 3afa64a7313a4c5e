"""Batch norm on integers: statistics, the forward pass with the sign, and the backward pass."""

import numpy as np

from bitnet.arrays import Array
from bitnet.errors import unfit
from bitnet.kernels import reference
from bitnet.kernels.bits import Bits
from bitnet.kernels.dispatch import check_bits, check_numbers, kernel


def column_moments(z: Array) -> tuple[Array, Array]:
    """Return the mean and the biased variance of the integers of each column.

    They are computed from exact sums, so that they do not depend on the order of the rows: that of
    the integers, and that of the squares of their distances from the rounded mean, in two halves
    of 32 bits.  No int32 is too large for them, and no digits are lost if the mean is large.

    Parameters
    ----------
    z : int32 array of shape (B, C)
        Integer pre-activations, with at least one row.

    Returns
    -------
    mean, variance : float64 arrays of shape (C,)

    Examples
    --------
    >>> import numpy as np
    >>> column_moments(np.array([[1, 2_000_000_000], [3, -2_000_000_000]], np.int32))
    (array([2., 0.]), array([1.e+00, 4.e+18]))
    """
    _check_matrix("column_moments", z)
    if z.dtype != np.int32 or not len(z):
        raise unfit("column_moments", "int32 (B, C) with at least one row", z)
    return kernel(reference.column_moments)(z)


def normalize_sign(
    z: Array, mean: Array, scale: Array, shift: Array, clip_value: float | None = None
) -> tuple[Bits, Bits]:
    """Normalize integers with given statistics and pack their signs, in one pass.

    `y = (z - mean) * scale + shift` in float32, rounded in this order, is packed as soon as it is
    computed and never stored.

    Parameters
    ----------
    z : int32 array of shape (B, C)
        Integer pre-activations.
    mean, scale, shift : float arrays of shape (C,)
        One number per column.
    clip_value : float, optional
        Also pack where `|y| <= clip_value`, for the straight-through estimator.

    Returns
    -------
    signs, mask : Bits of shape (B, C)
        Without a clip_value the mask has no meaning.

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


def batch_norm_backward(
    grad_y: Array, mask: Bits | None, z: Array, mean: Array, inv_std: Array, gamma: Array
) -> tuple[Array, Array, Array]:
    """Return the gradients of batch norm on integers, masked by the sign after it.

    With g = grad_y where the mask is 1, and xhat = (z - mean) * inv_std:
    `grad_beta = sum g`, `grad_gamma = sum g * xhat` over the rows, and
    `grad_z = (g - (grad_beta + xhat * grad_gamma) / B) * (gamma * inv_std)`.

    Parameters
    ----------
    grad_y : float array of shape (B, C)
        The gradient of the output.
    mask : Bits of shape (B, C) or None
        +1 where the gradient passes; None if it passes everywhere.
    z : int32 array of shape (B, C)
        Integer pre-activations.
    mean, inv_std, gamma : float arrays of shape (C,)
        One number per column.

    Returns
    -------
    grad_z, grad_gamma, grad_beta : arrays of shapes (B, C), (C,) and (C,)
        The gradients.

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
    """Reject anything but an integer matrix and arrays with one number per column."""
    check_numbers(name, z, "i", "integers")
    if z.ndim != 2 or any(column.shape != z.shape[1:] for column in columns):
        raise unfit(name, "integers (B, C), and one number per column (C,)", z, *columns)
