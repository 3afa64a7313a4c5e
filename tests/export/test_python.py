"""One file of Python: the same integers and scores as the frozen net, in CPython and MicroPython.

MicroPython is `micropython` on the path, or the folder MICROPYTHON_JS of its npm package for
WebAssembly, which node runs.
"""

import ast
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from exported import CONFORMANCE, case, drawn
from house import lines_of

import bitnet
from bitnet import InputError, nn
from bitnet.export import to_python

HERE = pathlib.Path(__file__).parent
NAMES = "mlp", "mlp_low_bit", "convnet", "residual", "float_stem", "decoder", "lstm"
OTHERS = "2 planes", "2 bits", "shortcuts"
MOST_LINES = 250  # of code, for a net of fully connected layers
WITHOUT = "import sys; sys.modules['numpy'] = None; "
ASK = "import json, net; given = json.loads(%r); net.LARGE = 0; "
ASK += "print(json.dumps([[net.integers(*x), net.results(*x)] for x in given]))"


def net_of(name):
    """Return a net by its name."""
    return bitnet.load(CONFORMANCE / f"{name}.npz") if name in NAMES else case(name).net


def inputs_of(name, net):
    """Return lists of inputs: one image each, or a text of 4 tokens and the first states."""
    if name == "lstm":
        ids = np.random.default_rng(0).integers(0, 7, (2, 4, 1))
        return [(own, np.zeros((1, 9), np.float32), np.zeros((1, 9), np.float32)) for own in ids]
    return drawn(net, np.random.default_rng(0), 2)


def asked(given, command, folder):
    """Return the answers of a program that imports the file."""
    text = ASK % json.dumps([[x.reshape(-1).tolist() for x in inputs] for inputs in given])
    (folder / "ask.py").write_text(text)
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def micropython(folder):
    """Return the command that runs ask.py in MicroPython, or skip."""
    if path := shutil.which("micropython"):
        return [path, "ask.py"]
    package = os.environ.get("MICROPYTHON_JS")
    if package is None or shutil.which("node") is None:
        pytest.skip("neither micropython nor node with MICROPYTHON_JS is there")
    own = str(HERE / "micropython.mjs"), package, "net.py", "ask.py"
    return ["node", *own]


@pytest.mark.parametrize("way", ["pure", "numpy", "micropython"])
@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_the_file_gives_the_same_numbers(name, way, tmp_path):
    net = net_of(name)
    (tmp_path / "net.py").write_text(to_python(net, steps=4 if name == "lstm" else 1))
    if way == "micropython":
        command = micropython(tmp_path)
    else:
        before = WITHOUT if way == "pure" else ""
        command = [sys.executable, "-c", f"{before}exec(open('ask.py').read())"]
    given = inputs_of(name, net)
    for inputs, (integers, results) in zip(given, asked(given, command, tmp_path), strict=True):
        for found, z in zip(integers, net.pre_activations(*inputs), strict=True):
            assert found == z.reshape(-1).tolist()
        for found, y in zip(results, net.run(*inputs), strict=True):
            assert np.float32(found).tobytes() == y.astype(np.float32).tobytes()


def test_the_file_is_short_and_old_python_reads_it():
    for name in (*NAMES, *OTHERS):
        text = to_python(net_of(name))
        ast.parse(text, feature_version=(3, 8))
        code = text[: text.index("NODES = [")] + text[text.index('if __name__ == "__main__":') :]
        if name in ("mlp", "mlp_low_bit", "2 planes", "2 bits"):
            assert lines_of(code)[1] <= MOST_LINES


def test_the_file_as_a_program(tmp_path):
    net = net_of("mlp")
    path = tmp_path / "net.py"
    path.write_text(to_python(net))
    images = np.concatenate([x for (x,) in drawn(net, np.random.default_rng(0))])
    raw = images.tobytes()

    def run(*words, content=raw):
        own = [sys.executable, str(path), *words]
        done = subprocess.run(own, input=content, capture_output=True)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    classes = "".join(f"{found}\n" for found in net.predict(images))
    assert run() == (0, classes, "")
    assert run("--self-test") == (0, "", "")
    (tmp_path / "images.raw").write_bytes(raw)
    assert run(str(tmp_path / "images.raw"), content=b"") == (0, classes, "")
    code, _, error = run(content=b"12345")
    assert (code, error) == (1, "the last input has 5 bytes; expected 60\n")
    assert run("--nonsense")[0] == 1


def test_a_node_without_a_form_is_refused_by_name():
    rng = np.random.default_rng(0)
    first = nn.Sequential(nn.BinaryLinear(9, 4, rng=rng), nn.BatchNorm(4))

    class Model(nn.Module):
        def __init__(self):
            self.first = first

        def forward(self, x):
            return self.first(x).exp()

    net = bitnet.freeze(Model().eval(), np.zeros((1, 9), np.uint8))
    with pytest.raises(InputError, match=r"node \d+ \(exp\)"):
        to_python(net)
