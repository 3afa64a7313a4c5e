"""The lookup of rows in a table, such as the vectors of words or characters."""

from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, as_array, like
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError


class Embedding(Function):
    """weight[ids]."""

    def forward(self, weight, ids):  # (V, N), integers (...)
        self.weight, self.ids = weight, ids.astype(np.int64, copy=False)
        return weight[self.ids]  # (..., N)

    def backward(self, grad_y):
        grad = array_module(self.weight).zeros(self.weight.shape, self.weight.dtype)
        rows = grad_y.reshape(self.ids.size, grad.shape[1])
        kernels.add_rows(grad, self.ids.ravel(), rows)
        return grad, None


def embedding(ids: Any, weight: TensorLike) -> Tensor:
    """Return the rows of a table at integer indices: `y[...] = weight[ids[...]]`.

    The gradient of a row is the sum over all positions that selected it.

    Parameters
    ----------
    ids : array
        Integers of any shape, such as (T, B), from 0 to V - 1; moved to the device of the table.
    weight : Tensor or array
        The table, floats of shape (V, N).

    Returns
    -------
    Tensor
        Floats of shape (..., N).

    Examples
    --------
    >>> from bitnet import Tensor
    >>> table = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> embedding([1, 1], table).sum().backward()
    >>> table.grad
    array([[0., 0.],
           [2., 2.]], dtype=float32)
    """
    weight = as_tensor(weight)
    if not weight.is_float or weight.ndim != 2:
        raise InputError(f"embedding: the table is {weight.data!r:.60}; expected floats (V, N)")
    ids = check_ids("embedding", ids, len(weight))
    here = like(ids.data, weight)
    return Embedding()(weight, ids if here is ids.data else Tensor(here))


def check_ids(name, ids, count):
    """Return the ids as a Tensor of integers, after checking that each is from 0 to count - 1."""
    given = ids if isinstance(ids, Tensor) else Tensor(as_array(ids))
    ids = given.data
    if ids.dtype.kind == "f" and (abs(ids) < 2**24).all() and (ids % 1 == 0).all():
        ids = ids.astype(np.int64)  # a list of integers became floats
    if ids.dtype.kind not in "iu":
        raise InputError(f"{name}: ids are {ids.dtype} of shape {ids.shape}; expected integers")
    if ids.size and not 0 <= ids.min() <= ids.max() < count:
        came = f"{ids.min()} to {ids.max()}"
        raise InputError(f"{name}: ids are {came}; expected 0 to {count - 1}")
    return given
