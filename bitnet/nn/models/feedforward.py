"""The papers' networks, binary or in float: the MLP of MNIST, the ConvNets of CIFAR-10 and SVHN.

binary_mlp(MNIST_THEANO, rng=rng)   36 806 656 binary weights (MNIST_TORCH: 10 014 720)
binary_convnet(**CIFAR10, rng=rng)  14 022 016
binary_convnet(**SVHN, rng=rng)      6 397 632
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bitnet.errors import InputError
from bitnet.nn.containers import Sequential
from bitnet.nn.conv import Flatten, MaxPool2d
from bitnet.nn.dropout import Dropout
from bitnet.nn.models.stages import Stages, pixels, taking
from bitnet.quantizers import Quantizer

Bits = int | str | Quantizer

MNIST_THEANO = [784, 4096, 4096, 4096, 10]
MNIST_TORCH = [784, 2048, 2048, 2048, 10]
IMAGE, UNITS = (32, 32, 3), (1024, 1024, 10)
CIFAR10 = {"image": IMAGE, "blocks": ((128, 128), (256, 256), (512, 512)), "units": UNITS}
SVHN = {"image": IMAGE, "blocks": ((64, 64), (128, 128), (256, 256)), "units": UNITS}


def binary_mlp(
    sizes: Sequence[int],
    *,
    rng: np.random.Generator,
    dropout: tuple[float, float] = (0.0, 0.0),
    weight_quantizer: Bits = 1,
    activation_quantizer: Bits = 1,
    input_planes: int = 8,
    **options: Any,
) -> Sequential:
    """Return a multilayer perceptron with low-bit weights and activations; default: one bit.

    Each layer consists of BinaryLinear, batch norm and, except in the last layer, Sign; with more
    bits, QuantLinear and Quantize replace BinaryLinear and Sign.  Section 2 of the papers has three
    hidden layers of 4096 (Theano) or 2048 (Torch) units.

    Parameters
    ----------
    sizes : sequence of int
        The widths of the input, of the hidden layers and of the output.
    rng : numpy.random.Generator
        The generator of the initial weights, of dropout and of stochastic signs.
    dropout : pair of float, optional
        The probabilities of dropping an input and a hidden activation; (0.2, 0.5) in the papers'
        MNIST settings.
    weight_quantizer, activation_quantizer : int or Quantizer or str, optional
        A number of bits from 1 to 8, a quantizer, or its name; for all weights and all activations.
    input_planes : int, optional
        The number of bits of each pixel that the net sees, from the highest on; with fewer than 8
        it begins with `nn.PixelPlanes`.
    **options : optional
        `lr_scale`, the factor of the learning rate for gamma and beta (default: 1.0); `stochastic`,
        whether to draw the activations in training, as in the papers' Torch experiments (default:
        False); `norm`: "batch", or shift-based batch norm with the backward pass of the paper
        ("shift") or of its code ("shift-code"); and `grad_format`, `rounding` and `balance`, as for
        `QuantLinear`.

    Returns
    -------
    Sequential
        Takes uint8 pixels of shape (B, sizes[0]), or, with 8 `input_planes`, also Bits.

    Examples
    --------
    >>> import numpy as np
    >>> binary_mlp([784, 512, 10], rng=np.random.default_rng(0)).layers[:3]
    [BinaryLinear(784, 512), BatchNorm(512), Sign(clip_value=1.0)]
    >>> bits = {"weight_quantizer": 2, "activation_quantizer": 4}
    >>> binary_mlp([784, 512, 10], rng=np.random.default_rng(0), **bits).layers[2]
    Quantize(Uniform(bits=4, max_value=1.0, clip_value=1.0))
    """
    make = Stages(rng, weight_quantizer, activation_quantizer, **options)
    pairs = _pairs("binary_mlp", sizes)
    if len(dropout) != 2:
        raise InputError(f"binary_mlp: dropout is {dropout!r}; expected two probabilities")
    net = Sequential(*pixels(input_planes), *_fully_connected(make, pairs, dropout))
    return taking(net, "uint8", sizes[:1])


def float_mlp(sizes: Sequence[int], *, rng: np.random.Generator) -> Sequential:
    """Return the float twin of `binary_mlp`: the same sizes in float32 with ReLU.

    Parameters
    ----------
    sizes : sequence of int
        The widths of the input, of the hidden layers and of the output.
    rng : numpy.random.Generator
        The generator of the initial weights.

    Returns
    -------
    Sequential
        Takes float32 of shape (B, sizes[0]).

    Examples
    --------
    >>> import numpy as np
    >>> len(float_mlp([784, 512, 10], rng=np.random.default_rng(0)).layers)
    5
    """
    net = Sequential(*_fully_connected(Stages(rng), _pairs("float_mlp", sizes)))
    return taking(net, "float32", sizes[:1])


def binary_convnet(
    image: tuple[int, int, int],
    blocks: Sequence[Sequence[int]],
    units: Sequence[int],
    *,
    rng: np.random.Generator,
    weight_quantizer: Bits = 1,
    activation_quantizer: Bits = 1,
    input_planes: int = 8,
    **options: Any,
) -> Sequential:
    """Return a ConvNet with low-bit weights and activations, as for CIFAR-10 and SVHN.

    Each block has one or more 3x3 convolutions, and a 2x2 max-pooling between the last one and its
    batch norm; fully connected layers follow.  2x128C3-MP2-2x256C3-MP2-2x512C3-MP2-2x1024FC-10 is
    the papers' net for CIFAR-10 (their section 2, and the authors' code).

    Parameters
    ----------
    image : (int, int, int)
        Rows, columns and channels.
    blocks : sequence of sequence of int
        The channels of the convolutions of each block.
    units : sequence of int
        The widths of the fully connected layers; the last one is the number of classes.
    rng : numpy.random.Generator
        The generator of the initial weights and of stochastic signs.
    weight_quantizer, activation_quantizer, input_planes, **options : optional
        As for `binary_mlp`.

    Returns
    -------
    Sequential
        Takes uint8 pixels of shape (B, *image).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> binary_convnet((8, 8, 3), [(16,)], [10], rng=rng).layers[:4]
    [BinaryConv2d(3, 16, 3x3), MaxPool2d(2x2), BatchNorm(16), Sign(clip_value=1.0)]
    """
    make = Stages(rng, weight_quantizer, activation_quantizer, **options)
    net = _convnet("binary_convnet", make, image, blocks, units, pixels(input_planes))
    return taking(net, "uint8", image)


def float_convnet(
    image: tuple[int, int, int],
    blocks: Sequence[Sequence[int]],
    units: Sequence[int],
    *,
    rng: np.random.Generator,
) -> Sequential:
    """Return the float twin of `binary_convnet`: the same sizes in float32 with ReLU.

    Parameters
    ----------
    image, blocks, units : sequence
        As for `binary_convnet`.
    rng : numpy.random.Generator
        The generator of the initial weights.

    Returns
    -------
    Sequential
        Takes float32 of shape (B, *image).

    Examples
    --------
    >>> import numpy as np
    >>> float_convnet((8, 8, 3), [(16,)], [10], rng=np.random.default_rng(0)).layers[:4]
    [Conv2d(3, 16, 3x3), MaxPool2d(2x2), BatchNorm(16), ReLU()]
    """
    net = _convnet("float_convnet", Stages(rng), image, blocks, units)
    return taking(net, "float32", image)


def _fully_connected(make, pairs, dropout=(0.0, 0.0)):
    """Return the layers with these (inputs, outputs), each after a dropout if there is one."""
    layers = []
    for i, (inputs, outputs) in enumerate(pairs):
        if p := dropout[min(i, 1)]:
            layers.append(Dropout(p, rng=make.rng))
        layers += make.linear(inputs, outputs, act=i < len(pairs) - 1)
    return layers


def _convnet(name, make, image, blocks, units, first=()):
    """Check the sizes and return a ConvNet, after its first layers if there are some."""
    if len(image) != 3 or not blocks or not all(blocks) or not units:
        raise InputError(
            f"{name}: image {image!r}, blocks {blocks!r}, units {units!r}; expected (rows, "
            "columns, channels), some channels in each block, and the classes at the end"
        )
    height, width = (size >> len(blocks) for size in image[:2])  # a pooling halves, rounded down
    if min(height, width) < 1:
        raise InputError(f"{name}: images of {image[:2]} are too small for {len(blocks)} poolings")
    layers, inputs = [*first], image[2]
    for block in blocks:
        for i, outputs in enumerate(block, 1):
            pool = MaxPool2d() if i == len(block) else None
            layers += make.conv(inputs, outputs, pool=pool)
            inputs = outputs
    pairs = _pairs(name, [height * width * inputs, *units])
    return Sequential(*layers, Flatten(), *_fully_connected(make, pairs))


def _pairs(name, sizes):
    """Return the (inputs, outputs) of each layer."""
    if len(sizes) < 2:
        raise InputError(f"{name}: sizes are {list(sizes)}; expected at least input and output")
    return list(itertools.pairwise(sizes))
