"""Compilation of the kernels, and the selection of one of four processor levels.

    amx       AVX-512, and tiles: registers of 16 x 64 bytes whose products are one instruction
    avx512    512-bit registers, VPOPCNTDQ (popcounts), BW (16-bit lookups) and VNNI (int8 sums)
    avx2      256-bit registers; popcounts from byte shuffles
    portable  plain loops, correct on any processor and without compilation

A level selects kernels, not compiler flags: at every level LLVM compiles for this processor.
Tiles also need a permission (`permission`).  Kernels that have no form of their own for a level use
that of the level below.
"""

import contextlib
import functools
import gc
import pathlib
import signal
import threading
import warnings
from collections.abc import Iterator

import numpy as np
from numba import njit, types
from numba.core import config
from numba.core.codegen import get_host_cpu_features
from numba.core.runtime import rtsys

from bitnet.errors import InputError, check_choice
from bitnet.kernels.cpu import permission

AVX512 = {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vpopcntdq", "avx512vnni"}
LEVELS = {
    "amx": AVX512 | {"avx512vbmi", "avx512bitalg", "amx-tile", "amx-int8"},
    "avx512": AVX512,
    "avx2": {"avx2"},
    "portable": set(),
}

# Numba recompiles a function when its file changes.  Here compiled code also depends on other
# files, through `emit` and `inner`, so a change of any file must recompile.
SOURCES = sorted(
    (path.name, path.stat().st_mtime_ns, path.stat().st_size)
    for path in pathlib.Path(__file__).parent.glob("*.py")
)

SIGNALS = signal.SIGINT, signal.SIGTERM

_warned = False  # of a cache that fails
_level = None  # a name in LEVELS; None until the first use


def jit(function, name=None):
    """Compile loops at their first call, without division-by-zero checks and without the GIL.

    The machine code is cached in a file.  If no folder is writable, such as in a container without
    a home, each process compiles again.  A function that is made once per routine needs a unique
    name: the routines are in its closure, and Numba's cache key, which hashes the closure, would
    differ in each process.
    """
    options = {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
    if name is not None:
        function.__name__ = function.__qualname__ = name
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache
        compiled = njit(**options)(function)
    if config.DISABLE_JIT:
        return compiled
    compiled._compile_for_args = _for_read_only_too(compiled)
    cache = compiled._cache
    file = getattr(cache, "_cache_file", None)
    if file is not None:  # None if there is no cache
        file._source_stamp = file._source_stamp, SOURCES
        if name is not None:
            cache._index_key = lambda signature, codegen: (signature, codegen.magic_tuple())
        compiled._cache, compiled.compile = _Cache(cache), _undisturbed(compiled.compile)
    return compiled


class _Cache:
    """Numba's cache of a function; where it fails, such as on a full disk, there is none."""

    def __init__(self, cache):
        self._cache = cache

    def __getattr__(self, name):
        return getattr(self._cache, name)

    def load_overload(self, signature, context):
        """Return the machine code in the cache, or None; a damaged index is replaced.

        Numba's own method first imports and registers all that Numba can compile, which takes
        0.1 s.  Machine code needs only the addresses of Numba's runtime.
        """
        try:
            rtsys.initialize(context)
            return self._cache._load_overload(signature, context)
        except Exception as error:  # unpickling damaged bytes raises many classes
            _warn_of_cache(self._cache, error)
            with contextlib.suppress(OSError):
                self._cache.flush()
            return None

    def save_overload(self, *entry):
        """Write machine code into the cache, if it can be written."""
        try:
            self._cache.save_overload(*entry)
        except Exception as error:
            _warn_of_cache(self._cache, error)


def _warn_of_cache(cache, error):
    """Warn once per process that machine code is not cached."""
    global _warned
    if not _warned:
        _warned = True
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings.warn(
            f"the cache of compiled kernels in {cache.cache_path} failed ({reason:.80}); kernels "
            "are compiled again; free disk space, or delete that folder",
            RuntimeWarning,
            stacklevel=2,
        )


def _undisturbed(function):
    """Return a function during which Ctrl-C waits, as callbacks of LLVM would swallow it.

    The collection of garbage waits as well: it takes a tenth of the time to compile.
    """

    @functools.wraps(function)
    def waiting(*arguments):
        came, before = [], {}
        if threading.current_thread() is threading.main_thread():
            handlers = ((number, signal.getsignal(number)) for number in SIGNALS)
            before = {number: own for number, own in handlers if own is not None}
            for number in before:
                signal.signal(number, lambda number, frame: came.append(number))
        collects = gc.isenabled()
        gc.disable()
        try:
            return function(*arguments)
        finally:
            if collects:
                gc.enable()
            for number, own in before.items():
                signal.signal(number, own)
            for number in came[:1]:
                signal.raise_signal(number)

    return waiting


def _for_read_only_too(compiled):
    """Return what a function does with types of arguments that it is not compiled for.

    Numba has types of their own for read-only arrays, such as weights.  Kernels only read them, so
    they are given to the code for other arrays, and nothing is compiled twice.
    """
    compile_for = compiled._compile_for_args

    def entry_for(*arguments):
        if all(x.flags.writeable for x in arguments if isinstance(x, np.ndarray)):
            return compile_for(*arguments)
        kinds = [compiled.typeof_pyval(x) for x in arguments]
        entry = compiled.compile(
            tuple(k.copy(readonly=False) if isinstance(k, types.Array) else k for k in kinds)
        )
        compiled._insert([kind._code for kind in kinds], entry, False)
        return entry

    return entry_for


def inner(function):
    """Compile like `jit`, for functions that only compiled functions call."""
    return njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


@functools.cache  # LLVM takes long to answer
def _features():
    """Return the processor features that Numba compiles for; NUMBA_CPU_FEATURES replaces them."""
    text = config.CPU_FEATURES
    text = get_host_cpu_features() if text is None else text
    return {name[1:] for name in text.split(",") if name.startswith("+")}


def has(feature):
    """Return whether this processor has a feature."""
    return feature in _features()


def lacking(name):
    """Return the sorted features that this processor lacks for a level."""
    return sorted(LEVELS[name] - _features())


def missing(name):
    """Return what is missing for a level: nothing for "portable", for others sorted features.

    If no feature is missing for "amx", ask for the permission to use tiles.
    """
    if config.DISABLE_JIT and name != "portable":
        return ["compilation (NUMBA_DISABLE_JIT is set)"]
    lacks = lacking(name)
    if name == "amx" and not lacks and (refused := permission.refusal()):
        return [refused]
    return lacks


def level() -> str:
    """Return the level in use, by default the first of `LEVELS` that this processor supports."""
    global _level
    if _level is None:
        _level = next(name for name in LEVELS if not missing(name))
    return _level


def at_least(name):
    """Return whether the level in use is `name` or one above it."""
    names = list(LEVELS)
    return names.index(level()) <= names.index(name)


def vector_level():
    """Return the level of the kernels without tiles: "avx512" instead of "amx"."""
    return "avx512" if level() == "amx" else level()


def level_reason() -> str:
    """Return the reason for `level()`: features present, and missing for the next level."""
    own = level()
    if vars(config)["DISABLE_JIT"]:
        return "not compiled, as NUMBA_DISABLE_JIT is set: for a debugger, hundreds of times slower"
    names, needs = list(LEVELS), ", ".join(sorted(LEVELS[own]))
    has = f"the processor has {needs}" if needs else "runs everywhere"
    above = names[: names.index(own)]
    lacks = missing(above[-1]) if above else []
    return f"{has}; {above[-1]} lacks {', '.join(lacks)}" if lacks else has


@contextlib.contextmanager
def using_level(name: str) -> Iterator[None]:
    """Use the kernels of one level, a name in `LEVELS`, in a `with` block.

    The level applies to the whole process.  Raise InputError if the processor lacks a feature, or
    Linux refuses the tiles.
    """
    global _level
    check_choice("using_level", LEVELS, name=name)
    if lacks := missing(name):
        raise InputError(
            f"using_level: name is {name!r}, which needs {', '.join(lacks)}; expected one of "
            f"{', '.join(n for n in LEVELS if not missing(n))} on this processor"
        )
    before, _level = _level, name
    try:
        yield
    finally:
        _level = before
