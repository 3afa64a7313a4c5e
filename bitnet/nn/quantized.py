"""The base of layers with quantized weights: quantizer, latent weights, backward products."""

import math

import numpy as np

from bitnet import kernels
from bitnet.autograd import LatentWeight, Parameter, no_grad
from bitnet.devices import check_generator
from bitnet.errors import InputError, check_choice
from bitnet.nn import functional
from bitnet.nn.functional.linear import GRADIENTS, check_gradient_rule
from bitnet.nn.module import Module
from bitnet.quantizers import LinearQuant, Uniform
from bitnet.quantizers.names import elementwise_quantizer_of, quantizer_of

ROUNDINGS = ("nearest", "stochastic")
ONE_BIT = Uniform(1)
RECTIFIED = 3.0  # the largest k-bit rectified state; with 1 the net learns less


class QuantizedLayer(Module):
    """The base of layers with quantized weights.

    Clipped weights are quantized directly, because batch norm removes their magnitude; other
    weights are scaled (`functional.quantize_scaled`).

    Attributes
    ----------
    weight_quantizer : Quantizer or None
        The quantizer of the weights; None for float weights.
    packed : Bits or BitPlanes
        The weights that the forward pass uses, of the shape of `weight`.

    Examples
    --------
    >>> from bitnet.nn import BinaryLinear, Sequential
    >>> net = Sequential(BinaryLinear(4, 3, rng=np.random.default_rng(0)))
    >>> [layer for layer in net.modules() if isinstance(layer, QuantizedLayer)]
    [BinaryLinear(4, 3)]
    """

    def set_numbers(
        self, rng, weight_quantizer, grad_format=None, rounding="nearest", balance=False
    ):
        """Set the quantizer of the weights, and how the backward products round gradients."""
        name = type(self).__name__
        check_generator(name, rng)
        if grad_format is None:
            grad_format = default_grad_format() if rounding == "nearest" else "int8"
        check_backward(name, grad_format, rounding)
        is_float = weight_quantizer is None
        self.weight_quantizer = None if is_float else quantizer_of(name, weight_quantizer)
        self.grad_format, self.rounding = grad_format, rounding
        self.rng, self.balance = rng, balance

    def clipped_weight(self, shape, fan):
        """Return latent weights from U(-clip, clip); `fan` is the number of inputs and outputs."""
        clip = float(abs(self.weight_quantizer.codebook.values()).max())
        latent = self.rng.uniform(-clip, clip, shape).astype(np.float32)
        return LatentWeight(latent, clip, math.sqrt(fan / 1.5), self.weight_quantizer == ONE_BIT)

    def scaled_weight(self, shape, half):
        """Return weights from U(-half, half) that are not clipped."""
        return uniform(self.rng, shape, half, self.weight_quantizer)

    @property
    def rounding_rng(self):
        """The generator that rounds gradients, None for rounding to the nearest."""
        return self.rng if self.rounding == "stochastic" else None

    def quantized(self, weight):
        """Return the weights that the forward pass uses, as a Tensor of Bits or BitPlanes."""
        if weight.clip is None:
            return functional.quantize_scaled(weight, self.weight_quantizer)
        # an optimizer has packed the signs of the weights themselves, not those of balanced ones
        latent = functional.balance(weight) if self.balance else weight
        quantizer = self.weight_quantizer
        return functional.quantize(latent, quantizer, straight=not quantizer.smooth)

    def packed_of(self, weight):
        """Return the weights that the forward pass uses, as Bits or BitPlanes."""
        if weight.is_binary and not self.balance:
            return weight.signs
        with no_grad():
            return self.quantized(weight).data

    @property
    def packed(self):
        """Return the weights that the forward pass uses, Bits or BitPlanes like `weight`."""
        return self.packed_of(self.weight)

    def weight_signs(self):
        """Return the signs of each weight matrix, Bits; for k bits those of the latent weights."""
        latent = [weight for _, weight in self._members() if isinstance(weight, LatentWeight)]
        is_sign = self.weight_quantizer is not None and self.weight_quantizer.codebook.is_sign
        return [self.packed_of(w) if w.clip and is_sign else w.signs for w in latent]


class IntegerLayer(QuantizedLayer):
    """A QuantizedLayer that returns exact integers, in units of its input and weights.

    Examples
    --------
    >>> from bitnet.nn import BinaryLinear, ScaledLinear
    >>> issubclass(BinaryLinear, IntegerLayer), issubclass(ScaledLinear, IntegerLayer)
    (True, False)
    """


def default_grad_format():
    """Return the faster format of gradients: int8 in the compiled kernels, float32 in NumPy."""
    return "float32" if kernels.implementation() == "reference" else "int8"


def check_backward(name, grad_format, rounding):
    """Refuse settings of a backward product that do not exist."""
    check_choice(name, GRADIENTS, grad_format=grad_format)
    check_choice(name, ROUNDINGS, rounding=rounding)
    if grad_format == "float32" and rounding != "nearest":
        raise InputError(
            f"{name}: {rounding} rounding needs an integer gradient, and grad_format is float32; "
            "choose another grad_format, such as int8, or remove rounding"
        )
    check_gradient_rule(name, grad_format, True if rounding == "stochastic" else None)


def uniform(rng, shape, half, quantizer=None):
    """Return a Parameter from U(-half, half), latent if there is a quantizer."""
    kind = Parameter if quantizer is None else LatentWeight
    return kind(rng.uniform(-half, half, shape).astype(np.float32))


def activation_quantizer_of(name, activation_quantizer, relu=False):
    """Return the quantizer of inputs and states; with bits alone its range is that of f."""
    if relu and isinstance(activation_quantizer, int):
        bits = Uniform(activation_quantizer).bits  # refuses what is no number of bits
        return LinearQuant(bits, RECTIFIED / (2**bits - 1), signed=False)
    return elementwise_quantizer_of(name, activation_quantizer)
