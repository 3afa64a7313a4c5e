"""QuickNet (Bannink et al., arXiv 2011.09398): few operations in float between binary layers."""

from typing import Any

import numpy as np

from bitnet.nn.activations import ReLU, Sign
from bitnet.nn.containers import Sequential
from bitnet.nn.conv import BinaryConv2d, Conv2d, MaxPool2d
from bitnet.nn.models.stages import float_head, float_stem, taking
from bitnet.nn.norm import BatchNorm
from bitnet.nn.shortcut import Shortcut


def quicknet(
    image: tuple[int, int, int],
    n_classes: int,
    *,
    rng: np.random.Generator,
    width: int = 32,
    convs: tuple[int, ...] = (2, 2, 2),
    **backward: Any,
) -> Sequential:
    """Return a small QuickNet.

    Sign - 3x3 binary convolution - ReLU - batch norm with an identity shortcut around them; between
    stages ReLU, pooling, a 1x1 float convolution and batch norm.  The paper's nets have 4 stages of
    4 to 8 convolutions, a stem with a depthwise convolution, and blur before each pooling.

    Parameters
    ----------
    image, n_classes, rng : optional
        As for `bireal`; all are required.
    width : int, optional
        The channels of the first stage, which double from stage to stage.
    convs : tuple of int, optional
        The number of binary convolutions of each stage.
    **backward : optional
        As for `bireal`.

    Returns
    -------
    Sequential
        Takes uint8 pixels of shape (B, *image).

    Examples
    --------
    >>> net = quicknet((32, 32, 3), 10, rng=np.random.default_rng(0), width=8, convs=(1, 1))
    >>> [type(layer).__name__ for layer in net.layers[3:8]]
    ['Shortcut', 'ReLU', 'MaxPool2d', 'Conv2d', 'BatchNorm']
    """

    def block(c):
        conv = BinaryConv2d(c, c, 3, padding="same", rng=rng, **backward)
        return Shortcut(Sign(), conv, ReLU(), BatchNorm(c))

    def transition(c):
        pool = MaxPool2d(3, stride=2, padding=1)
        return ReLU(), pool, Conv2d(c, 2 * c, 1, rng=rng), BatchNorm(2 * c)

    layers = float_stem(image, width, rng)
    for stage, n in enumerate(convs):
        layers += transition(width << stage - 1) if stage else ()
        layers += [block(width << stage) for _ in range(n)]
    last = width << len(convs) - 1
    net = Sequential(*layers, ReLU(), *float_head(last, n_classes, rng))
    return taking(net, "uint8", image)
