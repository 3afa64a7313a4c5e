"""Pictures of a net: its filters, the shares of its codes, and its confusion matrix."""

import itertools
import math

import numpy as np

from bitnet.analysis.plots.picture import COLOURS, DPI, drawing, grid, panels, plain, rows_of
from bitnet.analysis.table import percent
from bitnet.arrays import as_numpy, to_cpu
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits

MOST_FILTERS, MOST_CHANNELS, MOST_CLASSES = 1024, 64, 200
MOST_SQUARES = 1 << 22  # weights in a picture
SQUARE, LINE = 5, 1  # dots of a weight, and between the channels of a unit
BETWEEN = "#bcd0e8"  # where no weight is, if weights are grey
MOST_LAYERS = 100


def plot_filters(bits, path, picture=None, most=64, first=0, codebook=None):
    """Plot the weights of a layer as squares, one picture per unit.

    ±1 are black (-1) and white (+1); weights of k bits have a grey for each of their 2^k numbers,
    the smallest black and the largest white, and pale blue between the pictures.

    Parameters
    ----------
    bits : Bits or BitPlanes
        Filters (M, rows, columns, C), or rows (M, N) of a linear layer.
    path : str or path
        The picture, PNG or SVG.
    picture : (int, int, int), optional
        Of the images, for the layer that sees them: rows, columns and channels whose product
        is N.  By default the inputs of a linear layer make the rectangle nearest to a square.
    most : int, optional
        Units shown, 1 to 1024.
    first : int, optional
        The first of them, 0.
    codebook : Codebook, optional
        What the codes of the weights stand for; needed for BitPlanes.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> import tempfile
    >>> from bitnet import kernels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_filters(kernels.pack(np.ones((8, 3, 3, 1))), f"{folder}/filters.svg")
    """
    if not isinstance(bits, (Bits, BitPlanes)) or bits.ndim not in (2, 4) or not bits.size:
        expected = "Bits or BitPlanes (M, N) or (M, rows, columns, C)"
        raise InputError(f"filters: got {bits!r:.80}; expected {expected}")
    if isinstance(bits, BitPlanes) and codebook is None:
        raise InputError(f"filters: {bits!r} needs codebook, what its codes stand for")
    if not 1 <= most <= MOST_FILTERS:
        raise InputError(f"filters: {most} to show; expected 1 to {MOST_FILTERS}")
    m, n = bits.shape[0], math.prod(bits.shape[1:])
    if n > MOST_SQUARES:
        raise InputError(f"filters: {n} weights a unit; expected at most {MOST_SQUARES}")
    if not 0 <= first < m:
        raise InputError(f"filters: unit {first}; expected 0 to {m - 1}")
    shown = _numbers(bits, slice(first, first + min(most, MOST_SQUARES // n)))
    count = len(shown)
    of = f"unit {first}" if count == 1 else f"units {first} to {first + count - 1}"
    of = f"{of} of {m}"
    if bits.ndim == 2:
        shown = shown.reshape(count, *_picture_of(n, picture))
    if count == 1 and shown.shape[3] > 3:  # the channels of a filter, a square each
        left_out = f"first {MOST_CHANNELS} of " if shown.shape[3] > MOST_CHANNELS else ""
        of += f", its {left_out}{shown.shape[3]} input channels"
        shown = np.moveaxis(shown, 3, 0).transpose(0, 2, 3, 1)[:MOST_CHANNELS]
    _, rows, columns, channels = shown.shape
    sheet = _sheet(shown[..., : 3 if channels == 3 else 1])
    scale = min(24, max(7, 2 / DPI / SQUARE * max(sheet.shape))) / max(sheet.shape)
    width, height = (max(3.2, scale * sheet.shape[1]) + 0.2, scale * sheet.shape[0] + 0.6)
    least, largest = (-1, 1) if isinstance(bits, Bits) else codebook.values()[[0, -1]]
    grey = (sheet - least) / (largest - least)
    key = f"{len(codebook)} greys, white {largest:+g}, black {least:+g}" if codebook else ""
    if isinstance(bits, Bits):
        grey[np.isnan(grey)] = 0.6
        key = "white +1, black -1"
    beside = f", input channel 0 of {channels}" if channels not in (1, 3) else ""
    if channels == 3:
        colours = "red, green and blue" if picture is not None else "3 input channels"
        beside = f", {colours} beside each other"
    size = f"{rows} x {columns}"
    if bits.ndim == 2 and picture is None:
        size = f"{n} inputs in rows of {columns}"
    with drawing(path, width, height) as figure:
        from matplotlib import colormaps

        axes = figure.subplots()
        greys = colormaps["gray"].with_extremes(bad=BETWEEN)
        axes.imshow(grey, cmap=greys, vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(f"{of}, {size}{beside}\n{key}")


def _sheet(shown):
    """Filters (count, rows, columns, channels) side by side, channel after channel; NaN between."""
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
    """The real values of the weights of some units."""
    if isinstance(bits, Bits):
        return to_cpu(bits[units].signs())
    return to_cpu(bits.with_bits(bits.bits[:, units]).values())


def _picture_of(n, picture):
    """Rows, columns and channels for N weights."""
    if picture is not None:
        if len(picture) != 3 or math.prod(picture) != n:
            raise InputError(f"filters: picture {tuple(picture)} for {n} weights; expected as many")
        return tuple(picture)
    rows = next(d for d in range(math.isqrt(n), 0, -1) if n % d == 0)
    return rows, n // rows, 1


def plot_codes(layers, path):
    """Plot the share of each value among the weights of each layer, in per cent.

    Parameters
    ----------
    layers : dict of str to (Bits or BitPlanes, Codebook or None)
        By the layer's name, 1 to 100: its weights, and what their codes stand for; None for ±1.
    path : str or path
        The picture, PNG or SVG.

    Raises
    ------
    InputError
        If there are no layers or too many.

    Examples
    --------
    >>> import tempfile
    >>> from bitnet.kernels import Codebook
    >>> codebook = Codebook.uniform(2)
    >>> weights = codebook.planes(np.array([[0, 3, 2, 2]], np.uint8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_codes({"first": (weights, codebook)}, f"{folder}/codes.svg")
    """
    if not 1 <= len(layers) <= MOST_LAYERS:
        raise InputError(f"codes: {len(layers)} layers; expected 1 to {MOST_LAYERS}")
    down, across = rows_of(len(layers))
    with drawing(path, 0.8 + 3.4 * across, 0.4 + 2.4 * down) as figure:
        drawn = panels(figure, len(layers))
        for axes, (name, (bits, codebook)) in zip(drawn, layers.items(), strict=True):
            values = np.float32([-1, 1]) if codebook is None else codebook.values()
            found, counts = np.unique(_numbers(bits, slice(None)), return_counts=True)
            shares = np.zeros(len(values))
            shares[np.searchsorted(values, found)] = 100 * counts / bits.size
            axes.bar(range(len(values)), shares, color=COLOURS[0], width=0.85)
            ticks = range(0, len(values), max(1, -(-len(values) // 8)))
            axes.set_xticks(ticks, [f"{values[i]:.3g}" for i in ticks], fontsize=7)
            axes.set_title(plain(f"{name:.40}"), fontsize=9)
            grid(axes, "y")
        figure.supxlabel("number")
        figure.supylabel("share of the weights (%)")


def plot_confusion(labels, predictions, classes, path):
    """Plot a confusion matrix with counts and row-normalized colours.

    Parameters
    ----------
    labels, predictions : numpy.ndarray
        Integers of shape (count,), from 0 to below the number of classes.
    classes : sequence of str
        The names of the classes, at most 200.
    path : str or path
        The picture, PNG or SVG.

    Raises
    ------
    InputError
        If the arrays do not fit each other or the classes.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_confusion([0, 1, 1], [0, 1, 0], ["cat", "dog"], f"{folder}/confusion.svg")
    """
    labels, predictions = as_numpy(labels), as_numpy(predictions)
    n = len(classes)
    fits = 1 <= n <= MOST_CLASSES and labels.shape == predictions.shape and labels.ndim == 1
    both = (labels, predictions) if fits and len(labels) else ()
    if not both or not all(a.dtype.kind in "iu" and 0 <= a.min() <= a.max() < n for a in both):
        came = f"labels {labels.dtype} {labels.shape}"
        came += f", predictions {predictions.dtype} {predictions.shape}, {n} classes"
        expected = "as many integers of each, one or more, from 0 to below the number of classes"
        raise InputError(f"confusion: {came}; expected {expected}, at most {MOST_CLASSES}")
    table = np.bincount(labels.astype(np.int64) * n + predictions, minlength=n * n).reshape(n, n)
    shares = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    names = [plain(name if len(name) <= 24 else f"{name[:23]}…") for name in map(str, classes)]
    ticks = range(0, n, max(1, n // 40))
    words, turned = [names[i] for i in ticks], 90 if max(map(len, names)) > 2 else 0
    right = percent(float((labels == predictions).mean()))
    title = f"{len(labels):,} images, {right} right"
    side = min(14, 3.2 + 0.42 * n)
    with drawing(path, side + 0.8, side) as figure:
        axes = figure.subplots()
        image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
        for i, j in np.argwhere(table) if n <= 26 else ():
            style = {"color": "white" if shares[i, j] > 0.5 else "black", "fontsize": 7}
            axes.text(j, i, str(table[i, j]), ha="center", va="center", **style)
        axes.set_xticks(ticks, words, rotation=turned)
        axes.set_yticks(ticks, words)
        axes.set(xlabel="predicted class", ylabel="true class", title=title)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class (%)")
