"""The CUDA kernels run on a GPU where there is one, or in Numba's simulator where it is told to.

`test_cuda_simulator.py` starts the simulator, in processes of their own.
"""

import importlib
import importlib.util
import os
import sys

import pytest

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"

if SIMULATED:
    import emulated
    import warps

    warps.install()
    sys.modules["bitnet.kernels.cuda.instructions"] = emulated


def no_gpu():
    """Why there is no GPU here, or None."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    import cupy

    return None if cupy.cuda.is_available() else "no GPU, or no driver for it"


@pytest.fixture(scope="session")
def to_gpu():
    """A function that moves arrays and what holds them to where the kernels run."""
    if SIMULATED:
        return lambda x: x
    if problem := no_gpu():
        pytest.skip(f"{problem}; test_cuda_simulator.py runs this in Numba's simulator")
    import cupy

    from bitnet.arrays import moved

    return lambda x: moved(x, cupy.asarray)


@pytest.fixture(scope="module")
def gpu(to_gpu):
    """The kernels; they take NumPy's arrays, and give such, on a GPU too."""
    from bitnet.arrays import is_array, to_cpu
    from bitnet.kernels import cuda

    def given(x):
        return to_gpu(x) if is_array(x) or hasattr(x, "moved") else x

    class Moving:
        def __getattr__(self, name):
            kernel = getattr(cuda, name)
            if name.startswith("using"):
                return kernel
            return lambda *arguments: to_cpu(kernel(*map(given, arguments)))

    return cuda if SIMULATED else Moving()


@pytest.fixture(params=["tensor", "registers"])
def rung(gpu, request):
    """The two rungs that all products have."""
    from bitnet import InputError

    try:
        with gpu.using_rung(request.param):
            yield request.param
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture
def one_warp(monkeypatch):
    """Blocks of one warp in the simulator, where the others would only cost time."""
    if SIMULATED:
        pack = importlib.import_module("bitnet.kernels.cuda.pack")
        monkeypatch.setattr("bitnet.kernels.cuda.products.THREADS", 32)
        monkeypatch.setattr(pack, "THREADS", 32)
        monkeypatch.setattr(pack, "WARPS", 1)
