"""Which implementation of the kernels runs, and the checks of arguments that all share."""

import contextlib
import functools
import importlib
import importlib.util

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels.bits import Bits

__all__ = ["implementation", "using"]

MODULES = {"numba": "bitnet.kernels.cpu", "reference": "bitnet.kernels.reference"}

_chosen = None  # a name in MODULES; None until the first kernel call


def implementation():
    """The name of the implementation that the kernels use.

    Returns
    -------
    str
        "numba" where Numba works, otherwise "reference" (NumPy alone, slow).

    Examples
    --------
    >>> with using("reference"):
    ...     implementation()
    'reference'
    """
    global _chosen
    if _chosen is None:
        _chosen = "reference" if numba_problem() else "numba"
    return _chosen


def numba_problem():
    """Why the kernels in Numba cannot be used here, or None where they can."""
    if importlib.util.find_spec("numba") is None:
        return "Numba is not installed; run `pip install numba`"
    try:
        importlib.import_module(MODULES["numba"])
    except ImportError as error:  # as of a Numba that is too old for this NumPy
        return f"Numba cannot be imported ({error})"
    return None


@contextlib.contextmanager
def using(name):
    """Use one implementation inside a `with` block, for the whole process.

    Parameters
    ----------
    name : {"numba", "reference"}
        The implementation.

    Raises
    ------
    InputError
        If there is no such implementation here.

    Examples
    --------
    >>> from bitnet import kernels
    >>> with kernels.using("reference"):
    ...     kernels.pack(np.array([1.0, -1.0])).words
    array([1], dtype=uint64)
    """
    global _chosen
    if name not in MODULES:
        raise InputError(f"kernels.using: no implementation {name!r}; there are {list(MODULES)}")
    if name == "numba" and (problem := numba_problem()):
        raise InputError(f"kernels.using: {problem}")
    before, _chosen = _chosen, name
    try:
        yield
    finally:
        _chosen = before


def kernel(name):
    """The function of this name in the implementation in use."""
    return getattr(_module(_chosen or implementation()), name)


@functools.cache
def _module(chosen):
    """The module of an implementation."""
    return importlib.import_module(MODULES[chosen])


def check_numbers(name, x, kinds="fiub", expected="real numbers"):
    """Refuse what is not an array of numbers (NumPy's kinds) with an axis to pack."""
    if not isinstance(x, np.ndarray):
        raise InputError(f"{name}: got {type(x).__name__}; expected a NumPy array of {expected}")
    narrow = x.dtype.kind == "f" and x.dtype.itemsize not in (4, 8)
    if x.dtype.kind not in kinds or narrow or not x.dtype.isnative or x.ndim == 0:
        raise InputError(
            f"{name}: got {x.dtype} of shape {x.shape}; expected {expected} with at least one axis"
        )


def check_pixels(name, pixels):
    """Refuse what is not an array of 8-bit pixels."""
    check_numbers(name, pixels)
    if pixels.dtype != np.uint8:
        raise InputError(f"{name}: got {pixels.dtype}; expected pixels of type uint8 (0 to 255)")


def check_bits(name, *operands):
    """Refuse what is not packed."""
    for bits in operands:
        if not isinstance(bits, Bits):
            raise InputError(
                f"{name}: got {type(bits).__name__}; expected Bits, which kernels.pack makes"
            )
