"""Losses on the scores of a classifier."""

from typing import Any

import numpy as np

from bitnet.arrays import array_module, as_array, like
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, unfit
from bitnet.kernels.threads import shared
from bitnet.nn.functional.soft_targets import SoftCrossEntropy, class_weights, soft_targets

PART, NUMBERS_PER_NS = 1 << 15, 0.4  # scores that stay in the cache; on one thread, about


class SquaredHinge(Function):
    """mean(max(0, 1 - t y)^2) with t = +1 for the label's class and -1 for the others.

    `shares` (B,), which sum to 1, replace 1 / B.
    """

    def __init__(self, labels, shares=None):
        self.labels, self.shares = labels, shares

    def forward(self, scores):  # (B, C)
        xp = array_module(scores)
        self.targets = xp.where(self.labels[:, None] == xp.arange(scores.shape[1]), 1, -1)
        self.targets = self.targets.astype(scores.dtype)
        self.slack = xp.maximum(0, 1 - self.targets * scores)
        squares = self.slack * self.slack
        return squares.mean() if self.shares is None else self.shares @ squares.mean(axis=1)

    def backward(self, grad_y):
        grad_scores = grad_y * (-2 / self.slack.size) * self.targets * self.slack
        if self.shares is not None:
            grad_scores *= self.shares[:, None] * len(self.shares)
        return grad_scores


def squared_hinge(scores: TensorLike, labels: Any, weight: Any = None) -> Tensor:
    """Return the mean squared hinge loss, `mean(max(0, 1 - t y)^2)` over batch and classes.

    This is the loss of the papers: t is +1 for the correct class and -1 for the others, and y is
    the output of the last batch norm.

    Parameters
    ----------
    scores : Tensor
        Floats of shape (B, C), one or more rows.
    labels : array
        Integers of shape (B,), from 0 to C - 1.
    weight : array, optional
        The weight of the rows of each class, of shape (C,), 0 or more; the mean over the batch is
        weighted, and divided by the sum of the weights of its rows.

    Returns
    -------
    Tensor
        A single number.

    Examples
    --------
    >>> squared_hinge([[1.0, -1.0], [0.0, 0.0]], [0, 1])
    Tensor(array(0.5, dtype=float32))
    """
    scores, labels = checked_scores("squared_hinge", scores, labels)
    if weight is None:
        return SquaredHinge(labels)(scores)
    rows = class_weights("squared_hinge", weight, scores)[labels]
    return SquaredHinge(labels, rows / rows.sum())(scores)


class CrossEntropy(Function):
    """-mean(log softmax(scores)[label])."""

    def __init__(self, labels):
        self.labels = labels

    def forward(self, scores):  # (B, C)
        xp = array_module(scores)
        self.rows, labels = xp.arange(len(scores)), self.labels
        self.probabilities = p = xp.empty_like(scores)
        losses = xp.empty(len(scores), scores.dtype)
        size = max(1, PART // scores.shape[1]) if xp is np else len(scores)  # rows at a time

        def run(start, stop):
            for i in range(start, stop, size):
                j = min(i + size, stop)
                own = p[i:j]
                xp.subtract(scores[i:j], scores[i:j].max(axis=1, keepdims=True), out=own)
                losses[i:j] = -own[self.rows[: j - i], labels[i:j]]
                xp.exp(own, out=own)
                sums = own.sum(axis=1, keepdims=True)
                losses[i:j] += xp.log(sums[:, 0])
                own /= sums

        if xp is np:
            shared(run, len(scores), 1, scores.size / NUMBERS_PER_NS)
        else:
            run(0, len(scores))
        return losses.mean()

    def backward(self, grad_y):
        factor = grad_y / len(self.rows)
        grad_scores = self.probabilities * factor
        grad_scores[self.rows, self.labels] -= factor
        return grad_scores


def cross_entropy(
    scores: TensorLike, labels: Any, weight: Any = None, label_smoothing: float = 0.0
) -> Tensor:
    """Return the mean cross-entropy between softmax(scores) and the labels.

    Parameters
    ----------
    scores, labels : Tensor or array
        As for `squared_hinge`.
    weight : array, optional
        As for `squared_hinge`; with `label_smoothing` each class counts with its own weight, as in
        PyTorch.
    label_smoothing : float, optional
        e, from 0 to 1: the target is 1 - e + e / C for the correct class and e / C for the others.

    Returns
    -------
    Tensor
        A single number, in nats.

    Examples
    --------
    >>> round(cross_entropy([[0.0, 0.0]], [1]).item(), 4)  # log 2
    0.6931
    """
    scores, labels = checked_scores("cross_entropy", scores, labels)
    if weight is None and label_smoothing == 0:
        return CrossEntropy(labels)(scores)
    return SoftCrossEntropy(soft_targets(scores, labels, weight, label_smoothing))(scores)


def checked_scores(name, scores, labels):
    """Return the checked scores as a Tensor and the labels as an array on their device."""
    scores = as_tensor(scores)
    labels = as_array(labels)
    if scores.ndim != 2 or scores.size == 0 or not scores.is_float:
        kind = getattr(scores.data, "dtype", type(scores.data).__name__)
        raise InputError(
            f"{name}: scores are {kind} of shape {scores.shape}; expected floats of shape (B, C) "
            "with at least one row (a BatchNorm converts integer pre-activations to floats)"
        )
    if labels.shape != scores.shape[:1] or labels.dtype.kind not in "iu":
        raise unfit(name, "scores (B, C) and integer labels (B,)", scores, labels)
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        came = f"{labels.min()} to {labels.max()}"
        raise InputError(f"{name}: labels are {came}; expected 0 to {scores.shape[1] - 1}")
    if not array_module(scores).isfinite(scores.data).all():
        cure = "check the input, or lower the learning rate"
        raise InputError(f"{name}: the scores hold NaN or infinity; {cure}")
    return scores, like(labels, scores)
