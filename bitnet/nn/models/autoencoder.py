"""An autoencoder whose code is bits, as in semantic hashing (Salakhutdinov and Hinton, 2009)."""

from typing import Any

import numpy as np

from bitnet.autograd import Tensor
from bitnet.nn.activations import Sign
from bitnet.nn.containers import Sequential
from bitnet.nn.conv import BinaryConv2d, Conv2d
from bitnet.nn.elementwise import HardTanh
from bitnet.nn.models.stages import taking
from bitnet.nn.module import Module
from bitnet.nn.norm import BatchNorm
from bitnet.nn.resizing import Upsample


class Autoencoder(Module):
    """An encoder of images to bits, and a decoder of bits to images.

    Attributes
    ----------
    encoder, decoder : Sequential
        The layers from uint8 pixels to signs, and from signs to pixels scaled to [-1, 1].

    Examples
    --------
    >>> net = autoencoder((28, 28, 1), rng=np.random.default_rng(0), width=8, code=4)
    >>> x = np.zeros((2, 28, 28, 1), np.uint8)
    >>> net.encoder(x).data.shape, net(x).shape
    ((2, 7, 7, 4), (2, 28, 28, 1))
    """

    def __init__(self, encoder: Sequential, decoder: Sequential) -> None:
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    def loss(self, x: Any) -> Tensor:
        """Return the mean squared error of the pixels scaled to [-1, 1]."""
        pixels = np.asarray(x, np.float32) * np.float32(2 / 255) - np.float32(1)
        return ((self(x) - pixels) ** 2).mean()


def autoencoder(
    image: tuple[int, int, int],
    *,
    rng: np.random.Generator,
    width: int = 32,
    code: int = 8,
    **backward: Any,
) -> Autoencoder:
    """Return an autoencoder with binary convolutions and a binary code.

    Two convolutions with stride 2 encode the image; two nearest-neighbour upsamplings, each with a
    binary convolution, and a float convolution decode it.

    Parameters
    ----------
    image : (int, int, int)
        Rows, columns and channels; rows and columns are multiples of 4.
    rng : numpy.random.Generator
        The generator of the initial weights.
    width : int, optional
        The channels of the hidden layers.
    code : int, optional
        The bits of the code for each pixel of a quarter of the rows and columns.
    **backward : optional
        As for `bireal`.

    Returns
    -------
    Autoencoder
        Takes uint8 pixels of shape (B, *image), and returns floats of that shape.

    Examples
    --------
    >>> net = autoencoder((8, 8, 1), rng=np.random.default_rng(0), width=8, code=2)
    >>> net(np.zeros((3, 8, 8, 1), np.uint8)).shape
    (3, 8, 8, 1)
    """

    def stage(inputs, outputs, stride=1):
        conv = BinaryConv2d(inputs, outputs, 3, stride, "same", rng=rng, **backward)
        return conv, BatchNorm(outputs), Sign()

    encoder = Sequential(*stage(image[2], width, 2), *stage(width, code, 2))
    hidden = Upsample(2), *stage(code, width), Upsample(2), *stage(width, width)[:2], HardTanh()
    decoder = Sequential(*hidden, Conv2d(width, image[2], 3, padding="same", rng=rng), HardTanh())
    return taking(Autoencoder(encoder, decoder), "uint8", image)
