"""Losses of regression: the distance between outputs and numbers."""

import math
from typing import Any

from bitnet.arrays import array_module, as_array, like
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, unfit


class Huber(Function):
    """mean(c (2 e - c)), e = y - target, c = clip(e, -delta, delta).

    This is e^2 where |e| <= delta, and twice the Huber loss; for infinite delta the squared error.
    """

    def __init__(self, targets, delta=math.inf):
        self.targets, self.delta = targets, delta

    def forward(self, y):  # (B, K)
        xp, e = array_module(y), y - self.targets
        self.clipped = e if self.delta == math.inf else xp.clip(e, -self.delta, self.delta)
        return (self.clipped * (2 * e - self.clipped)).mean()

    def backward(self, grad_y):
        return grad_y * (2 / self.clipped.size) * self.clipped


def squared_error(y: TensorLike, targets: Any) -> Tensor:
    """Return the mean squared error, `mean((y - target)^2)` over batch and outputs.

    Parameters
    ----------
    y : Tensor
        Floats of shape (B, K), one or more rows.
    targets : array
        Numbers of shape (B, K), or (B,) if K is 1.

    Returns
    -------
    Tensor
        A single number.

    Examples
    --------
    >>> squared_error([[1.0], [2.0]], [1.0, 5.0])
    Tensor(array(4.5, dtype=float32))
    """
    y, targets = checked_outputs("squared_error", y, targets)
    return Huber(targets)(y)


def huber(y: TensorLike, targets: Any, delta: float = 1.0) -> Tensor:
    """Return the mean Huber loss: squared for small errors, linear for large ones.

    With `e = y - target` it is `e^2 / 2` where `|e| <= delta`, and `delta (|e| - delta / 2)`
    beyond, so that a few outliers do not dominate.

    Parameters
    ----------
    y, targets : Tensor or array
        As for `squared_error`.
    delta : float, optional
        The error at which the loss becomes linear, above 0.

    Returns
    -------
    Tensor
        A single number.

    Examples
    --------
    >>> huber([[1.0], [2.0]], [0.0, 5.0])  # (1 / 2 + 3 - 1 / 2) / 2
    Tensor(array(1.5, dtype=float32))
    """
    if not isinstance(delta, (int, float)) or not 0 < delta < math.inf:
        raise InputError(f"huber: delta is {delta!r:.40}; expected a number above 0")
    y, targets = checked_outputs("huber", y, targets)
    return Huber(targets, delta)(y) * 0.5


def checked_outputs(name, y, targets):
    """Return the checked outputs as a Tensor, and the targets in their type, shape and device."""
    y, targets = as_tensor(y), as_array(targets)
    if y.ndim != 2 or y.size == 0 or not y.is_float:
        raise unfit(name, "floats of shape (B, K) with at least one row", y)
    if targets.shape == y.shape[:1] and y.shape[1] == 1:
        targets = targets[:, None]
    if targets.shape != y.shape or targets.dtype.kind not in "biuf":
        raise unfit(name, f"targets of shape {y.shape}", targets)
    for what, array in (("outputs", y.data), ("targets", targets)):
        if array.dtype.kind == "f" and not array_module(array).isfinite(array).all():
            cure = "check the data, or lower the learning rate"
            raise InputError(f"{name}: the {what} hold NaN or infinity; {cure}")
    return y, like(targets, y).astype(y.data.dtype, copy=False)
