"""Fixtures for tests of the CUDA kernels on a GPU, or in Numba's simulator if that is selected.

`test_simulator.py` starts the simulator in separate processes, and `test_machine_code.py` starts
the interpreter of PTX.  Both use arrays of the stand-in for CuPy, which also finds NumPy calls on
GPU arrays.
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
    """Mark tests that use the kernels: they need a GPU or a substitute."""
    for item in items:
        if "to_gpu" in getattr(item, "fixturenames", ()) and not WITHOUT_GPU:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def to_gpu():
    """Return a function that moves arrays, and objects that hold them, to the kernels' device."""
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

        launch.SIMULATED = True  # no GPU is queried
        for name in ("launch", "pack", "products", "norm", "rounding", "update", "floats"):
            module = importlib.import_module(f"bitnet.kernels.cuda.{name}")
            module.launch, module.SIMULATED = on_ptx.launch, True
    with stand_in.installed() as cupy:
        yield lambda x: moved(x, cupy.asarray)


@pytest.fixture(scope="session")
def gpu_kernels(to_gpu):
    """Return the GPU kernels, with arguments moved to the GPU and results moved back."""
    from bitnet.kernels import cuda

    def given(x):
        here = is_array(x) or hasattr(x, "_moved") or dataclasses.is_dataclass(x)
        return to_gpu(x) if here and array_module(x) is np else x

    class Moving:
        def __getattr__(self, name):
            kernel = getattr(cuda, name)
            if name == "using_rung":
                return kernel
            if name == "prepare":  # stays on the GPU, with its cache
                return lambda bits: kernel(given(bits))
            return lambda *arguments: to_cpu(kernel(*map(given, arguments)))

    return Moving()


@pytest.fixture(params=["tensor", "registers"])
def rung(gpu_kernels, request):
    """Select each of the two rungs that all products have."""
    try:
        with gpu_kernels.using_rung(request.param):
            yield request.param
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture
def one_warp(monkeypatch):
    """Use blocks of one warp in the simulator, where larger ones are only slower."""
    if SIMULATED:
        monkeypatch.setattr(importlib.import_module("bitnet.kernels.cuda.launch"), "THREADS", 32)


@pytest.fixture
def small_blocks(one_warp, monkeypatch):
    """Compute products in blocks of one warp with few outputs in the simulator."""
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
