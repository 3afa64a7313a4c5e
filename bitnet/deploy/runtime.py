"""A frozen net: bits and integer thresholds where the model has signs, floats where it has floats.

Between the products of bits this is Algorithm 4 of the papers, where one integer comparison
replaces batch norm and sign, and 2^k - 1 comparisons replace batch norm and a k-bit quantizer.
Only NumPy is required; Numba computes the same numbers faster.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from bitnet import kernels
from bitnet.arrays import Array, array_module, like, plain
from bitnet.data.preparation import Preparation
from bitnet.data.targets import TARGETS, predictions
from bitnet.deploy import file
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.html import html_table
from bitnet.deploy.layers import FrozenLayer, layers_of
from bitnet.deploy.node import check_names
from bitnet.devices import full_memory_named, mover
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits

ABOUT, MORE = ("classes", "data", "picture", "prepare"), ("columns", "target")
TITLES = ("layer", "name", "weights", "outputs", "weight bits", "output", "bytes")
# inputs at once: their activations fit into the cache of a processor, or keep a GPU busy
BATCH, BATCH_OF_IMAGES = {"cpu": 200, "gpu": 10_000}, {"cpu": 64, "gpu": 256}


class FrozenNet:
    """A frozen net, as `bitnet.freeze` returns it: a graph whose products are those of bits.

    Parameters
    ----------
    graph : FrozenGraph
        The nodes, from the inputs to the results.

    Attributes
    ----------
    graph : FrozenGraph
        The nodes; their arrays are read-only.
    layers : tuple of FrozenLayer
        The products with their weights and thresholds; `layers[i].bits` are the weights.
    batch : int
        The number of inputs that are computed at once.
    target : str
        "classification", "regression" or "multilabel": what `predict` returns; like the attributes
        below, it may be set.
    classes : tuple of str or None
        The names of the classes, of the numbers of a regression, or of the labels.
    data : str or None
        The name of the data set that the net was trained on.
    picture : (int, int, int) or None
        The rows, columns and channels of the images in that data set.
    columns : tuple of str or None
        The names of the inputs of a net for tables.
    preparation : Preparation or None
        The transformation of such images, which `scores` and `predict` apply first.

    Examples
    --------
    >>> import bitnet
    >>> rng = np.random.default_rng(0)
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng))
    >>> net
    FrozenNet(784-64-10, pixels)
    >>> net.predict(np.zeros((3, 784), np.uint8)).shape
    (3,)
    >>> net.scores(np.zeros((3, 784), np.uint8)).dtype
    dtype('float32')
    """

    kind = file.KIND

    target: str = "classification"
    classes: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    data: str | None = None
    picture: tuple[int, int, int] | None = None
    preparation: Preparation | None = None

    def __init__(self, graph: FrozenGraph) -> None:
        self.graph, self.layers = graph, layers_of(graph)
        self.batch = self._usual_batch()

    @property
    def integer_layers(self) -> list[FrozenLayer]:
        """The layers whose products are integers."""
        return [layer for layer in self.layers if layer.is_integer]

    @property
    def input(self) -> str:
        """The kind of the first input: "pixels", "signs", "numbers" or "ids"."""
        return self.graph.inputs[0].kind

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first input without the batch: (N,), or (H, W, C) for images."""
        return tuple(n for n in self.graph.inputs[0].shape if isinstance(n, int))

    @property
    def device(self) -> str:
        """The device of the arrays, "cpu" or "gpu"."""
        return "cpu" if array_module(self.graph.array) is np else "gpu"

    def to(self, device: str) -> Self:
        """Move the net to a device and return it.

        Inputs may be on either device; results are on the device of the inputs.
        """
        move = mover(device)
        with full_memory_named():
            self._put(self.graph.moved(move))
        return self

    def compile(self) -> Self:
        """List the operations of the net for one compiled loop, and return the net.

        The first call of `scores` or `predict` does the same.  The loop computes a batch in one
        call, in blocks of inputs whose values stay in the cache, and gives the same numbers as the
        nodes one by one.  It is compiled once for all nets, by Numba, and cached in a file.  The
        nodes without an operation are computed one by one between such calls: see `execution`.

        Returns
        -------
        FrozenNet
            The net itself.

        Examples
        --------
        >>> import bitnet
        >>> rng = np.random.default_rng(0)
        >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng)).compile()
        >>> net.execution.startswith(("one call", "node by node"))
        True
        """
        if kernels.implementation() == "numba" and self.graph.loop is not None:
            self.graph.loop.warm()
        return self

    @property
    def execution(self) -> str:
        """How inputs are computed: "one call", some calls and node by node, or "node by node".

        The text names the nodes that the compiled loop has no operation for, or another reason.
        """
        if kernels.implementation() != "numba":
            return f"node by node: the kernels are those of {kernels.implementation()!r}"
        return self.graph.execution

    def _moved(self, move):
        """Return a copy of the net with moved arrays; see `bitnet.arrays.moved`."""
        net = copy.copy(self)
        net._put(self.graph.moved(move))
        return net

    def _put(self, graph):
        """Replace the graph by one on another device, and `batch` by its default there."""
        usual = self.batch == self._usual_batch()
        self.graph, self.layers = graph, layers_of(graph)
        self.batch = self._usual_batch() if usual else self.batch

    def _usual_batch(self):
        """Return the default number of inputs that are computed at once."""
        convolves = any("conv" in node.kind for node in self.graph.nodes)
        return (BATCH_OF_IMAGES if convolves else BATCH)[self.device]

    @property
    def sizes(self) -> list[int]:
        """The elements of an input, then the units or channels of each layer."""
        return [math.prod(self.shape), *(layer.units for layer in self.layers)]

    @property
    def is_chain(self) -> bool:
        """Whether each value has one reader, so that the layers follow one another."""
        pairs = zip(self.graph.nodes, self.graph.readers, strict=True)
        return all(len(readers) == 1 for node, readers in pairs if node.arity[0] or readers != [])

    def __repr__(self) -> str:
        about = ", ".join(node.kind for node in self.graph.inputs)
        if self.preparation is not None:
            about += f" prepared by {' '.join(self.preparation.header['steps'])}"
        if self.is_chain and all(layer.kind in ("linear", "conv") for layer in self.layers):
            pairs = zip(self.layers, self.sizes[1:], strict=True)
            names = [f"{m}C" if layer.kind == "conv" else str(m) for layer, m in pairs]
        else:
            last = self.graph.values[self.graph.outputs[0]].shape[-1:]
            names = [f"{len(self.layers)} layers", "x".join(map(str, last))]
        first = ["x".join(map(str, self.shape))] if self.shape else []  # ids have no shape
        return f"FrozenNet({'-'.join([*first, *names])}, {about})"

    def _repr_html_(self) -> str:
        """Return a table of the layers for a notebook."""
        rows = []
        for layer in self.layers:
            shapes = layer.bits.shape, [n for n in layer.outputs.shape if isinstance(n, int)]
            sizes = ("x".join(map(str, shape)) for shape in shapes)
            bits = weight_bits(layer), output_type(layer)
            n_bytes = sum(a.nbytes for i in owned(self.graph, layer) for a in self._contents_of(i))
            rows.append((repr(layer), layer.name, *sizes, *map(str, bits), f"{n_bytes:,}"))
        return html_table(repr(self), TITLES, rows)

    def _contents_of(self, i):
        """Return the arrays of a node in a file."""
        return self.graph.nodes[i].contents()[1].values()

    def prepare(self, images: Array | Bits) -> Array | Bits:
        """Return prepared inputs for uint8 images (B, H, W[, C]) as in files."""
        if self.preparation is None:
            return images
        images, own = plain(images, "images"), tuple(self.preparation.header["image"])
        if images.ndim > 2 and images.shape[1:] in ((*own, 1), own[:2]) and own[2:] in ((), (1,)):
            images = images.reshape(len(images), *own)  # the axis of a single channel is optional
        return self.preparation(images)

    def check_inputs(self, *inputs: Array | Bits) -> tuple[Array | Bits, ...]:
        """Return prepared inputs in the form that the nodes take; refuse others."""
        if len(inputs) != len(self.graph.inputs):
            n = len(self.graph.inputs)
            expected = f"{n} input{'s' if n > 1 else ''}"
            raise InputError(f"{self}: got {len(inputs)} inputs; expected {expected}")
        pairs = zip(self.graph.inputs, inputs, strict=True)
        taken = tuple(node.taken(self, x) for node, x in pairs)
        if len(taken) > 1:
            self.graph.sizes(taken)
        return taken

    def _taken(self, inputs, prepared):
        """Return checked inputs on the device of the net."""
        if self.preparation is not None and not prepared:
            inputs = tuple(map(self.prepare, inputs))
        return like(self.check_inputs(*inputs), self.graph.array)

    def _of_pixels(self, inputs, prepared, classes):
        """Return the scores or classes of an array of pixels at once, or None for other inputs."""
        if len(inputs) == 1 and (prepared or self.preparation is None):
            return self.graph.of_pixels(inputs[0], classes)
        return None

    def pre_activations(self, *inputs: Array | Bits, prepared: bool = False) -> list[Array]:
        """Return the integers of each product, before pooling, for inputs of `scores`.

        They are int32 arrays (B, M) or (B, H, W, M).
        """
        with full_memory_named():
            values = self.graph.run_all(*self._taken(inputs, prepared))
            return [like(values[layer.number], inputs[0]) for layer in self.integer_layers]

    def run(self, *inputs: Array | Bits, prepared: bool = False) -> tuple[Array | Bits, ...]:
        """Return all results of the model, nested tuples flattened, for inputs of `scores`."""
        if (scores := self._of_pixels(inputs, prepared, False)) is not None:
            return (scores,)
        with full_memory_named():
            taken = self._taken(inputs, prepared)
            n, graph = len(taken[0]), self.graph
            if n <= self.batch or not graph.is_by_row:
                results = graph.run(*taken)
            else:
                starts = range(0, n, self.batch)
                each = [graph.run(*(x[i : i + self.batch] for x in taken)) for i in starts]
                results = [_joined(parts) for parts in zip(*each, strict=True)]
            return like(tuple(results), inputs[0])

    def scores(self, *inputs: Array | Bits, prepared: bool = False) -> Array:
        """Return the scores of the classes, float32 (B, C), or what the model returns first.

        For "pixels", an input is uint8 (B, N), or (B, H, W) with N pixels in all; for images
        (B, H, W, C), or (B, H, W) if C is 1.  For "signs", it is Bits, or an array of +1 and -1;
        for "numbers" float32; for "ids" integers.  B may be 0.  A net with a `preparation` applies
        it, unless `prepared` says that `prepare` has done so.
        """
        return self.run(*inputs, prepared=prepared)[0]

    def predict(self, *inputs: Array | Bits, prepared: bool = False) -> Array:
        """Return the classes, int64 (B,): the index of the largest of the `scores`.

        The `target` "regression" gives the scores, (B, K), or (B,) if K is 1; "multilabel" gives
        whether each score is above 0, bool (B, K).
        """
        by_class = self.target == "classification"
        if by_class and (classes := self._of_pixels(inputs, prepared, True)) is not None:
            return classes
        return predictions(self.scores(*inputs, prepared=prepared), self.target)

    def save(self, path: Path | str | BinaryIO) -> None:
        """Write the net to a file or a binary stream, completely or not at all.

        What `bitnet.load` would refuse, such as `classes` that are not text, is refused.
        """
        file.save(self, path)

    def contents(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the header of the net in a file, and its arrays by name."""
        header, arrays = self.graph.contents()
        prepare = self.preparation
        header |= {"classes": self.classes, "data": self.data, "picture": self.picture}
        header |= {"prepare": prepare and prepare.header}
        header |= {"columns": self.columns} if self.columns is not None else {}
        header |= {"target": self.target} if self.target != TARGETS[0] else {}
        kept = {} if prepare is None else prepare.arrays
        return header, arrays | {f"prepare.{name}": array for name, array in kept.items()}

    @classmethod
    def from_contents(cls, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the net with this header and these arrays; refuse what does not fit."""
        check_names("the header", header, ("nodes", "outputs", *ABOUT), MORE)
        prepare = {name: a for name, a in arrays.items() if name.startswith("prepare.")}
        rest = {name: a for name, a in arrays.items() if name not in prepare}
        net = cls(FrozenGraph.from_contents(header, rest))
        own = {name.removeprefix("prepare."): a for name, a in prepare.items()}
        net._take_about(header, own)
        return net

    def _take_about(self, header, prepare):
        """Set what a file says about the data and their preparation; refuse what does not fit."""
        n = math.prod(self.shape)
        n_classes = self.graph.values[self.graph.outputs[0]].shape[-1:]
        fits = {
            "data": lambda own: isinstance(own, str),
            "classes": lambda own: _is_list(own, str) and (len(own),) == n_classes,
            "columns": lambda own: _is_list(own, str) and len(own) == n,
            "target": lambda own: own in TARGETS[1:] and len(n_classes) == 1,
            "picture": lambda own: _is_list(own, int) and len(own) == 3 and math.prod(own) == n,
        }
        for name, fit in fits.items():
            own = header.get(name, getattr(type(self), name))
            if name in header and (own is not None or name in MORE) and not fit(own):
                raise InputError(
                    f"the header has {name} {own!r:.60}; expected one that fits {self}"
                )
            setattr(self, name, tuple(own) if isinstance(own, list) else own)
        if header["prepare"] is None and not prepare:
            return
        self.preparation = Preparation.from_arrays(header["prepare"], prepare)
        image = tuple(self.preparation.header["image"])
        shown = [image] if self.picture is None else [self.picture, self.picture[:2]]
        if math.prod(image) != n or image not in shown:
            came = f"{self.preparation!r}, whose images differ from the net's"
            raise InputError(f"the file has {came}; expected images that fit {self}")


def weight_bits(layer):
    """Return the bits of a layer's weights; 32 for floats."""
    if isinstance(layer.bits, (Bits, BitPlanes)):
        return 1 if layer.weight_codebook is None else layer.weight_codebook.bits
    return 8 * layer.bits.dtype.itemsize


def output_type(layer):
    """Return the bits of a layer's outputs, or their type."""
    value = layer.outputs
    return value.codebook.bits if value.codebook else 1 if value.kind == "bits" else value.kind


def owned(graph, layer):
    """Return the numbers of the nodes of a layer and of its constants."""
    constants = [i for own in layer.numbers for i in graph.nodes[own].inputs]
    return [*layer.numbers, *(i for i in constants if not graph.nodes[i].arity[0])]


def _joined(parts):
    """Return the results of parts of a batch as one."""
    if isinstance(parts[0], (Bits, BitPlanes)):
        packed = [getattr(part, "bits", part) for part in parts]
        axis = packed[0].ndim - parts[0].ndim
        words = array_module(packed[0]).concatenate([own.words for own in packed], axis=axis)
        n = sum(own.shape[axis] for own in packed)
        shape = (*packed[0].shape[:axis], n, *packed[0].shape[axis + 1 :])
        bits = Bits(words, shape)
        return bits if isinstance(parts[0], Bits) else parts[0].with_bits(bits)
    return array_module(parts[0]).concatenate(parts)


def _is_list(given, kind):
    """Return whether a value of a header is a list of values of a type, numbers above 0."""
    fits = isinstance(given, list) and all(type(value) is kind for value in given)
    return fits and (kind is str or all(value > 0 for value in given))
