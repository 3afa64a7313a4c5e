"""Layers with batch norm and an activation, of which the papers' networks are made."""

from bitnet.errors import InputError
from bitnet.nn.activations import Quantize, ReLU, Sign
from bitnet.nn.conv import BinaryConv2d, Conv2d, QuantConv2d
from bitnet.nn.linear import BinaryLinear, Linear, QuantLinear
from bitnet.nn.norm import norm_named


class Stages:
    """Makes layers of certain bits, or of floats where `weights` and `activations` are None."""

    one_bit = BinaryLinear, BinaryConv2d

    def __init__(
        self,
        rng,
        weights=None,
        activations=None,
        lr_scale=1.0,
        stochastic=False,
        norm="batch",
        **gradient,
    ):
        if stochastic and activations != 1:
            raise InputError(
                f"activations of {activations!r} cannot be drawn, as in the recipe torch; expected "
                "1 bit, another recipe, or stochastic=False"
            )
        self.rng, self.weights, self.activations = rng, weights, activations
        self.lr_scale, self.stochastic = lr_scale, stochastic
        self.norm_name, self.gradient = norm, gradient

    def linear(self, inputs, outputs, act=True):
        """A fully connected layer, batch norm and an activation."""
        if self.weights is None:
            layer = Linear(inputs, outputs, self.rng)
        elif self.weights == 1:
            layer = self.one_bit[0](inputs, outputs, self.rng, **self.gradient)
        else:
            layer = QuantLinear(inputs, outputs, self.rng, self.weights, **self.gradient)
        return [layer, *self.norm(outputs, act)]

    def conv(self, inputs, outputs, size=3, pool=None, act=True, **window):
        """A convolution, a pooling if there is one, batch norm and an activation."""
        sizes = inputs, outputs, self.rng, size
        if self.weights is None:
            layer = Conv2d(*sizes, **window)
        elif self.weights == 1:
            layer = self.one_bit[1](*sizes, **window, **self.gradient)
        else:
            layer = QuantConv2d(*sizes, **window, weights=self.weights, **self.gradient)
        return [layer, *([pool] if pool else []), *self.norm(outputs, act)]

    def norm(self, outputs, act=True):
        """Batch norm, and an activation if there is one."""
        norm = norm_named(self.norm_name, outputs, self.lr_scale)
        return [norm, self.act()] if act else [norm]

    def act(self):
        """An activation."""
        if self.activations is None:
            return ReLU()
        if self.activations == 1:
            return Sign(stochastic=self.stochastic, rng=self.rng)
        return Quantize(self.activations)
