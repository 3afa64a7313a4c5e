"""Which functions the main job compiles, and for how many types: as in the table of docs/speed.md.

The functions are those of level avx512.  A function that only others call (`jit.inner`) belongs to
its callers.
"""

import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("numba", reason="nothing is compiled without Numba")
from bitnet.kernels.cpu import jit

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """if True:
    import gc, runpy, sys, numpy as np
    import bitnet
    from bitnet.kernels.cpu import jit
    job, file, *options = sys.argv[1:]
    with jit.using_level("avx512"):
        if job == "predict":
            net, images = bitnet.load(file), bitnet.load_dataset("embedded").flattened().test_images
            for some in images[:1], images:
                net.predict(some)
        else:
            sys.argv[:] = [job, "--out", file, *options]
            runpy.run_path(job, run_name="__main__")
    print("compiled:")
    for function in gc.get_objects():
        if isinstance(getattr(function, "_cache", None), jit._Cache) and function.signatures:
            name = function.__name__.removesuffix("_avx512")
            print(function.__module__.rpartition(".")[2], name, len(function.signatures))
"""
# compiled with their callers, and not there where these are loaded from the cache
NESTED = {("pack", "pack_mask_words"), ("xnor", "popcount")}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    if lacks := jit.missing("avx512"):
        pytest.skip(f"the table is that of level avx512, which needs {', '.join(lacks)}")
    return tmp_path_factory.mktemp("main_job") / "net.npz"


def compiled(*words):
    """Return the number of signatures of each function that a program compiles or loads."""
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    out = subprocess.run(command, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    lines = out.stdout.partition("compiled:\n")[2].splitlines()
    return {(module, name): int(count) for module, name, count in map(str.split, lines)}


def listed(column):
    """Return the functions of the table with a mark in a column: "train" or "predict"."""
    text = (ROOT / "docs" / "speed.md").read_text()
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \|.*\| (.*) \|$", text, re.MULTILINE)
    return {(module, name) for module, name, uses in rows if column in uses.split(", ")}


def test_the_main_job_compiles_what_the_table_lists(file):
    found = compiled(ROOT / "examples" / "mnist_mlp.py", file, "--quick", "--epochs", 1)
    assert set(found.values()) == {1}, "a function with several signatures is compiled repeatedly"
    assert set(found) | NESTED == listed("train")
    found = compiled("predict", file)
    assert set(found.values()) == {1}
    assert set(found) == listed("predict")
