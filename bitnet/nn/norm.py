"""Batch normalization as a layer."""

import math
from typing import Any

import numpy as np

from bitnet.autograd import Parameter, Tensor
from bitnet.errors import InputError, check_count
from bitnet.nn import functional
from bitnet.nn.module import Module


class BatchNorm(Module):
    """Batch normalization over all axes but the last, on floats or integer pre-activations.

    Training uses the statistics of the batch and averages them; evaluation uses the averages.  As
    in the papers' code, the inverse standard deviation is averaged, not the variance.  The first
    `1 / momentum` batches have equal weights, so that no average contains an initial value.
    Batches of a few rows cannot spoil them, see `functional.batch_norm`.

    Parameters
    ----------
    num_features : int
        The size C of the last axis, 1 or more.
    eps : float, optional
        Added to the variance.
    momentum : float, optional
        The weight of a new batch in the averages; above 0 and at most 1.
    lr_scale : float, optional
        The factor of the learning rate for gamma and beta.

    Examples
    --------
    >>> norm = BatchNorm(1)
    >>> norm(np.array([[1], [3]], np.int32)).data.round(3).ravel()
    array([-1.,  1.], dtype=float32)
    >>> norm.eval()([[2.0]]).data
    array([[0.]], dtype=float32)
    """

    shown: tuple[str, ...] = ("num_features",)

    def __init__(
        self, num_features: int, eps: float = 1e-4, momentum: float = 0.1, lr_scale: float = 1.0
    ) -> None:
        check_count(type(self).__name__, num_features=num_features)
        if not 0 < momentum <= 1 or not 0 < eps < math.inf:
            raise InputError(
                f"{type(self).__name__}: eps is {eps!r} and momentum {momentum!r}; expected eps "
                "above 0 and momentum above 0, at most 1"
            )
        self.num_features, self.eps, self.momentum = int(num_features), eps, momentum
        self.gamma = Parameter(np.ones(num_features, np.float32), lr_scale=lr_scale)
        self.beta = Parameter(np.zeros(num_features, np.float32), lr_scale=lr_scale)
        self.running_mean = np.zeros(num_features, np.float32)
        self.running_inv_std = np.ones(num_features, np.float32)
        self.batches = np.zeros((), np.int64)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            statistics = self.running_mean, self.running_inv_std
            return functional.normalize(x, self.gamma, self.beta, *statistics)
        y = functional.batch_norm(x, self.gamma, self.beta, **self.in_training())
        self.batches += 1
        return y

    def affine(self) -> tuple[Any, Any, Any]:
        """Return mean, scale and shift (C,): evaluation is `(x - mean) * scale + shift`."""
        return self.running_mean, self.gamma.data * self.running_inv_std, self.beta.data

    def in_training(self) -> dict[str, Any]:
        """Return the arguments after x, gamma and beta, with the momentum of this batch."""
        running = self.running_mean, self.running_inv_std
        momentum = max(self.momentum, 1 / (int(self.batches) + 1))
        return {"eps": self.eps, "running": running, "momentum": momentum}
