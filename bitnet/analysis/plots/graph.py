"""The plot of a graph, traced or frozen: operations from top to bottom, and what flows between."""

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitnet.analysis.plots.picture import COLOURS, drawing, plain
from bitnet.autograd import Graph
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.sources import Input
from bitnet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NODES, MOST_NAMES = 400, 2  # in a graph, and names of parameters in a box
WIDTH, HEIGHT = 2.3, 0.75  # inches per column and per row
BITS, INTEGERS, FLOATS, GIVEN = COLOURS[0], COLOURS[2], COLOURS[1], "#777777"


class _Node(typing.NamedTuple):
    """What is drawn of a node."""

    words: list[str]  # lines of text
    kind: str  # the type of the result
    operands: tuple  # the keys of other nodes
    is_input: bool = False


def plot_graph(
    graph: Graph | FrozenGraph, *, ax: "Axes | None" = None, path: Path | str | None = None
) -> "Figure":
    """Plot the operations of a traced model or of a frozen net, each below its operands.

    The colour of an operation is that of its result: packed bits, integers or floats.  Parameters
    and constants are written into the operation that uses them.

    Parameters
    ----------
    graph : Graph or FrozenGraph
        The result of `bitnet.autograd.trace`, or the `graph` of a frozen net; at most 400 nodes.
    ax : matplotlib.axes.Axes, optional
        The Axes to draw into; by default those of a new figure.
    path : str or path, optional
        A .png or .svg file to write.

    Returns
    -------
    matplotlib.figure.Figure
        The whole figure.

    Raises
    ------
    InputError
        If the graph has too many nodes, matplotlib is missing, or the file cannot be written.

    Examples
    --------
    >>> from bitnet import nn
    >>> from bitnet.autograd import trace
    >>> figure = plot_graph(trace(nn.Sequential(nn.ReLU(), nn.Sign()), [[1.0]]))
    >>> [text.get_text().split()[0] for text in figure.axes[0].texts if text.get_text()]
    ['input', 'ReLU', 'Sign']
    """
    if not isinstance(graph, (Graph, FrozenGraph)):
        expected = "a Graph from bitnet.autograd.trace, or the graph of a frozen net"
        raise InputError(f"graph: got {graph!r:.60}; expected {expected}")
    if len(graph.nodes) > MOST_NODES:
        raise InputError(
            f"graph: got {len(graph.nodes)} nodes; expected at most {MOST_NODES}; print the graph "
            "instead"
        )
    nodes = _frozen(graph) if isinstance(graph, FrozenGraph) else _traced(graph)
    places = _places(nodes)
    columns = max(column for column, _ in places.values()) + 1
    rows = max(row for _, row in places.values()) + 1
    size = max(3.0, WIDTH * columns), max(2.0, HEIGHT * rows)
    with drawing(path, *size, ax=ax) as figure:
        axes = figure.subplots() if ax is None else ax
        axes.set_axis_off()
        axes.set_xlim(-0.5, columns - 0.5)
        axes.set_ylim(rows - 0.5, -0.5)
        boxes: dict[int | str, Any] = {}
        for key, node in nodes.items():
            colour = GIVEN if node.is_input else _colour(node.kind)
            boxes[key] = _box(axes, places[key], "\n".join(node.words), colour)
            for operand in node.operands:
                _arrow(axes, places[operand], places[key], boxes[operand], boxes[key])
    return figure


def _traced(graph):
    """Return what is drawn of a traced graph."""
    nodes: dict[int | str, _Node] = {}
    for name, x in graph.inputs.items():
        kind = str(getattr(x.data, "dtype", type(x.data).__name__))
        nodes[name] = _Node([name, f"{kind} {x.shape}"], kind, (), is_input=True)
    for i, node in enumerate(graph.nodes):
        drawn = tuple(own for own in node.inputs if own in nodes)
        used = [str(own) for own in node.inputs if own not in nodes][:MOST_NAMES]
        words = [f"{node.operation}  {i}", f"{node.kind} {node.shape}", *used]
        nodes[i] = _Node(words, node.kind, drawn)
    return nodes


def _frozen(graph):
    """Return what is drawn of a frozen graph; constants are words of what takes them."""
    nodes: dict[int | str, _Node] = {}
    for i, (node, value) in enumerate(zip(graph.nodes, graph.values, strict=True)):
        if isinstance(node, Input) or node.arity[0]:
            drawn = tuple(own for own in node.inputs if own in nodes)
            used = [repr(graph.values[own]) for own in node.inputs if own not in nodes]
            words = [f"{node.kind}  {i}", repr(value), *([node.name] if node.name else []), *used]
            nodes[i] = _Node(words[:4], value.kind, drawn, isinstance(node, Input))
    return nodes


def _places(nodes) -> Mapping[int | str, tuple[int, int]]:
    """Return the column and row of each node: below its operands, side by side."""
    rows: dict[int | str, int] = {}
    for key, node in nodes.items():
        rows[key] = 0 if node.is_input else 1 + max((rows[own] for own in node.operands), default=0)
    for key in reversed(nodes):
        if not nodes[key].operands and not nodes[key].is_input:  # a quantized weight: above its use
            uses = [rows[own] for own, other in nodes.items() if key in other.operands]
            rows[key] = min(uses, default=rows[key] + 1) - 1
    taken: dict[int, int] = {}
    places = {}
    main = [key for key, node in nodes.items() if node.is_input or node.operands]
    for key in [*main, *(key for key in nodes if key not in main)]:
        column = max(taken.get(rows[key], 0), key not in main)  # weights beside the main path
        places[key] = column, rows[key]
        taken[rows[key]] = column + 1
    return places


def _colour(kind):
    """Return the colour of a type of result."""
    if kind in ("Bits", "BitPlanes", "bits", "planes"):
        return BITS
    return FLOATS if kind.startswith("float") else INTEGERS


def _box(axes, place, text, colour):
    """Write a text into a box at a place; return the box."""
    box = {
        "boxstyle": "round,pad=0.35",
        "facecolor": "white",
        "edgecolor": colour,
        "linewidth": 1.4,
    }
    at = {"ha": "center", "va": "center", "fontsize": 6.5}
    return axes.text(*place, plain(text), **at, bbox=box, zorder=2).get_bbox_patch()


def _arrow(axes, start, end, box, to):
    """Draw an arrow from one box to another; one that passes rows is bent around them."""
    bend = 0.0 if end[1] - start[1] <= 1 else 0.25
    style = {"arrowstyle": "-|>", "color": "#999999", "linewidth": 0.9}
    style |= {"connectionstyle": f"arc3,rad={bend}", "patchA": box, "patchB": to}
    axes.annotate("", end, start, arrowprops=style, zorder=1)
