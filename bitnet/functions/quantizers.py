"""Quantizers: what goes forward, and what the backward pass pretends (the surrogate)."""

import numpy as np

from bitnet import kernels
from bitnet.backend import array_module, check_generator
from bitnet.errors import InputError
from bitnet.parameter import Parameter
from bitnet.tensor import Function, as_tensor

__all__ = ["balance", "sign", "stochastic_sign", "unpack"]


class Sign(Function):
    """sign(x) forward; the slope of the hard tanh of that window backward."""

    def __init__(self, window, signs=None):
        self.window, self.signs = window, signs
        self.takes_products = window is None

    def forward(self, x):  # (..., N) floats
        if self.signs is not None:  # of latent weights, which an optimizer has packed
            return self.signs
        if self.window is None or not self.needs_grad[0]:
            return kernels.pack(x)
        signs, self.passes = kernels.pack_with_mask(x, self.window)  # a bit an element each
        return signs

    def backward(self, grad_y):  # a choice, not a derivative
        return grad_y if self.window is None else kernels.where(self.passes, grad_y)


def sign(x, window=1.0):
    """The sign of `x` as packed bits, with the saturated straight-through estimator.

    Forward: +1 where x >= 0, otherwise -1 (equation 1 of the papers; sign(0) = +1).
    Backward: `grad_x = grad_y * 1[|x| <= window]` (equation 4), the slope of the hard tanh.

    Parameters
    ----------
    x : Tensor or array
        Floats of shape (..., N).
    window : float or None, optional
        Half the width of the hard tanh, 1 in the papers (section 4.3 of the second one
        widens it).  None lets every gradient pass, as the papers do for weights.

    Returns
    -------
    Tensor
        Bits of the same shape.

    Raises
    ------
    InputError
        If `x` holds a NaN, which has no sign, or the window is not above 0.

    Examples
    --------
    >>> from bitnet import Tensor
    >>> x = Tensor([[0.5, -0.0, -3.0]], requires_grad=True)
    >>> y = sign(x)
    >>> y.data.signs()
    array([[ 1,  1, -1]], dtype=int8)
    >>> y.backward(np.ones((1, 3), np.float32))
    >>> x.grad
    array([[1., 1., 0.]], dtype=float32)
    """
    x = _checked("sign", x, window)
    kept = window is None and isinstance(x, Parameter) and x.has_signs
    return Sign(window, x.signs if kept else None)(x)


class StochasticSign(Sign):
    """+1 with probability (clip(x, -1, 1) + 1) / 2, otherwise -1; backward as Sign."""

    def __init__(self, rng, window):
        super().__init__(window)
        self.rng = rng

    def forward(self, x):
        super().forward(x)  # for the mask alone
        probability = (array_module(x).clip(x, -1, 1) + 1) / 2
        return kernels.pack(self.rng.random(x.shape, dtype=np.float32) < probability)


def stochastic_sign(x, rng, window=1.0):
    """A random sign of `x` as packed bits, with the saturated straight-through estimator.

    Forward: +1 with probability sigma(x) = clip((x + 1) / 2, 0, 1), otherwise -1 (equations
    2 and 3 of the papers).  Backward as `sign`: the expected value is the hard tanh.

    Parameters
    ----------
    x : Tensor or array
        Floats of shape (..., N).
    rng : numpy.random.Generator
        The source of randomness.
    window : float or None, optional
        As for `sign`.

    Returns
    -------
    Tensor
        Bits of the same shape.

    Raises
    ------
    InputError
        If `x` holds a NaN, or the window is not above 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> stochastic_sign([-1.0, 1.0, 7.0], rng).data.signs()
    array([-1,  1,  1], dtype=int8)
    """
    check_generator("stochastic_sign", rng)
    return StochasticSign(rng, window)(_checked("stochastic_sign", x, window))


def check_window(name, window):
    """Refuse a window through which no gradient passes."""
    if window is not None and not window > 0:
        raise InputError(f"{name}: window is {window!r}; expected a number above 0, or None")


def _checked(name, x, window):
    """x as a Tensor, once it has a sign everywhere."""
    x = as_tensor(x)
    check_window(name, window)
    if not x.is_float:
        kind = getattr(x.data, "dtype", type(x.data).__name__)
        raise InputError(f"{name}: got {kind} of shape {x.shape}; expected floats")
    packed = isinstance(x, Parameter) and x.has_signs  # an optimizer has seen to it
    if x.size and not packed and np.isnan(x.data.min()):  # min() is NaN if any element is
        raise InputError(
            f"{name}: the input holds NaN, which has no sign; "
            "check the data, or lower the learning rate"
        )
    return x


class Balance(Function):
    """weight - mean(weight), a mean for each output."""

    def forward(self, weight):  # (M, ...)
        self.axes = tuple(range(1, weight.ndim))
        return weight - self.means(weight)

    def backward(self, grad_y):
        return grad_y - self.means(grad_y)

    def means(self, x):
        """Added in float64: equal numbers have themselves for their mean."""
        return x.mean(axis=self.axes, dtype=np.float64, keepdims=True).astype(x.dtype)


def balance(weight):
    """Latent weights less the mean of their row or filter, to be given to `sign`.

    `y[m] = weight[m] - mean(weight[m])`, so that about half of an output's signs are +1, where
    they carry most information; and `grad_weight[m] = grad_y[m] - mean(grad_y[m])`.  It is the
    balanced part of IR-Net (arXiv 1909.10909), which divides by the row's standard deviation too:
    at one bit that changes no sign, as it is above 0, and so only the mean is taken here.

    Parameters
    ----------
    weight : Tensor or array
        Floats of shape (M, N), or filters (M, rows, columns, C).

    Returns
    -------
    Tensor
        Of the same shape and type.

    Raises
    ------
    InputError
        If it holds no floats or has fewer than two axes.

    Examples
    --------
    >>> balance([[0.5, 0.25], [-0.5, 0.5]]).data
    array([[ 0.125, -0.125],
           [-0.5  ,  0.5  ]], dtype=float32)
    """
    weight = as_tensor(weight)
    if not weight.is_float or weight.ndim < 2:
        raise InputError(
            f"balance: got {weight.data!r:.60}; expected floats of shape (M, N) or "
            "(M, rows, columns, C)"
        )
    return Balance()(weight)


class Unpack(Function):
    """The numbers +1 and -1 that bits stand for."""

    takes_bits = True

    def __init__(self, dtype):
        self.dtype = dtype

    def forward(self, x):
        return kernels.unpack(x, self.dtype)

    def backward(self, grad_y):
        return grad_y


def unpack(x, dtype=np.float32):
    """Packed bits as the floats +1 and -1, for operations that work on numbers.

    Parameters
    ----------
    x : Tensor of Bits
        Shape (..., N).
    dtype : numpy.dtype, optional
        float32 by default.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    InputError
        If `x` holds no Bits.

    Examples
    --------
    >>> unpack(sign([0.5, -0.5]))
    Tensor(array([ 1., -1.], dtype=float32))
    """
    return Unpack(dtype)(x)
