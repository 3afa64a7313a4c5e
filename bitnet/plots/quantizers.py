"""Pictures of the quantizers: what goes forward, and what the backward pass pretends."""

import numpy as np

from bitnet import functions
from bitnet.kernels import Bits
from bitnet.plots.picture import COLOURS, drawing
from bitnet.tensor import Tensor

__all__ = ["plot_quantizers"]

DRAWS = 500


def plot_quantizers(path):
    """Each quantizer beside its surrogate, and the slope that the backward pass takes for it.

    Parameters
    ----------
    path : str or path
        The picture, PNG or SVG.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_quantizers(f"{folder}/quantizers.svg")
    """
    x = np.linspace(-3, 3, 1201, dtype=np.float32)
    rng = np.random.default_rng(0)
    panels = (
        ("sign of activations\nwindow 1", functions.sign, np.clip(x, -1, 1)),
        ("sign of activations\nwindow 2, as QNN 4.3 widens it",
         lambda t: functions.sign(t, 2.0), np.clip(x, -2, 2)),
        ("sign of latent weights\nno window", lambda t: functions.sign(t, None), x),
        (f"stochastic sign of activations\nmean of {DRAWS} draws",
         lambda t: functions.stochastic_sign(t, rng), np.clip(x, -1, 1)),
        ("hard tanh\nthe surrogate of window 1", functions.hardtanh, None),
    )  # fmt: skip
    with drawing(path, 13, 5) as figure:
        rows = figure.subplots(2, len(panels), sharex=True, sharey="row")
        for (above, below), (title, quantizer, surrogate) in zip(rows.T, panels, strict=True):
            drawn = "draws" in title
            value, slope = _value_and_slope(quantizer, x, DRAWS if drawn else 1)
            label = "forward, mean" if drawn else "forward"
            above.plot(x, value, color=COLOURS[0], linewidth=1.8, label=label)
            if drawn:
                some = x[:: len(x) // 100]
                above.plot(some, _value_and_slope(quantizer, some, 1)[0], ".", color=COLOURS[2],
                           markersize=3, label="forward, one draw")  # fmt: skip
            if surrogate is not None:
                above.plot(x, surrogate, color=COLOURS[1], linewidth=1.4, linestyle="--",
                           label="surrogate")  # fmt: skip
            below.plot(x, slope, color=COLOURS[1], linewidth=1.4, linestyle="--")
            above.set(title=title, ylim=(-2.2, 3.1))
            above.legend(loc="upper left")
            below.set(xlabel="input", ylim=(-0.15, 1.3))
            for axes in (above, below):
                axes.grid(True)
                axes.set_axisbelow(True)
        rows[0, 0].set_ylabel("output")
        rows[1, 0].set_ylabel("slope in the backward pass")


def _value_and_slope(quantizer, x, draws):
    """What goes forward, as a mean of draws, and the gradient that comes back for ones."""
    total = np.zeros_like(x)
    for _ in range(draws):
        t = Tensor(x, requires_grad=True)
        y = quantizer(t)
        total += y.data.signs() if isinstance(y.data, Bits) else y.data
    y.backward(np.ones_like(x))
    return total / draws, t.grad
