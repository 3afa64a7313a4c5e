"""Distribution over threads: each row runs once, errors propagate, small work uses one thread."""

import gc
import multiprocessing
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from bitnet import InputError
from bitnet.kernels import threads


@pytest.fixture(autouse=True)
def three_threads():
    before = threads.num_threads()
    threads.set_num_threads(3)
    yield
    threads.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 63, 100])
@pytest.mark.parametrize("step", [1, 4, 32])
def test_every_item_is_done_once_in_whole_steps(count, step):
    parts = []
    threads.shared(lambda start, stop: parts.append((start, stop)), count, step, 1e9)
    parts.sort()
    assert [i for start, stop in parts for i in range(start, stop)] == list(range(count))
    assert all(start % step == 0 for start, _ in parts)
    assert len(parts) <= 3 * threads.PIECES


def test_little_work_stays_on_the_thread_that_asked():
    names = []
    threads.shared(lambda *_: names.append(threading.current_thread()), 100, 1, 1000.0)
    assert names == [threading.current_thread()]


def test_much_work_runs_side_by_side():
    together = threading.Barrier(3, timeout=30)  # breaks unless three threads wait at once
    threads.shared(lambda *_: together.wait(), 3, 1, 1e9)


def test_an_error_in_a_part_arrives():
    def fails_at_the_end(start, stop):
        if stop == 9:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.shared(fails_at_the_end, 9, 1, 1e9)


def test_nobody_works_on_when_the_error_arrives():
    began, ends = threading.Barrier(3, timeout=30), []

    def run(start, stop):
        began.wait()
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(0.05)
        ends.append(start)

    with pytest.raises(KeyboardInterrupt):
        threads.shared(run, 3, 1, 1e9)
    assert len(ends) == 2


def test_after_an_error_no_further_piece_begins():
    starts = []

    def run(start, stop):
        starts.append(start)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.shared(run, 1000, 1, 1e9)
    assert len(starts) <= 3


def test_the_caller_does_not_wait_for_a_thread_that_has_not_begun():
    meet, all_busy, release = threading.Barrier(3, timeout=30), threading.Event(), threading.Event()

    def occupy(*_):
        meet.wait()
        all_busy.set()
        release.wait(30)

    other = threading.Thread(target=threads.shared, args=(occupy, 3, 1, 1e9))
    other.start()
    assert all_busy.wait(30)  # this thread and both helpers
    done = []
    threads.shared(lambda start, stop: done.append(stop - start), 100, 1, 1e9)
    assert sum(done) == 100
    assert not release.is_set()
    release.set()
    other.join(30)


def test_a_loop_inside_another_one_is_done_once():
    done = []

    def outer(start, stop):
        threads.shared(lambda i, j: done.append((start, j - i)), 10, 1, 1e9)

    threads.shared(outer, 30, 1, 1e9)
    assert sum(n for _, n in done) == 10 * len({start for start, _ in done})


def test_threads_that_sleep_keep_no_arrays():
    array = np.zeros(1000)
    gone = weakref.ref(array)
    threads.shared(lambda start, stop, array=array: array[start:stop].sum(), 1000, 1, 1e9)
    del array
    gc.collect()
    for _ in range(1000):  # a helper may be about to leave its job
        if gone() is None:
            break
        time.sleep(0.01)
    assert gone() is None


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True, 10**6])
def test_a_number_of_threads_that_there_cannot_be(n):
    with pytest.raises(InputError, match="from 1 to 1024"):
        threads.set_num_threads(n)


def _sum_in_a_child(results):
    done = []
    threads.shared(lambda start, stop: done.append(stop - start), 9, 1, 1e9)
    results.put(sum(done))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # about a fork with threads
def test_a_forked_process_opens_threads_of_its_own():
    threads.shared(lambda start, stop: None, 9, 1, 1e9)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_sum_in_a_child, args=(results,))
    child.start()
    assert results.get(timeout=30) == 9
    child.join(30)
    assert child.exitcode == 0


def test_helpers_may_come_while_the_errors_are_read():
    """A thread that comes late finds no piece and reports that it has left, at any time."""
    job = threads._Job(lambda start, stop: None, 1, 1)
    late = threading.Thread(target=lambda: [job.help() for _ in range(4000)])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        late.start()
        while late.is_alive():
            assert job.end() == []
    finally:
        sys.setswitchinterval(interval)
        late.join()
