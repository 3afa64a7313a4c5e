"""Products of floats in training: shared over threads, with one BLAS thread for each part."""

import threading

import numpy as np
import pytest

from bitnet import devices
from bitnet.nn.functional import products
from bitnet.nn.functional.products import blas_product

pytest.importorskip("threadpoolctl")
RNG = np.random.default_rng(0)
SHAPES = [(100, 70, 90), (7, 200, 300), (300, 200, 7), (1, 600, 700), (0, 5, 4), (4, 0, 5)]


@pytest.fixture(params=[1, 3])
def shared(monkeypatch, request):
    monkeypatch.setattr("bitnet.kernels.threads._threads", request.param)
    monkeypatch.setattr("bitnet.kernels.threads.LEAST_NS", 1)
    monkeypatch.setattr(products, "SMALL", 0)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shared_product_is_the_product(dtype, shape):
    r, n, m = shape
    a, b = RNG.standard_normal((r, n)).astype(dtype), RNG.standard_normal((n, m)).astype(dtype)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    limit = 4 * np.finfo(dtype).eps * n
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            y = blas_product(left, right)
            assert y.dtype == dtype
            assert y.shape == (r, m)
            assert (abs(y - expected) <= limit * 5).all()
    room = np.full((r, m), np.nan, dtype)
    assert blas_product(a, b, out=room) is room
    assert (abs(room - expected) <= limit * 5).all()


@pytest.mark.usefixtures("shared")
def test_each_part_has_one_thread_of_the_blas(monkeypatch):
    seen, multiply = [], np.matmul

    def noted(*args, **kwargs):
        seen.append([library.get_num_threads() for library in devices.blas_libraries()])
        return multiply(*args, **kwargs)

    before = [library.get_num_threads() for library in devices.blas_libraries()]
    monkeypatch.setattr(np, "matmul", noted)
    blas_product(np.ones((64, 8), np.float32), np.ones((8, 32), np.float32))
    assert seen
    assert all(own == [1] * len(before) for own in seen)
    assert [library.get_num_threads() for library in devices.blas_libraries()] == before


class Library:
    """A BLAS, as threadpoolctl shows it."""

    n = 2

    def get_num_threads(self):
        return self.n

    def set_num_threads(self, n):
        self.n = n


def test_blocks_that_overlap_leave_the_number_of_threads_as_it_was(monkeypatch):
    library, inside, leave = Library(), threading.Event(), threading.Event()
    monkeypatch.setattr(devices, "blas_libraries", lambda: [library])

    def other():
        with devices.one_blas_thread():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    with devices.one_blas_thread():
        thread.start()
        assert inside.wait(30)
    still = library.n
    leave.set()
    thread.join(30)
    assert (still, library.n) == (1, 2)


def test_integers_are_multiplied_as_by_numpy():
    a = np.arange(6).reshape(2, 3)
    assert np.array_equal(blas_product(a, a.T), a @ a.T)
