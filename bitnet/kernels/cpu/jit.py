"""How the kernels are compiled: by Numba, kept between processes where there is a place for it."""

from numba import njit

__all__ = ["jit"]


def jit(function):
    """Compile at the first call, without checks for division by zero.

    Parameters
    ----------
    function : callable
        Loops over arrays, in the part of Python that Numba knows.

    Returns
    -------
    callable
        The compiled function.  The machine code is cached in a file; where no folder can be
        written, as in a container without a home, each process compiles anew.

    Examples
    --------
    >>> jit(lambda x: x + 1)(2)
    3
    """
    try:
        return njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # Numba finds no folder for its cache
        return njit(error_model="numpy")(function)
