"""The tests of the CUDA kernels in Numba's simulator, where there is no GPU: a process a file."""

import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
FILES = ["test_cuda_packing.py", "test_cuda_products.py", "test_cuda_convolutions.py",
         "test_cuda_gradients.py"]  # fmt: skip

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("NUMBA_ENABLE_CUDASIM") == "1", reason="this is the simulator"
    )
]


@pytest.mark.parametrize("name", FILES)
def test_in_the_simulator(name):
    pytest.importorskip("numba", reason="Numba is not installed")
    words = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(ROOT)}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    ran = subprocess.run(
        [*words, str(HERE / name)], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert " skipped" not in ran.stdout
