"""Cross-entropy with soft targets: several classes per row, each with its share."""

from bitnet.arrays import array_module, as_array, like
from bitnet.autograd import Function
from bitnet.errors import InputError, unfit


class SoftCrossEntropy(Function):
    """-sum(t log softmax(scores)) with targets t (B, C), which need not sum to 1."""

    def __init__(self, targets):
        self.targets = targets

    def forward(self, scores):  # (B, C)
        log_q = _log_softmax(scores)
        self.q = array_module(scores).exp(log_q)
        return -(self.targets * log_q).sum()

    def backward(self, grad_y):
        return grad_y * (self.q * self.targets.sum(axis=1, keepdims=True) - self.targets)


def softmax(scores):
    """Return softmax along the last axis."""
    return array_module(scores).exp(_log_softmax(scores))


def _log_softmax(scores):
    """Return log softmax along the last axis."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    xp = array_module(scores)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


def soft_targets(scores, labels, weight, label_smoothing):
    """Return the targets (B, C) of a cross-entropy with weights per class or smoothed labels."""
    check_smoothing("cross_entropy", label_smoothing)
    xp, n_classes = array_module(scores.data), scores.shape[1]
    is_own = labels[:, None] == xp.arange(n_classes)
    targets = is_own * (1 - label_smoothing) + label_smoothing / n_classes
    rows = len(labels)
    if weight is not None:
        weights = class_weights("cross_entropy", weight, scores)
        targets, rows = targets * weights, weights[labels].sum()
    return (targets / rows).astype(scores.data.dtype)


def check_smoothing(name, label_smoothing):
    """Refuse a label smoothing that is not from 0 to 1."""
    if not isinstance(label_smoothing, (int, float)) or not 0 <= label_smoothing <= 1:
        came = f"label_smoothing is {label_smoothing!r:.40}"
        raise InputError(f"{name}: {came}; expected a number from 0 to 1")


def class_weights(name, weight, scores):
    """Return checked weights (C,) in the type and on the device of scores (B, C)."""
    weight = as_array(weight)
    if weight.shape != scores.shape[1:] or weight.dtype.kind not in "iuf":
        raise unfit(name, f"one weight for each of {scores.shape[1]} classes", weight)
    if not (array_module(weight).isfinite(weight) & (weight >= 0)).all() or not weight.sum() > 0:
        raise InputError(f"{name}: a weight is below 0 or not finite, or all are 0; change them")
    return like(weight, scores).astype(scores.data.dtype, copy=False)
