"""Nets by name: the papers' nets, MLPs and ConvNets of any width, and language models.

For images, a name describes the layers between the images and the classes (sizes from the data):

mlp:512,512               fully connected layers of 512 and 512 units
conv:32,32/64,64/256      blocks of 3x3 convolutions of 32, 32 and of 64, 64 channels, each block
                          with a 2x2 max-pooling at its end, then 256 fully connected units
conv:16/                  no fully connected layer except that of the classes
mnist-theano, mnist-torch, cifar10, svhn
                          the papers' nets
bireal, bireal-small, reactnet, quicknet, xnornet, binarydense, binaryduo, keyword
                          nets of later papers; bireal:32 has 32 channels at first
autoencoder               bits of an image, and the image from them

For texts, it describes the layers between the token vectors and the scores of the next token:

rnn:512                   a layer of 512 recurrent units with ReLU, as in the second paper
lstm:300                  a layer of 300 LSTM units, as in the second paper
gru:256,256               two layers of 256 gated recurrent units
"""

import dataclasses
import difflib
import functools
import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels import GATES
from bitnet.nn.containers import Sequential
from bitnet.nn.models import feedforward
from bitnet.nn.models.autoencoder import autoencoder
from bitnet.nn.models.binarydense import binarydense
from bitnet.nn.models.binaryduo import binaryduo
from bitnet.nn.models.bireal import bireal
from bitnet.nn.models.keyword import keyword
from bitnet.nn.models.language import language_model
from bitnet.nn.models.quicknet import quicknet
from bitnet.nn.models.reactnet import reactnet
from bitnet.nn.models.stages import taking
from bitnet.nn.models.xnornet import xnornet
from bitnet.nn.norm import BatchNorm
from bitnet.nn.pixels import ScalePixels

PAPERS = {
    "mnist-theano": ((), tuple(feedforward.MNIST_THEANO[1:-1])),
    "mnist-torch": ((), tuple(feedforward.MNIST_TORCH[1:-1])),
    "cifar10": (feedforward.CIFAR10["blocks"], feedforward.CIFAR10["units"][:-1]),
    "svhn": (feedforward.SVHN["blocks"], feedforward.SVHN["units"][:-1]),
}
# name: the builder, and the channels of its first layer
LATER: dict[str, tuple[Callable[..., Any], int]] = {
    "bireal": (bireal, 64),
    "bireal-small": (functools.partial(bireal, convs=(2, 2, 2)), 32),
    "reactnet": (reactnet, 32),
    "quicknet": (quicknet, 32),
    "xnornet": (xnornet, 32),
    "binarydense": (binarydense, 32),
    "binaryduo": (binaryduo, 32),
    "keyword": (keyword, 32),
    "autoencoder": (autoencoder, 32),
}
MAX_LAYERS, MAX_LAYERS_OF_TEXTS, MAX_WEIGHTS = 100, 20, 1 << 29
WIDTHS = re.compile(r"[1-9]\d{0,6}(,[1-9]\d{0,6})*", re.ASCII)
UNITS = re.compile(r"(rnn|lstm|gru):([1-9]\d{0,5})((?:,[1-9]\d{0,5})*)", re.ASCII)
WIDTH = re.compile(r"[1-9]\d{0,3}", re.ASCII)
EXPECTED = (
    f"one of {', '.join([*PAPERS, *LATER])}, mlp:512,512 (units) or conv:32,32/64,64/256 "
    "(blocks/units)"
)
EXPECTED_OF_TEXTS = "rnn:512, lstm:300 or gru:256,256 (units of each layer)"


BACKWARD = ("grad_format", "rounding", "balance")  # options of layers with bits
# the only values of other options that nets of later papers take
FIXED = {"is_float": False, "dropout": (0.0, 0.0), "norm": "batch"}
FIXED |= {"stochastic": False, "input_planes": 8}


def _check_weights(name, inputs, count):
    """Refuse a net with too many weights for any memory."""
    if count > MAX_WEIGHTS:
        raise InputError(
            f"net {name} for {inputs} has {count} weights; expected at most {MAX_WEIGHTS}"
        )


@dataclasses.dataclass(frozen=True)
class Net:
    """A named net for images: blocks of convolutions, then fully connected units."""

    name: str
    blocks: tuple
    units: tuple
    task = "images"

    @property
    def is_conv(self):
        """Whether it begins with convolutions."""
        return bool(self.blocks)

    def weights(self, image, n_classes):
        """Return the number of weights for images (rows, columns, channels)."""
        rows, columns, channels = image
        count = 0
        for block in self.blocks:
            for outputs in block:
                count, channels = count + 9 * channels * outputs, outputs
            rows, columns = rows // 2, columns // 2
        widths = [rows * columns * channels, *self.units, n_classes]
        return count + sum(n * m for n, m in itertools.pairwise(widths))

    def build(self, image, n_classes, rng, is_float=False, dropout=(0.0, 0.0), **options):
        """Return the model for images (rows, columns, channels), or its float twin without options.

        A ConvNet takes images and has no dropout; an MLP takes rows of pixels.  All pixels are
        uint8; the float twin begins with `ScalePixels`.
        """
        pixels = f"{'x'.join(map(str, image))} pixels"
        _check_weights(self.name, pixels, self.weights(image, n_classes))
        if self.is_conv:
            sizes = tuple(image), self.blocks, (*self.units, n_classes)
            if is_float:
                return _of_pixels(feedforward.float_convnet(*sizes, rng=rng))
            return feedforward.binary_convnet(*sizes, rng=rng, **options)
        sizes = [math.prod(image), *self.units, n_classes]
        if is_float:
            return _of_pixels(feedforward.float_mlp(sizes, rng=rng))
        return feedforward.binary_mlp(sizes, rng=rng, dropout=dropout, **options)


def _of_pixels(net):
    """Return a float net that takes uint8 pixels."""
    return taking(Sequential(ScalePixels(), *net.layers), "uint8", net.takes[1])


@dataclasses.dataclass(frozen=True)
class LaterNet:
    """A named net for images of a later paper, with the channels of its first layer."""

    name: str
    kind: str
    width: int
    is_conv = True

    @property
    def task(self):
        """What it is trained on: labelled images, or for an autoencoder the pixels alone."""
        return "pixels" if self.kind == "autoencoder" else "images"

    def weights(self, image, n_classes):
        """Return the number of weights for images (rows, columns, channels)."""
        named = self.build(image, n_classes, np.random.default_rng(0)).named_parameters()
        return sum(own.size for name, own in named if name.endswith(".weight"))

    def build(self, image, n_classes, rng, lr_scale=1.0, **given):
        """Return the model for images (rows, columns, channels), with the paper's bits."""
        given = given | {"dropout": tuple(given.get("dropout", FIXED["dropout"]))}
        for name, own in given.items():
            if name not in BACKWARD and own != FIXED.get(name):
                came, expected = f"{name} {own!r:.40}", "its paper's bits, and the default recipe"
                raise InputError(f"net {self.name}: got {came}; expected {expected}")
        own = {name: given[name] for name in BACKWARD if name in given}
        classes = () if self.kind == "autoencoder" else (n_classes,)
        net = LATER[self.kind][0](tuple(image), *classes, rng=rng, width=self.width, **own)
        for norm in (layer for layer in net.modules() if isinstance(layer, BatchNorm)):
            norm.gamma.lr_scale = norm.beta.lr_scale = lr_scale
        return net


@dataclasses.dataclass(frozen=True)
class LanguageNet:
    """A named language model: equal recurrent layers between embedding and scores."""

    name: str
    kind: str
    units: int
    layers: int
    task = "texts"

    def weights(self, count, width):
        """Return the number of weights for `count` tokens with vectors of length `width`."""
        rows, inputs, total = GATES[self.kind] * self.units, width, count * width
        for _ in range(self.layers):
            total, inputs = total + rows * (inputs + self.units), self.units
        return total + count * self.units

    def build(self, count, width, rng, **options):
        """Return the model for `count` tokens; options as for `language_model`, default: floats."""
        _check_weights(self.name, f"{count} tokens", self.weights(count, width))
        options |= {"activation": "relu"} if self.kind == "rnn" else {}
        sizes = {"kind": self.kind, "width": width, "units": self.units, "layers": self.layers}
        return language_model(count, rng=rng, **sizes, **options)


def is_language_net(name):
    """Return whether a name begins as that of a language model: rnn:, lstm: or gru:."""
    return isinstance(name, str) and name.partition(":")[0] in GATES


def net_named(name: str) -> "Net | LaterNet | LanguageNet":
    """Return the net with a name.

    Parameters
    ----------
    name : str
        "mnist-theano", "mnist-torch", "cifar10", "svhn"; a key of `LATER`, such as "bireal", or
        "bireal:32" with 32 channels at first; "mlp:UNITS,UNITS,...",
        "conv:CHANNELS,CHANNELS/.../UNITS,..." (blocks of convolutions, each with a pooling at
        its end, then the units of the fully connected layers, which may be omitted), or for
        texts "rnn:UNITS,...", "lstm:UNITS,..." or "gru:UNITS,..." (equal units of each layer).

    Returns
    -------
    Net or LaterNet or LanguageNet

    Raises
    ------
    InputError
        If there is no such net.

    Examples
    --------
    >>> net_named("conv:32,32/64/256")
    Net(name='conv:32,32/64/256', blocks=((32, 32), (64,)), units=(256,))
    >>> net_named("cifar10").weights((32, 32, 3), 10)
    14022016
    >>> net_named("gru:256,256")
    LanguageNet(name='gru:256,256', kind='gru', units=256, layers=2)
    """
    if isinstance(name, str) and name in PAPERS:
        return Net(name, *PAPERS[name])
    if is_language_net(name):
        return _language_net(name)
    kind, _, rest = name.partition(":") if isinstance(name, str) else ("", "", "")
    if kind in LATER and (name == kind or WIDTH.fullmatch(rest)):
        return LaterNet(name, kind, int(rest) if rest else LATER[kind][1])
    *blocks, last = rest.split("/")
    fits = {"mlp": not blocks and last, "conv": blocks}.get(kind)
    texts = [*blocks, last] if last else blocks
    if not fits or len(rest) > 800 or not all(map(WIDTHS.fullmatch, texts)):
        near = difflib.get_close_matches(kind, (*PAPERS, *LATER, "mlp", "conv", *GATES), 1)
        meant = name.replace(kind, near[0], 1) if near else name
        hint = f"; did you mean {meant}?" if meant != name else ""
        raise InputError(
            f"net is {name!r:.80}; expected {EXPECTED}, or for texts {EXPECTED_OF_TEXTS}{hint}"
        )
    widths = [tuple(map(int, text.split(","))) if text else () for text in (*blocks, last)]
    if sum(map(len, widths)) > MAX_LAYERS:
        raise InputError(f"net {name!r:.80} has more than {MAX_LAYERS} layers")
    return Net(name, tuple(widths[:-1]), widths[-1])


def _language_net(name):
    """Return the language model with a name."""
    match = UNITS.fullmatch(name) if len(name) < 200 else None
    if match is None:
        raise InputError(f"net is {name!r:.80}; expected {EXPECTED_OF_TEXTS}")
    units = [int(match[2]), *map(int, filter(None, match[3].split(",")))]
    if len(set(units)) > 1 or len(units) > MAX_LAYERS_OF_TEXTS:
        raise InputError(
            f"net is {name!r:.80}; expected the same units in each layer, and at most "
            f"{MAX_LAYERS_OF_TEXTS} layers"
        )
    return LanguageNet(name, match[1], units[0], len(units))
