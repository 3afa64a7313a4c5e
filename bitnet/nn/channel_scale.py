"""The scale of each output channel in XNOR-Net (arXiv 1603.05279)."""

from typing import Any

from bitnet.autograd import Tensor
from bitnet.errors import InputError
from bitnet.nn import functional
from bitnet.nn.module import Module
from bitnet.nn.quantized import IntegerLayer


class ChannelScale(Module):
    """A layer of ±1 weights whose outputs are multiplied by the mean of |weight| of each channel.

    XNOR-Net approximates the filter W by `alpha * sign(W)` with alpha = mean |W|, the scale with
    the least squared error (equation 6).  Gradients also pass through alpha (equation 9).  Before
    batch norm and a sign, alpha freezes into integer thresholds; elsewhere it remains as one
    multiplication per output.

    Parameters
    ----------
    layer : BinaryLinear, BinaryConv2d or another IntegerLayer
        The layer; with `balance`, the means are subtracted from its weights first.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.nn import BinaryLinear
    >>> layer = ChannelScale(BinaryLinear(2, 1, rng=np.random.default_rng(0)))
    >>> layer.layer.weight.assign([[0.5, -1.0]])
    >>> layer(functional.sign([[1.0, -1.0]])).data
    array([[1.5]], dtype=float32)
    """

    shown: tuple[str, ...] = ("layer",)

    def __init__(self, layer: Any) -> None:
        if not isinstance(layer, IntegerLayer):
            came = type(layer).__name__
            raise InputError(f"ChannelScale: got {came}; expected a BinaryLinear or BinaryConv2d")
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.alpha

    @property
    def alpha(self) -> Tensor:
        """The scales, float32 (M,)."""
        weight: Any = getattr(self.layer, "weight")  # noqa: B009
        weight = functional.balance(weight) if self.layer.balance else weight
        return abs(weight).mean(axis=tuple(range(1, weight.ndim)))
