"""The CUDA kernels compiled for absent GPUs: they use the intended instructions, give the integers.

The tests need numba-cuda, nvJitLink and nvdisasm, which are wheels in the extra `cudatest`.
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
ROOT = HERE.parents[2]
WHAT = "pip install -e '.[cudatest]'"
pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" or "BITNET_TESTS_ON_PTX" in os.environ,
    reason="the kernels' tests run in this process",
)


def disassembler():
    """Find nvdisasm on the path, or in a wheel from NVIDIA."""
    if path := shutil.which("nvdisasm"):
        return path
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations if spec else ():
        for path in sorted(pathlib.Path(folder).glob("*/bin/nvdisasm")):
            return str(path)
    return None


@pytest.fixture(scope="module")
def compiler():
    """Return Numba's compiler for GPUs."""
    for package in ("numba_cuda", "cuda.bindings.nvjitlink"):
        parent = package.partition(".")[0]
        if not (importlib.util.find_spec(parent) and importlib.util.find_spec(package)):
            pytest.skip(f"{package} is not installed; {WHAT}")


def python(*words, **environment):
    """Return the output of another process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    ran = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran.stdout


@pytest.fixture(scope="module", params=["7 5", "8 0", "9 0"])
def code(compiler, request):
    """Count each instruction in each kernel, for a compute capability."""
    if disassembler() is None:
        pytest.skip(f"nvdisasm is not installed; {WHAT}")
    words = str(HERE / "machine_code.py"), *request.param.split(), disassembler()
    return request.param, json.loads(python(*words))


# enough tests of each file to run every kernel; BITNET_TESTS_ON_PTX=1 selects all of them
ON_PTX = {
    "test_pack.py": "shape0",
    "test_products.py": "gpu or by_small or 18-17 or 33-65 or ((x2 or matrix0) and tensor)",
    "test_conv.py": "xnor_conv and window0",
    "test_norm.py": "shape0 or shape1 or edges or parts",
    "test_rounding.py": "shape0 or shape1 or zeros",
    "test_floats.py": "shape0 or edges",
    "test_update.py": "shape0 or edges or product",
    "test_conv_backward.py": "rung_below",
}


@pytest.mark.parametrize("name", ON_PTX)
def test_the_ptx_gives_the_same_integers(compiler, name):
    """The code that Numba generates for a GPU, not its Python source, runs on `ptx`."""
    words = "-m", "pytest", "-rs", "-n0", "-p", "no:cacheprovider", "-k", ON_PTX[name]
    out = python(*words, str(HERE / name), BITNET_TESTS_ON_PTX="1", OPENBLAS_NUM_THREADS="1")
    assert "SKIPPED" not in out


def test_the_instructions_meant_are_there(code):
    capability, kernels = code
    assert kernels
    for name, own in kernels.items():
        kind, _, out = name.partition(", ")
        if kind in ("pack", "transpose", "normalize", "update") or name == "registers, bits":
            assert own.get("VOTE"), name
        if kind in ("ones", "naive", "tiled", "update"):
            assert own.get("POPC"), name
        if kind == "registers":
            assert own["POPC"] == 32, name  # one per count, none with 64 bits
        if kind.startswith("tensor"):
            down, across = (4, 8) if "large" in kind else (2, 4)
            assert own["BMMA"] == 2 * down * across, name  # 256 bits each, none emulated
            assert own["LDSM"] == 2 * down + across, name
            assert own.get("LDGSTS"), name  # asynchronous copies
            assert bool(own.get("SHFL")) == (out == "bits"), name
    assert (capability == "7 5") != any(name.startswith("tensor") for name in kernels)


def test_floats_between_the_products_are_rounded_one_by_one(code):
    """PTX is checked, as divisions and roots in machine code consist of fused operations."""
    between = ("normalize", "gradient", "round_gradient", "update", "ordered")
    own = {name: own for name, own in code[1].items() if name.startswith(between)}
    assert len(own) >= 5
    assert {name: found["unrounded"] for name, found in own.items()} == dict.fromkeys(own, 0)


def test_nothing_is_kept_in_memory_that_is_meant_for_registers(code):
    for name, own in code[1].items():
        assert not {"LDL", "STL"} & set(own), name
