"""Shift-based batch normalization as a layer, and the norms by name."""

from typing import Any

from bitnet import kernels
from bitnet.autograd import Tensor
from bitnet.errors import check_choice
from bitnet.nn import functional
from bitnet.nn.functional.shift import SHIFT_VARIANTS
from bitnet.nn.norm import BatchNorm


class ShiftBatchNorm(BatchNorm):
    """Batch normalization whose scales are powers of two, so that scaling is shifting.

    Training uses `functional.shift_batch_norm`, Algorithm 2 of arXiv 1602.02830 (version 2) and
    1609.07061.  Evaluation computes, as in the authors' code,
    `(x - mean) * (AP2(inv_std) * AP2(gamma)) + beta` with the averages of the mean and of the
    unrounded inverse standard deviation, which are computed as in `BatchNorm`.

    Parameters
    ----------
    num_features : int
        The size C of the last axis, 1 or more.
    variant : {"paper", "code"}, optional
        The backward pass, see `functional.shift_batch_norm`.
    eps, momentum, lr_scale : float, optional
        As for `BatchNorm`, with the defaults of the authors' code.

    Examples
    --------
    >>> import numpy as np
    >>> norm = ShiftBatchNorm(1)
    >>> norm(np.array([[1], [7]], np.int32)).data.ravel()  # variance 3 * 4, gamma 1
    array([-0.75,  0.75], dtype=float32)
    >>> norm.eval().affine()[1]
    array([0.25], dtype=float32)
    """

    shown: tuple[str, ...] = ("num_features", "variant")

    def __init__(
        self,
        num_features: int,
        variant: str = "paper",
        eps: float = 1e-5,
        momentum: float = 0.125,
        lr_scale: float = 1.0,
    ) -> None:
        check_choice("ShiftBatchNorm", SHIFT_VARIANTS, variant=variant)
        super().__init__(num_features, eps, momentum, lr_scale)
        self.variant = variant

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            scale = kernels.ap2(self.running_inv_std)
            gamma = functional.ap2(self.gamma)
            return functional.normalize(x, gamma, self.beta, self.running_mean, scale)
        more = self.in_training() | {"variant": self.variant}
        y = functional.shift_batch_norm(x, self.gamma, self.beta, **more)
        self.batches += 1
        return y

    def affine(self) -> tuple[Any, Any, Any]:
        scale = kernels.ap2(self.gamma.data) * kernels.ap2(self.running_inv_std)
        return self.running_mean, scale, self.beta.data


NORMS = {
    "batch": (BatchNorm, {}),
    "shift": (ShiftBatchNorm, {"variant": "paper"}),
    "shift-code": (ShiftBatchNorm, {"variant": "code"}),
}


def norm_named(name, num_features, lr_scale=1.0):
    """Return the norm with a name in `NORMS`."""
    check_choice(None, NORMS, norm=name)
    kind, options = NORMS[name]
    return kind(num_features, **options, lr_scale=lr_scale)
