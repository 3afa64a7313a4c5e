"""Traced operations: how one is applied again, and whether two traces are equal."""

import dataclasses

import numpy as np

from bitnet.arrays import is_array, to_cpu
from bitnet.autograd import Tensor, no_grad
from bitnet.autograd.tensor import evaluation
from bitnet.kernels import BitPlanes, Bits, Window
from bitnet.quantizers import Quantizer

SIMPLE = (bool, int, float, str, tuple, np.ndarray, np.generic, type(None), Window, Quantizer)


@dataclasses.dataclass(frozen=True)
class Op:
    """One traced operation."""

    number: int
    function: type
    inputs: tuple
    settings: dict

    @property
    def name(self):
        """The name of the function."""
        return self.function.__name__

    def applied(self, x, position, others):
        """Return the data of the result with x as one operand, and the others' data."""
        function = self.function.__new__(self.function)
        vars(function).update(self.settings)
        operands = list(others)
        operands.insert(position, x)
        with no_grad(), evaluation(), np.errstate(all="ignore"):
            return function(*map(Tensor, operands)).data


def same(a, b):
    """Return whether two values from two traces are equal."""
    if isinstance(a, (Bits, BitPlanes)):
        pair = (getattr(own, "bits", own) for own in (a, b))
        return type(a) is type(b) and next(pair).equals(next(pair))
    if is_array(a):
        return is_array(b) and a.shape == b.shape and np.array_equal(to_cpu(a), to_cpu(b), True)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same(*pair) for pair in zip(a, b, strict=True))
    return not isinstance(a, SIMPLE) or a == b
