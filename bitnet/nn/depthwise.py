"""Depthwise convolutions: those with one group of filters per input channel."""

from typing import Any

import numpy as np

from bitnet.errors import check_count
from bitnet.nn.conv import Padding, QuantConv2d, Size
from bitnet.quantizers import Quantizer


class DepthwiseConv2d(QuantConv2d):
    """A convolution in which each channel has its own filters: `QuantConv2d` with C groups.

    Parameters
    ----------
    in_channels : int
        The number of channels C.
    kernel_size, stride, padding, dilation : optional
        As for `QuantConv2d`; `kernel_size` is required.
    multiplier : int, optional
        The number of filters of each channel; the output has C * multiplier channels.
    rng, border, weight_quantizer, **backward : optional
        As for `QuantConv2d`; `rng` is required.

    Attributes
    ----------
    weight : LatentWeight
        float32 of shape (C * multiplier, rows, columns, 1).

    Examples
    --------
    >>> layer = DepthwiseConv2d(8, 3, padding="same", rng=np.random.default_rng(0))
    >>> layer(np.zeros((2, 6, 5, 8), np.uint8)).shape
    (2, 6, 5, 8)
    """

    def __init__(
        self,
        in_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        multiplier: int = 1,
        *,
        rng: np.random.Generator,
        border: int = 0,
        weight_quantizer: int | str | Quantizer = 1,
        **backward: Any,
    ) -> None:
        check_count("DepthwiseConv2d", in_channels=in_channels, multiplier=multiplier)
        backward |= {"border": border, "weight_quantizer": weight_quantizer, "rng": rng}
        sizes: Any = kernel_size, stride, padding, dilation, in_channels
        super().__init__(in_channels, in_channels * multiplier, *sizes, **backward)
