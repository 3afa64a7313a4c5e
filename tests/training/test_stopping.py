"""Tests of early stopping: when it ends, and its state."""

import json

import pytest

from bitnet import InputError
from bitnet.training import EarlyStopping


def test_it_ends_after_as_many_epochs_without_a_better_figure():
    stopping = EarlyStopping(3)
    losses = [2.0, 1.0, 1.0, 1.5, 0.5, 0.6, 0.5, 0.7]
    assert [stopping(loss) for loss in losses] == [False] * 7 + [True]
    assert (stopping.best, stopping.stalled, stopping.is_over) == (0.5, 3, True)


def test_larger_figures_are_better_in_mode_max():
    stopping = EarlyStopping(1, "max")
    assert [stopping(accuracy) for accuracy in (0.5, 0.6, 0.6)] == [False, False, True]


def test_a_restored_state_ends_at_the_same_epoch():
    whole, part = EarlyStopping(2), EarlyStopping(2)
    for loss in (0.5, 0.6, 0.4, 0.4, 0.4):
        state = json.loads(json.dumps(part.state()))
        part = EarlyStopping(2)
        part.load_state(state)
        assert part(loss) == whole(loss)
    assert whole.is_over


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"best": 0.5},
        {"best": 1, "stalled": 0},
        {"best": 0.5, "stalled": -1},
        {"best": 0.5, "stalled": 3},
        {"best": 0.5, "stalled": True},
        {"best": None, "stalled": 1},
        {"best": 0.5, "stalled": 1, "more": 1},
    ],
)
def test_other_states_are_refused(state):
    stopping = EarlyStopping(2)
    with pytest.raises(InputError, match="EarlyStopping: the state is"):
        stopping.load_state(state)
    assert (stopping.best, stopping.stalled) == (None, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(0), "patience is 0"),
        (lambda: EarlyStopping(2, "least"), "mode is 'least'; expected one of min, max"),
        (lambda: EarlyStopping(2)(float("nan")), "figure is nan"),
        (lambda: EarlyStopping(2)(None), "figure is None"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(InputError, match=message):
        make()
