"""Layers on images (B, H, W, C): convolutions with bits or floats, pooling, flattening.

A binarized ConvNet of the papers is a sequence of

    BinaryConv2d -> [MaxPool2d ->] BatchNorm -> Sign

and, after the last of them, Flatten and the layers of a binarized MLP.
"""

import math
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.autograd import Parameter, Tensor, as_tensor
from bitnet.devices import check_generator
from bitnet.errors import InputError, check_count, unfit
from bitnet.kernels import Window
from bitnet.nn import functional
from bitnet.nn.module import Module
from bitnet.nn.quantized import IntegerLayer
from bitnet.quantizers import Quantizer

Size = int | tuple[int, int]
Padding = int | str | tuple[Size, Size]


def window_of(size, stride=1, padding=0, border=0, dilation=1):
    """Return a Window from the sizes that layers take.

    Padding is "same", "valid", one or two numbers, or two pairs, (above, below) and (left, right).
    With "same" the output has ceil(size / stride) pixels; an odd pixel of padding goes below and to
    the right.
    """
    size, stride = _pair("kernel_size", size), _pair("stride", stride)
    dilation = _pair("dilation", dilation)
    if padding == "same":
        beyond = [(n - 1) * apart for n, apart in zip(size, dilation, strict=True)]
        pads = tuple((n // 2, n - n // 2) for n in beyond)
    elif isinstance(padding, (tuple, list)) and any(isinstance(n, (tuple, list)) for n in padding):
        if len(padding) != 2:
            raise InputError(f"padding is {padding!r:.60}; expected two pairs, of rows and columns")
        pads = tuple(_pair("padding", own) for own in padding)
    else:
        pads = tuple((n, n) for n in _pair("padding", 0 if padding == "valid" else padding))
    return Window(size, stride, pads, border, dilation)


def _pair(name, value):
    """Return two whole numbers from one or two."""
    values = (value, value) if isinstance(value, (int, np.integer)) else value
    whole = isinstance(values, (tuple, list)) and len(values) == 2
    if not whole or not all(isinstance(v, (int, np.integer)) for v in values):
        raise InputError(
            f"{name} is {value!r}; expected a whole number or two"
            + (', "same" or "valid"' if name == "padding" else "")
        )
    return tuple(map(int, values))


class _Convolution(Module):
    """The base of convolutions: channels, groups and the window of taps."""

    def __init__(self, channels, window, groups, rng):
        name = type(self).__name__
        check_generator(name, rng)
        check_count(name, in_channels=channels[0], out_channels=channels[1])
        self.in_channels, self.out_channels = map(int, channels)
        self.window, self.groups = window_of(*window), groups
        self.group = kernels.check_groups(name, *channels, groups)
        # what Glorot's formula calls fan in + fan out
        self.fan = (self.in_channels + self.out_channels) / groups * self.window.taps

    @property
    def kernel_size(self):
        """Rows and columns of taps."""
        return self.window.size

    @property
    def filters(self):
        """The shape of the filters, (M, rows, columns, C / groups)."""
        return self.out_channels, *self.window.size, self.group

    def _check(self, x):
        """Refuse inputs that are not images with `in_channels` channels."""
        if len(getattr(x, "shape", ())) != 4 or x.shape[3] != self.in_channels:
            raise unfit(repr(self), f"images (B, H, W, {self.in_channels})", x)

    def __repr__(self):
        size = "x".join(map(str, self.window.size))
        more = f", dilation={self.window.dilation}" if self.window.is_dilated else ""
        more += f", groups={self.groups}" if self.groups > 1 else ""
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, {size}{more})"


class QuantConv2d(IntegerLayer, _Convolution):
    """A convolution with k-bit filters; see `functional.quantized_conv2d`.

    Float images are multiplied as they are, as in BinaryConnect (`functional.mixed_conv2d`).

    Latent weights, quantizer and clipping are as in `QuantLinear`; the learning rate is scaled by
    sqrt((in_channels + out_channels) / groups * taps / 1.5), as in the papers' code.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers of input channels C and output channels M, at least 1.
    kernel_size : int or (int, int)
        Height and width of the kernel.
    stride : int or (int, int), optional
        Step between neighbouring outputs, down and to the right, in pixels.
    padding : int or (int, int) or two pairs of int or {"same", "valid"}, optional
        Padding pixels: above and below, left and right; one number for all, two for rows and
        columns, or ((above, below), (left, right)).  "valid" is 0; with "same" the output has
        ceil(size / stride) pixels, and an odd pixel of padding goes below and to the right.
    dilation : int or (int, int), optional
        Distance between neighbouring taps, in pixels.
    groups : int, optional
        Number of groups of channels, each with its own filters; it divides both channel numbers.
    rng : numpy.random.Generator
        The generator of the initial weights and of stochastic rounding.
    border : {0, 1, -1}, optional
        The value of the padding pixels.
    weight_quantizer : int or Quantizer or str, optional
        A number of bits from 1 to 8, a quantizer, or its name.
    **backward : optional
        `grad_format`, `rounding` and `balance`, as for `QuantLinear`; `balance` subtracts the mean
        of each filter.

    Attributes
    ----------
    weight : LatentWeight
        float32 of shape (out_channels, rows, columns, in_channels / groups).
    packed : Bits or BitPlanes
        The filters that the forward pass uses.

    Examples
    --------
    >>> layer = QuantConv2d(3, 8, 3, padding="same", rng=np.random.default_rng(0))
    >>> layer(np.zeros((2, 6, 5, 3), np.uint8)).shape
    (2, 6, 5, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        *,
        rng: np.random.Generator,
        border: int = 0,
        weight_quantizer: int | str | Quantizer = 1,
        **backward: Any,
    ) -> None:
        window = kernel_size, stride, padding, border, dilation
        super().__init__((in_channels, out_channels), window, groups, rng)
        name = type(self).__name__
        if not self.window.sees_pixels:
            raise InputError(
                f"{name}: padding is {padding!r} for {self.window.size} taps; expected a padding "
                "smaller than the numbers of their rows and columns"
            )
        self.set_numbers(rng, weight_quantizer, **backward)
        self.weight = self.clipped_weight(self.filters, self.fan)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve images (B, H, W, C); returns (B, H', W', M), integers or floats as x."""
        self._check(x)
        if as_tensor(x).is_float:
            return functional.mixed_conv2d(x, self.quantized(self.weight), self.window, self.groups)
        backward = self.grad_format, self.rounding_rng, self.groups
        return functional.quantized_conv2d(x, self.quantized(self.weight), self.window, *backward)


class BinaryConv2d(QuantConv2d):
    """A convolution with ±1 filters: `QuantConv2d` with one bit.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups : optional
        As for `QuantConv2d`; the first three are required.
    rng, border : optional
        As for `QuantConv2d`; `rng` is required.
    **backward : optional
        `grad_format`, `rounding` and `balance`, as for `QuantConv2d`.

    Attributes
    ----------
    weight : LatentWeight
        float32 of shape (out_channels, rows, columns, in_channels / groups).
    bits : Bits
        The filters that the forward pass uses.

    Examples
    --------
    >>> layer = BinaryConv2d(3, 8, 3, padding="same", rng=np.random.default_rng(0))
    >>> layer(np.zeros((2, 6, 5, 3), np.uint8)).shape
    (2, 6, 5, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        *,
        rng: np.random.Generator,
        border: int = 0,
        **backward: Any,
    ) -> None:
        window = kernel_size, stride, padding, dilation, groups
        super().__init__(in_channels, out_channels, *window, rng=rng, border=border, **backward)

    bits = IntegerLayer.packed


class Conv2d(_Convolution):
    """A float convolution, for the float twin.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers of input channels C and output channels M, at least 1.
    kernel_size, stride, padding, dilation, groups, border : optional
        As for `QuantConv2d`; `kernel_size` is required.
    rng : numpy.random.Generator
        The generator of the initial weights, U(-a, a) with Glorot's
        a = sqrt(6 / ((in_channels + out_channels) / groups * taps)).

    Examples
    --------
    >>> layer = Conv2d(3, 8, 3, rng=np.random.default_rng(0))
    >>> layer(np.zeros((2, 6, 5, 3), np.float32)).shape
    (2, 4, 3, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        *,
        rng: np.random.Generator,
        border: int = 0,
    ) -> None:
        window = kernel_size, stride, padding, border, dilation
        super().__init__((in_channels, out_channels), window, groups, rng)
        limit = math.sqrt(6 / self.fan)
        self.weight = Parameter(rng.uniform(-limit, limit, self.filters).astype(np.float32))
        self.bias = Parameter(np.zeros(self.out_channels, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve float images (B, H, W, C); returns floats (B, H', W', M)."""
        self._check(x)
        return functional.conv2d(x, self.weight, self.bias, self.window, self.groups)


class _Pooling(Module):
    """The base of poolings: the window of taps."""

    def __init__(
        self, kernel_size: Size = 2, stride: Size | None = None, padding: Padding = 0
    ) -> None:
        self.window = window_of(kernel_size, kernel_size if stride is None else stride, padding)

    def __repr__(self):
        size = "x".join(map(str, self.window.size))
        return f"{type(self).__name__}({size})"


class MaxPool2d(_Pooling):
    """Max-pooling; see `functional.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride : int or (int, int), optional
        Height and width of the window, and the step between outputs; default: 2 and `kernel_size`.
    padding : optional
        As for `QuantConv2d`.

    Examples
    --------
    >>> MaxPool2d()(np.ones((1, 4, 4, 3), np.float32)).shape
    (1, 2, 2, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pool images (B, H, W, C)."""
        return functional.max_pool2d(x, self.window)


class AvgPool2d(_Pooling):
    """Average pooling; see `functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding : optional
        As for `MaxPool2d`.

    Examples
    --------
    >>> AvgPool2d(4)(np.ones((1, 4, 4, 3), np.float32)).shape
    (1, 1, 1, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pool images (B, H, W, C)."""
        return functional.avg_pool2d(x, self.window)


class Flatten(Module):
    """Flatten images to rows, for the linear layers that follow; bits stay packed.

    Examples
    --------
    >>> Flatten()(np.ones((2, 3, 3, 4), np.float32)).shape
    (2, 36)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Reshape images (B, H, W, C) to rows (B, H W C)."""
        return functional.flatten(x)
