"""Frozen nets of many kinds of nodes for the tests of files, and changes of their headers."""

import functools
import json

import numpy as np
from own_modules import Apply, Classifier, Several, Shortcut

import bitnet
from bitnet import nn
from bitnet.deploy.language import FrozenLanguageModel
from bitnet.deploy.runtime import FrozenNet
from bitnet.deploy.sizes import Size


def sizes_of(graph, n):
    """Return the variable sizes of a graph by name, each n."""
    sizes = (size for value in graph.values for size in value.shape if isinstance(size, Size))
    return dict.fromkeys((name for size in sizes for name in size.names), n)


def mlp():
    """Return a binarized MLP of pixels."""
    return bitnet.freeze(nn.models.binary_mlp([9, 5, 3], rng=np.random.default_rng(0)))


def images():
    """Return a net of images with k bits, branches, pools, groups and floats."""
    rng = np.random.default_rng(1)
    conv = functools.partial(nn.QuantConv2d, rng=rng)
    stem = nn.Conv2d(2, 4, 3, padding="same", rng=rng), nn.PReLU(4), nn.MaxPool2d(2)
    body = nn.Sign(), conv(4, 4, 3, padding=1, groups=2, border=1, weight_quantizer=2)
    block = Shortcut(nn.Sequential(*body, nn.BatchNorm(4)))
    left = nn.Sequential(conv(4, 3, 1), nn.BatchNorm(3), nn.Quantize(2))
    right = nn.Sequential(nn.MaxPool2d(3, 1, 1))
    middle = nn.Quantize(2), nn.Branches(left, right), conv(7, 6, 1), nn.AvgPool2d(2, 1)
    end = nn.BatchNorm(6), nn.Sign(), nn.Flatten(), nn.QuantLinear(12, 3, rng=rng)
    model = nn.Sequential(Apply("float"), *stem, block, *middle, *end, nn.BatchNorm(3))
    model = Several(model, Apply("first"), Apply("backwards"), Apply("positive"), Apply("power"))
    return bitnet.freeze(model, np.zeros((1, 4, 6, 2), np.uint8))


def sequences():
    """Return a classifier of sequences with lengths."""
    rng = np.random.default_rng(2)
    few = {"weight_quantizer": 2, "activation_quantizer": 3}
    before = nn.Sequential(nn.Embedding(5, 4, rng=rng))
    layer = nn.LSTM(4, 3, rng=rng, num_layers=2, **few)
    head = nn.Sequential(nn.ScaledLinear(3, 2, rng=rng, **few), nn.Linear(2, 2, rng=rng))
    example = np.zeros((2, 1), np.int64), np.ones(1, np.int64)
    return bitnet.freeze(Classifier(before, layer, head), example, axes=["TB", "B"])


def language():
    """Return a language model."""
    few = {"weight_quantizer": 2, "activation_quantizer": 3, "kind": "gru", "layers": 2}
    model = nn.models.language_model(5, rng=np.random.default_rng(4), width=3, units=4, **few)
    return bitnet.freeze(model, vocabulary=["a", "b", "c", "d", "<unk>"])


NETS = {"mlp": mlp, "images": images, "sequences": sequences, "language": language}


@functools.cache
def contents(name):
    """Return the header of a net as text, and its arrays."""
    header, arrays = NETS[name]().contents()
    return json.dumps(header), arrays


def read(name, header, arrays):
    """Return the net with a header and arrays, of the kind of the net with this name."""
    kind = FrozenLanguageModel if name == "language" else FrozenNet
    return kind.from_contents(header, arrays)


def opened(name):
    """Return a header and arrays that may be changed."""
    text, arrays = contents(name)
    return json.loads(text), dict(arrays)


def places(header, at=()):
    """Return the paths of all values in a header."""
    found = [at] if at else []
    pairs = header.items() if isinstance(header, dict) else enumerate(header)
    for key, own in pairs:
        found += places(own, (*at, key)) if isinstance(own, (dict, list)) else [(*at, key)]
    return found


def put(header, path, value):
    """Change the value at a path."""
    for key in path[:-1]:
        header = header[key]
    header[path[-1]] = value


def node(header, kind):
    """Return the number and the header of the first node of a kind, of the second for "kind 2"."""
    kind, second = kind.removesuffix(" 2"), kind.endswith(" 2")
    return [(i, own) for i, own in enumerate(header["nodes"]) if own["kind"] == kind][second]
