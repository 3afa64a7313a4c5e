"""Compilation of the kernels, and the selection of one of three processor levels.

    avx512    512-bit registers, VPOPCNTDQ (popcounts), BW (16-bit lookups) and VNNI (int8 sums)
    avx2      256-bit registers; popcounts from byte shuffles
    portable  plain loops, correct on any processor and without compilation

A level selects kernels, not compiler flags: at every level LLVM compiles for this processor.
"""

import contextlib
import functools
import pathlib
import signal
import threading
import warnings
from collections.abc import Iterator

from numba import njit
from numba.core import config
from numba.core.codegen import get_host_cpu_features

from bitnet.errors import InputError, check_choice

LEVELS = {
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vpopcntdq", "avx512vnni"},
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
        return njit(**options)(function)
    cache = getattr(compiled, "_cache", None)
    file = getattr(cache, "_cache_file", None)
    if file is not None:  # None if Numba does not compile
        file._source_stamp = file._source_stamp, SOURCES
        if name is not None:
            cache._index_key = lambda signature, codegen: (signature, codegen.magic_tuple())
        compiled._cache, compiled.compile = _Cache(cache), _without_signals(compiled.compile)
    return compiled


class _Cache:
    """Numba's cache of a function; where it fails, such as on a full disk, there is none."""

    def __init__(self, cache):
        self._cache = cache

    def __getattr__(self, name):
        return getattr(self._cache, name)

    def load_overload(self, *key):
        """Return the machine code in the cache, or None; a damaged index is replaced."""
        try:
            return self._cache.load_overload(*key)
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


def _without_signals(function):
    """Return a function during which Ctrl-C waits: callbacks of LLVM would swallow it."""

    @functools.wraps(function)
    def waiting(*arguments):
        came, before = [], {}
        if threading.current_thread() is threading.main_thread():
            handlers = ((number, signal.getsignal(number)) for number in SIGNALS)
            before = {number: own for number, own in handlers if own is not None}
            for number in before:
                signal.signal(number, lambda number, frame: came.append(number))
        try:
            return function(*arguments)
        finally:
            for number, own in before.items():
                signal.signal(number, own)
            for number in came[:1]:
                signal.raise_signal(number)

    return waiting


def inner(function):
    """Compile like `jit`, for functions that only compiled functions call."""
    return njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def _features():
    """Return the processor features that Numba compiles for; NUMBA_CPU_FEATURES replaces them."""
    text = config.CPU_FEATURES
    text = get_host_cpu_features() if text is None else text
    return {name[1:] for name in text.split(",") if name.startswith("+")}


def missing(name):
    """Return the sorted features that this processor lacks for a level; none for "portable"."""
    if config.DISABLE_JIT and name != "portable":
        return ["compilation (NUMBA_DISABLE_JIT is set)"]
    return missing_features(LEVELS[name])


def missing_features(names):
    """Return the sorted features, of those named, that this processor lacks."""
    return sorted(set(names) - _features())


def level() -> str:
    """Return the level in use, by default the first of `LEVELS` that this processor supports."""
    global _level
    if _level is None:
        _level = next(name for name in LEVELS if not missing(name))
    return _level


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
    """Use the kernels of one level, "avx512", "avx2" or "portable", in a `with` block.

    The level applies to the whole process.  Raise InputError if the processor lacks a feature.
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
