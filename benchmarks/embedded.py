"""What an exported net needs on small processors, in an emulator: instructions, bytes and cycles.

    python benchmarks/embedded.py NET.npz ... [--first tables] [--scores integer] [--flag=-Os]

Clang compiles the header for each processor, with -O2 unless another flag is given.  Instructions,
stack, code, constants and state are those of one prediction of a random input; code without the
functions of the compiler's library (of floats, where the processor has none), which are listed.
Cycles are an estimate from the tables of the Cortex-M0's, M0+'s and M4's manuals, with memory that
never waits: an instruction takes 1, a load or store 2, a taken branch 2 more (M0+: 1), a
division of integers 7.
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np

import bitnet
from bitnet.export import to_c
from bitnet.export.c.host import DTYPES

sys.path.append(str(pathlib.Path(__file__).parent.parent / "tools"))
from processors import CORES, Header, sections

MHZ = 48
PREDICT = ["run_predict"]
INSTALL = "run `pip install -e '.[embed]'`"


def measure(text, name="net", flags=("-O2",), cores=None):
    """Return the figures of a header by the name of the core, for one random input."""
    header = Header(text, name)
    kind, _, _, n = header.arguments[0]
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal(n) if kind == "float" else rng.integers(0, 256, n)
    x = numbers.astype(DTYPES[kind])
    emulated = [own for own, core in CORES.items() if "unicorn" in core.packages]
    return {own: measured(CORES[own], header, x, flags) for own in cores or emulated}


def measured(core, header, x, flags):
    """Return the figures of one core."""
    own = {"see": False, "functions": PREDICT}
    with tempfile.TemporaryDirectory() as folder:
        found = sections(core.compiled(header, folder, flags, link=False, **own))
        found["needs"] = core.undefined(header, folder, flags, PREDICT)
        machine = core.machine(header, folder, flags, **own)
        found["state"] = machine.symbols["state"]["st_size"]
        machine.put([x])
        found |= machine.counted("run_predict")
    cycles = found["cycles"]
    found["ms"] = None if cycles is None else cycles / (1000 * MHZ)
    return found


def cell(number, form):
    """Return a number in a cell of a table, a dash if it is not known."""
    return "–" if number is None else format(number, form)


def table(figures):
    """Return the figures as a table of Markdown."""
    columns = "text", "rodata", "state", "stack", "instructions", "cycles", "ms"
    titles = "code", "constants", "state", "stack", "instructions", "cycles (est.)"
    lines = ["| processor | " + " | ".join([*titles, f"ms at {MHZ} MHz (est.)"]) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    for core, own in figures.items():
        cells = [cell(own[c], ",.2f" if c == "ms" else ",") for c in columns]
        lines.append(f"| {core} | {' | '.join(cells)} |")
    names = {core: ", ".join(own["needs"]) or "nothing" for core, own in figures.items()}
    return "\n".join([*lines, "", *(f"{core} needs {own}." for core, own in names.items())])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("nets", nargs="+", metavar="NET.npz")
    add("--first", default="auto")
    add("--scores", default="float")
    add("--flag", default="-O2", help="of the compiler; default: -O2")
    args = parser.parse_args()
    missing = {own for core in CORES.values() for own in core.missing()}
    if missing:
        raise bitnet.InputError(f"{', '.join(sorted(missing))} not installed; {INSTALL}")
    for path in args.nets:
        text = to_c(bitnet.load(path), "net", first=args.first, scores=args.scores)
        print(f"{path}, {pathlib.Path(path).stat().st_size:,} bytes, {args.flag}\n")
        print(f"{table(measure(text, flags=[args.flag]))}\n", flush=True)


if __name__ == "__main__":
    bitnet.cli.run(main)
