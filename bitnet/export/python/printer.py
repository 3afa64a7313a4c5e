"""A frozen net as one file of Python: the functions in `parts` that it needs, and its data."""

import ast
import base64
import pathlib
import re
from typing import Any

import numpy as np

import bitnet
from bitnet.deploy.runtime import FrozenNet
from bitnet.errors import InputError

HERE = pathlib.Path(__file__).parent
KINDS = {
    "weights": "weights",
    "constant": "constant",
    "linear": "linear",
    "conv": "conv",
    "thresholds": "thresholds",
    "quantize": "quantize",
    "planes": "top_planes",
    "unpack": "unpack",
    "affine": "affine",
    "rescale": "rescale",
    "flatten": "reshape",
    "reshape": "reshape",
    "upsample": "upsample",
    "concatenate": "concatenate",
    "slice": "sliced",
    "gather": "gather",
    "float linear": "float_linear",
    "mixed linear": "float_linear",
    "float conv": "float_conv",
    "mixed conv": "float_conv",
}
KINDS |= dict.fromkeys(("maxpool", "sumpool", "avgpool"), "pool")
KINDS |= dict.fromkeys(("rnn", "lstm", "gru"), "cell")
ARITHMETIC = "add subtract multiply divide prelu maximum minimum negate abs relu hardtanh"
KINDS |= dict.fromkeys(ARITHMETIC.split(), "arithmetic")
INPUTS = {"pixels": "B", "signs": "b", "numbers": "f", "ids": "i"}
TYPES = {"<f4": "f", "<i4": "i", "<i8": "q", "|u1": "B"}
PARTS = "values", "products", "numbers", "moves", "run"  # of the file, in `parts`
N_TESTS = 2  # vectors of the self test
WIDTH = 96
ALWAYS = ("main", "predict_all", "integers", "arrays", "decoded")


def to_python(net: FrozenNet, *, steps: int = 1) -> str:
    """Return a frozen net as the text of one Python file without dependencies.

    The file predicts with Python 3.8 or newer, or MicroPython; with NumPy, where it is installed,
    products are faster.  Its integers, scores and classes are those of `net`; docs/embedding.md
    describes it.

    Parameters
    ----------
    net : FrozenNet
        The net.
    steps : int, optional
        The number of steps T of a sequence; default: 1.

    Raises
    ------
    InputError
        If a node of the net has no form in this file.

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
        own = " ".join(net.preparation.header["steps"])
        raise InputError(f"{net}: its preparation ({own}) has no form in Python; prepare outside")
    graph = net.graph
    for i, node in enumerate(graph.nodes):
        value = graph.values[i]
        known = node.kind in KINDS or node.kind in INPUTS
        if not known or value.kind in ("float64", "bool"):
            expected = "use other layers, or NumPy with bitnet.load"
            raise InputError(f"{graph.title(i)}: it has no form in one file; {expected}")
        if node.kind == "unpack" and value.kind != "float32":
            raise InputError(f"{graph.title(i)}: it gives {value.kind}; expected float32")
    header, content = _header(graph)
    text = _selected({KINDS[node.kind] for node in graph.nodes if node.kind in KINDS})
    names = {own.kind: KINDS[own.kind] for own in graph.nodes if own.kind in KINDS}
    about = _about(net, steps)
    data = base64.b85encode(bytes(content) + bytes(-len(content) % 4)).decode()
    lines = "\n".join(f'    "{data[i : i + WIDTH]}"' for i in range(0, len(data), WIDTH))
    first = f'"""{net!r} in one file, printed by bitnet {bitnet.__version__}: '
    text = text.replace('"""A net of bits in one file: ', first, 1)
    kinds = ", ".join(f"{kind!r}: {name}" for kind, name in sorted(names.items()))
    text = re.sub(r"^KINDS = \{\}.*$", lambda _: f"KINDS = {{{kinds}}}", text, flags=re.M)
    listed = "".join(f"    {node!r},\n" for node in header)
    nodes = f"NODES = [\n{listed}]\n"
    own = f"{nodes}OUTPUTS, STEPS = {list(graph.outputs)!r}, {steps}\nABOUT = {about!r}\n"
    own += f"DATA = (\n{lines}\n)\n"
    text = re.sub(r"^NODES, OUTPUTS.*\n", "", text, flags=re.M)
    return text.replace(
        'if __name__ == "__main__":',
        f'{own}arrays(NODES, decoded(DATA))\n\n\nif __name__ == "__main__":',
    )


def _header(graph):
    """Return the nodes with places of arrays, and the content of all arrays."""
    content, header = bytearray(), []
    for node in graph.nodes:
        own, held = node.contents()
        own.pop("name", None)
        for name, array in held.items():
            content += bytes(-len(content) % 8)
            kind = TYPES.get(array.dtype.str)
            if kind is None:
                raise InputError(f"an array of {array.dtype}, which has no form in one file")
            own[name] = {"array": [len(content), kind, list(array.shape)]}
            content += np.ascontiguousarray(array).tobytes()
        header.append(own)
    return header, content


def _about(net, steps) -> dict[str, Any]:
    """Return the type and number of the inputs, and the scores of the self test."""
    node = net.graph.inputs[0]
    n = int(np.prod([own if isinstance(own, int) else 1 for own in node.shape]))
    kind, tests = INPUTS[node.kind], []
    n = n if node.kind != "ids" and node.shape[0] != "T" else n * steps
    if node.kind in ("pixels", "numbers") and len(net.graph.inputs) == 1 and net.graph.is_by_row:
        value, drawn = 1, []
        for _ in range(N_TESTS * n):
            value = (value * 1664525 + 1013904223) % 2**32
            drawn.append(value >> 24)
        x = np.array(drawn, np.uint8).reshape(N_TESTS, *net.shape)
        x = x if kind == "B" else x.astype(np.float32) / np.float32(64) - np.float32(2)
        tests = [[float(v) for v in own.reshape(-1)] for own in net.graph.run(x)[0]]
    return {"inputs": n, "kind": kind, "tests": tests}


def _selected(names):
    """Return the text of the parts with only the functions that the named ones need."""
    text = "\n\n".join((HERE / "parts" / f"{name}.py").read_text() for name in PARTS)
    tree, lines = ast.parse(text), text.splitlines()
    functions = {own.name: own for own in tree.body if isinstance(own, ast.FunctionDef)}
    needed, left = set(), [*names, *ALWAYS]
    while left:
        name = left.pop()
        if name in needed or name not in functions:
            continue
        needed.add(name)
        walked = ast.walk(functions[name])
        left += [own.id for own in walked if isinstance(own, ast.Name)]
    removed = set()
    for name, own in functions.items():
        if name not in needed:
            removed |= set(range(own.lineno - 1, own.end_lineno + 2))
    return "\n".join(line for i, line in enumerate(lines) if i not in removed) + "\n"
