"""The plot of a traced graph: operations from top to bottom, and what flows between them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitnet.analysis.plots.picture import COLOURS, drawing, plain
from bitnet.autograd import Graph
from bitnet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NODES, MOST_NAMES = 400, 2  # in a graph, and names of parameters in a box
WIDTH, HEIGHT = 2.3, 0.75  # inches per column and per row
BITS, INTEGERS, FLOATS, GIVEN = COLOURS[0], COLOURS[2], COLOURS[1], "#777777"


def plot_graph(
    graph: Graph, *, ax: "Axes | None" = None, path: Path | str | None = None
) -> "Figure":
    """Plot the operations of a traced model, each below its operands.

    The colour of an operation is that of its result: packed bits, integers or floats.  Parameters
    are written into the operation that uses them.

    Parameters
    ----------
    graph : Graph
        The result of `bitnet.autograd.trace`, with at most 400 nodes.
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
    if not isinstance(graph, Graph):
        raise InputError(f"graph: got {graph!r:.60}; expected a Graph from bitnet.autograd.trace")
    if len(graph.nodes) > MOST_NODES:
        raise InputError(
            f"graph: got {len(graph.nodes)} nodes; expected at most {MOST_NODES}; print the graph "
            "instead"
        )
    places = _places(graph)
    columns = max(column for column, _ in places.values()) + 1
    rows = max(row for _, row in places.values()) + 1
    size = max(3.0, WIDTH * columns), max(2.0, HEIGHT * rows)
    with drawing(path, *size, ax=ax) as figure:
        axes = figure.subplots() if ax is None else ax
        axes.set_axis_off()
        axes.set_xlim(-0.5, columns - 0.5)
        axes.set_ylim(rows - 0.5, -0.5)
        boxes: dict[int | str, Any] = {}
        for name, x in graph.inputs.items():
            kind = str(getattr(x.data, "dtype", type(x.data).__name__))
            boxes[name] = _box(axes, places[name], f"{name}\n{kind} {x.shape}", GIVEN)
        for i, node in enumerate(graph.nodes):
            used = [str(name) for name in node.inputs if name not in places]
            words = [f"{node.operation}  {i}", f"{node.kind} {node.shape}", *used[:MOST_NAMES]]
            boxes[i] = _box(axes, places[i], "\n".join(words), _colour(node.kind))
            for operand in node.inputs:
                if operand in places:
                    _arrow(axes, places[operand], places[i], boxes[operand], boxes[i])
    return figure


def _places(graph: Graph) -> Mapping[int | str, tuple[int, int]]:
    """Return the column and row of each input and node: below its operands, side by side."""
    rows: dict[int | str, int] = dict.fromkeys(graph.inputs, 0)
    for i, node in enumerate(graph.nodes):
        rows[i] = 1 + max((rows[name] for name in node.inputs if name in rows), default=0)
    for i, node in reversed(list(enumerate(graph.nodes))):
        if not any(name in rows for name in node.inputs):  # a quantized weight: above its use
            uses = [rows[j] for j, other in enumerate(graph.nodes) if i in other.inputs]
            rows[i] = min(uses, default=rows[i] + 1) - 1
    taken: dict[int, int] = {}
    places = {}
    main: list[int | str] = [name for name in rows if name in graph.inputs]
    main += [i for i, node in enumerate(graph.nodes) if any(name in rows for name in node.inputs)]
    for name in [*main, *(name for name in rows if name not in main)]:
        column = max(taken.get(rows[name], 0), name not in main)  # weights beside the main path
        places[name] = column, rows[name]
        taken[rows[name]] = column + 1
    return places


def _colour(kind):
    """Return the colour of a type of result."""
    if kind in ("Bits", "BitPlanes"):
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
