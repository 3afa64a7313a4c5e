"""The files of language models between the verbs: what each makes of one, or says of it."""

import json

import numpy as np
import pytest

from bitnet import InputError, Vocabulary, freeze_language_model, language_model
from bitnet.__main__ import main
from bitnet.language.experiment import LanguageExperiment


def run(*words):
    main(list(map(str, words)))


def few_bits(count=7):
    rng = np.random.default_rng(0)
    return language_model(count, rng, width=4, units=8, weights=2, activations=3)


def test_the_unit_is_that_of_the_file(tmp_path, capsys):
    """Also of characters among which is one that looks like the end of a line of words."""
    vocabulary = Vocabulary(["a", "b", "c", "d", "\n", "e", "<unk>"], "characters")
    freeze_language_model(few_bits(), vocabulary).save(tmp_path / "a.npz")
    run("predict", tmp_path / "a.npz", "abc", "--count", 4)
    assert len(capsys.readouterr().out.removeprefix("abc")) == 4 + 1
    words = Vocabulary(["a", "b", "c", "d", "<eos>", "\u2581", "<unk>"])
    freeze_language_model(few_bits(), words).save(tmp_path / "b.npz")
    run("predict", tmp_path / "b.npz", "a b", "--count", 1, "--json")
    assert json.loads(capsys.readouterr().out)[0]["text"].startswith("a b")


@pytest.mark.parametrize(
    ("words", "message"), [(list("abcdefg"), "what its tokens are"), (None, "has no vocabulary")]
)
def test_a_file_without_words_is_summarized_and_no_more(tmp_path, capsys, words, message):
    path = tmp_path / "a.npz"
    freeze_language_model(few_bits(), words).save(path)
    run("summary", path)
    assert "7x8" in capsys.readouterr().out
    for call in (["predict", path, "a"], ["evaluate", path, "--data", "embedded-text"]):
        with pytest.raises(InputError, match=f"a.npz .*{message}; freeze the model again"):
            run(*call)


@pytest.mark.parametrize("name", ["a.npz", "a.checkpoint"])
@pytest.mark.parametrize("words", [["inspect"], ["plot", "confusion", "--out", "a.svg"]])
def test_a_verb_of_images_says_so(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    experiment = LanguageExperiment({"net": "rnn:8", "limit": 100})
    experiment.save("a.checkpoint")
    freeze_language_model(experiment.model, experiment.corpus.vocabulary).save("a.npz")
    with pytest.raises(InputError, match=f"{name}: the file holds a language model; expected a ne"):
        run(*words, name)
