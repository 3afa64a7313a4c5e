"""Layers that change the size of images: means over all pixels, and larger images."""

from bitnet.autograd import Tensor
from bitnet.errors import check_count
from bitnet.nn import functional
from bitnet.nn.module import Module


class GlobalAvgPool(Module):
    """The mean of each channel over all pixels or steps; see `functional.global_avg_pool`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAvgPool()(np.ones((2, 7, 7, 4), np.float32)).shape
    (2, 4)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Average images (B, H, W, C) or sequences (B, L, C) to rows (B, C)."""
        return functional.global_avg_pool(x)


class Upsample(Module):
    """Repeat each pixel, down and to the right: nearest-neighbour upsampling.

    Packed images stay packed.  Decoders, as of autoencoders, alternate it with convolutions.

    Parameters
    ----------
    factor : int or (int, int), optional
        How often rows and columns are repeated.

    Examples
    --------
    >>> import numpy as np
    >>> Upsample(2)(np.ones((1, 4, 4, 3), np.float32)).shape
    (1, 8, 8, 3)
    """

    shown: tuple[str, ...] = ("factors",)

    def __init__(self, factor: int | tuple[int, int] = 2) -> None:
        down, right = factor if isinstance(factor, (tuple, list)) else (factor, factor)
        check_count("Upsample", down=down, right=right)
        self.factors = int(down), int(right)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge images (B, H, W, C) to (B, H * down, W * right, C)."""
        return functional.upsample(x, self.factors)
