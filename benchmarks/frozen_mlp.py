"""Images a second of the frozen MLP beside the same MLP in NumPy float32, one thread each.

    python benchmarks/frozen_mlp.py

The frozen net is first held against the reference kernels, integer for integer.  Then both nets
run in turns, in one process; the table has medians, and the median of the ratios of the turns.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS

import itertools
import platform
import statistics
import time

import numpy as np
import threadpoolctl

import bitnet
from bitnet import kernels, models

WIDTHS, BATCHES, TURNS = (512, 1024, 2048, 4096), (1, 100, 1000), 9
RNG = np.random.default_rng(0)


def float_forward(x, layers):
    """The twin with batch norm folded into its weights: products, biases and rectifiers alone."""
    for weight, bias in layers[:-1]:
        x = np.maximum(x @ weight + bias, 0)
    return (x @ layers[-1][0] + layers[-1][1]).argmax(axis=1)


def seconds(function, x, least_s=0.05):
    """Seconds a call, over as many calls as take `least_s`."""
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < least_s:
        function(x)
        calls += 1
    return elapsed / calls


def compared(width, batch):
    """A row of the table."""
    sizes = [784, width, width, width, 10]
    net = bitnet.freeze(models.binary_mlp(sizes, RNG))
    shapes = itertools.pairwise(sizes)
    layers = [
        (RNG.standard_normal(s, np.float32), RNG.standard_normal(s[1], np.float32)) for s in shapes
    ]
    pixels = RNG.integers(0, 256, (batch, 784), dtype=np.uint8)
    floats = bitnet.scale_pixels(pixels)
    with kernels.using("reference"):
        expected = net.pre_activations(pixels[:20])
    for a, b in zip(expected, net.pre_activations(pixels[:20]), strict=True):
        assert np.array_equal(a, b)
    turns = [
        (seconds(lambda x: float_forward(x, layers), floats), seconds(net.predict, pixels))
        for _ in range(TURNS)
    ]
    in_float, frozen = (batch / statistics.median(column) for column in zip(*turns, strict=True))
    return in_float, frozen, statistics.median(f / b for f, b in turns)


def main():
    bitnet.set_num_threads(1)
    for name, fact in bitnet.status()[:4]:
        print(f"{name} {fact}")
    for pool in threadpoolctl.threadpool_info():
        print(pool["user_api"], pool["internal_api"], pool["version"], pool.get("architecture", ""))
    print(f"kernels {kernels.implementation()}, {platform.processor() or platform.machine()}")
    print(
        f"\n{'width':>6} {'batch':>6} {'float32 images/s':>17} {'frozen images/s':>16} {'ratio':>6}"
    )
    for width in WIDTHS:
        for batch in BATCHES:
            in_float, frozen, ratio = compared(width, batch)
            print(f"{width:6} {batch:6} {in_float:17,.0f} {frozen:16,.0f} {ratio:6.1f}")


if __name__ == "__main__":
    bitnet.run(main)
