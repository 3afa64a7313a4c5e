"""The loss of multi-label nets: each label of an input is there or not, independent of others."""

from typing import Any

from bitnet.arrays import array_module
from bitnet.autograd import Function, Tensor, TensorLike
from bitnet.errors import InputError
from bitnet.nn.functional.regression import checked_outputs
from bitnet.nn.functional.soft_targets import check_smoothing, class_weights


class BinaryCrossEntropy(Function):
    """mean(p log(1 + e^-y) + n log(1 + e^y)) with the weights p and n (B, K) of yes and no."""

    def __init__(self, yes, no):
        self.yes, self.no = yes, no

    def forward(self, y):  # (B, K)
        xp = array_module(y)
        small = xp.exp(-abs(y))
        self.sigmoid = xp.where(y >= 0, 1, small) / (1 + small)
        rest = xp.log1p(small)
        losses = self.yes * (xp.maximum(-y, 0) + rest) + self.no * (xp.maximum(y, 0) + rest)
        return losses.mean()

    def backward(self, grad_y):
        slopes = (self.yes + self.no) * self.sigmoid - self.yes
        return (grad_y / slopes.size) * slopes


def binary_cross_entropy(
    scores: TensorLike, labels: Any, pos_weight: Any = None, label_smoothing: float = 0.0
) -> Tensor:
    """Return the mean binary cross-entropy between sigmoid(scores) and labels that are 0 or 1.

    Parameters
    ----------
    scores : Tensor
        Floats of shape (B, K), one or more rows; a label is predicted where its score is above 0.
    labels : array
        0 or 1, or booleans, of shape (B, K), or (B,) if K is 1.
    pos_weight : array, optional
        The weight of the rows that have a label, for each label, of shape (K,), 0 or more; such as
        the number of rows without it divided by the number of rows with it.
    label_smoothing : float, optional
        e, from 0 to 1: the target is 1 - e / 2 instead of 1, and e / 2 instead of 0.

    Returns
    -------
    Tensor
        A single number, in nats.

    Examples
    --------
    >>> round(binary_cross_entropy([[0.0, 0.0]], [[1, 0]]).item(), 4)  # log 2
    0.6931
    """
    name = "binary_cross_entropy"
    scores, labels = checked_outputs(name, scores, labels)
    check_smoothing(name, label_smoothing)
    if not ((labels == 0) | (labels == 1)).all():
        raise InputError(f"{name}: a label is neither 0 nor 1; expected booleans, or 0 and 1")
    yes = labels * (1 - label_smoothing) + label_smoothing / 2
    no = 1 - yes
    if pos_weight is not None:
        yes = yes * class_weights(name, pos_weight, scores)
    return BinaryCrossEntropy(*(part.astype(scores.data.dtype, copy=False) for part in (yes, no)))(
        scores
    )
