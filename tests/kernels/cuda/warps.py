"""Additions to Numba's CUDA simulator: warp operations, and blocks that wait without spinning.

`install` is for a process with NUMBA_ENABLE_CUDASIM=1.  All lanes of a warp, and all threads of a
block, must take part in each operation.  A thread that returned before is an error here, although
a GPU would ignore it or hang.
"""

import collections
import os
import sys
import threading

import numpy as np

PATIENCE_S = 60  # timeout of lanes that wait for each other


class Meeting:
    """An exchange between threads: each gives one value and gets the values of all.

    A thread waits for its own lock, and the last thread releases the locks of the others, which is
    much faster than a `threading.Barrier`.  Two lists alternate, as some threads may still read
    the previous one.
    """

    def __init__(self, size):
        self.size, self.come, self.turn, self.broken = size, 0, 0, False
        self.counting, self.doors = threading.Lock(), [threading.Lock() for _ in range(size)]
        self.values = [None] * size, [None] * size
        for door in self.doors:
            door.acquire()

    def of(self, place, value):
        """Exchange a value and return the values of all threads, by their places."""
        with self.counting:
            values = self.values[self.turn]
            values[place] = value
            self.come += 1
            last = self.come == self.size
            if last:
                self.come, self.turn = 0, 1 - self.turn
        if last:
            for other, door in enumerate(self.doors):
                if other != place:
                    door.release()
        elif not self.doors[place].acquire(timeout=PATIENCE_S) or self.broken:
            raise threading.BrokenBarrierError("not all threads came to a barrier or a ballot")
        return values

    def abort(self):
        """Make all waiting threads fail."""
        self.broken = True
        for door in self.doors:
            if door.locked():
                door.release()


Dim3 = collections.namedtuple("Dim3", "x y z")


class Worker(threading.Thread):
    """A thread that runs threads of blocks one after the other, as starting each is slow."""

    def __init__(self):
        super().__init__(daemon=True)
        self.task, self.ended = threading.Lock(), threading.Lock()
        self.task.acquire()
        self.ended.acquire()
        self.start()

    def run(self):
        while True:
            self.task.acquire()
            self.begun, self.groups, self.failure = [], [], None
            try:
                self.function(*self.arguments)
            except BaseException as error:
                self.failure = error
                for meeting in (self.block.whole, *self.block.warps):
                    meeting.abort()
            self.ended.release()

    def syncthreads(self):
        self.block.whole.of(self.thread_id, None)


class Block:
    """A runner of the threads of one block, which replaces the simulator's own."""

    workers = []

    def __init__(self, function, grid_dim, block_dim, debug):
        self.function, self.block_dim = function, block_dim
        size = int(np.prod(block_dim))
        self.warps = [Meeting(min(32, size - 32 * w)) for w in range(-(-size // 32))]
        self.whole = Meeting(size)

    def run(self, grid_point, *arguments):
        places = list(np.ndindex(*self.block_dim[::-1]))  # x is last and changes fastest
        self.workers.extend(Worker() for _ in range(len(places) - len(self.workers)))
        workers = self.workers[: len(places)]
        for thread_id, (worker, place) in enumerate(zip(workers, places, strict=True)):
            worker.block, worker.thread_id = self, thread_id
            worker.blockIdx, worker.threadIdx = Dim3(*grid_point), Dim3(*place[::-1])
            worker.function, worker.arguments = self.function, arguments
            worker.task.release()
        for worker in workers:
            worker.ended.acquire()
        failures = [worker.failure for worker in workers if worker.failure]
        failures.sort(key=lambda error: isinstance(error, threading.BrokenBarrierError))
        if failures:
            raise failures[0]


def current():
    """Return this thread, its lane, and the exchange of its warp."""
    thread = threading.current_thread()
    warp, lane = divmod(thread.thread_id, 32)
    return thread, lane, thread.block.warps[warp]


def ballot_sync(module, mask, predicate):
    _, lane, warp = current()
    assert mask == 0xFFFFFFFF
    return np.uint32(sum(bool(bit) << i for i, bit in enumerate(warp.of(lane, predicate))))


def shfl_xor_sync(module, mask, value, lanes):
    _, lane, warp = current()
    assert mask == 0xFFFFFFFF
    assert not isinstance(value, np.uint32)  # Numba supports only signed numbers
    return warp.of(lane, value)[lane ^ lanes]


def popc(module, value):
    """Count bits; the simulator's own function counts a minus sign as a bit."""
    assert value >= 0
    return int(value).bit_count()


def shared_array(shared, shape, dtype, alignment=None):
    """Return one array for all threads at a line of code, with previous numbers in it."""
    frame = sys._getframe(1)
    place = frame.f_code.co_filename, frame.f_lineno
    if place not in shared._allocations:
        garbage = np.full(np.prod(shape) * np.dtype(dtype).itemsize, 0xA5, np.uint8)
        shared._allocations.setdefault(place, garbage.view(dtype).reshape(shape))
    return shared._allocations[place]


def stay_on_one_core():
    """Use one core, where threads that wait for each other take half the time."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})


def install():
    """Install all of this in the simulator."""
    from numba.cuda.simulator import kernel, kernelapi

    kernel.BlockManager = Block
    kernelapi.FakeCUDAShared.array = shared_array
    for function in (ballot_sync, shfl_xor_sync, popc):
        setattr(kernelapi.FakeCUDAModule, function.__name__, function)
    sys.setswitchinterval(1)  # a thread runs until it waits
