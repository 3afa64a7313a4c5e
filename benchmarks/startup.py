"""The time of a process before its first product, with and without cached machine code.

    python benchmarks/startup.py

Each row is a separate process.  The first has an empty cache of compiled code, and the others use
the cache that it wrote.  Seconds count from after the import of NumPy.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS

import argparse
import subprocess
import sys
import tempfile
import time

import numpy as np

PROCESSES = 6


def one():
    """Print the seconds until the first product, and until every kernel has run."""
    start = time.perf_counter()
    import bitnet
    from bitnet import kernels
    from bitnet.nn import functional, models

    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 784), np.float32)
    bits, weight = kernels.pack(x), kernels.prepare(kernels.pack(x[:32]))
    kernels.xnor_gemm(bits, weight)
    product_s = time.perf_counter() - start
    pixels, labels = rng.integers(0, 256, x.shape, dtype=np.uint8), rng.integers(0, 10, 100)
    rules = {"float32": bitnet.optim.SGD, "int8": bitnet.optim.AdaMax, "int6": bitnet.optim.Adam}
    for grad_format, rule in rules.items():
        rounding = "nearest" if grad_format == "float32" else "stochastic"
        settings = {"grad_format": grad_format, "rounding": rounding}
        model = models.binary_mlp([784, 128, 128, 10], rng=rng, **settings)
        optimizer = rule(model.parameters(), 1e-3)
        functional.squared_hinge(model(pixels), labels).backward()
        optimizer.step()
    bitnet.freeze(model).predict(pixels)
    kernels.split_planes(pixels)
    kernels.pack(x.T)
    for numbers in (x, x.astype(np.float64), x.astype(np.int8), x > 0):
        kernels.unpack(kernels.pack(numbers))
    kernels.pack_with_mask(x)
    kernels.pack_with_mask(x.astype(np.float64))
    kernels.where(bits, x)
    print(product_s, time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--one", action="store_true", help="measure in this process")
    if parser.parse_args().one:
        one()
        return
    import machine  # not above, as it imports bitnet, which is timed

    print("\n".join(machine.lines()))
    print(f"\n{'process':>10} {'first product, s':>18} {'every kernel, s':>18}")
    with tempfile.TemporaryDirectory() as cache:
        for i in range(PROCESSES):
            words = [sys.executable, __file__, "--one"]
            environment = os.environ | {"NUMBA_CACHE_DIR": cache}
            out = subprocess.run(words, env=environment, capture_output=True, check=True).stdout
            product_s, all_s = map(float, out.split())
            name = "cold" if i == 0 else f"later {i}"
            print(f"{name:>10} {product_s:18.2f} {all_s:18.2f}", flush=True)


if __name__ == "__main__":
    main()
