"""Numbers to the codes of a quantizer: steps of one size, and steps from edge to edge."""

import numpy as np

from bitnet.arrays import as_numpy, like
from bitnet.errors import InputError
from bitnet.kernels.dispatch import check_numbers, kernel

__all__ = ["edge_codes", "step_codes"]


def step_codes(x, factor, low, high, nearest=False):
    """Codes of steps of one size: `round(y) - round(low)`, y being x * factor in [low, high].

    A quantizer of the numbers `n * step` has the factor 1 / step.  Everything is computed in
    the type of x, in this order; a NaN counts as `low`.

    Parameters
    ----------
    x : numpy.ndarray
        Floats of shape (..., N).
    factor : float
        Above 0.
    low, high : float
        What y is clipped to, at most 255 apart and at most 2**20 from 0.
    nearest : bool, optional
        Round to the nearest integer, halves to the even one; otherwise down.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (..., N).

    Raises
    ------
    InputError
        If `x` is no floats or the range is wrong.

    Examples
    --------
    >>> step_codes(np.float32([-9.0, -0.1, 0.0, 0.7]), 1.5, -1.5, 1.5)
    array([0, 1, 2, 3], dtype=uint8)
    >>> step_codes(np.float32([-9.0, 0.3, 9.0]), 2.0, -2, 1, nearest=True)
    array([0, 3, 3], dtype=uint8)
    """
    check_numbers("step_codes", x, "f", "floats")
    if not (0 <= high - low <= 255 and max(abs(low), abs(high)) <= 2**20 and factor > 0):
        raise InputError(
            f"step_codes: factor {factor!r}, low {low!r} and high {high!r}; expected a factor "
            "above 0, and low <= high, at most 255 apart"
        )
    factor, low, high = (x.dtype.type(number) for number in (factor, low, high))
    return kernel("step_codes")(x, factor, low, high, bool(nearest))


def edge_codes(x, edges, signed):
    """Codes by edges: how many of them |x| reaches, counted from the middle where signed.

    With L edges the code is c, the number of `|x| >= edge`, where x > 0, and 0 below; where
    signed it is L + c for x > 0 and L - c for x < 0.  A NaN reaches none.

    Parameters
    ----------
    x : numpy.ndarray
        Floats of shape (..., N).
    edges : sequence of float
        At most 127 where signed, otherwise 255, above 0; compared in the type of x.
    signed : bool
        Whether there are codes for numbers below 0.

    Returns
    -------
    numpy.ndarray
        uint8 of shape (..., N).

    Raises
    ------
    InputError
        If `x` is no floats or the edges are wrong.

    Examples
    --------
    >>> edge_codes(np.float32([-9.0, -0.5, 0.0, 0.4, 1.0]), [0.5, 1.0], signed=True)
    array([0, 1, 2, 2, 4], dtype=uint8)
    """
    check_numbers("edge_codes", x, "f", "floats")
    edges = np.array(as_numpy(edges), x.dtype)
    if edges.ndim != 1 or len(edges) > (127 if signed else 255) or not (edges > 0).all():
        raise InputError(
            f"edge_codes: edges {edges!r}; expected at most {127 if signed else 255}, all above 0"
        )
    return kernel("edge_codes")(x, like(edges, x), bool(signed))
