"""Batch norm fused with the sign, as a layer."""

import numpy as np

from bitnet.autograd import Tensor
from bitnet.autograd.tensor import is_recording
from bitnet.nn import functional
from bitnet.nn.module import Module


class BatchNormSign(Module):
    """A batch norm fused with the sign after it; for integers, one pass that stores no floats.

    `Sequential` fuses the two layers where a sign follows a batch norm.
    """

    def __init__(self, norm, sign):
        self.norm, self.sign, self.training = norm, sign, norm.training

    def forward(self, x: Tensor) -> Tensor:
        norm, sign = self.norm, self.sign
        integers = getattr(x.data, "dtype", None) == np.int32
        if not integers or (not norm.training and is_recording()):
            return sign(norm(x))
        if not norm.training:
            statistics = norm.running_mean, norm.running_inv_std
            return functional.normalize_sign(x, norm.gamma, norm.beta, *statistics)
        more = norm.in_training() | {"clip_value": sign.clip_value}
        y = functional.batch_norm_sign(x, norm.gamma, norm.beta, **more)
        norm.batches += 1
        return y
