"""BinaryDenseNet (Bethge et al., arXiv 1906.08637): each layer adds channels, and none are lost."""

from typing import Any

import numpy as np

from bitnet.autograd import Tensor
from bitnet.nn import functional
from bitnet.nn.activations import ReLU, Sign
from bitnet.nn.containers import Sequential
from bitnet.nn.conv import BinaryConv2d, Conv2d, MaxPool2d
from bitnet.nn.models.stages import float_head, float_stem, taking
from bitnet.nn.module import Module
from bitnet.nn.norm import BatchNorm


class Growth(Module):
    """New channels beside those of the input: batch norm, sign and a 3x3 binary convolution.

    Parameters
    ----------
    in_channels, growth : int
        Numbers of channels of the input, and of those that are added.
    rng, **backward : optional
        As for `BinaryConv2d`; `rng` is required.

    Examples
    --------
    >>> layer = Growth(8, 4, rng=np.random.default_rng(0))
    >>> layer(np.ones((2, 5, 5, 8), np.float32)).shape
    (2, 5, 5, 12)
    """

    def __init__(
        self, in_channels: int, growth: int, *, rng: np.random.Generator, **backward: Any
    ) -> None:
        conv = BinaryConv2d(in_channels, growth, 3, padding="same", rng=rng, **backward)
        self.body = Sequential(BatchNorm(in_channels), Sign(), conv)
        self.unit = np.float32(2.0 ** -round(np.log2(9 * in_channels) / 2))

    def forward(self, x: Tensor) -> Tensor:
        return functional.concatenate(x, self.body(x) * self.unit)


def binarydense(
    image: tuple[int, int, int],
    n_classes: int,
    *,
    rng: np.random.Generator,
    width: int = 32,
    convs: tuple[int, ...] = (3, 3, 3),
    **backward: Any,
) -> Sequential:
    """Return a small BinaryDenseNet.

    Dense blocks of `Growth` layers; between them batch norm, pooling, ReLU and a 1x1 float
    convolution that halves the channels (section 4.2).  The paper's nets of 28 and 37 layers have
    a growth of 64.

    Parameters
    ----------
    image, n_classes, rng : optional
        As for `bireal`; all are required.
    width : int, optional
        The channels of the first convolution, and the growth of each layer.
    convs : tuple of int, optional
        The number of binary convolutions of each block.
    **backward : optional
        As for `bireal`.

    Returns
    -------
    Sequential
        Takes uint8 pixels of shape (B, *image).

    Examples
    --------
    >>> net = binarydense((32, 32, 3), 10, rng=np.random.default_rng(0), width=8, convs=(1, 1))
    >>> [type(layer).__name__ for layer in net.layers[3:8]]
    ['Growth', 'BatchNorm', 'MaxPool2d', 'ReLU', 'Conv2d']
    """
    layers, channels = float_stem(image, width, rng), width
    for stage, n in enumerate(convs):
        if stage:
            half = channels // 2
            layers += BatchNorm(channels), MaxPool2d(2), ReLU(), Conv2d(channels, half, 1, rng=rng)
            channels = half
        layers += [Growth(channels + i * width, width, rng=rng, **backward) for i in range(n)]
        channels += n * width
    last = BatchNorm(channels), ReLU(), *float_head(channels, n_classes, rng)
    return taking(Sequential(*layers, *last), "uint8", image)
