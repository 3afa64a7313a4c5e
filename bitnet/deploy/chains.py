"""Chains of monotone operations from an integer to a quantizer, which become thresholds."""

import numpy as np

from bitnet.arrays import is_array, to_cpu
from bitnet.deploy.products import Threshold
from bitnet.deploy.sizes import INTEGERS
from bitnet.deploy.thresholds import are_steps, find_thresholds
from bitnet.deploy.traced import same
from bitnet.errors import InputError
from bitnet.nn.functional import activations, arithmetic
from bitnet.nn.functional.norm import Normalize

EXACT: tuple[type, ...] = Normalize, arithmetic.Add, arithmetic.Subtract, arithmetic.Multiply
EXACT += (arithmetic.Divide, arithmetic.Negate)
EXACT += (activations.ReLU, activations.HardTanh, activations.PReLU)
ROUNDED = (arithmetic.Exp, arithmetic.Tanh, arithmetic.Sigmoid)  # monotone up to rounding


def threshold_node(freezer, ref, codes, codebook):
    """Return a node of thresholds, or None if the codes of an operand are no steps of integers.

    From the quantizer back to an integer, all operations must be monotone in each channel.
    """
    chain, shape = [], freezer.data(ref)[0].shape
    while (kind := str(freezer.data(ref)[0].dtype)) not in INTEGERS:
        found = _monotone(freezer, ref, shape)
        if found is None:
            return None
        chain.append(found)
        op, position, _ = found
        ref = op.inputs[position]
    place = freezer.places.get(ref)
    if isinstance(place, InputError) or kind == "bool" or freezer.data(ref)[0].shape != shape:
        return None
    z = freezer.operand(ref)
    m, largest = freezer.values[z].shape[-1], freezer.values[z].largest
    if not isinstance(m, int) or largest >= 2**31 - 1:
        return None
    wide = np.int64 if kind == "int64" else np.int32

    def codes_of(x):
        x = x.astype(wide)
        for op, position, others in reversed(chain):
            x = op.applied(x, position, others)
        return codes(x if x.dtype.kind == "f" else x.astype(np.float32))

    ends = np.repeat(np.array([[-largest], [0], [largest]], wide), m, axis=1)
    for op, position, others in reversed(chain):
        ends = op.applied(ends, position, others)
        if np.isnan(ends).any():
            return None
    count = 1 if codebook is None else len(codebook) - 1
    steps, increasing = find_thresholds(codes_of, m, largest, count)
    rounded = any(_is_rounded(op) for op, *_ in chain)
    if rounded and not are_steps(codes_of, m, largest, steps, increasing):
        return None
    if codebook is not None:
        steps = steps.reshape(m, -1)
    name = next(filter(None, (freezer.name_of(op) for op, *_ in chain)), "")
    return Threshold("thresholds", (z,), steps, increasing, codebook, name=name)


def _is_rounded(op):
    """Return whether an operation is monotone up to rounding, or is said to be monotone."""
    return op.function in ROUNDED or getattr(op.function, "monotone", False)


def _monotone(freezer, ref, shape):
    """Return (operation, operand, other arrays) if it is monotone in each channel, or None."""
    if not isinstance(ref, int) or freezer.data(ref)[0].shape != shape:
        return None
    op = freezer.ops[ref]
    varying = [i for i, own in enumerate(op.inputs) if not freezer.is_constant(own)]
    if not (op.function in EXACT or _is_rounded(op)) or len(varying) != 1:
        return None
    (position,) = varying
    if op.function is arithmetic.Divide and position == 1:
        return None
    others = []
    for own in op.inputs[:position] + op.inputs[position + 1 :]:
        pair = freezer.data(own)
        if not is_array(pair[0]) or not same(*pair) or any(n > 1 for n in pair[0].shape[:-1]):
            return None  # not one number for each channel
        others.append(to_cpu(pair[0]).reshape(pair[0].shape[-1:]))
    if op.function is activations.PReLU and (others[0] < 0).any():
        return None
    return op, position, others
