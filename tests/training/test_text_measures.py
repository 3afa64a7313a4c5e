"""Tests of language models: metrics, states and generated text."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from language_models import Fading

from bitnet import InputError
from bitnet.data.vocabulary import Vocabulary
from bitnet.training import bits_per_character, evaluate_language, generate, perplexity

IDS = np.random.default_rng(0).integers(0, 5, 40).astype(np.int32)
VOCABULARY = Vocabulary.of("abcabba", "characters")  # a b c, the newline and <unk>


def test_the_measures():
    assert perplexity(0.0) == 1.0
    assert perplexity(math.log(100)) == pytest.approx(100)
    assert perplexity(700.0) < math.inf == perplexity(math.nextafter(700.0, 800))
    assert bits_per_character(math.log(8)) == pytest.approx(3)


def by_hand(model, ids):
    """Return -mean(log p) of a text, token by token."""
    state, total = None, 0.0
    for token, following in itertools.pairwise(ids):
        scores, state = model(np.array([[token]]), state)
        row = scores.data[0].astype(np.float64)
        total -= row[following] - np.log(np.exp(row).sum())
    return total / (len(ids) - 1)


@pytest.mark.parametrize("steps", [1, 7, 39, 100])
def test_the_loss_of_one_stream_is_that_of_the_text(steps):
    """The state is kept between pieces, so their length does not matter."""
    model = Fading(5, 3, np.random.default_rng(1))
    assert evaluate_language(model, IDS, 1, steps) == pytest.approx(by_hand(model, IDS), rel=1e-5)


def test_streams_begin_without_a_past():
    model = Fading(5, 3, np.random.default_rng(1))
    streams = [IDS[:14], IDS[13:27], IDS[26:40]]
    expected = np.mean([by_hand(model, ids) for ids in streams])
    assert evaluate_language(model, IDS, 3, 4) == pytest.approx(expected, rel=1e-5)
    ids = np.append(IDS, [1, 2])  # two tokens more than fill the streams
    parts = [(by_hand(model, ids), len(ids) - 1) for ids in [*streams, ids[39:]]]
    expected = sum(loss * count for loss, count in parts) / 41
    assert evaluate_language(model, ids, 3, 4) == pytest.approx(expected, rel=1e-5)


def test_a_text_shorter_than_the_batch():
    model = Fading(5, 3, np.random.default_rng(1))
    assert evaluate_language(model, IDS[:2], 20) == pytest.approx(by_hand(model, IDS[:2]), rel=1e-5)
    with pytest.raises(InputError, match="1 tokens"):
        evaluate_language(model, IDS[:1])


class Fixed:
    """A model that returns the same scores after each token, and records what it read."""

    def __init__(self, scores):
        self.scores, self.read = np.float32(scores), []

    def __call__(self, ids, state):
        assert ids.shape == (len(ids), 1)
        assert state == (len(self.read) or None)
        self.read += ids[:, 0].tolist()
        return np.repeat(self.scores[None], len(ids), axis=0), len(self.read)


def drawn(scores, count=2000, **more):
    model, rng = Fixed(scores), np.random.default_rng(0)
    return model, list(generate(model, VOCABULARY, "ab", count, rng, **more))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_tokens_are_drawn_with_their_probabilities(temperature):
    scores = np.array([0.0, 1.0, -1.0, 0.5, 5.0])
    assert VOCABULARY.words[4] == "<unk>"
    _, tokens = drawn(scores, temperature=temperature)
    p = np.exp(scores[:4] / temperature)
    shares = [tokens.count(word) / 2000 for word in VOCABULARY.words[:4]]
    assert np.allclose(shares, p / p.sum(), atol=0.04)


def test_each_token_is_read_once():
    model, tokens = drawn(np.zeros(5), count=9)
    assert VOCABULARY.decode(model.read) == ["a", "b", *tokens[:-1]]
    model = Fixed(np.zeros(5))
    assert list(generate(model, VOCABULARY, "", 0, np.random.default_rng(0))) == []
    assert len(list(generate(model, VOCABULARY, "", 1, np.random.default_rng(0)))) == 1
    assert VOCABULARY.decode(model.read) == ["\n"]


def test_a_long_prompt_is_read_in_pieces():
    """A long prompt is read in parts, because all its scores would not fit into memory."""
    sizes, prompt = [], "ab" * 130

    class Measured(Fixed):
        def __call__(self, ids, state):
            sizes.append(len(ids))
            return super().__call__(ids, state)

    model = Measured(np.zeros(5))
    next(generate(model, VOCABULARY, prompt, 1, np.random.default_rng(0)))
    assert "".join(VOCABULARY.decode(model.read)) == prompt
    assert max(sizes) <= 100


def test_temperature_0_takes_the_likeliest():
    assert set(drawn([0, 1, 3, 2, 9], 20, temperature=0)[1]) == {VOCABULARY.words[2]}
    assert set(drawn([0, 1, 3, 2, 9], 20, temperature=1e-320)[1]) == {VOCABULARY.words[2]}


@given(st.integers(0, 9))
def test_the_seed_says_what_is_drawn(seed):
    model = Fading(5, 3, np.random.default_rng(1))
    rngs = [np.random.default_rng(seed) for _ in range(2)]
    first, second = (list(generate(model, VOCABULARY, "a", 20, rng)) for rng in rngs)
    assert first == second
    assert model.training
    assert set(first) <= set(VOCABULARY.words) - {"<unk>"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": -1}, "count is -1"),
        ({"count": 1.5}, "count is 1.5"),
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"rng": 0}, "Generator"),
        ({"model": Fixed(np.zeros(4))}, "4 scores"),
        ({"model": Fixed([0, 0, math.nan, 0, 0])}, "4 of them finite"),
    ],
)
def test_what_draws_nothing_is_refused(change, message):
    given = {"model": Fixed(np.zeros(5)), "vocabulary": VOCABULARY, "prompt": "a", "count": 3}
    with pytest.raises(InputError, match=message):
        list(generate(**{**given, "rng": np.random.default_rng(0), **change}))
