"""How a frozen graph is computed: by one compiled loop, by several, or node by node.

Where the loop has no operation for some node, the graph is computed in segments: the nodes that
follow each other are computed by one loop each, and the other nodes one by one between them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bitnet.arrays import array_module
from bitnet.deploy.compiled import Compiled
from bitnet.deploy.operations import STEPS, Builder, NotCoveredError
from bitnet.deploy.sizes import BATCH
from bitnet.deploy.sources import Constant, Input

# A call takes as long as one or two small kernels of the walk: a segment is used if it has so many
# steps; a product counts as two, and a view as none.
LEAST_STEPS = 3
COUNTS = dict.fromkeys(("linear", "conv", "float linear", "float conv"), 2)
COUNTS |= dict.fromkeys(("mixed linear", "mixed conv", "rnn", "lstm", "gru"), 2)
COUNTS |= dict.fromkeys(("flatten", "reshape", "slice"), 0)
MOST_NAMED = 3


@dataclasses.dataclass
class Part:
    """Steps of the walk that follow each other, and the loop that computes all of them, or None."""

    steps: list
    loop: Compiled | None = None
    operands: Sequence[int] = ()
    outputs: Sequence[int] = ()


class Segments:
    """The parts of a graph, in order.

    Attributes
    ----------
    parts : list of Part
        The segments, and the steps between them.
    not_covered : list of str
        The nodes without an operation, and why.
    """

    def __init__(self, graph: Any, walk: Any, program: Any, one_step: bool) -> None:
        self.graph, self.walk, self.one_step = graph, walk, one_step
        self.not_covered: list[str] = []
        self._step_of = {step[2]: step for step in walk.steps}
        self._program, self._done = program, set[int]()
        self.parts = self._divided()
        self.loops = [part.loop for part in self.parts if part.loop]
        steps = iter(walk.dropping([step[:3] for part in self.parts for step in part.steps]))
        for part in self.parts:  # in this order, other steps are the last readers of values
            part.steps = [next(steps) for _ in part.steps]

    def _divided(self):
        """Return the parts.

        A step without an operation ends a segment only if it reads one of its values; otherwise
        it is computed before.
        """
        parts, builder = [], self._builder()
        for step in self.walk.steps:
            _, operands, result, *_ = step
            if result in self._done:
                continue
            if isinstance(self.graph.nodes[result], Constant):
                parts.append(Part([step]))
                continue
            try:
                builder.cover(self._nodes_of(result))
            except NotCoveredError as error:
                self.not_covered.append(str(error))
                if any(j in self._nodes(builder) for j in operands):
                    parts.append(self._ended(builder))
                    builder = self._builder()
                parts.append(Part([step]))
        return [part for part in (*parts, self._ended(builder)) if part.steps]

    def _nodes_of(self, result):
        """Return the nodes of a step of the walk."""
        return self.walk.chains.get(result, [result])

    def _builder(self):
        return Builder(self.graph, self._program, self.one_step)

    def _nodes(self, builder):
        """Return the nodes that a builder covers."""
        found = (builder.places.keys() | builder.states.keys()) - {*builder.entering}
        return {i for i in found if self.graph.nodes[i].arity[0]}

    def _ended(self, builder):
        """Return the part of a builder: a segment, if that is faster than the walk."""
        graph, nodes = self.graph, self._nodes(builder)
        self._done |= nodes
        part = Part([self._step_of[i] for i in sorted(nodes) if i in self._step_of])
        firsts = (self._nodes_of(i)[0] for _, _, i, *_ in part.steps)
        count = sum(COUNTS.get(graph.nodes[i].kind, 1) for i in firsts)
        outputs = [i for i in sorted(nodes) if not nodes.issuperset(graph.readers[i])]
        if count < LEAST_STEPS or not builder.entering or not outputs:
            return part
        try:
            builder.end(outputs)
        except NotCoveredError as error:
            self.not_covered.append(str(error))
            return part
        return Part(part.steps, Compiled(builder), builder.entering, outputs)

    def of_pixels(self, x: Any, classes: bool) -> None:
        """Return None: inputs are checked before."""

    def warm(self) -> None:
        """Compile the loop for the level in use, or load it from the cache."""
        self.loops[0].warm()

    def pays(self, rows: int) -> bool:
        """Return whether any segment is faster for so many rows than the walk."""
        return any(loop.pays(rows) for loop in self.loops)

    def __call__(self, *inputs: Any) -> list[Any]:
        """Return the results for inputs in the form that the nodes take."""
        values, sizes = self.walk.begun(inputs)
        rows = inputs[0].shape[int(self.one_step)]
        for part in self.parts:
            is_segment = part.loop is not None and part.loop.pays(rows)
            if is_segment:
                results = part.loop(*[values[j] for j in part.operands])
                for slot, own in zip(part.outputs, results, strict=True):
                    values[slot] = own
            for run, operands, result, drop in part.steps:
                if not is_segment:
                    values[result] = run(sizes, *[values[j] for j in operands])
                for slot in drop:
                    values[slot] = None
        return [values[i] for i in self.graph.outputs]

    def __str__(self) -> str:
        n, named, more = len(self.loops), self.not_covered[:MOST_NAMED], ""
        if len(self.not_covered) > MOST_NAMED:
            more = f"; and {len(self.not_covered) - MOST_NAMED} more"
        return f"{n} call{'s' if n > 1 else ''}, and node by node: {'; '.join(named)}{more}"


def compiled(graph: Any, program: Any, walk: Any) -> tuple[Compiled | Segments | None, str]:
    """Return the loop or the segments of a FrozenGraph, and how it is computed.

    `walk` is a function that returns the steps of its nodes.
    """
    if not program.COMPILES:
        return None, "node by node: Numba does not compile"
    if array_module(graph.array) is not np:
        return None, "node by node: the net is on a GPU"
    one_step = graph.inputs[0].shape[:2] == (STEPS, BATCH)
    if not graph.is_by_row and not one_step:
        return None, "node by node: the rows of a batch depend on each other"
    try:
        builder = Builder(graph, program, one_step)
        for i, node in enumerate(graph.nodes):
            if isinstance(node, Input):
                builder.enter(i)
        builder.cover(range(len(graph.nodes)))
        builder.end(graph.outputs)
        return Compiled(builder), "one call"
    except NotCoveredError as error:
        segments = Segments(graph, walk(), program, one_step)
        return (segments, str(segments)) if segments.loops else (None, f"node by node: {error}")
