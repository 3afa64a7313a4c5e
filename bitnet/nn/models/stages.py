"""Layers with batch norm and an activation, the parts of the papers' networks."""

from bitnet.errors import InputError
from bitnet.nn.activations import Quantize, ReLU, Sign
from bitnet.nn.conv import BinaryConv2d, Conv2d, MaxPool2d, QuantConv2d
from bitnet.nn.linear import BinaryLinear, Linear, QuantLinear
from bitnet.nn.norm import BatchNorm
from bitnet.nn.pixels import PixelPlanes, ScalePixels
from bitnet.nn.resizing import GlobalAvgPool
from bitnet.nn.shift import norm_named


class Stages:
    """A maker of layers of one kind: with certain bits, or with floats for quantizers of None."""

    one_bit: tuple[type, type] = BinaryLinear, BinaryConv2d

    def __init__(
        self,
        rng,
        weight_quantizer=None,
        activation_quantizer=None,
        lr_scale=1.0,
        stochastic=False,
        norm="batch",
        **backward,
    ):
        if stochastic and activation_quantizer != 1:
            raise InputError(
                f"activation_quantizer is {activation_quantizer!r}, and stochastic activations are "
                "signs; expected 1, or stochastic=False (for a recipe: one other than torch)"
            )
        self.rng, self.lr_scale, self.stochastic = rng, lr_scale, stochastic
        self.weight_quantizer, self.activation_quantizer = weight_quantizer, activation_quantizer
        self.norm_name, self.backward = norm, backward

    def _weights(self, kinds, *sizes, **window):
        """Return a layer with weights: float, one-bit or quantized, of a triple of classes."""
        if self.weight_quantizer is None:
            return kinds[0](*sizes, **window, rng=self.rng)
        if self.weight_quantizer == 1:
            return kinds[1](*sizes, **window, rng=self.rng, **self.backward)
        quantizer = {"weight_quantizer": self.weight_quantizer}
        return kinds[2](*sizes, **window, rng=self.rng, **quantizer, **self.backward)

    def linear(self, inputs, outputs, act=True):
        """Return a fully connected layer, batch norm and an activation."""
        layer = self._weights((Linear, self.one_bit[0], QuantLinear), inputs, outputs)
        return [layer, *self.norm(outputs, act)]

    def conv(self, inputs, outputs, size=3, pool=None, act=True, **window):
        """Return a convolution, a pooling if there is one, batch norm and an activation."""
        window = {"padding": "same"} | window
        layer = self._weights(
            (Conv2d, self.one_bit[1], QuantConv2d), inputs, outputs, size, **window
        )
        return [layer, *([pool] if pool else []), *self.norm(outputs, act)]

    def norm(self, outputs, act=True):
        """Batch norm, and an activation if there is one."""
        norm = norm_named(self.norm_name, outputs, self.lr_scale)
        return [norm, self.act()] if act else [norm]

    def act(self):
        """Return an activation."""
        if self.activation_quantizer is None:
            return ReLU()
        if self.activation_quantizer == 1:
            return Sign(stochastic=self.stochastic, rng=self.rng)
        return Quantize(self.activation_quantizer)


def pixels(input_planes):
    """Return the layers before the first product: none for all 8 planes of the pixels."""
    return [] if input_planes == 8 else [PixelPlanes(input_planes)]


def taking(net, dtype, shape):
    """Return a net after writing down the type and the shape of one input."""
    net.takes = dtype, tuple(map(int, shape))
    return net


def float_stem(image, channels, rng):
    """Return the first layers of nets whose first convolution is in float: pixels to floats.

    Images of 64 pixels or more are reduced to a quarter on each axis, as of ImageNet.
    """
    large = min(image[:2]) >= 64
    own = {"stride": 2, "padding": 3} if large else {"padding": 1}
    conv = Conv2d(image[2], channels, 7 if large else 3, **own, rng=rng)
    pool = [MaxPool2d(3, stride=2, padding=1)] if large else []
    return [ScalePixels(), conv, BatchNorm(channels), *pool]


def float_head(channels, n_classes, rng):
    """Return the last layers of these nets: the mean of each channel, and a float layer."""
    return [GlobalAvgPool(), Linear(channels, n_classes, rng=rng)]
