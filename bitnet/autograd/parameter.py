"""Parameter: a Tensor that an optimizer changes."""

import numpy as np

from bitnet.arrays import array_module, moved
from bitnet.autograd.tensor import Tensor
from bitnet.errors import InputError


class Parameter(Tensor):
    """A Tensor that an optimizer changes.

    Parameters
    ----------
    data : array or nested list of numbers
        The first value; a copy is kept, contiguous.
    lr_scale : float, optional
        What the optimizer's learning rate is multiplied with for this parameter.

    Examples
    --------
    >>> bias = Parameter([0.5, -1.0])
    >>> bias.edit()[0] = -0.5
    >>> bias
    Parameter(array([-0.5, -1. ], dtype=float32), requires_grad=True)
    """

    __slots__ = ("lr_scale",)
    clip, is_binary, has_signs = None, False, False  # those of a LatentWeight differ

    def __init__(self, data, lr_scale=1.0):
        data = Tensor(data, requires_grad=True).data
        super().__init__(array_module(data).array(data, order="C"), requires_grad=True)
        if not 0 < lr_scale < float("inf"):
            raise InputError(f"Parameter: lr_scale is {lr_scale!r}; expected a number above 0")
        self.lr_scale = lr_scale

    @property
    def lazy_grad(self):
        """The gradient as the optimizer takes it."""
        return self.grad

    def edit(self):
        """The data, free to be changed in place."""
        if isinstance(self.data, np.ndarray) and not self.data.flags.writeable:
            try:
                self.data.flags.writeable = True
            except ValueError:  # the memory has another owner, as in an unpickled model
                self.data = self.data.copy()
        return self.data

    def _moved(self, move):
        """A Parameter of moved data, without gradient; for a whole Module see `Module.to`."""
        return Parameter(move(self.data), self.lr_scale)

    def move(self, move):
        """Copy data and gradient to another device; the function returned puts them in place."""
        data, grad = move(self.data), moved(self.grad, move)

        def put():
            self.data, self.grad = data, grad

        return put
