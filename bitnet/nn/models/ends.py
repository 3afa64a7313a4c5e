"""Nets that take or return numbers in their own units, made from nets for pixels and classes."""

from bitnet.nn.containers import Sequential
from bitnet.nn.models.stages import taking
from bitnet.nn.module import Module
from bitnet.nn.pixels import PixelPlanes, ScalePixels
from bitnet.nn.standardize import Rescale, Standardize


def with_ends(net, numbers_in=False, numbers_out=0, bits=None):
    """Return a net that takes numbers, and one that returns `numbers_out` of them, if above 0.

    `Standardize`, to `bits` bits, takes the place of the layer of pixels; `Rescale` comes last.
    """
    layers = list(net.layers) if type(net) is Sequential else [net]
    kind, shape = net.takes
    if numbers_in:
        layers = layers[isinstance(layers[0], (PixelPlanes, ScalePixels)) :]
        kind, layers = "float32", [Standardize(shape[-1], bits), *layers]
    if numbers_out:
        layers.append(Rescale(numbers_out))
    return taking(Sequential(*layers), kind, shape) if numbers_in or numbers_out else net


def fit_ends(net: Module, inputs, targets):
    """Take the statistics of the training data for the ends of a net that have them."""
    layers = net.layers if type(net) is Sequential else []
    for layer in layers:
        if isinstance(layer, (Standardize, Rescale)):
            layer.fit(inputs if isinstance(layer, Standardize) else targets)
