"""Counts of weights, bytes and operations of a frozen graph: the rows of a summary."""

import collections
import dataclasses
import math
import typing

import numpy as np

from bitnet.arrays import to_cpu
from bitnet.deploy.cells import Cell
from bitnet.deploy.floats import Affine, Compare, MatMul, Reduce
from bitnet.deploy.layers import PRODUCTS
from bitnet.deploy.products import Quantize, Rescale, Threshold, packed_value
from bitnet.deploy.sources import Input
from bitnet.kernels import GATES, words_for

TANH, LOGISTIC = (15, 12), (17, 13)  # multiplications and additions
# per unit of a cell: numbers of tanh and logistic functions, further multiplications and additions
CELLS = {
    "rnn": (1, 0, 0, 0),
    "lstm": (2, 3, 3, 1),  # c = f * before + i * g, h = o * tanh(c)
    "gru": (1, 2, 2, 2),  # n = tanh(... + r * inner), h = n + u * (before - n)
}
# multiplications and additions per element, in products those of the bias; a division, a power, an
# exponential or a logarithm counts as one multiplication
ELEMENTWISE = dict.fromkeys(("add", "subtract", "float linear", "float conv"), (0, 1))
ELEMENTWISE |= {"tanh": TANH, "sigmoid": LOGISTIC}
ELEMENTWISE |= dict.fromkeys(("multiply", "divide", "prelu", "power", "exp", "log"), (1, 0))
OPERATIONS = "comparisons", "integer_additions", "additions", "multiplications", "shifts"
MOVED = "read", "written", "read_bits", "written_bits"
MULTIPLYING = (*PRODUCTS, MatMul)


class Numbers(typing.NamedTuple):
    """The bits of a value, and the number of ±1 planes that sum to it if it has few bits."""

    bits: int
    planes: int


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """The counts of a layer of a frozen net, or of another node, for one image or token."""

    name: str  # dotted name and kind
    outputs: tuple[int, ...] = ()  # the shape of the outputs without the batch, after pooling
    modules: tuple[str, ...] = ()  # dotted names of the modules of the model
    weights: int = 0  # elements of the matrix, filters or table
    bits: int = 0  # bits per weight in the file; 32 or 64 for floats
    thresholds: int = 0  # int32
    directions: int = 0  # of one bit
    floats: int = 0  # in the file: weights, biases, means, scales, shifts, edges
    n_bytes: int = 0  # in the file
    memory: int = 0  # of the trained model: bytes of parameters and state, without an optimizer's
    precision: str | None = None  # bits of activation x weight, such as "2x1", or "float32"
    macs: int = 0  # multiply-accumulates, including taps beyond the border of the image
    planes: int = 0  # ±1 products per product: planes of the activations x planes of the weights
    words: int = 0  # XORs of 64 bits for all of them, padding included
    read: int = 0  # values of the operands, unless they come from registers
    read_bits: int = 0  # bits per value read
    written: int = 0  # values after norm, activation and pooling, unless they stay in registers
    written_bits: int = 0  # bits per value written
    units: int = 0  # pre-activations, before pooling
    channels: int = 0  # of the pre-activations
    comparisons: int = 0  # signs: before max-pooling; k bits: after it, 2^k - 1 per output
    integer_additions: int = 0  # besides those of the products
    additions: int = 0  # of floats, besides those of the products
    multiplications: int = 0  # besides those of the products
    shifts: int = 0  # multiplications by constants that are powers of two

    def __repr__(self):
        shape = "x".join(map(str, self.outputs)) or "-"
        return (
            f"LayerRow({self.name:.60}: {shape}, {self.weights:,} weights, {self.n_bytes:,} bytes)"
        )

    @property
    def one_bit(self):
        """The number of weights if they have one bit, otherwise 0."""
        return self.weights if self.bits == 1 else 0

    @property
    def prefixes(self):
        """The beginnings of the names of the parameters."""
        return [f"{name}." for name in self.modules]

    @property
    def float_operations(self):
        """The additions and multiplications of floats besides those of the products."""
        return self.additions + self.multiplications + self.shifts

    def as_dict(self):
        """Return the row in the form of JSON."""
        more = {name: getattr(self, name) for name in ("one_bit", "float_operations")}
        return dataclasses.asdict(self) | {"outputs": [*self.outputs]} | more


def numbers_of(value):
    """Return the bits and planes of a `Value` of a frozen graph."""
    if value.codebook is not None:
        return Numbers(value.codebook.bits, len(value.codebook.coefficients))
    bits = 1 if value.kind == "bits" else 8 * np.dtype(value.kind).itemsize
    return Numbers(bits, bits)


def frozen_rows(net):
    """Return the rows of a frozen net: layers, other nodes that cost anything, and preparation."""
    counter, rows = _Counter(net), []
    layers = {layer.number: layer for layer in net.layers}
    taken = {i for own in counter.constants.values() for i in own}
    for i, node in enumerate(net.graph.nodes):
        if i not in taken:
            kind, numbers = (layers[i], layers[i].numbers) if i in layers else (node.kind, [i])
            rows.append(counter.row(f"{node.name} {kind}".strip(), numbers))
            taken.update(numbers)
        if isinstance(node, Cell):
            rows.append(LayerRow(f"{node.name} gates".strip(), **counter.gates(node)))
    rows.append(LayerRow("prepare", **_held(counter.arrays["prepare"])))
    costs = "n_bytes", "macs", *OPERATIONS
    return [row for row in rows if any(getattr(row, name) for name in costs)]


def with_memory(rows, model):
    """Return rows with the bytes of a model's state in memory, and a row for each module left."""
    left = collections.Counter()  # bytes by number of the row, or by module
    for name, array in model.state_dict().items():
        of = (i for i, r in enumerate(rows) if any(map(f"{name}.".startswith, r.prefixes)))
        left[next(of, name.rpartition(".")[0] or name)] += array.nbytes
    rows = [dataclasses.replace(row, memory=left.pop(i, 0)) for i, row in enumerate(rows)]
    return rows + [LayerRow(name, memory=n_bytes) for name, n_bytes in left.items()]


def _held(arrays):
    """Return the number of floats in some arrays, and their bytes."""
    floats = sum(array.size for array in arrays if array.dtype.kind == "f")
    return {"floats": floats, "n_bytes": sum(array.nbytes for array in arrays)}


def _size(size):
    """Return a size for one input: T = B = 1."""
    return size if isinstance(size, int) else size.factor


def _elements(value):
    """Return the number of elements of a value for one input."""
    return math.prod(map(_size, value.shape))


def _scaled(scale, n):
    """Return the multiplications and shifts of n elements by the scales of their channels."""
    fraction, _ = np.frexp(to_cpu(scale))
    powers = int(np.count_nonzero((abs(fraction) == 0.5) | (fraction == 0)))
    each = n // len(scale)
    return {"multiplications": each * (len(scale) - powers), "shifts": each * powers}


class _Counter:
    """The counts of the nodes of a frozen net."""

    def __init__(self, net):
        graph = net.graph
        self.nodes, self.values, self.readers = graph.nodes, graph.values, graph.readers
        self.arrays = collections.defaultdict(list)  # by number of the node
        for name, array in net.contents()[1].items():
            self.arrays[name.partition(".")[0]].append(array)
        self.constants = collections.defaultdict(list)  # by the first node that takes them
        for i in range(len(graph.nodes)):
            first = self._first_reader(i)
            if not self._varies(i) and first >= 0:
                self.constants[first].append(i)

    def _first_reader(self, i):
        """Return the number of the first node that takes a value; -1 if there is none."""
        return next(iter(self.readers[i]), -1)

    def _varies(self, i):
        """Return whether a node depends on the input."""
        return self.nodes[i].arity[0] > 0 or isinstance(self.nodes[i], Input)

    def row(self, name, numbers):
        """Return the row of some nodes and of the constants that they are the first to take."""
        nodes, value = [self.nodes[i] for i in numbers], self.values[numbers[-1]]
        own = {*numbers, *(j for i in numbers for j in self.constants[i])}
        counts = collections.Counter(_held([array for i in own for array in self.arrays[str(i)]]))
        for i in numbers:
            counts.update(self._costs(i))
        outputs = tuple(_size(n) for n in value.shape if isinstance(n, int) or n.factor > 1)
        row = {"modules": tuple(dict.fromkeys(node.name for node in nodes if node.name))}
        multiplies = isinstance(nodes[0], MULTIPLYING)
        row |= self._product(numbers[0]) if multiplies else {}
        matrix = nodes[0].inputs[multiplies] if multiplies or nodes[0].kind == "gather" else None
        if matrix in own:
            matrix = self.values[matrix]
            row |= {"weights": _elements(matrix), "bits": numbers_of(matrix).bits}
        return LayerRow(name, outputs, **row, **counts, **self._moved(numbers))

    def _product(self, i):
        """Return the counts of a product: multiply-accumulates, planes and words."""
        node, z = self.nodes[i], self.values[i]
        x, w = (self.values[i] for i in node.inputs[:2])
        units, row = _elements(z), math.prod(w.shape[1:])
        if isinstance(node, MatMul):
            return {"units": units, "macs": units * _size(w.shape[0]), "precision": z.kind}
        if isinstance(node, Cell):
            units, x = self._gates(node), packed_value((), node.codebook, True)  # codes of a state
        counts = {"units": units, "channels": w.shape[0], "macs": units * row, "precision": z.kind}
        if not w.is_packed or x.is_float:
            return counts
        entered, weights = numbers_of(x), numbers_of(w)
        words = math.prod(w.shape[1:-1]) * words_for(w.shape[-1])
        words = words_for(row) if x.kind == "uint8" else words  # pixels are packed patch by patch
        planes = entered.planes * weights.planes
        counts |= {"precision": f"{entered.bits}x{weights.bits}", "planes": planes}
        return counts | {"words": units * planes * words}

    def _gates(self, cell):
        """Return the number of pre-activations of a cell."""
        return GATES[cell.kind] * _elements(self.values[cell.inputs[2]])

    def _costs(self, i):
        """Return the operations of a node, besides those of a product, by field of a row."""
        node, value = self.nodes[i], self.values[i]
        n, sums = _elements(value), "additions" if value.is_float else "integer_additions"
        if isinstance(node, Threshold):
            z, steps = node.inputs[0], node.thresholds
            while node.codebook is None and self.nodes[z].kind == "maxpool":
                z = self.nodes[z].inputs[0]
            compared = _elements(self.values[z]) * math.prod(steps.shape[1:])
            return {"comparisons": compared, "thresholds": steps.size, "directions": len(steps)}
        if isinstance(node, (Quantize, Compare)):
            return {"comparisons": n * len(getattr(node, "edges", [0]))}
        if isinstance(node, Affine):
            return {"additions": 2 * n} | _scaled(node.scale, n)
        if isinstance(node, Rescale):
            return {"additions": n} | _scaled(np.array([node.unit]), n)
        if isinstance(node, Cell):
            n = self._gates(node)
            packed = self.values[node.inputs[1]].is_packed
            return {"additions": n} | (_scaled(np.array([node.unit]), n) if packed else {})
        if isinstance(node, Reduce):
            sums, n_means = "comparisons" if node.kind == "max" else sums, n * (node.kind == "mean")
            return {sums: _elements(self.values[node.inputs[0]]), "multiplications": n_means}
        if node.kind in ("sumpool", "avgpool"):
            return {sums: n * node.window.taps, "multiplications": n * value.is_float}
        multiplications, additions = ELEMENTWISE.get(node.kind, (0, 0))
        return {"multiplications": n * multiplications, sums: n * additions}

    def gates(self, cell):
        """Return the operations of the gates, the cell and the codes of the state."""
        units = _elements(self.values[cell.inputs[2]])
        tanh, logistic, *more = (0, 0, 0, 0) if cell.relu else CELLS[cell.kind]
        each = [a * tanh + b * logistic + c for a, b, c in zip(TANH, LOGISTIC, more, strict=True)]
        counts = {"multiplications": units * each[0], "additions": units * each[1]}
        return counts | {"comparisons": units * len(cell.edges)}

    def _streams(self, i):
        """Return whether a node takes only a value that no other node takes, in registers."""
        taken = [j for j in self.nodes[i].inputs if self._varies(j)]
        if isinstance(self.nodes[i], MULTIPLYING) or len(taken) != 1:
            return False
        return self.readers[taken[0]] == [i] and not isinstance(self.nodes[taken[0]], Input)

    def _moved(self, numbers):
        """Return the numbers of values that nodes read and write, with their bits."""
        taken = [self.values[j] for j in self.nodes[numbers[0]].inputs if self._varies(j)]
        if not taken or self._streams(numbers[0]):
            return {}
        i = numbers[-1]
        while (j := self._first_reader(i)) >= 0 and self._streams(j):
            i = j
        bits = (numbers_of(value).bits for value in (taken[0], self.values[i]))
        moved = sum(map(_elements, taken)), _elements(self.values[i]), *bits
        return dict(zip(MOVED, moved, strict=True))
