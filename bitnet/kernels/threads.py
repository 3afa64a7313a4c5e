"""Distribution of a kernel's rows over threads, which sleep when there is no work.

Compiled kernels release Python's lock, so that plain Python threads run them in parallel.  The
pool does not spin, so that other pools in the process (such as that of a BLAS or of torch) keep
their processors, and no kernel needs a second, parallel version.  Starting a part on another
thread costs about 30 microseconds.
"""

import concurrent.futures
import functools
import os
import threading

from bitnet.errors import check_count

LEAST_NS = 150_000  # work per thread; less does not pay for starting one

_lock = threading.Lock()
_threads = _pool = None


def num_threads():
    """Return the number of threads that a kernel may use; default: one per available processor."""
    return _threads or _processors()


@functools.cache
def _processors():
    """Return the number of processors that this process may run on."""
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
    """Call `run(start, stop)` for parts of range(count), on as many threads as pay off.

    Parts begin at multiples of `step`; `work_ns` is the approximate time of all on one thread.
    """
    parts = min(num_threads(), int(work_ns // LEAST_NS), -(-count // step))
    if parts <= 1:
        run(0, count)
        return
    size = -(-count // (parts * step)) * step
    others = _submit([(run, i, min(i + size, count)) for i in range(size, count, size)])
    try:
        run(0, size)
    finally:  # also after Ctrl-C: no thread may still write into the arrays
        concurrent.futures.wait(others)
    for other in others:
        other.result()


def _submit(calls):
    """Submit calls to the threads of the pool."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = concurrent.futures.ThreadPoolExecutor(max(1, num_threads() - 1), "bitnet")
        return [_pool.submit(*call) for call in calls]


def _forget_pool():
    """Open a new pool at the next call: a forked process has no threads."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
