"""The taps of a convolution or a pooling: where they stand, and what lies beyond the border."""

import dataclasses
import functools

import numpy as np

from bitnet.arrays import array_module
from bitnet.errors import InputError

LARGEST = 2**31 - 1  # of the numbers of a window, which may come from a file


def _is_pair(value, kind=(int, np.integer)):
    """Whether a value is two values of a kind."""
    two = isinstance(value, (tuple, list)) and len(value) == 2
    return two and all(isinstance(v, kind) and not isinstance(v, bool) for v in value)


def _is_range(value, least):
    """Whether a value is two whole numbers from `least` to `LARGEST`."""
    return _is_pair(value) and least <= min(value) <= max(value) <= LARGEST


@dataclasses.dataclass(frozen=True)
class Window:
    """The taps that one output pixel sees, for images (B, H, W, C).

    Parameters
    ----------
    size : (int, int)
        Rows and columns of taps.
    stride : (int, int), optional
        Pixels from one output to the next, down and to the right.
    padding : ((int, int), (int, int)), optional
        Pixels beyond the border: above and below, left and right.
    border : {0, 1, -1}, optional
        What those pixels count as.  0, the papers' choice, means that their taps add nothing.

    Examples
    --------
    >>> window = Window((3, 3), padding=((1, 1), (1, 1)))
    >>> window.output(32, 32)
    (32, 32)
    >>> Window((3, 3), stride=(2, 2)).output(8, 9)
    (3, 4)
    """

    size: tuple
    stride: tuple = (1, 1)
    padding: tuple = ((0, 0), (0, 0))
    border: int = 0

    def __post_init__(self):
        pads = self.padding if _is_pair(self.padding, (tuple, list)) else ((), ())
        good = [_is_range(v, 1) for v in (self.size, self.stride)]
        good += [_is_range(v, 0) for v in pads]
        if not all(good) or self.border not in (0, 1, -1):
            raise InputError(
                f"Window: size {self.size!r}, stride {self.stride!r}, padding {self.padding!r}, "
                f"border {self.border!r}; expected two numbers of 1 or more for size and stride, "
                "pads ((above, below), (left, right)) of 0 or more, all below 2**31, and a border "
                "of 0, 1 or -1"
            )
        for name in ("size", "stride"):  # a Window is a key, also where lists were given
            object.__setattr__(self, name, tuple(map(int, getattr(self, name))))
        object.__setattr__(self, "padding", tuple(tuple(map(int, pair)) for pair in pads))

    @property
    def taps(self):
        """How many taps there are."""
        return self.size[0] * self.size[1]

    def padded(self, height, width):
        """Rows and columns of images with their border."""
        (above, below), (left, right) = self.padding
        return height + above + below, width + left + right

    def output(self, height, width):
        """Rows and columns of the output for images of this size, which the window must fit."""
        output = self.output_of_padded(*self.padded(height, width))
        if min(output) < 1:
            raise InputError(
                f"a window of {self.size} does not fit into images of {height} x {width} with "
                f"padding {self.padding}"
            )
        return output

    def output_of_padded(self, height, width):
        """Rows and columns of the output for images with their border."""
        sizes = zip((height, width), self.size, self.stride, strict=True)
        return tuple((there - taps) // step + 1 for there, taps, step in sizes)

    @functools.lru_cache(maxsize=256)  # noqa: B019  (windows are few, and small)
    def classes(self, height, width):
        """Output pixels by which of their taps are inside the images; arrays to read only.

        `inside` is (classes, taps), of booleans; `of` is the class of each output pixel.
        """
        axes = []
        sizes = (height, width), self.output(height, width)
        each = zip(*sizes, self.size, self.stride, self.padding, strict=True)
        for size, n, taps, step, (before, _) in each:
            at = np.arange(n)[:, None] * step + np.arange(taps) - before
            axes.append(np.unique((at >= 0) & (at < size), axis=0, return_inverse=True))
        (rows, of_row), (columns, of_column) = axes
        inside = (rows[:, None, :, None] & columns[None, :, None, :]).reshape(-1, self.taps)
        of = of_row.reshape(-1, 1) * len(columns) + of_column.reshape(1, -1)
        inside.flags.writeable = of.flags.writeable = False
        return inside, of

    def surrounded(self, x):
        """The words of Bits (B, H, W, C) within their border; a border of 0 stands there as -1."""
        xp = array_module(x)
        words = xp.ascontiguousarray(x.words)
        if not any(map(any, self.padding)):
            return words
        n_images, height, width, n_words = words.shape
        outside = xp.zeros(n_words, np.uint64)
        if self.border == 1:
            outside[:] = 2**64 - 1
            outside[-1] >>= np.uint64(-x.shape[-1] % 64)  # padding bits are 0
        (above, _), (left, _) = self.padding
        padded = xp.empty((n_images, *self.padded(height, width), n_words), np.uint64)
        padded[...] = outside
        padded[:, above : above + height, left : left + width] = words
        return padded

    def views(self, x, fill=0):
        """What each output pixel sees: a view (B, H', W', rows, columns, C); `fill` beyond x."""
        xp = array_module(x)
        x = xp.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=fill)
        views = xp.lib.stride_tricks.sliding_window_view(x, self.size, axis=(1, 2))
        views = views[:, :: self.stride[0], :: self.stride[1]]  # (B, H', W', C, rows, columns)
        return xp.moveaxis(views, 3, -1)

    def views_of_pixels(self, pixels):
        """`views` of uint8 images, with black pixels beyond them, or white ones for +1."""
        return self.views(pixels, 255 if self.border == 1 else 0)

    def seen(self, x):
        """The pixels (B, H', W', ...) that each tap sees of images with their border: views."""
        height, width = self.output_of_padded(*x.shape[1:3])
        down, right = self.stride
        for i, j in np.ndindex(self.size):
            yield x[:, i : i + down * height : down, j : j + right * width : right]
