"""Rows of a product shared between threads that sleep when there is nothing to do.

Compiled kernels let go of Python's lock, so plain Python threads run them side by side.  No
pool spins, so other pools in the process (of a BLAS, of torch) lose nothing, and no second,
parallel version of each kernel has to be compiled.  A hand-over costs about 30 microseconds.
"""

import concurrent.futures
import functools
import os
import threading

from bitnet.errors import check_count

LEAST_NS = 150_000  # of work a thread: less does not pay for the hand-over

_lock = threading.Lock()
_threads = _pool = None


def num_threads():
    """The number of threads that a kernel may use: by default one per available processor."""
    return _threads or _processors()


@functools.cache
def _processors():
    """The processors that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def set_num_threads(n):
    """Let a kernel use `n` threads, from 1 to 1024."""
    global _threads, _pool
    check_count("set_num_threads", most=1024, n=n)
    with _lock:
        if n != _threads and _pool is not None:
            _pool.shutdown(wait=False)
            _pool = None
        _threads = n


def shared(run, count, step, work_ns):
    """Call `run(start, stop)` for parts of range(count), on as many threads as the work pays for.

    Parts begin at multiples of `step`; `work_ns` is what the whole takes on one thread, roughly.
    """
    parts = min(num_threads(), int(work_ns // LEAST_NS), -(-count // step))
    if parts <= 1:
        run(0, count)
        return
    size = -(-count // (parts * step)) * step
    others = _submit([(run, i, min(i + size, count)) for i in range(size, count, size)])
    try:
        run(0, size)
    finally:  # after Ctrl-C too: nobody writes into the arrays any more
        concurrent.futures.wait(others)
    for other in others:
        other.result()


def _submit(calls):
    """Hand calls to the threads beside the caller's own."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = concurrent.futures.ThreadPoolExecutor(max(1, num_threads() - 1), "bitnet")
        return [_pool.submit(*call) for call in calls]


def _forget_pool():
    """In a forked process there are no threads: open a new pool at the next call."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
