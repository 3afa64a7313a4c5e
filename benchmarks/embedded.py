"""Flash, RAM, instructions and time of exported nets on emulated microcontrollers.

    python benchmarks/embedded.py NET.npz ...
    python benchmarks/embedded.py NET.npz --first adds --flag=-Os

Each net is printed as a C header, compiled by clang (extra `embed`) for Cortex-M0 and
Cortex-M4 without floating-point unit, and run in Unicorn on one input, whose class is compared.
Flash is the constants and the code of the net, without the compiler's functions for floats; RAM is
the state, without the input.  Instructions are counted; the cycles are an estimate: 2 per load or
store, 3 per branch that is taken, no wait states of the flash; the time is that at 48 MHz.
"""

import argparse
import copy
import math
import pathlib
import sys
import tempfile

import numpy as np

import bitnet
from bitnet.export import to_c

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests/export"))

from exported import TARGETS, Header

MHZ = 48
CORES = "cortex-m0", "cortex-m4"


def measured(net, target, first, scores, flag):
    """Return flash, RAM, instructions and estimated cycles of a net on a target."""
    header, own = Header(to_c(net, "net", first=first, scores=scores)), copy.copy(TARGETS[target])
    own.flags = [flag]
    x = np.random.default_rng(0).integers(0, 256, (1, *net.shape), np.uint8)
    sizes = math.prod(net.shape), net.scores(x).size
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        instructions, machine = own.instructions(header, sizes, folder, [x])
        cycles = machine.cycles()
        assert machine.call("run_predict") == net.predict(x)[0]
        sections = own.sections(header, sizes, folder)
    return sum(sections.values()), machine.sizes["state"], instructions, cycles


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("nets", nargs="+", metavar="NET.npz")
    add("--first", default="auto")
    add("--scores", default="float")
    add("--flag", default="-O2", help="of the compiler; default: -O2")
    args = parser.parse_args()
    print(f"{'net':24} {'file':>7} {'core':>9} {'flash':>7} {'RAM':>6} {'instructions':>12}  ms")
    for path in args.nets:
        net = bitnet.load(path)
        for target in CORES:
            flash, ram, count, cycles = measured(net, target, args.first, args.scores, args.flag)
            ms, n_bytes = cycles / MHZ / 1000, pathlib.Path(path).stat().st_size
            name = pathlib.Path(path).stem
            line = f"{name:24} {n_bytes:7} {target:>9} {flash:7} {ram:6} {count:12} {ms:6.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    bitnet.cli.run(main)
