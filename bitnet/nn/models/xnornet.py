"""XNOR-Net (Rastegari et al., arXiv 1603.05279): a scale for each binary filter."""

import itertools
from typing import Any

import numpy as np

from bitnet.nn.activations import ReLU, Sign
from bitnet.nn.channel_scale import ChannelScale
from bitnet.nn.containers import Sequential
from bitnet.nn.conv import BinaryConv2d, MaxPool2d
from bitnet.nn.models.stages import float_head, float_stem, taking
from bitnet.nn.norm import BatchNorm


def xnornet(
    image: tuple[int, int, int],
    n_classes: int,
    *,
    rng: np.random.Generator,
    width: int = 32,
    stages: int = 3,
    **backward: Any,
) -> Sequential:
    """Return an XNOR-Net for small images.

    Blocks in the paper's order: batch norm, sign, a 3x3 binary convolution with the scale alpha of
    each filter, and max-pooling (section 3.2, figure 3).  The first and the last layer are in
    float.  The scales K of the inputs are left out; in the paper they gain less than alpha.

    Parameters
    ----------
    image, n_classes, rng : optional
        As for `bireal`; all are required.
    width : int, optional
        The channels of the first convolution, which double from block to block.
    stages : int, optional
        The number of blocks, each of which halves the images.
    **backward : optional
        As for `bireal`.

    Returns
    -------
    Sequential
        Takes uint8 pixels of shape (B, *image).

    Examples
    --------
    >>> net = xnornet((32, 32, 3), 10, rng=np.random.default_rng(0), width=8, stages=1)
    >>> [type(layer).__name__ for layer in net.layers[4:8]]
    ['BatchNorm', 'Sign', 'ChannelScale', 'MaxPool2d']
    """

    def block(inputs, outputs):
        conv = BinaryConv2d(inputs, outputs, 3, padding="same", rng=rng, **backward)
        return BatchNorm(inputs), Sign(), ChannelScale(conv), MaxPool2d(2)

    widths = [width << stage for stage in range(stages + 1)]
    layers = [*float_stem(image, width, rng), ReLU()]
    for pair in itertools.pairwise(widths):
        layers += block(*pair)
    last = BatchNorm(widths[-1]), ReLU(), *float_head(widths[-1], n_classes, rng)
    return taking(Sequential(*layers, *last), "uint8", image)
