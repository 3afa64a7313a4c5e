"""Linear layers: of quantized weights, of quantized weights with a scale, and of floats.

A binarized network after Algorithm 1 of the papers is the sequence

    BinaryLinear -> BatchNorm -> Sign -> ... -> BinaryLinear -> BatchNorm

in which BinaryLinear holds the latent weights and multiplies with their packed signs.
"""

import math

import numpy as np

from bitnet.autograd import Parameter
from bitnet.devices import check_generator
from bitnet.errors import InputError, check_count
from bitnet.nn import functional
from bitnet.nn.functional.ste import as_packed
from bitnet.nn.module import Module
from bitnet.nn.quantized import IntegerLayer, QuantizedLayer, activation_quantizer


def _check_width(layer, x, inputs):
    """Refuse an input that is not (B, inputs)."""
    if x.ndim != 2 or x.shape[1] != inputs:
        raise InputError(f"{layer!r}: got an input of shape {x.shape}; expected (B, {inputs})")


class QuantLinear(IntegerLayer):
    """A linear layer with k-bit weights on integers; no bias, as batch norm follows.

    The latent weights are floats from U(-clip, clip), where `clip` is the quantizer's largest
    number, and are clipped to that range after each step of the optimizer; each call quantizes and
    packs them, and all of their gradient passes.  The step of the weights is scaled by
    sqrt((inputs + outputs) / 1.5), the inverse of the coefficient of the papers' code.

    Parameters
    ----------
    inputs, outputs : int
        The width N of the input and M of the output, 1 or more.
    rng : numpy.random.Generator
        The source of the first weights, and of stochastic rounding.
    weights : int or Quantizer, optional
        Bits, from 1 to 8 (see `quantizers.Uniform`), or another quantizer.
    gradient : str, optional
        The numbers that the backward products multiply; see `functional.quantized_linear`.
    rounding : {"nearest", "stochastic"}, optional
        Of a gradient of integers.
    balance : bool, optional
        Quantize the latent weights minus the mean of their row, see `functional.balance`.

    Attributes
    ----------
    weight : LatentWeight
        float32 of shape (outputs, inputs); to change it by hand, change `weight.edit()`.
    packed : Bits or BitPlanes
        The weights that the layer multiplies with.

    Examples
    --------
    >>> layer = QuantLinear(784, 10, np.random.default_rng(0), weights=2)
    >>> layer(np.zeros((5, 784), np.uint8)).shape
    (5, 10)
    >>> layer.packed
    BitPlanes(shape=(10, 784), 2 planes, unit=0.333333)
    """

    shown = ("inputs", "outputs", "quantizer")

    def __init__(
        self, inputs, outputs, rng, weights=1, gradient="int8", rounding="nearest", balance=False
    ):
        check_count(type(self).__name__, inputs=inputs, outputs=outputs)
        self.set_numbers(rng, weights, gradient, rounding, balance)
        self.inputs, self.outputs = int(inputs), int(outputs)
        self.weight = self.bounded_weight((outputs, inputs), inputs + outputs)

    def forward(self, x):
        _check_width(self, x, self.inputs)
        weight = self.quantized(self.weight)
        return functional.quantized_linear(x, weight, self.gradient, self.rounding_rng)


class BinaryLinear(QuantLinear):
    """A linear layer with ±1 weights on packed inputs, `QuantLinear` of one bit.

    An optimizer's step leaves the signs of the latent weights packed; each call multiplies with
    them by XOR and popcount, and packs them itself where the weights were changed otherwise.

    Parameters
    ----------
    inputs, outputs, rng, gradient, rounding, balance : optional
        As for `QuantLinear`; the first three are required.

    Attributes
    ----------
    weight : LatentWeight
        As that of `QuantLinear`, clipped to [-1, 1].
    bits : Bits
        The weights that the layer multiplies with.

    Examples
    --------
    >>> layer = BinaryLinear(784, 10, np.random.default_rng(0))
    >>> layer(np.zeros((5, 784), np.uint8)).shape
    (5, 10)
    >>> layer.bits
    Bits(shape=(10, 784), 1040 bytes)
    """

    shown = ("inputs", "outputs")

    def __init__(self, inputs, outputs, rng, gradient="int8", rounding="nearest", balance=False):
        super().__init__(inputs, outputs, rng, 1, gradient, rounding, balance)

    bits = IntegerLayer.packed


class Linear(Module):
    """A linear layer on floats, `x @ weight.T + bias`, for the float twin.

    Parameters
    ----------
    inputs, outputs : int
        The width N of the input and M of the output, 1 or more.
    rng : numpy.random.Generator
        The source of the first weights, U(-a, a) with Glorot's a = sqrt(6 / (N + M)).

    Examples
    --------
    >>> Linear(3, 2, np.random.default_rng(0))(np.ones((1, 3), np.float32)).shape
    (1, 2)
    """

    shown = ("inputs", "outputs")

    def __init__(self, inputs, outputs, rng):
        check_count("Linear", inputs=inputs, outputs=outputs)
        check_generator("Linear", rng)
        self.inputs, self.outputs = int(inputs), int(outputs)
        limit = math.sqrt(6 / (inputs + outputs))
        self.weight = Parameter(rng.uniform(-limit, limit, (outputs, inputs)).astype(np.float32))
        self.bias = Parameter(np.zeros(outputs, np.float32))

    def forward(self, x):
        _check_width(self, x, self.inputs)
        return functional.linear(x, self.weight, self.bias)


class ScaledLinear(QuantizedLayer):
    """A k-bit linear layer that gives numbers: `q(x) @ (s p(weight / s)).T + bias`.

    For the scores of a language model, which no batch norm follows.

    Parameters
    ----------
    inputs, outputs : int
        N and M.
    rng : numpy.random.Generator
        The source of the first weights, U(-a, a) with Glorot's a = sqrt(6 / (N + M)), and of
        stochastic rounding.
    weights, activations : int or Quantizer or str
        Bits, from 1 to 8, or a quantizer or its name: p and q.
    gradient, rounding : optional
        As for `QuantLinear`; "float32" by default, as for `language_model`.

    Attributes
    ----------
    weight, bias : Parameter
        float32 of shapes (M, N) and (M,); the weights are latent and not clipped.
    packed : BitPlanes
        The weights that the layer multiplies with.

    Examples
    --------
    >>> layer = ScaledLinear(300, 10, np.random.default_rng(0), weights=2, activations=3)
    >>> layer(np.zeros((35, 20, 300), np.float32)).shape
    (35, 20, 10)
    """

    shown = ("inputs", "outputs", "quantizer")

    def __init__(
        self, inputs, outputs, rng, weights, activations, gradient="float32", rounding="nearest"
    ):
        check_count("ScaledLinear", inputs=inputs, outputs=outputs)
        self.set_numbers(rng, weights, gradient, rounding)
        self.activations = activation_quantizer("ScaledLinear", activations)
        self.inputs, self.outputs = int(inputs), int(outputs)
        self.weight = self.scaled_weight((outputs, inputs), math.sqrt(6 / (inputs + outputs)))
        self.bias = Parameter(np.zeros(outputs, np.float32))

    def forward(self, x):
        x, weight = as_packed(x, self.activations), self.quantized(self.weight)
        return functional.scaled_linear(x, weight, self.bias, self.gradient, self.rounding_rng)
