"""Convolutions and pooling of sequences (B, L, C), as those of images with one row.

Packed sequences stay packed.  Frozen nets compute images (B, 1, L, C) throughout.
"""

from typing import Any

import numpy as np

from bitnet.autograd import Tensor
from bitnet.errors import InputError, unfit
from bitnet.nn import functional
from bitnet.nn.conv import AvgPool2d, Conv2d, MaxPool2d, QuantConv2d
from bitnet.nn.quantized import IntegerLayer
from bitnet.quantizers import Quantizer

Pads = int | str | tuple[int, int]


def _whole(name, value):
    """Return a whole number."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise InputError(f"{name} is {value!r:.40}; expected a whole number")
    return int(value)


def _of_row(size, stride, padding, dilation=1):
    """Return the sizes of a window with one row: size, stride, padding, dilation."""
    size, stride = _whole("kernel_size", size), _whole("stride", stride)
    dilation = _whole("dilation", dilation)
    extent = (size - 1) * dilation + 1
    named = {"same": ((extent - 1) // 2, extent // 2), "valid": (0, 0), "causal": (extent - 1, 0)}
    if isinstance(padding, str):
        if padding not in named:
            expected = f"{', '.join(named)}, or one or two whole numbers"
            raise InputError(f"padding is {padding!r:.40}; expected {expected}")
        padding = named[padding]
    elif isinstance(padding, (int, np.integer)):
        padding = padding, padding
    return (1, size), (1, stride), ((0, 0), tuple(padding)), (1, dilation)


class _Sequences:
    """The base of layers of sequences that compute as layers of images with one row."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute on sequences (B, L, C); returns (B, L', M)."""
        if x.ndim != 3:
            raise unfit(repr(self), "sequences (B, L, C)", x)
        n, length, channels = x.shape
        images = functional.reshape(x, n, 1, length, channels)
        y = super().forward(images)  # type: ignore[misc]
        return functional.reshape(y, n, *y.shape[2:])


class QuantConv1d(_Sequences, QuantConv2d):
    """A convolution of sequences (B, L, C) with k-bit filters; see `QuantConv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers of input channels C and output channels M, at least 1.
    kernel_size : int
        The number of taps.
    stride : int, optional
        Step between neighbouring outputs.
    padding : int or (int, int) or {"same", "valid", "causal"}, optional
        Padding before and after each sequence; "causal" pads before it alone, so that no output
        depends on later steps.
    dilation : int, optional
        Distance between neighbouring taps.
    groups, border, weight_quantizer, **backward : optional
        As for `QuantConv2d`.
    rng : numpy.random.Generator
        The generator of the initial weights and of stochastic rounding.

    Attributes
    ----------
    weight : LatentWeight
        float32 of shape (out_channels, 1, kernel_size, in_channels / groups).

    Examples
    --------
    >>> layer = QuantConv1d(3, 8, 5, padding="same", rng=np.random.default_rng(0))
    >>> layer(np.zeros((2, 30, 3), np.uint8)).shape
    (2, 30, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: Pads = 0,
        dilation: int = 1,
        groups: int = 1,
        *,
        rng: np.random.Generator,
        border: int = 0,
        weight_quantizer: int | str | Quantizer = 1,
        **backward: Any,
    ) -> None:
        backward |= {"border": border, "weight_quantizer": weight_quantizer, "rng": rng}
        sizes: Any = *_of_row(kernel_size, stride, padding, dilation), groups
        super().__init__(in_channels, out_channels, *sizes, **backward)


class BinaryConv1d(QuantConv1d):
    """A convolution of sequences (B, L, C) with ±1 filters: `QuantConv1d` with one bit.

    Parameters
    ----------
    *sizes, **options : optional
        As for `QuantConv1d`, without `weight_quantizer`.

    Attributes
    ----------
    bits : Bits
        The filters that the forward pass uses.

    Examples
    --------
    >>> layer = BinaryConv1d(3, 8, 5, padding="causal", rng=np.random.default_rng(0))
    >>> layer(np.zeros((2, 30, 3), np.uint8)).shape
    (2, 30, 8)
    """

    def __init__(self, *sizes: Any, **options: Any) -> None:
        if "weight_quantizer" in options:
            raise InputError("BinaryConv1d: weight_quantizer is fixed; use QuantConv1d")
        super().__init__(*sizes, **options)

    bits = IntegerLayer.packed


class Conv1d(_Sequences, Conv2d):
    """A float convolution of sequences (B, L, C).

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation : optional
        As for `QuantConv1d`; the first three are required.
    groups, border, rng : optional
        As for `Conv2d`; `rng` is required.

    Examples
    --------
    >>> Conv1d(3, 8, 5, rng=np.random.default_rng(0))(np.zeros((2, 30, 3), np.float32)).shape
    (2, 26, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: Pads = 0,
        dilation: int = 1,
        groups: int = 1,
        *,
        rng: np.random.Generator,
        border: int = 0,
    ) -> None:
        sizes: Any = *_of_row(kernel_size, stride, padding, dilation), groups
        own: Any = {"rng": rng, "border": border}
        super().__init__(in_channels, out_channels, *sizes, **own)


class MaxPool1d(_Sequences, MaxPool2d):
    """Max-pooling of sequences (B, L, C); packed ones stay packed.

    Parameters
    ----------
    kernel_size, stride : int, optional
        The number of steps of a window, and the step between outputs; default: 2 and `kernel_size`.
    padding : optional
        As for `QuantConv1d`.

    Examples
    --------
    >>> MaxPool1d()(np.ones((1, 7, 3), np.float32)).shape
    (1, 3, 3)
    """

    def __init__(self, kernel_size: int = 2, stride: int | None = None, padding: Pads = 0) -> None:
        own: Any = _of_row(kernel_size, kernel_size if stride is None else stride, padding)[:3]
        super().__init__(*own)


class AvgPool1d(_Sequences, AvgPool2d):
    """Average pooling of sequences (B, L, C); sums of integers, as `AvgPool2d`.

    Parameters
    ----------
    kernel_size, stride, padding : optional
        As for `MaxPool1d`.

    Examples
    --------
    >>> AvgPool1d(7)(np.ones((1, 7, 3), np.float32)).shape
    (1, 1, 3)
    """

    def __init__(self, kernel_size: int = 2, stride: int | None = None, padding: Pads = 0) -> None:
        own: Any = _of_row(kernel_size, kernel_size if stride is None else stride, padding)[:3]
        super().__init__(*own)
