"""The layers around recurrent ones: embeddings, and products of a few bits that are numbers.

No batch norm behind them takes up the size of the weights, so each matrix has a scale
(`quantizers.scales.scale_of`), and its latent weights no bound.
"""

import math

import numpy as np

from bitnet.autograd.parameter import Parameter
from bitnet.autograd.tensor import no_grad
from bitnet.devices import check_generator
from bitnet.errors import InputError
from bitnet.kernels import Bits, Planes
from bitnet.nn import functional
from bitnet.nn.functional.embedding import check_ids
from bitnet.nn.functional.scaled import QuantizeScaled
from bitnet.nn.linear import check_backward
from bitnet.nn.module import Module
from bitnet.quantizers import Linear, Uniform
from bitnet.quantizers.names import quantizer_of
from bitnet.quantizers.scales import scale_of

RECTIFIED = 3.0  # the largest rectified state of a few bits; up to 1 alone they learn less


def check_counts(layer, **counts):
    """Refuse sizes that are no whole numbers of 1 or more."""
    for name, value in counts.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            raise InputError(f"{layer}: {name} is {value!r}; expected a whole number of 1 or more")


def uniform(rng, shape, half):
    """A Parameter of numbers from U(-half, half)."""
    return Parameter(rng.uniform(-half, half, shape).astype(np.float32), is_binary=False)


def of_activations(name, activations, relu=False):
    """The quantizer of inputs and states: of a number of bits that of the range of f."""
    if relu and isinstance(activations, int):
        bits = Uniform(activations).bits  # refuses what is no number of bits
        return Linear(bits, RECTIFIED / (2**bits - 1), signed=False)
    quantizer = quantizer_of(name, activations)
    if not quantizer.elementwise:
        raise InputError(
            f"{name}: activations are {quantizer!r}, which looks at all numbers; expected one of "
            "each number alone, as Uniform"
        )
    return quantizer


class Embedding(Module):
    """The vectors of words or characters: rows of a table by their numbers.

    With a quantizer the rows are packed, as the inputs of the layer behind; the scale is one for
    the table.

    Parameters
    ----------
    count, width : int
        Rows V and columns N of the table.
    rng : numpy.random.Generator
        The source of the first numbers, U(-half, half).
    activations : int or Quantizer or str, optional
        Bits, from 1 to 8, or a quantizer or its name; floats by default.
    half : float, optional
        0.1 by default.

    Attributes
    ----------
    weight : Parameter
        The table, float32 of shape (V, N).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Embedding(50, 8, rng)(np.zeros((35, 20), int)).shape
    (35, 20, 8)
    >>> Embedding(50, 8, rng, activations=4)([[1, 2]]).data.shape
    (1, 2, 8)
    """

    def __init__(self, count, width, rng, activations=None, half=0.1):
        check_counts("Embedding", count=count, width=width)
        check_generator("Embedding", rng)
        self.count, self.width = int(count), int(width)
        self.weight = uniform(rng, (count, width), half)
        self.activations = None
        if activations is not None:
            self.activations = of_activations("Embedding", activations)

    def __call__(self, ids):
        return self.forward(check_ids("Embedding", ids, self.count))

    def forward(self, ids):
        rows = functional.embedding(ids, self.weight)
        if self.activations is None:
            return rows
        return QuantizeScaled(self.activations, self.scale)(rows)

    @property
    def scale(self):
        """What the rows are divided by before they are quantized."""
        quantizer = self.activations
        return self.weight.derived(f"scale {quantizer.name}", lambda x: scale_of(x, quantizer))

    def __repr__(self):
        return f"Embedding({self.count}, {self.width})"


class ScaledLinear(Module):
    """A linear layer of a few bits that gives numbers: `q(x) @ (s p(weight / s)).T + bias`.

    For the scores of a language model, behind which there is no batch norm.

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
        float32 of shapes (M, N) and (M,); the former are latent, without a bound.
    packed : Planes
        The weights that the layer multiplies with.

    Examples
    --------
    >>> layer = ScaledLinear(300, 10, np.random.default_rng(0), weights=2, activations=3)
    >>> layer(np.zeros((35, 20, 300), np.float32)).shape
    (35, 20, 10)
    """

    def __init__(
        self, inputs, outputs, rng, weights, activations, gradient="float32", rounding="nearest"
    ):
        check_counts("ScaledLinear", inputs=inputs, outputs=outputs)
        check_generator("ScaledLinear", rng)
        check_backward("ScaledLinear", gradient, rounding)
        self.weights = quantizer_of("ScaledLinear", weights)
        self.activations = of_activations("ScaledLinear", activations)
        self.gradient, self.rounding, self.rng = gradient, rounding, rng
        self.inputs, self.outputs = int(inputs), int(outputs)
        self.weight = uniform(rng, (outputs, inputs), math.sqrt(6 / (inputs + outputs)))
        self.bias = Parameter(np.zeros(outputs, np.float32))

    def forward(self, x):
        rng = self.rng if self.rounding == "stochastic" else None
        weight = functional.quantize_scaled(self.weight, self.weights)
        return functional.scaled_linear(
            quantized(x, self.activations), weight, self.bias, self.gradient, rng
        )

    @property
    def packed(self):
        """The quantized weights, Planes of shape (outputs, inputs)."""
        return packed_of(self.weight, self.weights)

    def __repr__(self):
        return f"ScaledLinear({self.inputs}, {self.outputs}, {self.weights!r})"


def quantized(x, quantizer):
    """x in a few bits; what is in bits already stays."""
    return x if isinstance(x.data, (Bits, Planes)) else functional.quantize(x, quantizer)


def packed_of(weight, quantizer):
    """The Planes that a layer multiplies with."""
    with no_grad():
        return functional.quantize_scaled(weight, quantizer).data
