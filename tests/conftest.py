"""Settings of the property tests, and fixtures for the kernel implementations and the GPU."""

import importlib.util

import pytest
import stand_in
from hypothesis import settings
from strategies import implementations

from bitnet import kernels
from bitnet.devices import gpu_problem

settings.register_profile("bitnet", deadline=None, max_examples=30, derandomize=True)
settings.register_profile(
    "thorough", deadline=None, max_examples=300
)  # with new examples each time
settings.load_profile("bitnet")


@pytest.fixture(params=implementations, scope="module")
def implementation(request):
    """Run the tests of a module once in each implementation of the kernels."""
    if request.param == "reference":
        with kernels.using("reference"):
            yield request.param
        return
    if importlib.util.find_spec("numba") is None:
        pytest.skip("Numba is not installed")
    from bitnet.kernels.cpu import jit, tiles

    if request.param == "emulated tiles":
        if jit.config.DISABLE_JIT:
            pytest.skip("emulated tiles are compiled, and NUMBA_DISABLE_JIT is set")
        with kernels.using("numba"), tiles.emulated():
            yield request.param
        return
    if lacks := jit.missing(request.param):
        pytest.skip(f"the level {request.param} needs {', '.join(lacks)}")
    with kernels.using("numba"), jit.using_level(request.param):
        yield request.param


@pytest.fixture(params=["stand-in", pytest.param("cupy", marks=pytest.mark.gpu)])
def gpu(request):
    """Provide a GPU: the stand-in for CuPy with the reference kernels, or a real GPU."""
    if request.param == "stand-in":
        with stand_in.installed(), kernels.using("reference"):
            yield request.param
        return
    if problem := gpu_problem():
        pytest.skip(problem)
    yield request.param


def pytest_terminal_summary(terminalreporter):
    """Show how many models were drawn by `tests/deploy/test_any_model.py`."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    models = [value for r in reports for name, value in r.user_properties if name == "models"]
    if models:
        terminalreporter.write_line(f"frozen = trained: {sum(models)} models compared")
