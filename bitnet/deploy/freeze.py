"""Freezing: from any trained model to a graph of bits, integer thresholds and float operations."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from bitnet import kernels, nn
from bitnet.arrays import nested, plain, to_cpu
from bitnet.autograd import Tensor
from bitnet.autograd.trace import flat, trace
from bitnet.data.vocabulary import Vocabulary
from bitnet.deploy.freezer import Freezer
from bitnet.deploy.language import FrozenLanguageModel
from bitnet.deploy.runtime import FrozenNet
from bitnet.deploy.sizes import Size
from bitnet.deploy.sources import Ids, Input
from bitnet.devices import on_cpu
from bitnet.errors import InputError
from bitnet.kernels import Bits
from bitnet.nn.models import LanguageModel, takes_of
from bitnet.nn.module import evaluating

BATCHES = 2, 3  # of the two traces


@overload
def freeze(model: LanguageModel, *, vocabulary: Any = None) -> FrozenLanguageModel: ...
@overload
def freeze(
    model: nn.Module, example: Any = None, *, axes: Sequence[str] | None = None
) -> FrozenNet: ...
def freeze(
    model: nn.Module,
    example: Any = None,
    *,
    axes: Sequence[str] | None = None,
    vocabulary: Vocabulary | Sequence[str] | None = None,
) -> FrozenNet | FrozenLanguageModel:
    """Return a frozen net that equals a model in evaluation mode, bit for bit.

    Any Module can be frozen that computes with layers and functions of bitnet.  The operations of
    the model are recorded (`autograd.trace`).  What depends on no input is computed once.  A sign
    or k-bit quantizer after integers becomes integer thresholds, into which batch norm and other
    monotone operations disappear.  All other operations stay, and are computed by the same
    kernels, so integers, scores and classes are equal to the last bit.

    Parameters
    ----------
    model : Module
        The trained model, which does not change.
    example : array, Bits, or tuple of them, optional
        One or more inputs, a tuple for a model with several: uint8 pixels, Bits or float32 numbers,
        or integer ids.  Models of `nn.models`, and Sequentials that begin with a linear layer, need
        none.
    axes : sequence of str, optional
        For each input the leading axes whose sizes may vary: "B" (default), or "TB" or "BT" for
        sequences (T, B, ...) or (B, T, ...).
    vocabulary : Vocabulary or sequence of str, optional
        The words or characters of a LanguageModel, to be stored in its file.  With a Vocabulary,
        the file also stores which of the two they are, as `bitnet predict` and `bitnet evaluate`
        need.

    Returns
    -------
    FrozenNet or FrozenLanguageModel
        The net, with the model's integer pre-activations and scores for every input.

    Raises
    ------
    InputError
        If the model holds NaN or infinity, computes with other functions than those of bitnet or
        with integers that int32 may not hold, or is different from batch to batch.

    Examples
    --------
    >>> import bitnet
    >>> rng = np.random.default_rng(0)
    >>> freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng)).layers[0].bits
    Bits(shape=(64, 784), 6656 bytes)
    >>> few = {"width": 8, "units": 16, "weight_quantizer": 2, "activation_quantizer": 4}
    >>> freeze(bitnet.nn.models.language_model(50, rng=rng, kind="gru", **few))
    FrozenLanguageModel(50-8-16 gru-50)
    """
    if not isinstance(model, nn.Module):
        came = type(model).__name__
        raise InputError(f"freeze: got {came}; expected a Module, such as a Sequential")
    is_text = isinstance(model, LanguageModel)
    if vocabulary is not None and not is_text:
        came = f"a vocabulary for a {type(model).__name__}"
        raise InputError(f"freeze: got {came}; remove it, or freeze a LanguageModel")
    _check_numbers(model)
    with on_cpu(model):
        arguments = _example(model, example)
        found: list[Any] = []

        def numbered(x):
            found.append(x)
            return len(found) - 1

        structure = nested(arguments, numbered)
        if is_text and axes is None:
            axes = ["TB", *["B"] * (len(found) - 1)]
        axes = _checked_axes(found, axes)
        graphs = []
        both = _sizes(found, axes)
        for sizes, change in zip(both, (lambda x: x, _other), strict=True):
            pairs = zip(found, axes, strict=True)
            own = [change(_sized(x, names, sizes)) for x, names in pairs]
            graphs.append(trace(model, *nested(structure, own.__getitem__), expanded=True))
        inputs = [_input(x, names) for x, names in zip(found, axes, strict=True)]
        graph = Freezer(graphs, both, inputs).graph()
        _check(graph, model, structure, [x.data for x in graphs[0].inputs.values()])
    if not is_text:
        return FrozenNet(graph)
    if isinstance(vocabulary, Vocabulary):
        return FrozenLanguageModel(graph, vocabulary.words, vocabulary.unit)
    return FrozenLanguageModel(graph, vocabulary)


def _example(model, example):
    """Return the arguments of a model, one per input, from what is given or known of the model."""
    if example is not None:
        return example if isinstance(example, tuple) else (example,)
    takes = takes_of(model)
    if takes is None:
        came = f"no example for {model!r:.80}, whose input has no known shape"
        raise InputError(f"freeze: got {came}; pass one, such as train_images[:1]")
    kind, shape = takes
    if isinstance(model, LanguageModel):
        ids = np.zeros((1, 1), np.int64)
        with evaluating(model):
            _, state = model(ids)
        return ids, state
    most = 0 if kind == "int64" else 255  # ids: there may be few rows in a table
    return ((most * np.random.default_rng(0).random((1, *shape))).astype(kind),)


def _checked_axes(found, axes):
    """Return the names of the leading axes of each input; refuse unknown ones."""
    axes = ["B"] * len(found) if axes is None else [axes] if isinstance(axes, str) else list(axes)
    fits = len(axes) == len(found) and all(own in ("B", "TB", "BT") for own in axes)
    if not fits or not found:
        expected = f'"B", "TB" or "BT" for each of {len(found)} inputs'
        raise InputError(f"freeze: axes are {axes!r:.60}; expected {expected}")
    return axes


def _sizes(found, axes):
    """Return the variable sizes of both traces; the steps are at least those of the example."""
    pairs = zip(found, axes, strict=True)
    steps = max([2, *(_array(x).shape[names.index("T")] for x, names in pairs if "T" in names)])
    more = 3 if steps == 4 else 2  # the sizes of B and T are not proportional
    both = zip(BATCHES, (steps, steps + more), strict=True)
    return tuple({"B": n, "T": t} for n, t in both)


def _array(x):
    """Return an example as Bits, uint8, int64 or float32."""
    x = to_cpu(x.data if isinstance(x, Tensor) else x)
    if isinstance(x, Bits):
        return x
    x = plain(x, "freeze: the example")
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind not in "fiu":
        expected = "uint8 pixels, Bits, float32 numbers or integer ids"
        raise InputError(f"freeze: the example holds {x.dtype}; expected {expected}")
    return x.astype(np.float32 if x.dtype.kind == "f" else np.int64)


def _sized(x, names, sizes):
    """Return an example whose leading axes have these sizes; its elements repeat."""
    x = _array(x)
    if len(x.shape) < len(names) + isinstance(x, Bits) or 0 in x.shape:
        expected = "one input or more: (B, ...), or (T, B, ...) with axes"
        raise InputError(f"freeze: the example has the shape {x.shape}; expected {expected}")
    for axis, name in enumerate(names):
        index = np.arange(sizes[name]) % x.shape[axis]
        x = x[index] if axis == 0 else x[:, index]
    return x


def _other(x):
    """Return an example with other numbers, so that constants are told from what depends on it."""
    if isinstance(x, Bits) or x.dtype == np.int64:
        return x
    return 255 - x if x.dtype == np.uint8 else x * np.float32(0.75)


def _input(x, names):
    """Return the input node for an example."""
    x = _array(x)
    kinds = {"uint8": "pixels", "float32": "numbers", "int64": "ids"}
    kind = "signs" if isinstance(x, Bits) else kinds[str(x.dtype)]
    shape = (*(Size(1, (name,)) for name in names), *x.shape[len(names) :])
    return (Ids if kind == "ids" else Input)(kind, (), shape)


def _check_numbers(model):
    """Refuse NaN and infinity, and cached signs that differ from those of the weights."""
    for name, array in model.state_dict().items():
        if not np.isfinite(array).all():
            how = "the training diverged, so train again with a smaller learning rate"
            raise InputError(f"freeze: {name} holds NaN or infinity; {how}")
    for name, parameter in model.named_parameters():
        if getattr(parameter, "has_signs", False) and parameter.signs != kernels.pack(
            parameter.data
        ):
            came = f"{name} differs from its cached signs"
            raise InputError(
                f"freeze: {came}; call weight.edit() before each change of weight.data"
            )


def _check(graph, model, structure, inputs):
    """Refuse a graph whose results differ from the model's own on the example."""
    leaves = iter(inputs)
    with evaluating(model):
        expected = flat(model(*nested(structure, lambda _: Tensor(next(leaves)))))
    taken = [node.taken("freeze", x) for node, x in zip(graph.inputs, inputs, strict=True)]
    for own, result in zip(graph.run(*taken), expected, strict=True):
        if not _equal(own, to_cpu(result.data)):
            raise InputError(
                "freeze: the frozen net and the model differ on the example; a Function's method "
                "frozen must return the numbers of its forward pass, bit for bit"
            )


def _equal(a, b):
    """Return whether two results have the same bits."""
    if isinstance(a, kernels.BitPlanes):
        return a.bits.equals(b.bits)
    return a.equals(b) if isinstance(a, Bits) else np.array_equal(a, b, equal_nan=True)
