"""Without a GPU, run the other tests of this folder in Numba's simulator, one process per file."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from bitnet import InputError
from bitnet.devices import gpu_problem

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
SUBJECTS = ["pack", "products", "conv", "conv_backward", "norm", "rounding", "update", "floats"]
SUBJECTS += ["benchmark"]

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
pytestmark = pytest.mark.skipif(SIMULATED, reason="this is the simulator")


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_in_the_simulator(name):
    pytest.importorskip("numba", reason="Numba is not installed")
    words = [sys.executable, "-m", "pytest", "-rs", "-n0", "-p", "no:cacheprovider"]
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(ROOT)}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    words.append(str(HERE / f"test_{name}.py"))
    ran = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert "SKIPPED" not in ran.stdout


@pytest.mark.skipif(gpu_problem() is None, reason="there is a GPU")
def test_the_benchmark_without_a_gpu_says_why():
    words = [sys.executable, str(ROOT / "benchmarks" / "gpu.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: no GPU: ")
    assert ran.stderr.count("\n") == 1


def test_a_kernel_without_a_gpu_refuses_arrays_of_the_processor():
    from bitnet.kernels import cuda

    with pytest.raises(InputError, match="CUDA kernel got NumPy arrays"):
        cuda.pack(np.ones(3))
