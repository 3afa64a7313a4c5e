"""Shortcuts around binary layers, which keep real numbers (Bi-Real Net, arXiv 1808.00278)."""

import numpy as np

from bitnet.autograd import Tensor
from bitnet.errors import InputError, check_count
from bitnet.kernels import BitPlanes, Bits, Window
from bitnet.nn import functional
from bitnet.nn.containers import Sequential
from bitnet.nn.module import Module


class Shortcut(Module):
    """The sum of some layers and of a path around them: `layers(x) + path(x)`.

    The path is the identity, or x with its pixels averaged (`pool`), its channels repeated
    (`copies`), and then layers of its own (`path`), in this order.  Bi-Real Net halves images with
    `pool=2` and a 1x1 float convolution as `path`; ReActNet doubles channels with `copies=2`.

    Parameters
    ----------
    *layers : Module
        The layers, in order; their result has the shape of that of the path.
    pool : int, optional
        The size and stride of an average pooling of images (B, H, W, C) or sequences (B, L, C),
        which are padded with 0 at the end if it does not divide their sizes.
    copies : int, optional
        How often the channels are put side by side.
    path : Module, optional
        What is applied last.

    Examples
    --------
    >>> from bitnet.nn import BatchNorm, BinaryConv2d, Sign
    >>> rng = np.random.default_rng(0)
    >>> conv = BinaryConv2d(4, 8, 3, stride=2, padding="same", rng=rng)
    >>> block = Shortcut(Sign(), conv, BatchNorm(8), pool=2, copies=2)
    >>> block(np.ones((1, 6, 6, 4), np.float32)).shape
    (1, 3, 3, 8)
    """

    def __init__(
        self, *layers: Module, pool: int = 1, copies: int = 1, path: Module | None = None
    ) -> None:
        check_count("Shortcut", pool=pool, copies=copies)
        if not layers or not (path is None or isinstance(path, Module)):
            came = f"{len(layers)} layers and the path {path!r:.40}"
            raise InputError(f"Shortcut: got {came}; expected Modules")
        self.body, self.pool, self.copies = Sequential(*layers), int(pool), int(copies)
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        y, around = self.body(x), self.around(x)
        if y.shape != around.shape:
            raise InputError(
                f"Shortcut: its layers return the shape {y.shape}, and the path around them "
                f"{around.shape}; expected the same (set pool, copies or path)"
            )
        return y + around

    def around(self, x: Tensor) -> Tensor:
        """Return the result of the path around the layers, floats."""
        if isinstance(x.data, (Bits, BitPlanes)):
            x = functional.unpack(x)
        elif not x.is_float:
            x = x * np.float32(1)
        if self.pool > 1:
            x = self.pooled(x)
        if self.copies > 1:
            x = functional.concatenate(*[x] * self.copies)
        return x if self.path is None else self.path(x)

    def pooled(self, x):
        """Return images or sequences after an average pooling that pads at the end."""
        images = x if x.ndim == 4 else functional.reshape(x, len(x), 1, *x.shape[1:])
        sizes = tuple(self.pool if x.ndim == 4 or axis else 1 for axis in range(2))
        pairs = zip(images.shape[1:3], sizes, strict=True)
        pads = tuple((0, -length % size) for length, size in pairs)
        y = functional.avg_pool2d(images, Window(sizes, sizes, pads))
        return y if x.ndim == 4 else functional.reshape(y, len(x), *y.shape[2:])

    def __repr__(self):
        own = {"pool": self.pool, "copies": self.copies}
        more = [f"{name}={n}" for name, n in own.items() if n > 1]
        more += [f"path={self.path!r}"] * (self.path is not None)
        return f"Shortcut({', '.join([*map(repr, self.body.layers), *more])})"
