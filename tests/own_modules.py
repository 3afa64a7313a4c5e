"""Modules as a user writes them, for the tests of whole models."""

import numpy as np

from bitnet.nn import Module, Sequential
from bitnet.nn import functional as F  # noqa: N812

FUNCTIONS = {
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "abs": lambda x: abs(x),
    "negate": lambda x: -x,
    "halved": lambda x: x / 2,
    "third": lambda x: 1.0 / (abs(x) + 3.0),
    "from 1": lambda x: 1.0 - x,
    "twice": lambda x: x + x,
    "square": lambda x: x * x,
    "power": lambda x: x**2,
    "exp": lambda x: (0 - abs(x)).exp(),
    "log": lambda x: (abs(x) + 1.0).log(),
    "positive": lambda x: (x > 0) * x,
    "above mean": lambda x: x - x.mean(axis=-1, keepdims=True),
    "centred": lambda x: x - x.mean(axis=0),
    "float": lambda x: x * (1 / 255),
    "spread": lambda x: x[..., 0:1] + np.float32([0.5, -0.5, 0.0, 3.0]),
    "by position": lambda x: x * np.arange(1 - x.shape[1], 1, dtype=np.float32)[:, None, None],
    "clamp": lambda x: x.clamp(-0.5, 0.75),
    "maximum": lambda x: F.maximum(x, -x),
    "where": lambda x: F.where(x[..., :1] > 0, x, 0.5),
    "softmax": lambda x: x.softmax(),
    "deviation": lambda x: x.std(axis=-1, keepdims=True) - x.min(axis=-1, keepdims=True),
    "stacked": lambda x: F.stack(x, -x, axis=1).sum(axis=1),
    "unpack": F.unpack,
    "unpack 64": lambda x: F.unpack(x, np.float64),
    "max": lambda x: x.max(axis=1),
    "sum": lambda x: x.sum(axis=(1, 2)) if x.ndim == 4 else x.sum(axis=1, keepdims=True),
    "mean": lambda x: x.mean(axis=(1, 2)) if x.ndim == 4 else x.mean(axis=1, keepdims=True),
    "first": lambda x: x[..., : max(1, x.shape[-1] // 2)],
    "last": lambda x: x[..., x.shape[-1] // 2 :],
    "every other": lambda x: x[:, ::2],
    "one channel": lambda x: x[..., 0:1],
    "backwards": lambda x: x[..., list(range(x.shape[-1]))[::-1]],
    "transpose": lambda x: x.transpose(0, 2, 1, 3) if x.ndim == 4 else x.T.transpose(),
    "rows": lambda x: x.reshape(x.shape[0], -1),
    "pairs": lambda x: x.reshape(len(x) * 2, x.shape[-1] // 2).reshape(len(x), x.shape[-1]),
    "image": lambda x: x.reshape(-1, 1, 1, x.shape[1]),
}


class Apply(Module):
    """One of the functions above."""

    shown = ("name",)

    def __init__(self, name):
        self.name = name

    def forward(self, x):
        return FUNCTIONS[self.name](x)


class Shortcut(Module):
    """x + body(x), with numbers that may be real."""

    shown = ("body",)

    def __init__(self, body):
        self.body = body

    def forward(self, x):
        return x + self.body(x)


class Nested(Module):
    """Layers in lists in a list, applied in order."""

    shown = ("stages",)

    def __init__(self, *stages):
        self.stages = [list(stage) for stage in stages]

    def forward(self, x):
        for stage in self.stages:
            for layer in stage:
                x = layer(x)
        return x


class Twice(Module):
    """One layer, applied two times."""

    shown = ("body",)

    def __init__(self, body):
        self.body = body

    def forward(self, x):
        return self.body(self.body(x))


class Several(Module):
    """A body and heads; it returns what the heads return, and what the body does."""

    shown = ("body", "heads")

    def __init__(self, body, *heads):
        self.body, self.heads = body, list(heads)

    def forward(self, x):
        x = self.body(x)
        return *(head(x) for head in self.heads), x


class Joined(Module):
    """Two inputs, each with its layers, side by side before the others."""

    shown = ("left", "right", "end")

    def __init__(self, left, right, end):
        self.left, self.right, self.end = left, right, end

    def forward(self, x, y):
        return self.end(F.concatenate(self.left(x), self.right(y)))


class Classifier(Module):
    """Recurrent layers over (T, B, N), and a head on the last step, or on the step of a length."""

    shown = ("before", "recurrent", "head", "step")

    def __init__(self, before, recurrent, head, step=1):
        self.before, self.recurrent, self.head, self.step = before, recurrent, head, step

    def forward(self, x, lengths=None):
        x = self.before(x)
        y, _ = self.recurrent(x[::-1] if self.step < 0 else x)
        if lengths is None:
            return self.head(y[-1])
        return self.head(y[lengths - 1, np.arange(y.shape[1])])


def in_order(layers, how):
    """Return layers as a Sequential, nested in one of three ways."""
    if how == "lists" and layers:
        half = len(layers) // 2
        return Nested(layers[:half], layers[half:])
    if how == "nested" and len(layers) > 1:
        return Sequential(Sequential(*layers[:1]), Sequential(*layers[1:]))
    return Sequential(*layers)
