"""Frozen language models: equal to the trained ones, and files that are complete or rejected."""

import subprocess
import sys

import numpy as np
import pytest
from alone import numpy_alone
from frozen_nets import put
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

import bitnet
from bitnet import InputError, Tensor, kernels
from bitnet.archive import read_archive, write_archive
from bitnet.data.vocabulary import Vocabulary
from bitnet.deploy.file import LANGUAGE_MODEL, VERSION, load
from bitnet.deploy.language import FrozenLanguageModel
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
    {"kind": "lstm"},
    {"kind": "gru", "layers": 2},
    {"kind": "rnn", "activation": "relu"},
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
@settings(max_examples=10)
@given(st.sampled_from((1, 64, 65)), st.sampled_from((1, 3)), st.sampled_from((1, 4)), seeds)
def test_frozen_equals_trained_to_the_bit(net, units, batch, steps, seed):
    model = model_of(seed, units=units, **net)
    frozen = bitnet.freeze(model)
    ids = np.random.default_rng(seed).integers(0, len(WORDS), (2 * steps, batch))
    with evaluating(model):
        first, state = model(ids[:steps])
        second, _ = model(ids[steps:], state)
    scores, state = frozen.scores(ids[:steps])
    assert np.array_equal(scores, first.data)
    for own, expected in zip(ids[steps:], np.split(second.data, steps), strict=True):
        scores, state = frozen.step(own, state)
        assert np.array_equal(scores, expected)


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
        assert np.array_equal(a, b)


def test_states_are_floats_one_or_two_for_each_layer():
    _, state = bitnet.freeze(model_of(0, **NETS[1])).step([1, 2])
    assert [(own.shape, own.dtype) for own in state] == [((2, 65), np.float32)] * 4
    assert len(bitnet.freeze(model_of(0, **NETS[4])).step([1])[1]) == 1


def test_no_step_changes_the_state_that_it_was_given():
    frozen = bitnet.freeze(model_of(0, kind="lstm", weight_quantizer=4, activation_quantizer=4))
    _, state = frozen.step([1])
    kept = [own.copy() for own in state]
    once, _ = frozen.step([2], state)
    for own, before in zip(state, kept, strict=True):
        assert np.array_equal(own, before)
    assert np.array_equal(frozen.step([2], state)[0], once)


@pytest.mark.parametrize("net", NETS, ids=str)
def test_a_file_holds_all_of_it(net, tmp_path):
    frozen = bitnet.freeze(model_of(1, **net), vocabulary=WORDS)
    frozen.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert isinstance(loaded, FrozenLanguageModel)
    assert (loaded.vocabulary, loaded.unit) == (tuple(WORDS), None)
    assert repr(loaded) == repr(frozen)
    ids = np.arange(len(WORDS))[:, None]
    assert np.array_equal(loaded.scores(ids)[0], frozen.scores(ids)[0])
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
    few = {"kind": "lstm", "weight_quantizer": 2, "activation_quantizer": 3}
    bitnet.freeze(model_of(1, 64, 64, **few)).save(tmp_path / "model.npz")
    _, arrays = read_archive(tmp_path / "model.npz", LANGUAGE_MODEL, VERSION)
    shapes = [array.shape for name, array in arrays.items() if name.endswith(".bits")]
    assert sorted(shapes) == [(2, 7, 8), (2, 256, 8), (2, 256, 8), (3, 7, 8)]


def test_a_model_has_a_repr_in_one_line():
    assert repr(bitnet.freeze(model_of(2, **NETS[1]))) == (
        "FrozenLanguageModel(7-9-65 lstm-65 lstm-7)"
    )
    assert repr(bitnet.freeze(model_of(2, **NETS[5]))).count("rnn-relu") == 3


def test_numpy_alone_gives_the_same():
    frozen = bitnet.freeze(model_of(2, **NETS[0]))
    ids = np.arange(6).reshape(3, 2)
    scores, _ = frozen.scores(ids)
    with kernels.using("reference"):
        own, _ = frozen.scores(ids)
    assert np.array_equal(own, scores)


@pytest.mark.parametrize("net", [NETS[2], NETS[8]], ids=str)
def test_a_model_moves_to_a_gpu_and_back(net, gpu):
    frozen = bitnet.freeze(model_of(2, **net))
    ids = np.arange(6).reshape(3, 2)
    scores, state = frozen.scores(ids)
    after, _ = frozen.step([0, 1], state)
    frozen.to("gpu")
    own, own_state = frozen.scores(bitnet.to_gpu(ids))
    assert np.array_equal(bitnet.to_cpu(own), scores)
    own, _ = frozen.step(bitnet.to_gpu(np.array([0, 1])), own_state)
    assert np.array_equal(bitnet.to_cpu(own), after)
    assert np.array_equal(frozen.to("cpu").scores(ids)[0], scores)


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


def test_no_step_returns_no_scores_and_the_state():
    frozen = bitnet.freeze(model_of(2, **NETS[0]))
    _, state = frozen.step([1])
    scores, same = frozen.scores(np.zeros((0, 1), np.int64), state)
    assert scores.shape == (0, len(WORDS))
    assert same is state


@pytest.mark.parametrize(("kind", "units"), [("lstm", 6), ("gru", 5)])
def test_the_state_of_another_model_is_refused(kind, units):
    few = {"weight_quantizer": 2, "activation_quantizer": 3}
    one = bitnet.freeze(model_of(0, units=5, kind="lstm", **few))
    other = bitnet.freeze(model_of(0, units=units, kind=kind, **few))
    for a, b in ((one, other), (other, one)):
        _, state = a.step([1])
        a.step([1], state)
        with pytest.raises(InputError, match=r"expected \(B, |states that this model returned"):
            b.step([1], state)


def test_what_is_no_state_is_refused():
    frozen = bitnet.freeze(model_of(0, units=5, **NETS[0]))
    h, _ = frozen.step([1])[1]
    for state in ((h,), (h, None), (5,), (), (h, h, h), h, (h, h * np.float32(np.nan))):
        with pytest.raises(InputError, match="expected"):
            frozen.step([1], state)


def test_what_cannot_be_frozen_or_asked_is_refused():
    model = model_of(0, **NETS[0])
    frozen = bitnet.freeze(model)
    _, state = frozen.step([1, 2])
    calls = [
        lambda: bitnet.freeze(Tensor([1.0])),
        lambda: bitnet.freeze(model, vocabulary=WORDS[:-1]),
        lambda: bitnet.freeze(model, vocabulary=["a"] * 7),
        lambda: bitnet.freeze(model, vocabulary=range(7)),
        lambda: frozen.scores([1]),
        lambda: frozen.scores([[7]]),
        lambda: frozen.scores([[-1]]),
        lambda: frozen.scores([[0.5]]),
        lambda: frozen.step([1], state),
        lambda: frozen.step([1, 2], state * 2),
        lambda: bitnet.freeze(model, np.zeros((2, 3), np.int64), axes="BB"),
        lambda: bitnet.freeze(binary_mlp([3, 2], rng=np.random.default_rng(0)), vocabulary=WORDS),
    ]
    for call in calls:
        with pytest.raises(InputError):
            call()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("language") / "model.npz"
    bitnet.freeze(model_of(1, **NETS[0]), vocabulary=WORDS).save(path)
    return path


HEADERS = [
    (("nodes",), []),
    (("nodes",), {}),
    (("nodes",), [5]),
    (("outputs",), []),
    (("outputs",), [0]),
    (("outputs", 1), 0),
    (("more",), 1),
    (("classes",), None),
    (("vocabulary",), WORDS[:-1]),
    (("vocabulary",), "abcdefg"),
    (("vocabulary",), [1] * 7),
    (("vocabulary",), ["a"] * 7),
    (("vocabulary",), None),  # with a unit
    (("unit",), "letters"),
    (("unit",), ["words"]),
    (("nodes", 0, "below"), 8),
    (("nodes", 0, "shape"), ["B", "T"]),
    (("nodes", 0, "shape"), ["T", 3]),
    (("nodes", 1, "shape"), ["B", 64]),
    (("nodes", 1, "kind"), "ids"),
]


@pytest.mark.parametrize(("path", "value"), HEADERS)
def test_a_header_that_does_not_fit_is_refused(path, value, saved, tmp_path):
    header, arrays = read_archive(saved, LANGUAGE_MODEL, VERSION)
    header["unit"] = "words"
    put(header, path, value)
    write_archive(tmp_path / "bad.npz", LANGUAGE_MODEL, VERSION, header, arrays)
    with pytest.raises(InputError, match=r"bad\.npz: "):
        load(tmp_path / "bad.npz")


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
