"""Gradients as an optimizer takes them: a check that there are any, and their common norm."""

import math
import warnings
from collections.abc import Iterable

import numpy as np

from bitnet.arrays import array_module
from bitnet.autograd import Parameter
from bitnet.errors import InputError


def expect_gradients(name, parameters, warns):
    """Refuse a step without any gradient; warn if some are missing."""
    missing = [parameter for parameter in parameters if parameter.lazy_grad is None]
    if len(missing) == len(parameters):
        raise InputError(f"{name}: no parameter has a gradient; call backward() on a loss first")
    if missing and warns:
        first = f"{type(missing[0]).__name__} of shape {missing[0].shape}"
        warnings.warn(
            f"{name}: {len(missing)} of {len(parameters)} parameters have no gradient at the first "
            f"step, such as a {first}, because the loss does not depend on them; check the model, "
            "or leave its frozen parts out of the optimizer",
            stacklevel=3,
        )


def clip_grad_norm(parameters: Parameter | Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients down together if their common norm is too large.

    `g <- g min(1, max_norm / |g|)`, with |g| the root of the sum of the squares of all numbers of
    all gradients (Pascanu et al., arXiv 1211.5063).

    Parameters
    ----------
    parameters : Parameter or iterable of Parameter
        Gradients are changed in place; parameters without one are skipped.
    max_norm : float
        The largest norm, above 0.

    Returns
    -------
    float
        The norm before scaling.

    Examples
    --------
    >>> weight = Parameter([3.0, 0.0])
    >>> weight.grad = np.float32([6.0, 8.0])
    >>> clip_grad_norm([weight], 5.0)
    10.0
    >>> weight.grad
    array([3., 4.], dtype=float32)
    """
    if not isinstance(max_norm, (int, float, np.number)) or not 0 < max_norm < math.inf:
        raise InputError(f"clip_grad_norm: max_norm is {max_norm!r}; expected a number above 0")
    given = [parameters] if isinstance(parameters, Parameter) else parameters
    moving = [p for p in given if p.lazy_grad is not None]
    squares = (array_module(p).vdot(p.grad, p.grad).astype(np.float64) for p in moving)
    found = math.sqrt(float(sum(squares)))  # one number, and so one wait for a GPU
    if not math.isfinite(found):
        raise InputError(
            "clip_grad_norm: the gradients hold NaN or infinity, or are too large for their type; "
            "check the data, or lower the learning rate"
        )
    if found > max_norm:
        for p in moving:  # assigned, too: that of a single number is none that can be changed
            p.grad *= p.grad.dtype.type(max_norm / found)
    return found
