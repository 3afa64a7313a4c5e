"""How the kernels are compiled, and for which of three levels of processor.

    avx512    512-bit registers, VPOPCNTDQ (popcounts), BW (16-bit lookups) and VNNI (int8 sums)
    avx2      256-bit registers; popcounts from byte shuffles
    portable  plain loops, correct on any processor and without compilation

A level is a set of kernels, not of flags: at every level LLVM compiles for this processor.
"""

import contextlib
import pathlib

from numba import njit
from numba.core import config
from numba.core.codegen import get_host_cpu_features

from bitnet.errors import InputError

__all__ = ["LEVELS", "inner", "jit", "level", "level_reason", "using_level"]

LEVELS = {
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vpopcntdq", "avx512vnni"},
    "avx2": {"avx2"},
    "portable": set(),
}

# Numba compiles again when the file of a function changes.  Here code comes from other files too,
# the instructions of `emit` and what `inner` makes, so that a change of any of them counts.
SOURCES = sorted(
    (path.name, path.stat().st_mtime_ns, path.stat().st_size)
    for path in pathlib.Path(__file__).parent.glob("*.py")
)

_level = None  # a name in LEVELS; None until it is asked for


def jit(function):
    """Compile at the first call, without checks for division by zero and without Python's lock.

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
    options = {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError:  # Numba finds no folder for its cache
        return njit(**options)(function)
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None:  # None where Numba does not compile
        file._source_stamp = file._source_stamp, SOURCES
    return compiled


def inner(function):
    """As `jit`, for functions that only compiled functions call; Python cannot.

    Parameters
    ----------
    function : callable
        Loops over arrays, in the part of Python that Numba knows.

    Returns
    -------
    callable
        The compiled function; the function itself where Numba does not compile.

    Examples
    --------
    >>> plus_one = inner(lambda x: x + 1)
    >>> jit(lambda x: plus_one(x))(2)
    3
    """
    return njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def _features():
    """The features that Numba compiles for; the variable NUMBA_CPU_FEATURES replaces them."""
    text = config.CPU_FEATURES
    text = get_host_cpu_features() if text is None else text
    return {name[1:] for name in text.split(",") if name.startswith("+")}


def missing(name):
    """What this processor lacks for a level, sorted; of "portable" nothing."""
    if config.DISABLE_JIT and name != "portable":
        return ["compilation (NUMBA_DISABLE_JIT is set)"]
    return sorted(LEVELS[name] - _features())


def level():
    """The level of the kernels in use: the first of `LEVELS` that this processor has.

    Returns
    -------
    str
        "avx512", "avx2" or "portable".

    Examples
    --------
    >>> level() in LEVELS
    True
    """
    global _level
    if _level is None:
        _level = next(name for name in LEVELS if not missing(name))
    return _level


def level_reason():
    """Why `level()` is what it is, in words.

    Returns
    -------
    str
        What the processor has, and what it lacks for the level above.

    Examples
    --------
    >>> with using_level("portable"):
    ...     level_reason()
    'runs everywhere'
    """
    own = level()
    if config.DISABLE_JIT:
        return "not compiled, as NUMBA_DISABLE_JIT is set: for a debugger, hundreds of times slower"
    names = list(LEVELS)
    has = (
        f"the processor has {', '.join(sorted(LEVELS[own]))}" if LEVELS[own] else "runs everywhere"
    )
    above = names[: names.index(own)]
    lacks = missing(above[-1]) if above else []
    return f"{has}; {above[-1]} lacks {', '.join(lacks)}" if lacks else has


@contextlib.contextmanager
def using_level(name):
    """Use the kernels of one level inside a `with` block, for the whole process.

    Parameters
    ----------
    name : {"avx512", "avx2", "portable"}
        The level.

    Raises
    ------
    InputError
        If there is no such level, or the processor lacks what it needs.

    Examples
    --------
    >>> with using_level("portable"):
    ...     level()
    'portable'
    """
    global _level
    if name not in LEVELS:
        raise InputError(f"using_level: no level {name!r}; there are {list(LEVELS)}")
    if lacks := missing(name):
        raise InputError(f"using_level: {name} needs {', '.join(lacks)}, which is not there")
    before, _level = _level, name
    try:
        yield
    finally:
        _level = before
