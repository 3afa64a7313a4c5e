"""A frozen graph as one table of operations, which a single compiled loop computes.

For a few rows the walk from node to node costs more than the arithmetic.  `compiled` lists the
operations of a graph of rows, see `bitnet.kernels.cpu.program`, or finds that some node is not
among them.
"""

import dataclasses
import functools
import importlib
import math
import threading
from typing import Any

import numpy as np

from bitnet.arrays import array_module
from bitnet.deploy import floats, products, shapes
from bitnet.deploy.sizes import BATCH
from bitnet.deploy.sources import Constant, Input, Weights
from bitnet.kernels import Bits, pack
from bitnet.kernels.bits import words_for

PROGRAM = "bitnet.kernels.cpu.program"
MOST_ROWS = 256  # of a batch
MOST_PLANES = 8
MOST_PRODUCTS = 16  # of planes; more are faster as bytes
MOST_WORK = 100_000_000  # products of single bits; above, the walk is as fast, or uses threads
FLOAT_WORK, STEP_WORK = 40, 20  # of a product of floats, and of a comparison
PANEL, VECTOR, ALIGNED = 32, 16, 8  # outputs per panel, numbers per vector, words
NO_PLANES = (1,)
BINARY = {"add": "add", "subtract": "subtract", "multiply": "scale", "prelu": "prelu"}

_local = threading.local()


class _NotCoveredError(Exception):
    """A node that the compiled loop does not have."""


@dataclasses.dataclass(frozen=True)
class _Place:
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
        return self.coefficients == NO_PLANES and self.offset == 0


@dataclasses.dataclass(frozen=True)
class Compiled:
    """The operations of a graph and what they need; see `bitnet.kernels.cpu.program`.

    Attributes
    ----------
    table : int64 array (operations, columns)
        The operations.
    constants : uint64 array
        Weights, thresholds and floats.
    per_row : int
        The words of memory that the values of one row take.
    work : int
        The approximate time of one row, in products of single bits.
    n_outputs : int
        The columns of the result.
    dtype : numpy.dtype
        The type of the result.
    """

    table: np.ndarray
    constants: np.ndarray
    per_row: int
    work: int
    n_outputs: int
    dtype: np.dtype

    def pays(self, rows: int) -> bool:
        """Return whether this is faster for so many rows than one kernel after the other."""
        return rows * self.work <= MOST_WORK

    def __call__(self, x: Any) -> np.ndarray:
        """Return the result for an input in the form that the nodes take."""
        held = x.words if isinstance(x, Bits) else x
        rows = len(held)
        y = np.empty((rows, self.n_outputs), self.dtype)
        if rows:
            held = np.ascontiguousarray(held).reshape(rows, -1)
            held = held if held.dtype == np.uint8 else held.view(np.uint8)
            if not held.flags.writeable:  # another type for Numba, which would compile again
                held = held.copy()
            room = _room(self.per_row * rows)
            _run_program()(self.table, self.constants, room, held, y.view(np.int32))
        return y


def compiled(graph: Any) -> Compiled | None:
    """Return the operations of a FrozenGraph, or None if some node is not among them."""
    program = importlib.import_module(PROGRAM)
    is_here = program.COMPILES and array_module(graph.array) is np
    if not is_here or len(graph.inputs) > 1 or not graph.is_by_row:
        return None
    try:
        return _Builder(graph, program).built()
    except _NotCoveredError:
        return None


@functools.cache
def _run_program():
    """Return the function that runs a table."""
    return importlib.import_module(PROGRAM).run_program


def _aligned(n_words):
    """Return words of memory that begin at a multiple of 64 bytes."""
    words = np.empty(n_words + ALIGNED, np.uint64)
    skipped = -words.ctypes.data // 8 % ALIGNED
    return words[skipped : skipped + n_words]


def _room(n_words):
    """Return memory for values, which each thread keeps from call to call."""
    room = getattr(_local, "room", None)
    if room is None or len(room) < n_words:
        room = _local.room = _aligned(n_words)
    return room


class _Builder:
    """The operations of a graph so far."""

    def __init__(self, graph, program):
        self.graph, self.program = graph, program
        self.xnor = importlib.import_module("bitnet.kernels.cpu.xnor")
        self.rows, self.parts, self.places = [], [], {}
        self.n_words = self.per_row = self.work = 0

    def built(self):
        """Return the operations of all nodes."""
        for i, node in enumerate(self.graph.nodes):
            if not isinstance(node, (Weights, Constant)) and i not in self.places:
                make = MAKERS.get(type(node))
                if make is None:
                    raise _NotCoveredError(node.kind)
                self.places[i] = make(self, i, node)
        place, kind = self._leave(self.graph.outputs)
        constants = _aligned(self.n_words)
        for at, part in self.parts:
            constants[at : at + len(part)] = part
        table = np.array(self.rows, np.int64)
        return Compiled(table, constants, self.per_row, self.work, place.n, np.dtype(kind))

    def _row(self, operation, x=None, y=None, **columns):
        """Append an operation to the table."""
        columns["operation"] = self.program.OPERATIONS.index(operation)
        if x is not None:
            columns |= {"x": x.start, "x_step": x.step}
        if y is not None:
            columns |= {"y": y.start, "y_step": y.step}
        self.rows.append([columns.get(name, 0) for name in self.program.COLUMNS])
        return y

    def _constant(self, array):
        """Add an array, with zeros after it, to the constants; return its offset in words."""
        as_bytes = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        padded = np.zeros(8 * ALIGNED * -(-len(as_bytes) // (8 * ALIGNED)), np.uint8)
        padded[: len(as_bytes)] = as_bytes
        at = self.n_words
        self.parts.append((at, padded.view(np.uint64)))
        self.n_words += len(padded) // 8
        return at

    def _place(self, step, n, *of_planes):
        """Return a new place in the room."""
        start = self.per_row
        self.per_row += -(-step // ALIGNED) * ALIGNED
        return _Place(start, step, n, *of_planes)

    def _numbers(self, n):
        """Return a place for integers or floats, in whole panels."""
        return self._place(PANEL // 2 * -(-n // PANEL), n)

    def _bytes(self, n):
        """Return a place for bytes, of whole words of their planes."""
        return self._place(8 * words_for(n), n)

    def _packed(self, n, codebook, value):
        """Return a place for the planes of a codebook, or of signs."""
        parts = (NO_PLANES,) if codebook is None else _levels(codebook)
        if len(parts[0]) > MOST_PLANES or len(value.shape) != 2:
            raise _NotCoveredError("planes")
        return self._place(len(parts[0]) * words_for(n), n, *parts)

    def _leave(self, outputs):
        """Append the operation that returns the result."""
        place, value = self.places.get(outputs[0]), self.graph.values[outputs[0]]
        if place is None or len(outputs) > 1 or len(value.shape) != 2 or value.kind not in ("float32", "int32"):
            raise _NotCoveredError("outputs")
        self._row("leave", place)
        return place, value.kind

    def _operand(self, node, kind):
        """Return the place of a node's first operand, which must have a type."""
        i = node.inputs[0]
        if self.graph.values[i].kind != kind or i not in self.places:
            raise _NotCoveredError(node.kind)
        return self.places[i]

    def _input(self, i, node):
        """Enter the bytes of the input."""
        n = math.prod(node.shape[1:])
        if node.kind == "pixels":
            return self._row("enter", y=self._bytes(n))
        if node.kind == "numbers":
            return self._row("enter", y=self._numbers(n))
        if node.kind != "signs":
            raise _NotCoveredError(node.kind)
        return self._row("enter", y=self._packed(n, None, self.graph.values[i]))

    def _flatten(self, i, node):
        """Pixels and floats of a row follow each other already."""
        j = node.inputs[0]
        if j not in self.places or self.graph.values[j].is_packed or self.graph.values[i].shape[:1] != (BATCH,):
            raise _NotCoveredError(node.kind)
        return self.places[j]

    def _split(self, pixels, n_planes):
        """Split pixels into their top planes."""
        own = tuple(1 << b for b in range(n_planes))
        y = self._place(n_planes * pixels.words, pixels.n, own)
        return self._row("split", pixels, y, planes=n_planes, words=pixels.words)

    def _top_planes(self, i, node):
        if len(self.graph.values[i].shape) != 2:
            raise _NotCoveredError(node.kind)
        return self._split(self._operand(node, "uint8"), node.planes)

    def _linear(self, i, node):
        """Multiply packed values or pixels with packed weights; compare signs at once."""
        graph, weights = self.graph, self.graph.nodes[node.inputs[1]]
        value = graph.values[node.inputs[0]]
        if not isinstance(weights, Weights) or len(value.shape) != 2:
            raise _NotCoveredError(node.kind)
        x = self._operand(node, value.kind)
        x = self._split(x, 8) if value.kind == "uint8" else x
        bits = weights.packed
        planes = [(1, bits)] if isinstance(bits, Bits) else _planes(bits)
        self.work += bits.size * len(x.coefficients) * len(planes)
        if self.work > MOST_WORK or len(planes) * len(x.coefficients) > MOST_PRODUCTS:
            raise _NotCoveredError("many products")
        if isinstance(bits, Bits):
            return self._fused(i, x, bits)
        z, m = self._numbers(len(bits)), len(bits)
        for at, (factor, own) in enumerate(planes):
            y = self._product(x, own, self._numbers(m))
            self._row("accumulate", y, z, words=z.vectors, number=factor, count=at)
        return z

    def _product(self, x, bits, y):
        """Multiply planes with signs, as integers."""
        own = self._weights(bits, x)
        if x.is_signs:
            return self._row("multiply", x, y, **own)
        own |= {"factors": self._constant(np.array(x.coefficients, np.int64))}
        bases = np.zeros(2 * y.step, np.int32)
        bases[: y.n] = self._bases(x, bits)
        return self._row("multiply planes", x, y, second=self._constant(bases), **own)

    def _weights(self, bits, x):
        """Return the columns of weights."""
        words = np.ascontiguousarray(bits.words)
        panels = np.zeros((-(-len(words) // PANEL), x.words, PANEL), np.uint64)
        self.xnor.make_panels(words, panels)
        own = {"n": x.n, "planes": len(x.coefficients), "words": x.words, "count": len(panels)}
        return own | {"first": self._constant(panels)}

    def _bases(self, x, bits):
        """Return the integers without any differing bit, int64 (M,)."""
        ones = np.bitwise_count(bits.words).sum(axis=1, dtype=np.int64)
        return sum(x.coefficients) * x.n + x.offset * (2 * ones - x.n)

    def _fused(self, i, x, bits):
        """Multiply with signs, and compare with the thresholds that follow, if nothing else does."""
        readers, m = self.graph.readers[i], len(bits)
        last = self.graph.nodes[readers[0]] if len(readers) == 1 and readers[0] >= 0 else None
        if not isinstance(last, products.Threshold) or last.codebook is not None:
            y = self._numbers(m)
            self._product(x, bits, y)
            return y
        limits, flips = self.xnor.limits_of(last.steps, self._bases(x, bits))
        y = self._packed(m, None, self.graph.values[readers[0]])
        own = self._weights(bits, x)
        own |= {"second": self._constant(limits), "third": self._constant(flips)}
        if not x.is_signs:
            own |= {"factors": self._constant(np.array(x.coefficients, np.int64))}
        self.places[readers[0]] = self._row("sign" if x.is_signs else "sign planes", x, y, **own)
        return y  # which nothing else reads

    def _threshold(self, i, node):
        """Compare integers with thresholds; those of decreasing units as complements."""
        z = self._operand(node, "int32")
        flips = np.where(node.increasing, 0, -1).astype(np.int32)
        steps = node.thresholds.reshape(z.n, -1) ^ flips[:, None]
        own = {"first": self._constant(_in_vectors(steps.T)), "second": self._constant(flips)}
        return self._codes("rank", i, z, node.codebook, steps.shape[1], own)

    def _quantize(self, i, node):
        """Compare floats with edges."""
        x, own = self._operand(node, "float32"), {"first": self._constant(node.edges)}
        return self._codes("reach", i, x, node.codebook, len(node.edges), own)

    def _codes(self, operation, i, x, codebook, n_steps, own):
        """Turn numbers into patterns, in bytes, and these into planes."""
        y = self._packed(x.n, codebook, self.graph.values[i])
        self.work += STEP_WORK * x.n * n_steps
        patterns = np.arange(2) if codebook is None else codebook.patterns
        patterns = (patterns << (8 - len(y.coefficients))).astype(np.uint8)
        changes = np.append(patterns[:1], patterns[1:] ^ patterns[:-1])
        own |= {"n": x.n, "words": x.vectors, "count": n_steps, "third": self._constant(changes)}
        codes = self._row(operation, x, self._bytes(x.n), **own)
        return self._row("split", codes, y, planes=len(y.coefficients), words=y.words)

    def _as_floats(self, i):
        """Return the place of a value as float32."""
        if i not in self.places:
            raise _NotCoveredError("constants")
        place, kind = self.places[i], self.graph.values[i].kind
        if kind == "float32":
            return place
        if kind != "int32":
            raise _NotCoveredError(kind)
        return self._row("convert", place, self._numbers(place.n), words=place.vectors)

    def _affine(self, i, node):
        """Compute `(x - mean) * scale + shift` of rows."""
        x, own = self._as_floats(node.inputs[0]), (node.mean, node.scale, node.shift)
        if node.mean.dtype != np.float32 or node.mean.shape != (x.n,):
            raise _NotCoveredError(node.kind)
        at = zip(("first", "second", "third"), map(self._constant, own), strict=True)
        return self._row("affine", x, self._numbers(x.n), words=x.vectors, **dict(at))

    def _rescale(self, i, node):
        """Compute `z * unit + bias`."""
        if node.bias.dtype != np.float32:
            raise _NotCoveredError(node.kind)
        x = self._as_floats(node.inputs[0])
        own = {"first": self._constant(np.float32([node.unit])), "words": x.vectors}
        return self._row("rescale", x, self._numbers(x.n), second=self._constant(node.bias), **own)

    def _unpack(self, i, node):
        """Compute the numbers of planes."""
        value = self.graph.values[node.inputs[0]]
        x = self._operand(node, value.kind)
        if node.dtype != "float32" or not x.coefficients:
            raise _NotCoveredError(node.kind)
        own = {"first": self._constant(np.float32([x.unit])), "number": x.offset}
        own |= {"factors": self._constant(np.array(x.coefficients, np.int64))}
        own |= {"planes": len(x.coefficients), "words": x.words, "count": x.vectors}
        return self._row("unpack", x, self._numbers(x.n), **own)

    def _binary(self, i, node):
        """Combine two floats of one shape, or floats and constants per column."""
        value, (a, b) = self.graph.values[i], node.inputs
        if node.kind not in BINARY or value.kind != "float32":
            raise _NotCoveredError(node.kind)
        own = {"number": -1}
        x, second = self._as_floats(a), self.graph.nodes[b]
        if len(value.shape) != 2 or self.graph.values[a].shape != value.shape:
            raise _NotCoveredError(node.kind)
        if isinstance(second, Constant):
            if second.array.dtype != np.float32 or second.array.shape[:-1] not in ((), (1,)):
                raise _NotCoveredError(node.kind)
            own["first"] = self._constant(np.broadcast_to(second.array.reshape(-1), (x.n,)))
        elif self.graph.values[b].shape == value.shape:
            own["number"] = self._as_floats(b).start
        else:
            raise _NotCoveredError(node.kind)
        return self._row(BINARY[node.kind], x, self._numbers(x.n), words=x.vectors, **own)

    def _float_linear(self, i, node):
        """Multiply floats with float weights."""
        x, (weight, bias) = self._operand(node, "float32"), (
            self.graph.nodes[j] for j in node.inputs[1:]
        )
        if not isinstance(weight, Constant) or not isinstance(bias, Constant):
            raise _NotCoveredError(node.kind)
        m = len(weight.array)
        self.work += FLOAT_WORK * m * x.n
        if self.work > MOST_WORK:
            raise _NotCoveredError("many products")
        own = {"first": self._constant(_in_vectors(floats.across(weight.constant)))}
        own |= {"second": self._constant(np.broadcast_to(bias.array, (m,)))}
        y = self._numbers(m)
        return self._row("weigh", x, y, n=x.n, words=y.vectors, **own)


MAKERS = {
    Input: _Builder._input,
    products.TopPlanes: _Builder._top_planes,
    products.Linear: _Builder._linear,
    products.Threshold: _Builder._threshold,
    products.Quantize: _Builder._quantize,
    products.Rescale: _Builder._rescale,
    products.Unpack: _Builder._unpack,
    floats.Affine: _Builder._affine,
    floats.Binary: _Builder._binary,
    floats.FloatLinear: _Builder._float_linear,
    shapes.Flatten: _Builder._flatten,
}


def _levels(codebook):
    """Return the coefficients, the offset and the unit of a codebook."""
    return codebook.coefficients, codebook.offset, codebook.unit


def _in_vectors(rows):
    """Return rows with zeros after them, up to whole vectors."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % VECTOR)))


def _planes(weights):
    """Return the factor and the signs of each plane of BitPlanes; their offset is one of ones."""
    planes = [(c, weights.bits[p]) for p, c in enumerate(weights.coefficients)]
    if weights.offset:
        planes.append((weights.offset, pack(np.ones(weights.shape, np.float32))))
    return planes
