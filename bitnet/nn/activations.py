"""Activations: k-bit quantizers, the sign, and ReLU for float twins."""

import dataclasses
import math
from typing import Any

import numpy as np

from bitnet.autograd import Tensor
from bitnet.devices import check_generator
from bitnet.errors import InputError
from bitnet.nn import functional
from bitnet.nn.module import Module
from bitnet.quantizers import Quantizer
from bitnet.quantizers.names import elementwise_quantizer_of


class Quantize(Module):
    """k-bit activations, packed in planes, with the straight-through estimator of their quantizer.

    It computes `a_k = quantizer(BatchNorm(s_k))` in Algorithm 1 of the papers.  A number of bits
    selects the quantizer `Uniform`, whose gradients pass where |x| <= 1; one bit is the sign.

    Parameters
    ----------
    quantizer : Quantizer or int
        A quantizer from `bitnet.quantizers`, or the number of bits k, from 1 to 8.

    Attributes
    ----------
    clip_value : float or None
        Gradients pass where |x| <= clip_value; None for a quantizer without one.  Set it during
        training to widen the hard tanh, as the second paper does (section 4.3), or to None to let
        all gradients pass.

    Examples
    --------
    >>> layer = Quantize(2)
    >>> layer([[0.2, -0.5, 3.0]]).data.values()
    array([[ 0.33333334, -0.33333334,  1.        ]], dtype=float32)
    >>> layer.clip_value = 2.0
    >>> layer
    Quantize(Uniform(bits=2, max_value=1.0, clip_value=2.0))
    """

    shown: tuple[str, ...] = ("quantizer",)

    def __init__(self, quantizer: int | str | Quantizer) -> None:
        self.quantizer = elementwise_quantizer_of("Quantize", quantizer)

    def forward(self, x: Tensor) -> Tensor:
        return functional.quantize(x, self.quantizer)

    @property
    def clip_value(self):
        """Gradients pass where |x| <= clip_value; None for a quantizer without one."""
        return getattr(self.quantizer, "clip_value", None)

    @clip_value.setter
    def clip_value(self, clip_value):
        """Gradients pass where |x| <= clip_value; None for a quantizer without one."""
        if self.clip_value is None:
            raise InputError(f"{self!r} has no clip_value to change; Uniform has one")
        clip_value = math.inf if clip_value is None else clip_value
        self.quantizer = dataclasses.replace(self.quantizer, clip_value=clip_value)


class Sign(Module):
    """The sign as packed bits, with the saturated straight-through estimator.

    Parameters
    ----------
    clip_value : float, optional
        Gradients pass where |x| <= clip_value, or everywhere if it is None; it may change in
        training.
    stochastic : bool, optional
        In training, draw the sign at random, +1 with probability clip((x + 1) / 2, 0, 1), as in the
        papers' Torch experiments; evaluation is always deterministic.
    rng : numpy.random.Generator, optional
        The random number generator; required if `stochastic`.

    Examples
    --------
    >>> Sign()([[0.2, -0.2]]).data.signs()
    array([[ 1, -1]], dtype=int8)
    """

    def __init__(
        self,
        clip_value: float | None = 1.0,
        stochastic: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        if stochastic:
            check_generator("Sign", rng)
        self.clip_value, self.stochastic = clip_value, stochastic
        self.rng: Any = rng

    def forward(self, x: Tensor) -> Tensor:
        if self.stochastic and self.training:
            return functional.stochastic_sign(x, self.rng, self.clip_value)
        return functional.sign(x, self.clip_value)

    def __repr__(self):
        drawn = ", stochastic=True" if self.stochastic else ""
        return f"Sign(clip_value={self.clip_value}{drawn})"


class ReLU(Module):
    """The ReLU activation `max(x, 0)`, for the float twin.

    Examples
    --------
    >>> ReLU()([-1.0, 2.0]).data
    array([0., 2.], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x)
