"""Parameter: a Tensor that an optimizer changes, with its packed signs and its lazy gradient."""

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, is_read_only, moved, read_only
from bitnet.autograd.tensor import Tensor
from bitnet.errors import InputError
from bitnet.kernels import Bits, Product


class Parameter(Tensor):
    """A Tensor that an optimizer changes.

    An optimizer's step packs the signs of latent weights as it changes them, and leaves them
    here for the next forward pass.  As long as they are kept the data are read-only: to edit
    weights after a step, change what `edit()` returns, which lets the signs go, or assign new
    data.  A change through a view that was taken before the step, through another Parameter
    with the same array, or of CuPy's arrays, which nothing makes read-only, goes by unnoticed:
    give each Parameter data of its own.

    Parameters
    ----------
    data : array or nested list of numbers
        The first value; a copy is kept, contiguous.
    bound : float, optional
        Clip to [-bound, bound] after each step: 1 for the latent weights of a binary layer.
    step_scale : float, optional
        What the optimizer's learning rate is multiplied with for this parameter.
    is_binary : bool, optional
        Whether a layer multiplies with the signs of the data, so that an optimizer packs them; by
        default those of matrices with a bound.

    Attributes
    ----------
    grad : numpy.ndarray or None
        The gradient.  That of binary weights is multiplied when it is first asked for.
    lazy_grad : numpy.ndarray or kernels.Product or None
        The gradient, multiplied or not.

    Examples
    --------
    >>> weight = Parameter([[0.5, -1.0]], bound=1.0)
    >>> weight.signs.signs()
    array([[ 1, -1]], dtype=int8)
    """

    __slots__ = ("_derived", "_signs", "bound", "is_binary", "lazy_grad", "step_scale")

    def __init__(self, data, bound=None, step_scale=1.0, is_binary=None):
        self.lazy_grad = self._signs = self._derived = None
        data = Tensor(data, requires_grad=True).data
        super().__init__(array_module(data).array(data, order="C"), requires_grad=True)
        for name, value in (("bound", bound), ("step_scale", step_scale)):
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"Parameter: {name} is {value!r}; expected a number above 0")
        self.bound, self.step_scale = bound, step_scale
        self.is_binary = bound is not None and self.ndim > 1 if is_binary is None else is_binary

    @property
    def grad(self):
        """The gradient, of the shape and type of `data`, or None."""
        if isinstance(self.lazy_grad, Product):
            self.lazy_grad = self.lazy_grad.array()
        return self.lazy_grad

    @grad.setter
    def grad(self, grad):
        self.lazy_grad = grad

    def receive(self, grad):
        """Add a gradient to `grad`; the first one may stay a product."""
        if self.lazy_grad is None:
            self.lazy_grad = grad
        else:
            super().receive(grad)

    def edit(self):
        """The data, free to be changed in place; the signs that an optimizer left are let go."""
        self._signs = self._derived = None
        if isinstance(self.data, np.ndarray) and not self.data.flags.writeable:
            try:
                self.data.flags.writeable = True
            except ValueError:  # the memory is another's, as behind an unpickled model
                self.data = self.data.copy()
        return self.data

    @property
    def signs(self):
        """The packed signs of the data: those that an optimizer left, or else packed now."""
        return self._signs[1] if self.has_signs else kernels.pack(self.data)

    @property
    def has_signs(self):
        """Whether the signs that an optimizer left are those of the data."""
        kept = self._signs is not None and self._signs[0] is self.data
        return kept and is_read_only(self.data)

    def keep_signs(self, words):
        """Keep the packed signs of the data, (M, K) uint64, until the data change."""
        self._signs = read_only(self.data), kernels.prepare(Bits(words, self.shape))

    def moved(self, move):
        """A Parameter of moved data, without gradient; of a whole Module see `Module.to`."""
        return Parameter(move(self.data), self.bound, self.step_scale, self.is_binary)

    def move(self, move):
        """Prepare to be on another device: copies are made, and nothing is changed yet."""
        data, grad = move(self.data), moved(self.grad, move)
        signs = moved(self.signs.words, move) if self.has_signs else None

        def put():
            if data is not self.data:
                self.data, self.grad, self._signs, self._derived = data, grad, None, None
                if signs is not None:
                    self.keep_signs(signs)

        return put

    def derived(self, name, make):
        """What is made of the data, kept until they change, and they are read-only until then."""
        kept = self._derived
        if kept is None or kept[0] is not self.data or not is_read_only(self.data):
            self._derived = kept = read_only(self.data), {}
        if name not in kept[1]:
            kept[1][name] = make(self.data)
        return kept[1][name]
