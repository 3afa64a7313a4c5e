"""Losses and figures by target: classification, regression and several labels per input."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bitnet.arrays import Array, as_numpy, like
from bitnet.data.targets import predictions
from bitnet.errors import InputError, unfit
from bitnet.nn import functional

LOSSES = {  # by target; the first one is the default, but for classes that of the recipe
    "classification": ("squared-hinge", "cross-entropy"),
    "regression": ("squared-error", "huber"),
    "multilabel": ("binary-cross-entropy",),
}
FIGURES = {"classification": "accuracy", "regression": "r2", "multilabel": "f1"}
SMOOTHED = "cross-entropy", "binary-cross-entropy"


def r2_score(predictions: Array, targets: Array) -> float:
    """Return R^2, the share of the variance of the targets that predictions explain.

    `1 - sum((target - prediction)^2) / sum((target - mean)^2)` for each output, then the mean over
    outputs, as in scikit-learn; an output whose targets are all equal counts 1 if all predictions
    are right, otherwise 0.

    Parameters
    ----------
    predictions, targets : array
        Numbers of shape (count,) or (count, outputs).

    Returns
    -------
    float
        At most 1; 0 for a constant prediction of the mean.

    Raises
    ------
    InputError
        If the arrays are empty or have different shapes.

    Examples
    --------
    >>> r2_score(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])).__round__(4)
    0.7857
    """
    predictions, targets = _columns("r2_score", predictions, targets)
    errors = ((targets - predictions) ** 2).sum(axis=0)
    total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    shares = 1 - errors / np.where(total > 0, total, 1)
    return float(np.where(total > 0, shares, errors == 0).mean())


def mean_absolute_error(predictions: Array, targets: Array) -> float:
    """Return the mean absolute difference of predictions and targets.

    Parameters
    ----------
    predictions, targets : array
        Numbers of shape (count,) or (count, outputs).

    Returns
    -------
    float
        In the units of the targets.

    Raises
    ------
    InputError
        If the arrays are empty or have different shapes.

    Examples
    --------
    >>> mean_absolute_error(np.array([1.0, 2.0]), np.array([1.0, 5.0]))
    1.5
    """
    predictions, targets = _columns("mean_absolute_error", predictions, targets)
    return float(abs(predictions - targets).mean())


def f1_score(predictions: Array, labels: Array) -> float:
    """Return F1 over all labels together, `2 TP / (2 TP + FP + FN)` (the micro average).

    Parameters
    ----------
    predictions, labels : array
        Booleans, or 0 and 1, of shape (count,) or (count, labels).

    Returns
    -------
    float
        From 0 to 1; 0 if no label is there and none is predicted.

    Raises
    ------
    InputError
        If the arrays are empty or have different shapes.

    Examples
    --------
    >>> f1_score(np.array([[1, 1], [0, 0]]), np.array([[1, 0], [1, 0]]))
    0.5
    """
    both, either = _hits("f1_score", predictions, labels)
    return float(2 * both.sum() / max(1, either.sum()))


def _columns(name, predictions, targets):
    """Return both arrays as float64 (count, outputs)."""
    both = as_numpy(predictions), as_numpy(targets)
    columns = [x[:, None] if x.ndim == 1 else x for x in both]
    if columns[0].shape != columns[1].shape or columns[0].ndim != 2 or not columns[0].size:
        raise unfit(name, "equal shapes, not empty", *both)
    return (x.astype(np.float64) for x in columns)


def _hits(name, predictions, labels):
    """Return TP and TP + FP + TP + FN of each label."""
    predictions, labels = (x != 0 for x in _columns(name, predictions, labels))
    return (predictions & labels).sum(axis=0), predictions.sum(axis=0) + labels.sum(axis=0)


def figure(scores, labels, target):
    """Return the figure of a target, the larger the better: accuracy, R^2 or F1."""
    if target == "regression":
        return r2_score(scores, labels)
    found = predictions(scores, target)
    return (
        float((found == labels).mean()) if target == "classification" else f1_score(found, labels)
    )


def report(scores, labels, target, names):
    """Return the figures of scores by name, in all and for each class, output or label."""
    found = predictions(scores, target)
    if target == "classification":
        right = found == labels
        own = {name: right[labels == i] for i, name in enumerate(names)}
        shares = {name: float(a.mean()) if len(a) else None for name, a in own.items()}
        return {"accuracy": float(right.mean()), "classes": shares}
    if target == "regression":
        figures = {"r2": r2_score, "mean_absolute_error": mean_absolute_error}
        each = {
            name: {key: of(scores[:, i], labels[:, i]) for key, of in figures.items()}
            for i, name in enumerate(names)
        }
        return {key: of(scores, labels) for key, of in figures.items()} | {"outputs": each}
    both, either = _hits("report", found, labels)
    said, there = found.sum(axis=0), (labels != 0).sum(axis=0)
    each = {
        name: {
            "f1": float(2 * both[i] / max(1, either[i])),
            "precision": float(both[i] / said[i]) if said[i] else None,
            "recall": float(both[i] / there[i]) if there[i] else None,
            "images": int(there[i]),
        }
        for i, name in enumerate(names)
    }
    macro = float(np.mean([own["f1"] for own in each.values()]))
    exact = float((found == (labels != 0)).all(axis=1).mean())
    return {"f1": f1_score(found, labels), "macro_f1": macro, "exact": exact, "labels": each}


@dataclasses.dataclass(frozen=True)
class OfScale:
    """A loss of regression in which each output counts in units of its standard deviation."""

    loss: Callable
    factors: Any  # 1 / deviation (K,)

    def __call__(self, y, targets):
        factors = like(self.factors, getattr(y, "data", y))
        return self.loss(y * factors, like(targets, factors) * factors)


def loss_of(settings, labels):
    """Return the loss of a training, which maps scores and labels to a Tensor."""
    name, smoothing = settings["loss"], settings["label_smoothing"]
    loss = getattr(functional, name.replace("-", "_"))
    if settings["target"] == "regression":
        std = labels.std(axis=0, dtype=np.float64)
        return OfScale(loss, (1 / np.where(std > 0, std, 1)).astype(np.float32))
    more: dict = {"label_smoothing": smoothing} if smoothing else {}
    if settings["class_weights"]:
        weights = _weights(settings, labels)
        more["pos_weight" if settings["target"] == "multilabel" else "weight"] = weights
    return partial(loss, **more) if more else loss


def _weights(settings, labels):
    """Return the weight of each class, or of the rows that have each label."""
    given, names, target = settings["class_weights"], settings["classes"], settings["target"]
    if given != "balanced":
        weights = np.array(given.split(","), np.float64)
        if len(weights) != len(names):
            raise InputError(
                f"class_weights has {len(weights)} numbers; expected {len(names)}, one for each of "
                f"{', '.join(names):.200}"
            )
        return weights
    counts = np.bincount(labels, minlength=len(names)) if labels.ndim == 1 else labels.sum(axis=0)
    counts = np.maximum(counts, 1)  # a class without rows has no gradient
    if target == "multilabel":
        return np.maximum(len(labels) - counts, 1) / counts
    return len(labels) / (len(names) * counts)


def check_losses(settings):
    """Refuse a loss, weights, smoothing or a teacher that the target does not have."""
    target, loss = settings["target"], settings["loss"]
    if loss not in LOSSES[target]:
        known = " or ".join(LOSSES[target])
        raise InputError(f"loss is {loss}; for target {target} expected {known}")
    if settings["label_smoothing"] and loss not in SMOOTHED:
        known = " or ".join(SMOOTHED)
        raise InputError(f"label_smoothing needs the loss {known}; this training has {loss}")
    if target == "regression" and settings["class_weights"]:
        raise InputError(
            "class_weights applies to classes and labels, not to regression; remove it"
        )
    if settings["teacher"] and target != "classification":
        raise InputError(f"teacher applies to classification, not to {target}; remove it")
