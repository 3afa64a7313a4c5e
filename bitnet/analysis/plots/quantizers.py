"""Plots of the quantizers: their output, and the slope that the backward pass uses."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bitnet import kernels
from bitnet.analysis.plots.picture import COLOURS, drawing, grid, rows_of
from bitnet.autograd import Tensor
from bitnet.errors import InputError
from bitnet.nn import functional
from bitnet.nn.functional.linear import GRADIENTS
from bitnet.quantizers import quantizer_named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWS = 500
MOST = 24
QUANTIZERS = (
    *("sign", "sign:2", "sign:inf", "stochastic-sign", "approx-sign", "swish-sign"),
    *("uniform:2", "uniform:3", "linear:3:0.5", "linear:2:0.5:unsigned", "log:3"),
    *("log:3:0:unsigned", "ternary", "dorefa:2", "dorefa-activation:2"),
    *("int4", "dorefa4", "log4"),
)
FORWARD = {"color": COLOURS[0], "linewidth": 1.6}
SURROGATE = {"color": COLOURS[1], "linewidth": 1.3, "linestyle": "--"}
DRAW = {"color": COLOURS[2], "marker": ".", "linestyle": ""}
STOCHASTIC = r"$+1$ with probability $\mathrm{clip}((x+1)/2,0,1)$"
ROUNDED = {
    "int": r"$s\cdot\mathrm{round}(x/s),\ s=\max|x|/(2^{k-1}-1)$",
    "dorefa": r"$s(2\mathrm{round}((x/s+n)/2+\sigma)-n)$, $s=\max|x|/n$",
    "log": r"$\mathrm{sign}(x)\,2^{\mathrm{round}(\log_2|x|)}$, or 0",
}


def plot_quantizers(
    names: Sequence[str] = QUANTIZERS,
    *,
    figure: "Figure | None" = None,
    path: Path | str | None = None,
) -> "Figure":
    """Plot each quantizer with its surrogate, and the slope that the backward pass uses.

    Parameters
    ----------
    names : sequence of str, optional
        At most 24 names: of quantizers, as `quantizers.quantizer_named` reads them;
        "stochastic-sign", drawn as the mean of 500 draws and one of them; or formats of gradients,
        such as "log6", which have no surrogate.
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
        If a name is unknown, there are no names or too many, or the file cannot be written.

    Examples
    --------
    >>> figure = plot_quantizers(["sign", "log:3"])
    >>> len(figure.axes)  # the outputs, and the slopes below
    4
    """
    names = list(names)
    if not 1 <= len(names) <= MOST:
        raise InputError(f"quantizers: got {len(names)} names; expected 1 to {MOST}")
    x, rng = np.linspace(-2.5, 2.5, 1001, dtype=np.float32), np.random.default_rng(0)
    panels = [_panel(name, x, rng) for name in names]
    rows, columns = rows_of(len(panels), 6)
    with drawing(path, max(4, 2.75 * columns), 3.6 * rows + 0.4, figure) as figure:
        from matplotlib.lines import Line2D

        ratios = [3, 2] * rows
        axes = figure.subplots(2 * rows, columns, squeeze=False, sharex=True, height_ratios=ratios)
        pairs = [*zip(axes[::2].ravel(), axes[1::2].ravel(), strict=True)]
        for pair, panel in zip(pairs, panels, strict=False):
            _draw(*pair, x, panel)
        for own in (own for pair in pairs[len(panels) :] for own in pair):
            own.set_axis_off()
        for above, below in pairs[::columns]:
            above.set_ylabel("output")
            below.set_ylabel("slope (backward)")
        mean = f"forward (stochastic sign: mean of {DRAWS} draws)"
        key = (mean, FORWARD), ("surrogate, and its slope below", SURROGATE), ("one draw", DRAW)
        lines = [Line2D([], [], label=label, **style) for label, style in key]
        figure.legend(handles=lines, loc="outside upper center", ncols=3)
    return figure.figure


def _panel(name, x, rng):
    """Return the title, the output lines by label, and the slope (or None) for a name."""
    if name == "stochastic-sign":
        draws = [functional.stochastic_sign(x, rng).data.signs() for _ in range(DRAWS)]
        t = Tensor(x, requires_grad=True)
        functional.stochastic_sign(t, rng).backward(np.ones_like(x))
        lines = {"forward": np.mean(draws, axis=0), "surrogate": np.clip(x, -1, 1)}
        return f"{name}\n{STOCHASTIC}", lines | {"one draw": draws[0]}, t.grad
    if name in GRADIENTS and name != "float32":
        rule = kernels.Rounding.of(GRADIENTS[name])
        lines = {"forward": _numbers(kernels.round_gradient(x[None], rule))}
        if rule.odd:
            lines["one draw"] = _numbers(kernels.round_gradient(x[None], rule, rng))
        return f"gradient {name}\n{ROUNDED[rule.kind]}", lines, None
    quantizer = quantizer_named(name)
    lines = {"forward": quantizer.values(x), "surrogate": quantizer.surrogate(x)}
    return f"{name}\n{quantizer.formula}", lines, quantizer.slope(x)


def _numbers(rounded):
    """Return the single row of a rounded gradient, as floats."""
    return (rounded if isinstance(rounded, np.ndarray) else rounded.numbers())[0]


def _draw(above, below, x, panel):
    """Draw the output and surrogate of one quantizer, and its slope below."""
    title, lines, slope = panel
    above.set_title(title, fontsize=8)
    above.set(ylim=(-2.7, 2.7), xlim=(x[0], x[-1]))
    if "one draw" in lines:
        some = slice(None, None, len(x) // 100)
        above.plot(x[some], lines["one draw"][some], markersize=3, **DRAW)
    above.plot(x, lines["forward"], **FORWARD)
    if slope is None:
        middle = {"ha": "center", "va": "center", "transform": below.transAxes}
        below.text(0.5, 0.5, "gradient format: no surrogate", fontsize=8, **middle)
        below.set_yticks([])
    else:
        above.plot(x, lines["surrogate"], **SURROGATE)
        below.plot(x, slope, **SURROGATE)
        below.set_ylim(min(-0.15, 1.1 * slope.min()), max(1.3, 1.1 * slope.max()))
    for axes in (above, below):
        grid(axes)
        axes.tick_params(labelbottom=axes is below)
