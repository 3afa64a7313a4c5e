"""Schedules of the learning rate and of the clip value, called with a position in epochs.

Only `Plateau` has state: the losses of the epochs, which a checkpoint stores.
"""

import dataclasses
import math
from typing import Any, ClassVar

from bitnet.errors import InputError


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The base of all schedules: callable with a position in epochs, with checked settings.

    Attributes
    ----------
    start : float
        The learning rate at epoch 0.

    Examples
    --------
    >>> isinstance(Constant(1e-3), Schedule), Constant(1e-3)(2.5)
    (True, 0.001)
    """

    start: float

    def __post_init__(self):
        for field in self._numbers():
            value = getattr(self, field.name)
            zero_fits = field.name in self.may_be_zero and value == 0
            if not isinstance(value, (int, float)) or not (0 < value < math.inf or zero_fits):
                raise InputError(
                    f"{type(self).__name__}: {field.name} is {value!r}; expected a number above 0"
                )

    may_be_zero: ClassVar[tuple[str, ...]] = ()

    def _numbers(self):
        """Return the fields that are settings, not state."""
        return [field for field in dataclasses.fields(self) if field.init]

    def settings(self) -> dict[str, Any]:
        """Return the name and the numbers of the schedule, for a checkpoint."""
        numbers = {field.name: getattr(self, field.name) for field in self._numbers()}
        return {"schedule": type(self).__name__, **numbers}

    def observe_loss(self, loss: float) -> None:
        """Record the validation loss of an epoch; most schedules ignore it."""

    def state(self) -> list[float]:
        """Return the state that a checkpoint stores, besides the settings; mostly empty."""
        return []

    def load_state(self, state: Any) -> None:
        """Set what `state` returned; refuse anything else with an InputError."""
        if state != []:
            raise InputError(f"{type(self).__name__} has no state; got {state!r:.60}")


@dataclasses.dataclass(frozen=True)
class Constant(Schedule):
    """A constant learning rate.

    Parameters
    ----------
    start : float
        The learning rate, above 0.

    Examples
    --------
    >>> Constant(0.1)(7)
    0.1
    """

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at a position in epochs."""
        return self.start


@dataclasses.dataclass(frozen=True)
class Exponential(Schedule):
    """Exponential decay from one rate to another, stepped per epoch, as in the papers' Theano code.

    Parameters
    ----------
    start, end : float
        The rates of the first epoch and after the last, above 0.
    epochs : int
        The number of epochs between them.

    Examples
    --------
    >>> schedule = Exponential(1e-2, 1e-4, 2)
    >>> [round(schedule(epoch), 6) for epoch in (0, 0.5, 1, 2)]
    [0.01, 0.01, 0.001, 0.0001]
    """

    end: float
    epochs: int

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at a position in epochs; it changes once per epoch."""
        return self.start * (self.end / self.start) ** (math.floor(epoch) / self.epochs)


@dataclasses.dataclass(frozen=True)
class Step(Schedule):
    """A rate multiplied by a factor after every `every` epochs, as in the papers' Torch code.

    Parameters
    ----------
    start : float
        The first rate, above 0.
    factor : float
        The factor of the rate, above 0.
    every : int
        Epochs between two changes.

    Examples
    --------
    >>> [Step(0.5, 0.5, 10)(epoch) for epoch in (0, 9.9, 10, 20)]
    [0.5, 0.5, 0.25, 0.125]
    """

    factor: float
    every: int

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at a position in epochs."""
        return self.start * self.factor ** math.floor(epoch / self.every)


@dataclasses.dataclass(frozen=True)
class Delayed(Schedule):
    """A constant rate for some epochs, then multiplied by a factor per epoch.

    Zaremba et al. train language models with it (arXiv 1409.2329, section 4.1).

    Parameters
    ----------
    start : float
        The first rate, above 0.
    factor : float
        The factor of the rate, above 0.
    after : int
        The number of epochs with the first rate.

    Examples
    --------
    >>> [Delayed(1.0, 0.5, 2)(epoch) for epoch in (0, 1.9, 2, 3)]
    [1.0, 1.0, 0.5, 0.25]
    """

    factor: float
    after: int

    may_be_zero: ClassVar[tuple[str, ...]] = ("after",)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at a position in epochs."""
        return self.start * self.factor ** max(0, math.floor(epoch) - self.after + 1)


@dataclasses.dataclass(frozen=True)
class Cosine(Schedule):
    """Cosine decay from one rate to another, updated at every step of the optimizer.

    Parameters
    ----------
    start : float
        The first rate, above 0.
    epochs : int
        The number of epochs until the last rate.
    end : float, optional
        The last rate, reached after the last step; default: 0.

    Examples
    --------
    >>> [Cosine(0.5, 10)(epoch) for epoch in (0, 5, 10)]
    [0.5, 0.25, 0.0]
    """

    epochs: int
    end: float = 0.0

    may_be_zero: ClassVar[tuple[str, ...]] = ("end",)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at a position in epochs."""
        share = min(epoch / self.epochs, 1)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * share)) / 2


@dataclasses.dataclass(frozen=True)
class Plateau(Schedule):
    """A rate that is lowered when the validation loss stops falling.

    `rate = start * factor**n`, where n is the number of epochs whose loss is not below the lowest
    loss of all earlier epochs.

    Parameters
    ----------
    start : float
        The first rate, above 0.
    factor : float, optional
        The factor of the rate, below 1; default: 0.5.

    Attributes
    ----------
    losses : list of float
        The losses of the finished epochs.

    Examples
    --------
    >>> schedule, rates = Plateau(1.0), []
    >>> for loss in (6.0, 5.0, 5.5, 5.2, 4.9):
    ...     schedule.observe_loss(loss)
    ...     rates.append(schedule(len(schedule.losses)))
    >>> rates
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """

    factor: float = 0.5
    losses: list = dataclasses.field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self):
        super().__post_init__()
        if self.factor >= 1:
            raise InputError(f"Plateau: factor is {self.factor!r}; expected a number below 1")

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at a position in epochs, once the earlier losses are known."""
        if math.floor(epoch) > len(self.losses):
            raise InputError(
                f"Plateau: epoch {epoch} comes after {len(self.losses)} observed ones; call "
                "observe_loss(loss) after each"
            )
        lowered, least = 0, math.inf
        for loss in self.losses[: math.floor(epoch)]:
            lowered += loss >= least
            least = min(least, loss)
        return self.start * self.factor**lowered

    def observe_loss(self, loss: float) -> None:
        """Record the loss of a finished epoch."""
        self.losses.append(float(loss))

    def state(self) -> list[float]:
        """Return the losses of all epochs."""
        return list(self.losses)

    def load_state(self, state: Any) -> None:
        """Set the losses of a resumed training."""
        known = isinstance(state, list) and all(type(n) is float and 0 <= n < 1e9 for n in state)
        if not known:
            raise InputError(f"Plateau: the state is {state!r:.60}; expected losses from 0 on")
        self.losses[:] = state


@dataclasses.dataclass(frozen=True)
class Widening(Schedule):
    """A clip value of the hard tanh that is raised once; not a learning rate.

    Section 4.3 of the second paper widens it for a trained net, most of whose pre-activations lie
    outside [-1, 1], where no gradient passes.  It does not state the width.

    Parameters
    ----------
    start : float
        The first clip value, above 0; 1 in the papers.
    end : float
        The later clip value, above 0.
    after : float
        The position in epochs at which it changes.

    Examples
    --------
    >>> [Widening(1.0, 2.0, 4.5)(epoch) for epoch in (0, 4.4, 4.5)]
    [1.0, 1.0, 2.0]
    """

    end: float
    after: float

    may_be_zero: ClassVar[tuple[str, ...]] = ("after",)

    def __call__(self, epoch: float) -> float:
        """Return the clip value at a position in epochs."""
        return self.end if epoch >= self.after else self.start
