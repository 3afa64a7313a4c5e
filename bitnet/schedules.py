"""Learning rates by epoch, and windows.  A schedule is called with an epoch and keeps no state."""

import dataclasses
import math

from bitnet.errors import InputError

__all__ = ["Constant", "Cosine", "Exponential", "Schedule", "Step", "Widening"]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """What all schedules share: they are called with an epoch, and say what they are.

    Parameters
    ----------
    start : float
        The first learning rate, above 0.

    Examples
    --------
    >>> Constant(0.1).settings()
    {'schedule': 'Constant', 'start': 0.1}
    """

    start: float

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            zero_fits = field.name in self.may_be_zero and value == 0
            if not isinstance(value, (int, float)) or not (0 < value < math.inf or zero_fits):
                raise InputError(
                    f"{type(self).__name__}: {field.name} is {value!r}; expected a number above 0"
                )

    may_be_zero = ()

    def settings(self):
        """The schedule's name and numbers, as for a checkpoint."""
        return {"schedule": type(self).__name__, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Constant(Schedule):
    """One learning rate for ever.

    Parameters
    ----------
    start : float
        The learning rate, above 0.

    Examples
    --------
    >>> Constant(0.1)(7)
    0.1
    """

    def __call__(self, epoch):
        """The rate at a position in epochs."""
        return self.start


@dataclasses.dataclass(frozen=True)
class Exponential(Schedule):
    """From one rate to another by a constant factor an epoch, as the papers' Theano code.

    Parameters
    ----------
    start, end : float
        The rates of the first epoch and after the last, above 0.
    epochs : int
        How many epochs lie between them.

    Examples
    --------
    >>> schedule = Exponential(1e-2, 1e-4, 2)
    >>> [round(schedule(epoch), 6) for epoch in (0, 0.5, 1, 2)]
    [0.01, 0.01, 0.001, 0.0001]
    """

    end: float
    epochs: int

    def __call__(self, epoch):
        """The rate at a position in epochs; it changes once an epoch."""
        return self.start * (self.end / self.start) ** (math.floor(epoch) / self.epochs)


@dataclasses.dataclass(frozen=True)
class Step(Schedule):
    """Multiplied by a factor every so many epochs, as the papers' Torch code.

    Parameters
    ----------
    start : float
        The first rate, above 0.
    factor : float
        What the rate is multiplied with, above 0.
    every : int
        Epochs between two changes.

    Examples
    --------
    >>> [Step(0.5, 0.5, 10)(epoch) for epoch in (0, 9.9, 10, 20)]
    [0.5, 0.5, 0.25, 0.125]
    """

    factor: float
    every: int

    def __call__(self, epoch):
        """The rate at a position in epochs."""
        return self.start * self.factor ** math.floor(epoch / self.every)


@dataclasses.dataclass(frozen=True)
class Cosine(Schedule):
    """From one rate to another along half a cosine, at every step of the optimizer.

    Parameters
    ----------
    start : float
        The first rate, above 0.
    epochs : int
        The length of the fall.
    end : float, optional
        The last rate, 0 by default (reached only behind the last step).

    Examples
    --------
    >>> [Cosine(0.5, 10)(epoch) for epoch in (0, 5, 10)]
    [0.5, 0.25, 0.0]
    """

    epochs: int
    end: float = 0.0

    may_be_zero = ("end",)

    def __call__(self, epoch):
        """The rate at a position in epochs."""
        share = min(epoch / self.epochs, 1)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * share)) / 2


@dataclasses.dataclass(frozen=True)
class Widening(Schedule):
    """Not a rate: the window of the hard tanh, which is widened once.

    In section 4.3 of the second paper a trained net, most of whose pre-activations lie outside
    [-1, 1] where no gradient passes, is trained on with a wider hard tanh.  Its width is not
    stated.  Frozen nets do not depend on the window.

    Parameters
    ----------
    start : float
        The first window, above 0; 1 in the papers.
    end : float
        The window afterwards, above 0.
    after : float
        The position in epochs from which on it is the latter.

    Examples
    --------
    >>> [Widening(1.0, 2.0, 4.5)(epoch) for epoch in (0, 4.4, 4.5)]
    [1.0, 1.0, 2.0]
    """

    end: float
    after: float

    may_be_zero = ("after",)

    def __call__(self, epoch):
        """The window at a position in epochs."""
        return self.end if epoch >= self.after else self.start
