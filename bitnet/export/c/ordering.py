"""Integers in the order of float scores, for processors without floats.

The scores of the classes are float functions of integers z.  `ordered` replaces the last map by
`z * factor + shift` of each class, integers whose order is that of the float scores for all pairs
of classes and all integers that can be reached, equal scores included.
"""

import dataclasses

import numpy as np

from bitnet.deploy.floats import Affine
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.node import Int32Array, Node
from bitnet.deploy.products import Linear, Rescale
from bitnet.deploy.sizes import Value
from bitnet.errors import InputError
from bitnet.export.c.numbers import element
from bitnet.export.c.printer import printer

TRIES = 200  # of scales
MOST = 2**31 - 1
WHY = "use float scores"


@dataclasses.dataclass(frozen=True)
class Order(Node):
    """The map `z * factors + shifts` of integers."""

    factors: Int32Array = None
    shifts: Int32Array = None

    def value(self, z):
        return Value(z.shape, "int32", MOST, by_row=z.by_row)

    def run(self, sizes, z):
        """Return integers of the shape of z."""
        return z * self.factors + self.shifts


@printer(Order)
def order(p, i, node):
    """Print the map."""
    z, y = p.operand(node.inputs[0]), p.result(i)
    names = [p.constant(f"net_{k}{i}", getattr(node, k)) for k in ("factors", "shifts")]
    read = [f"NET_READ32S({name} + k)" for name in names]
    p.add("{", "int k;", f"for (k = 0; k < {y.size}; k++)")
    p.add(f"    ({y.at})[k] = {element(z, 'k')} * {read[0]} + {read[1]};", "}")
    return y


def ordered(graph):
    """Return a graph whose result is integers in the order of the scores, and True."""
    last = graph.nodes[graph.outputs[0]]
    z = graph.nodes[last.inputs[0]] if last.inputs else None
    value = graph.values[last.inputs[0]] if last.inputs else None
    fits = isinstance(last, (Affine, Rescale)) and value.kind == "int32" and len(graph.outputs) == 1
    if not fits or len(value.shape) != 2:
        came = f"{graph.title(graph.outputs[0])} gives the scores"
        raise InputError(f"{came}; expected the batch norm of integers, or {WHY}")
    reached = reachable(graph, z, value)
    scores = last.run({}, np.repeat(reached[:, None], value.shape[1], axis=1))
    if len(own := scores.T) and not np.isfinite(own).all():
        raise InputError(f"the scores are not finite; {WHY}")
    found = fitted(reached, scores.T.astype(np.float64))
    if found is None:
        raise InputError(f"no integers of 32 bits have the order of the scores; {WHY}")
    nodes = list(graph.nodes)
    nodes[graph.outputs[0]] = Order("order", last.inputs, *found, name=last.name)
    return FrozenGraph(nodes, graph.outputs), True


def reachable(graph, node, value):
    """Return the integers that a product can give: of signs every second one."""
    n = value.largest
    signs = isinstance(node, Linear) and {graph.values[j].kind for j in node.inputs} == {"bits"}
    return np.arange(-n, n + 1, 2 if signs else 1, dtype=np.int32)


def fitted(z, scores):
    """Return factors and shifts, int32 (M,), that keep the order of scores (M, len(z)), or None."""
    span = max(int(abs(z).max()), 1)
    ends = scores[:, [0, -1]]
    slopes = (ends[:, 1] - ends[:, 0]) / max(int(z[-1]) - int(z[0]), 1)
    middles = ends.mean(axis=1) - slopes * (int(z[0]) + int(z[-1])) / 2
    middles -= middles.mean()
    reach = (abs(slopes) * span + abs(middles)).max() or 1.0
    for k in range(TRIES):
        scale = (MOST - 2**20) / reach * 0.97**k
        factors = np.rint(slopes * scale).astype(np.int64)
        shifts = np.rint(middles * scale).astype(np.int64)
        values = factors[:, None] * z.astype(np.int64) + shifts[:, None]
        if abs(values).max() <= MOST and same_order(values, scores):
            return factors.astype(np.int32), shifts.astype(np.int32)
    return None


def same_order(values, scores):
    """Return whether the class of each pair is the same by integers and by scores.

    Class j after class i wins if its score is larger; the first of equal scores wins.
    """
    m = len(values)
    for i in range(m):
        for j in range(i + 1, m):
            wins = _wins(values[i], values[j])
            if not np.array_equal(wins, _wins(scores[i], scores[j])):
                return False
    return True


def _wins(first, second):
    """Return how many of the first's values are less than each value of the second."""
    return np.searchsorted(np.sort(first), second, side="left")
