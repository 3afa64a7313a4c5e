"""The comparison of a frozen net, or of its C, with its trained model, integer for integer."""

import contextlib
import dataclasses
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import Array, is_array, to_cpu
from bitnet.autograd.trace import trace
from bitnet.deploy.runtime import FrozenNet
from bitnet.devices import on_cpu
from bitnet.errors import InputError
from bitnet.kernels import Bits
from bitnet.nn import Module
from bitnet.nn.functional.conv import QuantizedConv2d
from bitnet.nn.functional.linear import QuantizedLinear
from bitnet.nn.functional.scaled import ScaledLinear

PRODUCTS = QuantizedLinear, QuantizedConv2d, ScaledLinear


@dataclasses.dataclass(frozen=True)
class Agreement:
    """The counts of compared and of differing values of a frozen net and its model."""

    images: int  # inputs that were compared
    integers: int  # their pre-activations, in all layers
    differing_integers: int
    differing_scores: int
    differing_classes: int

    @property
    def is_complete(self) -> bool:
        """Whether nothing differs."""
        return self.differing_integers == self.differing_scores == self.differing_classes == 0


def compare(model: Module | FrozenNet, net: Any, *inputs: Array | Bits) -> Agreement:
    """Compare every pre-activation, score and class of a frozen net with its trained model.

    A compiled net (`bitnet.export.Compiled`) is compared in the same way: with the trained
    model, or with the frozen net.

    Parameters
    ----------
    model : Module or FrozenNet
        The trained model, which is evaluated in evaluation mode; or a frozen net.
    net : FrozenNet or Compiled
        The net that `freeze` returned for it; or that net in C, of which the integers that it does
        not compute, and integers in place of scores, are not compared.
    *inputs : numpy.ndarray or Bits
        One or more inputs, as for `net.scores`; the net prepares them, also for the model.

    Returns
    -------
    Agreement
        The numbers of compared and of differing values.

    Raises
    ------
    InputError
        If the inputs do not fit, or the net was frozen from a different model.

    Examples
    --------
    >>> from bitnet import freeze
    >>> from bitnet.nn.models.feedforward import binary_mlp
    >>> model = binary_mlp([784, 64, 10], rng=np.random.default_rng(0))
    >>> x = np.arange(3 * 784).astype(np.uint8).reshape(3, 784)
    >>> agreement = compare(model, freeze(model), x)
    >>> agreement.integers, agreement.is_complete
    (222, True)
    """
    frozen = getattr(net, "net", net)  # of a compiled one
    if not isinstance(model, (Module, FrozenNet)) or not isinstance(frozen, FrozenNet):
        came = f"{type(model).__name__} and {type(net).__name__}"
        raise InputError(f"compare: got {came}; expected the trained Module, then the FrozenNet")
    taken = frozen.check_inputs(*(frozen.prepare(to_cpu(x)) for x in inputs))
    if 0 in taken[0].shape:
        raise InputError("compare: got no inputs; expected 1 or more")
    counts, n = np.zeros(4, np.int64), len(taken[0])
    step = frozen.batch if frozen.graph.is_by_row else n
    with on_cpu(model) if isinstance(model, Module) else contextlib.nullcontext():
        for start in range(0, n, step):
            rows = tuple(x[start : start + step] for x in taken) if step < n else taken
            counts += _differences(model, net, rows)
    return Agreement(n, *counts.tolist())


def _differences(model, net, rows):
    """Return the number of integers, and of differing integers, scores and classes."""
    frozen = getattr(net, "net", net)
    expected = _trained_integers if isinstance(model, Module) else _frozen_integers
    shapes, trained, scores = expected(model, rows)
    if [layer.bits.shape for layer in frozen.integer_layers] != shapes:
        came = f"{frozen}, whose weights differ in shape from those of {model!r:.200}"
        raise InputError(f"compare: got {came}; expected the net that freeze returned for it")
    found = net.pre_activations(*rows, prepared=True)
    found_scores = to_cpu(net.scores(*rows, prepared=True))
    differ = [np.ma.array(a != b) for a, b in zip(trained, found, strict=True)]
    unequal = _numbers(scores) != _numbers(found_scores)
    classes = unequal.reshape(len(unequal), -1).any(axis=1).sum() if unequal.ndim else 0
    if found_scores.ndim == 2 and is_array(found_scores):
        classes = (scores.argmax(axis=1) != found_scores.argmax(axis=1)).sum()
    return [
        sum(own.count() for own in differ),
        sum(own.filled(False).sum() for own in differ),
        0 if getattr(net, "gives_order", False) else unequal.sum(),
        classes,
    ]


def _numbers(x) -> np.ndarray:
    """Return scores as an array."""
    return np.asarray(x.signs() if isinstance(x, Bits) else getattr(x, "integers", lambda: x)())


def _frozen_integers(net, rows):
    """Return the shapes of the weights of each product, its integers, and the first output."""
    shapes = [layer.bits.shape for layer in net.integer_layers]
    run = net.pre_activations(*rows, prepared=True), to_cpu(net.scores(*rows, prepared=True))
    return shapes, *run


def _trained_integers(model, rows) -> tuple[list[Any], list[Any], Any]:
    """Return the shapes of the weights of each product, its integers, and the first output."""
    graph = trace(model, *rows)

    def data(ref):
        return (graph.nodes[ref].result if isinstance(ref, int) else graph.named[ref]).data

    shapes, integers = [], []
    for node in graph.nodes:
        if issubclass(node.function, PRODUCTS):
            x, weight = map(data, node.inputs[:2])
            is_scaled = node.function is ScaledLinear
            shapes.append(weight.shape)
            z = kernels.plane_gemm(kernels.merge_rows(x), weight) if is_scaled else node.result.data
            integers.append(to_cpu(z))
    return shapes, integers, to_cpu(data(graph.outputs[0]))
