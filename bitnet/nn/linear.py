"""The layers: parameters and state around functions.

A binarized network after Algorithm 1 of the papers is the sequence

    BinaryLinear -> BatchNorm -> Sign -> ... -> BinaryLinear -> BatchNorm

in which BinaryLinear holds the latent weights and multiplies with their packed signs.
"""

import math
from functools import partial

import numpy as np

from bitnet.autograd.parameter import Parameter
from bitnet.autograd.tensor import is_recording, no_grad
from bitnet.devices import check_generator
from bitnet.errors import InputError
from bitnet.nn import functional
from bitnet.nn.activations import Sign
from bitnet.nn.functional.linear import GRADIENTS, check_gradient_rule
from bitnet.nn.module import Module
from bitnet.quantizers import Uniform
from bitnet.quantizers.names import quantizer_of

ROUNDINGS = ("nearest", "stochastic")
ONE_BIT = Uniform(1)


def _check_count(layer, **counts):
    """Refuse sizes that are no whole numbers of 1 or more."""
    for name, value in counts.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            raise InputError(f"{layer}: {name} is {value!r}; expected a whole number of 1 or more")


def _check_width(layer, x, inputs):
    """Refuse an input that is not (B, inputs)."""
    if x.ndim != 2 or x.shape[1] != inputs:
        raise InputError(f"{layer!r}: got an input of shape {x.shape}; expected (B, {inputs})")


class QuantLinear(Module):
    """A linear layer with weights of a few bits on integers; no bias, as batch norm follows.

    The latent weights are floats from U(-bound, bound), clipped to that range after each step of
    the optimizer, where `bound` is the quantizer's largest number; each call quantizes and packs
    them, and lets all of their gradient pass.  It gives the integers of the product, in units of
    input and weights, see `functional.quantized_linear`.  The step of the weights is scaled by
    sqrt((inputs + outputs) / 1.5), the inverse of the coefficient that the papers' code takes
    from Glorot, sqrt(1.5 / (inputs + outputs)).

    Parameters
    ----------
    inputs, outputs : int
        The width N of the input and M of the output, 1 or more.
    rng : numpy.random.Generator
        The source of the first weights, and of stochastic rounding.
    weights : int or Quantizer, optional
        Their bits, from 1 to 8 (see `quantizers.Uniform`), or another quantizer; 1 by default.
    gradient : str, optional
        The numbers that the backward products multiply, "int8" by default; see
        `functional.quantized_linear`.
    rounding : {"nearest", "stochastic"}, optional
        Of a gradient of integers.
    balance : bool, optional
        Quantize the latent weights less the mean of their row, see `functional.balance`.

    Attributes
    ----------
    weight : Parameter
        The latent weights, float32 of shape (outputs, inputs); to change them by hand, change
        `weight.edit()`.
    packed : Bits or Planes
        The weights that the layer multiplies with.

    Examples
    --------
    >>> layer = QuantLinear(784, 10, np.random.default_rng(0), weights=2)
    >>> layer(np.zeros((5, 784), np.uint8)).shape
    (5, 10)
    >>> layer.packed
    Planes(shape=(10, 784), 2 planes, unit=0.333333)
    """

    def __init__(
        self, inputs, outputs, rng, weights=1, gradient="int8", rounding="nearest", balance=False
    ):
        name = type(self).__name__
        _check_count(name, inputs=inputs, outputs=outputs)
        check_generator(name, rng)
        check_backward(name, gradient, rounding)
        self.quantizer = quantizer_of(name, weights)
        self.gradient, self.rounding, self.rng, self.balance = gradient, rounding, rng, balance
        self.inputs, self.outputs = int(inputs), int(outputs)
        self.weight = latent_weight((outputs, inputs), inputs + outputs, self.quantizer, rng)

    def forward(self, x):
        _check_width(self, x, self.inputs)
        rng = self.rng if self.rounding == "stochastic" else None
        return functional.quantized_linear(x, quantized(self), self.gradient, rng)

    @property
    def packed(self):
        """The quantized weights, Bits or Planes of shape (outputs, inputs)."""
        return packed_of(self)

    def __repr__(self):
        return f"QuantLinear({self.inputs}, {self.outputs}, {self.quantizer!r})"


class BinaryLinear(QuantLinear):
    """A linear layer with ±1 weights on packed inputs, `QuantLinear` of one bit.

    An optimizer's step leaves the signs of the latent weights packed; each call multiplies with
    those by XOR and popcount, and packs the signs itself where the weights were changed otherwise.

    Parameters
    ----------
    inputs, outputs, rng, gradient, rounding, balance : optional
        As for `QuantLinear`; the first three are needed.

    Attributes
    ----------
    weight : Parameter
        As that of `QuantLinear`, clipped to [-1, 1].
    bits : Bits
        The signs, or the balanced ones: the weights that the layer multiplies with.

    Examples
    --------
    >>> layer = BinaryLinear(784, 10, np.random.default_rng(0))
    >>> layer(np.zeros((5, 784), np.uint8)).shape
    (5, 10)
    >>> layer.bits
    Bits(shape=(10, 784), 1040 bytes)
    """

    def __init__(self, inputs, outputs, rng, gradient="int8", rounding="nearest", balance=False):
        super().__init__(inputs, outputs, rng, 1, gradient, rounding, balance)

    @property
    def bits(self):
        """The signs of the latent weights, Bits of shape (outputs, inputs)."""
        return self.packed

    def __repr__(self):
        return f"BinaryLinear({self.inputs}, {self.outputs})"


def latent_weight(shape, fan, quantizer, rng):
    """The latent weights of a layer with `fan` inputs and outputs in all."""
    bound = float(abs(quantizer.levels.values()).max())
    latent = rng.uniform(-bound, bound, shape).astype(np.float32)
    return Parameter(latent, bound, math.sqrt(fan / 1.5), is_binary=quantizer == ONE_BIT)


def quantized(layer):
    """The weights that a layer multiplies with, as a Tensor of Bits or Planes."""
    # an optimizer has packed the signs of the weights themselves, not those of balanced ones
    latent = functional.balance(layer.weight) if layer.balance else layer.weight
    if layer.quantizer == ONE_BIT:
        return functional.sign(latent, window=None)
    return functional.quantize(latent, layer.quantizer, straight=not layer.quantizer.smooth)


def packed_of(layer):
    """The weights that a layer multiplies with, as Bits or Planes."""
    if layer.quantizer == ONE_BIT and not layer.balance:
        return layer.weight.signs
    with no_grad():
        return quantized(layer).data


def check_backward(name, gradient, rounding):
    """Refuse settings of a backward product that do not exist."""
    if gradient not in GRADIENTS or rounding not in ROUNDINGS:
        raise InputError(
            f"{name}: gradient is {gradient!r} and rounding {rounding!r}; "
            f"expected one of {[*GRADIENTS]} and of {list(ROUNDINGS)}"
        )
    if gradient == "float32" and rounding != "nearest":
        raise InputError(
            f"{name}: {rounding} rounding is of integers, and the gradient is float32; "
            "use another gradient, or leave the rounding out"
        )
    check_gradient_rule(name, gradient, True if rounding == "stochastic" else None)


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
    >>> layer = Linear(3, 2, np.random.default_rng(0))
    >>> layer(np.ones((1, 3), np.float32)).shape
    (1, 2)
    """

    def __init__(self, inputs, outputs, rng):
        _check_count("Linear", inputs=inputs, outputs=outputs)
        check_generator("Linear", rng)
        self.inputs, self.outputs = int(inputs), int(outputs)
        bound = math.sqrt(6 / (inputs + outputs))
        self.weight = Parameter(rng.uniform(-bound, bound, (outputs, inputs)).astype(np.float32))
        self.bias = Parameter(np.zeros(outputs, np.float32))

    def forward(self, x):
        _check_width(self, x, self.inputs)
        return functional.linear(x, self.weight, self.bias)

    def __repr__(self):
        return f"Linear({self.inputs}, {self.outputs})"


class BatchNorm(Module):
    """Batch normalization over all axes but the last, on floats or integer pre-activations.

    In training it uses the statistics of the batch and averages them; in evaluation it uses
    the averages.  As in the papers' code the inverse standard deviation is averaged, not
    the variance.  The first `1 / momentum` batches are averaged plainly, so that the
    averages are of the data from the first batch on.

    Parameters
    ----------
    features : int
        The size C of the last axis, 1 or more.
    eps : float, optional
        Added to the variance, 1e-4.
    momentum : float, optional
        The share of a new batch in the averages, 0.1; above 0, at most 1.
    step_scale : float, optional
        What the learning rate is multiplied with for gamma and beta, 1.

    Examples
    --------
    >>> norm = BatchNorm(1)
    >>> norm(np.array([[1], [3]], np.int32)).data.round(3)
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> norm.eval()([[2.0]]).data
    array([[0.]], dtype=float32)
    """

    def __init__(self, features, eps=1e-4, momentum=0.1, step_scale=1.0):
        _check_count(type(self).__name__, features=features)
        if not 0 < momentum <= 1 or not 0 < eps < math.inf:
            raise InputError(
                f"{type(self).__name__}: eps is {eps!r} and momentum {momentum!r}; expected eps "
                "above 0 and momentum above 0, at most 1"
            )
        self.features, self.eps, self.momentum = int(features), eps, momentum
        self.gamma = Parameter(np.ones(features, np.float32), step_scale=step_scale)
        self.beta = Parameter(np.zeros(features, np.float32), step_scale=step_scale)
        self.running_mean = np.zeros(features, np.float32)
        self.running_inv_std = np.ones(features, np.float32)
        self.batches = np.zeros((), np.int64)

    def forward(self, x):
        if not self.training:
            statistics = self.running_mean, self.running_inv_std
            return functional.normalize(x, self.gamma, self.beta, *statistics)
        y = functional.batch_norm(x, *self._in_training())
        self.batches += 1
        return y

    def affine(self):
        """The arrays mean, scale and shift (C,): evaluation is `(x - mean) * scale + shift`."""
        return self.running_mean, self.gamma.data * self.running_inv_std, self.beta.data

    def _in_training(self):
        """What the functions want beside x: gamma, beta, eps, running statistics, momentum."""
        running = self.running_mean, self.running_inv_std
        momentum = max(self.momentum, 1 / (int(self.batches) + 1))
        return self.gamma, self.beta, self.eps, running, momentum

    def followed_by(self, layer):
        """Batch norm and a sign, of integers, in one pass; see `functional.batch_norm_sign`."""
        drawn = isinstance(layer, Sign) and layer.stochastic and layer.training
        known = type(self) is BatchNorm and type(layer) is Sign  # not what inherits from them
        return partial(self._sign, layer) if known and not drawn else None

    def _sign(self, sign, x):
        if getattr(x.data, "dtype", None) != np.int32 or (not self.training and is_recording()):
            return sign(self(x))
        if not self.training:
            statistics = self.running_mean, self.running_inv_std
            return functional.normalize_sign(x, self.gamma, self.beta, *statistics)
        y = functional.batch_norm_sign(x, *self._in_training(), window=sign.window)
        self.batches += 1
        return y

    def __repr__(self):
        return f"BatchNorm({self.features})"


class Dropout(Module):
    """Dropout in training, nothing in evaluation; signs and pixels stay packed.

    Parameters
    ----------
    p : float
        The probability of dropping an element, from 0 to below 1.
    rng : numpy.random.Generator
        The source of randomness.

    Examples
    --------
    >>> Dropout(0.5, np.random.default_rng(0)).eval()([1.0, 2.0]).data
    array([1., 2.], dtype=float32)
    """

    def __init__(self, p, rng):
        if not 0 <= p < 1:
            raise InputError(f"Dropout: p is {p!r}; expected a probability from 0 to below 1")
        check_generator("Dropout", rng)
        self.p, self.rng = p, rng

    def forward(self, x):
        return functional.dropout(x, self.p, self.rng) if self.training and self.p else x

    def __repr__(self):
        return f"Dropout({self.p})"
