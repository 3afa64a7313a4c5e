"""Plots of a training: curves by epoch, histograms of latent weights, and the loss by rate."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bitnet.analysis.plots.picture import COLOURS, DASHES, drawing, grid, panels, plain, rows_of
from bitnet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bitnet.training.log import RunLog
    from bitnet.training.rates import RateCurve

MOST_LOGS, MOST_LAYERS, MOST_EPOCHS = 7, 12, 6
MEASURES = {  # kind: title, the thin line, axis, figures of the test and the thin line, factor
    "images": ("accuracy", "training", "accuracy (%)", "test_accuracy train_accuracy", 100),
    "regression": ("R^2", "training", "R^2", "test_r2 train_r2", 1),
    "multilabel": ("F1", "training", "F1 (%)", "test_f1 train_f1", 100),
    "words": ("perplexity", "validation", "perplexity", "test_perplexity valid_perplexity", 1),
    "characters": ("bits per character", "validation", "bits", "test_bits valid_bits", 1),
}
PANELS = (  # title, axis, figures (thin lines last) and factor; the measure is inserted second
    ("loss", "mean over the epoch's batches", ["loss"], 1),
    ("flips: weights whose sign changed", "share of the weights (%)", ["flip_ratio"], 100),
    ("learning rate", "at the end of the epoch", ["learning_rate"], 1),
)


def plot_curves(
    logs: "Sequence[RunLog]",
    labels: Sequence[str] | None = None,
    *,
    figure: "Figure | None" = None,
    path: Path | str | None = None,
) -> "Figure":
    """Plot loss, accuracy, flip ratio and learning rate by epoch, for one or more trainings.

    For language models, perplexity or bits per character on the test and validation texts
    replaces accuracy; for a regression R^2 does, and for several labels F1.

    Parameters
    ----------
    logs : sequence of RunLog
        One to seven logs, such as those of a binary net and of its float twin.
    labels : sequence of str, optional
        One label per log; by default the names of their files.
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
        If there are no logs or too many, the number of labels differs from theirs, their measures
        differ, or the file cannot be written.

    Examples
    --------
    >>> from bitnet.training.log import RunLog
    >>> log = RunLog("run", {}, [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}])
    >>> plot_curves([log]).axes[0].get_title()
    'loss'
    """
    labels = [log.name for log in logs] if labels is None else list(labels)
    if not 1 <= len(logs) <= MOST_LOGS or len(labels) != len(logs):
        came = f"{len(logs)} logs with {len(labels)} labels"
        raise InputError(f"curves: got {came}; expected 1 to {MOST_LOGS} logs with one label each")
    kinds = list(dict.fromkeys(map(_kind, logs)))
    if len(kinds) > 1:
        came = f"logs of {' and of '.join(kinds)}"
        raise InputError(f"curves: got {came}, whose measures differ; plot them separately")
    measure, other, axis, figures, factor = MEASURES[kinds[0]]
    measured = f"{measure}: test (thick), {other} (thin)", axis, figures.split(), factor
    with drawing(path, 8.4, 6, figure) as figure:
        drawn = PANELS[0], measured, *PANELS[1:]
        for axes, panel in zip(figure.subplots(2, 2).flat, drawn, strict=True):
            _draw_curves(axes, logs, labels, *panel)
        handles, names = figure.axes[0].get_legend_handles_labels()
        if len(logs) > 1 or labels != [log.name for log in logs]:
            figure.legend(handles, names, loc="outside upper center", ncols=min(4, len(names)))
    return figure.figure


def _draw_curves(axes, logs, labels, title, axis, figures, factor):
    """Draw one panel: the figures of each log by epoch, thin except the first."""
    for i, log in enumerate(logs):
        style = {"color": COLOURS[i], "linestyle": DASHES[i % len(DASHES)], "markersize": 3}
        for name in figures:
            epochs, values = log.series(name)
            if not epochs or (name == "flip_ratio" and not any(values)):
                continue  # a float net flips no signs
            thin, marker = name != figures[0], "o" if len(epochs) < 3 else None
            own = {"linewidth": 0.8 if thin else 1.8, "label": None if thin else plain(labels[i])}
            axes.plot(epochs, [factor * v for v in values], marker=marker, **style, **own)
    values = np.concatenate([line.get_ydata() for line in axes.lines] or [[0.0]])
    if factor == 1 and values.min() > 0 and np.median(values) < values.max() / 5:
        axes.set_yscale("log")  # most values are far below the largest
    axes.set(title=title, xlabel="epoch", ylabel=axis)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    grid(axes)
    if not axes.lines:
        axes.text(0.5, 0.5, "not in the log", transform=axes.transAxes, ha="center")


def _kind(log):
    """Return the kind of data a training was measured on: one of MEASURES."""
    if not log.series("valid_loss")[0]:
        own = {"test_r2": "regression", "test_f1": "multilabel"}
        return next((kind for name, kind in own.items() if log.series(name)[0]), "images")
    return "characters" if log.settings.get("unit") == "characters" else "words"


def plot_rates(
    curve: "RateCurve", *, ax: "Axes | None" = None, path: Path | str | None = None
) -> "Figure":
    """Plot the loss by learning rate, and mark the suggested rate.

    Parameters
    ----------
    curve : RateCurve
        What `bitnet.training.find_rate` returned.
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
        If the file cannot be written.

    Examples
    --------
    >>> from bitnet.training import RateCurve
    >>> plot_rates(RateCurve([0.001, 0.01, 0.1], [4.0, 2.0, 3.0])).axes[0].get_xscale()
    'log'
    """
    smooth = np.array(curve.smooth)
    with drawing(path, 5.6, 3.6, ax=ax) as figure:
        axes = figure.add_subplot() if ax is None else ax
        axes.plot(curve.rates, curve.losses, color="#999999", linewidth=0.8, label="each step")
        axes.plot(curve.rates, smooth, color=COLOURS[0], linewidth=1.8, label="averaged")
        mark = axes.axvline(curve.suggestion, color=COLOURS[1], linestyle="--", linewidth=1.3)
        mark.set_label(f"suggested: {curve.suggestion:.2g}")
        low, high = min(curve.losses), max(smooth[: smooth.argmin() + 1].max(), smooth[0])
        room = 0.15 * (high - low) or 1.0
        axes.set(xscale="log", ylim=(low - room, high + 2 * room))
        axes.set(title="loss by learning rate", xlabel="learning rate", ylabel="loss of a step")
        grid(axes)
        axes.legend(loc="lower left")
    return figure.figure


def plot_histograms(
    log: "RunLog", *, figure: "Figure | None" = None, path: Path | str | None = None
) -> "Figure":
    """Plot histograms of the latent weights of each quantized layer by epoch.

    Parameters
    ----------
    log : RunLog
        A log that holds histograms.
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
        If the log has no histograms, such as that of a float net, or the file cannot be written.

    Examples
    --------
    >>> from bitnet.training.log import RunLog
    >>> counts = {"layers.0.weight": [9, 1, 1, 9]}
    >>> log = RunLog("run", {}, [{"epoch": 1, "histograms": counts}])
    >>> plot_histograms(log).axes[0].get_title()
    'layer 0: layers.0.weight'
    """
    epochs, tables = log.series("histograms")
    names = list(dict.fromkeys(name for table in tables for name in table))
    if not names:
        expected = "the log of an image net with low-bit weights"
        raise InputError(f"histograms: the log {log.name} has no histograms; expected {expected}")
    names, left_out = names[:MOST_LAYERS], names[MOST_LAYERS:]
    shown = np.unique(np.linspace(0, len(epochs) - 1, MOST_EPOCHS).round().astype(int))
    n_rows, n_columns = rows_of(len(names))
    with drawing(path, 0.6 + 3 * n_columns, 0.9 + 2.3 * n_rows, figure) as figure:
        import matplotlib

        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(shown)))
        drawn = panels(figure, len(names), sharex=True)
        for index, (axes, name) in enumerate(zip(drawn, names, strict=True)):
            for i, colour in zip(shown, colours, strict=True):
                counts = np.array(tables[i].get(name, [0, 0]), float)
                shares = 100 * counts / max(1, counts.sum())
                style = {"color": colour, "linewidth": 1.3, "label": f"epoch {epochs[i]}"}
                axes.stairs(shares, np.linspace(-1, 1, len(counts) + 1), **style)
            axes.set_title(plain(f"layer {index}: {name:.40}"))
            axes.set(xlim=(-1.02, 1.02), xticks=(-1, -0.5, 0, 0.5, 1))
            grid(axes)
            if index + n_columns >= len(names):  # no panel below this one
                axes.tick_params(labelbottom=True)
        more = f"; {len(left_out)} more layers are not shown" if left_out else ""
        figure.supxlabel(f"latent weight / clip{more}", fontsize=9)
        figure.supylabel("share of the layer's weights per bin (%)", fontsize=9)
        handles, texts = drawn[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside upper center", ncols=len(texts))
    return figure.figure
