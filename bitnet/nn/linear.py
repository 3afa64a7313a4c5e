"""Linear layers: with quantized weights, with quantized weights and a scale, and with floats.

A binarized network, as in Algorithm 1 of the papers, is the sequence

    BinaryLinear -> BatchNorm -> Sign -> ... -> BinaryLinear -> BatchNorm

in which BinaryLinear holds the latent weights and multiplies by their packed signs.
"""

import math

import numpy as np

from bitnet.autograd import Parameter, Tensor, as_tensor
from bitnet.devices import check_generator
from bitnet.errors import check_count, unfit
from bitnet.nn import functional
from bitnet.nn.functional.ste import as_packed
from bitnet.nn.module import Module
from bitnet.nn.quantized import IntegerLayer, QuantizedLayer, activation_quantizer_of
from bitnet.quantizers import Quantizer


def _check_width(layer, x, in_features):
    """Refuse an input that is not (B, in_features)."""
    if x.ndim != 2 or x.shape[1] != in_features:
        raise unfit(repr(layer), f"an input (B, {in_features})", x)


class QuantLinear(IntegerLayer):
    """A linear layer with k-bit weights for integer inputs; no bias, because batch norm follows.

    Float inputs are multiplied as they are, as in BinaryConnect (`functional.mixed_linear`).
    The latent weights are floats from U(-clip, clip), where `clip` is the quantizer's largest
    number, and are clipped to that range after each optimizer step.  Each call quantizes and packs
    them; in the backward pass, all of their gradient passes.  Their learning rate is scaled by
    sqrt((in_features + out_features) / 1.5), the inverse of the coefficient of the papers' code.

    Parameters
    ----------
    in_features, out_features : int
        Sizes N of the input and M of the output, at least 1.
    rng : numpy.random.Generator
        The generator of the initial weights and of stochastic rounding.
    weight_quantizer : int or Quantizer or str, optional
        A number of bits from 1 to 8 (see `quantizers.Uniform`), a quantizer, or its name.
    grad_format : str, optional
        The number format of gradients in the backward products; see `functional.quantized_linear`.
        Default: "int8", or "float32" without Numba, where it is faster.
    rounding : {"nearest", "stochastic"}, optional
        How an integer gradient is rounded.
    balance : bool, optional
        Subtract the mean of each row before quantizing the weights; see `functional.balance`.

    Attributes
    ----------
    weight : LatentWeight
        float32 of shape (out_features, in_features); change it with `weight.assign` or `edit()`.
    packed : Bits or BitPlanes
        The weights that the forward pass uses.

    Examples
    --------
    >>> layer = QuantLinear(784, 10, rng=np.random.default_rng(0), weight_quantizer=2)
    >>> layer(np.zeros((5, 784), np.uint8)).shape
    (5, 10)
    >>> layer.packed
    BitPlanes(shape=(10, 784), 2 planes, unit=0.333333)
    """

    shown: tuple[str, ...] = ("in_features", "out_features", "weight_quantizer")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        rng: np.random.Generator,
        weight_quantizer: int | str | Quantizer = 1,
        grad_format: str | None = None,
        rounding: str = "nearest",
        balance: bool = False,
    ) -> None:
        check_count(type(self).__name__, in_features=in_features, out_features=out_features)
        self.set_numbers(rng, weight_quantizer, grad_format, rounding, balance)
        self.in_features, self.out_features = int(in_features), int(out_features)
        self.weight = self.clipped_weight((out_features, in_features), in_features + out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply rows (B, N) with the packed weights; returns (B, M), integers or floats as x."""
        _check_width(self, x, self.in_features)
        weight = self.quantized(self.weight)
        if as_tensor(x).is_float:
            return functional.mixed_linear(x, weight)
        return functional.quantized_linear(x, weight, self.grad_format, self.rounding_rng)


class BinaryLinear(QuantLinear):
    """A linear layer with ±1 weights for packed inputs: `QuantLinear` with one bit.

    An optimizer step also packs the signs of the latent weights.  Each call multiplies by them with
    XOR and popcount; it packs them again if the weights were changed in another way.

    Parameters
    ----------
    in_features, out_features, rng, grad_format, rounding, balance : optional
        As for `QuantLinear`; the first three are required.

    Attributes
    ----------
    weight : LatentWeight
        As in `QuantLinear`, clipped to [-1, 1].
    bits : Bits
        The weights that the forward pass uses.

    Examples
    --------
    >>> layer = BinaryLinear(784, 10, rng=np.random.default_rng(0))
    >>> layer(np.zeros((5, 784), np.uint8)).shape
    (5, 10)
    >>> layer.bits
    Bits(shape=(10, 784), 1040 bytes)
    """

    shown: tuple[str, ...] = ("in_features", "out_features")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        rng: np.random.Generator,
        grad_format: str | None = None,
        rounding: str = "nearest",
        balance: bool = False,
    ) -> None:
        super().__init__(
            in_features,
            out_features,
            rng=rng,
            grad_format=grad_format,
            rounding=rounding,
            balance=balance,
        )

    bits = IntegerLayer.packed


class Linear(Module):
    """A float linear layer, `x @ weight.T + bias`, for the float twin.

    Parameters
    ----------
    in_features, out_features : int
        Sizes N of the input and M of the output, at least 1.
    rng : numpy.random.Generator
        The generator of the initial weights, U(-a, a) with Glorot's a = sqrt(6 / (N + M)).

    Examples
    --------
    >>> Linear(3, 2, rng=np.random.default_rng(0))(np.ones((1, 3), np.float32)).shape
    (1, 2)
    """

    shown: tuple[str, ...] = ("in_features", "out_features")

    def __init__(self, in_features: int, out_features: int, *, rng: np.random.Generator) -> None:
        check_count("Linear", in_features=in_features, out_features=out_features)
        check_generator("Linear", rng)
        self.in_features, self.out_features = int(in_features), int(out_features)
        limit, shape = math.sqrt(6 / (in_features + out_features)), (out_features, in_features)
        self.weight = Parameter(rng.uniform(-limit, limit, shape).astype(np.float32))
        self.bias = Parameter(np.zeros(out_features, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply float rows (B, N); returns floats (B, M)."""
        _check_width(self, x, self.in_features)
        return functional.linear(x, self.weight, self.bias)


class ScaledLinear(QuantizedLayer):
    """A k-bit linear layer that returns floats: `q(x) @ (s p(weight / s)).T + bias`.

    It computes the scores of a language model, which no batch norm follows.

    Parameters
    ----------
    in_features, out_features : int
        Sizes N of the input and M of the output.
    rng : numpy.random.Generator
        The generator of the initial weights, U(-a, a) with Glorot's a = sqrt(6 / (N + M)), and of
        stochastic rounding.
    weight_quantizer, activation_quantizer : int or Quantizer or str
        A number of bits from 1 to 8, a quantizer, or its name: p and q.
    grad_format, rounding : optional
        As for `QuantLinear`; "float32" by default, as for `language_model`.

    Attributes
    ----------
    weight, bias : Parameter
        float32 of shapes (M, N) and (M,); the weights are latent and not clipped.
    packed : BitPlanes
        The weights that the forward pass uses.

    Examples
    --------
    >>> bits = {"weight_quantizer": 2, "activation_quantizer": 3}
    >>> layer = ScaledLinear(300, 10, rng=np.random.default_rng(0), **bits)
    >>> layer(np.zeros((35, 20, 300), np.float32)).shape
    (35, 20, 10)
    """

    shown: tuple[str, ...] = ("in_features", "out_features", "weight_quantizer")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        rng: np.random.Generator,
        weight_quantizer: int | str | Quantizer,
        activation_quantizer: int | str | Quantizer,
        grad_format: str = "float32",
        rounding: str = "nearest",
    ) -> None:
        check_count("ScaledLinear", in_features=in_features, out_features=out_features)
        self.set_numbers(rng, weight_quantizer, grad_format, rounding)
        self.activation_quantizer = activation_quantizer_of("ScaledLinear", activation_quantizer)
        self.in_features, self.out_features = int(in_features), int(out_features)
        limit = math.sqrt(6 / (in_features + out_features))
        self.weight = self.scaled_weight((out_features, in_features), limit)
        self.bias = Parameter(np.zeros(out_features, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply floats or packed rows (..., N) with the packed weights; returns floats."""
        x, weight = as_packed(x, self.activation_quantizer), self.quantized(self.weight)
        backward = self.grad_format, self.rounding_rng
        return functional.scaled_linear(x, weight, self.bias, *backward)
