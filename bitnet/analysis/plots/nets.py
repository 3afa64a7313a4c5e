"""Plots of a net: its weights, the distribution of their values, and its confusion matrix."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bitnet.analysis.plots.picture import COLOURS, DPI, drawing, grid, panels, plain, rows_of
from bitnet.analysis.table import percent
from bitnet.arrays import Array, as_numpy, to_cpu
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits, Codebook

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FILTERS, MOST_CHANNELS, MOST_CLASSES = 1024, 64, 200
MOST_SQUARES = 1 << 22  # weights in a picture
SQUARE, LINE = 5, 1  # dots per weight, and between the channels of a unit
BETWEEN = "#bcd0e8"  # the gaps between grey weights
MOST_LAYERS = 100


def plot_filters(
    bits: Bits | BitPlanes,
    picture: tuple[int, int, int] | None = None,
    most: int = 64,
    first: int = 0,
    codebook: Codebook | None = None,
    *,
    ax: "Axes | None" = None,
    path: Path | str | None = None,
) -> "Figure":
    """Plot the weights of a layer as squares, one picture per unit.

    Binary weights are black (-1) and white (+1).  Each of the 2^k values of k-bit weights is a grey
    level, from black for the smallest to white for the largest; the gaps between the pictures are
    pale blue.

    Parameters
    ----------
    bits : Bits or BitPlanes
        The weights: filters (M, rows, columns, C), or rows (M, N) of a linear layer.
    picture : (int, int, int), optional
        The rows, columns and channels of the images, whose product is N; for the linear layer
        whose inputs are the images.  By default the N inputs of a linear layer are shown as the
        rectangle nearest to a square.
    most : int, optional
        The largest number of units to show, 1 to 1024.
    first : int, optional
        The first unit to show.
    codebook : Codebook, optional
        The values of the codes of the weights; needed for BitPlanes.
    ax : matplotlib.axes.Axes, optional
        The Axes to draw into; by default those of a new figure.
    path : str or path, optional
        The file to write, PNG or SVG; by default none is written.

    Returns
    -------
    matplotlib.figure.Figure
        The whole figure.

    Raises
    ------
    InputError
        If the shapes do not fit, or the file cannot be written.

    Examples
    --------
    >>> from bitnet import kernels
    >>> figure = plot_filters(kernels.pack(np.ones((8, 3, 3, 1))))
    >>> print(figure.axes[0].get_title())
    units 0 to 7 of 8, 3 x 3
    white +1, black -1
    """
    if not isinstance(bits, (Bits, BitPlanes)) or bits.ndim not in (2, 4) or not bits.size:
        expected = "Bits or BitPlanes (M, N) or (M, rows, columns, C)"
        raise InputError(f"filters: got {bits!r:.80}; expected {expected}")
    if isinstance(bits, BitPlanes) and codebook is None:
        raise InputError(f"filters: got {bits!r} without codebook; give the values of its codes")
    if not 1 <= most <= MOST_FILTERS:
        raise InputError(f"filters: most is {most}; expected 1 to {MOST_FILTERS} units")
    m, n = bits.shape[0], math.prod(bits.shape[1:])
    if n > MOST_SQUARES:
        raise InputError(f"filters: got {n} weights per unit; expected at most {MOST_SQUARES}")
    if not 0 <= first < m:
        raise InputError(f"filters: first is {first}; expected a unit from 0 to {m - 1}")
    shown = _numbers(bits, slice(first, first + min(most, MOST_SQUARES // n)))
    count = len(shown)
    of = f"unit {first}" if count == 1 else f"units {first} to {first + count - 1}"
    of = f"{of} of {m}"
    if bits.ndim == 2:
        shown = shown.reshape(count, *_picture_of(n, picture))
    if count == 1 and shown.shape[3] > 3:  # one picture per channel of the filter
        left_out = f"first {MOST_CHANNELS} of " if shown.shape[3] > MOST_CHANNELS else ""
        of += f", its {left_out}{shown.shape[3]} input channels"
        shown = np.moveaxis(shown, 3, 0).transpose(0, 2, 3, 1)[:MOST_CHANNELS]
    _, rows, columns, channels = shown.shape
    sheet = _sheet(shown[..., : 3 if channels == 3 else 1])
    scale = min(24, max(7, 2 / DPI / SQUARE * max(sheet.shape))) / max(sheet.shape)
    width, height = (max(3.2, scale * sheet.shape[1]) + 0.2, scale * sheet.shape[0] + 0.6)
    least, largest = (-1, 1)
    if isinstance(bits, BitPlanes) and codebook is not None:
        least, largest = codebook.values()[[0, -1]]
    grey = (sheet - least) / (largest - least)
    key = f"{len(codebook)} greys, white {largest:+g}, black {least:+g}" if codebook else ""
    if isinstance(bits, Bits):
        grey[np.isnan(grey)] = 0.6
        key = "white +1, black -1"
    beside = f", input channel 0 of {channels}" if channels not in (1, 3) else ""
    if channels == 3:
        colours = "red, green and blue" if picture is not None else "3 input channels"
        beside = f", {colours} side by side"
    size = f"{rows} x {columns}"
    if bits.ndim == 2 and picture is None:
        size = f"{n} inputs in rows of {columns}"
    with drawing(path, width, height, ax=ax) as figure:
        from matplotlib import colormaps

        axes = figure.subplots() if ax is None else ax
        greys = colormaps["gray"].with_extremes(bad=BETWEEN)
        axes.imshow(grey, cmap=greys, vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(f"{of}, {size}{beside}\n{key}")
    return figure.figure


def _sheet(shown):
    """Return filters (count, rows, columns, channels) side by side, with NaN in the gaps."""
    count, rows, columns, channels = shown.shape
    tall, each = SQUARE * rows, SQUARE * columns + LINE
    wide = channels * each - LINE
    gap = max(LINE * 3, round((0.15 if channels == 1 else 0.4) * min(tall, wide)))
    across = min(count, math.ceil(math.sqrt(count * (tall + gap) / (wide + gap))))
    down = math.ceil(count / across)
    sheet = np.full((down * (tall + gap) + gap, across * (wide + gap) + gap), np.nan)
    for i, c in itertools.product(range(count), range(channels)):
        top = gap + i // across * (tall + gap)
        left = gap + i % across * (wide + gap) + c * each
        squares = np.kron(shown[i, :, :, c], np.ones((SQUARE, SQUARE)))
        sheet[top : top + tall, left : left + each - LINE] = squares
    return sheet


def _numbers(bits, units):
    """Return the real values of the weights of some units."""
    if isinstance(bits, Bits):
        return to_cpu(bits[units].signs())
    return to_cpu(bits.with_bits(bits.bits[:, units]).values())


def _picture_of(n, picture):
    """Return the rows, columns and channels of the picture of N weights."""
    if picture is not None:
        if len(picture) != 3 or math.prod(picture) != n:
            came = f"picture is {tuple(picture)} for units of {n} weights"
            raise InputError(f"filters: {came}; expected three sizes whose product is {n}")
        return tuple(picture)
    rows = next(d for d in range(math.isqrt(n), 0, -1) if n % d == 0)
    return rows, n // rows, 1


def plot_codes(
    layers: Mapping[str, tuple[Bits | BitPlanes, Codebook | None]],
    *,
    figure: "Figure | None" = None,
    path: Path | str | None = None,
) -> "Figure":
    """Plot how often each value occurs among the weights of each layer, in per cent.

    Parameters
    ----------
    layers : dict of str to (Bits or BitPlanes, Codebook or None)
        The weights of 1 to 100 layers by name, with the values of their codes; None for ±1.
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
        If there are no layers or too many, or the file cannot be written.

    Examples
    --------
    >>> from bitnet.kernels import Codebook
    >>> codebook = Codebook.uniform(2)
    >>> weights = codebook.planes(np.array([[0, 3, 2, 2]], np.uint8))
    >>> figure = plot_codes({"first": (weights, codebook)})
    >>> [float(bar.get_height()) for bar in figure.axes[0].patches]
    [25.0, 0.0, 50.0, 25.0]
    """
    if not 1 <= len(layers) <= MOST_LAYERS:
        raise InputError(f"codes: got {len(layers)} layers; expected 1 to {MOST_LAYERS}")
    down, across = rows_of(len(layers))
    with drawing(path, 0.8 + 3.4 * across, 0.4 + 2.4 * down, figure) as figure:
        drawn = panels(figure, len(layers))
        for axes, (name, (bits, codebook)) in zip(drawn, layers.items(), strict=True):
            values = np.array([-1, 1], np.float32) if codebook is None else codebook.values()
            found, counts = np.unique(_numbers(bits, slice(None)), return_counts=True)
            shares = np.zeros(len(values))
            shares[np.searchsorted(values, found)] = 100 * counts / bits.size
            axes.bar(range(len(values)), shares, color=COLOURS[0], width=0.85)
            ticks = range(0, len(values), max(1, -(-len(values) // 8)))
            axes.set_xticks(ticks, [f"{values[i]:.3g}" for i in ticks], fontsize=7)
            axes.set_title(plain(f"{name:.40}"), fontsize=9)
            grid(axes, "y")
        figure.supxlabel("value")
        figure.supylabel("share of the weights (%)")
    return figure.figure


def plot_confusion(
    labels: Array,
    predictions: Array,
    classes: Sequence[str],
    *,
    ax: "Axes | None" = None,
    path: Path | str | None = None,
) -> "Figure":
    """Plot a confusion matrix with counts and row-normalized colours.

    Parameters
    ----------
    labels, predictions : numpy.ndarray
        The true and the predicted classes, integers of shape (count,) below the number of classes.
    classes : sequence of str
        The names of the classes, at most 200.
    ax : matplotlib.axes.Axes, optional
        The Axes to draw into; by default those of a new figure.
    path : str or path, optional
        The file to write, PNG or SVG; by default none is written.

    Returns
    -------
    matplotlib.figure.Figure
        The whole figure.

    Raises
    ------
    InputError
        If the arrays do not fit each other or the classes, or the file cannot be written.

    Examples
    --------
    >>> figure = plot_confusion([0, 1, 1], [0, 1, 0], ["cat", "dog"])
    >>> figure.axes[0].get_title()
    '3 images, 66.7 % correct'
    """
    labels, predictions = as_numpy(labels), as_numpy(predictions)
    n = len(classes)
    fits = 1 <= n <= MOST_CLASSES and labels.shape == predictions.shape and labels.ndim == 1
    both = (labels, predictions) if fits and len(labels) else ()
    if not both or not all(a.dtype.kind in "iu" and 0 <= a.min() <= a.max() < n for a in both):
        came = f"labels {labels.dtype} {labels.shape}"
        came += f", predictions {predictions.dtype} {predictions.shape}, {n} classes"
        expected = "as many labels as predictions, integers below the number of classes, which is"
        raise InputError(f"confusion: got {came}; expected {expected} 1 to {MOST_CLASSES}")
    table = np.bincount(labels.astype(np.int64) * n + predictions, minlength=n * n).reshape(n, n)
    shares = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    names = [plain(name if len(name) <= 24 else f"{name[:23]}…") for name in map(str, classes)]
    ticks = range(0, n, max(1, n // 40))
    words, turned = [names[i] for i in ticks], 90 if max(map(len, names)) > 2 else 0
    correct = percent(float((labels == predictions).mean()))
    title = f"{len(labels):,} images, {correct} correct"
    side = min(14, 3.2 + 0.42 * n)
    with drawing(path, side + 0.8, side, ax=ax) as figure:
        axes = figure.subplots() if ax is None else ax
        image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
        for i, j in np.argwhere(table) if n <= 26 else ():
            colour = "white" if shares[i, j] > 0.5 else "black"
            own = f"{table[i, j]}"
            axes.text(j, i, own, ha="center", va="center", color=colour, fontsize=7)
        axes.set_xticks(ticks, words, rotation=turned)
        axes.set_yticks(ticks, words)
        axes.set(xlabel="predicted class", ylabel="true class", title=title)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class (%)")
    return figure.figure
