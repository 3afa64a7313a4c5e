"""Distribution of a kernel's rows over threads, which sleep when there is no work.

Compiled kernels release Python's lock, so that plain Python threads run them in parallel.  The
threads do not spin, so that other pools in the process (such as that of a BLAS or of torch) keep
their processors, and no kernel needs a second, parallel version.

A loop is cut into pieces, and each thread takes the next piece when it has finished one.  To wake
a sleeping thread takes 50 microseconds or more; until then the calling thread computes, and it
never waits for a thread that has not begun.  A thread that another program slows down takes fewer
pieces.
"""

import functools
import os
import queue
import threading

from bitnet.errors import check_count

LEAST_NS = 50_000  # work per piece; less does not pay for handing it over
PIECES = 4  # per thread, at most

_lock = threading.Lock()
_threads = None
_jobs: queue.SimpleQueue = queue.SimpleQueue()  # for the threads that sleep
_started: set[int] = set()  # their idents


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
    global _threads
    check_count("set_num_threads", most=1024, n=n)
    _threads = n


def shared(run, count, step, work_ns):
    """Call `run(start, stop)` for parts of range(count), on as many threads as pay off.

    Parts begin at multiples of `step`; `work_ns` is the approximate time of all on one thread.
    """
    steps = -(-count // step)
    helpers = min(num_threads(), int(work_ns // LEAST_NS), steps) - 1
    if helpers < 1 or threading.get_ident() in _started:
        run(0, count)
        return
    pieces = min(PIECES * (helpers + 1), int(work_ns // LEAST_NS), steps)
    job = _Job(run, count, -(-steps // pieces) * step)
    try:
        _start(helpers)
        for _ in range(helpers):
            _jobs.put(job)
        job.work()
    finally:  # also after Ctrl-C: no thread may still write into the arrays
        errors = job.end()
    for error in errors:
        raise error


class _Job:
    """The pieces of one loop, which threads take until none is left."""

    def __init__(self, run, count, size):
        self.run, self.count, self.size = run, count, size
        self.starts = iter(range(0, count, size))
        self.came, self.left = [], []  # one entry per helper, which may come late
        self.done = queue.SimpleQueue()

    def work(self):
        """Run pieces until none is left."""
        for start in self.starts:
            self.run(start, min(start + self.size, self.count))

    def help(self):
        """Run pieces on another thread."""
        self.came.append(None)
        error = None
        try:
            self.work()
        except BaseException as raised:
            error = raised
        self.left.append(error)
        self.done.put(None)

    def end(self):
        """Give out no more pieces, wait for the threads that run one, and return their errors."""
        errors, waits = [], True
        while waits:
            try:
                for _ in self.starts:
                    pass
                while len(self.left) < len(self.came):
                    self.done.get()
                waits = False
            except KeyboardInterrupt as interrupt:
                errors = [interrupt]
        self.run = None  # a thread that comes later shall keep no arrays
        return errors + [error for error in self.left[:] if error is not None]


def _start(n):
    """Start threads until there are `n`."""
    with _lock:
        while len(_started) < n:
            thread = threading.Thread(target=_sleep_and_help, name="bitnet", daemon=True)
            thread.start()
            _started.add(thread.ident)


def _sleep_and_help():
    """Help with one job after the other."""
    while True:
        _jobs.get().help()


def _forget_threads():
    """Start new threads at the next call: a forked process has none."""
    global _jobs, _lock, _started
    _jobs, _lock, _started = queue.SimpleQueue(), threading.Lock(), set()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
