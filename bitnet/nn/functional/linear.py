"""Products of linear layers: of floats, and of k-bit integers."""

import numpy as np

from bitnet import kernels
from bitnet.arrays import is_array
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, check_choice, unfit
from bitnet.kernels import BitPlanes, Bits, Quantized, Rounding
from bitnet.nn.functional.products import blas_product, matrix_product


class Linear(Function):
    """x @ weight.T + bias."""

    def forward(self, x, weight, bias):
        self.x, self.weight = x, weight
        return matrix_product(x, weight.T) + bias  # (B, M)

    def backward(self, grad_y):
        grad_x = blas_product(grad_y, self.weight) if self.needs_grad[0] else None
        return grad_x, blas_product(grad_y.T, self.x), grad_y.sum(axis=0)


def linear(x: TensorLike, weight: TensorLike, bias: TensorLike) -> Tensor:
    """Return `x @ weight.T + bias` of floats.

    Parameters
    ----------
    x : Tensor or array
        Floats of shape (B, N).
    weight, bias : Tensor or array
        Shapes (M, N) and (M,).

    Returns
    -------
    Tensor
        Shape (B, M).

    Examples
    --------
    >>> linear([[1.0, 2.0]], [[3.0, 4.0]], [0.5])
    Tensor(array([[11.5]], dtype=float32))
    """
    x, weight, bias = as_tensor(x), as_tensor(weight), as_tensor(bias)
    fits = x.ndim == weight.ndim == 2 and x.shape[1] == weight.shape[1]
    if not fits or bias.shape != weight.shape[:1]:
        raise unfit("linear", "(B, N), (M, N) and (M,)", x, weight, bias)
    return Linear()(x, weight, bias)


# name: how the gradient is rounded before the backward products
GRADIENTS = {"float32": None} | {
    f"{kind}{bits}": Rounding(kind, bits)
    for kind, most in (("int", 8), ("dorefa", 8), ("log", 6))
    for bits in range(most, 3, -1)
}


def check_gradient_rule(name, grad_format, rng):
    """Refuse an unknown grad_format, and a generator that it needs or cannot use."""
    check_choice(name, GRADIENTS, grad_format=grad_format)
    kind = grad_format.rstrip("0123456789")
    if kind == "dorefa" and rng is None:
        raise InputError(
            f"{name}: grad_format {grad_format} adds noise and needs a generator; pass rng= (to a "
            "layer: rounding='stochastic'), or choose an integer format, such as int8"
        )
    if kind == "log" and rng is not None:
        raise InputError(
            f"{name}: grad_format {grad_format} rounds to the nearest power of two and takes no "
            "generator; remove rng=, or rounding='stochastic' of a layer"
        )


class QuantizedLinear(Function):
    """x @ weight.T of k-bit integers, in units of both."""

    _takes_bits = True

    def __init__(self, gradient_bits=None, rng=None):
        self.rule = gradient_bits, rng

    def forward(self, x, weight):
        self.weight = weight  # backward needs only the bits
        self.x = x.copy() if is_array(x) else x  # whoever loads the pixels may reuse their buffer
        return times_scale(kernels.plane_gemm(x, weight), x)  # (B, M), exact integers

    def backward(self, grad_z):
        grad_x = grad_weight = None
        if self.needs_grad[0]:
            grad = in_units(rounded(grad_z, *self.rule), self.x)
            grad_x = kernels.signed_gemm(grad, self.weight)
        if self.needs_grad[1]:
            grad = in_units(rounded(grad_z.T, *self.rule), self.weight)
            grad_weight = kernels.Product(grad, self.x)
        return grad_x, grad_weight


def times_scale(z, x):
    """Return z times the scale of x: floats, or integers, which stay so if the scale is 1."""
    scale = getattr(x, "scale", 1.0)
    if scale == 1.0:
        return z
    z = z if z.dtype.kind == "f" else z.astype(np.float32)
    return z * z.dtype.type(scale)


def rounded(grad, rule, rng):
    """Return a gradient (R, C) as floats, integers with a scale per row, or powers of two."""
    return grad if rule is None else kernels.round_gradient(grad, rule, rng)


def in_units(grad, x):
    """Return a gradient divided by the unit of an operand."""
    unit = getattr(x, "unit", 1.0)
    if unit == 1.0:
        return grad
    if isinstance(grad, Quantized):
        return Quantized(grad.values, grad.scales / np.float32(unit), grad.largest)
    return grad / grad.dtype.type(unit)


def quantized_linear(
    x: TensorLike,
    weight: TensorLike,
    grad_format: str = "float32",
    rng: np.random.Generator | None = None,
) -> Tensor:
    """Return the product `x @ weight.T` of k-bit integers: the pre-activations of a layer.

    This is s_k = ab_{k-1} Wb_k in Algorithms 1 and 4 of the papers; for pixels it is their equation
    for the first layer.  It multiplies the integers that the planes represent, without their units;
    batch norm removes the missing factor.  The product is exact, and so is its gradient with
    "float32".  With "int8" the gradient of the result is rounded to 8-bit integers before both
    backward products, with one scale per sample for `grad_x` and one per output for `grad_weight`.
    With "log6" it is rounded to powers of two (section 4.4 of the second paper).

    Parameters
    ----------
    x : Tensor of Bits, of BitPlanes, or of uint8
        Shape (B, N): signs, k-bit integers, or 8-bit pixels, which count as `2p - 255`, 255 times
        the pixels scaled to [-1, 1].
    weight : Tensor of Bits or of BitPlanes
        Shape (M, N).
    grad_format : str, optional
        The number format of gradients in the backward products: "float32"; "int8" to "int4";
        "dorefa8" to "dorefa4" (DoReFa-Net's integers with noise); or "log6" to "log4" (powers of
        two).
    rng : numpy.random.Generator, optional
        If given, gradients are rounded to integers stochastically, without bias; otherwise to the
        nearest.  Required for "dorefa" formats, and not allowed for powers of two.

    Returns
    -------
    Tensor
        int32 of shape (B, M); float32 for BitPlanes whose scale is not 1, such as after dropout.

    Examples
    --------
    >>> from bitnet.nn.functional import quantize, sign
    >>> from bitnet.quantizers import Uniform
    >>> weight = sign([[1.0, 1.0, 1.0]])
    >>> quantized_linear(np.array([[255, 255, 0]], np.uint8), weight)
    Tensor(array([[255]], dtype=int32))
    >>> quantized_linear(quantize([[1.0, 0.2, -0.2]], Uniform(2)), weight)  # 3 + 1 - 1
    Tensor(array([[3]], dtype=int32))
    """
    x, weight = as_tensor(x), as_tensor(weight)
    check_quantized("quantized_linear", x, grad_format, rng)
    return QuantizedLinear(GRADIENTS[grad_format], rng)(x, weight)


def check_quantized(name, x, grad_format, rng):
    """Refuse inputs that are not packed or pixels, and an unknown grad_format."""
    if not isinstance(x.data, (Bits, BitPlanes)) and x.data.dtype != np.uint8:
        raise InputError(
            f"{name}: x holds {x.data.dtype}; expected Bits (apply sign first), BitPlanes (apply "
            "quantize first) or uint8 pixels"
        )
    check_gradient_rule(name, grad_format, rng)
