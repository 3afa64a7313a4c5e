"""Early stopping: the end of a training whose validation figure no longer improves."""

import math
from typing import Any

import numpy as np

from bitnet.errors import InputError, check_choice, check_count


class EarlyStopping:
    """Tell after each epoch whether a figure has not improved for `patience` epochs.

    Parameters
    ----------
    patience : int
        Number of epochs in a row without a better figure after which to stop, 1 or more.
    mode : {"min", "max"}, optional
        Whether smaller figures are better, such as losses (the default), or larger ones, such as
        accuracies.

    Attributes
    ----------
    best : float or None
        The best figure so far.
    stalled : int
        Number of epochs since then.
    is_over : bool
        Whether to stop.

    Examples
    --------
    >>> stopping = EarlyStopping(patience=2)
    >>> [stopping(loss) for loss in (0.5, 0.4, 0.4, 0.6)]
    [False, False, False, True]
    >>> stopping
    EarlyStopping(patience=2, mode='min', best=0.4, stalled=2)
    """

    def __init__(self, patience: int, mode: str = "min") -> None:
        check_count("EarlyStopping", patience=patience)
        check_choice("EarlyStopping", ("min", "max"), mode=mode)
        self.patience, self.mode = patience, mode
        self.best: float | None = None
        self.stalled = 0

    def __repr__(self) -> str:
        own = f"patience={self.patience}, mode={self.mode!r}"
        return f"EarlyStopping({own}, best={self.best}, stalled={self.stalled})"

    def __call__(self, figure: float) -> bool:
        """Take the figure of an epoch, and return whether to stop."""
        if not isinstance(figure, (int, float, np.number)) or math.isnan(figure):
            raise InputError(f"EarlyStopping: the figure is {figure!r:.60}; expected a number")
        sign = 1 if self.mode == "min" else -1
        if self.best is None or sign * figure < sign * self.best:
            self.best, self.stalled = float(figure), 0
        else:
            self.stalled += 1
        return self.is_over

    @property
    def is_over(self) -> bool:
        """Whether there was no better figure for `patience` epochs."""
        return self.stalled >= self.patience

    def state(self) -> dict[str, Any]:
        """Return the best figure and the number of epochs since, for a checkpoint."""
        return {"best": self.best, "stalled": self.stalled}

    def load_state(self, state: Any) -> None:
        """Set what `state` returned; refuse anything else with an InputError."""
        fits = isinstance(state, dict) and state.keys() == self.state().keys()
        if fits:
            best, stalled = state["best"], state["stalled"]
            fits = type(stalled) is int and 0 <= stalled <= self.patience
            fits = fits and (stalled == 0 if best is None else type(best) is float)
        if not fits:
            expected = "its best figure and a number of epochs"
            raise InputError(f"EarlyStopping: the state is {state!r:.60}; expected {expected}")
        self.best, self.stalled = best, stalled
