"""The operations of a graph of rows, in the table of `bitnet.kernels.cpu.program`.

Each method of `Builder` appends the operations of one kind of node, or gives up (`need`) where the
loop has none; the graph is then computed node by node.
"""

import dataclasses
import importlib
import math

import numpy as np

from bitnet.deploy import floats, products, shapes
from bitnet.deploy.sizes import BATCH
from bitnet.deploy.sources import Constant, Input, Weights
from bitnet.kernels import Bits, pack
from bitnet.kernels.bits import words_for

MOST_PLANES = 8
FLOAT_WORK, STEP_WORK = 40, 20  # of a product of floats, and of a comparison
PANEL, VECTOR, ALIGNED = 32, 16, 8  # outputs per panel, numbers per vector, words
SIGNS = (1,)  # the coefficients of +1 and -1
BINARY = {name: name for name in ("add", "subtract", "divide", "prelu")} | {"multiply": "scale"}


class NotCoveredError(Exception):
    """A node that is not among the operations."""


def need(condition, what):
    """Give up unless a condition holds."""
    if not condition:
        raise NotCoveredError(what)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a value is: its start and its words per row; the integers of its planes."""

    start: int
    step: int
    n: int
    coefficients: tuple[int, ...] = ()  # of packed values
    offset: int = 0
    unit: float = 1.0

    @property
    def words(self):
        """The words per plane."""
        return words_for(self.n)

    @property
    def vectors(self):
        """The vectors of numbers."""
        return -(-self.n // VECTOR)

    @property
    def is_signs(self):
        """Whether the integers are +1 and -1."""
        return self.coefficients == SIGNS and self.offset == 0


class Builder:
    """The operations of a graph so far.

    Attributes
    ----------
    rows : list of list of int
        The rows of the table.
    constants : list of uint64 arrays
        Weights, thresholds and floats, each of whole 64 bytes.
    places : dict of int to Place
        Where the values of nodes are.
    per_row, work : int
        The words of memory and the approximate time of one row, in products of single bits.
    """

    def __init__(self, graph, program, most_work):
        self.graph, self.program, self.most_work = graph, program, most_work
        self.xnor = importlib.import_module("bitnet.kernels.cpu.xnor")
        self.rows, self.constants, self.places = [], [], {}
        self.n_words = self.per_row = self.work = 0
        for i, node in enumerate(graph.nodes):
            if not isinstance(node, (Weights, Constant)) and i not in self.places:
                need(type(node) in MAKERS, node.kind)
                self.places[i] = MAKERS[type(node)](self, i, node)
        self.result = self.leave(graph.outputs)

    def add_work(self, work):
        """Count the work of one row; give up where there is too much."""
        self.work += work
        need(self.work <= self.most_work, "much work")

    def row(self, operation, x=None, y=None, **columns):
        """Append an operation to the table."""
        columns["operation"] = self.program.OPERATIONS.index(operation)
        if x is not None:
            columns |= {"x": x.start, "x_step": x.step}
        if y is not None:
            columns |= {"y": y.start, "y_step": y.step}
        self.rows.append([columns.get(name, 0) for name in self.program.COLUMNS])
        return y

    def constant(self, array):
        """Add an array, with zeros after it, to the constants; return its offset in words."""
        as_bytes = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        padded = np.zeros(8 * ALIGNED * -(-len(as_bytes) // (8 * ALIGNED)), np.uint8)
        padded[: len(as_bytes)] = as_bytes
        self.constants.append(padded.view(np.uint64))
        self.n_words += len(padded) // 8
        return self.n_words - len(padded) // 8

    def place(self, step, n, *of_planes):
        """Return a new place in the room."""
        start = self.per_row
        self.per_row += -(-step // ALIGNED) * ALIGNED
        return Place(start, step, n, *of_planes)

    def numbers(self, n):
        """Return a place for integers or floats, in whole panels."""
        return self.place(PANEL // 2 * -(-n // PANEL), n)

    def bytes(self, n):
        """Return a place for bytes, of whole words of their planes."""
        return self.place(8 * words_for(n), n)

    def packed(self, n, codebook, value):
        """Return a place for the planes of a codebook, or of signs."""
        own = (SIGNS,)
        if codebook is not None:
            own = codebook.coefficients, codebook.offset, codebook.unit
        need(len(own[0]) <= MOST_PLANES and len(value.shape) == 2, "planes")
        return self.place(len(own[0]) * words_for(n), n, *own)

    def leave(self, outputs):
        """Append the operation that returns the result."""
        value = self.graph.values[outputs[0]]
        need(len(outputs) == 1 and outputs[0] in self.places, "outputs")
        need(len(value.shape) == 2 and value.kind in ("float32", "int32"), "outputs")
        self.row("leave", self.places[outputs[0]])
        return self.places[outputs[0]], np.dtype(value.kind)

    def operand(self, node, kind):
        """Return the place of a node's first operand, which must have a type."""
        i = node.inputs[0]
        need(self.graph.values[i].kind == kind and i in self.places, node.kind)
        return self.places[i]

    def input(self, i, node):
        """Enter the bytes of the input."""
        n = math.prod(node.shape[1:])
        if node.kind == "pixels":
            return self.row("enter", y=self.bytes(n))
        if node.kind == "numbers":
            return self.row("enter", y=self.numbers(n))
        need(node.kind == "signs", node.kind)
        return self.row("enter", y=self.packed(n, None, self.graph.values[i]))

    def flatten(self, i, node):
        """Return the place of the operand: pixels and floats of a row follow each other already."""
        j, values = node.inputs[0], self.graph.values
        need(j in self.places and not values[j].is_packed, node.kind)
        need(values[i].shape[:1] == (BATCH,), node.kind)
        return self.places[j]

    def split(self, pixels, n_planes):
        """Split pixels into their top planes."""
        own = tuple(1 << b for b in range(n_planes))
        y = self.place(n_planes * pixels.words, pixels.n, own)
        return self.row("split", pixels, y, planes=n_planes, words=pixels.words)

    def top_planes(self, i, node):
        """Split rows of pixels into their top planes."""
        need(len(self.graph.values[i].shape) == 2, node.kind)
        return self.split(self.operand(node, "uint8"), node.planes)

    def linear(self, i, node):
        """Multiply packed values or pixels with packed weights; compare signs at once."""
        graph, weights = self.graph, self.graph.nodes[node.inputs[1]]
        value = graph.values[node.inputs[0]]
        need(isinstance(weights, Weights) and len(value.shape) == 2, node.kind)
        x = self.operand(node, value.kind)
        x = self.split(x, 8) if value.kind == "uint8" else x
        bits = weights.packed
        planes = [(1, bits)] if isinstance(bits, Bits) else _planes(bits)
        self.add_work(bits.size * len(x.coefficients) * len(planes))
        if isinstance(bits, Bits):
            return self.fused(i, x, bits)
        z, m = self.numbers(len(bits)), len(bits)
        for at, (factor, own) in enumerate(planes):
            y = self.product(x, own, self.numbers(m))
            self.row("accumulate", y, z, words=z.vectors, number=factor, count=at)
        return z

    def product(self, x, bits, y):
        """Multiply planes with signs, as integers."""
        own = self.weights(bits, x)
        if x.is_signs:
            return self.row("multiply", x, y, **own)
        own |= {"factors": self.constant(np.array(x.coefficients, np.int64))}
        bases = np.zeros(2 * y.step, np.int32)
        bases[: y.n] = self.bases(x, bits)
        return self.row("multiply planes", x, y, second=self.constant(bases), **own)

    def weights(self, bits, x):
        """Return the columns of weights."""
        words = np.ascontiguousarray(bits.words)
        panels = np.zeros((-(-len(words) // PANEL), x.words, PANEL), np.uint64)
        self.xnor.make_panels(words, panels)
        own = {"n": x.n, "planes": len(x.coefficients), "words": x.words, "count": len(panels)}
        return own | {"first": self.constant(panels)}

    def bases(self, x, bits):
        """Return the integers without any differing bit, int64 (M,)."""
        ones = np.bitwise_count(bits.words).sum(axis=1, dtype=np.int64)
        return sum(x.coefficients) * x.n + x.offset * (2 * ones - x.n)

    def fused(self, i, x, bits):
        """Multiply with signs, and compare with thresholds if they alone follow."""
        readers, m = self.graph.readers[i], len(bits)
        last = self.graph.nodes[readers[0]] if len(readers) == 1 and readers[0] >= 0 else None
        if not isinstance(last, products.Threshold) or last.codebook is not None:
            y = self.numbers(m)
            self.product(x, bits, y)
            return y
        limits, flips = self.xnor.limits_of(last.steps, self.bases(x, bits))
        y = self.packed(m, None, self.graph.values[readers[0]])
        own = self.weights(bits, x)
        own |= {"second": self.constant(limits), "third": self.constant(flips)}
        if not x.is_signs:
            own |= {"factors": self.constant(np.array(x.coefficients, np.int64))}
        self.places[readers[0]] = self.row("sign" if x.is_signs else "sign planes", x, y, **own)
        return y  # which nothing else reads

    def threshold(self, i, node):
        """Compare integers with thresholds; those of decreasing units as complements."""
        z = self.operand(node, "int32")
        flips = np.where(node.increasing, 0, -1).astype(np.int32)
        steps = node.thresholds.reshape(z.n, -1) ^ flips[:, None]
        own = {"first": self.constant(_in_vectors(steps.T)), "second": self.constant(flips)}
        return self.codes("rank", i, z, node.codebook, steps.shape[1], own)

    def quantize(self, i, node):
        """Compare floats with edges."""
        x, own = self.operand(node, "float32"), {"first": self.constant(node.edges)}
        return self.codes("reach", i, x, node.codebook, len(node.edges), own)

    def codes(self, operation, i, x, codebook, n_steps, own):
        """Turn numbers into patterns, in bytes, and these into planes."""
        y = self.packed(x.n, codebook, self.graph.values[i])
        self.add_work(STEP_WORK * x.n * n_steps)
        patterns = np.arange(2) if codebook is None else codebook.patterns
        patterns = (patterns << (8 - len(y.coefficients))).astype(np.uint8)
        changes = np.append(patterns[:1], patterns[1:] ^ patterns[:-1])
        own |= {"n": x.n, "words": x.vectors, "count": n_steps, "third": self.constant(changes)}
        codes = self.row(operation, x, self.bytes(x.n), **own)
        return self.row("split", codes, y, planes=len(y.coefficients), words=y.words)

    def as_floats(self, i):
        """Return the place of a value as float32."""
        kind = self.graph.values[i].kind
        need(i in self.places and kind in ("float32", "int32"), kind)
        place = self.places[i]
        if kind == "float32":
            return place
        return self.row("convert", place, self.numbers(place.n), words=place.vectors)

    def affine(self, i, node):
        """Compute `(x - mean) * scale + shift` of rows."""
        x, own = self.as_floats(node.inputs[0]), (node.mean, node.scale, node.shift)
        need(node.mean.dtype == np.float32 and node.mean.shape == (x.n,), node.kind)
        at = zip(("first", "second", "third"), map(self.constant, own), strict=True)
        return self.row("affine", x, self.numbers(x.n), words=x.vectors, **dict(at))

    def rescale(self, i, node):
        """Compute `z * unit + bias`."""
        need(node.bias.dtype == np.float32, node.kind)
        x = self.as_floats(node.inputs[0])
        own = {"first": self.constant(np.float32([node.unit])), "words": x.vectors}
        return self.row("rescale", x, self.numbers(x.n), second=self.constant(node.bias), **own)

    def unpack(self, i, node):
        """Compute the numbers of planes."""
        value = self.graph.values[node.inputs[0]]
        x = self.operand(node, value.kind)
        need(node.dtype == "float32", node.kind)
        own = {"first": self.constant(np.float32([x.unit])), "number": x.offset}
        own |= {"factors": self.constant(np.array(x.coefficients, np.int64))}
        own |= {"planes": len(x.coefficients), "words": x.words, "count": x.vectors}
        return self.row("unpack", x, self.numbers(x.n), **own)

    def binary(self, i, node):
        """Combine two floats of one shape, or floats and constants per column."""
        values, (first, second) = self.graph.values, node.inputs
        shape, other = values[i].shape, self.graph.nodes[second]
        need(node.kind in BINARY and values[i].kind == "float32", node.kind)
        need(len(shape) == 2 and values[first].shape == shape, node.kind)
        x = self.as_floats(first)
        if isinstance(other, Constant):
            row = other.array.dtype == np.float32 and other.array.shape[:-1] in ((), (1,))
            need(row, node.kind)
            numbers = np.broadcast_to(other.array.reshape(-1), (x.n,))
            own = {"number": -1, "first": self.constant(numbers)}
        else:
            need(values[second].shape == shape, node.kind)
            own = {"number": self.as_floats(second).start}
        return self.row(BINARY[node.kind], x, self.numbers(x.n), words=x.vectors, **own)

    def unary(self, i, node):
        """Change floats one by one."""
        need(node.kind == "hardtanh", node.kind)
        x = self.as_floats(node.inputs[0])
        return self.row("hardtanh", x, self.numbers(x.n), words=x.vectors)

    def float_linear(self, i, node):
        """Multiply floats with float weights."""
        x, nodes = self.operand(node, "float32"), self.graph.nodes
        weight, bias = (nodes[j] for j in node.inputs[1:])
        need(isinstance(weight, Constant) and isinstance(bias, Constant), node.kind)
        m = len(weight.array)
        self.add_work(FLOAT_WORK * m * x.n)
        own = {"first": self.constant(_in_vectors(floats.across(weight.constant)))}
        own |= {"second": self.constant(np.broadcast_to(bias.array, (m,)))}
        y = self.numbers(m)
        return self.row("weigh", x, y, n=x.n, words=y.vectors, **own)


MAKERS = {
    Input: Builder.input,
    products.TopPlanes: Builder.top_planes,
    products.Linear: Builder.linear,
    products.Threshold: Builder.threshold,
    products.Quantize: Builder.quantize,
    products.Rescale: Builder.rescale,
    products.Unpack: Builder.unpack,
    floats.Affine: Builder.affine,
    floats.Binary: Builder.binary,
    floats.Unary: Builder.unary,
    floats.FloatLinear: Builder.float_linear,
    shapes.Flatten: Builder.flatten,
}


def _in_vectors(rows):
    """Return rows with zeros after them, up to whole vectors."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % VECTOR)))


def _planes(weights):
    """Return the factor and the signs of each plane of BitPlanes; their offset is one of ones."""
    planes = [(c, weights.bits[p]) for p, c in enumerate(weights.coefficients)]
    if weights.offset:
        planes.append((weights.offset, pack(np.ones(weights.shape, np.float32))))
    return planes
