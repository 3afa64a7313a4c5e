"""ReActNet (Liu et al., arXiv 2003.03488): learned thresholds and activations."""

from typing import Any

import numpy as np

from bitnet.nn.containers import Sequential
from bitnet.nn.conv import BinaryConv2d
from bitnet.nn.models.stages import float_head, float_stem, taking
from bitnet.nn.norm import BatchNorm
from bitnet.nn.reactnet import RPReLU, RSign
from bitnet.nn.shortcut import Shortcut


def reactnet(
    image: tuple[int, int, int],
    n_classes: int,
    *,
    rng: np.random.Generator,
    width: int = 32,
    strides: tuple[int, ...] = (1, 2, 1, 2),
    **backward: Any,
) -> Sequential:
    """Return a small ReActNet.

    A block is a 3x3 and a 1x1 binary convolution, each with RSign before it, batch norm after it
    and a shortcut around these, and then RPReLU.  With stride 2 the first one halves the images,
    whose shortcut averages them, and the second one doubles the channels, whose shortcut repeats
    them (figure 5 of the paper, whose 13 blocks are strides 1 2 1 2 1 2 1 1 1 1 1 2 1).

    Parameters
    ----------
    image, n_classes, rng : optional
        As for `bireal`; all are required.
    width : int, optional
        The channels of the first convolution.
    strides : tuple of int, optional
        The stride of each block, 1 or 2.
    **backward : optional
        As for `bireal`.

    Returns
    -------
    Sequential
        Takes uint8 pixels of shape (B, *image).

    Examples
    --------
    >>> net = reactnet((32, 32, 3), 10, rng=np.random.default_rng(0), width=8, strides=(2,))
    >>> [type(layer).__name__ for layer in net.layers[3:7]]
    ['Shortcut', 'RPReLU', 'Shortcut', 'RPReLU']
    """

    def part(inputs, outputs, size, stride):
        conv = BinaryConv2d(inputs, outputs, size, stride, "same", rng=rng, **backward)
        layers = RSign(inputs, "approx-sign"), conv, BatchNorm(outputs)
        return Shortcut(*layers, pool=stride, copies=outputs // inputs), RPReLU(outputs)

    layers = float_stem(image, width, rng)
    for stride in strides:
        layers += [*part(width, width, 3, stride), *part(width, width * stride, 1, 1)]
        width *= stride
    net = Sequential(*layers, *float_head(width, n_classes, rng))
    return taking(net, "uint8", image)
