"""Picture of a sweep over bits: accuracy against size, energy and speed."""

from bitnet.analysis.plots.picture import COLOURS, drawing, grid
from bitnet.errors import InputError

PANELS = (  # title, axis, figure, divided by, whether less is better
    ("file", "KiB of the frozen net's file", "bytes", 1024, True),
    ("energy", "estimated nJ an image", "energy_nj", 1, True),
    ("speed", "images a second, measured", "images_per_s", 1, False),
)
NEEDED = ("weights", "activations", "accuracy", "bytes", "energy_nj", "images_per_s")
GREY, DOT = {"color": "#999999", "linewidth": 1}, {"fmt": "o", "markersize": 5, "elinewidth": 0.8}


def plot_tradeoffs(rows, path):
    """Plot accuracy against file size, energy and speed for nets of different bits.

    The grey line in each panel joins the nets that no cheaper net beats: where it turns flat,
    more bits no longer pay.

    Parameters
    ----------
    rows : sequence of dict
        A net each, with its bits of `weights` and `activations` (32: the float twin), its
        `accuracy` from 0 to 1, its `bytes`, `energy_nj` and `images_per_s`, all above 0; and the
        standard deviation of its accuracy, `spread`, if it is known.
    path : str or path
        The picture, PNG or SVG.

    Raises
    ------
    InputError
        If there are no nets, or one lacks a figure.

    Examples
    --------
    >>> import tempfile
    >>> few = {"weights": 1, "activations": 2, "accuracy": 0.9, "bytes": 100}
    >>> rows = [few | {"energy_nj": 5.0, "images_per_s": 1e4}]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_tradeoffs(rows, f"{folder}/bits.svg")
    """
    if not rows or not all(all(row.get(name) for name in NEEDED) for row in rows):
        expected = f"one or more, with the figures {', '.join(NEEDED)} above 0"
        raise InputError(f"trade-offs: {len(rows)} nets; expected {expected}")
    weights = sorted({row["weights"] for row in rows})
    colour = {bits: COLOURS[i % len(COLOURS)] for i, bits in enumerate(weights)}
    with drawing(path, 10.5, 4) as figure:
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


def _unbeaten(points, less):
    """The points (cost, accuracy) that no point of the same cost or better beats, by cost."""
    best, kept = -1.0, []
    for x, y in sorted(points, key=lambda p: (p[0] if less else -p[0], -p[1])):
        if y > best:
            best = y
            kept.append((x, y))
    return kept
