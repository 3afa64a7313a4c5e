"""Figures in one style, written without a display as PNG or SVG.

Colour-blind people can tell the colours apart; lines also differ in their dashes.
"""

import contextlib
import importlib.util
import pathlib
import warnings

from bitnet.archive import check_writable, replacing
from bitnet.errors import InputError

# of Okabe and Ito
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


def check_plot(path):
    """Raise an error if no picture can be written to a path, before any work is done.

    Parameters
    ----------
    path : str or path
        The file that will be written.

    Raises
    ------
    InputError
        If its suffix is neither .png nor .svg, it cannot be written, or matplotlib is missing.

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
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("plots need matplotlib; run `pip install matplotlib`, or the extra `plot`")
    check_writable(path)


def plain(text):
    """Escape a name so that matplotlib shows it as it is, not as a formula."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")  # no legend has "_a"


def grid(axes, axis="both"):
    """Draw grid lines below everything else."""
    axes.grid(True, axis=axis)
    axes.set_axisbelow(True)


def panels(figure, n, **more):
    """Axes for n panels in rows of at most 3."""
    down, across = rows_of(n)
    drawn = figure.subplots(down, across, squeeze=False, **more).ravel()
    for axes in drawn[n:]:
        axes.set_axis_off()
    return drawn[:n]


def rows_of(n, most=3):
    """Rows and columns of n panels."""
    return -(-n // min(most, n)), min(most, n)


@contextlib.contextmanager
def drawing(path, width, height):
    """Yield a figure (sizes in inches) that is written when the block ends without an error."""
    check_plot(path)
    import matplotlib
    from matplotlib.figure import Figure  # without pyplot: no display, no global state

    with matplotlib.rc_context(STYLE):
        figure = Figure((width, height), dpi=DPI, layout="constrained")
        yield figure
        kind = pathlib.Path(path).suffix.lower()[1:]
        metadata = {"Date": None} if kind == "svg" else {}
        with replacing(path) as file, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a box stands where the font has none
            figure.savefig(file, format=kind, metadata=metadata)
