"""The taps of a convolution or pooling: their positions, and the values outside the images."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np

from bitnet.arrays import Array, array_module
from bitnet.errors import InputError
from bitnet.kernels.bits import Bits

LARGEST = 2**31 - 1  # the largest number in a window, which may come from a file


def _is_pair(value, kind=(int, np.integer)):
    """Return whether a value is a pair of values of a type."""
    two = isinstance(value, (tuple, list)) and len(value) == 2
    return two and all(isinstance(v, kind) and not isinstance(v, bool) for v in value)


def _is_range(value, least):
    """Return whether a value is a pair of integers from `least` to `LARGEST`."""
    return _is_pair(value) and least <= min(value) <= max(value) <= LARGEST


@dataclasses.dataclass(frozen=True)
class Window:
    """The taps of one output pixel: size, stride and padding, for images (B, H, W, C).

    Parameters
    ----------
    size : (int, int)
        The numbers of rows and columns of taps.
    stride : (int, int), optional
        The distance between output pixels, down and to the right; default: 1.
    padding : ((int, int), (int, int)), optional
        The numbers of padding pixels: above and below, left and right; default: 0.
    border : {0, 1, -1}, optional
        The value of padding pixels; default: 0, as in the papers: their taps add nothing.
    dilation : (int, int), optional
        The distance between taps, down and to the right; default: 1.

    Examples
    --------
    >>> window = Window((3, 3), padding=((1, 1), (1, 1)))
    >>> window.output(32, 32)
    (32, 32)
    >>> Window((3, 3), stride=(2, 2)).output(8, 9)
    (3, 4)
    """

    size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    border: int = 0
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        pads = self.padding if _is_pair(self.padding, (tuple, list)) else ((), ())
        good = [_is_range(v, 1) for v in (self.size, self.stride, self.dilation)]
        good += [_is_range(v, 0) for v in pads]
        if not all(good) or self.border not in (0, 1, -1):
            raise InputError(
                f"Window: size is {self.size!r:.60}, stride {self.stride!r:.60}, padding "
                f"{self.padding!r:.60}, border {self.border!r:.60} and dilation "
                f"{self.dilation!r:.60}; expected two integers of 1 or more for size, stride and "
                "dilation, padding ((above, below), (left, right)) of 0 or "
                "more, all below 2**31, and a border of 0, 1 or -1"
            )
        for name in ("size", "stride", "dilation"):  # tuples, as a Window has a hash
            object.__setattr__(self, name, tuple(map(int, getattr(self, name))))
        object.__setattr__(self, "padding", tuple(tuple(map(int, pair)) for pair in pads))
        pairs = zip(self.dilation, self.size, strict=True)
        object.__setattr__(self, "dilation", tuple(d if n > 1 else 1 for d, n in pairs))
        if self.is_dilated and not self.sees_pixels:
            raise InputError(
                f"Window: padding is {self.padding} for taps over {self.extent} pixels; expected a "
                "padding that is smaller on each axis"
            )

    @property
    def taps(self) -> int:
        """The number of taps."""
        return self.size[0] * self.size[1]

    @property
    def is_dilated(self) -> bool:
        """Whether there are pixels between the taps."""
        return self.dilation != (1, 1)

    @property
    def extent(self) -> tuple[int, int]:
        """The numbers of rows and columns from the first to the last tap."""
        (rows, columns), (down, right) = self.size, self.dilation
        return (rows - 1) * down + 1, (columns - 1) * right + 1

    @property
    def sees_pixels(self) -> bool:
        """Whether each window sees a pixel: the padding is smaller than it, on both axes."""
        return all(max(pads) < n for pads, n in zip(self.padding, self.extent, strict=True))

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Return the numbers of rows and columns of padded images."""
        (above, below), (left, right) = self.padding
        return height + above + below, width + left + right

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Return the numbers of rows and columns of the output for images of this size."""
        output = self.output_of_padded(*self.padded(height, width))
        if min(output) < 1:
            raise InputError(
                f"a window of {self.extent} does not fit into images of {height} x {width} with "
                f"padding {self.padding}; expected at most {self.padded(height, width)}"
            )
        if height < self.dilation[0] or width < self.dilation[1]:
            raise InputError(
                f"a dilation of {self.dilation} for images of {height} x {width}; expected at most "
                "their rows and columns"
            )
        return output

    def output_of_padded(self, height: int, width: int) -> tuple[int, int]:
        """Return the numbers of rows and columns of the output for padded images."""
        (rows, columns), (down, right) = self.extent, self.stride
        return (height - rows) // down + 1, (width - columns) // right + 1

    @functools.lru_cache(maxsize=256)  # noqa: B019  (there are few windows, and they are small)
    def classes(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Group the output pixels by the taps that are inside the images, as read-only arrays.

        `inside` (classes, taps) has booleans; `of` (H', W') has the class of each output pixel.
        """
        axes = []
        sizes = (height, width), self.output(height, width)
        each = zip(*sizes, self.size, self.stride, self.padding, self.dilation, strict=True)
        for size, n, taps, step, (before, _), apart in each:
            at = np.arange(n)[:, None] * step + np.arange(taps) * apart - before
            axes.append(np.unique((at >= 0) & (at < size), axis=0, return_inverse=True))
        (rows, of_row), (columns, of_column) = axes
        inside = (rows[:, None, :, None] & columns[None, :, None, :]).reshape(-1, self.taps)
        of = of_row.reshape(-1, 1) * len(columns) + of_column.reshape(1, -1)
        inside.flags.writeable = of.flags.writeable = False
        return inside, of

    def surrounded(self, x: Bits) -> Array:
        """Return the words of padded Bits (B, H, W, C); a border of 0 is stored as -1."""
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

    def views(self, x: Array, fill: float = 0) -> Array:
        """Return a view (B, H', W', rows, columns, C) of all patches, with `fill` outside x."""
        xp = array_module(x)
        x = xp.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=fill)
        views = xp.lib.stride_tricks.sliding_window_view(x, self.extent, axis=(1, 2))
        views = views[:, :: self.stride[0], :: self.stride[1]]  # (B, H', W', C, rows, columns)
        views = views[..., :: self.dilation[0], :: self.dilation[1]]
        return xp.moveaxis(views, 3, -1)

    def views_of_pixels(self, pixels: Array) -> Array:
        """Return `views` of uint8 images, padded with black pixels, or white ones for +1."""
        return self.views(pixels, 255 if self.border == 1 else 0)

    def seen(self, x: Array) -> Iterator[Array]:
        """Yield, for each tap, a view (B, H', W', ...) of the pixels of padded images it sees."""
        height, width = self.output_of_padded(*x.shape[1:3])
        down, right = self.stride
        for tap in np.ndindex(self.size):
            i, j = (own * apart for own, apart in zip(tap, self.dilation, strict=True))
            yield x[:, i : i + down * height : down, j : j + right * width : right]

    def phases(
        self, height: int, width: int
    ) -> "Iterator[tuple[tuple[slice, slice], tuple[slice, slice], Window]]":
        """Yield windows without dilation that together compute this one, for images of this size.

        Each comes with the slices of rows and columns of the images that it takes, and with those
        of the output pixels that it computes.
        """
        sizes = (height, width), self.output(height, width)
        each = zip(*sizes, self.size, self.stride, self.padding, self.dilation, strict=True)
        for parts in itertools.product(*(_phases(*own) for own in each)):
            pixels, outputs, strides, pads = zip(*parts, strict=True)
            yield pixels, outputs, Window(self.size, strides, pads, self.border)


def _phases(size, n, taps, step, pads, apart):
    """Yield for one axis (pixels, outputs, stride, padding) of each window without dilation.

    Taps of output o are the pixels at o * step - before, and from there on every `apart`-th one.
    So every `period`-th output takes pixels of the same remainder.
    """
    period, stride = apart // math.gcd(step, apart), step // math.gcd(step, apart)
    for output in range(min(period, n)):
        at = output * step - pads[0]
        first, start = at % apart, at // apart  # in the pixels first, first + apart, ...
        length = (size - 1 - first) // apart + 1
        stop = start + (len(range(output, n, period)) - 1) * stride + taps
        inside = slice(first + apart * max(start, 0), first + apart * min(stop, length), apart)
        yield inside, slice(output, n, period), stride, (max(-start, 0), max(stop - length, 0))
