"""The files of language models between the verbs: what each makes of one, or says of it."""

import json

import numpy as np
import pytest

from bitnet import InputError
from bitnet.__main__ import main
from bitnet.analysis import plots
from bitnet.cli import nets
from bitnet.cli.plot import weights_of
from bitnet.data import Vocabulary
from bitnet.deploy.freeze import freeze
from bitnet.nn.models import language_model
from bitnet.training import Experiment
from bitnet.training.trained import load_net


def run(*words):
    main(list(map(str, words)))


def few_bits(count=7):
    rng = np.random.default_rng(0)
    return language_model(
        count, rng=rng, width=4, units=8, weight_quantizer=2, activation_quantizer=3
    )


def test_the_unit_is_that_of_the_file(tmp_path, capsys):
    """Also of characters among which is one that looks like the end of a line of words."""
    vocabulary = Vocabulary(["a", "b", "c", "d", "\n", "e", "<unk>"], "characters")
    freeze(few_bits(), vocabulary=vocabulary).save(tmp_path / "a.npz")
    run("predict", tmp_path / "a.npz", "abc", "--count", 4)
    assert len(capsys.readouterr().out.removeprefix("abc")) == 4 + 1
    words = Vocabulary(["a", "b", "c", "d", "<eos>", "\u2581", "<unk>"])
    freeze(few_bits(), vocabulary=words).save(tmp_path / "b.npz")
    run("predict", tmp_path / "b.npz", "a b", "--count", 1, "--json")
    assert json.loads(capsys.readouterr().out)[0]["text"].startswith("a b")


@pytest.mark.parametrize(
    ("words", "message"), [(list("abcdefg"), "what its tokens are"), (None, "has no vocabulary")]
)
def test_a_file_without_words_is_summarized_and_no_more(tmp_path, capsys, words, message):
    path = tmp_path / "a.npz"
    freeze(few_bits(), vocabulary=words).save(path)
    run("summary", path)
    assert "FrozenLinear(8, 7)" in capsys.readouterr().out
    with pytest.raises(InputError, match="holds a 'frozen language model'; expected a training"):
        run("freeze", path)
    for call in (["predict", path, "a"], ["evaluate", path, "--data", "embedded-text"]):
        with pytest.raises(InputError, match=f"a.npz .*{message}; freeze the model again"):
            run(*call)


@pytest.mark.parametrize("name", ["a.npz", "a.checkpoint"])
def test_a_verb_of_images_says_so(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    experiment = Experiment({"net": "rnn:8", "limit": 100})
    experiment.save("a.checkpoint")
    freeze(experiment.model, vocabulary=experiment.data.vocabulary).save("a.npz")
    with pytest.raises(InputError, match=f"{name}: the file holds a language model; expected a ne"):
        run("plot", "confusion", "--out", "a.svg", name)


def test_a_text_that_was_moved_is_found_by_its_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moved").mkdir()
    for part in ("train", "valid", "test"):
        (tmp_path / f"moved/ptb.{part}.txt").write_text("the sea and the storm\n" * 20)
    Experiment({"net": "lstm:6", "data": "ptb", "folder": "moved"}).save("a.checkpoint")
    (tmp_path / "moved").rename("here")
    with pytest.raises(InputError, match=r"no ptb.train.txt in moved.*; or add --check 0"):
        run("freeze", "a.checkpoint")
    assert not (tmp_path / "a.npz").exists()
    run("freeze", "a.checkpoint", "--folder", "here", "--check", 10)
    assert "compared with the trained net on 10 words" in capsys.readouterr().out
    run("freeze", "a.checkpoint", "--data", "embedded-text", "--check", 5)
    assert "compared with the trained net on 5 words" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["evaluate", "freeze"])
def test_a_net_of_images_has_no_text(tmp_path, verb):
    path = tmp_path / "mlp.checkpoint"
    run("train", "--net", "mlp:9", "--limit", 100, "--epochs", 1, "--out", path, "--quiet")
    with pytest.raises(
        InputError, match=r"classifies images, and --data is ptb; expected one of emb"
    ):
        run(verb, path, "--data", "ptb")


def test_what_is_compiled_does_not_count_for_the_speed(monkeypatch):
    """The text is measured after a piece of it that compiles."""
    passes = []
    monkeypatch.setattr(nets, "evaluate_language", lambda *words: passes.append(words) or 1.0)
    experiment = Experiment({"net": "rnn:8", "limit": 100})
    data = experiment.data
    nets.measure_text(experiment.model, data.vocabulary, data.test, 3, 4)
    assert [len(ids) for _, ids, _, _ in passes] == [13, 100]


def test_the_curves_of_a_log(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="plots need matplotlib (extra plot)")
    small = "--net", "rnn:8", "--limit", 100, "--batch", 4, "--epochs", 2, "--quiet"
    run("train", *small, "--out", tmp_path / "a.checkpoint", "--log", tmp_path / "a.jsonl")
    drawn = []
    monkeypatch.setattr(plots, "plot_curves", lambda logs, *words, path: drawn.extend(logs))
    run("plot", "curves", tmp_path / "a.jsonl", "--out", tmp_path / "a.svg")
    for figure in ("valid_bits", "test_bits", "valid_perplexity", "tokens_per_second"):
        epochs, values = drawn[0].series(figure)
        assert epochs == [1, 2]
        assert min(values) > 0
    monkeypatch.undo()
    run("plot", "curves", tmp_path / "a.jsonl", "--out", tmp_path / "a.svg")
    assert "not in the log" not in (tmp_path / "a.svg").read_text()
    with pytest.raises(InputError, match="an image net with low-bit weights"):
        run("plot", "histograms", tmp_path / "a.jsonl", "--out", tmp_path / "b.svg")


def test_pictures_of_the_weights(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="plots need matplotlib (extra plot)")
    few = {"net": "gru:8", "limit": 100, "unit": "characters", "weights": "ternary"}
    experiment = Experiment(few)
    experiment.save(tmp_path / "a.checkpoint")
    frozen = freeze(experiment.model, vocabulary=experiment.data.vocabulary)
    frozen.save(tmp_path / "a.npz")
    cell = frozen.layers[1]
    for name in ("a.checkpoint", "a.npz"):
        layers = weights_of(load_net(tmp_path / name))
        assert [*layers] == ["0 gather", "1 linear", "2 gru", "3 linear"]
        weights, codebook = layers["2 gru"]
        assert codebook == cell.weight_codebook
        np.testing.assert_array_equal(weights.values(), cell.bits.values())
        assert set(np.unique(weights.integers())) == set(codebook.integers) == {-2, 0, 2}
        for words in (["codes"], ["filters", "--layer", 2]):
            run("plot", *words, tmp_path / name, "--out", tmp_path / "a.png")
            assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="--layer is 4; expected 0 to 3"):
        run("plot", "filters", tmp_path / name, "--layer", 4, "--out", tmp_path / "a.png")
    Experiment({"net": "gru:8", "limit": 100, "float": True}).save(tmp_path / "b")
    with pytest.raises(InputError, match="float twin"):
        run("plot", "codes", tmp_path / "b", "--out", tmp_path / "a.png")


@pytest.mark.parametrize("action", ["verify", "fetch"])
@pytest.mark.parametrize("name", ["ptb", "embedded-text"])
def test_texts_are_not_fetched(action, name):
    with pytest.raises(InputError, match=f"{name} is a text, .*`bitnet data` says where"):
        run("data", action, name)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (
            "train",
            [
                "default: embedded, for texts embedded-text",
                "default: 1, for texts 4",
                "0.002 for words",
                "20 for words, 32 for characters",
                "zaremba-*: 13, 39, 55",
                "for texts plateau",
                "tokens of each text",
            ],
        ),
        ("predict", ["continue a text"]),
        ("freeze", ["ptb", "words or characters"]),
        ("summary", ["for language models 4"]),
        ("plot", ["for texts perplexity"]),
    ],
)
def test_the_help_names_the_defaults_of_texts(verb, words, capsys):
    with pytest.raises(SystemExit):
        run(verb, "--help")
    out = " ".join(capsys.readouterr().out.split())
    assert [text for text in words if text not in out] == []
