"""The CUDA kernels run on a GPU where there is one, or in Numba's simulator where it is told to.

`test_simulator.py` starts the simulator, in processes of their own, and
`test_machine_code.py` the runner of PTX.  The arrays there are those of the stand-in for CuPy,
so that a NumPy call on an array of the GPU is found here too.
"""

import dataclasses
import importlib
import os
import sys

import numpy as np
import pytest
import stand_in

from bitnet import InputError
from bitnet.arrays import array_module, is_array, moved, to_cpu
from bitnet.devices import gpu_problem

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
ON_PTX = os.environ.get("BITNET_TESTS_ON_PTX") == "1"
WITHOUT_GPU = SIMULATED or ON_PTX

if WITHOUT_GPU:
    import warps

    warps.stay_on_one_core()
if SIMULATED:
    import emulated

    warps.install()
    sys.modules["bitnet.kernels.cuda.instructions"] = emulated


def pytest_collection_modifyitems(items):
    """What asks for the kernels needs a GPU, or what stands in for one."""
    for item in items:
        if "to_gpu" in getattr(item, "fixturenames", ()) and not WITHOUT_GPU:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def to_gpu():
    """A function that moves arrays, and what holds them, to where the kernels run."""
    if not WITHOUT_GPU:
        if problem := gpu_problem():
            pytest.skip(f"{problem}; test_simulator.py runs this in Numba's simulator")
        yield importlib.import_module("bitnet").to_gpu
        return
    launch = importlib.import_module("bitnet.kernels.cuda.launch")
    if SIMULATED:
        launch._handed = lambda x: x if isinstance(x, tuple) else stand_in.bare(x)
    else:
        import on_ptx

        launch.SIMULATED = True  # no GPU is asked what it can do
        for name in ("launch", "pack", "products", "norm", "rounding", "update"):
            module = importlib.import_module(f"bitnet.kernels.cuda.{name}")
            module.launch, module.SIMULATED = on_ptx.launch, True
    with stand_in.installed() as cupy:
        yield lambda x: moved(x, cupy.asarray)


@pytest.fixture(scope="session")
def gpu_kernels(to_gpu):
    """The kernels of the GPU on arrays that are moved there, and their results moved back."""
    from bitnet.kernels import cuda

    def given(x):
        here = is_array(x) or hasattr(x, "_moved") or dataclasses.is_dataclass(x)
        return to_gpu(x) if here and array_module(x) is np else x

    class Moving:
        def __getattr__(self, name):
            kernel = getattr(cuda, name)
            if name == "using_rung":
                return kernel
            if name == "prepare":  # stays there, with what it keeps
                return lambda bits: kernel(given(bits))
            return lambda *arguments: to_cpu(kernel(*map(given, arguments)))

    return Moving()


@pytest.fixture(params=["tensor", "registers"])
def rung(gpu_kernels, request):
    """The two rungs that all products have."""
    try:
        with gpu_kernels.using_rung(request.param):
            yield request.param
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture
def one_warp(monkeypatch):
    """Blocks of one warp in the simulator, where the others would only cost time."""
    if SIMULATED:
        monkeypatch.setattr(importlib.import_module("bitnet.kernels.cuda.launch"), "THREADS", 32)


@pytest.fixture
def small_blocks(one_warp, monkeypatch):
    """Products by blocks of one warp with few outputs, in the simulator."""
    if SIMULATED:
        names = ("xnor", "tensor")
        xnor, tensor = (importlib.import_module(f"bitnet.kernels.cuda.{name}") for name in names)
        tile, both = tensor.Tile(1, 8, 1, 1), (False, True)
        by_tensor = {(tile, False, bits): tensor._of_tile(tile, False, bits) for bits in both}
        by_tensor[tile, True, False] = tensor._of_tile(tile, True, False)
        by_registers = {bits: xnor._of_patch(xnor.Patch(2, 2, 1), bits) for bits in both}
        monkeypatch.setattr(xnor, "BY_REGISTERS", by_registers)
        for name, value in {"LARGE": tile, "SMALL": tile, "BY_TENSOR": by_tensor}.items():
            monkeypatch.setattr(tensor, name, value)
