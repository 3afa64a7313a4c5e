"""A frozen net as one file of Python without dependencies."""

import ast
import base64
import math
import pathlib
import textwrap

import numpy as np

import bitnet
from bitnet.deploy.language import FrozenLanguageModel
from bitnet.deploy.runtime import FrozenNet
from bitnet.deploy.sizes import BATCH as BATCH_SIZE
from bitnet.deploy.sizes import Size, at, total
from bitnet.errors import InputError
from bitnet.export.python import moves  # noqa: F401
from bitnet.export.python.forms import WIDTH, Nodes, kind_of
from bitnet.kernels import BitPlanes, Bits

TEMPLATE = pathlib.Path(__file__).with_name("predictor.txt")
ROOTS = ["decoded", "main", "outputs", "scores", "integers", "predict", "predict_all"]
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
DECIDED = {"classification": "classified", "multilabel": "labelled", "regression": "estimated"}
DRAWN = {"pixels": "v", "numbers": "v / 64 - 2", "signs": "v % 2 * 2 - 1"}
RAW = {"pixels": "uint8 pixels", "numbers": "float32 numbers", "signs": "int8 signs"}
TESTS, STEPS, BATCH = 3, 4, 16  # vectors of the self-test, its steps, inputs computed at once
ALWAYS = ast.Import, ast.ImportFrom, ast.Try  # statements that each file has
END = """\
if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        print("%s: %s" % (sys.argv[0], error), file=sys.stderr)
        sys.exit(1)
"""


def to_python(net: FrozenNet) -> str:
    """Return a frozen net as the text of a Python file without dependencies.

    The integers, scores and classes are those of `net`.  The file runs on CPython 3.8 and later and
    on MicroPython, and uses NumPy if it is installed.  It is a program, and a module with
    `predict`, `scores`, `integers`, `outputs` and `predict_all`; docs/embedding.md describes it.

    Parameters
    ----------
    net : FrozenNet
        The net.

    Raises
    ------
    InputError
        If the net has a preparation, or a node without a form in this file.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng))
    >>> "def predict(" in to_python(net)
    True
    """
    if not isinstance(net, FrozenNet):
        raise InputError(f"to_python: got {type(net).__name__}; expected a frozen net")
    if net.preparation is not None:
        steps = " ".join(net.preparation.header["steps"])
        raise InputError(f"{net}: its preparation ({steps}) has no form in Python; prepare outside")
    graph = net.graph
    if len(graph.inputs) > 1 and not isinstance(net, FrozenLanguageModel):
        raise InputError(f"{net}: it has {len(graph.inputs)} inputs; expected a net with one")
    names = {name for v in graph.values for n in v.shape for name in getattr(n, "names", ())}
    if others := sorted(names - {"B", "T"}):
        raise InputError(f"{net}: the size {others[0]} depends on the inputs; expected B or T")
    return _File(net).text()


class _File:
    """The parts of a file."""

    def __init__(self, net):
        self.net, self.graph, self.nodes = net, net.graph, Nodes(net.graph)
        self.input, *states = self.graph.inputs
        own = [n.names for n in self.input.shape if isinstance(n, Size)]
        self.is_sequence = ("T",) in own
        self.states = [math.prod(at(node.shape, {"B": 1})) for node in states]
        self.expected = self._expected()

    def text(self):
        """Return the file."""
        run = ["def run(given, B, T):", '    """Return the results, and the integers."""']
        results, integers = ", ".join(self.nodes.results), ", ".join(self.nodes.integers)
        given = ", ".join(f"x{k}" for k in range(1 + len(self.states)))
        body = [f"[{given}] = given", *self.nodes.lines]
        run += [f"    {line}" for line in [*body, f"return [{results}], [{integers}]"]]
        run += ["", "", "if numpy:  # without warnings of infinity and NaN"]
        run += ['    run = numpy.errstate(all="ignore")(run)']
        own = [*self.nodes.reads(), *self._settings()]
        functions = chosen("\n".join([*own, *run]), ROOTS)
        content = b"".join(self.nodes.content)
        digits = base64.b85encode(content + bytes(-len(content) % 4)).decode()
        lines = [digits[i : i + WIDTH] for i in range(0, len(digits), WIDTH)]
        data = ["DIGITS = {digit: value for value, digit in enumerate(", f'    b"{DIGITS}"', ")}"]
        data += ['CONTENT = decoded("""', *lines, '""")']
        return "\n".join([self._about(), *functions, *data, *own, "\n", *run, "\n", END])

    def _about(self):
        """Return the docstring."""
        raw = RAW.get(self.input.kind, "int32 ids")
        many = "of one sequence" if self.is_sequence else "of inputs, one after the other"
        text = (
            f"{self.net!r}, printed by bitnet {bitnet.__version__}. CPython 3.8 or later, or "
            "MicroPython; with NumPy it is faster. It has predict, scores, integers and outputs "
            "for one input, a flat list or bytes, and predict_all for many."
        )
        lines = [*textwrap.wrap(text, WIDTH - 3), "", f"RAW has {raw} {many}:", ""]
        lines += ["    python FILE.py [--scores] [RAW]", "    python FILE.py --self-test"]
        return '"""' + "\n".join(lines) + '\n"""\n'

    def _settings(self):
        """Return the lines of constants that describe the net."""
        graph, one = self.graph, {"B": 1, "T": 1}
        scores = graph.values[graph.outputs[0]].shape or (1,)
        what = "each step" if self.is_sequence else "an input"
        draw = DRAWN.get(self.input.kind, f"v % {getattr(self.input, 'below', 0)}")
        return [
            f"KIND = {kind_of(self.input)}",
            f"INPUTS = {math.prod(at(self.input.shape, one))}  # numbers of {what}",
            f"STATES = {self.states}  # numbers of each state",
            f"CLASSES = {at(scores, one)[-1]}",
            f"SEQUENCE = {self.is_sequence}",
            f"SEVERAL = {total(scores[:-1]) != BATCH_SIZE}  # rows of scores per input",
            f"BATCH = {BATCH if graph.is_by_row else 1} if numpy else 1  # inputs computed at once",
            f"EXPECTED = {self.expected}  # scores of drawn inputs",
            f"TESTS, STEPS = {TESTS}, {STEPS if self.is_sequence else 1}",
            f"decided = {DECIDED[self.net.target]}",
            f"draw = lambda v: {draw}",
        ]

    def _expected(self):
        """Return the name of the scores of drawn inputs."""
        shape = at(self.input.shape, {"B": 1, "T": STEPS})
        drawn, value = [], 1
        for _ in range(TESTS * math.prod(shape)):
            value = (value * 1664525 + 1013904223) % 2**32
            drawn.append(value >> 24)
        v = np.array(drawn).reshape(TESTS, *shape)
        numbers = (v / 64 - 2).astype(np.float32)
        inputs = {"pixels": v.astype(np.uint8), "numbers": numbers, "signs": v % 2 * 2 - 1}
        states = [np.zeros((1, n), np.float32) for n in self.states]
        x = inputs.get(self.input.kind, v % getattr(self.input, "below", 1))
        with np.errstate(all="ignore"):
            results = [self.net.run(own, *states)[0] for own in x]
        scores = np.stack([numbers_of(own) for own in results])
        if scores.dtype == np.float32:
            return self.nodes.floats(scores.ravel())
        return self.nodes.constant(f"made(({scores.size},), {scores.ravel().tolist()}, False)")


def numbers_of(x):
    """Return the numbers of a result, of packed ones the integers."""
    return x.integers() if isinstance(x, BitPlanes) else x.signs() if isinstance(x, Bits) else x


def chosen(text, roots):
    """Return the definitions of the template that a text needs, and what these need."""
    source = TEMPLATE.read_text()
    tree, lines, parts = ast.parse(source), source.splitlines(), {}
    for node in tree.body:
        names = [own.id for own in getattr(node, "targets", [])]
        parts |= dict.fromkeys([*names, getattr(node, "name", "")], node)
    needed, taken = [*roots, *_names(ast.parse(text))], set()
    while needed:
        if (name := needed.pop()) in parts and name not in taken:
            taken.add(name)
            needed += _names(parts[name])
    own, found, before = [parts[name] for name in taken], [], None
    for node in tree.body:
        if not isinstance(node, ALWAYS) and node not in own:
            continue
        spaced = any(isinstance(one, (ast.FunctionDef, ast.ClassDef)) for one in (before, node))
        gap = 2 if spaced else int(any(isinstance(one, ast.Try) for one in (before, node)))
        found += [""] * gap + lines[node.lineno - 1 : node.end_lineno]
        before = node
    return [*found, "", ""]


def _names(tree):
    """Return the names in a syntax tree."""
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
