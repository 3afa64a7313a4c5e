"""Grouped convolutions: the channels in groups, each with filters of its own."""

import numpy as np

from bitnet.arrays import array_module
from bitnet.errors import InputError
from bitnet.kernels.bits import Bits, Planes
from bitnet.kernels.operands import Thresholds
from bitnet.kernels.packing import pack
from bitnet.kernels.products import prepare

__all__ = ["channels", "check_groups", "filters", "thresholds"]


def check_groups(name, n, m, groups):
    """The channels of a group, of n channels of images and m filters.

    Parameters
    ----------
    name : str
        Who asks.
    n, m : int
        Channels of the images, and filters.
    groups : int
        Groups, which divide both.

    Returns
    -------
    int
        n / groups.

    Raises
    ------
    InputError
        If they do not.

    Examples
    --------
    >>> check_groups("convolution", 96, 256, 2)
    48
    """
    whole = isinstance(groups, (int, np.integer)) and groups >= 1
    if not whole or n % groups or m % groups:
        raise InputError(
            f"{name}: groups is {groups!r} for {n} channels and {m} filters; expected a whole "
            "number that divides both"
        )
    return n // int(groups)


def channels(x, groups):
    """The images of each group of channels.

    Parameters
    ----------
    x : Bits or Planes or numpy.ndarray
        Shape (..., C).
    groups : int
        Divides C.

    Returns
    -------
    list of Bits, of Planes or of numpy.ndarray
        `groups` of shape (..., C / groups).

    Examples
    --------
    >>> [part.signs().ravel().tolist() for part in channels(pack(np.array([[1, 2, -3, 4]])), 2)]
    [[1, 1], [-1, 1]]
    """
    if isinstance(x, Planes):
        return [x.with_bits(bits) for bits in channels(x.bits, groups)]
    xp = array_module(x)
    if not isinstance(x, Bits):
        return [xp.ascontiguousarray(part) for part in xp.split(x, groups, axis=-1)]
    n = x.shape[-1] // groups
    if n % 64 == 0:
        parts = xp.split(x.words, groups, axis=-1)
        return [Bits(xp.ascontiguousarray(part), (*x.shape[:-1], n)) for part in parts]
    return [pack(xp.ascontiguousarray(part)) for part in xp.split(x.signs(), groups, axis=-1)]


def filters(weight, groups):
    """The filters of each group, which keep their layouts where the weight keeps its own.

    Parameters
    ----------
    weight : Bits or Planes
        Shape (M, rows, columns, C).
    groups : int
        Divides M.

    Returns
    -------
    list of Bits or of Planes
        `groups` of shape (M / groups, rows, columns, C).

    Examples
    --------
    >>> [len(part) for part in filters(pack(np.ones((6, 1, 1, 2))), 3)]
    [2, 2, 2]
    """
    kept = weight.layouts if weight.layouts is not None else {}
    if ("groups", groups) not in kept:
        step = len(weight) // groups
        slices = [slice(i * step, (i + 1) * step) for i in range(groups)]
        if isinstance(weight, Planes):
            parts = [weight.with_bits(weight.bits[:, own]) for own in slices]
        else:
            parts = [weight[own] for own in slices]
        kept["groups", groups] = parts if weight.layouts is None else [*map(prepare, parts)]
    return kept["groups", groups]


def thresholds(steps, groups):
    """The thresholds of each group of channels, kept beside the whole.

    Parameters
    ----------
    steps : Thresholds
        Of M channels.
    groups : int
        Divides M.

    Returns
    -------
    list of Thresholds
        `groups` of M / groups channels.

    Examples
    --------
    >>> steps = Thresholds(np.arange(4, dtype=np.int32), np.ones(4, bool))
    >>> [len(part) for part in thresholds(steps, 2)]
    [2, 2]
    """
    if ("groups", groups) not in steps.limits:
        split = array_module(steps).split
        pairs = zip(split(steps.values, groups), split(steps.rising, groups), strict=True)
        steps.limits["groups", groups] = [Thresholds(*pair) for pair in pairs]
    return steps.limits["groups", groups]
