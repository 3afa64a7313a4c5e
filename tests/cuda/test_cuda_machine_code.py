"""The CUDA kernels compiled for three GPUs that are not here: the instructions meant are there.

Needs numba-cuda, nvJitLink and nvdisasm, all wheels: `pip install -e '.[test,cuda_compile]'`.
"""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
WHAT = "pip install -e '.[cuda_compile]'"
pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_ENABLE_CUDASIM") == "1", reason="the simulator compiles nothing"
)


def disassembler():
    """Where nvdisasm is: on the path, or in a wheel of NVIDIA's."""
    if path := shutil.which("nvdisasm"):
        return path
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations if spec else ():
        for path in sorted(pathlib.Path(folder).glob("*/bin/nvdisasm")):
            return str(path)
    return None


@pytest.fixture(scope="module", params=["7 5", "8 0", "9 0"])
def code(request):
    """How often each instruction stands in each kernel, for a compute capability."""
    for package in ("numba_cuda", "cuda.bindings.nvjitlink"):
        parent = package.partition(".")[0]
        there = importlib.util.find_spec(parent) and importlib.util.find_spec(package)
        if not there:
            pytest.skip(f"{package} is not installed; {WHAT}")
    if disassembler() is None:
        pytest.skip(f"nvdisasm is not installed; {WHAT}")
    words = [sys.executable, str(HERE / "machine_code.py"), *request.param.split(), disassembler()]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    ran = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return request.param, json.loads(ran.stdout)


def test_the_instructions_meant_are_there(code):
    capability, kernels = code
    assert kernels
    for name, own in kernels.items():
        kind, _, out = name.partition(", ")
        if kind in ("pack", "transpose") or (kind, out) == ("registers", "bits"):
            assert own.get("VOTE"), name
        if kind in ("ones", "naive", "tiled"):
            assert own.get("POPC"), name
        if kind == "registers":
            assert own["POPC"] == 32, name  # one for each count: none is of 64 bits
        if kind.startswith("tensor"):
            down, across = (4, 8) if "large" in kind else (2, 4)
            assert own["BMMA"] == 2 * down * across, name  # of 256 bits each, none emulated
            assert own["LDSM"] == 2 * down + across, name
            assert own.get("LDGSTS"), name  # copies that do not wait
            assert bool(own.get("SHFL")) == (out == "bits"), name
    assert (capability == "7 5") != any(name.startswith("tensor") for name in kernels)


def test_nothing_is_kept_in_memory_that_is_meant_for_registers(code):
    for name, own in code[1].items():
        assert not {"LDL", "STL"} & set(own), name
