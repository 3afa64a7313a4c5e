"""Plots of trainings and nets, as matplotlib figures and PNG or SVG files (extra `plot`).

Each function returns the whole matplotlib `Figure` and shows nothing: a notebook displays the
figure if it is the result of a cell.  After its data, as keywords, a plot of one panel takes `ax`
(the `Axes` to draw into) and a plot of several panels takes `figure` (the `Figure` or `SubFigure`
to draw into); both take `path`, a file that is written completely or not at all.
"""

from bitnet.analysis.plots.graph import plot_graph
from bitnet.analysis.plots.nets import plot_codes, plot_confusion, plot_filters
from bitnet.analysis.plots.picture import check_plot
from bitnet.analysis.plots.quantizers import QUANTIZERS, plot_quantizers
from bitnet.analysis.plots.tradeoffs import plot_tradeoffs
from bitnet.analysis.plots.training import plot_curves, plot_histograms, plot_rates

__all__ = [
    "QUANTIZERS",
    "check_plot",
    "plot_codes",
    "plot_confusion",
    "plot_curves",
    "plot_filters",
    "plot_graph",
    "plot_histograms",
    "plot_quantizers",
    "plot_rates",
    "plot_tradeoffs",
]
