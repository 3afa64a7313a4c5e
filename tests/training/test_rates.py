"""Tests of the learning-rate finder: its rates, its end, and that it leaves no trace."""

import numpy as np
import pytest

from bitnet import InputError
from bitnet.training import Experiment, RateCurve, find_rate

SMALL = {"net": "mlp:12", "data": "embedded", "limit": 200, "batch": 20}
TEXT = {"net": "lstm:6", "limit": 600, "batch": 5, "steps": 20, "dropout": 0.2}


def parts(settings):
    experiment = Experiment(settings)
    own = {"model": experiment.model, "optimizer": experiment.optimizer}
    return experiment, own | {"data": experiment.source, "rng": experiment.rng}


@pytest.mark.parametrize(
    "settings", [SMALL, {**SMALL, "moments": "bfloat16"}, {**SMALL, "optimizer": "bop"}, TEXT]
)
def test_it_leaves_no_trace(tmp_path, settings):
    plain, (experiment, own) = Experiment(settings), parts(settings)
    curve = find_rate(**own, start=1e-4, end=0.01, count=15)
    assert curve.rates == pytest.approx(np.geomspace(1e-4, 0.01, 15))
    for each, name in ((plain, "a"), (experiment, "b")):
        next(each.epochs())
        each.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_it_ends_where_the_loss_diverges():
    experiment, own = parts({**SMALL, "optimizer": "sgd", "float": True})
    before = experiment.model.state_dict()
    curve = find_rate(**own, start=0.1, end=1e6, count=60)
    assert 5 < len(curve.rates) == len(curve.losses) < 60
    assert np.isfinite(curve.losses).all()
    after = experiment.model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_the_suggestion_is_a_tenth_of_the_rate_with_the_lowest_average():
    curve = RateCurve([0.01, 0.1, 1.0, 10.0], [4.0, 1.0, 1.5, 9.0])
    assert curve.smooth[:2] == pytest.approx([4.0, (0.9 * 4 + 1) / 1.9])
    assert curve.suggestion == pytest.approx(0.1)
    assert RateCurve([0.01, 0.02], [1.0, 2.0]).suggestion == 0.01
    assert repr(curve) == "RateCurve(4 rates from 0.01 to 10, suggestion=0.1)"


@pytest.mark.parametrize(
    "more", [{"start": 0}, {"start": 2, "end": 1}, {"end": float("inf")}, {"count": 1}]
)
def test_wrong_arguments(more):
    with pytest.raises(InputError, match="find_rate: "):
        find_rate(**parts(SMALL)[1], **more)
