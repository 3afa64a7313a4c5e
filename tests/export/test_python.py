"""The file of Python has the integers and scores of the net, in CPython and MicroPython."""

import ast
import binascii
import builtins
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
from hypothesis import HealthCheck, given, settings
from whole_models import whole_models

import bitnet
from bitnet import nn
from bitnet.__main__ import main
from bitnet.data.preparation import Preparation
from bitnet.errors import InputError
from bitnet.export import to_python
from bitnet.export.python import forms, moves, printer
from bitnet.kernels import BitPlanes, Bits

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


@pytest.mark.parametrize("kind", ["rows", "images", "sequences"])
def test_any_model_gives_the_same_numbers(kind):
    """Compare each result and integer of one input, with NumPy and without; a zero has any sign."""
    refused, compared = [], []

    @settings(max_examples=30, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
    @given(whole_models(kind))
    def try_models(whole):
        own = whole.rows(0)
        with np.errstate(all="ignore"):
            try:
                net = bitnet.freeze(whole.model, own, axes=whole.axes)
                text = to_python(net)
            except InputError as error:
                refused.append(str(error))
                return
            results, integers = net.run(*own), net.pre_activations(*own)
        compared.append(net)
        for numpy in (True, False):
            file = module_of(net, text, numpy)
            x = [plain(x).ravel().tolist() for x in own]
            for found, expected in zip(file["outputs"](*x), results, strict=True):
                expected = plain(expected).ravel()
                is_float = expected.dtype.kind == "f"
                same = np.array_equal(np.array(found, expected.dtype), expected, is_float)
                assert same, (found, expected)
            assert file["integers"](*x) == [z.ravel().tolist() for z in integers]

    try_models()
    assert len(compared) > 8
    assert all(re.search("in Python|inputs|int32", own) for own in refused), refused


def plain(x):
    """Return an input or a result as an array."""
    x = x.integers() if isinstance(x, BitPlanes) else x
    return x.signs() if isinstance(x, Bits) else np.asarray(x)


MODELS = {
    "bireal": lambda rng: nn.models.bireal((32, 32, 3), 4, rng=rng, width=4, convs=(2, 2)),
    "quicknet": lambda rng: nn.models.quicknet((32, 32, 3), 4, rng=rng, width=8, convs=(1, 1)),
    "reactnet": lambda rng: nn.models.reactnet((32, 32, 3), 4, rng=rng, width=8),
    "binarydense": lambda rng: nn.models.binarydense((32, 32, 3), 4, rng=rng, width=8),
    "xnornet": lambda rng: nn.models.xnornet((32, 32, 3), 4, rng=rng, width=8),
    "keyword": lambda rng: nn.models.keyword((32, 32, 3), 4, rng=rng, width=8),
    "binaryduo": lambda rng: nn.models.binaryduo((32, 32, 3), 4, rng=rng, width=8),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_models_of_the_papers_have_a_form(name):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (2, 32, 32, 3), np.uint8)
    net = bitnet.freeze(filled(MODELS[name](rng), rng), images[:1])
    file = module_of(net)
    assert np.array_equal(np.float32(file["scores_all"](images)), net.scores(images))
    assert file["predict"](images[0]) == net.predict(images)[0]


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_classifier_of_sequences(pooling, runtime, tmp_path):
    """The last step and the mean are those of tokens that are no padding."""
    rng = np.random.default_rng(2)
    own = {"pooling": pooling, "width": 4, "units": 5, "rng": rng}
    model = nn.models.sequence_classifier(9, 3, **own).eval()
    net = bitnet.freeze(model, np.ones((1, 2), np.int64), axes=["BT"])
    written(tmp_path, net)
    ids = np.array([[4, 8, 1, 7, 0, 0], [0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6]])
    found = results_of(runtime, tmp_path, [[own] for own in ids])
    for row, (results, _, predicted) in zip(ids, found, strict=True):
        assert results == [bits_of(net.scores(row[None]))]
        assert predicted == net.predict(row[None])[0]


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


def module_of(net, text=None, numpy=True):
    """Return the functions and constants of the file of a net, as if NumPy were there or not."""

    def without(name, *more):
        if name == "numpy":
            raise ImportError
        return __import__(name, *more)

    own = {"__name__": "net"}
    own |= {} if numpy else {"__builtins__": vars(builtins) | {"__import__": without}}
    exec(compile(text or to_python(net), "net.py", "exec"), own)
    assert bool(own["numpy"]) == numpy
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
    for form in (x, x.ravel().tolist(), x.tobytes()):
        assert own["predict_all"](form) == net.predict(x).tolist()
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
    modules = forms, moves, printer
    users = template + "".join(pathlib.Path(own.__file__).read_text() for own in modules)
    kinds = {*forms.ELEMENTWISE, "pixels", "numbers", "signs", "rnn", "lstm", "gru"}
    for node in ast.parse(template).body:
        names = [own.id for own in getattr(node, "targets", [])] or [getattr(node, "name", None)]
        for name in filter(None, names):
            used = len(re.findall(rf"\b{name}\b", users)) > 1
            assert used or name in kinds, name


def test_what_has_no_form_is_refused_by_name():
    with pytest.raises(InputError, match=r"node \d+ \(power\): it has no form in Python"):
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
