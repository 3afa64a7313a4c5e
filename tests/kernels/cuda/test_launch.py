"""Launches with CuPy's arrays and streams of a kernel that only records its arguments."""

import importlib
import types
import warnings

import numpy as np
import pytest
import stand_in

from bitnet.kernels.bits import BitPlanes, Bits
from bitnet.kernels.window import Window

pytest.importorskip("numba", reason="Numba is not installed")

from bitnet.kernels.cuda import launch, products

PACK = importlib.import_module("bitnet.kernels.cuda.pack")  # pack is a function there too


class Kernel:
    """A kernel that records its grids and the arguments of its launches."""

    def __init__(self):
        self.grids, self.launches = [], []

    def __getitem__(self, grid):
        warnings.warn("Grid size 1 will likely result in GPU under-utilization", stacklevel=1)
        self.grids.append(grid)
        return lambda *arguments: self.launches.append(arguments)


@pytest.fixture
def gpu(monkeypatch):
    """Return the stand-in for CuPy with streams, and replace Numba's views by descriptions."""
    if launch.SIMULATED:
        pytest.skip("the simulator uses NumPy arrays")
    asked = []
    with stand_in.installed() as cupy:
        cupy.on = 0
        cupy.cuda.get_current_stream = lambda: types.SimpleNamespace(ptr=cupy.on)

        def described(array, sync):
            assert not sync
            asked.append(array)
            return array

        monkeypatch.setattr(launch.cuda, "as_cuda_array", described)
        monkeypatch.setattr(launch.cuda, "external_stream", lambda address: f"stream {address}")
        cupy.asked = asked
        launch._described.cache_clear()
        yield cupy
        launch._described.cache_clear()


def test_the_array_of_an_address_is_described_once(gpu):
    kernel, x, y = Kernel(), gpu.zeros(3, np.float32), gpu.zeros(3, np.int32)
    for _ in range(2):
        launch.launch(kernel, (1,), 32, x, y, 5)
    assert len(gpu.asked) == 2
    (first, second, number), again = kernel.launches
    assert number == 5
    assert (first, second, number) == again
    of = first.__cuda_array_interface__
    layout = {"shape": (3,), "typestr": "<f4", "strides": None}
    assert of == {"data": (x.data.ptr, False), "version": 3, **layout}
    launch.launch(kernel, (1,), 32, x[:2], y, 5)
    assert kernel.launches[2][0].__cuda_array_interface__["shape"] == (2,)


def test_what_is_not_contiguous_is_described_as_it_is(gpu):
    kernel, x = Kernel(), gpu.zeros(6, np.float32)[::2]
    launch.launch(kernel, (1,), 32, x)
    assert kernel.launches == [(x,)]


def test_a_kernel_runs_on_the_stream_of_cupy_and_warns_of_no_small_grid(gpu):
    kernel, x = Kernel(), gpu.zeros(3, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for gpu.on in (0, 1024, 1024):
            launch.launch(kernel, (2, 3), 32, x)
    assert kernel.grids == [((2, 3, 1), 32, 0), ((2, 3, 1), 32, "stream 1024")]
    assert len(kernel.launches) == 3


@pytest.mark.parametrize(("columns", "axes"), [(32_768, 1), (32_769, 2), (200_000, 7)])
def test_many_blocks_side_by_side_go_on_in_the_third_axis(gpu, columns, axes):
    kernel = Kernel()
    launch.launch(kernel, (2, columns), 32, gpu.zeros(3, np.float32))
    assert kernel.grids == [((2, 32_768, axes), 32, 0)]


def test_numba_itself_warns_of_no_small_grid():
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert launch._configured(PACK._pack_rows, (1,), 32, 0).griddim == (1, 1, 1)


def test_what_is_kept_is_kept_for_a_stream(monkeypatch):
    """Another stream could read a cached array before it is written."""
    weight = products.prepare(Bits(np.zeros((2, 2), np.uint64), (2, 128)))
    window, made, operands = Window((1, 1)), [], []
    for stream in (0, 1024, 0):
        monkeypatch.setattr(products, "here", lambda xp, stream=stream: (0, stream))
        operands.append(products.operand(weight))
        made.append(products.geometry(np, (0, stream), window, 1, 1, 4))
    assert operands[0] is operands[2] is not operands[1]
    assert made[0] is made[2] is not made[1]
    assert PACK.on_gpu(np, (0, 0), (1,)) is not PACK.on_gpu(np, (0, 1024), (1,))


def test_coefficients_are_of_32_bits():
    least, most = -(1 << 31), 1 << 31
    assert PACK.on_gpu(np, None, (1, least, most, (1 << 32) + 7)).tolist() == [1, least, least, 7]


@pytest.mark.parametrize("first", [0, 1])
def test_operands_begin_at_multiples_of_16_bytes(first):
    buffer = np.arange(7, dtype=np.uint64)
    begin = first + buffer.ctypes.data % 16 // 8
    words = buffer[begin : begin + 4].reshape(1, 4)
    for x in (Bits(words, (1, 256)), BitPlanes(Bits(words.reshape(1, 1, 4), (1, 1, 256)), [1])):
        operand = products.Operand(x)
        assert operand.words.ctypes.data % 16 == 0
        assert np.array_equal(operand.words.ravel(), words.ravel())
