"""The file of Python has the integers and scores of the net, in CPython and MicroPython."""

import ast
import binascii
import json
import pathlib
import re
import shutil
import subprocess
import sys

import frozen_nets
import numpy as np
import pytest
from house import lines_of

import bitnet
from bitnet import nn
from bitnet.__main__ import main
from bitnet.data.preparation import Preparation
from bitnet.errors import InputError
from bitnet.export import to_python
from bitnet.export.python import forms, printer

CONFORMANCE = pathlib.Path(__file__).parent.parent / "conformance"
NAMES = "mlp", "mlp_low_bit", "convnet", "residual", "float_stem", "decoder", "lstm"
RUNTIMES = {
    "plain": [sys.executable, "-S", "-E"],  # without site-packages, and so without NumPy
    "numpy": [sys.executable],
    "micropython": ["micropython", "-X", "heapsize=64m"],
}
# print the results and integers of inputs, given as hexadecimal bytes; floats by their bits
DRIVER = """
import binascii, json, struct, sys
sys.path.insert(0, sys.argv[1])
import net
print("numpy" if net.numpy else "plain")
bits = lambda v: struct.unpack("<I", struct.pack("<f", v))[0] if isinstance(v, float) else v
for line in sys.stdin:
    x = [binascii.unhexlify(text) for text in line.split()]
    results = [[bits(v) for v in y] for y in net.outputs(*x)]
    print(json.dumps([results, net.integers(*x), net.predict(*x)]))
"""


@pytest.fixture(params=RUNTIMES)
def runtime(request):
    """A command that runs Python files."""
    found = RUNTIMES[request.param]
    if not shutil.which(found[0]):
        pytest.skip(f"{found[0]} is not installed")
    return found


def written(folder, net):
    """Write the file of a net; return its path."""
    path = folder / "net.py"
    path.write_text(to_python(net))
    return path


def results_of(command, folder, inputs):
    """Return results, integers and the class of each tuple of inputs."""
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    raw = "".join(
        " ".join(binascii.hexlify(raw_of(x)).decode() for x in own) + "\n" for own in inputs
    )
    words = [*command, str(driver), str(folder)]
    out = subprocess.run(words, input=raw, capture_output=True, text=True, check=True).stdout
    first, *lines = out.splitlines()
    assert first == ("numpy" if command == RUNTIMES["numpy"] else "plain")
    return [json.loads(line) for line in lines]


def raw_of(x):
    """Return an input as the bytes that the file reads."""
    return x.astype(
        {"f": "<f4", "i": "<i4"}[x.dtype.kind] if x.dtype != np.uint8 else x.dtype
    ).tobytes()


def bits_of(x):
    """Return the numbers of a result in the form of the driver."""
    x = np.ascontiguousarray(x).ravel()
    return (x.view(np.uint32) if x.dtype == np.float32 else x).tolist()


def stored(name):
    """Return the stored inputs, results and integers of a net."""
    content = json.loads((CONFORMANCE / f"{name}.json").read_text())

    def array(own):
        values = [float.fromhex(v) if isinstance(v, str) else v for v in own["values"]]
        return np.array(values, own["type"]).reshape(own["shape"])

    integers = {int(i): array(own) for i, own in content["integers"].items()}
    return [array(x) for x in content["inputs"]], [array(y) for y in content["outputs"]], integers


@pytest.mark.parametrize("name", NAMES)
def test_the_conformance_files_give_their_stored_numbers(name, runtime, tmp_path):
    net = bitnet.load(CONFORMANCE / f"{name}.npz")
    written(tmp_path, net)
    inputs, outputs, integers = stored(name)
    n = inputs[0].shape[1] if name == "lstm" else len(inputs[0])
    steps = len(inputs[0]) if name == "lstm" else 0

    def one(x, b):  # of the axis B, after T or in T * B
        if len(x) == steps * n and steps:
            x = x.reshape(steps, n, *x.shape[1:])
        return x[:, b] if len(x) == steps else x[b]

    found = results_of(runtime, tmp_path, [[one(x, b) for x in inputs] for b in range(n)])
    products = [i for i, node in enumerate(net.graph.nodes) if node.kind in ("linear", "conv")]
    assert len(found) == n > 1
    for b, (results, z, _) in enumerate(found):
        assert z == [one(integers[i], b).ravel().tolist() for i in products]
        assert results == [bits_of(one(y, b)) for y in outputs]


def filled(model, rng):
    """Fill the batch norms of a model with slopes of both signs."""
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm)):
        norm.running_mean[:] = rng.normal(0, 9, norm.num_features)
        norm.running_inv_std[:] = rng.uniform(0.01, 0.2, norm.num_features)
        norm.gamma.edit()[:] = rng.normal(0, 1, norm.num_features)
    return model.eval()


def pixels_net(rng):
    """A random MLP of pixels."""
    return bitnet.freeze(filled(nn.models.binary_mlp([100, 70, 33, 9], rng=rng), rng))


def signs_net(rng):
    """A random net of signs, with codes whose codebook has an offset, and 3-bit weights."""
    layers = [nn.QuantLinear(37, 20, rng=rng, weight_quantizer=3), nn.BatchNorm(20)]
    layers += [nn.Quantize("linear:3:0.25:unsigned"), nn.QuantLinear(20, 5, rng=rng)]
    model = filled(nn.Sequential(*layers, nn.BatchNorm(5)), rng)
    return bitnet.freeze(model, bitnet.kernels.pack(np.ones((1, 37))))


def images_net(rng):
    """A random net of images with padding of pixels, floats, groups and both poolings."""
    conv = nn.BinaryConv2d(1, 6, 3, padding=1, border=1, rng=rng)
    layers = [conv, nn.BatchNorm(6), nn.ReLU(), nn.MaxPool2d(2), nn.PReLU(6), nn.Quantize(3)]
    layers += [nn.QuantConv2d(6, 4, 3, padding=1, border=-1, groups=2, rng=rng), nn.AvgPool2d(2)]
    layers += [nn.BatchNorm(4), nn.Flatten(), nn.Linear(16, 3, rng=rng)]
    model = filled(nn.Sequential(*layers), rng)
    return bitnet.freeze(model, np.zeros((1, 8, 8, 1), np.uint8))


@pytest.mark.parametrize("make", [pixels_net, signs_net, images_net])
def test_random_nets_give_the_same_numbers(make, runtime, tmp_path):
    rng = np.random.default_rng(7)
    net = make(rng)
    written(tmp_path, net)
    x = rng.integers(0, 256, (4, *net.shape), np.uint8)
    x = x if net.input == "pixels" else np.where(x > 127, 1, -1)
    raw = x if net.input == "pixels" else x.astype(np.int8).view(np.uint8)
    found = results_of(runtime, tmp_path, [[own] for own in raw])
    for b, (results, z, predicted) in enumerate(found):
        own = x[b : b + 1]
        assert results == [bits_of(net.scores(own))]
        assert z == [y.ravel().tolist() for y in net.pre_activations(own)]
        assert predicted == net.predict(own)[0]


@pytest.mark.parametrize("kind", ["gru", "rnn", "lstm"])
@pytest.mark.parametrize("bits", [{}, {"weight_quantizer": "ternary", "activation_quantizer": 3}])
def test_recurrent_nets_give_the_same_numbers(kind, bits, runtime, tmp_path):
    rng = np.random.default_rng(3)
    own = {"width": 3, "units": 5, "layers": 2, "kind": kind}
    model = nn.models.language_model(6, rng=rng, **own, **bits)
    for _, parameter in model.named_parameters():
        parameter.assign(rng.normal(0, 1, parameter.shape).astype(np.float32))
    net = bitnet.freeze(model)
    written(tmp_path, net)
    ids = rng.integers(0, 6, (7, 1))
    states = [rng.normal(0, 1, (1, 5)).astype(np.float32) for _ in net.graph.inputs[1:]]
    given = [[ids.ravel()], [ids.ravel(), *[own.ravel() for own in states]]]
    (first, *_), (second, z, predicted) = results_of(runtime, tmp_path, given)
    assert first == [bits_of(y) for y in net.run(ids, *map(np.zeros_like, states))]
    assert second == [bits_of(y) for y in net.run(ids, *states)]
    assert z == [y.ravel().tolist() for y in net.pre_activations(ids, *states)]
    assert predicted == net.run(ids, *states)[0].argmax(axis=1).tolist()


def ran(runtime, path, *words, given=b""):
    """Run the program; return its exit code, lines and error."""
    out = subprocess.run([*runtime, str(path), *words], input=given, capture_output=True)
    return out.returncode, out.stdout.decode().split("\n")[:-1], out.stderr.decode()


def test_the_program_prints_classes_and_scores(runtime, tmp_path):
    rng = np.random.default_rng(0)
    net = pixels_net(rng)
    path = written(tmp_path, net)
    x = rng.integers(0, 256, (20, 100), np.uint8)
    (tmp_path / "x.raw").write_bytes(x.tobytes())
    classes = [str(own) for own in net.predict(x)]
    assert ran(runtime, path, str(tmp_path / "x.raw")) == (0, classes, "")
    assert ran(runtime, path, given=x.tobytes()) == (0, classes, "")
    code, lines, _ = ran(runtime, path, "--scores", given=x.tobytes())
    assert code == 0
    assert np.array_equal(np.float32([line.split() for line in lines]), net.scores(x))
    assert ran(runtime, path, "--self-test") == (0, ["self-test passed"], "")


@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        ([], b"", "got 0 numbers; expected 100"),
        ([], b"x" * 250, "got 250 numbers; expected 200|got 50 numbers; expected 100"),
        (["missing.raw"], b"", "ENOENT|No such file"),
        (["--top"], b"", "expected a file of raw inputs, and --scores or --self-test"),
        (["a", "b"], b"", "expected a file of raw inputs, and --scores or --self-test"),
    ],
)
def test_bad_inputs_are_refused_with_one_sentence(words, given, message, runtime, tmp_path):
    path = written(tmp_path, pixels_net(np.random.default_rng(0)))
    code, _, error = ran(runtime, path, *words, given=given)
    assert code == 1
    assert len(error.splitlines()) == 1
    assert re.search(message, error)


def module_of(net):
    """Return the functions and constants of the file of a net."""
    own = {"__name__": "net"}
    exec(compile(to_python(net), "net.py", "exec"), own)
    return own


@pytest.mark.parametrize(
    "bad", [[0] * 99, [0] * 99 + [256], [0] * 99 + [-1], [0.5] * 100, [0] * 200]
)
def test_the_functions_refuse_bad_inputs(bad):
    own = module_of(pixels_net(np.random.default_rng(0)))
    with pytest.raises(ValueError, match=r"got .*; expected"):
        own["predict"](bad)


def test_many_inputs_are_predicted_at_once():
    rng = np.random.default_rng(0)
    net = pixels_net(rng)
    own, x = module_of(net), rng.integers(0, 256, (50, 100), np.uint8)
    for given in (x, x.ravel().tolist(), x.tobytes()):
        assert own["predict_all"](given) == net.predict(x).tolist()
    assert np.array_equal(own["scores_all"](x), net.scores(x))


@pytest.mark.parametrize("target", ["regression", "multilabel"])
def test_other_targets(target):
    rng = np.random.default_rng(0)
    net = pixels_net(rng)
    net.target = target
    x = rng.integers(0, 256, (3, 100), np.uint8)
    assert module_of(net)["predict_all"](x) == net.predict(x).tolist()


def test_a_changed_digit_fails_the_self_test(tmp_path):
    path = written(tmp_path, pixels_net(np.random.default_rng(0)))
    lines = path.read_text().splitlines()
    at = lines.index('CONTENT = decoded("""') + 1
    lines[at] = lines[at].translate(str.maketrans("abcdefgh", "hgfedcba"))
    path.write_text("\n".join(lines))
    code, _, error = ran(RUNTIMES["plain"], path, "--self-test")
    assert code == 1
    assert "are not those of bitnet" in error


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_short_and_has_the_syntax_of_python_3_8(name):
    text = to_python(bitnet.load(CONFORMANCE / f"{name}.npz"))
    ast.parse(text, feature_version=(3, 8))
    predictor, _ = text.split("DIGITS = {", 1)
    assert lines_of(predictor)[1] <= 250
    assert max(map(len, text.splitlines())) <= 100
    modules = {"struct", "sys", "array", "numpy"}
    assert set(re.findall(r"^ *(?:import|from) (\w+)", text, re.MULTILINE)) == modules


def test_only_what_the_net_uses_is_printed():
    texts = {name: to_python(bitnet.load(CONFORMANCE / f"{name}.npz")) for name in NAMES}
    users = {"lstm": ["lstm"], "upsample": ["decoder"], "product_of_bits": [*NAMES]}
    users["float_conv"] = ["residual", "float_stem", "decoder"]
    for name, own in users.items():
        assert [other for other in NAMES if f"def {name}(" in texts[other]] == own
    assert "def conv(" not in texts["mlp"]


def test_no_function_of_the_template_is_left_over():
    template = printer.TEMPLATE.read_text()
    users = template + pathlib.Path(forms.__file__).read_text()
    users += pathlib.Path(printer.__file__).read_text()
    kinds = {*forms.ELEMENTWISE, "pixels", "numbers", "signs", "rnn", "lstm", "gru"}
    for node in ast.parse(template).body:
        names = [own.id for own in getattr(node, "targets", [])] or [getattr(node, "name", None)]
        for name in filter(None, names):
            used = len(re.findall(rf"\b{name}\b", users)) > 1
            assert used or name in kinds, name


def test_what_has_no_form_is_refused_by_name():
    with pytest.raises(InputError, match=r"node \d+ \(select\): it has no form in Python"):
        to_python(frozen_nets.images())
    with pytest.raises(InputError, match="it has 2 inputs; expected a net with one"):
        to_python(frozen_nets.sequences())
    with pytest.raises(InputError, match="got str; expected a frozen net"):
        to_python("net.npz")


def test_a_preparation_is_refused():
    net = pixels_net(np.random.default_rng(0))
    images = np.random.default_rng(0).integers(0, 256, (4, 10, 10, 1), np.uint8)
    net.preparation = Preparation.fit(["gcn"], images)
    with pytest.raises(InputError, match=r"its preparation \(gcn\) has no form in Python"):
        to_python(net)


def test_the_command_writes_the_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["export", str(CONFORMANCE / "mlp.npz"), "--to", "python"])
    net = bitnet.load(CONFORMANCE / "mlp.npz")
    assert pathlib.Path("mlp.py").read_text() == to_python(net)
    assert "one file of Python" in capsys.readouterr().out
