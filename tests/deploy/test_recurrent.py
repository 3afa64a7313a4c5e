"""Frozen language models: equal to the trained ones, and files that are complete or rejected."""

import subprocess
import sys

import numpy as np
import pytest
from alone import numpy_alone
from bitnet.deploy.recurrent import FrozenLanguageModel, FrozenMatrix, FrozenRecurrent
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

import bitnet
from bitnet import InputError, Tensor, kernels
from bitnet.archive import read_archive, write_archive
from bitnet.data.vocabulary import Vocabulary
from bitnet.deploy.file import LANGUAGE_MODEL, load
from bitnet.nn.models.feedforward import binary_mlp
from bitnet.nn.models.language import KINDS, language_model
from bitnet.nn.module import evaluating
from bitnet.training import generate

WORDS = ["<unk>", "a", "b", "c", "é", "\n", "x"]
VOCABULARY = Vocabulary(WORDS, "characters")
NETS = [
    {"kind": "lstm", "weight_quantizer": 4, "activation_quantizer": 4},
    {"kind": "lstm", "weight_quantizer": 1, "activation_quantizer": 1, "layers": 2},
    {"kind": "gru", "weight_quantizer": 2, "activation_quantizer": 3, "layers": 2},
    {"kind": "gru", "weight_quantizer": "ternary", "activation_quantizer": "linear:4:0.125"},
    {"kind": "rnn", "weight_quantizer": "log:3", "activation_quantizer": 4},
    {
        "kind": "rnn",
        "weight_quantizer": 3,
        "activation_quantizer": 3,
        "activation": "relu",
        "layers": 3,
    },
    {"kind": "lstm", "weight_quantizer": "dorefa:3", "activation_quantizer": "log:3"},
]


def model_of(seed, width=9, units=65, **net):
    """A model as after training, with weights and biases of different sizes."""
    rng = np.random.default_rng(seed)
    model = language_model(len(WORDS), rng=rng, width=width, units=units, dropout=0.3, **net)
    for parameter in model.parameters():
        data = parameter.edit()
        data *= rng.choice([0.1, 1, 5])
        data += (0.1 * rng.standard_normal(data.shape)).astype(np.float32)
    return model


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("net", NETS, ids=str)
@given(st.sampled_from((1, 64, 65)), st.sampled_from((1, 3)), st.sampled_from((1, 4)), seeds)
def test_frozen_equals_trained_to_the_bit(net, units, batch, steps, seed):
    model = model_of(seed, units=units, **net)
    frozen = bitnet.freeze(model)
    ids = np.random.default_rng(seed).integers(0, len(WORDS), (2 * steps, batch))
    with evaluating(model):
        first, state = model(ids[:steps])
        second, _ = model(ids[steps:], state)
    scores, state = frozen.scores(ids[:steps])
    np.testing.assert_array_equal(scores, first.data)
    for own, expected in zip(ids[steps:], np.split(second.data, steps), strict=True):
        scores, state = frozen.step(own, state)
        np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_integers_of_each_product_are_equal(kind, monkeypatch):
    model = model_of(3, kind=kind, weight_quantizer=3, activation_quantizer=4, layers=2)
    frozen, ids = bitnet.freeze(model), np.arange(6).reshape(3, 2)
    found, plane_gemm = [], kernels.plane_gemm

    def product(x, weight):
        found.append(plane_gemm(x, weight))
        return found[-1]

    monkeypatch.setattr(kernels, "plane_gemm", product)
    with evaluating(model):
        model(ids)
    trained = found[:]
    found.clear()
    frozen.scores(ids)
    assert len(trained) == len(found) == 2 * (1 + 3) + 1
    for a, b in zip(trained, found, strict=True):
        assert a.dtype == b.dtype == np.int32
        np.testing.assert_array_equal(a, b)


def test_the_state_is_of_a_few_bits():
    frozen = bitnet.freeze(model_of(0, kind="lstm", weight_quantizer=4, activation_quantizer=2))
    _, ((packed, cell),) = frozen.step([1, 2])
    assert packed.bits.shape == (2, 2, 65)
    assert cell.dtype == np.float32
    assert len(bitnet.freeze(model_of(0, **NETS[4])).step([1])[1][0]) == 1


def test_no_step_changes_the_state_that_it_was_given():
    frozen = bitnet.freeze(model_of(0, kind="gru", weight_quantizer=4, activation_quantizer=4))
    _, state = frozen.step([1])
    kept = state[0][1].copy()
    once, _ = frozen.step([2], state)
    np.testing.assert_array_equal(state[0][1], kept)
    np.testing.assert_array_equal(frozen.step([2], state)[0], once)


@pytest.mark.parametrize("net", NETS, ids=str)
def test_a_file_holds_all_of_it(net, tmp_path):
    frozen = bitnet.freeze(model_of(1, **net), vocabulary=WORDS)
    frozen.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert (loaded.vocabulary, loaded.unit) == (tuple(WORDS), None)
    assert repr(loaded) == repr(frozen)
    ids = np.arange(len(WORDS))[:, None]
    np.testing.assert_array_equal(loaded.scores(ids)[0], frozen.scores(ids)[0])
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "model.npz").read_bytes()


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_a_file_says_what_its_tokens_are(unit, tmp_path):
    end = "\n" if unit == "characters" else "<eos>"
    vocabulary = Vocabulary(["a", "b", "c", "d", "e", "<unk>", end], unit)
    bitnet.freeze(model_of(1, **NETS[0]), vocabulary=vocabulary).save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert Vocabulary(loaded.vocabulary, loaded.unit) == vocabulary


def test_a_file_has_one_bit_for_each_bit_of_a_weight(tmp_path):
    frozen = bitnet.freeze(
        model_of(1, 64, 64, kind="lstm", weight_quantizer=2, activation_quantizer=3)
    )
    frozen.save(tmp_path / "model.npz")
    _, arrays = read_archive(tmp_path / "model.npz", LANGUAGE_MODEL, 1)
    assert arrays["0.state.bits"].shape == (2, 256, 8)
    assert arrays["embedding.bits"].shape == (3, 7, 8)


def test_parts_have_a_repr_in_one_line():
    frozen = bitnet.freeze(model_of(2, **NETS[0]))
    layer = frozen.layers[0]
    for part, start in (
        (frozen, "FrozenLanguageModel("),
        (frozen.embedding, f"FrozenMatrix({frozen.sizes[0]}x{frozen.sizes[1]}, "),
        (layer, f"FrozenRecurrent({layer.cell}, {frozen.sizes[1]}, {layer.units}, "),
    ):
        assert repr(part).startswith(start)
        assert len(repr(part)) < 80
        assert "\n" not in repr(part)


def test_numpy_alone_gives_the_same():
    frozen = bitnet.freeze(model_of(2, **NETS[0]))
    ids = np.arange(6).reshape(3, 2)
    scores, _ = frozen.scores(ids)
    with kernels.using("reference"):
        own, _ = frozen.scores(ids)
    np.testing.assert_array_equal(own, scores)


def drawn(model, prompt, count, temperature=1.0):
    """The ids of the tokens that follow a prompt."""
    given = model.scores, VOCABULARY, prompt, count, np.random.default_rng(5), temperature
    return VOCABULARY.encode([*generate(*given)])


def likeliest(model, ids):
    """The id with the largest score after these ids, except that of <unk>."""
    return int(model.scores(np.array(ids)[:, None])[0][-1][1:].argmax()) + 1


@pytest.mark.skipif(sys.platform == "win32", reason="lays out a virtual environment of Unix")
def test_numpy_alone_opens_the_file_and_goes_on_with_a_text(tmp_path):
    frozen = bitnet.freeze(model_of(2, **NETS[0]), vocabulary=VOCABULARY)
    frozen.save(tmp_path / "model.npz")
    code = (
        "import sys, numpy as np, bitnet\n"
        "model = bitnet.load('model.npz')\n"
        "vocabulary = bitnet.data.Vocabulary(model.vocabulary, model.unit)\n"
        "rng = np.random.default_rng(5)\n"
        "drawn = bitnet.training.generate(model.scores, vocabulary, 'ab', 30, rng)\n"
        "np.save('drawn.npy', vocabulary.encode([*drawn]))\n"
        "print(bitnet.kernels.implementation(), 'numba' in sys.modules)\n"
    )
    python = numpy_alone(tmp_path / "venv")
    out = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (out.stdout, out.stderr) == ("reference False\n", "")
    np.testing.assert_array_equal(np.load(tmp_path / "drawn.npy"), drawn(frozen, "ab", 30))


def test_texts_are_drawn_from_the_scores():
    frozen = bitnet.freeze(model_of(2, **NETS[0]), vocabulary=WORDS)
    text = drawn(frozen, "ab", 20)
    np.testing.assert_array_equal(text, drawn(frozen, "ab", 20))
    assert text.shape == (20,)
    assert 0 < text.min() <= text.max() < len(WORDS)
    likely = drawn(frozen, "ab", 3, 1e-3)
    ids, best = [1, 2], []
    for _ in range(3):
        best.append(likeliest(frozen, ids))
        ids.append(best[-1])
    assert likely.tolist() == best


def test_how_often_a_word_is_drawn():
    matrix = FrozenMatrix.of_codes(np.zeros((4, 1), np.uint8), "sign", 1e-9)
    layer = bitnet.freeze(
        model_of(0, 1, 1, kind="rnn", weight_quantizer=1, activation_quantizer=1)
    ).layers[0]
    bias = np.log(np.float32([1e-30, 0.25, 0.75, 1e-30]))
    model = FrozenLanguageModel(matrix, [layer], matrix, bias)
    vocabulary = Vocabulary(["<unk>", "a", "b", "\n"], "characters")
    text = [*generate(model.scores, vocabulary, "a", 2000, np.random.default_rng(0))]
    assert 0.72 < text.count("b") / 2000 < 0.78


def test_a_long_text_goes_on_as_from_its_whole(monkeypatch):
    frozen = bitnet.freeze(model_of(2, **NETS[0]))
    ids, scores, sizes = np.arange(230) % 3 + 1, frozen.scores, []
    best = likeliest(frozen, ids)
    monkeypatch.setattr(
        frozen, "scores", lambda x, *state: sizes.append(len(x)) or scores(x, *state)
    )
    assert drawn(frozen, VOCABULARY.join([WORDS[i] for i in ids]), 1, 1e-6) == [best]
    assert max(sizes) <= 100
    assert sum(sizes) == 230


def test_near_temperature_zero_the_likeliest_is_drawn():
    frozen = bitnet.freeze(model_of(2, **NETS[0]))
    for temperature in (1e-60, 5e-324):
        assert drawn(frozen, "a", 1, temperature) == [likeliest(frozen, [1])]


OTHERS = [("lstm", 3), ("lstm", "linear:4:0.5"), ("rnn", 4)]


@pytest.mark.parametrize(("kind", "activations"), OTHERS)
def test_the_state_of_another_model_is_refused(kind, activations):
    frozen = bitnet.freeze(model_of(0, units=5, **NETS[0]))
    net = {"kind": kind, "weight_quantizer": 2, "activation_quantizer": activations}
    other = bitnet.freeze(model_of(0, units=5, **net))
    for one, two in ((frozen, other), (other, frozen)):
        _, state = one.step([1])
        one.step([1], state)
        with pytest.raises(InputError, match="expected a state of a layer, of shape"):
            two.step([1], state)


def test_what_is_no_state_is_refused():
    frozen = bitnet.freeze(model_of(0, units=5, **NETS[0]))
    ((packed, _),) = frozen.step([1])[1]
    for state in ((packed,), ((packed, None),), (5,), ((),), ((None, None),)):
        with pytest.raises(InputError, match="expected a state of a layer, of shape"):
            frozen.step([1], state)


def constant(m, n, quantizer, scale=1.0):
    return FrozenMatrix.of_codes(np.ones((m, n), np.uint8), quantizer, scale)


def test_sums_that_could_pass_int32_are_refused():
    bias, one = np.zeros(1, np.float32), constant(1, 1, "uniform:8")
    for n, fits in ((2**31 // 255**2, True), (2**31 // 255**2 + 1, False)):
        table, wide = constant(1, n, "uniform:8"), constant(1, n, "uniform:8")
        layer = FrozenRecurrent("rnn-tanh", wide, one, bias, "sign")
        if fits:
            assert np.isfinite(FrozenLanguageModel(table, [layer], one, bias).scores([[0]])[0])
        else:
            with pytest.raises(InputError, match="exceed int32"):
                FrozenLanguageModel(table, [layer], one, bias)


@pytest.mark.parametrize("which", range(4))
def test_numbers_that_float32_does_not_hold_are_refused(which):
    """Each factor is in its range, and their product is not; infinite scores would be drawn."""
    scales = [1e18] * 4
    scales[which] = 1.0
    bias = np.zeros(1, np.float32)
    table, x, h, last = (constant(1, 1, "linear:4:1e18", scale) for scale in scales)
    layer = FrozenRecurrent("rnn-relu", x, h, bias, "linear:4:1e18")
    with pytest.raises(InputError, match="float32 can hold"):
        FrozenLanguageModel(table, [layer], last, bias)


def test_what_cannot_be_frozen_or_asked_is_refused():
    model = model_of(0, **NETS[0])
    frozen = bitnet.freeze(model)
    other = model_of(0, **NETS[0])
    other.decoder.activation_quantizer = model_of(0, **NETS[1]).decoder.activation_quantizer
    rng = np.random.default_rng(0)
    _, state = frozen.step([1, 2])
    calls = [
        lambda: bitnet.freeze(language_model(7, rng=rng, width=8, units=16)),
        lambda: bitnet.freeze(Tensor([1.0])),
        lambda: bitnet.freeze(other),
        lambda: bitnet.freeze(model, vocabulary=WORDS[:-1]),
        lambda: bitnet.freeze(model, vocabulary=["a"] * 7),
        lambda: bitnet.freeze(model, vocabulary=range(7)),
        lambda: frozen.scores([1]),
        lambda: frozen.scores([[7]]),
        lambda: frozen.scores([[-1]]),
        lambda: frozen.scores([[0.5]]),
        lambda: frozen.step([1], state),
        lambda: frozen.step([1, 2], state * 2),
        lambda: bitnet.freeze(model, "signs"),
        lambda: bitnet.freeze(model, image=(2, 3)),
        lambda: bitnet.freeze(binary_mlp([3, 2], rng=rng), vocabulary=WORDS),
    ]
    for call in calls:
        with pytest.raises(InputError):
            call()


def put(header, path, value):
    """Change an entry of a header, or of a part within it; None removes it."""
    *way, last = path.split(".")
    for name in way:
        header = header[int(name) if name.isdigit() else name]
    if value is None:
        del header[last]
    else:
        header[last] = value


HEADERS = [
    ("layers", None),
    ("layers", []),
    ("layers", {}),
    ("layers", [5]),
    ("more", 1),
    ("convention", {}),
    ("embedding", []),
    ("embedding.inputs", None),
    ("embedding.inputs", 7),
    ("embedding.inputs", 0),
    ("embedding.inputs", True),
    ("embedding.inputs", 10**12),
    ("decoder.inputs", 66),
    ("layers.0.state.inputs", 72),
    ("layers.0.cell", "gru"),
    ("layers.0.cell", "more"),
    ("layers.0.cell", []),
    ("layers.0.cell", None),
    ("layers.0.more", "lstm"),
    ("layers.0.input.quantizer", None),
    ("layers.0.input.quantizer", "uniform:9"),
    ("layers.0.input.quantizer", 4),
    ("layers.0.input.quantizer", "ternary"),
    ("layers.0.input.scale", None),
    ("layers.0.input.scale", "1.0"),
    ("layers.0.input.scale", 1),
    ("layers.0.input.scale", -0.5),
    ("layers.0.input.scale", float("nan")),
    ("layers.0.input.scale", 1e30),
    ("layers.0.quantizer", "ternary"),
    ("layers.0.quantizer", 4),
    ("layers.0.quantizer", []),
    ("layers.0.quantizer", "uniform:99"),
    ("vocabulary", WORDS[:-1]),
    ("vocabulary", "abcdefg"),
    ("vocabulary", [1] * 7),
    ("vocabulary", ["a"] * 7),
    ("unit", "letters"),
    ("unit", ["words"]),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("language") / "model.npz"
    bitnet.freeze(model_of(1, **NETS[0]), vocabulary=WORDS).save(path)
    return path


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_a_header_that_does_not_fit_is_refused(name, value, saved, tmp_path):
    header, arrays = read_archive(saved, LANGUAGE_MODEL, 1)
    put(header, name, value)
    refuse(tmp_path / "bad.npz", header, arrays)


def refuse(path, header, arrays):
    write_archive(path, LANGUAGE_MODEL, 1, header, arrays)
    with pytest.raises(InputError, match=r"bad\.npz: "):
        load(path)


def test_a_unit_without_a_vocabulary_and_too_many_layers_are_refused(saved, tmp_path):
    header, arrays = read_archive(saved, LANGUAGE_MODEL, 1)
    refuse(tmp_path / "bad.npz", header | {"unit": "words", "vocabulary": None}, arrays)
    layer = {name: array for name, array in arrays.items() if name.startswith("0.")}
    for i in range(1, 65):
        arrays |= {f"{i}{name[1:]}": array for name, array in layer.items()}
    refuse(tmp_path / "bad.npz", header | {"layers": 65 * header["layers"]}, arrays)


ARRAYS = [
    ("0.bias", lambda a: a[:-1]),
    ("0.bias", lambda a: a * np.float32(np.inf)),
    ("0.bias", lambda a: a.astype(np.float64)),
    ("bias", lambda a: a[:-1]),
    ("bias", None),
    ("0.bias", None),
    ("0.state.bits", lambda a: a[:-1]),
    ("0.state.bits", lambda a: a[:, :-1]),
    ("0.state.bits", lambda a: a | np.uint8(255)),
    ("0.state.bits", lambda a: a[0]),
    ("0.input.bits", lambda a: a.astype(np.int8)),
    ("embedding.bits", lambda a: a[:, 1:]),
    ("decoder.bits", None),
    ("more", lambda a: np.zeros(3)),
    ("0.more", lambda a: np.zeros(3)),
    ("0.more.bits", lambda a: np.zeros(3)),
    ("1.bias", lambda a: np.zeros(3)),
]


@pytest.mark.parametrize(("name", "change"), ARRAYS)
def test_arrays_that_do_not_fit_are_refused(name, change, saved, tmp_path):
    header, arrays = read_archive(saved, LANGUAGE_MODEL, 1)
    own = arrays.pop(name, None)
    if change is not None:
        arrays[name] = change(own)
    refuse(tmp_path / "bad.npz", header, arrays)


def test_codes_that_mean_nothing_are_refused():
    full = kernels.pack(np.ones((2, 3, 5), np.float32))
    with pytest.raises(InputError, match="uint8 up to 3"):
        FrozenMatrix(full, "ternary", 1.0).weight  # noqa: B018


def test_a_changed_byte_and_a_cut_file_are_refused(saved, tmp_path):
    content = saved.read_bytes()
    for n, bad in enumerate([content[:-10], content[:100], b"", bytes(len(content))]):
        path = tmp_path / f"{n}.npz"
        path.write_bytes(bad)
        with pytest.raises(InputError):
            load(path)
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    (tmp_path / "changed.npz").write_bytes(changed)
    with pytest.raises(InputError, match="damaged"):
        load(tmp_path / "changed.npz")
    with pytest.raises(InputError, match="at most 10"):
        load(saved, max_bytes=10)
