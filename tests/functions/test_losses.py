"""Losses against their formulas, and what they refuse."""

import numpy as np
import pytest

import bitnet.functions as F  # noqa: N812
from bitnet import InputError

SCORES = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 0, 1], np.uint8)


def test_squared_hinge_is_its_formula():
    t = np.where(np.arange(4) == LABELS[:, None], 1, -1)
    expected = np.mean(np.maximum(0, 1 - t * SCORES) ** 2)
    assert np.isclose(F.squared_hinge(SCORES, LABELS).item(), expected)
    assert F.squared_hinge(10 * t.astype(np.float32), LABELS).item() == 0


def test_cross_entropy_is_its_formula_and_does_not_overflow():
    p = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)
    expected = -np.log(p[np.arange(6), LABELS]).mean()
    assert np.isclose(F.cross_entropy(SCORES, LABELS).item(), expected)
    assert np.isclose(F.cross_entropy(np.float32([[1e4, 0.0]]), [0]).item(), 0)
    assert np.isclose(F.cross_entropy(np.float32([[1e4, 0.0]]), [1]).item(), 1e4)


@pytest.mark.parametrize("loss", [F.squared_hinge, F.cross_entropy])
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (SCORES[:0], LABELS[:0], "at least one row"),
        (SCORES[0], LABELS, "shape"),
        (SCORES, LABELS[:5], "labels"),
        (SCORES, LABELS.astype(float), "integers"),
        (SCORES, [0, 1, 2, 3, 4, 0], "0 to 3"),
        (SCORES, [0, 1, 2, 3, -1, 0], "0 to 3"),
        (SCORES.astype(int), LABELS, "floats"),
        (F.sign(SCORES), LABELS, "floats"),
        (SCORES, 3, "labels"),
        (np.where(SCORES > 1, np.nan, SCORES), LABELS, "NaN"),
        (np.where(SCORES > 1, np.inf, SCORES), LABELS, "infinity"),
    ],
)
def test_what_does_not_fit_is_refused(loss, scores, labels, message):
    with pytest.raises(InputError, match=message):
        loss(scores, labels)
