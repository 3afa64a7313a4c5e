"""BinaryDuo (Kim et al., arXiv 2002.06517): train a ternary net, then split each activation."""

import dataclasses
from typing import Any

import numpy as np

from bitnet.arrays import array_module
from bitnet.autograd import Tensor
from bitnet.kernels import Codebook
from bitnet.nn import functional
from bitnet.nn.activations import Quantize
from bitnet.nn.containers import Sequential
from bitnet.nn.conv import BinaryConv2d, MaxPool2d
from bitnet.nn.models.stages import float_head, float_stem, taking
from bitnet.nn.module import Module
from bitnet.nn.norm import BatchNorm
from bitnet.quantizers import Quantizer

EDGE = 0.5


@dataclasses.dataclass(frozen=True)
class TernaryActivation(Quantizer):
    """-1, 0 or +1: half the sum of the signs of x + 0.5 and x - 0.5; the surrogate is a hard tanh.

    Examples
    --------
    >>> TernaryActivation().codes(np.float32([-0.7, 0.1, 0.5]))
    array([0, 1, 2], dtype=uint8)
    """

    bits, word, formula = 2, "ternary-activation", "(sign(x + 1/2) + sign(x - 1/2)) / 2"
    edges = (-1.0, 1.0)

    def codes(self, x: Any) -> Any:
        """Return the codes 0, 1 and 2, uint8."""
        edge = x.dtype.type(EDGE)
        return (x >= -edge).astype(np.uint8) + (x >= edge).astype(array_module(x).uint8)

    def _codebook(self):
        return Codebook(patterns=[0b00, 0b01, 0b11], coefficients=[1, 1], unit=0.5)


class Duo(Module):
    """The signs of x + 0.5 and of x - 0.5, side by side: (..., C) to (..., 2 C).

    Examples
    --------
    >>> Duo()([[0.1, -0.7]]).data.signs()
    array([[ 1, -1, -1, -1]], dtype=int8)
    """

    def forward(self, x: Tensor) -> Tensor:
        shifts = np.float32(EDGE), np.float32(-EDGE)
        return functional.concatenate(*(functional.sign(x + shift) for shift in shifts))


def binaryduo(
    image: tuple[int, int, int],
    n_classes: int,
    *,
    rng: np.random.Generator,
    width: int = 32,
    stages: int = 3,
    coupled: bool = False,
    **backward: Any,
) -> Sequential:
    """Return the net of BinaryDuo, or the one with ternary activations that is trained before it.

    Blocks of activation, 3x3 binary convolution, max-pooling and batch norm.  `decouple` turns a
    trained coupled net into the other one.

    Parameters
    ----------
    image, n_classes, rng : optional
        As for `bireal`; all are required.
    width, stages : int, optional
        The channels of the first convolution, and the number of blocks, which double them.
    coupled : bool, optional
        Whether activations are ternary; otherwise each one is two signs, which the filters weigh
        on their own.
    **backward : optional
        As for `bireal`.

    Returns
    -------
    Sequential
        Takes uint8 pixels of shape (B, *image).

    Examples
    --------
    >>> net = binaryduo((32, 32, 3), 10, rng=np.random.default_rng(0), width=8, stages=1)
    >>> net.layers[3:5]
    [Duo(), BinaryConv2d(16, 16, 3x3)]
    """
    layers, copies = float_stem(image, width, rng), 1 if coupled else 2
    for stage in range(stages):
        c = width << stage
        activation = Quantize(TernaryActivation()) if coupled else Duo()
        conv = BinaryConv2d(copies * c, 2 * c, 3, padding="same", rng=rng, **backward)
        layers += activation, conv, MaxPool2d(2), BatchNorm(2 * c)
    net = Sequential(*layers, *float_head(width << stages, n_classes, rng))
    return taking(net, "uint8", image)


def decouple(coupled: Sequential, *, rng: np.random.Generator) -> Sequential:
    """Return the `binaryduo` net that computes the same as a trained coupled one.

    The filters of both signs of an activation begin as copies, so that integers and scores are
    equal; trained further, they differ (the paper's figure 5).

    Parameters
    ----------
    coupled : Sequential
        A net of `binaryduo` with `coupled=True`.
    rng : numpy.random.Generator
        The generator of the new net, whose numbers are replaced.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> coupled = binaryduo((8, 8, 1), 4, rng=rng, width=4, stages=2, coupled=True).eval()
    >>> x = rng.integers(0, 256, (3, 8, 8, 1), np.uint8)
    >>> np.array_equal(decouple(coupled, rng=rng).eval()(x).data, coupled(x).data)
    True
    """
    image, n_classes = coupled.takes[1], len(coupled.layers[-1].bias)  # type: ignore
    convs = [layer for layer in coupled.layers if isinstance(layer, BinaryConv2d)]
    sizes = {"width": convs[0].in_channels, "stages": len(convs)}
    net = binaryduo(image, n_classes, rng=rng, **sizes)  # type: ignore[arg-type]
    wide = net.state_dict()
    for name, array in coupled.state_dict().items():
        repeats = wide[name].shape[-1] // array.shape[-1] if array.ndim == 4 else 1
        wide[name] = np.concatenate([array] * repeats, axis=-1) if repeats > 1 else array
    net.load_state_dict(wide)
    return net
