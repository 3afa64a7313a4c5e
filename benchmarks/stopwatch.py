"""Images per second of one network in float, packed as in training, and frozen, on this machine.

    python benchmarks/stopwatch.py                 three widths, batches of 1 and 100
    python benchmarks/stopwatch.py --threads 1

The contestants take turns in one process; the figures are medians over the turns.  Before it is
timed, the frozen net is compared with the reference kernels, integer for integer.
"""

import argparse
import itertools
import statistics
import time

import machine
import numpy as np

import bitnet
from bitnet import InputError, kernels
from bitnet.data import scale_pixels
from bitnet.nn import models
from bitnet.training import predict

LEAST_S = 0.02  # per turn of one contestant
TURNS = 7


def interleaved(contestants, turns=TURNS, least_s=LEAST_S):
    """Return the seconds per call of each function, (turns, contestants), called in turns.

    A contestant is called for `least_s` seconds per turn; the first turn is a warm-up.
    """
    seconds = np.empty((turns + 1, len(contestants)))
    for turn, i in itertools.product(range(turns + 1), range(len(contestants))):
        calls, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < least_s or not calls:
            contestants[i]()
            calls += 1
        seconds[turn, i] = elapsed / calls
    return seconds[1:]


def float_layers(sizes, rng):
    """Return weights (N, M) and biases (M,) of a float MLP with folded batch norm."""
    shapes = itertools.pairwise(sizes)
    return [
        (rng.standard_normal(s, np.float32), rng.standard_normal(s[1], np.float32)) for s in shapes
    ]


def float_predict(x, layers):
    """Return the classes of a float MLP, computed by products, biases and ReLU."""
    for weight, bias in layers[:-1]:
        x = np.maximum(x @ weight + bias, 0)
    return (x @ layers[-1][0] + layers[-1][1]).argmax(axis=1)


def compare_mlp(width, batch, rng, turns=TURNS):
    """Return seconds per batch of a 3-layer MLP, (turns, 3): float, packed, frozen."""
    sizes = [784, width, width, width, 10]
    model, layers = models.binary_mlp(sizes, rng=rng), float_layers(sizes, rng)
    net = bitnet.freeze(model)
    pixels = rng.integers(0, 256, (batch, 784), dtype=np.uint8)
    with kernels.using("reference"):
        expected = net.scores(pixels[:3])
    if not np.array_equal(expected, net.scores(pixels[:3])):
        raise InputError("the kernels do not give the reference's integers; please report this")
    floats = scale_pixels(pixels)
    contestants = (
        lambda: float_predict(floats, layers),
        lambda: predict(model, pixels),
        lambda: net.predict(pixels),
    )
    return interleaved(contestants, turns)


def report(widths=(32, 512, 2048), batches=(1, 100), turns=TURNS):
    """Yield the lines of the table: images per second, and cases where bits are slower."""
    yield "images per second of a 784-H-H-H-10 MLP, medians of turns; packed: the model in training"
    yield f"{'H':>6} {'batch':>6} {'float32':>10} {'packed':>10} {'frozen':>10}  frozen : float32"
    losses, rng = [], np.random.default_rng(0)
    for width, batch in itertools.product(widths, batches):
        seconds = compare_mlp(width, batch, rng, turns)
        speeds = batch / np.median(seconds, axis=0)
        ratio = statistics.median(seconds[:, 0] / seconds[:, 2])
        yield f"{width:6} {batch:6} " + "".join(f"{s:10,.0f} " for s in speeds) + f" {ratio:.2f}"
        for name, column in (("packed", 1), ("frozen", 2)):
            if statistics.median(seconds[:, 0] / seconds[:, column]) < 1:
                losses.append(f"{name}, {width} units, batch {batch}")
    if losses:
        yield f"Slower than float32: {'; '.join(losses)}."
        if kernels.implementation() == "reference":
            yield "These are the slow kernels in NumPy; `bitnet status` gives the reason."
        else:
            yield "There the overhead of the calls exceeds the time that bits save."


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--threads", type=machine.positive, help="threads of the kernels and the BLAS"
    )
    args = parser.parse_args()
    if args.threads:
        bitnet.set_num_threads(args.threads)
    for line in itertools.chain(machine.lines(), [""], report()):
        print(line, flush=True)


if __name__ == "__main__":
    bitnet.cli.run(main)
