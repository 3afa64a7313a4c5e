"""Vocabularies: order, unseen words, round trips, and hostile headers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet import InputError
from bitnet.data.vocabulary import END, UNKNOWN, Vocabulary, words_of

WORDS = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=5)
TEXTS = st.lists(WORDS | st.sampled_from([END, UNKNOWN, "a", "b"]), max_size=30)


def test_the_order_is_by_count_then_by_the_alphabet():
    vocabulary = Vocabulary.of(["b", "a", "c", "a", "d", "d"] + 3 * [END])
    assert vocabulary.words == (END, "a", "d", "b", "c", UNKNOWN)


def test_words_that_are_cut_off_count_for_the_unknown():
    vocabulary = Vocabulary.of(["a", "a", "a", "b", "b", "c", "d", "e"], size=4)
    assert vocabulary.words == (UNKNOWN, "a", "b", END)
    assert len(Vocabulary.of(["a", "b"], size=3)) == 3
    assert Vocabulary.of(["a", "b"], size=4).words == Vocabulary.of(["a", "b"]).words


@given(TEXTS)
def test_what_was_seen_comes_back_and_the_rest_is_unknown(tokens):
    vocabulary = Vocabulary.of([*tokens, "a", "b"])
    assert vocabulary.decode(vocabulary.encode(tokens)) == tokens
    other = Vocabulary(["x", UNKNOWN, END])
    expected = [word if word in ("x", END) else UNKNOWN for word in tokens]
    assert other.decode(other.encode(tokens)) == expected
    assert vocabulary.encode(tokens).dtype == np.int32
    assert Vocabulary.from_header(json.loads(json.dumps(vocabulary.header()))) == vocabulary


@given(st.text(max_size=30))
def test_characters_come_back(text):
    vocabulary = Vocabulary.of(text + "ab", "characters")
    assert vocabulary.join(vocabulary.decode(vocabulary.encode(vocabulary.split(text)))) == text
    assert {"\n", UNKNOWN} < set(vocabulary.words)
    assert vocabulary.words[vocabulary.encode("\0")[0]] in (UNKNOWN, "\0")


@pytest.mark.parametrize(
    ("text", "tokens", "joined"),
    [
        ("the  sea", ["the", "sea"], "the sea"),
        ("The Sea!", ["the", "sea", "!"], "the sea !"),
        ("mr. sea", ["mr.", "sea"], "mr. sea"),
        ("the\nsea\n", ["the", END, "sea", END], "the\nsea\n"),
        ("<unk> sea", [UNKNOWN, "sea"], "<unk> sea"),
        ("", [], ""),
        ("\n\n", [END, END], "\n\n"),
    ],
)
def test_a_text_that_somebody_typed(text, tokens, joined):
    vocabulary = Vocabulary.of(["the", "sea", "mr."])
    assert vocabulary.split(text) == tokens
    assert vocabulary.join(tokens) == joined


def test_the_words_of_plain_text():
    assert words_of("O, 'tis a well-known sea's  END.") == [
        "o",
        ",",
        "'",
        "tis",
        "a",
        "well-known",
        "sea's",
        "end",
        ".",
    ]
    assert words_of(" \n ") == []


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "its unit and its words"),
        ({"words": ["a", "b", "c"]}, "its unit"),
        ({"unit": "bytes", "words": ["a", UNKNOWN, END]}, "words, characters"),
        ({"unit": [], "words": ["a", UNKNOWN, END]}, "words, characters"),
        ({"unit": "words", "words": {"a": 1}}, "words are"),
        ({"unit": "words", "words": [UNKNOWN, END]}, "words are 2"),
        ({"unit": "words", "words": ["a"] * 1_000_001}, "words are 1000001"),
        ({"unit": "words", "words": ["a", "a", UNKNOWN, END]}, "'a' occurs twice"),
        ({"unit": "words", "words": ["a", "b", END]}, "no '<unk>'"),
        ({"unit": "words", "words": ["a", "b", UNKNOWN]}, "no '<eos>'"),
        ({"unit": "words", "words": ["a b", UNKNOWN, END]}, "without spaces"),
        ({"unit": "words", "words": ["", UNKNOWN, END]}, "1 to 1000 characters"),
        ({"unit": "words", "words": [1, UNKNOWN, END]}, "a word is 1"),
        ({"unit": "words", "words": [["a"], UNKNOWN, END]}, "a word is"),
        ({"unit": "words", "words": ["a" * 1001, UNKNOWN, END]}, "1 to 1000 characters"),
        ({"unit": "characters", "words": ["ab", UNKNOWN, "\n"]}, "one character"),
        ({"unit": "characters", "words": ["a", UNKNOWN, "b"]}, r"no '\\n'"),
    ],
)
def test_a_header_that_is_no_vocabulary_is_refused(header, message):
    with pytest.raises(InputError, match=message):
        Vocabulary.from_header(header)


@pytest.mark.parametrize("tokens", [[], ["a"], ["a", "a", END, UNKNOWN]])
def test_a_text_of_one_word_is_refused(tokens):
    with pytest.raises(InputError, match="2 or more"):
        Vocabulary.of(tokens)


def test_sizes_and_numbers_out_of_range_are_refused():
    with pytest.raises(InputError, match="size is 2"):
        Vocabulary.of(["a", "b"], size=2)
    vocabulary = Vocabulary.of(["a", "b"])
    assert vocabulary.decode([]) == []
    for ids in ([4], [-1], [0.5], ["a"], [None], [10**20]):
        with pytest.raises(InputError, match="0 to 3"):
            vocabulary.decode(ids)
