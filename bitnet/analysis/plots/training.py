"""Pictures of a training from its log: curves by epoch, and histograms of latent weights."""

import numpy as np

from bitnet.analysis.plots.picture import COLOURS, DASHES, drawing, grid, panels, plain, rows_of
from bitnet.errors import InputError

MOST_LOGS, MOST_LAYERS, MOST_EPOCHS = 7, 12, 6
MEASURES = {  # kind: what is drawn, axis, test and the other figure, factor
    "images": ("accuracy", "training", "accuracy (%)", "test_accuracy train_accuracy", 100),
    "words": ("perplexity", "validation", "perplexity", "test_perplexity valid_perplexity", 1),
    "characters": ("bits per character", "validation", "bits", "test_bits valid_bits", 1),
}
PANELS = (  # title, axis, figures, the thin one last, and factor; what is measured is the second
    ("loss", "mean over the epoch's batches", ["loss"], 1),
    ("flips: weights whose sign changed", "share of the weights (%)", ["flip_ratio"], 100),
    ("learning rate", "at the end of the epoch", ["learning_rate"], 1),
)


def plot_curves(logs, path, labels=None):
    """Plot loss, accuracy, flip ratio and learning rate by epoch, for one or more trainings.

    For language models perplexity or bits per character, on the test and validation texts, takes
    the place of accuracy.

    Parameters
    ----------
    logs : sequence of RunLog
        One to seven, as of a binary net and its float twin.
    path : str or path
        The picture, PNG or SVG.
    labels : sequence of str, optional
        The names of the logs; their files' by default.

    Raises
    ------
    InputError
        If there are no logs, too many, not a label each, or their measures differ.

    Examples
    --------
    >>> import tempfile
    >>> from bitnet.training.log import RunLog
    >>> log = RunLog("run", {}, [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_curves([log], f"{folder}/curves.svg")
    """
    labels = [log.name for log in logs] if labels is None else list(labels)
    if not 1 <= len(logs) <= MOST_LOGS or len(labels) != len(logs):
        came, expected = f"{len(logs)} logs with {len(labels)} labels", f"1 to {MOST_LOGS}"
        raise InputError(f"curves: {came}; expected {expected}, and a label each")
    kinds = list(dict.fromkeys(map(_kind, logs)))
    if len(kinds) > 1:
        came = f"logs of {' and of '.join(kinds)}"
        raise InputError(f"curves: {came}, whose measures differ; draw them apart")
    measure, other, axis, figures, factor = MEASURES[kinds[0]]
    measured = f"{measure}: test, and thin for {other}", axis, figures.split(), factor
    with drawing(path, 8.4, 6) as figure:
        drawn = PANELS[0], measured, *PANELS[1:]
        for axes, panel in zip(figure.subplots(2, 2).flat, drawn, strict=True):
            _draw_curves(axes, logs, labels, *panel)
        handles, names = figure.axes[0].get_legend_handles_labels()
        if len(logs) > 1 or labels != [log.name for log in logs]:
            figure.legend(handles, names, loc="outside upper center", ncols=min(4, len(names)))


def _draw_curves(axes, logs, labels, title, axis, figures, factor):
    """Draw one panel: the figures of each log by epoch, thin except the first."""
    for i, log in enumerate(logs):
        style = {"color": COLOURS[i], "linestyle": DASHES[i % len(DASHES)], "markersize": 3}
        for name in figures:
            epochs, values = log.series(name)
            if not epochs or (name == "flip_ratio" and not any(values)):
                continue  # a float net has no signs that flip
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
    """What a training was measured on: one of MEASURES."""
    if not log.series("valid_loss")[0]:
        return "images"
    return "characters" if log.settings.get("unit") == "characters" else "words"


def plot_histograms(log, path):
    """Plot histograms of the latent weights of each quantized layer by epoch.

    Parameters
    ----------
    log : RunLog
        With histograms.
    path : str or path
        The picture, PNG or SVG.

    Raises
    ------
    InputError
        If the log has no histograms, as of a float net.

    Examples
    --------
    >>> import tempfile
    >>> from bitnet.training.log import RunLog
    >>> counts = {"layers.0.weight": [9, 1, 1, 9]}
    >>> log = RunLog("run", {}, [{"epoch": 1, "histograms": counts}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_histograms(log, f"{folder}/histograms.svg")
    """
    epochs, tables = log.series("histograms")
    names = list(dict.fromkeys(name for table in tables for name in table))
    if not names:
        why = "is it of a float net, or of a language model?"
        raise InputError(f"histograms: the log {log.name} has none; {why}")
    names, left_out = names[:MOST_LAYERS], names[MOST_LAYERS:]
    shown = np.unique(np.linspace(0, len(epochs) - 1, MOST_EPOCHS).round().astype(int))
    n_rows, n_columns = rows_of(len(names))
    with drawing(path, 0.6 + 3 * n_columns, 0.9 + 2.3 * n_rows) as figure:
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
            if index + n_columns >= len(names):  # none below it
                axes.tick_params(labelbottom=True)
        more = f"; {len(left_out)} more layers are left out" if left_out else ""
        figure.supxlabel(f"latent weight, the clip as 1{more}", fontsize=9)
        figure.supylabel("share of the layer's weights in a bin (%)", fontsize=9)
        handles, texts = drawn[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside upper center", ncols=len(texts))
