"""Grouped convolutions: the channels in groups, each with filters of its own."""

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels.bits import Bits
from bitnet.kernels.operands import Thresholds
from bitnet.kernels.packing import concatenate, pack
from bitnet.kernels.products import prepare

__all__ = ["channels", "check_groups", "filters", "joined", "thresholds"]


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
    x : Bits or numpy.ndarray
        Shape (..., C).
    groups : int
        Divides C.

    Returns
    -------
    list of Bits or of numpy.ndarray
        `groups` of shape (..., C / groups).

    Examples
    --------
    >>> [part.signs().ravel().tolist() for part in channels(pack(np.array([[1, 2, -3, 4]])), 2)]
    [[1, 1], [-1, 1]]
    """
    if not isinstance(x, Bits):
        return [np.ascontiguousarray(part) for part in np.split(x, groups, axis=-1)]
    n = x.shape[-1] // groups
    if n % 64 == 0:
        parts = np.split(x.words, groups, axis=-1)
        return [Bits(np.ascontiguousarray(part), (*x.shape[:-1], n)) for part in parts]
    return [pack(np.ascontiguousarray(part)) for part in np.split(x.signs(), groups, axis=-1)]


def joined(parts):
    """The channels of several images side by side, the inverse of `channels`.

    Parameters
    ----------
    parts : list of Bits or of numpy.ndarray
        Shapes (..., C), of the same C.

    Returns
    -------
    Bits or numpy.ndarray
        Shape (..., C in all).

    Examples
    --------
    >>> x = pack(np.array([[1, 2, -3, 4]]))
    >>> joined(channels(x, 2)) == x
    True
    """
    return concatenate(parts)


def filters(weight, groups):
    """The filters of each group, which keep their layouts where the weight keeps its own.

    Parameters
    ----------
    weight : Bits
        Shape (M, rows, columns, C).
    groups : int
        Divides M.

    Returns
    -------
    list of Bits
        `groups` of shape (M / groups, rows, columns, C).

    Examples
    --------
    >>> [len(part) for part in filters(pack(np.ones((6, 1, 1, 2))), 3)]
    [2, 2, 2]
    """
    kept = weight.layouts if weight.layouts is not None else {}
    if ("groups", groups) not in kept:
        step = len(weight) // groups
        parts = [weight[i * step : (i + 1) * step] for i in range(groups)]
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
        pairs = zip(np.split(steps.values, groups), np.split(steps.rising, groups), strict=True)
        steps.limits["groups", groups] = [Thresholds(*pair) for pair in pairs]
    return steps.limits["groups", groups]
