"""Losses against their formulas, and what they refuse."""

import numpy as np
import pytest

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor

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


TEACHER = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("hard", [F.squared_hinge, F.cross_entropy])
def test_distillation_is_its_formula(temperature, weight, hard):
    p, q = softmax(TEACHER / temperature), softmax(SCORES / temperature)
    soft = temperature**2 * -(p * np.log(q)).sum(axis=1).mean()
    expected = (1 - weight) * hard(SCORES, LABELS).item() + weight * soft
    got = F.distillation(SCORES, LABELS, TEACHER, temperature, weight, hard)
    assert np.isclose(got.item(), expected)


def test_the_soft_gradient_is_t_times_the_difference_of_softmax():
    scores = Tensor(SCORES, requires_grad=True)
    F.distillation(scores, LABELS, TEACHER, 3.0, 1.0).backward()
    expected = 3.0 * (softmax(SCORES / 3) - softmax(TEACHER / 3)) / 6
    assert np.allclose(scores.grad, expected, atol=1e-7)
    scores = Tensor(SCORES, requires_grad=True)
    F.distillation(scores, LABELS, SCORES, 3.0, 1.0).backward()  # its own teacher
    assert np.allclose(scores.grad, 0, atol=1e-7)


def test_distillation_does_not_overflow():
    teacher = np.float32([[1e4, 0.0]])
    assert np.isclose(F.distillation(teacher, [0], teacher, 1.0).item(), 0)
    assert np.isclose(F.distillation(-teacher, [0], teacher, 1.0, 1.0).item(), 1e4)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"temperature": 0}, "temperature is 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"weight": 1.1}, "weight 1.1"),
        ({"weight": -0.1}, "weight -0.1"),
        ({"weight": float("nan")}, "weight nan"),
        ({"teacher_scores": TEACHER[:5]}, "teacher"),
        ({"teacher_scores": np.c_[TEACHER, TEACHER]}, "same classes"),
        ({"teacher_scores": np.where(TEACHER > 1, np.nan, TEACHER)}, "teacher.*NaN"),
        ({"teacher_scores": TEACHER.astype(int)}, "teacher.*floats"),
    ],
)
def test_what_teaches_nothing_is_refused(more, message):
    with pytest.raises(InputError, match=message):
        F.distillation(SCORES, LABELS, **{"teacher_scores": TEACHER, **more})


@pytest.mark.parametrize("loss", [F.squared_hinge, F.cross_entropy])
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (SCORES[:0], LABELS[:0], "at least one row"),
        (SCORES[0], LABELS, "shape"),
        (SCORES, LABELS[:5], "labels"),
        (SCORES, LABELS.astype(float), "integer labels"),
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_cross_entropy_is_softmax_less_one_hot(dtype):
    """For scores far apart too; the scores stay as they are, and a second call adds the same."""
    data = np.concatenate([SCORES, 1e4 * SCORES]).astype(dtype)
    labels, before = np.concatenate([LABELS, LABELS]), data.copy()
    scores = Tensor(data, requires_grad=True)
    loss = F.cross_entropy(scores, labels)
    loss.backward(retain_graph=True)
    p = np.exp(data - data.max(axis=1, keepdims=True))
    expected = (p / p.sum(axis=1, keepdims=True) - (np.arange(4) == labels[:, None])) / 12
    assert np.allclose(scores.grad, expected, atol=1e-6)
    assert scores.grad.dtype == dtype
    first = scores.grad
    loss.backward()
    assert np.array_equal(scores.grad, 2 * first)
    assert np.array_equal(data, before)


WEIGHT = np.array([1.0, 0.0, 2.5, 4.0])


def test_weights_of_classes_are_those_of_their_rows():
    """A class of weight 2 counts as if each of its rows were there twice."""
    twice = np.flatnonzero(LABELS == 0)
    rows = np.concatenate([np.arange(len(LABELS)), twice])
    for loss in (F.squared_hinge, F.cross_entropy):
        weighted = loss(SCORES, LABELS, [2, 1, 1, 1]).item()
        assert np.isclose(weighted, loss(SCORES[rows], LABELS[rows]).item())
        assert np.isclose(loss(SCORES, LABELS, [3, 3, 3, 3]).item(), loss(SCORES, LABELS).item())
        alone = loss(SCORES, LABELS, [0, 1, 0, 0]).item()
        assert np.isclose(alone, loss(SCORES[LABELS == 1], LABELS[LABELS == 1]).item())


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smoothed_cross_entropy_is_its_formula(weight, smoothing):
    """The formula of PyTorch: the smoothed part of each class has the weight of that class."""
    w = np.ones(4) if weight is None else weight
    log_p = np.log(softmax(SCORES))
    rows = np.arange(len(LABELS))
    own = -(1 - smoothing) * w[LABELS] * log_p[rows, LABELS]
    spread = -smoothing / 4 * (w * log_p).sum(axis=1)
    expected = (own + spread).sum() / w[LABELS].sum()
    got = F.cross_entropy(SCORES, LABELS, weight, smoothing)
    assert got.data.dtype == np.float32
    assert np.isclose(got.item(), expected)


def test_losses_of_regression_are_their_formulas():
    targets = SCORES[::-1] * 3
    e = SCORES - targets
    assert np.isclose(F.squared_error(SCORES, targets).item(), (e**2).mean())
    for delta in (0.5, 1.0, 100.0):
        expected = np.where(abs(e) <= delta, e**2 / 2, delta * (abs(e) - delta / 2)).mean()
        assert np.isclose(F.huber(SCORES, targets, delta).item(), expected)
    column = F.squared_error(SCORES[:, :1], targets[:, 0]).item()
    assert np.isclose(column, F.squared_error(SCORES[:, :1], targets[:, :1]).item())
    assert np.isclose(F.squared_error(np.float32([[3.0]]), np.array([1], np.uint8)).item(), 4)


def test_binary_cross_entropy_is_its_formula_and_does_not_overflow():
    present, p = SCORES[::-1] > 0, 1 / (1 + np.exp(-SCORES.astype(float)))
    for weight, smoothing in ((None, 0.0), (WEIGHT, 0.2)):
        t = present * (1 - smoothing) + smoothing / 2
        w = 1 if weight is None else weight
        expected = -(w * t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
        got = F.binary_cross_entropy(SCORES, present, weight, smoothing).item()
        assert np.isclose(got, expected)
    large = np.float32([[1e4, -1e4]])
    assert F.binary_cross_entropy(large, [[1, 0]]).item() == 0
    assert np.isclose(F.binary_cross_entropy(large, [[0, 1]]).item(), 1e4)


@pytest.mark.parametrize(
    ("loss", "arguments", "message"),
    [
        (F.squared_hinge, (LABELS, [1, 2]), "expected one weight for each of 4 classes"),
        (F.cross_entropy, (LABELS, [1, 2, -1, 1]), "a weight is below 0 or not finite"),
        (F.cross_entropy, (LABELS, np.zeros(4)), "or all are 0"),
        (F.cross_entropy, (LABELS, None, 1.5), r"label_smoothing is 1\.5; expected a number from"),
        (F.squared_error, (SCORES[:3],), r"expected targets of shape \(6, 4\)"),
        (F.squared_error, (np.full((6, 4), np.nan),), "the targets hold NaN or infinity"),
        (F.huber, (SCORES, 0), "delta is 0; expected a number above 0"),
        (F.binary_cross_entropy, (SCORES,), "a label is neither 0 nor 1"),
        (F.binary_cross_entropy, (SCORES > 0, [1.0]), "one weight for each of 4"),
    ],
)
def test_refused_targets(loss, arguments, message):
    with pytest.raises(InputError, match=message):
        loss(SCORES, *arguments)
