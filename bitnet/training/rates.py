"""The learning-rate finder: a short training with rising rates (Smith, arXiv 1506.01186)."""

import dataclasses
import math

import numpy as np

from bitnet.errors import InputError, check_count
from bitnet.nn.module import Module
from bitnet.optim.optimizers import Optimizer
from bitnet.training.loop import steps
from bitnet.training.sources import Images, Texts

SMOOTHING = 0.9  # weight of the earlier losses in the average
DIVERGED = 4.0  # times the lowest loss


@dataclasses.dataclass(frozen=True)
class RateCurve:
    """The loss of a training with rising learning rates.

    Attributes
    ----------
    rates, losses : list of float
        The learning rate of each step, and its loss.
    smooth : list of float
        The losses, averaged with exponentially falling weights.
    suggestion : float
        The suggested first learning rate.

    Examples
    --------
    >>> curve = RateCurve([0.001, 0.01, 0.1, 1.0], [4.0, 4.0, 1.0, 9.0])
    >>> curve.suggestion
    0.01
    """

    rates: list[float]
    losses: list[float]

    def __repr__(self) -> str:
        span = f"{self.rates[0]:g} to {self.rates[-1]:g}"
        return f"RateCurve({len(self.rates)} rates from {span}, suggestion={self.suggestion:.2g})"

    @property
    def smooth(self) -> list[float]:
        """The losses, averaged with exponentially falling weights."""
        return _smoothed(self.losses)

    @property
    def suggestion(self) -> float:
        """The suggested first learning rate: a tenth of that with the lowest smooth loss."""
        lowest = self.rates[int(np.argmin(self.smooth))]
        return max(self.rates[0], lowest / 10)


def find_rate(
    model: Module,
    optimizer: Optimizer,
    data: Images | Texts,
    *,
    rng: np.random.Generator,
    start: float = 1e-6,
    end: float = 10.0,
    count: int = 100,
    accumulate: int = 1,
) -> RateCurve:
    """Train with learning rates that rise geometrically, and return the losses.

    The range test of Smith (arXiv 1506.01186, section 3.3).  It ends early if the loss diverges:
    if the smooth loss is more than 4 times the lowest one, or not finite.  Then the model, the
    optimizer and `rng` have the state that they had before.

    Parameters
    ----------
    model, optimizer, data, rng, accumulate : optional
        As for `fit`.
    start, end : float, optional
        The first and the last learning rate; default: 1e-6 and 10.
    count : int, optional
        Number of steps of the optimizer; default: 100.

    Returns
    -------
    RateCurve
        Its `suggestion` is a first learning rate for `fit`.

    Raises
    ------
    InputError
        If the rates are out of range, the data do not fit, or the first step fails.

    Examples
    --------
    >>> from bitnet import load_dataset
    >>> from bitnet.nn import models
    >>> from bitnet.optim import Adam
    >>> from bitnet.training import Images, Split
    >>> digits, rng = load_dataset("embedded").flattened(), np.random.default_rng(0)
    >>> train = digits.train_images[:500], digits.train_labels[:500]
    >>> model = models.binary_mlp([784, 32, 10], rng=rng)
    >>> data = Images(Split(train, train), batch=50)
    >>> curve = find_rate(model, Adam(model.parameters()), data, rng=rng, end=1.0, count=30)
    >>> curve.rates[0] < curve.suggestion < curve.rates[-1]
    True
    """
    check_count("find_rate", least=2, count=count)
    if not 0 < start < end < math.inf:
        raise InputError(f"find_rate: start is {start!r} and end {end!r}; expected 0 < start < end")
    before = model.state_dict(), optimizer.state_dict(), rng.bit_generator.state, optimizer.lr
    flips = optimizer.flips
    try:
        return _curve(model, optimizer, data, rng, np.geomspace(start, end, count), accumulate)
    finally:
        model.load_state_dict(before[0])
        optimizer.load_state_dict(before[1])
        rng.bit_generator.state, optimizer.lr = before[2:]
        optimizer.flips = flips
        optimizer.zero_grad()


def _curve(model, optimizer, data, rng, rates, accumulate):
    """Train with these rates; return the RateCurve until the loss diverges."""
    optimizer.lr, losses = rates[0], []
    more = {"rng": rng, "epochs": len(rates), "accumulate": accumulate}
    try:
        for step in steps(model, optimizer, data, **more):
            losses.append(step.loss)
            smooth = _smoothed(losses)
            if len(losses) == len(rates) or smooth[-1] > DIVERGED * min(smooth):
                break
            optimizer.lr = rates[len(losses)]
    except InputError:  # no finite loss or weight
        if not losses:
            raise
    return RateCurve(rates[: len(losses)].tolist(), losses)


def _smoothed(losses):
    """Return averages of losses with exponentially falling weights, without a bias to 0."""
    total, weight, smooth = 0.0, 0.0, []
    for loss in losses:
        total = SMOOTHING * total + (1 - SMOOTHING) * loss
        weight = SMOOTHING * weight + 1 - SMOOTHING
        smooth.append(total / weight)
    return smooth
