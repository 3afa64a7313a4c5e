"""Moments in bfloat16: the seeds of their stochastic rounding, and a check of stored ones."""

import numpy as np

from bitnet.arrays import array_module
from bitnet.devices import check_generator
from bitnet.errors import InputError, check_choice, unfit

MOMENTS = {"float32": None, "bfloat16": np.uint16}  # the upper halves of float32
EXPONENT = 0x7F80  # all bits of the exponent: infinity or NaN


def seed_for(name, moments, parameters, rng):
    """Return the seed of an optimizer whose moments are rounded, drawn from rng; otherwise None."""
    check_choice(name, MOMENTS, moments=moments)
    if moments == "float32":
        return None
    if rng is None:
        raise InputError(
            f"{name}: moments is 'bfloat16', which is rounded stochastically and needs a "
            "generator; pass rng=, such as numpy.random.default_rng(0)"
        )
    check_generator(name, rng)
    other = next((p for p in parameters if p.data.dtype != np.float32), None)
    if other is not None:
        raise unfit(name, "float32 parameters with moments in bfloat16", other)
    return int(rng.integers(2**63))


def zeros_for(parameter, names, moments):
    """Return the first moments of a parameter, by name: zeros of its type, or in bfloat16."""
    xp, dtype = array_module(parameter), MOMENTS[moments]
    return {name: xp.zeros_like(parameter.data, dtype=dtype) for name in names}


def seeds_of(seed, step, n):
    """Return the seeds of n parameters in a step; None for each if the optimizer has no seed."""
    if seed is None:
        return [None] * n
    return np.random.SeedSequence([seed, step]).generate_state(n, np.uint64).tolist()


def check_halves(name, state):
    """Refuse moments in bfloat16 that are not finite."""
    for key, array in state.items():
        if array.dtype == np.uint16 and (array & EXPONENT == EXPONENT).any():
            raise InputError(f"{name}: {key!r} holds NaN or infinity")
