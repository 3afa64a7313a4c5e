"""Elementwise comparisons of Tensors, as NumPy compares; their results have no gradient."""

import operator
from numbers import Number

import numpy as np

from bitnet.arrays import is_array, like
from bitnet.autograd import Function, Tensor, no_grad
from bitnet.errors import InputError

NAMES = "eq", "ne", "lt", "le", "gt", "ge"


class Compare(Function):
    """Booleans: where a comparison is true; `number` is compared if there is one operand."""

    def __init__(self, name, number):
        self.comparison, self.number = name, number

    def forward(self, x, *others):
        (other,) = others or (self.number,)
        try:
            return getattr(operator, self.comparison)(x, other)
        except ValueError:
            raise InputError(
                f"a comparison of shapes {x.shape} and {other.shape}, which do not broadcast"
            ) from None


def comparison(name):
    """Return the method of Tensor for a comparison of the module `operator`."""

    def compared(self, other):
        if isinstance(other, (list, tuple)):
            other = np.asarray(other)
        elif not (isinstance(other, (Tensor, Number, np.generic)) or is_array(other)):
            return NotImplemented
        is_number = isinstance(other, (Number, np.generic))
        others = () if is_number else (other if isinstance(other, Tensor) else like(other, self),)
        with no_grad():
            return Compare(name, other if is_number else None)(self, *others)

    return compared
