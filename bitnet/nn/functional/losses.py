"""Losses on the scores of a classifier."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bitnet.arrays import array_module, as_array, like
from bitnet.autograd import Function, Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, unfit
from bitnet.kernels.threads import shared

PART, NUMBERS_PER_NS = 1 << 15, 0.4  # scores that stay in the cache; on one thread, about


class SquaredHinge(Function):
    """mean(max(0, 1 - t y)^2) with t = +1 for the label's class and -1 for the others."""

    def __init__(self, labels):
        self.labels = labels

    def forward(self, scores):  # (B, C)
        xp = array_module(scores)
        self.targets = xp.where(self.labels[:, None] == xp.arange(scores.shape[1]), 1, -1)
        self.targets = self.targets.astype(scores.dtype)
        self.slack = xp.maximum(0, 1 - self.targets * scores)
        return (self.slack * self.slack).mean()

    def backward(self, grad_y):
        return grad_y * (-2 / self.slack.size) * self.targets * self.slack


def squared_hinge(scores: TensorLike, labels: Any) -> Tensor:
    """Return the mean squared hinge loss, `mean(max(0, 1 - t y)^2)` over batch and classes.

    This is the loss of the papers: t is +1 for the correct class and -1 for the others, and y is
    the output of the last batch norm.

    Parameters
    ----------
    scores : Tensor
        Floats of shape (B, C), one or more rows.
    labels : array
        Integers of shape (B,), from 0 to C - 1.

    Returns
    -------
    Tensor
        A single number.

    Examples
    --------
    >>> squared_hinge([[1.0, -1.0], [0.0, 0.0]], [0, 1])
    Tensor(array(0.5, dtype=float32))
    """
    scores, labels = _check("squared_hinge", scores, labels)
    return SquaredHinge(labels)(scores)


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


def cross_entropy(scores: TensorLike, labels: Any) -> Tensor:
    """Return the mean cross-entropy between softmax(scores) and the labels.

    Parameters
    ----------
    scores, labels : Tensor or array
        As for `squared_hinge`.

    Returns
    -------
    Tensor
        A single number, in nats.

    Examples
    --------
    >>> round(cross_entropy([[0.0, 0.0]], [1]).item(), 4)  # log 2
    0.6931
    """
    scores, labels = _check("cross_entropy", scores, labels)
    return CrossEntropy(labels)(scores)


class Distillation(Function):
    """-T^2 mean(sum_c p log q), p = softmax(teacher_scores / T), q = softmax(scores / T)."""

    def __init__(self, teacher_scores, temperature):
        self.teacher_scores, self.temperature = teacher_scores, temperature

    def forward(self, scores):  # (B, C)
        teacher = self.teacher_scores.astype(scores.dtype, copy=False)
        self.p = array_module(scores).exp(_log_softmax(teacher / self.temperature))
        log_q = _log_softmax(scores / self.temperature)
        self.q = array_module(scores).exp(log_q)
        return -(self.temperature**2) * (self.p * log_q).sum(axis=1).mean()

    def backward(self, grad_y):  # T^2 and the slope 1 / T of scores / T
        return (self.q - self.p) * (grad_y * (self.temperature / len(self.q)))


def _log_softmax(scores):
    """log softmax along the last axis."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    xp = array_module(scores)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


def distillation(
    scores: TensorLike,
    labels: Any,
    teacher_scores: Any,
    temperature: float = 4.0,
    weight: float = 0.5,
    hard: Callable[[TensorLike, Any], Tensor] = cross_entropy,
) -> Tensor:
    """Return a loss on the labels and on the scores of a teacher, such as a float twin.

    `(1 - weight) * hard(scores, labels) + weight * T^2 * H(p, q)`, where H(p, q) is the mean
    cross-entropy `-mean(sum_c p log q)` of `q = softmax(scores / T)` with the teacher's
    `p = softmax(teacher_scores / T)` (Hinton et al., arXiv 1503.02531, section 2); T^2 compensates
    for the gradient of the soft part, which falls with 1 / T^2.  The teacher gets no gradient.

    Parameters
    ----------
    scores, labels : Tensor or array
        As for `squared_hinge`.
    teacher_scores : array
        Floats of shape (B, C).
    temperature : float, optional
        T, above 0.
    weight : float, optional
        The share of the soft part, from 0 to 1.
    hard : callable, optional
        The loss on the labels.

    Returns
    -------
    Tensor
        A single number.

    Examples
    --------
    >>> loss = distillation([[0.0, 0.0]], [1], [[3.0, 3.0]], temperature=2.0)
    >>> round(loss.item(), 4)  # (log 2 + 4 log 2) / 2
    1.7329
    """
    scores, labels = _check("distillation", scores, labels)
    if not 0 < temperature < math.inf or not 0 <= weight <= 1:
        raise InputError(
            f"distillation: temperature is {temperature!r} and weight {weight!r}; expected a "
            "temperature above 0 and a weight from 0 to 1"
        )
    teacher_scores = like(as_tensor(teacher_scores), scores)
    teacher = _check("distillation, the teacher", teacher_scores, labels)[0].data
    if teacher.shape != scores.shape:
        expected = "scores and a teacher's scores of one shape (the same classes)"
        raise unfit("distillation", expected, scores, teacher)
    soft = Distillation(teacher, temperature)(scores)
    return hard(scores, labels) * (1.0 - weight) + soft * float(weight)


def _check(name, scores, labels):
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
