"""Nets by name: the papers' own, and MLPs and ConvNets of any widths.

A name says what lies between the images and the classes, which both come from the data:

mlp:512,512               fully connected layers of 512 and 512 units
conv:32,32/64,64/256      blocks of 3x3 convolutions of 32, 32 and of 64, 64 channels, each block
                          with a 2x2 max-pooling at its end, then 256 fully connected units
conv:16/                  no fully connected units but those of the classes
mnist-theano, mnist-torch, cifar10, svhn
                          the papers' nets
"""

import dataclasses
import itertools
import math
import re

from bitnet.errors import InputError
from bitnet.nn.models import feedforward

__all__ = ["PAPERS", "Net", "net_named"]

PAPERS = {
    "mnist-theano": ((), tuple(feedforward.MNIST_THEANO[1:-1])),
    "mnist-torch": ((), tuple(feedforward.MNIST_TORCH[1:-1])),
    "cifar10": (feedforward.CIFAR10["blocks"], feedforward.CIFAR10["units"][:-1]),
    "svhn": (feedforward.SVHN["blocks"], feedforward.SVHN["units"][:-1]),
}
MAX_LAYERS, MAX_WEIGHTS = 100, 1 << 29
WIDTHS = re.compile(r"[1-9]\d{0,6}(,[1-9]\d{0,6})*", re.ASCII)
EXPECTED = f"one of {', '.join(PAPERS)}, mlp:512,512 (units) or conv:32,32/64,64/256 (blocks/units)"


@dataclasses.dataclass(frozen=True)
class Net:
    """What lies between the images and the classes.

    Attributes
    ----------
    name : str
        As `net_named` takes it.
    blocks : tuple of tuple of int
        The channels of the convolutions of each block; none for an MLP.
    units : tuple of int
        The widths of the fully connected layers but the last.

    Examples
    --------
    >>> net_named("conv:32,32/64/256")
    Net(name='conv:32,32/64/256', blocks=((32, 32), (64,)), units=(256,))
    """

    name: str
    blocks: tuple
    units: tuple

    @property
    def is_conv(self):
        """Whether it begins with convolutions."""
        return bool(self.blocks)

    def weights(self, image, n_classes):
        """How many weights the layers have in all, for images (rows, columns, channels)."""
        rows, columns, channels = image
        count = 0
        for block in self.blocks:
            for outputs in block:
                count, channels = count + 9 * channels * outputs, outputs
            rows, columns = rows // 2, columns // 2
        widths = [rows * columns * channels, *self.units, n_classes]
        return count + sum(n * m for n, m in itertools.pairwise(widths))

    def build(self, image, n_classes, rng, is_float=False, dropout=(0.0, 0.0), **options):
        """The model for images (rows, columns, channels), of few bits or its float twin.

        Parameters
        ----------
        image : (int, int, int)
            Rows, columns and channels.
        n_classes : int
            Classes.
        rng : numpy.random.Generator
            The source of all that the model draws.
        is_float : bool, optional
            The float twin; it takes no options.
        dropout : pair of float, optional
            As for `feedforward.binary_mlp`; not for ConvNets.
        **options
            As for `feedforward.binary_mlp` and `models.binary_convnet`.

        Returns
        -------
        Sequential
            Takes rows of pixels, or images if it begins with convolutions.

        Raises
        ------
        InputError
            If there would be too many weights, or the images are too small.
        """
        if (count := self.weights(image, n_classes)) > MAX_WEIGHTS:
            raise InputError(
                f"net {self.name} for {'x'.join(map(str, image))} pixels has {count} weights; "
                f"expected at most {MAX_WEIGHTS}"
            )
        if self.is_conv:
            sizes = tuple(image), self.blocks, (*self.units, n_classes)
            if is_float:
                return feedforward.float_convnet(*sizes, rng)
            return feedforward.binary_convnet(*sizes, rng, **options)
        sizes = [math.prod(image), *self.units, n_classes]
        if is_float:
            return feedforward.float_mlp(sizes, rng)
        return feedforward.binary_mlp(sizes, rng, dropout=dropout, **options)


def net_named(name):
    """The net of a name.

    Parameters
    ----------
    name : str
        "mnist-theano", "mnist-torch", "cifar10", "svhn", "mlp:UNITS,UNITS,..." or
        "conv:CHANNELS,CHANNELS/.../UNITS,...": blocks of convolutions, each with a pooling at
        its end, then the units of the fully connected layers, which may be left out.

    Returns
    -------
    Net

    Raises
    ------
    InputError
        If there is no such net.

    Examples
    --------
    >>> net_named("mnist-torch").units
    (2048, 2048, 2048)
    >>> net_named("cifar10").weights((32, 32, 3), 10)
    14022016
    """
    if name in PAPERS:
        return Net(name, *PAPERS[name])
    kind, _, rest = name.partition(":") if isinstance(name, str) else ("", "", "")
    *blocks, units = rest.split("/")
    fits = {"mlp": not blocks and units, "conv": blocks}.get(kind)
    texts = [*blocks, units] if units else blocks
    if not fits or len(rest) > 800 or not all(map(WIDTHS.fullmatch, texts)):
        raise InputError(f"net {name!r:.80}; expected {EXPECTED}")
    *blocks, units = [tuple(map(int, text.split(","))) if text else () for text in [*blocks, units]]
    if sum(map(len, blocks)) + len(units) > MAX_LAYERS:
        raise InputError(f"net {name!r:.80} has more than {MAX_LAYERS} layers")
    return Net(name, tuple(blocks), units)
