"""Matplotlib figures in one style, drawn without a display.

A plot function takes its data first.  A plot of one panel then takes `ax`, the Axes to draw into;
a plot of several panels takes `figure`, the Figure or SubFigure to draw into.  Last comes `path`,
the file to write.  The result is always the whole Figure.

Colour-blind people can tell the colours apart; lines also differ in their dashes.
"""

import contextlib
import functools
import importlib.util
import io
import pathlib
import warnings

from bitnet.errors import InputError
from bitnet.files import check_writable, replacing

# by Okabe and Ito
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
DPI = 150
STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "font.size": 9,
    "grid.color": "#dddddd",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "bitnet",  # the same picture gives the same bytes
}


def check_plot(path: pathlib.Path | str) -> None:
    """Raise an error if no picture can be written to a path.

    Call it before a long run, so that a wrong path is found early.

    Parameters
    ----------
    path : str or path
        The file that will be written.

    Raises
    ------
    InputError
        If the suffix is neither .png nor .svg, the file cannot be written, or matplotlib is
        missing.

    Examples
    --------
    >>> try:
    ...     check_plot("curves.jpg")
    ... except InputError as error:
    ...     print(error)
    curves.jpg: expected a name that ends with .png or .svg
    """
    if pathlib.Path(path).suffix.lower() not in (".png", ".svg"):
        raise InputError(f"{path}: expected a name that ends with .png or .svg")
    check_matplotlib()
    check_writable(path)


def check_matplotlib():
    """Raise an error if matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("plots need matplotlib; run `pip install matplotlib`, or the extra `plot`")


def plain(text):
    """Escape a name so that matplotlib shows it as it is, not as a formula."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")  # no legend has "_a"


def grid(axes, axis="both"):
    """Draw grid lines below everything else."""
    axes.grid(True, axis=axis)
    axes.set_axisbelow(True)


def panels(figure, n, **more):
    """Return the Axes of n panels, at most 3 in a row."""
    down, across = rows_of(n)
    drawn = figure.subplots(down, across, squeeze=False, **more).ravel()
    for axes in drawn[n:]:
        axes.set_axis_off()
    return drawn[:n]


def rows_of(n, most=3):
    """Return the numbers of rows and columns of n panels."""
    return -(-n // min(most, n)), min(most, n)


@contextlib.contextmanager
def drawing(path, width, height, figure=None, ax=None):
    """Yield a figure to draw into, in the style; write it at the end if there is a path.

    It is the given figure, that of the given Axes, or a new one (width and height in inches).
    """
    if path is None:
        check_matplotlib()
    else:
        check_plot(path)
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase  # without pyplot: no display, no global state

    for name, given, kind in (("figure", figure, FigureBase), ("ax", ax, Axes)):
        if given is not None and not isinstance(given, kind):
            expected = "Axes" if kind is Axes else "a Figure or SubFigure"
            raise InputError(f"plot: {name} is {given!r:.60}; expected {expected} of matplotlib")
    with matplotlib.rc_context(STYLE):
        if ax is not None:
            figure = ax.figure
        elif figure is None:
            figure = Figure((width, height), dpi=DPI, layout="constrained")
            figure._repr_png_ = functools.partial(_png, figure)
        elif figure.figure.get_layout_engine() is None:
            figure.figure.set_layout_engine("constrained")  # legends outside the panels need it
        yield figure
        if path is not None:
            kind = pathlib.Path(path).suffix.lower()[1:]
            with replacing(path) as file:
                _write(figure.figure, file, kind)


def _write(figure, file, kind):
    """Write a figure to an open file, as "png" or "svg"."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a box replaces what the font lacks
        figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else {})


def _png(figure):
    """Return a figure as PNG: how a notebook shows it, with pyplot imported or not."""
    file = io.BytesIO()
    _write(figure, file, "png")
    return file.getvalue()
