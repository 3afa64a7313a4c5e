"""Microseconds per image of an exported C header at batch 1, of NumPy, and of onnxruntime.

    python benchmarks/exported_c.py
    python benchmarks/exported_c.py --widths 128 --flags=-O2

The header of a 784-H-H-H-10 net is compiled by gcc and called through ctypes.  First, it is
compared with the frozen net, class for class.  Then all take turns in one process on one thread;
the table has medians, and medians of the ratios of the turns.  The int8 net of onnxruntime is the
faster one of static and dynamic quantization.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS
os.environ.pop("OPENBLAS_L2_SIZE", None)

import argparse
import ctypes
import pathlib
import subprocess
import tempfile

import machine
import numpy as np
from frozen_mlp import onnx_sessions
from stopwatch import float_layers, float_predict, interleaved

import bitnet
from bitnet.export import to_c
from bitnet.nn import models

RNG = np.random.default_rng(0)
SOURCE = '#include "net.h"\nint predict(net_state *s, const uint8_t *p);\n'
SOURCE += "int predict(net_state *s, const uint8_t *p) { return net_predict(s, p); }\n"


def compiled(net, flags):
    """Return a function from one image to its class, by C."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "net.h").write_text(to_c(net, "net"))
        (folder / "net.c").write_text(SOURCE)
        own = ["-std=c99", "-shared", "-fPIC", "-ffp-contract=off", "net.c", "-o", "net.so"]
        subprocess.run(["gcc", *flags.split(), *own], check=True, cwd=folder)
        library = ctypes.CDLL(str(folder / "net.so"))
    state = ctypes.create_string_buffer(1 << 20)
    return lambda image: library.predict(state, image)


def compared(width, flags):
    """Return microseconds per image of each, and the ratios to C."""
    sizes = [784, width, width, width, 10]
    net, layers = bitnet.freeze(models.binary_mlp(sizes, rng=RNG)), float_layers(sizes, RNG)
    layers = [(weight / np.float32(weight.shape[0] ** 0.5), bias) for weight, bias in layers]
    predict = compiled(net, flags)
    images = RNG.integers(0, 256, (200, 784), dtype=np.uint8)
    found = [predict(image.ctypes.data_as(ctypes.c_void_p)) for image in images]
    assert np.array_equal(found, net.predict(images))
    one, floats = images[:1], bitnet.data.scale_pixels(images[:1])
    address = one.ctypes.data_as(ctypes.c_void_p)
    contestants = [lambda: float_predict(floats, layers)]
    sessions = onnx_sessions(layers, 1, bitnet.data.scale_pixels(images[:100])).values()
    contestants += [lambda s=s: s.run(None, {"x": floats})[0].argmax(axis=1) for s in sessions]
    contestants += [lambda: net.predict(one), lambda: predict(address)]
    seconds = interleaved(contestants, turns=9, least_s=0.1)
    slower = 2 if np.median(seconds[:, 2]) > np.median(seconds[:, 3]) else 3
    seconds = np.delete(seconds, slower, axis=1)
    return 1e6 * np.median(seconds, axis=0), np.median(seconds[:, :-1] / seconds[:, -1:], axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--widths", type=machine.positive, nargs="+", default=(32, 128, 512, 2048))
    add("--flags", default="-O3 -march=native", help="of gcc; default: -O3 -march=native")
    args = parser.parse_args()
    bitnet.set_num_threads(1)
    names = ["numpy f32", "onnxrt f32", "onnxrt int8", "bitnet"]
    print("\n".join(machine.lines("onnxruntime")))
    version = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True)
    print(f"{version.stdout.splitlines()[0]}, {args.flags}\n\nus per image; then the speedup of C")
    columns = [*names, "C", *(f"over {name}" for name in names)]
    print(f"{'width':>6} " + " ".join(f"{name:>16}" for name in columns))
    for width in args.widths:
        times, ratios = compared(width, args.flags)
        cells = [*(f"{t:16.2f}" for t in times), *(f"{r:16.1f}" for r in ratios)]
        print(f"{width:6} " + " ".join(cells), flush=True)


if __name__ == "__main__":
    bitnet.cli.run(main)
