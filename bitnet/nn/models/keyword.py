"""Keyword spotting by convolutions over time, as in TC-ResNet (Choi et al., arXiv 1904.03814)."""

import itertools
from typing import Any

import numpy as np

from bitnet.autograd import Tensor
from bitnet.nn import functional
from bitnet.nn.activations import Sign
from bitnet.nn.containers import Sequential
from bitnet.nn.conv1d import BinaryConv1d, Conv1d
from bitnet.nn.models.stages import float_head, taking
from bitnet.nn.module import Module
from bitnet.nn.norm import BatchNorm
from bitnet.nn.pixels import ScalePixels
from bitnet.nn.shortcut import Shortcut


class Steps(Module):
    """The rows of images as the steps of a sequence: (B, H, W, C) to (B, H, W C).

    Examples
    --------
    >>> Steps()(np.zeros((2, 20, 8, 1), np.uint8)).shape
    (2, 20, 8)
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.reshape(x, *x.shape[:2], x.shape[2] * x.shape[3])


def keyword(
    image: tuple[int, int, int],
    n_classes: int,
    *,
    rng: np.random.Generator,
    width: int = 32,
    blocks: int = 3,
    **backward: Any,
) -> Sequential:
    """Return a net that classifies short sequences, such as spoken words, with binary filters.

    As in TC-ResNet, the frequencies of a spectrogram are channels, and convolutions run over time
    alone.  Here each of its blocks is two binary convolutions of 9 taps, each with the shortcut of
    Bi-Real Net around sign, convolution and batch norm.

    Parameters
    ----------
    image : (int, int, int)
        Time steps, frequencies and channels, such as (49, 40, 1).
    n_classes, rng : optional
        As for `bireal`; both are required.
    width : int, optional
        The channels of the first convolution, which double with every second block.
    blocks : int, optional
        The number of blocks, each of which halves the time steps.
    **backward : optional
        As for `bireal`.

    Returns
    -------
    Sequential
        Takes uint8 of shape (B, *image).

    Examples
    --------
    >>> net = keyword((49, 40, 1), 12, rng=np.random.default_rng(0), width=8)
    >>> net(np.zeros((2, 49, 40, 1), np.uint8)).shape
    (2, 12)
    """

    def part(inputs, outputs, stride):
        conv = BinaryConv1d(inputs, outputs, 9, stride, "same", rng=rng, **backward)
        layers = Sign(), conv, BatchNorm(outputs)
        return Shortcut(*layers, pool=stride, copies=outputs // inputs)

    widths = [width << (block + 1) // 2 for block in range(blocks + 1)]
    first = Conv1d(image[1] * image[2], width, 3, padding="same", rng=rng)
    layers = [Steps(), ScalePixels(), first, BatchNorm(width)]
    for inputs, outputs in itertools.pairwise(widths):
        layers += part(inputs, outputs, 2), part(outputs, outputs, 1)
    net = Sequential(*layers, *float_head(widths[-1], n_classes, rng))
    return taking(net, "uint8", image)
