"""The stored nets give their stored numbers, in our runtime and in the plain reader."""

import ast
import importlib.util
import json
import pathlib
import struct
import sys

import numpy as np
import pytest
from scripts import EXAMPLES, run

import bitnet
from bitnet import kernels
from bitnet.archive import header_of, read_archive
from bitnet.deploy.file import VERSION
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.products import Linear, Threshold
from bitnet.deploy.sizes import BATCH
from bitnet.deploy.sources import Input, Weights
from bitnet.kernels import Codebook

HERE = pathlib.Path(__file__).parent


def module_of(path):
    """Import a file that is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make, reader = module_of(HERE / "make.py"), module_of(EXAMPLES / "read_by_hand.py")
NAMES = [own.__name__ for own in make.NETS]
READ = [name for name in NAMES if name not in ("decoder", "sequences")]


def stored(name):
    """The text of the expected numbers of a net, as an object."""
    return json.loads((HERE / f"{name}.json").read_text())


def arrays_of(given):
    """The arrays of a list in the form of JSON."""
    for own in given:
        values = [float.fromhex(v) if isinstance(v, str) else v for v in own["values"]]
        yield np.array(values, own["type"]).reshape(own["shape"])


@pytest.mark.parametrize("own", make.NETS, ids=NAMES)
def test_the_stored_files_are_those_that_the_script_makes(own, tmp_path):
    name, (net, inputs) = own.__name__, make.frozen(own)
    net.save(tmp_path / "net.npz")
    (header, arrays), (same, others) = (
        read_archive(folder / file, net.kind, VERSION)
        for folder, file in ((tmp_path, "net.npz"), (HERE, f"{name}.npz"))
    )
    assert header == same
    assert arrays.keys() == others.keys()
    for key, array in arrays.items():
        assert (array.dtype, array.shape) == (others[key].dtype, others[key].shape), key
        assert array.tobytes() == others[key].tobytes(), key
    assert make.expected(net, inputs) == stored(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_runtime_returns_the_stored_numbers(implementation, name):
    assert header_of(HERE / f"{name}.npz")["version"] == VERSION == 2
    net, expected = bitnet.load(HERE / f"{name}.npz"), stored(name)
    assert expected["integers"] or name == "sequences"
    assert make.expected(net, tuple(arrays_of(expected["inputs"]))) == expected


def bits_of(x):
    """Numbers of the plain reader, floats as the bits of float32."""
    return [struct.pack("<f", v) if isinstance(v, float) else v for v in reader.flat(x)]


def floats_of(given):
    """Stored numbers in the form of `bits_of`."""
    return [struct.pack("<f", float.fromhex(v)) if isinstance(v, str) else v for v in given]


@pytest.mark.parametrize("name", READ)
def test_the_plain_reader_returns_the_stored_numbers(name):
    net, expected = reader.Net(HERE / f"{name}.npz"), stored(name)
    values = net.run(expected["inputs"])
    for number, z in expected["integers"].items():
        assert reader.flat(values[int(number)]) == z["values"]
    for number, y in zip(net.header["outputs"], expected["outputs"], strict=True):
        assert bits_of(values[number]) == floats_of(y["values"])


def test_the_plain_reader_names_a_kind_that_it_does_not_know():
    net, expected = reader.Net(HERE / "sequences.npz"), stored("sequences")
    with pytest.raises(SystemExit, match="node 9: this reader does not know the kind 'gru'"):
        net.run(expected["inputs"])


@pytest.mark.parametrize("place", [0, 700, -100, -1])
def test_the_plain_reader_refuses_a_damaged_file(tmp_path, place):
    content = bytearray((HERE / "mlp.npz").read_bytes())
    content[place] ^= 1
    (tmp_path / "net.npz").write_bytes(content)
    with pytest.raises(SystemExit, match="ends with its SHA-256"):
        reader.Net(tmp_path / "net.npz")


def test_the_plain_reader_is_a_page_of_plain_python(tmp_path):
    text = (EXAMPLES / "read_by_hand.py").read_text()
    assert len(text.splitlines()) <= 150
    imports = [own for own in ast.walk(ast.parse(text)) if isinstance(own, ast.Import)]
    froms = [own.module for own in ast.walk(ast.parse(text)) if isinstance(own, ast.ImportFrom)]
    names = {alias.name for own in imports for alias in own.names} | set(froms)
    assert names <= sys.stdlib_module_names
    out = run("read_by_hand.py", folder=tmp_path).stdout
    values = reader.Net(HERE / "mlp.npz").run(stored("mlp")["inputs"])
    assert f"node 2, linear: {values[2]}\n" in out
    assert out.endswith(f"node 9, affine: {values[9]}\n")
    words = str(HERE / "lstm.npz"), str(HERE / "lstm.json")
    assert "node 16, linear: " in run("read_by_hand.py", *words, folder=tmp_path).stdout


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in HERE.glob("*.*")) < 150_000


def test_the_unit_of_the_page():
    """The table of docs/file-format.md, read as it stands there."""
    page = (EXAMPLES.parent / "docs" / "file-format.md").read_text()
    lines = page[page.index("## One unit in numbers") :].splitlines()
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if "|" in line}
    pixels = np.array([[int(v) for v in rows["pixel p"]]], np.uint8)
    assert [int(v) for v in rows["integer 2p - 255"]] == (2 * pixels[0].astype(int) - 255).tolist()
    weights = kernels.pack(np.array([[float(v) for v in rows["weight"]]]))
    assert (kernels.pack(np.array([int(v) - 0.5 for v in rows["bit"]]))).equals(weights[0])
    assert f"bytes `{weights.to_bytes().tobytes().hex(' ')}`" in page
    assert sum(int(v) for v in rows["product"]) == 348
    for steps, up, code in ((347, True, 1), (347, False, 0), ([347, 347, 400], True, 2)):
        book = Codebook.uniform(2) if isinstance(steps, list) else None
        thresholds = np.array([steps], np.int32), np.array([up])
        nodes = [Input("pixels", (), (BATCH, 10)), Weights("weights", (), weights)]
        nodes += [Linear("linear", (0, 1)), Threshold("thresholds", (2,), *thresholds, book)]
        _, _, z, y = FrozenGraph(nodes, [3]).run_all(pixels)
        assert z.tolist() == [[348]]
        values = y.integers() if book else y.signs()
        assert values.tolist() == [[(book or Codebook.uniform(1)).integers[code]]]
