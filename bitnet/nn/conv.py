"""The layers of images (B, H, W, C): convolutions of bits and of floats, pooling, flattening.

A binarized ConvNet of the papers is a sequence of

    BinaryConv2d -> [MaxPool2d ->] BatchNorm -> Sign

and, after the last of them, Flatten and the layers of a binarized MLP.
"""

import math

import numpy as np

from bitnet import kernels
from bitnet.autograd import Parameter
from bitnet.devices import check_generator
from bitnet.errors import InputError, check_count
from bitnet.kernels import Window
from bitnet.nn import functional
from bitnet.nn.module import Module
from bitnet.nn.quantized import IntegerLayer


def window_of(size, stride=1, padding=0, border=0):
    """A Window from the sizes that layers take; padding may be "same", "valid" or numbers.

    With "same" the size stays at stride 1; an odd pixel goes below and to the right.
    """
    size, stride = _pair("size", size), _pair("stride", stride)
    if padding == "same":
        pads = tuple(((n - 1) // 2, n // 2) for n in size)
    else:
        pads = tuple((n, n) for n in _pair("padding", 0 if padding == "valid" else padding))
    return Window(size, stride, pads, border)


def _pair(name, value):
    """Two whole numbers, of one or two."""
    values = (value, value) if isinstance(value, (int, np.integer)) else value
    whole = isinstance(values, (tuple, list)) and len(values) == 2
    if not whole or not all(isinstance(v, (int, np.integer)) for v in values):
        raise InputError(
            f"{name} is {value!r}; expected a whole number or two"
            + (', "same" or "valid"' if name == "padding" else "")
        )
    return tuple(map(int, values))


class _Convolution(Module):
    """What convolutions share: channels and the window."""

    def __init__(self, inputs, outputs, rng, size, stride, padding, border, groups):
        check_generator(type(self).__name__, rng)
        check_count(type(self).__name__, inputs=inputs, outputs=outputs)
        self.inputs, self.outputs, self.groups = int(inputs), int(outputs), groups
        self.window = window_of(size, stride, padding, border)
        self.group = kernels.check_groups(type(self).__name__, inputs, outputs, groups)

    def _check(self, x):
        """Refuse what is no images of as many channels."""
        shape = getattr(x, "shape", ())
        if len(shape) != 4 or shape[3] != self.inputs:
            raise InputError(f"{self!r} got the shape {shape}; expected (B, H, W, {self.inputs})")

    def __repr__(self):
        size = "x".join(map(str, self.window.size))
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return f"{type(self).__name__}({self.inputs}, {self.outputs}, {size}{groups})"


class QuantConv2d(IntegerLayer, _Convolution):
    """A convolution with k-bit filters, `functional.quantized_conv2d`.

    Latent weights, quantizer and clipping are those of `QuantLinear`; the step is scaled by
    sqrt((inputs + outputs) / groups * taps / 1.5), as in the papers' code.

    Parameters
    ----------
    inputs, outputs : int
        Channels C of the images and M of the result, 1 or more.
    rng : numpy.random.Generator
        The source of the first weights, and of stochastic rounding.
    size, stride : int or (int, int), optional
        Taps, and pixels from one output to the next, down and to the right.
    padding : "same", "valid", int or (int, int), optional
        Pixels outside the border on each side; "valid" is 0, and "same" keeps the size at stride 1.
    border : {0, 1, -1}, optional
        The value of those pixels.
    weights : int or Quantizer, optional
        As for `QuantLinear`.
    groups : int, optional
        Groups of channels, each with its own filters; divides inputs and outputs.
    **backward : optional
        `gradient`, `rounding` and `balance`, as for `QuantLinear`; each filter has its mean.

    Attributes
    ----------
    weight : LatentWeight
        float32 of shape (outputs, rows, columns, inputs / groups).
    packed : Bits or BitPlanes
        The filters that the layer multiplies with.

    Examples
    --------
    >>> layer = QuantConv2d(3, 8, np.random.default_rng(0), weights=2)
    >>> layer(np.zeros((2, 6, 5, 3), np.uint8)).shape
    (2, 6, 5, 8)
    """

    def __init__(
        self,
        inputs,
        outputs,
        rng,
        size=3,
        stride=1,
        padding="same",
        border=0,
        weights=1,
        groups=1,
        **backward,
    ):
        super().__init__(inputs, outputs, rng, size, stride, padding, border, groups)
        name = type(self).__name__
        if max(n for pads in self.window.padding for n in pads) >= max(self.window.size):
            raise InputError(
                f"{name}: padding is {padding!r} for {self.window.size} taps; expected less "
                "than there are taps, as a frozen net demands"
            )
        self.set_numbers(rng, weights, **backward)
        fan = (inputs + outputs) / groups * self.window.taps
        shape = outputs, *self.window.size, self.group
        self.weight = self.bounded_weight(shape, fan)

    def forward(self, x):
        self._check(x)
        backward = self.gradient, self.rounding_rng, self.groups
        return functional.quantized_conv2d(x, self.quantized(self.weight), self.window, *backward)


class BinaryConv2d(QuantConv2d):
    """A convolution with ±1 filters, `QuantConv2d` of one bit.

    Parameters
    ----------
    inputs, outputs, rng, size, stride, padding, border : optional
        As for `QuantConv2d`; the first three are required.
    **options : optional
        `gradient`, `rounding`, `groups` and `balance`, as for `QuantConv2d`.

    Attributes
    ----------
    weight : LatentWeight
        float32 of shape (outputs, rows, columns, inputs / groups).
    bits : Bits
        The filters that the layer multiplies with.

    Examples
    --------
    >>> layer = BinaryConv2d(3, 8, np.random.default_rng(0))
    >>> layer(np.zeros((2, 6, 5, 3), np.uint8)).shape
    (2, 6, 5, 8)
    """

    def __init__(self, inputs, outputs, rng, size=3, stride=1, padding="same", border=0, **options):
        window = size, stride, padding, border
        super().__init__(inputs, outputs, rng, *window, weights=1, **options)

    bits = IntegerLayer.packed


class Conv2d(_Convolution):
    """A convolution of floats, for the float twin.

    Parameters
    ----------
    inputs, outputs : int
        Channels C of the images and M of the result, 1 or more.
    rng : numpy.random.Generator
        The source of the first weights, U(-a, a) with Glorot's
        a = sqrt(6 / ((inputs + outputs) / groups * taps)).
    size, stride, padding, border, groups : optional
        As for `QuantConv2d`.

    Examples
    --------
    >>> layer = Conv2d(3, 8, np.random.default_rng(0), padding="valid")
    >>> layer(np.zeros((2, 6, 5, 3), np.float32)).shape
    (2, 4, 3, 8)
    """

    def __init__(self, inputs, outputs, rng, size=3, stride=1, padding="same", border=0, groups=1):
        super().__init__(inputs, outputs, rng, size, stride, padding, border, groups)
        limit = math.sqrt(6 / ((inputs + outputs) / groups * self.window.taps))
        shape = (outputs, *self.window.size, self.group)
        self.weight = Parameter(rng.uniform(-limit, limit, shape).astype(np.float32))
        self.bias = Parameter(np.zeros(outputs, np.float32))

    def forward(self, x):
        self._check(x)
        return functional.conv2d(x, self.weight, self.bias, self.window, self.groups)


class _Pooling(Module):
    """What poolings share: the window, by default moved by its own size."""

    def __init__(self, size=2, stride=None, padding=0):
        self.window = window_of(size, size if stride is None else stride, padding)

    def __repr__(self):
        size = "x".join(map(str, self.window.size))
        return f"{type(self).__name__}({size})"


class MaxPool2d(_Pooling):
    """Max-pooling, see `functional.max_pool2d`.

    Parameters
    ----------
    size, stride : int or (int, int), optional
        Taps, and pixels from one output to the next, by default as many as taps.
    padding : optional
        As for `QuantConv2d`.

    Examples
    --------
    >>> MaxPool2d()(np.ones((1, 4, 4, 3), np.float32)).shape
    (1, 2, 2, 3)
    """

    def forward(self, x):
        return functional.max_pool2d(x, self.window)


class AvgPool2d(_Pooling):
    """Average pooling, see `functional.avg_pool2d`.

    Parameters
    ----------
    size, stride, padding : optional
        As for `MaxPool2d`.

    Examples
    --------
    >>> AvgPool2d(4)(np.ones((1, 4, 4, 3), np.float32)).shape
    (1, 1, 1, 3)
    """

    def forward(self, x):
        return functional.avg_pool2d(x, self.window)


class Flatten(Module):
    """Images as rows, for the linear layers that follow; bits stay packed.

    Examples
    --------
    >>> Flatten()(np.ones((2, 3, 3, 4), np.float32)).shape
    (2, 36)
    """

    def forward(self, x):
        return functional.flatten(x)
