"""The implementations of the kernels that this machine runs, with one and two threads."""

import contextlib

from bitnet import kernels
from bitnet.kernels import threads

VARIANTS = [
    (name, n_threads)
    for name in ("reference", "emulated tiles", "amx", "avx512", "avx2", "portable")
    for n_threads in (1, 2)
]


def available():
    """Return the implementations that this machine runs, each with one and two threads."""
    try:
        from bitnet.kernels.cpu import jit
    except ImportError:
        return VARIANTS[:1]
    lacking = {name for name in jit.LEVELS if jit.missing(name)}
    lacking |= {"emulated tiles"} if jit.config.DISABLE_JIT else set()
    return [own for own in VARIANTS if own[0] not in lacking]


@contextlib.contextmanager
def computed_by(name, n_threads):
    """Use an implementation, with threads also for small work."""
    before, least = threads._threads, threads.LEAST_NS
    with contextlib.ExitStack() as stack:
        if name == "reference":
            stack.enter_context(kernels.using("reference"))
        else:
            from bitnet.kernels.cpu import jit, tiles

            stack.enter_context(kernels.using("numba"))
            level = tiles.emulated() if name == "emulated tiles" else jit.using_level(name)
            stack.enter_context(level)
        threads.set_num_threads(n_threads)
        threads.LEAST_NS = 1 if n_threads > 1 else least
        try:
            yield
        finally:
            threads.LEAST_NS, threads._threads = least, before
