"""Quantizers as operations: the forward pass returns codes, the backward pass uses a surrogate."""

import math
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import floats, like
from bitnet.autograd import Function, LatentWeight, Tensor, TensorLike, as_tensor
from bitnet.devices import check_generator
from bitnet.errors import InputError, unfit
from bitnet.kernels import BitPlanes, Bits
from bitnet.quantizers import Quantizer, Uniform


class Sign(Function):
    """sign(x) forward; backward 1[|x| <= clip_value], the slope of a hard tanh."""

    def __init__(self, clip_value, signs=None):
        self.clip_value, self.signs = clip_value, signs
        self._takes_products = clip_value is None

    def forward(self, x):  # (..., N) floats or int32
        if self.signs is not None:  # of latent weights, which an optimizer has packed
            return self.signs
        if self.clip_value is None or not self.needs_grad[0]:
            return kernels.pack(x)
        x = floats(x)
        signs, self.passes = kernels.pack_with_mask(x, self.clip_value)  # a bit an element each
        return signs

    def backward(self, grad_y):  # a choice, not a derivative
        return grad_y if self.clip_value is None else kernels.where(self.passes, grad_y)


def sign(x: TensorLike, clip_value: float | None = 1.0) -> Tensor:
    """Return the sign of `x` as packed bits, with the saturated straight-through estimator.

    Forward: +1 where x >= 0, otherwise -1 (equation 1 of the papers; sign(0) = +1).
    Backward: `grad_x = grad_y * 1[|x| <= clip_value]` (equation 4), the slope of the hard tanh.

    Parameters
    ----------
    x : Tensor or array
        Floats of shape (..., N), or int32 pre-activations, which count as float32.
    clip_value : float or None, optional
        Half the width of the hard tanh, 1 in the papers (section 4.3 of the second one
        widens it).  None lets every gradient pass, as the papers do for weights.

    Returns
    -------
    Tensor
        Bits of the same shape.

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
    x = _checked("sign", x, clip_value)
    kept = clip_value is None and isinstance(x, LatentWeight) and x.has_signs
    return Sign(clip_value, x.signs if kept else None)(x)


class StochasticSign(Sign):
    """+1 with probability (clip(x, -1, 1) + 1) / 2, otherwise -1; backward as Sign."""

    def __init__(self, rng, clip_value):
        super().__init__(clip_value)
        self.rng = rng

    def forward(self, x):
        super().forward(x)  # for the mask alone
        probability = (x.clip(-1, 1) + 1) / 2
        return kernels.pack(like(self.rng.random(x.shape, dtype=np.float32), x) < probability)


def stochastic_sign(
    x: TensorLike, rng: np.random.Generator, clip_value: float | None = 1.0
) -> Tensor:
    """Return a random sign of `x` as packed bits, with the saturated straight-through estimator.

    Forward: +1 with probability sigma(x) = clip((x + 1) / 2, 0, 1), otherwise -1 (equations
    2 and 3 of the papers).  Backward as `sign`: the expected value is the hard tanh.

    Parameters
    ----------
    x : Tensor or array
        As for `sign`.
    rng : numpy.random.Generator
        The random number generator.
    clip_value : float or None, optional
        As for `sign`.

    Returns
    -------
    Tensor
        Bits of the same shape.

    Examples
    --------
    >>> stochastic_sign([-1.0, 1.0, 7.0], np.random.default_rng(0)).data.signs()
    array([-1,  1,  1], dtype=int8)
    """
    check_generator("stochastic_sign", rng)
    return StochasticSign(rng, clip_value)(_checked("stochastic_sign", x, clip_value))


class Quantize(Function):
    """The planes of a quantizer's codes forward; the slope of its surrogate backward."""

    def __init__(self, quantizer, straight):
        self.quantizer, self.straight = quantizer, straight
        self._takes_products = straight

    def forward(self, x):  # (..., N) floats or int32
        x = floats(x)
        if self.needs_grad[0] and not self.straight:
            smooth = self.quantizer.smooth
            self.kept = x if smooth else kernels.pack(self.quantizer.passes(x))  # a bit an element
        codebook = self.quantizer.codebook
        planes = codebook.planes(self.quantizer.codes(x))
        return planes.bits[0] if codebook.is_sign else planes

    def backward(self, grad_y):  # a choice, not a derivative
        if self.straight:
            return grad_y
        if self.quantizer.smooth:
            return grad_y * self.quantizer.slope(self.kept)
        return kernels.where(self.kept, grad_y)


def quantize(x: TensorLike, quantizer: Quantizer, straight: bool = False) -> Tensor:
    """Quantize to k bits, packed in planes of ±1, with the quantizer's estimator.

    Forward: `quantizer.codes(x)`, which stand for `quantizer.values(x)`.  Backward:
    `grad_x = grad_y * quantizer.slope(x)`.  `Uniform(1)` is the sign.

    Parameters
    ----------
    x : Tensor or array
        As for `sign`.
    quantizer : Quantizer
        See `bitnet.quantizers`.
    straight : bool, optional
        Let every gradient pass, as the papers do for weights.

    Returns
    -------
    Tensor
        BitPlanes of the same shape; Bits where the numbers are -1 and +1.

    Examples
    --------
    >>> from bitnet import Tensor
    >>> x = Tensor([[0.2, -0.5, 3.0]], requires_grad=True)
    >>> y = quantize(x, Uniform(2))
    >>> y.data
    BitPlanes(shape=(1, 3), 2 planes, unit=0.333333)
    >>> y.backward(np.ones((1, 3), np.float32))
    >>> x.grad
    array([[1., 1., 0.]], dtype=float32)
    """
    if not isinstance(quantizer, Quantizer):
        raise InputError(f"quantize: got {quantizer!r}; expected one of bitnet.quantizers")
    if isinstance(quantizer, Uniform) and quantizer.codebook.is_sign:
        return sign(x, None if straight or quantizer.clip_value == np.inf else quantizer.clip_value)
    return Quantize(quantizer, straight)(_checked("quantize", x, None))


def check_clip_value(name, clip_value):
    """Refuse a clip value that passes no gradient."""
    if clip_value is not None and not clip_value > 0:
        raise InputError(
            f"{name}: clip_value is {clip_value!r}; expected a number above 0, or None"
        )


def _checked(name, x, clip_value):
    """Return x as a Tensor, after checking that each element has a sign."""
    x = as_tensor(x)
    check_clip_value(name, clip_value)
    kind = getattr(x.data, "dtype", type(x.data).__name__)
    if not x.is_float and kind != np.int32:
        raise InputError(
            f"{name}: got {kind} of shape {x.shape}; expected floats, or int32 such as from a "
            "binary layer"
        )
    packed = isinstance(x, LatentWeight) and x.has_signs  # an optimizer has seen to it
    if x.size and not packed and math.isnan(x.data.min()):  # min() is NaN if any element is
        raise InputError(f"{name}: the input holds NaN; check the data, or lower the learning rate")
    return x


class Balance(Function):
    """weight - mean(weight), one mean per output."""

    def forward(self, weight):  # (M, ...)
        self.axes = tuple(range(1, weight.ndim))
        return weight - self.means(weight)

    def backward(self, grad_y):
        return grad_y - self.means(grad_y)

    def means(self, x):
        """Return the means, added in float64: the mean of equal numbers is that number."""
        return x.mean(axis=self.axes, dtype=np.float64, keepdims=True).astype(x.dtype)


def balance(weight: TensorLike) -> Tensor:
    """Subtract the mean of each row or filter from latent weights.

    `y[m] = weight[m] - mean(weight[m])`, so that about half of an output's signs are +1, where
    they carry most information.  This is the balancing step of IR-Net (arXiv 1909.10909).  Its
    division by the standard deviation is omitted, because it changes no sign.

    Parameters
    ----------
    weight : Tensor or array
        Floats of shape (M, N), or filters (M, rows, columns, C).

    Returns
    -------
    Tensor
        Of the same shape and type.

    Examples
    --------
    >>> balance([[0.5, 0.25], [-0.5, 0.5]]).data
    array([[ 0.125, -0.125],
           [-0.5  ,  0.5  ]], dtype=float32)
    """
    weight = as_tensor(weight)
    if not weight.is_float or weight.ndim < 2:
        raise unfit("balance", "floats (M, N) or (M, rows, columns, C)", weight)
    return Balance()(weight)


class Unpack(Function):
    """The numbers that bits or planes encode."""

    _takes_bits = True

    def __init__(self, dtype):
        self.dtype = dtype

    def forward(self, x):
        return x.values(self.dtype) if isinstance(x, BitPlanes) else kernels.unpack(x, self.dtype)

    def backward(self, grad_y):
        return grad_y


def unpack(x: TensorLike, dtype: Any = np.float32) -> Tensor:
    """Unpack bits to the floats +1 and -1, and planes to the numbers they encode.

    Parameters
    ----------
    x : Tensor of Bits or BitPlanes
        Shape (..., N).
    dtype : numpy.dtype, optional
        float32 by default.

    Returns
    -------
    Tensor
        Of the same shape.

    Examples
    --------
    >>> unpack(sign([0.5, -0.5]))
    Tensor(array([ 1., -1.], dtype=float32))
    """
    return Unpack(dtype)(x)


def as_packed(x, quantizer):
    """Return x, quantized unless it is packed."""
    return x if isinstance(x.data, (Bits, BitPlanes)) else quantize(x, quantizer)
