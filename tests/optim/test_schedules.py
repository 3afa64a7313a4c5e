"""Learning rates by epoch, against the figures of the papers."""

import itertools
import json
import math

import pytest

from bitnet import InputError
from bitnet.optim.schedules import (
    Constant,
    Cosine,
    Delayed,
    Exponential,
    Joined,
    Plateau,
    Step,
    Warmup,
    Widening,
)


def test_exponential_is_the_papers_decay_once_an_epoch():
    schedule = Exponential(3e-3, 3e-7, 1000)
    assert math.isclose(schedule(1) / schedule(0), 0.990832, rel_tol=1e-6)
    assert schedule(1) == schedule(1.99)
    assert math.isclose(schedule(1000), 3e-7)


def test_step_halves_every_ten_epochs():
    schedule = Step(2**-6, 0.5, 10)
    assert [schedule(e) for e in (0, 9.99, 10, 25)] == [2**-6, 2**-6, 2**-7, 2**-8]


def test_cosine_falls_within_an_epoch_and_stays_at_its_end():
    schedule = Cosine(1.0, 4, end=0.25)
    rates = [schedule(e / 10) for e in range(41)]
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert (rates[0], rates[-1], schedule(9)) == (1.0, 0.25, 0.25)
    assert math.isclose(schedule(2), 0.625)


def test_constant():
    assert Constant(0.5)(123.4) == 0.5


def test_a_window_is_widened_at_its_position():
    schedule = Widening(1.0, 2.5, 4.2)
    edge = math.nextafter(4.2, 0)
    assert [schedule(e) for e in (0, edge, 4.2, 9)] == [1.0, 1.0, 2.5, 2.5]
    assert Widening(1.0, 2.0, 0)(0) == 2.0


def test_a_schedule_without_a_state():
    assert Cosine(1.0, 4).state() == []
    Cosine(1.0, 4).load_state([])
    with pytest.raises(InputError, match="state"):
        Cosine(1.0, 4).load_state([0.5])


def test_settings_tell_schedules_apart():
    assert Cosine(1.0, 4).settings() == {
        "schedule": "Cosine",
        "start": 1.0,
        "epochs": 4,
        "end": 0.0,
    }
    assert Step(1.0, 0.5, 2).settings() != Step(1.0, 0.5, 3).settings()


@pytest.mark.parametrize(
    "call",
    [
        lambda: Constant(0),
        lambda: Constant(-1.0),
        lambda: Constant("0.1"),
        lambda: Constant(float("nan")),
        lambda: Exponential(1.0, 0, 10),
        lambda: Exponential(1.0, 0.1, 0),
        lambda: Step(1.0, 0, 5),
        lambda: Cosine(1.0, 0),
        lambda: Cosine(1.0, 5, end=-1),
        lambda: Widening(1.0, 0, 1),
        lambda: Widening(0, 2.0, 1),
        lambda: Widening(1.0, 2.0, -0.5),
        lambda: Widening(1.0, float("inf"), 1),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError, match="above 0"):
        call()


def test_delayed_falls_with_each_epoch_after_the_first_ones():
    schedule = Delayed(1.0, 0.5, 4)
    assert [schedule(e) for e in (0, 3.99, 4, 4.99, 5)] == [1, 1, 0.5, 0.5, 0.25]
    assert Delayed(1.0, 0.5, 0)(0) == 0.5


def rates_of(losses, factor=0.5):
    schedule = Plateau(1.0, factor)
    for loss in losses:
        schedule.observe_loss(loss)
    return [schedule(i) for i in range(1, len(losses) + 1)]


def test_a_plateau_lowers_the_rate():
    assert rates_of([3.0, 2.0, 1.0]) == [1, 1, 1]
    assert rates_of([3.0, 3.0, math.nextafter(3.0, 0)]) == [1, 0.5, 0.5]
    assert rates_of([3.0, 2.0, 2.5, 2.1], 0.25) == [1, 1, 0.25, 0.0625]  # the least, not the last


def test_a_plateau_keeps_its_losses_and_refuses_others():
    schedule, other = Plateau(1.0), Plateau(1.0)
    for loss in (2.0, 3.0):
        schedule.observe_loss(loss)
    other.load_state(json.loads(json.dumps(schedule.state())))
    assert other(2) == schedule(2) == 0.5
    assert other == schedule
    assert "losses" not in schedule.settings()
    with pytest.raises(InputError, match="epoch 3 comes after 2 observed"):
        schedule(3)
    for state in (None, [1], [math.nan], [-1.0], [1e9], "losses"):
        with pytest.raises(InputError, match="state is"):
            other.load_state(state)
    assert other(2) == 0.5
    with pytest.raises(InputError, match="factor is 1"):
        Plateau(1.0, 1.0)
    assert Constant(1.0).observe_loss(2.0) is None


def test_a_warmup_rises_linearly_to_the_schedule_and_stays_there():
    schedule = Warmup(Constant(0.5), 2, share=0.25)
    assert [schedule(epoch) for epoch in (0, 1, 2, 9)] == [0.125, 0.3125, 0.5, 0.5]
    cosine = Cosine(1.0, 4)
    assert [Warmup(cosine, 0.5)(e) for e in (0.5, 3, 4)] == [cosine(e) for e in (0.5, 3, 4)]
    assert schedule.start == schedule(0)


def test_joined_schedules_begin_at_their_own_epoch_0():
    nested = Joined(
        Warmup(Constant(1.0), 1, share=0.5), Joined(Step(0.8, 0.5, 1), Constant(2), 2), 3
    )
    assert [nested(e) for e in (0, 0.5, 1, 3, 4, 5)] == [0.5, 0.75, 1.0, 0.8, 0.4, 2]
    assert nested.settings()["then"]["first"] == Step(0.8, 0.5, 1).settings()
    assert nested.settings() != Joined(nested.first, nested.then, 4).settings()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Warmup(Plateau(1.0), 2, share=0.5),
        lambda: Joined(Plateau(1.0), Plateau(0.1), 2),
        lambda: Joined(Constant(1.0), Plateau(0.1), 2),
        lambda: Joined(Plateau(1.0), Cosine(0.1, 9), 3),
    ],
)
def test_parts_with_a_state_are_restored_exactly(make):
    losses = [3.0, 4.0, 4.0, 5.0, 4.5, 6.0]
    whole, part = make(), make()
    rates, resumed = [], []
    for epoch, loss in enumerate(losses):
        rates.append(whole(epoch))
        whole.observe_loss(loss)
        state = json.loads(json.dumps(part.state()))
        part = make()
        part.observe_loss(9.0)  # another state, which is replaced
        part.load_state(state)
        resumed.append(part(epoch))
        part.observe_loss(loss)
    assert resumed == rates
    assert len(set(rates)) > 1
    with pytest.raises(InputError, match=r"the state is \['a'\]"):
        part.load_state(["a"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Warmup(0.1, 2), "then is 0.1; expected a Schedule"),
        (lambda: Warmup(Constant(0.1), 0), "epochs is 0"),
        (lambda: Warmup(Constant(0.1), 1, share=1.5), "share is 1.5"),
        (lambda: Warmup(Constant(0.1), 1, share=0), "share is 0"),
        (lambda: Joined(Constant(0.1), None, 1), "then is None"),
        (lambda: Joined(Constant(0.1), Constant(1), -1), "at is -1"),
    ],
)
def test_wrong_parts_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
