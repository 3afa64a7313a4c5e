"""The dropout layer."""

import numpy as np

from bitnet.autograd import Tensor
from bitnet.devices import check_generator
from bitnet.errors import InputError
from bitnet.nn import functional
from bitnet.nn.module import Module


class Dropout(Module):
    """Dropout in training, the identity in evaluation; signs and pixels stay packed.

    Parameters
    ----------
    p : float
        The probability of dropping an element, from 0 to below 1.
    rng : numpy.random.Generator
        The random number generator.

    Examples
    --------
    >>> import numpy as np
    >>> Dropout(0.5, rng=np.random.default_rng(0)).eval()([1.0, 2.0]).data
    array([1., 2.], dtype=float32)
    """

    shown: tuple[str, ...] = ("p",)

    def __init__(self, p: float, *, rng: np.random.Generator) -> None:
        if not 0 <= p < 1:
            raise InputError(f"Dropout: p is {p!r}; expected a probability from 0 to below 1")
        check_generator("Dropout", rng)
        self.p, self.rng = p, rng

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements in training."""
        return functional.dropout(x, self.p, self.rng) if self.training and self.p else x
