"""Schedules of the learning rate and of the clip value, called with a position in epochs.

Only `Plateau`, and `Warmup` and `Joined` for the schedules that they contain, have state: the
losses of the epochs, which a checkpoint stores.
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
        for name in self.parts:
            if not isinstance(part := getattr(self, name), Schedule):
                raise InputError(
                    f"{type(self).__name__}: {name} is {part!r:.60}; expected a Schedule, such as "
                    "Constant(0.1)"
                )

    may_be_zero: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[tuple[str, ...]] = ()  # the fields that are schedules

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at a position in epochs; subclasses define it."""
        raise TypeError(f"{type(self).__name__} has no rate; a Schedule defines __call__(epoch)")

    def _numbers(self):
        """Return the fields that are numbers and settings, not state."""
        fields = dataclasses.fields(self)
        return [field for field in fields if field.init and field.name not in self.parts]

    def settings(self) -> dict[str, Any]:
        """Return the name, the numbers and the parts of the schedule, for a checkpoint."""
        numbers = {field.name: getattr(self, field.name) for field in self._numbers()}
        parts = {name: getattr(self, name).settings() for name in self.parts}
        return {"schedule": type(self).__name__, **numbers, **parts}

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
        self.losses[:] = _losses(self, state)


def _losses(schedule, state):
    """Return the state of a schedule, once it is a list of losses."""
    if not isinstance(state, list) or not all(type(n) is float and 0 <= n < 1e9 for n in state):
        name = type(schedule).__name__
        raise InputError(f"{name}: the state is {state!r:.60}; expected losses from 0 on")
    return state


@dataclasses.dataclass(frozen=True)
class Warmup(Schedule):
    """Any schedule with lower rates at its beginning, as for large batches or Adam's first steps.

    `rate = then(epoch) * (share + (1 - share) * min(1, epoch / epochs))`: Goyal et al. (arXiv
    1706.02677, section 2.2) raise the rate linearly over the first 5 epochs.

    Parameters
    ----------
    then : Schedule
        The schedule, whose positions stay as they are.
    epochs : float
        The length of the warm-up in epochs, above 0; it may be a fraction.
    share : float, optional
        The share of the rate at epoch 0, above 0; default: 0.01.

    Examples
    --------
    >>> schedule = Warmup(Cosine(1.0, 10), 2, share=0.1)
    >>> [round(schedule(epoch), 3) for epoch in (0, 1, 2, 10)]
    [0.1, 0.537, 0.905, 0.0]
    """

    start: float = dataclasses.field(init=False, repr=False, compare=False)
    then: Schedule
    epochs: float
    share: float = 0.01

    parts: ClassVar[tuple[str, ...]] = ("then",)

    def __post_init__(self):
        super().__post_init__()
        if self.share > 1:
            raise InputError(f"Warmup: share is {self.share!r}; expected a number of at most 1")
        object.__setattr__(self, "start", self.then.start * self.share)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at a position in epochs."""
        return self.then(epoch) * (self.share + (1 - self.share) * min(1, epoch / self.epochs))

    def observe_loss(self, loss: float) -> None:
        """Record the loss of a finished epoch in the schedule."""
        self.then.observe_loss(loss)

    def state(self) -> list[float]:
        """Return the state of the schedule."""
        return self.then.state()

    def load_state(self, state: Any) -> None:
        """Set the state of the schedule."""
        self.then.load_state(state)


@dataclasses.dataclass(frozen=True)
class Joined(Schedule):
    """Two schedules, one after the other; the second one begins at its own epoch 0.

    Parameters
    ----------
    first, then : Schedule
        The schedules; either may be a Joined or a Warmup.
    at : float
        The position in epochs of the change, above 0.

    Examples
    --------
    >>> schedule = Joined(Constant(0.1), Cosine(0.1, 4), at=2)
    >>> [round(schedule(epoch), 3) for epoch in (0, 1.9, 2, 4, 6)]
    [0.1, 0.1, 0.1, 0.05, 0.0]
    """

    start: float = dataclasses.field(init=False, repr=False, compare=False)
    first: Schedule
    then: Schedule
    at: float
    losses: list = dataclasses.field(default_factory=list, init=False, repr=False, compare=False)

    parts: ClassVar[tuple[str, ...]] = ("first", "then")

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "start", self.first.start)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at a position in epochs."""
        return self.first(epoch) if epoch < self.at else self.then(epoch - self.at)

    def observe_loss(self, loss: float) -> None:
        """Record the loss of a finished epoch, in the schedule that it belongs to."""
        (self.first if len(self.losses) < self.at else self.then).observe_loss(loss)
        self.losses.append(float(loss))

    def state(self) -> list[float]:
        """Return the losses of all epochs."""
        return list(self.losses)

    def load_state(self, state: Any) -> None:
        """Set the losses of a resumed training in both schedules."""
        losses = list(_losses(self, state))
        self.first.load_state([])
        self.then.load_state([])
        self.losses.clear()
        for loss in losses:
            self.observe_loss(loss)


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
