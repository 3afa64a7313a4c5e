"""The papers' networks for ImageNet, AlexNet and GoogleNet: any bits, and float twins.

Both have batch norm after every layer, and quantize all layers, including the first and the last
(section 3 of the second paper).  Its appendix A.6 gives five convolutions and three fully connected
layers for AlexNet; the widths are those of the authors' PyTorch code.

For GoogleNet it gives two convolutions, ten inception blocks, a spatial average, one fully
connected layer and two auxiliary classifiers, and no widths.  Szegedy et al. (arXiv 1409.4842) have
nine blocks and no batch norm; the variant with batch norm (Ioffe and Szegedy, arXiv 1502.03167) has
ten, after two convolutions of which the second has a reduction.  This module uses its widths.  That
the second paper means this variant is inferred from these numbers.  The positions and widths of the
auxiliary classifiers are those of the first variant.
"""

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels import Window
from bitnet.nn.containers import Branches, Sequential, WithHeads
from bitnet.nn.conv import AvgPool2d, Flatten, MaxPool2d, QuantConv2d
from bitnet.nn.linear import QuantLinear
from bitnet.nn.models.stages import Stages, pixels, taking

FLOAT = 32
IMAGE, UNITS = (224, 224), (4096, 4096)
POOL = {"kernel_size": 3, "stride": 2}

#          channels, taps, stride, padding, whether a pooling follows
ALEXNET = [
    (64, 11, 4, 2, True),
    (192, 5, 1, 2, True),
    (384, 3, 1, 1, False),
    (256, 3, 1, 1, False),
    (256, 3, 1, 1, True),
]

#            1x1, 3x3 and its reduction, two 3x3 and theirs, pooling and its projection
INCEPTION = {
    "3a": (64, (64, 64), (64, 96), ("average", 32)),
    "3b": (64, (64, 96), (64, 96), ("average", 64)),
    "3c": (0, (128, 160), (64, 96), ("max", 0)),
    "4a": (224, (64, 96), (96, 128), ("average", 128)),
    "4b": (192, (96, 128), (96, 128), ("average", 128)),
    "4c": (160, (128, 160), (128, 160), ("average", 96)),
    "4d": (96, (128, 192), (160, 192), ("average", 96)),
    "4e": (0, (128, 192), (192, 256), ("max", 0)),
    "5a": (352, (192, 320), (160, 224), ("average", 128)),
    "5b": (352, (192, 320), (192, 224), ("max", 128)),
}
HEADS, HEAD_CHANNELS, HEAD_UNITS = ("4a", "4d"), 128, 1024


class _Maker(Stages):
    """A maker of stages that tracks the size of the images and inflates channels."""

    one_bit = QuantLinear, QuantConv2d

    def __init__(
        self, name, rng, image, weight_quantizer, activation_quantizer, inflation, planes, options
    ):
        if not inflation > 0:
            raise InputError(f"{name}: inflation is {inflation!r}; expected a number above 0")
        if (weight_quantizer == FLOAT) != (activation_quantizer == FLOAT):
            raise InputError(
                f"{name}: weight_quantizer is {weight_quantizer} and activation_quantizer "
                f"{activation_quantizer}; expected 1 to 8 for both, or {FLOAT} (floats) for both"
            )
        if weight_quantizer == FLOAT and planes != 8:
            raise InputError(
                f"{name}: input_planes is {planes!r}, and a float net takes float32 images; remove "
                "it, or choose 1 to 8 bits"
            )
        if not isinstance(image, (tuple, list)) or len(image) != 2:
            raise InputError(f"{name}: image is {image!r}; expected rows and columns")
        bits = () if weight_quantizer == FLOAT else (weight_quantizer, activation_quantizer)
        super().__init__(rng, *bits, **options)
        self.size, self.inflation = tuple(image), inflation
        self.takes = "uint8" if bits else "float32", (*image, 3)

    def width(self, channels):
        """Return the inflated number of channels."""
        return max(1, int(channels * self.inflation))

    def shrink(self, *layers):
        """Return the layers, and apply their windows to the size of the images."""
        for layer in layers:
            if isinstance(getattr(layer, "window", None), Window):
                self.size = layer.window.output(*self.size)
        return layers


def alexnet(
    n_classes: int,
    *,
    rng: np.random.Generator,
    image: tuple[int, int] = IMAGE,
    weight_quantizer: int = 1,
    activation_quantizer: int = 1,
    inflation: float = 1,
    units: tuple[int, int] = UNITS,
    input_planes: int = 8,
    **options: str,
) -> Sequential:
    """Return AlexNet: five convolutions and three fully connected layers, each with batch norm.

    64C11/4 - MP3/2 - 192C5 - MP3/2 - 384C3 - 256C3 - 256C3 - MP3/2 - 4096 - 4096 - classes, with
    the poolings before batch norm and no dropout: the authors' `alexnet_binary.py`.

    Parameters
    ----------
    n_classes : int
        Classes; 1000 for ImageNet.
    rng : numpy.random.Generator
        The generator of the initial weights, and of stochastic rounding.
    image : (int, int), optional
        Rows and columns of the images, 63 or more each.
    weight_quantizer, activation_quantizer : int, optional
        Bits of all weights and of all activations, 1 to 8, or 32 for both for a float net.
    inflation : float, optional
        The factor of the channels of the first four convolutions: 3 in the authors' code
        ("ratioInfl"); it is not known whether the published accuracy uses it.
    units : (int, int), optional
        The widths of the hidden fully connected layers.
    input_planes : int, optional
        As for `binary_mlp`.
    **options : str
        The arguments `grad_format` and `rounding` of each quantized layer.

    Returns
    -------
    Sequential
        Takes uint8 pixels of shape (B, *image, 3); a float net takes float32.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> net = alexnet(10, rng=rng, image=(64, 64), inflation=0.25, units=(64, 64))
    >>> net.layers[0], len(net)
    (QuantConv2d(3, 16, 11x11), 27)
    """
    bits, inputs = (weight_quantizer, activation_quantizer), 3
    make = _Maker("alexnet", rng, image, *bits, inflation, input_planes, options)
    layers = pixels(input_planes)
    for i, (channels, size, stride, padding, pools) in enumerate(ALEXNET):
        outputs = make.width(channels) if i < len(ALEXNET) - 1 else channels
        pool = MaxPool2d(**POOL) if pools else None
        stage = make.conv(inputs, outputs, size, pool, stride=stride, padding=padding)
        layers += make.shrink(*stage)
        inputs = outputs
    layers.append(Flatten())
    inputs *= make.size[0] * make.size[1]
    for outputs in units:
        layers += make.linear(inputs, outputs)
        inputs = outputs
    net = Sequential(*layers, *make.linear(inputs, n_classes, act=False))
    return taking(net, *make.takes)


def googlenet(
    n_classes: int,
    *,
    rng: np.random.Generator,
    image: tuple[int, int] = IMAGE,
    weight_quantizer: int = 1,
    activation_quantizer: int = 1,
    inflation: float = 1,
    auxiliary: bool = True,
    input_planes: int = 8,
    **options: str,
) -> Sequential:
    """Return GoogleNet with batch norm: two convolutions, ten inception blocks, one layer.

    An average and a 1x1 convolution can be exchanged, because both are linear. Here the convolution
    comes first, so that both work on packed activations, and batch norm removes the factor of the
    average. The last layer, before the spatial average, is also such a convolution.  The poolings
    of the stem come before batch norm.

    Parameters
    ----------
    n_classes, rng, image, weight_quantizer, activation_quantizer : optional
        As for `alexnet`; the first two are required.
    inflation : float, optional
        The factor of all channels.
    auxiliary : bool, optional
        Add two classifiers in training, after the fourth and the seventh block; `nn.auxiliary`
        makes the loss.
    input_planes, **options : optional
        As for `alexnet`.

    Returns
    -------
    Sequential
        A `WithHeads` if `auxiliary`; takes what `alexnet` takes.

    Examples
    --------
    >>> import numpy as np
    >>> net = googlenet(10, rng=np.random.default_rng(0), image=(64, 64), inflation=0.125)
    >>> sum(isinstance(layer, Branches) for layer in net), list(net.heads)
    (10, [14, 17])
    """
    bits = weight_quantizer, activation_quantizer
    make = _Maker("googlenet", rng, image, *bits, inflation, input_planes, options)
    first, reduced, inputs = map(make.width, (64, 64, 192))
    pools = [MaxPool2d(**POOL, padding=1) for _ in range(2)]
    layers = [
        *pixels(input_planes),
        *make.shrink(*make.conv(3, first, 7, pools[0], stride=2, padding=3)),
        *make.conv(first, reduced, 1),
        *make.shrink(*make.conv(reduced, inputs, 3, pools[1])),
    ]
    heads = {}
    for name, widths in INCEPTION.items():
        branches, inputs = _inception(make, inputs, *widths)
        layers.append(branches)
        if not widths[0]:  # strides of 2 in all branches
            make.shrink(branches.branches[-1][0])
        if name in HEADS:
            heads[len(layers) - 1] = _head(make, inputs, n_classes)
    average = AvgPool2d(make.size)
    layers += [*make.conv(inputs, n_classes, 1, average, act=False)]
    layers.insert(-1, Flatten())
    net = WithHeads(*layers, heads=heads) if auxiliary else Sequential(*layers)
    return taking(net, *make.takes)


def _inception(make, inputs, one, three, double, pooling):
    """Return an inception block and its channels; without a 1x1 branch it halves the images."""
    one, *three, reduced, twice = (make.width(n) if n else 0 for n in (one, *three, *double))
    kind, projection = pooling[0], make.width(pooling[1]) if pooling[1] else 0
    step = {"stride": 1 if one else 2, "padding": 1}
    branches = [make.conv(inputs, one, 1)] if one else []
    branches.append([*make.conv(inputs, three[0], 1), *make.conv(*three, 3, **step)])
    deep = [*make.conv(inputs, reduced, 1), *make.conv(reduced, twice, 3)]
    branches.append([*deep, *make.conv(twice, twice, 3, **step)])
    if kind == "average":
        branches.append(make.conv(inputs, projection, 1, AvgPool2d(3, 1, 1)))
    else:
        project = make.conv(inputs, projection, 1) if projection else []
        branches.append([MaxPool2d(3, **step), *project])
    channels = one + three[1] + twice + (projection or inputs)
    return Branches(*(Sequential(*branch) for branch in branches)), channels


def _head(make, inputs, n_classes):
    """Return an auxiliary classifier: average of 5x5 every 3 pixels, 128 channels, 1024 units."""
    channels, units = make.width(HEAD_CHANNELS), make.width(HEAD_UNITS)
    average = AvgPool2d(tuple(min(5, n) for n in make.size), 3)
    rows, columns = average.window.output(*make.size)
    layers = [*make.conv(inputs, channels, 1, average), Flatten()]
    layers += make.linear(rows * columns * channels, units)
    return Sequential(*layers, *make.linear(units, n_classes, act=False))
