"""Elementwise float layers between the products of binary nets: slopes, shifts and scales.

ReActNet (arXiv 2003.03488) learns the threshold of each sign and the shape of each activation:

    Shift -> Sign                 its RSign
    Shift -> PReLU -> Shift       its RPReLU
"""

import numpy as np

from bitnet.autograd import Parameter, Tensor
from bitnet.errors import check_count, unfit
from bitnet.nn import functional
from bitnet.nn.module import Module


class _PerChannel(Module):
    """The base of layers with one number for each channel, or one for all."""

    shown: tuple[str, ...] = ("num_features",)

    def __init__(self, num_features: int) -> None:
        check_count(type(self).__name__, num_features=num_features)
        self.num_features = int(num_features)

    def numbers(self, value):
        """Return a Parameter with one number for each channel."""
        return Parameter(np.full(self.num_features, value, np.float32))

    def check(self, x):
        """Refuse an input with another number of channels."""
        if not x.ndim or self.num_features not in (1, x.shape[-1]):
            raise unfit(repr(self), f"an input (..., {self.num_features})", x)


class PReLU(_PerChannel):
    """A ReLU with a learned slope below 0; see `functional.prelu`.

    Parameters
    ----------
    num_features : int
        The size C of the last axis, or 1 for one slope for all channels.

    Attributes
    ----------
    slope : Parameter
        float32 of shape (num_features,), at first 0.25.

    Examples
    --------
    >>> PReLU(2)([[-1.0, 2.0]]).data
    array([[-0.25,  2.  ]], dtype=float32)
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.slope = self.numbers(0.25)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return functional.prelu(x, self.slope)


class HardTanh(Module):
    """The hard tanh `clip(x, -1, 1)`, the surrogate of the sign; see `functional.hardtanh`.

    Examples
    --------
    >>> HardTanh()([-3.0, 0.5]).data
    array([-1. ,  0.5], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.hardtanh(x)


class Shift(_PerChannel):
    """A learned shift of each channel, `x + bias`; integers count as float32.

    Parameters
    ----------
    num_features : int
        The size C of the last axis, or 1 for one shift for all channels.

    Attributes
    ----------
    bias : Parameter
        float32 of shape (num_features,), at first 0.

    Examples
    --------
    >>> layer = Shift(2)
    >>> layer.bias.assign([1.0, -1.0])
    >>> layer([[0.5, 0.5]]).data
    array([[ 1.5, -0.5]], dtype=float32)
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.bias = self.numbers(0.0)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return x + self.bias


class Scale(_PerChannel):
    """A learned scale of each channel, `x * factor`; integers count as float32.

    Parameters
    ----------
    num_features : int
        The size C of the last axis, or 1 for one factor for all channels.

    Attributes
    ----------
    factor : Parameter
        float32 of shape (num_features,), at first 1.

    Examples
    --------
    >>> layer = Scale(2)
    >>> layer.factor.assign([2.0, -1.0])
    >>> layer([[0.5, 0.5]]).data
    array([[ 1. , -0.5]], dtype=float32)
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.factor = self.numbers(1.0)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return x * self.factor
