"""A numerical check of hand-written backward passes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bitnet.arrays import array_module, like
from bitnet.autograd.tensor import Tensor, no_grad
from bitnet.errors import InputError


def check_gradient(
    function: Callable[..., Tensor],
    *inputs: Any,
    surrogate: Callable[..., Tensor] | None = None,
    kinks: Sequence[float] = (),
    batched: Sequence[int] = (0,),
    step: float = 1e-06,
    tolerance: float = 1e-06,
    seed: int = 0,
) -> None:
    """Compare a function's gradient with a central difference along one random direction.

    For a random direction d of all inputs and a random weight c of the outputs,
    `sum(c * (f(x + h d) - f(x - h d))) / 2h` must equal `sum(grad * d)`, in float64.  It also
    checks inputs that are not contiguous, and the shapes of the gradients of an empty batch.
    Raises AssertionError if the two differ.

    Parameters
    ----------
    function : callable
        Maps Tensors to one Tensor.
    *inputs : array
        The point at which gradients are compared; converted to float64, all on one device.
    surrogate : callable, optional
        For a quantizer: the function, from Tensors to a Tensor, whose slope the backward pass
        uses.  Its differences are compared with the gradient of `function`.
    kinks : sequence of float, optional
        Values at which the slope jumps; entries of the inputs within `100 * step` of one
        are moved to that distance above it.
    batched : sequence of int, optional
        The indices of the inputs whose first axis is the batch, which may be empty; pass
        () for a function that needs rows.
    step : float, optional
        The step size h.
    tolerance : float, optional
        The largest error allowed, absolute and relative to the difference.
    seed : int, optional
        The seed of the random direction and weights.

    Examples
    --------
    >>> from bitnet.nn import functional
    >>> check_gradient(lambda x, y: x * y, np.ones((2, 3)), np.ones(3))
    >>> check_gradient(
    ...     lambda x: functional.unpack(functional.sign(x), np.float64),
    ...     np.array([[-2.0, 0.3, 1.0]]), surrogate=functional.hardtanh, kinks=(-1, 1),
    ... )
    """
    if not inputs:
        raise InputError("check_gradient: no inputs; expected one or more arrays")
    xp = array_module(*inputs)
    arrays = [_away_from(xp.array(x, np.float64), kinks, 100 * step) for x in inputs]
    rng = np.random.default_rng(seed)
    directions = [like(rng.standard_normal(x.shape), x) for x in arrays]
    weights = xp.asarray(rng.standard_normal(function(*map(Tensor, arrays)).shape))

    def value(sign):
        moved = (x + sign * step * d for x, d in zip(arrays, directions, strict=True))
        with no_grad():
            return float((weights * (surrogate or function)(*map(Tensor, moved)).data).sum())

    expected = (value(+1) - value(-1)) / (2 * step)
    for layout in (xp.copy, _strided):
        grads = _gradients(function, [layout(x) for x in arrays], weights)
        slope = sum(float((g * d).sum()) for g, d in zip(grads, directions, strict=True))
        if not abs(slope - expected) <= tolerance * max(1, abs(expected)):
            raise AssertionError(
                f"the gradient along a random direction is {slope}; "
                f"the difference of the forward pass gives {expected}"
            )
    if batched:
        empty = [x[:0] if i in batched else x for i, x in enumerate(arrays)]
        try:
            _gradients(function, empty, xp.zeros(function(*map(Tensor, empty)).shape))
        except InputError as error:
            raise InputError(
                f"check_gradient on an empty batch: {error}; pass batched=() if it needs rows"
            ) from None


def _gradients(function, arrays, grad_y):
    """Return the gradients of all inputs, zero for an input that the function ignores."""
    tensors = [Tensor(x, requires_grad=True) for x in arrays]
    function(*tensors).backward(grad_y)
    return [0 * x.data if x.grad is None else x.grad for x in tensors]


def _away_from(x, kinks, distance):
    """Return x with entries closer than `distance` to a kink moved above it."""
    for kink in kinks:
        x[abs(x - kink) < distance] = kink + distance
    return x


def _strided(x):
    """Return the same numbers in memory that is not contiguous."""
    if x.ndim == 0:
        return x
    spread = array_module(x).zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    spread[..., ::2] = x
    return spread[..., ::2]
