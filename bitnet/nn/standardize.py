"""The ends of a net that takes or returns numbers in their own units, with fixed statistics."""

from typing import Any

import numpy as np

from bitnet.autograd import Tensor
from bitnet.errors import InputError, check_count, unfit
from bitnet.nn import functional
from bitnet.nn.module import Module
from bitnet.quantizers import Uniform

RANGE = 4.0  # standard deviations on each side of the mean


class _Statistics(Module):
    """The base of layers with the mean and deviation of each number of the last axis."""

    shown: tuple[str, ...] = ("num_features",)

    def __init__(self, num_features: int) -> None:
        check_count(type(self).__name__, num_features=num_features)
        self.num_features = int(num_features)
        self.mean = np.zeros(self.num_features, np.float32)
        self.std = np.ones(self.num_features, np.float32)

    def fit(self, data: Any) -> None:
        """Take the mean and deviation of data (..., num_features); a deviation of 0 becomes 1."""
        data = np.asarray(data)
        if data.ndim < 2 or not len(data) or data.shape[-1] != self.num_features:
            raise unfit(repr(self), f"data (..., {self.num_features}) with one row or more", data)
        rows = data.reshape(-1, self.num_features)
        with np.errstate(over="ignore"):
            mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
            std = rows.std(axis=0, dtype=np.float64).astype(np.float32)
        if not (np.isfinite(mean) & np.isfinite(std)).all():
            raise InputError(f"{self!r}: the data hold NaN, infinity or too large numbers")
        smallest = np.finfo(np.float32).tiny
        self.mean[...], self.std[...] = mean, np.where(std > smallest, std, 1)

    def check(self, x):
        """Refuse an input with another number of features."""
        if not x.ndim or x.shape[-1] != self.num_features:
            raise unfit(repr(self), f"an input (..., {self.num_features})", x)


class Standardize(_Statistics):
    """Numbers in their own units as numbers with mean 0 and deviation 1, at the start of a net.

    `(x - mean) / std`; with `bits` the result is quantized to 2^bits values from -4 to 4, so that
    the first product of the net is one of bits.  Call `fit` with the training data first; the
    statistics are not trained.

    Parameters
    ----------
    num_features : int
        The size C of the last axis.
    bits : int, optional
        The number of bits, from 1 to 8; default: floats.

    Attributes
    ----------
    mean, std : numpy.ndarray
        float32 of shape (C,), at first 0 and 1.

    Examples
    --------
    >>> layer = Standardize(1)
    >>> layer.fit([[100.0], [300.0]])
    >>> layer([[300.0], [250.0]]).data.ravel()
    array([1. , 0.5], dtype=float32)
    """

    def __init__(self, num_features: int, bits: int | None = None) -> None:
        super().__init__(num_features)
        if bits is not None:
            check_count("Standardize", bits=bits, most=8)
        self.bits = bits
        self.quantizer = None if bits is None else Uniform(int(bits), RANGE)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        x = (x - self.mean) / self.std
        return x if self.quantizer is None else functional.quantize(x, self.quantizer)


class Rescale(_Statistics):
    """Numbers with mean 0 and deviation 1 in their own units, at the end of a net.

    `x * std + mean`, the inverse of `Standardize`.  Call `fit` with the training targets first.

    Parameters
    ----------
    num_features : int
        The size C of the last axis.

    Attributes
    ----------
    mean, std : numpy.ndarray
        float32 of shape (C,), at first 0 and 1.

    Examples
    --------
    >>> layer = Rescale(1)
    >>> layer.fit([[100.0], [300.0]])
    >>> layer([[1.0], [0.5]]).data.ravel()
    array([300., 250.], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return x * self.std + self.mean
