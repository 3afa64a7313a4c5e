"""Compare frozen nets with an evaluator of their files that shares no code with bitnet.

    python tests/campaigns/exactness.py [--minutes 30] [--seed 1] [--number N]

Each number draws a model by seed (`whole_models`, or a language model), freezes it and saves it.
`evaluator.py` computes all values from the file; each kernel implementation with 1 and 2 threads
takes its turn to compute them with bitnet.  Small nets are read by `examples/read_by_hand.py` too.
`--number N` repeats a single net.  The exit code is 1 if anything differs.
"""

import collections
import pathlib
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(path) for path in (HERE, HERE.parent, ROOT / "examples", ROOT)]

import arguments  # noqa: E402
import evaluator  # noqa: E402
import read_by_hand  # noqa: E402
from variants import available, computed_by  # noqa: E402
from whole_models import ROWS, whole  # noqa: E402

import bitnet  # noqa: E402
from bitnet import InputError, nn  # noqa: E402
from bitnet.kernels import BitPlanes, Bits  # noqa: E402

TURNS = ("rows", "images", "rows", "images", "sequences", "rows", "images", "language")
# for which the reader in plain Python rounds as the format says, whatever their operands are
BY_HAND = {
    *("pixels", "signs", "ids", "weights", "planes", "linear", "conv", "thresholds", "quantize"),
    *("numbers", "float linear", "affine", "flatten", "maxpool", "sumpool"),
}
PRODUCTS = ("linear", "conv")
MOST_BY_HAND = 30_000  # products of the first row


class Case:
    """A net in a file with inputs, or the reason why there is none."""

    def __init__(self, seed, number, path):
        kind = TURNS[number % len(TURNS)]
        rng = np.random.default_rng([seed, number])
        self.path, self.refused = path, None
        try:
            if kind == "language":
                self._language(rng)
            else:
                self._whole(kind, rng)
        except InputError as error:
            if "int32" not in str(error):
                raise
            self.refused = "too large for int32"

    def _whole(self, kind, rng):
        """Draw a whole model."""
        drawn = whole(kind, int(rng.integers(2**32)), int(rng.integers(1, 15)))
        self.about = drawn.origin
        with np.errstate(all="ignore"):
            bitnet.freeze(drawn.model, drawn.rows(0), axes=drawn.axes).save(self.path)
        self.inputs = drawn.rows(*range(ROWS))

    def _language(self, rng):
        """Draw a language model with inputs and first states."""
        bits = [{}, *({"weight_quantizer": w, "activation_quantizer": a} for w, a in FEW)]
        own = bits[rng.integers(len(bits))] | {"kind": str(rng.choice(["rnn", "lstm", "gru"]))}
        layers, units = int(rng.integers(1, 3)), int(rng.choice([1, 2, 5, 64, 65]))
        own |= {"layers": layers, "units": units, "width": int(rng.choice([1, 3, 66]))}
        self.about = f"language_model(7, {own})"
        model = nn.models.language_model(7, rng=rng, **own)
        for _, parameter in model.named_parameters():
            parameter.assign(rng.uniform(-1, 1, parameter.shape).astype(np.float32))
        bitnet.freeze(model).save(self.path)
        steps, texts = rng.integers(1, 6), rng.integers(1, 4)
        n_states = layers * (1 + (own["kind"] == "lstm"))
        states = rng.standard_normal((n_states, texts, units)).astype(np.float32)
        self.inputs = rng.integers(0, 7, (steps, texts)), *states


FEW = ((1, 1), (2, 4), ("ternary", "log:3"), (8, 8), (3, 4))


def plain(x):
    """Return an input in the form that the evaluator takes."""
    return x.signs() if isinstance(x, Bits) else np.asarray(x)


def integers_of(x):
    """Return the integers of a packed value."""
    if isinstance(x, Bits):
        return x.signs().astype(np.int64)
    signs = x.bits.signs().astype(np.int64)
    return sum(int(k) * own for k, own in zip(x.coefficients, signs, strict=True)) + x.offset


def differing(found, expected, zeros):
    """Return what kind of numbers two values have, how many, and how many of them differ.

    All bits of floats count, but a NaN is like another, and so are zeros if `zeros` says so.
    """
    if isinstance(found, (Bits, BitPlanes)):
        found, expected, kind = integers_of(found), expected.integers, "codes"
    else:
        found, kind = np.asarray(found), None
        if type(expected) is evaluator.Packed or found.dtype != expected.dtype:
            return "types", max(found.size, 1), max(found.size, 1)
        kind = "floats" if found.dtype.kind == "f" else "integers"
    if found.shape != expected.shape:
        return kind, found.size, max(found.size, 1)
    if kind != "floats":
        return kind, found.size, int((found != expected).sum())
    bits = f"u{found.dtype.itemsize}"
    same = np.ascontiguousarray(found).view(bits) == np.ascontiguousarray(expected).view(bits)
    same |= (np.isnan(found) & np.isnan(expected)) | (zeros & (found == 0) & (expected == 0))
    return kind, found.size, int((~same).sum())


def compare(case, variants, counts):
    """Compare all values and all results of a net; return sentences about differences."""
    faults = []
    header, expected = evaluator.evaluate(case.path, *map(plain, case.inputs))
    net = bitnet.load(case.path)
    net.batch = 2 if counts["nets"] % 2 else net.batch

    # the format does not define the sign of a zero after these
    zeros = any(node["kind"] in ("relu", "max") for node in header["nodes"])

    def same(what, found, own, title="values: {}"):
        kind, total, wrong = differing(found, own, zeros)
        counts[title.format(kind)] += total
        counts["differences"] += wrong
        if wrong:
            faults.append(f"{what}: {wrong} of {total} {kind} differ")

    with np.errstate(all="ignore"):
        with computed_by(*variants[0]):
            values = net.graph.run_all(*net.check_inputs(*case.inputs))
        for i, node in enumerate(header["nodes"]):
            if node["inputs"]:
                title = "values: {} of products" if node["kind"] in PRODUCTS else "values: {}"
                same(f"node {i} ({node['kind']}), {variants[0]}", values[i], expected[i], title)
        with computed_by(*variants[1]):
            results = net.run(*case.inputs)
    for at, found in zip(header["outputs"], results, strict=True):
        same(f"output of node {at}, {variants[1]}", found, expected[at], "outputs: {}")
    return faults + by_hand(case, header, expected, counts)


def by_hand(case, header, expected, counts):
    """Compare what the reader in plain Python computes of the first row of a small net."""
    nodes = header["nodes"]
    work = sum(_work(nodes, expected, i) for i, node in enumerate(nodes) if len(node["inputs"]) > 1)
    floats = {x.dtype for x in expected if isinstance(x, np.ndarray) and x.dtype.kind == "f"}
    if {node["kind"] for node in nodes} - BY_HAND or work > MOST_BY_HAND or np.float64 in floats:
        return []
    one = [plain(x)[:1] for x in case.inputs]
    given = [{"shape": x.shape, "values": x.ravel().tolist()} for x in one]
    values, faults = read_by_hand.Net(case.path).run(given), []
    counts["nets read by hand"] += 1
    for i, found in enumerate(values):
        own = expected[i]
        if not nodes[i]["inputs"] or not len(own if isinstance(own, np.ndarray) else own.integers):
            continue
        own = (own if isinstance(own, np.ndarray) else own.integers)[: len(found)]
        counts["values: numbers by hand"] += own.size
        wrong = own.size - int((np.array(found, own.dtype).reshape(own.shape) == own).sum())
        if wrong and not np.isnan(own).any():
            counts["differences"] += wrong
            faults.append(f"node {i} ({nodes[i]['kind']}) by hand: {wrong} of {own.size} differ")
    return faults


def _work(nodes, values, i):
    """Return the number of products of a node for one row."""
    own, weights = (getattr(values[j], "integers", values[j]) for j in (i, nodes[i]["inputs"][1]))
    return weights.size * int(np.prod(own.shape[1:3]))


def campaign(seed, seconds=None, numbers=None, say=print):
    """Compare the nets of some numbers, or of all until the time is over; return the counts."""
    counts, variants = collections.Counter(), available()
    begin = time.monotonic()
    numbers = iter(range(1 << 40) if numbers is None else numbers)
    with tempfile.TemporaryDirectory() as folder:
        while seconds is None or time.monotonic() < begin + seconds:
            if (number := next(numbers, None)) is None:
                break
            own = [variants[(number + shift) % len(variants)] for shift in (0, 3)]
            try:
                case = Case(seed, number, pathlib.Path(folder) / "net.npz")
                if case.refused:
                    counts[case.refused] += 1
                    continue
                faults = compare(case, own, counts)
            except Exception as error:
                counts["differences"] += 1
                faults = [f"{type(error).__name__}: {error}"]
            counts["nets"] += 1
            for fault in faults:
                about = getattr(locals().get("case"), "about", "a net")
                say(f"--seed {seed} --number {number}: {about}: {fault}")
    return counts


def main():
    """Run a campaign and print its counts."""
    args = arguments.parser(__doc__).parse_args()
    numbers = None if args.number is None else [args.number]
    arguments.finish(campaign(args.seed, 60 * args.minutes, numbers=numbers), "differences")


if __name__ == "__main__":
    main()
