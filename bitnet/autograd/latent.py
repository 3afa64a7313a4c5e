"""LatentWeight: a Parameter that a layer quantizes, with its packed signs."""

from typing import Any

from bitnet import kernels
from bitnet.arrays import as_array, is_read_only, moved, read_only
from bitnet.autograd.parameter import Parameter
from bitnet.errors import InputError
from bitnet.kernels import Bits


class LatentWeight(Parameter):
    """Float weights whose signs, or quantized values, a layer multiplies by.

    An optimizer packs the signs of one-bit weights when it changes them, and caches them here for
    the next forward pass.  While they are cached, the data are read-only: call `assign(x)`, or
    modify the array that `edit()` returns; both drop the signs.  A change is not detected if it is
    made through a view that was taken before the step, or in a CuPy array, which cannot be
    read-only: do not share the data of a LatentWeight with other arrays.

    Parameters
    ----------
    data : array or nested list of numbers
        The initial value; it is copied to a contiguous array.
    clip : float, optional
        Clip to [-clip, clip] after each step: 1 for the weights of a binary layer.
    lr_scale : float, optional
        The factor of the optimizer's learning rate for this parameter; default: 1.
    is_binary : bool, optional
        Whether a layer multiplies by the signs of the data, so that an optimizer packs them;
        default: True for clipped matrices.

    Attributes
    ----------
    grad : numpy.ndarray or None
        The gradient.  For binary weights it is a product that is computed when it is first read.
    lazy_grad : numpy.ndarray or kernels.Product or None
        The gradient, computed or not.

    Examples
    --------
    >>> weight = LatentWeight([[0.5, -1.0]], clip=1.0)
    >>> weight.signs.signs()
    array([[ 1, -1]], dtype=int8)
    """

    __slots__ = ("_derived", "_signs", "clip", "is_binary", "lazy_grad")

    def __init__(
        self,
        data: Any,
        clip: float | None = None,
        lr_scale: float = 1.0,
        is_binary: bool | None = None,
    ) -> None:
        self.lazy_grad = self._signs = self._derived = None
        super().__init__(data, lr_scale)
        if clip is not None and not 0 < clip < float("inf"):
            raise InputError(f"LatentWeight: clip is {clip!r}; expected a number above 0")
        self.clip = clip
        self.is_binary = clip is not None and self.ndim > 1 if is_binary is None else is_binary

    @property
    def grad(self):
        """The gradient, of the shape and type of `data`, or None."""
        if self.lazy_grad is not None:
            self.lazy_grad = as_array(self.lazy_grad)
        return self.lazy_grad

    @grad.setter
    def grad(self, grad):
        self.lazy_grad = grad

    def _receive(self, grad):
        """Add a gradient to `grad`; the first one may stay a product."""
        if self.lazy_grad is None:
            self.lazy_grad = grad
        else:
            super()._receive(grad)

    def edit(self) -> Any:
        """Return the data, for changes in place; drop the signs and all derived values."""
        self._signs = self._derived = None
        return super().edit()

    @property
    def signs(self) -> Bits:
        """The packed signs of the data: those that an optimizer left, or packed now."""
        return self._signs[1] if self.has_signs else kernels.pack(self.data)  # type: ignore[index]

    @property
    def has_signs(self):
        """Whether the signs that an optimizer left belong to the data."""
        kept = self._signs is not None and self._signs[0] is self.data
        return kept and is_read_only(self.data)

    def keep_signs(self, words):
        """Keep the packed signs of the data, (M, K) uint64, until the data change."""
        self._signs = read_only(self.data), kernels.prepare(Bits(words, self.shape))

    def derived(self, name, make):
        """Return `make(data)`, kept under a name until the data, then read-only, change."""
        kept = self._derived
        if kept is None or kept[0] is not self.data or not is_read_only(self.data):
            self._derived = kept = read_only(self.data), {}
        if name not in kept[1]:
            kept[1][name] = make(self.data)
        return kept[1][name]

    def _moved(self, move):
        """Return a LatentWeight with moved data, without gradient."""
        return LatentWeight(move(self.data), self.clip, self.lr_scale, self.is_binary)

    def move(self, move):
        """Copy data, gradient and signs to another device; return a function that stores them."""
        here, put_data = self.data, super().move(move)
        signs = moved(self.signs.words, move) if self.has_signs else None

        def put():
            put_data()
            if self.data is not here:
                self._signs = self._derived = None
                if signs is not None:
                    self.keep_signs(signs)

        return put
