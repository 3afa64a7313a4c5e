"""Distillation: a loss on the labels and on the scores of a teacher."""

import math
from collections.abc import Callable
from typing import Any

from bitnet.arrays import like
from bitnet.autograd import Tensor, TensorLike, as_tensor
from bitnet.errors import InputError, unfit
from bitnet.nn.functional.losses import checked_scores, cross_entropy
from bitnet.nn.functional.soft_targets import SoftCrossEntropy, softmax


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
    scores, labels = checked_scores("distillation", scores, labels)
    if not 0 < temperature < math.inf or not 0 <= weight <= 1:
        raise InputError(
            f"distillation: temperature is {temperature!r} and weight {weight!r}; expected a "
            "temperature above 0 and a weight from 0 to 1"
        )
    teacher_scores = like(as_tensor(teacher_scores), scores)
    teacher = checked_scores("distillation, the teacher", teacher_scores, labels)[0].data
    if teacher.shape != scores.shape:
        expected = "scores and a teacher's scores of one shape (the same classes)"
        raise unfit("distillation", expected, scores, teacher)
    targets = softmax(teacher.astype(scores.data.dtype, copy=False) / temperature)
    targets *= temperature**2 / len(targets)
    soft = SoftCrossEntropy(targets)(scores * (1 / temperature))
    return hard(scores, labels) * (1.0 - weight) + soft * float(weight)
