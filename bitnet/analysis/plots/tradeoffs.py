"""Plot of a sweep over bits: accuracy against size, energy and speed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitnet.analysis.plots.picture import COLOURS, drawing, grid
from bitnet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = (  # title, axis, figure, divided by, whether less is better
    ("file", "KiB of the frozen net's file", "bytes", 1024, True),
    ("energy", "estimated nJ per image", "energy_nj", 1, True),
    ("speed", "images per second, measured", "images_per_s", 1, False),
)
NEEDED = ("weights", "activations", "accuracy", "bytes", "energy_nj", "images_per_s")
GREY, DOT = {"color": "#999999", "linewidth": 1}, {"fmt": "o", "markersize": 5, "elinewidth": 0.8}


def plot_tradeoffs(
    rows: Sequence[Mapping[str, Any]],
    *,
    figure: "Figure | None" = None,
    path: Path | str | None = None,
) -> "Figure":
    """Plot accuracy against file size, energy and speed for nets with different bit widths.

    The grey line in each panel joins the nets that no cheaper net beats: where it is flat, more
    bits no longer pay.

    Parameters
    ----------
    rows : sequence of dict
        One dict per net: the bits of its `weights` and `activations` (32 for the float twin), its
        `accuracy` from 0 to 1, its `bytes`, `energy_nj` and `images_per_s`, all above 0; and
        optionally `spread`, the standard deviation of its accuracy.
    figure : matplotlib.figure.Figure or SubFigure, optional
        The empty figure to draw into; by default a new one.
    path : str or path, optional
        The file to write, PNG or SVG; by default none is written.

    Returns
    -------
    matplotlib.figure.Figure
        The whole figure.

    Raises
    ------
    InputError
        If there are no nets, one lacks a figure, or the file cannot be written.

    Examples
    --------
    >>> few = {"weights": 1, "activations": 2, "accuracy": 0.9, "bytes": 100}
    >>> rows = [few | {"energy_nj": 5.0, "images_per_s": 1e4}]
    >>> [axes.get_title() for axes in plot_tradeoffs(rows).axes]
    ['file', 'energy', 'speed']
    """
    if not rows or not all(all(row.get(name) for name in NEEDED) for row in rows):
        expected = f"one or more, each with {', '.join(NEEDED)} above 0"
        raise InputError(f"trade-offs: got {len(rows)} nets; expected {expected}")
    weights = sorted({row["weights"] for row in rows})
    colour = {bits: COLOURS[i % len(COLOURS)] for i, bits in enumerate(weights)}
    with drawing(path, 10.5, 4, figure) as figure:
        from matplotlib.ticker import LogLocator, StrMethodFormatter

        panels = figure.subplots(1, 3, sharey=True)
        for axes, (title, axis, name, unit, less) in zip(panels, PANELS, strict=True):
            points = [(row[name] / unit, 100 * row["accuracy"]) for row in rows]
            axes.plot(*zip(*_unbeaten(points, less), strict=True), zorder=1, **GREY)
            for row, (x, y) in zip(rows, points, strict=True):
                spread, dot = 100 * row.get("spread", 0), {"color": colour[row["weights"]], **DOT}
                axes.errorbar(x, y, spread, **dot)
                bits = f"{row['weights']}/{row['activations']}"
                axes.annotate(bits, (x, y), (4, 4), textcoords="offset points", fontsize=7)
            axes.set(title=title, xlabel=axis, xscale="log")
            narrow = max(x for x, _ in points) < 30 * min(x for x, _ in points)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.minorticks_off()
            grid(axes)
            axes.margins(x=0.12)
        panels[0].set_ylabel("test accuracy (%)")
        for bits in weights:
            panels[0].plot([], [], "o", color=colour[bits], label=f"{bits}-bit weights")
        panels[0].plot([], [], color=GREY["color"], label="not beaten by a cheaper net")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        figure.suptitle("weights/activations in bits; 32/32 is the float twin", fontsize=10)
    return figure.figure


def _unbeaten(points, less):
    """Return the points (cost, accuracy) that no point at the same or a better cost beats."""
    best, kept = -1.0, []
    for x, y in sorted(points, key=lambda p: (p[0] if less else -p[0], -p[1])):
        if y > best:
            best = y
            kept.append((x, y))
    return kept
