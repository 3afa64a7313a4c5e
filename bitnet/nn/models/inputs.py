"""What a model takes: the type and the shape of one input."""

from bitnet.nn.activations import Quantize, ReLU, Sign
from bitnet.nn.containers import Branches, Sequential, WithHeads
from bitnet.nn.conv import Flatten
from bitnet.nn.dropout import Dropout
from bitnet.nn.elementwise import HardTanh, PReLU, Scale, Shift
from bitnet.nn.embedding import Embedding
from bitnet.nn.linear import Linear, QuantLinear, ScaledLinear
from bitnet.nn.module import Module
from bitnet.nn.norm import BatchNorm
from bitnet.nn.pixels import PixelPlanes, ScalePixels
from bitnet.nn.shift import ShiftBatchNorm
from bitnet.nn.standardize import Standardize

FLOATS = Sign, Quantize, BatchNorm, ShiftBatchNorm, Shift, Scale, PReLU, HardTanh, ReLU, Standardize
# layers that keep the sizes of their input, and the type that they take: None for any
SAME_SIZES = {Dropout: None, Flatten: None} | dict.fromkeys((PixelPlanes, ScalePixels), "uint8")
SAME_SIZES |= dict.fromkeys(FLOATS, "float32")
LINEARS = {QuantLinear: "uint8", Linear: "float32", ScaledLinear: "float32"}


def takes_of(model: Module) -> tuple[str, tuple[int, ...]] | None:
    """Return the type and the shape of one input of a model, without the batch.

    It is the attribute `takes` of the model, which the builders in `nn.models` set, or follows from
    the first layers: the first linear layer has the size, and a layer before it, such as Sign, the
    type.

    Parameters
    ----------
    model : Module
        The model.

    Returns
    -------
    (str, tuple of int) or None
        Such as ("uint8", (784,)) or ("float32", (784,)); ("int64", ()) for the ids of tokens.  None
        if the layers do not tell, as when a convolution is the first one.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.nn import BatchNorm, BinaryLinear
    >>> layer = BinaryLinear(784, 10, rng=np.random.default_rng(0))
    >>> takes_of(Sequential(layer, BatchNorm(10))), takes_of(Sequential(Sign(), layer))
    (('uint8', (784,)), ('float32', (784,)))
    """
    dtype = None
    for layer in _in_order(model):
        found = _of(layer)
        if found is not None:
            return dtype or found[0], found[1]
        if type(layer) not in SAME_SIZES:
            return None
        dtype = dtype or SAME_SIZES[type(layer)]
    return None


def _of(layer):
    """Return what a layer takes if it tells, or None."""
    if layer.takes is not None:
        return layer.takes
    if type(layer) is Branches:
        return next(filter(None, map(takes_of, layer.branches)), None)
    if isinstance(layer, Embedding):
        return "int64", ()
    for kind, dtype in LINEARS.items():
        if isinstance(layer, kind):
            return dtype, (layer.in_features,)
    return None


def _in_order(model):
    """Yield the layers of nested Sequentials; one that says what it takes stays whole."""
    if type(model) in (Sequential, WithHeads) and model.takes is None:
        for layer in model.layers:
            yield from _in_order(layer)
    else:
        yield model
