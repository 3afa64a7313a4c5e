"""Bi-Real Net (Liu et al., arXiv 1808.00278): shortcuts of real numbers around convolutions."""

import itertools
from typing import Any

import numpy as np

from bitnet.nn.activations import Quantize
from bitnet.nn.containers import Sequential
from bitnet.nn.conv import BinaryConv2d, Conv2d
from bitnet.nn.models.stages import float_head, float_stem, taking
from bitnet.nn.norm import BatchNorm
from bitnet.nn.shortcut import Shortcut


def bireal(
    image: tuple[int, int, int],
    n_classes: int,
    *,
    rng: np.random.Generator,
    width: int = 64,
    convs: tuple[int, ...] = (4, 4, 4, 4),
    **backward: Any,
) -> Sequential:
    """Return a Bi-Real Net, by default the one of 18 layers.

    Sign - 3x3 binary convolution - batch norm, with a shortcut around these three.  Each stage
    after the first halves the images and doubles the channels: there the path of the shortcut is
    an average pooling, a 1x1 float convolution and batch norm.  The first convolution and the last
    layer are in float, and the sign has the quadratic surrogate of the paper's section 3.3.

    Parameters
    ----------
    image : (int, int, int)
        Rows, columns and channels; from 64 pixels on, the first layers quarter them.
    n_classes : int
        The number of classes.
    rng : numpy.random.Generator
        The generator of the initial weights.
    width : int, optional
        The channels of the first stage.
    convs : tuple of int, optional
        The number of binary convolutions of each stage.
    **backward : optional
        `grad_format`, `rounding` and `balance`, as for `QuantConv2d`.

    Returns
    -------
    Sequential
        Takes uint8 pixels of shape (B, *image).

    Examples
    --------
    >>> net = bireal((32, 32, 3), 10, rng=np.random.default_rng(0), width=16, convs=(2, 2, 2))
    >>> sum(layer.bits.shape[0] for layer in net.modules() if isinstance(layer, BinaryConv2d))
    224
    """

    def block(inputs, outputs):
        stride, path = (1, None) if inputs == outputs else (2, projection(inputs, outputs))
        conv = BinaryConv2d(inputs, outputs, 3, stride, "same", rng=rng, **backward)
        layers = Quantize("approx-sign"), conv, BatchNorm(outputs)
        return Shortcut(*layers, pool=stride, path=path)

    def projection(inputs, outputs):
        return Sequential(Conv2d(inputs, outputs, 1, rng=rng), BatchNorm(outputs))

    widths = [width << stage for stage, n in enumerate(convs) for _ in range(n)]
    blocks = [block(*pair) for pair in itertools.pairwise([width, *widths])]
    net = Sequential(
        *float_stem(image, width, rng), *blocks, *float_head(widths[-1], n_classes, rng)
    )
    return taking(net, "uint8", image)
