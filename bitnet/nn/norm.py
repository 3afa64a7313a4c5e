"""Shift-based batch normalization as a layer, and the norms of a net by name."""

from bitnet import kernels
from bitnet.errors import InputError
from bitnet.nn import functional
from bitnet.nn.functional.shift_norm import SHIFT_VARIANTS
from bitnet.nn.linear import BatchNorm


class ShiftBatchNorm(BatchNorm):
    """Batch normalization in which every scale is a power of two, so that scaling is shifting.

    In training `functional.shift_batch_norm`, Algorithm 2 of arXiv 1602.02830 (version 2) and
    1609.07061.  In evaluation, as in the authors' code,
    `(x - mean) * (AP2(inv_std) * AP2(gamma)) + beta` with the averages of the mean and of the
    unrounded inverse standard deviation.  The first `1 / momentum` batches are averaged plainly,
    as by `BatchNorm` (the code starts from 0 and 1 instead).

    Parameters
    ----------
    features : int
        The size C of the last axis, 1 or more.
    variant : {"paper", "code"}, optional
        The backward pass, see `functional.shift_batch_norm`.
    eps : float, optional
        Added to the variance, 1e-5.
    momentum : float, optional
        The share of a new batch in the averages, 2^-3; above 0, at most 1.
    step_scale : float, optional
        What the learning rate is multiplied with for gamma and beta, 1.

    Examples
    --------
    >>> import numpy as np
    >>> norm = ShiftBatchNorm(1)
    >>> norm(np.array([[1], [7]], np.int32)).data  # variance 3 * 4, gamma 1
    array([[-0.75],
           [ 0.75]], dtype=float32)
    >>> norm.eval().affine()[1]
    array([0.25], dtype=float32)
    """

    def __init__(self, features, variant="paper", eps=1e-5, momentum=0.125, step_scale=1.0):
        if variant not in SHIFT_VARIANTS:
            raise InputError(
                f"ShiftBatchNorm: variant is {variant!r}; expected one of "
                f"{', '.join(SHIFT_VARIANTS)}"
            )
        super().__init__(features, eps, momentum, step_scale)
        self.variant = variant

    def forward(self, x):
        if not self.training:
            scale = kernels.ap2(self.running_inv_std)
            gamma = functional.ap2(self.gamma)
            return functional.normalize(x, gamma, self.beta, self.running_mean, scale)
        y = functional.shift_batch_norm(x, *self._in_training(), variant=self.variant)
        self.batches += 1
        return y

    def affine(self):
        scale = kernels.ap2(self.gamma.data) * kernels.ap2(self.running_inv_std)
        return self.running_mean, scale, self.beta.data

    def __repr__(self):
        return f"ShiftBatchNorm({self.features}, {self.variant!r})"


NORMS = {
    "batch": (BatchNorm, {}),
    "shift": (ShiftBatchNorm, {"variant": "paper"}),
    "shift-code": (ShiftBatchNorm, {"variant": "code"}),
}


def norm_named(name, features, step_scale=1.0):
    """The norm of a name."""
    if name not in NORMS:
        raise InputError(f"norm is {name!r:.40}; expected one of {', '.join(NORMS)}")
    kind, options = NORMS[name]
    return kind(features, **options, step_scale=step_scale)
