"""Layers at the start of a net that takes 8-bit pixels: their highest bits, or floats."""

import numpy as np

from bitnet.autograd import Tensor
from bitnet.errors import check_count
from bitnet.nn import functional
from bitnet.nn.module import Module


class PixelPlanes(Module):
    """The highest bits of 8-bit pixels as packed planes, at the start of a net.

    The first product of a net takes pixels as 8 planes; with fewer it is faster.  See
    `functional.pixel_planes`.

    Parameters
    ----------
    planes : int
        The number of bits, from 1 to 8.

    Examples
    --------
    >>> import numpy as np
    >>> layer = PixelPlanes(4)
    >>> layer(np.array([[0, 15, 16, 255]], np.uint8)).data.values()
    array([[-15., -15., -13.,  15.]], dtype=float32)
    >>> layer
    PixelPlanes(4)
    """

    shown: tuple[str, ...] = ("planes",)

    def __init__(self, planes: int) -> None:
        check_count("PixelPlanes", planes=planes, most=8)
        self.planes = int(planes)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_planes(x, self.planes)


class ScalePixels(Module):
    """8-bit pixels as float32 from -1 to 1, at the start of a float net: `2 p / 255 - 1`.

    The numbers are those of `data.scale_pixels`.

    Examples
    --------
    >>> ScalePixels()(np.array([[0, 255]], np.uint8)).data
    array([[-1.,  1.]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        return x * np.float32(2 / 255) - np.float32(1)
