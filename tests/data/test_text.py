"""Texts: words and characters of files, and files that are not text."""

import numpy as np
import pytest

from bitnet import InputError
from bitnet.data import TEXTS, available_texts, load_corpus
from bitnet.data.text import read_text
from bitnet.data.vocabulary import Vocabulary

PARTS = {"train": " a b  a \n b <unk> \n\n", "valid": " b c \n", "test": "a\r\nb\n"}


@pytest.fixture
def folder(tmp_path):
    for part, text in PARTS.items():
        (tmp_path / f"ptb.{part}.txt").write_bytes(text.encode())
    return tmp_path


def decoded(corpus):
    parts = corpus.train, corpus.valid, corpus.test
    return [" ".join(corpus.vocabulary.decode(part)) for part in parts]


def test_words_of_files(folder):
    corpus = load_corpus("ptb", folder)
    assert corpus.vocabulary.words == ("<eos>", "a", "b", "<unk>")
    assert decoded(corpus) == ["a b a <eos> b <unk> <eos>", "b <unk> <eos>", "a <eos> b <eos>"]
    assert {part.dtype for part in (corpus.train, corpus.valid, corpus.test)} == {np.dtype("i4")}
    assert corpus.first(3, 2).train.tolist() == corpus.train[:3].tolist()
    assert len(corpus.first(3, 2).test) == len(corpus.first(3, 2).valid) == 2


def test_characters_of_files(folder):
    corpus = load_corpus("ptb", folder, "characters")
    texts = ["".join(corpus.vocabulary.decode(part)) for part in (corpus.train, corpus.test)]
    assert texts == ["a b a\nb <unk>\n", "a\nb\n"]


def test_the_vocabulary_of_an_earlier_training(folder):
    vocabulary = Vocabulary.of(["c", "b"])
    corpus = load_corpus("ptb", folder, vocabulary=vocabulary)
    assert corpus.vocabulary is vocabulary
    assert decoded(corpus)[1] == "b c <eos>"
    for more in ({"unit": "characters"}, {"size": 5}):
        with pytest.raises(InputError, match="was given"):
            load_corpus("ptb", folder, vocabulary=vocabulary, **more)


def test_the_embedded_plays():
    corpus = load_corpus("embedded-text", unit="characters")
    assert [len(part) for part in (corpus.train, corpus.valid, corpus.test)] == [
        235193,
        29433,
        29093,
    ]
    words = load_corpus("embedded-text", size=500)
    assert len(words.vocabulary) == 500
    assert "hippolyta" in words.vocabulary.decode(load_corpus("embedded-text", size=500).train[:30])


def test_where_texts_are(folder, monkeypatch):
    (folder / "text").mkdir()
    monkeypatch.setenv("BITNET_DATA", str(folder))
    assert [name for name, _ in available_texts()] == list(TEXTS)
    assert "no ptb.train.txt" in available_texts()[1][1]
    with pytest.raises(InputError, match=r"no ptb.train.txt in .*text; put ptb.train.txt, "):
        load_corpus("ptb")
    for part, text in PARTS.items():
        (folder / "text" / f"ptb.{part}.txt").write_text(text)
    assert available_texts()[1][1] == str(folder / "text")
    assert len(load_corpus("ptb").train) == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\t\n", "the file is empty"),
        (b"\xef\xbb\xbf\n", "the file is empty"),
        ("\u3000\n".encode(), "the file is empty"),
        (b"abc\0def", "byte 3 is 0, as in a binary file"),
        (b"one\ncaf\xe9 au lait", "line 2: byte 7 is 0xe9"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"\x1f\x8b\x08", "0x8b"),
        (b"word " * 3, "1 different words"),
        (b"<unk>\n<unk>\n", "0 different words"),
    ],
)
def test_what_is_no_text_is_refused(folder, content, message):
    (folder / "ptb.train.txt").write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_corpus("ptb", folder)
    assert "ptb.train.txt" in str(error.value)


def test_a_mark_of_utf8_is_no_word(folder):
    (folder / "ptb.train.txt").write_bytes("\ufeffa b é".encode())
    assert set(load_corpus("ptb", folder).vocabulary.words) == {"a", "b", "é", "<eos>", "<unk>"}


def test_a_large_file_is_refused_before_it_is_read(folder):
    with open(folder / "ptb.valid.txt", "wb") as file:
        file.truncate((1 << 28) + 1)  # takes no room on the disk
    with pytest.raises(InputError, match=r"ptb.valid.txt: 268435457 bytes"):
        load_corpus("ptb", folder)


def test_folders_and_devices_are_no_texts(tmp_path):
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(InputError, match="expected a text file"):
            read_text(path)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "no")


def test_too_short_a_text_is_refused(folder):
    (folder / "ptb.test.txt").write_text("a")
    assert len(load_corpus("ptb", folder).test) == 2
    with pytest.raises(InputError, match="size is 1"):
        load_corpus("ptb", folder, size=1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("moby",), "expected one of embedded-text, ptb"),
        (("embedded-text", "here"), "remove folder"),
        (("ptb", None, "bytes"), "words, characters"),
    ],
)
def test_wrong_names_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        load_corpus(*words)
