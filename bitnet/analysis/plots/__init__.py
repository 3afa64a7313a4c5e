"""Pictures of trainings and nets, as PNG or SVG; they need matplotlib (extra `plot`)."""

from bitnet.analysis.plots.nets import plot_codes, plot_confusion, plot_filters
from bitnet.analysis.plots.picture import check_plot
from bitnet.analysis.plots.quantizers import QUANTIZERS, plot_quantizers
from bitnet.analysis.plots.tradeoffs import plot_tradeoffs
from bitnet.analysis.plots.training import plot_curves, plot_histograms
