"""Parameter: a Tensor that an optimizer changes."""

from typing import Any

import numpy as np

from bitnet.arrays import array_module, is_array, like, moved, plain
from bitnet.autograd.tensor import Tensor
from bitnet.errors import InputError, unfit


class Parameter(Tensor):
    """A Tensor that an optimizer changes.

    What is assigned to `data` later is converted to a contiguous array of the same type; another
    shape, NaN and infinity are refused.

    Parameters
    ----------
    data : array or nested list of numbers
        The initial value; it is copied to a contiguous array.
    lr_scale : float, optional
        The factor of the optimizer's learning rate for this parameter; default: 1.

    Attributes
    ----------
    version : int
        How often the data were replaced or edited, by which `backward` notices a change.

    Examples
    --------
    >>> bias = Parameter([0.5, -1.0])
    >>> bias.edit()[0] = -0.5
    >>> bias
    Parameter(array([-0.5, -1. ], dtype=float32), requires_grad=True)
    """

    __slots__ = ("lr_scale", "version")
    clip: float | None = None
    is_binary = has_signs = False  # a LatentWeight differs

    def __init__(self, data: Any, lr_scale: float = 1.0) -> None:
        data = Tensor(data, requires_grad=True).data
        super().__init__(array_module(data).array(data, order="C"), requires_grad=True)
        if not 0 < lr_scale < float("inf"):
            raise InputError(f"Parameter: lr_scale is {lr_scale!r}; expected a number above 0")
        self.lr_scale = lr_scale

    lazy_grad = property(lambda self: self.grad, doc="The gradient as the optimizer takes it.")

    def __setattr__(self, name, value):  # reading `data`, which is frequent, stays fast
        if name == "data":
            new = not hasattr(self, "data")  # in the constructor, or unpickled
            self._store(value if new else self._fitted(value))
        else:
            super().__setattr__(name, value)

    def _store(self, data):
        """Replace the data, and count the change."""
        super().__setattr__("data", data)
        self.version = getattr(self, "version", 0) + 1

    def _fitted(self, x):
        """Return numbers of the shape of the data as a contiguous array of their type."""
        x = x.data if isinstance(x, Tensor) else x
        name, expected = f"{type(self).__name__}.data", f"finite numbers of shape {self.shape}"
        given = plain(x, name)
        if given.shape != self.shape or given.dtype.kind not in "fiub":
            raise unfit(name, expected, given)
        xp = array_module(given)
        with np.errstate(over="ignore"):
            given = xp.ascontiguousarray(given, self.data.dtype).reshape(self.shape)
        if not xp.isfinite(given).all():
            raise InputError(f"{name}: got NaN, infinity or too large numbers; expected {expected}")
        return given if is_array(x) else array_module(self).asarray(given)

    def assign(self, x: Any) -> None:
        """Copy the values of an array or Tensor of the same shape."""
        self.edit()[...] = like(self._fitted(x), self)

    def edit(self) -> Any:
        """Return the data, for changes in place."""
        if isinstance(self.data, np.ndarray) and not self.data.flags.writeable:
            try:
                self.data.flags.writeable = True
            except ValueError:  # the memory has another owner, as in an unpickled model
                self._store(self.data.copy())
        self.version += 1
        return self.data

    def _moved(self, move):
        """Return a Parameter with moved data, without gradient; see also `Module.to`."""
        return Parameter(move(self.data), self.lr_scale)

    def move(self, move):
        """Copy data and gradient to another device; return a function that puts them in place."""
        data, grad = move(self.data), moved(self.grad, move)

        def put():
            self._store(data)
            self.grad = grad

        return put
