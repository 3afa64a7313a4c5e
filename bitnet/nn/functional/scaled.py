"""k-bit products rescaled to real values, by the units of both operands, and a bias.

After `quantized_linear`, a batch norm absorbs the units and would cancel a bias.  Recurrent layers
and the scores of a language model have no batch norm, so here the integer product is multiplied by
the units, and the latent weights have their own scale.
"""

import math
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import as_array
from bitnet.autograd import Function, LatentWeight, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, unfit
from bitnet.kernels import BitPlanes, Bits, Quantized
from bitnet.nn.functional.linear import GRADIENTS, check_gradient_rule, rounded
from bitnet.quantizers import Quantizer
from bitnet.quantizers.scales import scale_of


class QuantizeScaled(Function):
    """scale * q(x / scale) in planes; every gradient passes."""

    _takes_products = True

    def __init__(self, quantizer, scale, planes=None):
        self.quantizer, self.scale, self.planes = quantizer, scale, planes

    def forward(self, x):  # (..., N)
        if self.planes is not None:  # of latent weights that have not changed since
            return self.planes
        x = x / x.dtype.type(self.scale)
        if self.quantizer.smooth:
            self.slope = self.quantizer.slope(x)
        planes = self.quantizer.codebook.planes(self.quantizer.codes(x))
        planes.unit *= self.scale
        return planes

    def backward(self, grad_y):  # a choice, not a derivative
        if not self.quantizer.smooth:
            return grad_y
        return as_array(grad_y) * self.slope


def quantize_scaled(x: TensorLike, quantizer: Quantizer, scale: Any = None) -> Tensor:
    """Quantize to k bits at the scale of x: `scale * q(x / scale)`.

    Layers without batch norm quantize their weights with it; a LatentWeight is packed once and
    reused until an optimizer changes it.  In the backward pass every gradient passes, as in the
    papers for weights (smooth quantizers, such as DoReFa, use their slope), and the scale counts as
    a constant.

    Parameters
    ----------
    x : Tensor or array
        Latent weights, floats of shape (..., N).
    quantizer : Quantizer
        The quantizer q; see `bitnet.quantizers`.
    scale : float, optional
        Default: computed from the matrix x by `quantizers.scales.scale_of`.

    Returns
    -------
    Tensor
        BitPlanes of the same shape, whose unit includes the scale.

    Examples
    --------
    >>> from bitnet.quantizers import Uniform
    >>> quantize_scaled([[3.0, -0.1]], Uniform(1), scale=0.5).data.values()
    array([[ 0.5, -0.5]], dtype=float32)
    """
    x = as_tensor(x)
    if not isinstance(quantizer, Quantizer) or not x.is_float or x.ndim < 1:
        raise unfit("quantize_scaled", "floats and one of bitnet.quantizers", x, quantizer)
    if scale is None and isinstance(x, LatentWeight) and not quantizer.smooth:

        def prepared(data):
            planes = QuantizeScaled(quantizer, scale_of(data, quantizer)).forward(data)
            return kernels.prepare(planes)

        planes = x.derived(quantizer.name, prepared)
        return QuantizeScaled(quantizer, None, planes)(x)
    if scale is None:
        scale = scale_of(x.data, quantizer)
    elif x.size and math.isnan(x.data.min()):
        raise InputError("quantize_scaled: x holds NaN; lower the learning rate")
    return QuantizeScaled(quantizer, scale)(x)


class ScaledLinear(Function):
    """x @ weight.T + bias of k-bit numbers."""

    _takes_bits = True

    def __init__(self, rule, rng):
        self.rule, self.rng = rule, rng

    def forward(self, x, weight, bias):
        self.x, self.weight = kernels.merge_rows(x), weight
        z = kernels.plane_gemm(self.x, weight)  # (R, M) int32, exact
        unit = unit_of(x) * unit_of(weight)
        return kernels.affine(z, unit, bias).reshape(*x.shape[:-1], len(bias))

    def backward(self, grad_y):
        grad_x = grad_weight = None
        grad = grad_y.reshape(math.prod(grad_y.shape[:-1]), grad_y.shape[-1])
        if self.needs_grad[0]:
            grad_x = kernels.signed_gemm(rounded(grad, self.rule, self.rng), self.weight)
            grad_x *= grad_x.dtype.type(getattr(self.weight, "unit", 1.0))
            grad_x = grad_x.reshape(*grad_y.shape[:-1], grad_x.shape[1])
        if self.needs_grad[1]:
            grad_weight = product(rounded(grad.T, self.rule, self.rng), self.x)
        return grad_x, grad_weight, grad.sum(axis=0)


def scaled_linear(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike,
    grad_format: str = "float32",
    rng: np.random.Generator | None = None,
) -> Tensor:
    """Return `x @ weight.T + bias` of k-bit numbers, by an exact product of integers.

    y = (integers of x @ integers of weight.T) * unit + bias, where unit is the product of both
    units.

    Parameters
    ----------
    x : Tensor of Bits or of BitPlanes
        Shape (..., N).
    weight : Tensor of Bits or of BitPlanes
        Shape (M, N), such as from `quantize_scaled`.
    bias : Tensor or array
        Floats of shape (M,).
    grad_format, rng : optional
        As for `quantized_linear`.

    Returns
    -------
    Tensor
        Floats of shape (..., M) and the type of the bias.

    Examples
    --------
    >>> from bitnet.nn.functional import sign
    >>> from bitnet.quantizers import Uniform
    >>> weight = quantize_scaled([[3.0, -0.1]], Uniform(1), scale=0.5)
    >>> scaled_linear(sign([[1.0, 1.0], [1.0, -1.0]]), weight, [2.0]).data.ravel()
    array([2., 3.], dtype=float32)
    """
    x, weight, bias = map(as_tensor, (x, weight, bias))
    few = all(isinstance(own.data, (Bits, BitPlanes)) for own in (x, weight))
    fits = few and weight.ndim == 2 and x.shape[-1:] == weight.shape[1:]
    if not fits or not bias.is_float or bias.shape != weight.shape[:1]:
        expected = "Bits or BitPlanes (..., N) and (M, N), and a bias of floats (M,)"
        raise unfit("scaled_linear", expected, x, weight, bias)
    check_gradient_rule("scaled_linear", grad_format, rng)
    return ScaledLinear(GRADIENTS[grad_format], rng)(x, weight, bias)


def unit_of(x):
    """Return the value of the integer 1 of Bits or BitPlanes."""
    return x.unit * x.scale if isinstance(x, BitPlanes) else 1.0


def product(grad, x):
    """Return the gradient of weights, `grad @ x` with the unit of x, computed when it is read."""
    unit = getattr(x, "unit", 1.0)
    if isinstance(grad, Quantized):
        scales = grad.scales * np.float32(unit)
        return kernels.Product(Quantized(grad.values, scales, grad.largest), x)
    if unit != 1.0:  # in the smaller one of both
        x = BitPlanes(x.bits, x.coefficients, x.scale * unit, x.offset)
    return kernels.Product(grad, x)
