"""Selection of the kernels' implementation, and argument checks that all kernels share.

The operands decide.  CuPy arrays go to `bitnet.kernels.cuda`, or, if there is no such kernel, to
the definition in `reference`, which accepts arrays of both libraries.  NumPy arrays go to the
implementation in use.
"""

import contextlib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterator

import numpy as np

from bitnet.arrays import array_module, check_one_device, is_array
from bitnet.errors import InputError, check_choice, unfit
from bitnet.kernels.bits import Bits

MODULES = {"numba": "bitnet.kernels.cpu", "cuda": "bitnet.kernels.cuda", "reference": None}

_chosen = None  # a name in MODULES; None until the first kernel call


def implementation() -> str:
    """Return the name of the implementation that the kernels use for NumPy arrays.

    Returns
    -------
    str
        "numba" where Numba works, otherwise "reference" (slow).  With "numba", CuPy arrays go to
        "cuda"; with "reference" they go to "reference" too.

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


def numba_problem(name="numba"):
    """Return why the Numba kernels cannot be used here, or None if they can."""
    if importlib.util.find_spec("numba") is None:
        return "Numba is not installed; run `pip install numba`"
    try:
        importlib.import_module(MODULES[name])
    except ImportError as error:  # such as a Numba that is too old for this NumPy
        return f"Numba cannot be imported ({error})"
    return None


@contextlib.contextmanager
def using(name: str) -> Iterator[None]:
    """Use one implementation inside a `with` block, for the whole process.

    Parameters
    ----------
    name : {"numba", "reference", "cuda"}
        "numba" includes "cuda" for CuPy arrays; "reference" accepts both kinds of arrays; "cuda"
        accepts NumPy arrays only in Numba's simulator.

    Examples
    --------
    >>> from bitnet import kernels
    >>> with kernels.using("reference"):
    ...     kernels.pack(np.array([1.0, -1.0])).words
    array([1], dtype=uint64)
    """
    global _chosen
    check_choice("kernels.using", MODULES, name=name)
    if name != "reference" and (problem := numba_problem(name)):
        raise InputError(f"kernels.using: {problem}")
    before, _chosen = _chosen, name
    try:
        yield
    finally:
        _chosen = before


def program():
    """Return the module that computes whole frozen nets, or None without Numba."""
    if numba_problem():
        return None
    return importlib.import_module(f"{MODULES['numba']}.program")


def kernel(definition):
    """Return the implementation in use of `definition`, a function of `reference`."""
    chosen = _chosen or implementation()
    if chosen != "cuda" and "cupy" in sys.modules:
        return functools.partial(_by_operands, chosen, definition)
    return _function(chosen, definition)


def _by_operands(chosen, definition, *operands):
    """Call the kernel of a definition for the device of the operands."""
    lists = (x for x in operands if isinstance(x, (list, tuple)))  # such as moments
    every = (*operands, *(x for own in lists for x in own))
    arrays = [x for x in every if is_array(getattr(x, "_held", x))]
    check_one_device(definition.__name__, arrays)
    on_gpu = chosen == "numba" and array_module(*arrays) is not np
    return _function("cuda" if on_gpu else chosen, definition)(*operands)


@functools.cache
def _function(chosen, definition):
    """Return the function of the same name in an implementation, or else the definition."""
    if chosen == "reference":
        return definition
    try:
        found = importlib.import_module(MODULES[chosen]).find(definition.__name__)
    except ImportError as error:  # such as CuPy arrays without numba-cuda
        raise InputError(f"{definition.__name__}: {error}; see `bitnet status`") from None
    return found or definition


def check_numbers(name, x, kinds="fiub", expected="real numbers"):
    """Reject anything but an array of numbers, of NumPy's `kinds`, with at least one axis."""
    plain = type(x) is np.ndarray  # asked first, as the import of numpy.ma takes 8 ms
    if not is_array(x) or (not plain and isinstance(x, (np.matrix, np.ma.MaskedArray))):
        raise InputError(f"{name}: got {type(x).__name__}; expected a NumPy array of {expected}")
    narrow = x.dtype.kind == "f" and x.dtype.itemsize not in (4, 8)
    if x.dtype.kind not in kinds or narrow or not x.dtype.isnative or x.ndim == 0:
        raise unfit(name, f"{expected} with at least one axis", x)


def check_pixels(name, pixels):
    """Reject anything but an array of 8-bit pixels."""
    check_numbers(name, pixels)
    if pixels.dtype != np.uint8:
        raise InputError(f"{name}: got {pixels.dtype}; expected pixels of type uint8 (0 to 255)")


def check_bits(name, *operands):
    """Reject operands that are not Bits."""
    for bits in operands:
        if not isinstance(bits, Bits):
            raise InputError(f"{name}: got {type(bits).__name__}; expected Bits (kernels.pack)")
