"""A picture: a figure without a display, written whole as PNG or SVG, in one style.

The colours are those that colour-blind people tell apart; lines differ in their dashes too.
"""

import contextlib
import importlib.util
import pathlib
import warnings

from bitnet.archive import check_writable, replacing
from bitnet.errors import InputError

__all__ = ["COLOURS", "DASHES", "DPI", "check_plot", "drawing", "plain"]

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
    """Refuse what cannot become a picture, before the work.

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
    """A name of a file or a class as text for a picture, in which nothing is a formula.

    Parameters
    ----------
    text : str
        Any; matplotlib takes what stands between dollars for a formula, and leaves names that
        begin with an underscore out of legends.

    Returns
    -------
    str

    Examples
    --------
    >>> plain("$x$"), plain("_run")
    ('\\\\$x\\\\$', ' _run')
    """
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


@contextlib.contextmanager
def drawing(path, width, height):
    """A figure that is written when the block ends well, and only then.

    Parameters
    ----------
    path : str or path
        The file, PNG or SVG.
    width, height : float
        Inches.

    Yields
    ------
    matplotlib.figure.Figure
        To draw in.

    Raises
    ------
    InputError
        As `check_plot`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, drawing(f"{folder}/a.png", 2, 1) as figure:
    ...     _ = figure.subplots().plot([1, 2])
    """
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
