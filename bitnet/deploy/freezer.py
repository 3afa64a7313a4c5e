"""The freezer: traced operations of a model become the nodes of a frozen graph, one by one.

The model is traced for two sizes of the batch, so that sizes which depend on it are told from
others.  What depends on no input is computed now and stored.  A quantizer after integers becomes
thresholds, found by evaluating the model's own functions.
"""

import dataclasses
import hashlib

import numpy as np

from bitnet.arrays import is_array, to_cpu
from bitnet.deploy import rules
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.sizes import generalized
from bitnet.deploy.sources import Constant, Ids, Input, Weights
from bitnet.deploy.traced import SIMPLE, Op, same
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits, Codebook
from bitnet.nn.functional.embedding import Embedding
from bitnet.nn.functional.shapes import GetItem, Reshape, Transpose


class Freezer:
    """The frozen nodes made so far, and where the results of the traced operations are."""

    def __init__(self, graphs, sizes, inputs):
        self.graphs, self.sizes = graphs, sizes
        first, second = ([(n.function, n.inputs) for n in graph.nodes] for graph in graphs)
        if first != second or graphs[0].outputs != graphs[1].outputs:
            raise InputError(
                "freeze: the operations of the model depend on the size of the batch; expected the "
                "same operations for 2 and 3 inputs"
            )
        nodes = graphs[0].nodes
        self.ops = [Op(i, n.function, n.inputs, n.settings) for i, n in enumerate(nodes)]
        self.nodes, self.values = [], []
        self.places, self.known, self.fixed_refs = {}, {}, {}
        for name, node in zip(graphs[0].inputs, inputs, strict=True):
            if isinstance(node, Ids):
                tables = [op.inputs[0] for op in self.ops if self._looks_up(op, name)]
                below = min([(1 << 31) - 1, *(len(self.data(own)[0]) for own in tables)])
                node = dataclasses.replace(node, below=below)
            self.places[name] = self.add(node)

    def _looks_up(self, op, name):
        """Return whether an operation looks up the rows of an input, perhaps after moving them."""
        if op.function is not Embedding:
            return False
        ref = op.inputs[1]
        while isinstance(ref, int) and self.ops[ref].function in (Transpose, Reshape, GetItem):
            ref = self.ops[ref].inputs[0]
        return ref == name

    def graph(self):
        """Return the frozen graph of the outputs."""
        for op in self.ops:
            self._check_settings(op)
            if not self.is_constant(op.number):
                try:
                    self.places[op.number] = rules.frozen(self, op)
                except InputError as error:  # raised if a result needs this operation
                    self.places[op.number] = error
        outputs = [self.operand(ref) for ref in self.graphs[0].outputs]
        return _pruned(self.nodes, outputs)

    def add(self, node):
        """Append a node and return its number."""
        try:
            self.values.append(node.value(*(self.values[i] for i in node.inputs)))
        except InputError as error:
            of = f" of {node.name}" if node.name else ""
            raise InputError(f"freeze: {node.kind}{of}: {error}") from None
        self.nodes.append(node)
        return len(self.nodes) - 1

    def data(self, ref):
        """Return the data of an operand in both traces."""
        return [
            (graph.nodes[ref].result if isinstance(ref, int) else graph.named[ref]).data
            for graph in self.graphs
        ]

    def is_constant(self, ref):
        """Return whether an operand depends on no input."""
        if not isinstance(ref, int):
            return ref not in self.graphs[0].inputs
        if ref not in self.fixed_refs:
            self.fixed_refs[ref] = all(self.is_constant(own) for own in self.ops[ref].inputs)
        return self.fixed_refs[ref]

    def operands(self, op):
        """Return the numbers of the frozen operands of an operation."""
        return tuple(self.operand(ref) for ref in op.inputs)

    def operand(self, ref):
        """Return the number of the frozen node of an operand."""
        if ref not in self.places:
            self.places[ref] = self._constant(ref)
        found = self.places[ref]
        if isinstance(found, InputError):
            raise found
        return found

    def name_of(self, op):
        """Return the dotted name of the layer whose parameters an operation takes, or "".

        A parameter in a list, such as weights.0, has a name of its own.
        """
        refs = list(op.inputs)
        while refs:
            ref = refs.pop(0)
            if isinstance(ref, int) and self.is_constant(ref):
                refs = [*self.ops[ref].inputs, *refs]
            elif ref in self.graphs[0].parameters:
                layer, _, own = ref.rpartition(".")
                return ref if own.isdigit() else layer
        return ""

    def described(self, op):
        """Return the shape of an operation's result and where it is, for messages."""
        name = self.name_of(op)
        return f"shape {self.graphs[0].nodes[op.number].shape}{f' in {name}' if name else ''}"

    def shape(self, ref):
        """Return the shape of an operation's result, or of an operand, for any batch."""
        ref = ref.number if isinstance(ref, Op) else ref
        pair = [own.shape for own in self.data(ref)]
        found = generalized(pair, self.sizes)
        if found is None:
            came = f"a shape that is {pair[0]} and {pair[1]} for 2 and 3 inputs"
            raise InputError(f"freeze: the model computes {came}; expected a multiple of the batch")
        return found

    def copied(self, array):
        """Return a copy of an array, as training may change the model's."""
        return np.array(to_cpu(array), order="C")

    def fixed(self, op, ref):
        """Return the array of an operand that must be constant."""
        if not self.is_constant(ref) or not same(*self.data(ref)):
            raise InputError(f"freeze: {op.name} of an operand that depends on the inputs")
        return self.copied(self.data(ref)[0])

    def is_arange(self, op, position):
        """Return whether a part of an index is 0, 1, ..., one for each element of the batch."""
        pair = [g.nodes[op.number].settings["index"] for g in self.graphs]
        pair = [
            own[position] if isinstance(own, tuple) and len(own) > position else None
            for own in pair
        ]
        sizes = [own["B"] for own in self.sizes]
        return all(
            is_array(own) and np.array_equal(to_cpu(own), np.arange(size))
            for own, size in zip(pair, sizes, strict=True)
        )

    def _check_settings(self, op):
        """Refuse settings that depend on the batch."""
        if op.function in (Reshape, GetItem):
            return
        other = self.graphs[1].nodes[op.number].settings
        for name, own in op.settings.items():
            if isinstance(own, SIMPLE) and not same(own, other.get(name)):
                came = f"{op.name} of {self.described(op)} has another {name} in each call"
                raise InputError(f"freeze: {came}; expected one that depends on no input")

    def _constant(self, ref):
        """Return the number of a node with the constant data of an operand."""
        pair = self.data(ref)
        first, shape = to_cpu(pair[0]), pair[0].shape
        if isinstance(first, (Bits, BitPlanes)):
            if not same(*pair):
                raise InputError("freeze: packed constants differ from call to call")
            return self.weights(first, self._codebook_of(ref, first))
        if not same(*pair):
            first, shape = self._expanded(pair)
        key = _digest(first, first.shape, str(shape))
        if key not in self.known:
            self.known[key] = self.add(Constant("constant", (), self.copied(first), shape))
        return self.known[key]

    def _expanded(self, pair):
        """Return the array and shape of constants that depend on the batch only by their shape."""
        shape = generalized([own.shape for own in pair], self.sizes)
        if shape is not None:
            fixed = tuple(slice(None) if isinstance(size, int) else slice(1) for size in shape)
            parts = [to_cpu(own)[fixed] for own in pair]
            wide = [np.broadcast_to(part, own.shape) for part, own in zip(parts, pair, strict=True)]
            if same(*parts) and all(
                same(*both) for both in zip(wide, map(to_cpu, pair), strict=True)
            ):
                return parts[0], shape
        raise InputError(
            "freeze: an array in the model differs between two calls in evaluation mode; expected "
            "operations on the inputs and on parameters, and no random numbers"
        )

    def _codebook_of(self, ref, packed):
        """Return the codebook of packed constants; None for signs."""
        if isinstance(packed, Bits):
            return None
        own = self.ops[ref].settings.get("quantizer") if isinstance(ref, int) else None
        if own is not None:
            book = own.codebook
            return Codebook(book.patterns, book.coefficients, packed.unit, book.offset)
        ones = (packed.bits.signs() > 0).reshape(len(packed.coefficients), -1)
        patterns = np.unique((ones * (1 << np.arange(len(ones)))[:, None]).sum(axis=0))
        signs = 2 * (patterns[:, None] >> np.arange(len(ones)) & 1) - 1
        order = np.argsort(signs @ np.array(packed.coefficients))
        every = patterns[order] if len(patterns) > 1 else np.arange(1 << len(ones))
        return Codebook(every, packed.coefficients, packed.unit * packed.scale, packed.offset)

    def weights(self, packed, codebook, name=""):
        """Return the number of a node of packed weights."""
        words = getattr(packed, "bits", packed).words
        key = _digest(words, packed.shape, "" if codebook is None else repr(codebook._state()))
        if key not in self.known:
            packed = packed.with_bits(_copy(packed.bits)) if codebook else _copy(packed)
            self.known[key] = self.add(Weights("weights", (), packed, codebook, name=name))
        return self.known[key]


def _copy(bits):
    """Return a copy of Bits."""
    return Bits(np.array(to_cpu(bits.words)), bits.shape)


def _digest(array, *more):
    """Return a key of an array's content."""
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest(), str(array.dtype), *map(str, more)


def _pruned(nodes, outputs):
    """Return the graph of the nodes that the outputs need, with all inputs first."""
    needed, stack = {i for i, node in enumerate(nodes) if isinstance(node, Input)}, [*outputs]
    while stack:
        if (i := stack.pop()) not in needed:
            needed.add(i)
            stack += nodes[i].inputs
    order = {old: new for new, old in enumerate(sorted(needed))}
    kept = (nodes[i] for i in order)
    own = [dataclasses.replace(n, inputs=tuple(order[j] for j in n.inputs)) for n in kept]
    return FrozenGraph(own, [order[i] for i in outputs])
