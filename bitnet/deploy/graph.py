"""The frozen graph: nodes in order, checked before anything is computed, and run step by step.

A value has the number of its node.  A step calls a function with some values and stores the
result.  Values are dropped after their last reader.  Products of ±1 followed by thresholds become
one step, whose kernel compares the counts of differing bits while they are in registers.
"""

import functools
import importlib
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, like, moved, read_only
from bitnet.deploy import cells, floats, products, shapes
from bitnet.deploy.node import Node
from bitnet.deploy.sizes import BATCH, Size, Value
from bitnet.deploy.sources import TYPES, Constant, Ids, Input, Weights
from bitnet.errors import InputError, check_choice
from bitnet.kernels import Bits

KINDS: dict[str, type[Node]] = {**dict.fromkeys(TYPES, Input), "ids": Ids}
KINDS |= {"weights": Weights, "constant": Constant}
KINDS |= products.KINDS | floats.KINDS | shapes.KINDS | cells.KINDS
MAX_NODES = 1 << 16
MAX_WORK = 1 << 32  # elements per input, see `Node.work`


class FrozenGraph:
    """Nodes in order, of which each takes values of earlier ones, and the outputs among them.

    Attributes
    ----------
    nodes : tuple of Node
        The nodes; the first ones are the inputs.
    outputs : tuple of int
        The numbers of the nodes whose values are the results.
    values : tuple of Value
        The shape, type and range of the value of each node.
    """

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[int]) -> None:
        self.nodes, self.outputs = tuple(nodes), tuple(outputs)
        n = len(self.nodes)
        if not 0 < n <= MAX_NODES or not self.outputs:
            raise InputError(f"a graph of {n} nodes; expected 1 to {MAX_NODES}, and an output")
        whole = all(type(i) is int and 0 <= i < n for i in self.outputs)
        if not whole:
            raise InputError(f"the outputs are {self.outputs!r:.60}; expected numbers of nodes")
        found: list[Value] = []
        work = 0
        for i, node in enumerate(self.nodes):
            found.append(self._value(i, node, found))
            work += node.work(found[i], *[found[j] for j in node.inputs])
            if work > MAX_WORK:
                came = f"more than {MAX_WORK} elements to compute for one input"
                raise InputError(f"{self.title(i)}: {came}; expected a smaller net or input")
            for array in node.arrays():
                read_only(array)  # so that the prepared weights stay equal to them
        self.values = tuple(found)
        if not self.inputs:
            raise InputError("a graph without an input; expected pixels, signs, numbers or ids")

    def _value(self, i, node, found):
        """Return the value of node i; refuse operands that do not fit."""
        least, most = node.arity
        fits = least <= len(node.inputs) <= most
        if not fits or not all(type(j) is int and 0 <= j < i for j in node.inputs):
            came = f"node {i} ({node.kind}) has the operands {list(node.inputs)!r:.60}"
            raise InputError(f"{came}; expected {least} or more numbers of earlier nodes")
        values = [found[j] for j in node.inputs]
        try:
            if node.needs_axes and not all(value.shape for value in values):
                raise node.unlike("values with axes", *values)
            return node.value(*values)
        except InputError as error:
            raise InputError(f"{self.title(i)}: {error}") from None

    def title(self, i: int) -> str:
        """Return the number, kind and name of a node, for messages."""
        node = self.nodes[i]
        return f"node {i} ({node.kind}{' of ' if node.name else ''}{node.name})"

    @functools.cached_property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Input))

    @functools.cached_property
    def array(self) -> Any:
        """An array of a node, which decides the device."""
        arrays = (array for node in self.nodes for array in node.arrays())
        return next(arrays, np.zeros(0))

    @functools.cached_property
    def readers(self) -> list[list[int]]:
        """The numbers of the nodes that take each value; -1 stands for the results."""
        readers: list[list[int]] = [[] for _ in self.nodes]
        for i, node in enumerate(self.nodes):
            for j in node.inputs:
                readers[j].append(i)
        for i in self.outputs:
            readers[i].append(-1)
        return readers

    @functools.cached_property
    def is_by_row(self) -> bool:
        """Whether each row of a batch is computed independently, so that a batch can be split."""
        dynamic = (v for v, node in zip(self.values, self.nodes, strict=True) if node.arity[0])
        taken = (node.shape for node in self.inputs)
        alone = all(not any(isinstance(size, Size) for size in shape[1:]) for shape in taken)
        varying = [*dynamic, *(node.value() for node in self.inputs)]
        return alone and all(v.by_row and v.shape[:1] == (BATCH,) for v in varying)

    def __reduce__(self):
        """Pickle the nodes and outputs alone: what follows from them is checked and made again."""
        return FrozenGraph, (self.nodes, self.outputs)

    def moved(self, move) -> "FrozenGraph":
        """Return a graph with moved arrays; see `bitnet.arrays.moved`."""
        return FrozenGraph([moved(node, move) for node in self.nodes], self.outputs)

    def sizes(self, inputs) -> dict[str, int]:
        """Return the variable sizes by name; refuse inputs whose sizes differ."""
        found: dict[str, int] = {}
        for node, x in zip(self.inputs, inputs, strict=True):
            for own, size in zip(node.shape, x.shape, strict=True):
                if isinstance(own, Size) and found.setdefault(str(own), size) != size:
                    came = f"inputs with {own} = {found[str(own)]} and {size}"
                    raise InputError(f"{came}; expected the same size")
        return found

    def run(self, *inputs: Any) -> list[Any]:
        """Return the results for checked inputs; products and thresholds are fused.

        Compiled loops compute all nodes, or those that they can; see `deploy.segments`.
        """
        results = self.at_once(*inputs)
        return self._fused(inputs) if results is None else results

    def at_once(self, *inputs: Any) -> list[Any] | None:
        """Return the results for checked inputs by compiled loops, or None if none can."""
        if kernels.implementation() != "numba" or array_module(inputs[0]) is not np:
            return None
        loop = self._compiled[0]
        if loop is None or (loop.one_step and len(inputs[0]) != 1):
            return None
        return loop(*inputs) if loop.pays(inputs[0].shape[int(loop.one_step)]) else None

    def of_pixels(self, x: Any, classes: bool) -> Any:
        """Return the scores or classes of unchecked pixels at once, or None if it cannot be."""
        loop = self._compiled[0]
        if loop is None or kernels.implementation() != "numba":
            return None
        return loop.of_pixels(x, classes)

    def run_all(self, *inputs: Any) -> list[Any]:
        """Return the value of each node for checked inputs."""
        return self._whole(inputs)

    @property
    def loop(self) -> Any:
        """The graph in one compiled loop or in `deploy.segments`, or None if no node is in one."""
        return self._compiled[0]

    @property
    def execution(self) -> str:
        """How the graph is computed, and why, see `FrozenNet.execution`."""
        return self._compiled[1]

    @functools.cached_property
    def _compiled(self):
        """The compiled loop or the segments, or None, and what `execution` says."""
        if (program := kernels.dispatch.program()) is None:
            return None, "node by node: Numba is missing"
        module = importlib.import_module("bitnet.deploy.segments")
        return module.compiled(self, program, lambda: self._fused)

    @functools.cached_property
    def _fused(self):
        return _Program(self, fuse=True)

    @functools.cached_property
    def _whole(self):
        return _Program(self, fuse=False)

    def contents(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the header of the graph in a file, and its arrays by name."""
        headers, arrays = [], dict[str, np.ndarray]()
        for i, node in enumerate(self.nodes):
            header, own = node.contents()
            headers.append(header)
            arrays |= {f"{i}.{name}": array for name, array in own.items()}
        return {"nodes": headers, "outputs": list(self.outputs)}, arrays

    @classmethod
    def from_contents(
        cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> "FrozenGraph":
        """Return the graph with this header and these arrays; refuse what does not fit."""
        headers, outputs = header["nodes"], header["outputs"]
        if not isinstance(headers, list) or not 0 < len(headers) <= MAX_NODES:
            raise InputError(f"the header has nodes {headers!r:.60}; expected 1 to {MAX_NODES}")
        if not isinstance(outputs, list):
            raise InputError(f"the header has outputs {outputs!r:.60}; expected a list")
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            part, _, own = name.partition(".")
            parts.setdefault(part, {})[own] = array
        nodes = [_node_from(i, own, parts.pop(str(i), {})) for i, own in enumerate(headers)]
        if parts:
            raise InputError(f"the file has arrays of {sorted(parts)!r:.60}, which no node has")
        return cls(nodes, outputs)


def _node_from(i, header, arrays):
    """Return node i from its header and arrays in a file."""
    kind = header.get("kind") if isinstance(header, dict) else None
    check_choice(f"node {i}", KINDS, kind=kind if isinstance(kind, str) else repr(kind))
    if not isinstance(header.get("inputs"), list):
        raise InputError(f"node {i} ({kind}): it has no list of operands; expected inputs")
    try:
        return KINDS[kind].from_contents(dict(header), arrays)
    except InputError as error:
        raise InputError(f"node {i} ({kind}): {error}") from None


class _Program:
    """The steps of a graph: (function, operands, result, values to drop).

    `chains` has the nodes of each fused step by its result.
    """

    def __init__(self, graph, fuse):
        self.graph, self.keep = graph, not fuse
        self.first: list[Any] = [n.constant if _is_fixed(n) else None for n in graph.nodes]
        self.inputs = [i for i, node in enumerate(graph.nodes) if isinstance(node, Input)]
        self.varies = any(node.kind in ("reshape", "constant") for node in graph.nodes)
        self.chains: dict[int, list[int]] = {}
        skipped: set[int] = set()
        steps = []
        for i, node in enumerate(graph.nodes):
            if _is_fixed(node) or isinstance(node, Input) or i in skipped:
                continue
            step = self._fused(i, skipped) if fuse else None
            steps.append(step or self._step(i, node))
        self.steps = self.dropping(sorted(steps, key=operator.itemgetter(2)))

    def _step(self, i, node):
        """Return the step of a node; constant weights are laid out now."""
        operands = list(node.inputs)
        run = node.run
        if hasattr(node, "laid") and _is_fixed(self.graph.nodes[operands[1]]):
            self.first.append(node.laid(self.first[operands[1]]))
            operands[1] = len(self.first) - 1
        elif hasattr(node, "laid"):
            run = lambda sizes, x, w, *more: node.run(sizes, x, node.laid(w), *more)  # noqa: E731
        return run, operands, i

    def _fused(self, i, skipped):
        """Return the step of a product of ±1, a max-pooling if there is one, and thresholds."""
        graph = self.graph
        node = graph.nodes[i]
        if not isinstance(node, (products.Linear, products.Conv)):
            return None
        x, weight = (graph.values[j] for j in node.inputs)
        if (x.kind, weight.kind) != ("bits", "bits") or len(x.shape) == 3:
            return None
        chain = [i]
        while len(readers := graph.readers[chain[-1]]) == 1 and readers[0] >= 0:
            chain.append(readers[0])
            if graph.nodes[chain[-1]].kind != "maxpool" or isinstance(node, products.Linear):
                break
        last = graph.nodes[chain[-1]]
        if len(chain) > 3 or not isinstance(last, products.Threshold) or last.codebook is not None:
            return None
        skipped.update(chain)
        self.chains[chain[-1]] = chain
        pool = graph.nodes[chain[1]].window if len(chain) == 3 else None
        return _signs(node, last, pool), list(node.inputs), chain[-1]

    def dropping(self, steps):
        """Return the steps with the operands that nothing reads after them."""
        last = {}
        for at, (_, operands, _) in enumerate(steps):
            last |= dict.fromkeys(operands, at)
        ends = [[] for _ in steps]
        for slot, at in last.items():
            if self.first[slot] is None and slot not in self.graph.outputs:
                ends[at] += [] if self.keep else [slot]
        return [(*step, drop) for step, drop in zip(steps, ends, strict=True)]

    def begun(self, inputs):
        """Return the values before the first step, and the variable sizes."""
        values = self.first.copy()
        for slot, x in zip(self.inputs, inputs, strict=True):
            values[slot] = x
        return values, self.graph.sizes(inputs) if self.varies else {}

    def __call__(self, inputs):
        """Return the results, or all values, for checked inputs."""
        values, sizes = self.begun(inputs)
        for run, operands, result, drop in self.steps:
            values[result] = run(sizes, *[values[j] for j in operands])
            for slot in drop:
                values[slot] = None
        if self.keep:
            return values[: len(self.graph.nodes)]
        return [values[i] for i in self.graph.outputs]


def _is_fixed(node):
    """Return whether a node is a constant whose shape does not depend on the inputs."""
    return isinstance(node, Weights) or (isinstance(node, Constant) and node.is_fixed)


def _signs(node, last, pool):
    """Return the function of a fused step: the signs of products, pooled or not."""
    steps = last.steps
    if isinstance(node, products.Linear):
        return lambda _, x, weight: kernels.xnor_sign(x, weight, steps)
    window, groups = node.window, node.groups
    if pool is None:
        return lambda _, x, w: kernels.xnor_conv_sign(x, w, window, steps, groups)
    falling = kernels.pack(~last.increasing).words

    def pooled(_, x, weight):
        return pooled_signs(kernels.xnor_conv_sign(x, weight, window, steps, groups), pool, falling)

    return pooled


def pooled_signs(y, window, falling):
    """Return the OR over each window in increasing channels, the AND in decreasing ones.

    The largest integer passes an increasing channel's threshold if any does.  `falling` has a 1
    for each decreasing channel: a AND b = NOT (NOT a OR NOT b).
    """
    falling = like(falling, y)
    words = y.words ^ falling
    if any(map(any, window.padding)):
        words = array_module(words).pad(words, ((0, 0), *window.padding, (0, 0)))
    words = functools.reduce(operator.or_, window.seen(words)) ^ falling
    return Bits(words, (*words.shape[:3], y.shape[3]))
