"""Elementwise comparisons of Tensors, as NumPy compares; their results have no gradient."""

import operator
from numbers import Number

import numpy as np

from bitnet.arrays import is_array, like
from bitnet.autograd import Tensor
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits

NAMES = "eq", "ne", "lt", "le", "gt", "ge"


def comparison(name):
    """Return the method of Tensor for a comparison of the module `operator`."""
    compare = getattr(operator, name)

    def compared(self, other):
        if isinstance(other, (list, tuple)):
            other = np.asarray(other)
        elif not (isinstance(other, (Tensor, Number, np.generic)) or is_array(other)):
            return NotImplemented
        other = other.data if isinstance(other, Tensor) else other
        for data in (self.data, other):
            if isinstance(data, (Bits, BitPlanes)):
                raise InputError(
                    f"a comparison works on numbers and got {data!r}; functional.unpack() turns "
                    "bits into +1.0 and -1.0"
                )
        try:
            return Tensor(compare(self.data, like(other, self)))
        except ValueError:
            raise InputError(
                f"a comparison of shapes {self.shape} and {other.shape}, which do not broadcast"
            ) from None

    return compared
