"""The time of a process before it does its work: imports, first product, compilation, help.

    python benchmarks/startup.py

Each row is the median of processes that run one after the other.  The cold row has an empty cache
of compiled code, and the others use the cache that it wrote.  All use compiled Python files.  The
main job is `examples/mnist_mlp.py --quick`: a binary net and its float twin are trained, evaluated,
frozen and used.  What it compiles takes the difference of its cold and its warm time.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "mnist_mlp.py"
PRODUCT = """
import numpy as np
from bitnet import kernels
x = np.ones((100, 784), np.float32)
kernels.xnor_gemm(kernels.pack(x), kernels.prepare(kernels.pack(x[:32])))
"""
JOBS = {
    "python": ["-c", ""],
    "import numpy": ["-c", "import numpy"],
    "import bitnet": ["-c", "import numpy, bitnet"],
    "import numba": ["-c", "import numpy, numba"],
    "first product": ["-c", PRODUCT],
    "bitnet --help": ["-m", "bitnet", "--help"],
    "bitnet train --help": ["-m", "bitnet", "train", "--help"],
    "bitnet status": ["-m", "bitnet", "status"],
}


def elapsed_s(words, environment):
    """Run Python with these arguments; return the seconds that the process took."""
    start = time.perf_counter()
    command = [sys.executable, *words]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=9, help="processes per row; default: 9")
    parser.add_argument("--cold", type=int, default=3, help="of which compile; default: 3")
    args = parser.parse_args()
    import machine  # not above, as it imports bitnet, which is timed

    print("\n".join(machine.lines()))
    print(f"\n{'process':>30} {'s':>8} {'over import numpy':>20}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        job, colds = [str(EXAMPLE), "--quick", "--out", f"{folder}/net.npz"], []
        environment = os.environ | {"PYTHONPYCACHEPREFIX": f"{folder}/python"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for i in range(args.cold + 1):
            environment["NUMBA_CACHE_DIR"] = f"{folder}/{i}"
            colds.append(elapsed_s(job, environment))
        del colds[0]  # which also compiled the Python files
        jobs = {**JOBS, "main job, warm": job}
        times = {name: [] for name in jobs}
        for _ in range(args.times):
            for name, words in jobs.items():
                times[name].append(elapsed_s(words, environment))
    medians = {name: statistics.median(own) for name, own in times.items()}
    medians["main job, cold"] = statistics.median(colds)
    for name, seconds in medians.items():
        print(f"{name:>30} {seconds:8.3f} {seconds - medians['import numpy']:20.3f}")
    compiled_s = medians["main job, cold"] - medians["main job, warm"]
    print(f"{'what the main job compiles':>30} {compiled_s:8.3f}")


if __name__ == "__main__":
    main()
