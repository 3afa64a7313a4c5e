"""Activations of a few bits: the layer that puts a quantizer behind a batch norm."""

import dataclasses
import math

import numpy as np

from bitnet import functions
from bitnet.errors import InputError
from bitnet.module import Module
from bitnet.quantizers import Quantizer, Uniform

__all__ = ["Quantize"]


class Quantize(Module):
    """Activations of k bits, in planes, with the straight-through estimator of their quantizer.

    With a number of bits the quantizer is `Uniform`, whose gradients pass where |x| <= 1, and
    with 1 it is the sign: `a_k = quantizer(BatchNorm(s_k))` in Algorithm 1 of the papers.

    Parameters
    ----------
    quantizer : Quantizer or int
        See `bitnet.quantizers`; or k, from 1 to 8.

    Attributes
    ----------
    quantizer : Quantizer
        In use.
    window : float
        Where gradients pass, of a quantizer that has a window, otherwise None; may be changed
        during training, as the second paper widens its hard tanh (section 4.3), and None then
        lets all pass.

    Raises
    ------
    InputError
        If there is no such quantizer, or a window is set of one that has none.

    Examples
    --------
    >>> layer = Quantize(2)
    >>> layer([[0.2, -0.5, 3.0]]).data.values()
    array([[ 0.33333334, -0.33333334,  1.        ]], dtype=float32)
    >>> layer.window = 2.0
    >>> layer
    Quantize(Uniform(bits_of_code=2, bound=1.0, window=2.0))
    """

    def __init__(self, quantizer):
        if isinstance(quantizer, (int, np.integer)) and not isinstance(quantizer, bool):
            quantizer = Uniform(quantizer)
        if not isinstance(quantizer, Quantizer):
            raise InputError(
                f"Quantize: got {quantizer!r}; expected bits from 1 to 8, or a quantizer"
            )
        self.quantizer = quantizer

    def forward(self, x):
        return functions.quantize(x, self.quantizer)

    @property
    def window(self):
        """Where gradients pass; None of a quantizer without a window."""
        return getattr(self.quantizer, "window", None)

    @window.setter
    def window(self, window):
        if self.window is None:
            raise InputError(f"{self!r} has no window to change; Uniform has one")
        window = math.inf if window is None else window
        self.quantizer = dataclasses.replace(self.quantizer, window=window)

    def __repr__(self):
        return f"Quantize({self.quantizer!r})"
