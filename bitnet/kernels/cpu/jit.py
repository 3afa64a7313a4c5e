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

from bitnet.errors import InputError, check_choice

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


def jit(function, name=None):
    """Compile loops at their first call, without checks for division by zero and without the GIL.

    The machine code is cached in a file; where no folder can be written, as in a container without
    a home, each process compiles anew.  A function that a maker makes, once for each of several
    routines, needs a name of its own: the routines are in its closure, and Numba's key of the
    cache, which hashes a closure, is another one for a routine in each process.
    """
    options = {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
    if name is not None:
        function.__name__ = function.__qualname__ = name
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError:  # Numba finds no folder for its cache
        return njit(**options)(function)
    cache = getattr(compiled, "_cache", None)
    file = getattr(cache, "_cache_file", None)
    if file is not None:  # None where Numba does not compile
        file._source_stamp = file._source_stamp, SOURCES
        if name is not None:
            cache._index_key = lambda signature, codegen: (signature, codegen.magic_tuple())
    return compiled


def inner(function):
    """Compile as `jit` does, for functions that only compiled functions call."""
    return njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def _features():
    """Return the features that Numba compiles for; NUMBA_CPU_FEATURES replaces them."""
    text = config.CPU_FEATURES
    text = get_host_cpu_features() if text is None else text
    return {name[1:] for name in text.split(",") if name.startswith("+")}


def missing(name):
    """Return what this processor lacks for a level, sorted; nothing for "portable"."""
    if config.DISABLE_JIT and name != "portable":
        return ["compilation (NUMBA_DISABLE_JIT is set)"]
    return sorted(LEVELS[name] - _features())


def level():
    """Return the level of the kernels in use: the first of `LEVELS` that this processor has."""
    global _level
    if _level is None:
        _level = next(name for name in LEVELS if not missing(name))
    return _level


def level_reason():
    """Say why `level()` is what it is: what the processor has, and lacks for the level above."""
    own = level()
    if config.DISABLE_JIT:
        return "not compiled, as NUMBA_DISABLE_JIT is set: for a debugger, hundreds of times slower"
    names, needs = list(LEVELS), ", ".join(sorted(LEVELS[own]))
    has = f"the processor has {needs}" if needs else "runs everywhere"
    above = names[: names.index(own)]
    lacks = missing(above[-1]) if above else []
    return f"{has}; {above[-1]} lacks {', '.join(lacks)}" if lacks else has


@contextlib.contextmanager
def using_level(name):
    """Use the kernels of one level, "avx512", "avx2" or "portable", in a `with` block.

    The level holds for the whole process.  InputError if the processor lacks what it needs.
    """
    global _level
    check_choice("using_level", LEVELS, name=name)
    if lacks := missing(name):
        raise InputError(f"using_level: {name} needs {', '.join(lacks)}, which is not there")
    before, _level = _level, name
    try:
        yield
    finally:
        _level = before
