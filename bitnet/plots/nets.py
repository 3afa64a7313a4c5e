"""Pictures of a net: its first filters as black and white bits, and what it takes for what."""

import itertools
import math

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels import Bits
from bitnet.plots.picture import DPI, drawing, plain
from bitnet.table import percent

__all__ = ["plot_confusion", "plot_filters"]

MOST_FILTERS, MOST_CHANNELS, MOST_CLASSES = 1024, 64, 200
MOST_SQUARES = 1 << 22  # weights in a picture
SQUARE, LINE = 5, 1  # dots of a weight, and between the channels of a unit


def plot_filters(bits, path, picture=None, most=64, first=0):
    """The ±1 weights of a layer as black (-1) and white (+1) squares, a picture a unit.

    Parameters
    ----------
    bits : Bits
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
    if not isinstance(bits, Bits) or bits.ndim not in (2, 4) or not bits.size:
        raise InputError(
            f"filters: got {bits!r:.80}; expected Bits (M, N) or (M, rows, columns, C)"
        )
    if not 1 <= most <= MOST_FILTERS:
        raise InputError(f"filters: {most} to show; expected 1 to {MOST_FILTERS}")
    m, n = bits.shape[0], math.prod(bits.shape[1:])
    if n > MOST_SQUARES:
        raise InputError(f"filters: {n} weights a unit; expected at most {MOST_SQUARES}")
    if not 0 <= first < m:
        raise InputError(f"filters: unit {first}; expected 0 to {m - 1}")
    shown = bits[first : first + min(most, MOST_SQUARES // n)].signs()
    of = (
        f"unit {first} of {m}"
        if len(shown) == 1
        else (f"units {first} to {first + len(shown) - 1} of {m}")
    )
    if bits.ndim == 2:
        shown = shown.reshape(len(shown), *_picture_of(bits.shape[1], picture))
    if len(shown) == 1 and shown.shape[3] > 3:  # the channels of a filter, a square each
        left_out = f"first {MOST_CHANNELS} of " if shown.shape[3] > MOST_CHANNELS else ""
        of += f", its {left_out}{shown.shape[3]} input channels"
        shown = np.moveaxis(shown, 3, 0).transpose(0, 2, 3, 1)[:MOST_CHANNELS]
    count, rows, columns, channels = shown.shape
    n_channels = min(channels, 3 if channels == 3 else 1)
    dots = SQUARE * np.array([rows, columns])
    wide = n_channels * (dots[1] + LINE) - LINE  # channels beside each other
    gap = max(LINE * 3, round((0.15 if n_channels == 1 else 0.4) * min(dots[0], wide)))
    across = min(count, math.ceil(math.sqrt(count * (dots[0] + gap) / (wide + gap))))
    down = math.ceil(count / across)
    sheet = np.zeros((down * (dots[0] + gap) + gap, across * (wide + gap) + gap), np.int8)
    for i, c in itertools.product(range(count), range(n_channels)):
        top = gap + i // across * (dots[0] + gap)
        left = gap + i % across * (wide + gap) + c * (dots[1] + LINE)
        square = np.ones((SQUARE, SQUARE), np.int8)
        sheet[top : top + dots[0], left : left + dots[1]] = np.kron(shown[i, :, :, c], square)
    scale = min(24, max(7, 2 / DPI / SQUARE * max(sheet.shape))) / max(sheet.shape)
    width, height = (max(3.2, scale * sheet.shape[1]) + 0.2, scale * sheet.shape[0] + 0.6)
    with drawing(path, width, height) as figure:
        axes = figure.subplots()
        grey = sheet / 2 + 0.5
        grey[sheet == 0] = 0.6
        axes.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        colours = "red, green and blue" if picture is not None else "3 input channels"
        beside = f", {colours} beside each other" if n_channels == 3 else ""
        beside = f", input channel 0 of {channels}" if n_channels < channels else beside
        size = f"{rows} x {columns}"
        if bits.ndim == 2 and picture is None:
            size = f"{n} inputs in rows of {columns}"
        axes.set_title(f"{of}, {size}{beside}\nwhite +1, black -1")


def _picture_of(n, picture):
    """Rows, columns and channels for N weights."""
    if picture is not None:
        if len(picture) != 3 or math.prod(picture) != n:
            raise InputError(f"filters: picture {tuple(picture)} for {n} weights; expected as many")
        return tuple(picture)
    rows = next(d for d in range(math.isqrt(n), 0, -1) if n % d == 0)
    return rows, n // rows, 1


def plot_confusion(labels, predictions, classes, path):
    """How often each class is taken for each: counts, and colours by the share of a row.

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
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    n = len(classes)
    fits = labels.shape == predictions.shape and labels.ndim == 1 and len(labels)
    whole = fits and labels.dtype.kind in "iu" and predictions.dtype.kind in "iu"
    if not whole or not 1 <= n <= MOST_CLASSES or not all(
        0 <= a.min() <= a.max() < n for a in (labels, predictions)
    ):  # fmt: skip
        raise InputError(
            f"confusion: labels {labels.dtype} {labels.shape}, predictions {predictions.dtype} "
            f"{predictions.shape}, {n} classes; expected as many integers of each, one or more, "
            f"from 0 to below the number of classes, at most {MOST_CLASSES}"
        )
    table = np.bincount(labels.astype(np.int64) * n + predictions, minlength=n * n).reshape(n, n)
    shares = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    side = min(14, 3.2 + 0.42 * n)
    with drawing(path, side + 0.8, side) as figure:
        axes = figure.subplots()
        image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
        if n <= 26:
            for i, j in np.argwhere(table):
                dark = shares[i, j] > 0.5
                axes.text(j, i, str(table[i, j]), ha="center", va="center", fontsize=7,
                          color="white" if dark else "black")  # fmt: skip
        names = [plain(name if len(name) <= 24 else f"{name[:23]}…") for name in map(str, classes)]
        ticks = range(0, n, max(1, n // 40))
        axes.set_xticks(
            ticks, [names[i] for i in ticks], rotation=90 if max(map(len, names)) > 2 else 0
        )
        axes.set_yticks(ticks, [names[i] for i in ticks])
        right = percent(float((labels == predictions).mean()))
        axes.set(xlabel="predicted class", ylabel="true class",
                 title=f"{len(labels):,} images, {right} right")  # fmt: skip
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class (%)")
