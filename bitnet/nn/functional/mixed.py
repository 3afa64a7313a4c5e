"""Products of floats with packed weights, as in BinaryConnect (arXiv 1511.00363)."""

import numpy as np

from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import unfit
from bitnet.kernels import BitPlanes, Bits, Window
from bitnet.kernels import unpack as unpacked
from bitnet.nn.functional.conv import Conv2d
from bitnet.nn.functional.products import matrix_product


def values_of(weight, dtype):
    """Return the numbers that packed weights stand for."""
    return unpacked(weight, dtype) if isinstance(weight, Bits) else weight.values(dtype)


class MixedLinear(Function):
    """x @ weight.T of floats and packed weights."""

    _takes_bits = True

    def forward(self, x, weight):  # (B, N), (M, N)
        self.x, self.weight = x, values_of(weight, x.dtype)
        return matrix_product(x, self.weight.T)

    def backward(self, grad_y):
        grad_x = grad_y @ self.weight if self.needs_grad[0] else None
        return grad_x, grad_y.T @ self.x


def mixed_linear(x: TensorLike, weight: TensorLike) -> Tensor:
    """Return `x @ weight.T` of floats and packed weights.

    BinaryConnect binarizes the weights alone.  The gradient passes straight through to the latent
    weights.

    Parameters
    ----------
    x : Tensor or array
        Floats of shape (B, N).
    weight : Tensor of Bits or BitPlanes
        Shape (M, N); the numbers that they stand for are multiplied.

    Returns
    -------
    Tensor
        Floats of shape (B, M).

    Examples
    --------
    >>> from bitnet.nn.functional import sign
    >>> mixed_linear([[0.5, 2.0]], sign([[1.0, -1.0]])).data
    array([[-1.5]], dtype=float32)
    """
    x, weight = as_tensor(x), as_tensor(weight)
    packed = isinstance(weight.data, (Bits, BitPlanes)) and x.is_float
    if not packed or x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise unfit("mixed_linear", "floats (B, N), and Bits or BitPlanes (M, N)", x, weight)
    return MixedLinear()(x, weight)


class MixedConv2d(Conv2d):
    """The convolution of floats with packed filters."""

    _takes_bits = True

    def forward(self, x, weight):  # (B, H, W, C), (M, rows, columns, C / groups)
        return super().forward(x, values_of(weight, x.dtype), x.dtype.type(0))

    def backward(self, grad_y):
        return super().backward(grad_y)[:2]


def mixed_conv2d(x: TensorLike, weight: TensorLike, window: Window, groups: int = 1) -> Tensor:
    """Convolve float images with packed filters.

    Parameters
    ----------
    x : Tensor or array
        Floats of shape (B, H, W, C).
    weight : Tensor of Bits or BitPlanes
        Filters of shape (M, rows, columns, C / groups).
    window, groups : optional
        As for `conv2d`; `window` is required.

    Returns
    -------
    Tensor
        Floats of shape (B, H', W', M).

    Examples
    --------
    >>> from bitnet.nn.functional import sign
    >>> x, weight = np.full((1, 2, 2, 1), 0.5, np.float32), sign(-np.ones((1, 2, 2, 1)))
    >>> mixed_conv2d(x, weight, Window((2, 2))).data.ravel()
    array([-2.], dtype=float32)
    """
    x, weight = as_tensor(x), as_tensor(weight)
    fits = isinstance(weight.data, (Bits, BitPlanes)) and x.is_float and isinstance(window, Window)
    if fits and x.ndim == weight.ndim == 4 and isinstance(groups, (int, np.integer)) and groups > 0:
        fits = weight.shape[1:] == (*window.size, x.shape[3] / groups)
        if fits and weight.shape[0] % groups == 0:
            window.output(*x.shape[1:3])
            return MixedConv2d(window, groups)(x, weight)
    expected = "float images (B, H, W, C), packed filters (M, rows, columns, C / groups), a Window"
    raise unfit("mixed_conv2d", expected, x, weight, window)
