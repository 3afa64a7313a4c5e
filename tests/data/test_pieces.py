"""Streams and pieces: each token is predicted once, from the one before it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet import InputError
from bitnet.data import sequences

SIZES = st.tuples(st.integers(2, 120), st.integers(1, 9), st.integers(1, 12)).filter(
    lambda sizes: sizes[0] > sizes[1]
)


def check(pieces, count, batch, steps):
    """Check shapes, neighbours and continued streams of pieces; return the predicted tokens."""
    seen, last = [], None
    for piece in pieces:
        assert piece.x.shape == piece.y.shape
        assert 0 < len(piece.x) <= steps
        assert piece.x.dtype == piece.y.dtype == np.int32
        assert piece.x.flags.c_contiguous
        assert np.array_equal(piece.y, (piece.x + 1) % count)
        assert np.array_equal(piece.x[1:], piece.y[:-1])
        if piece.continues:
            assert np.array_equal(piece.x[0], last)
        last = piece.y[-1]
        seen += piece.y.ravel().tolist()
    return seen


@given(SIZES)
def test_each_token_but_the_first_is_predicted_exactly_once(sizes):
    count, batch, steps = sizes
    passes = sequences(np.arange(count), batch, steps)
    pieces = list(passes)
    assert sorted(check(pieces, count, batch, steps)) == list(range(1, count))
    assert len(pieces) == len(passes)
    assert {piece.x.shape[1] for piece in pieces} <= {1, batch}
    short = [piece for piece in pieces if piece.x.shape[1] < batch]
    assert sum(piece.x.size for piece in short) < batch
    assert pieces[-len(short) :] == short or not short


@given(SIZES, st.integers(0, 5))
def test_in_training_each_token_is_predicted_once_but_for_a_rest(sizes, seed):
    count, batch, steps = sizes
    passes = sequences(np.arange(count), batch, steps, np.random.default_rng(seed))
    pieces = list(passes)
    seen = check(pieces, count, batch, steps)
    assert len(set(seen)) == len(seen) == count - count % batch
    assert len(pieces) == len(passes)
    assert [piece.continues for piece in pieces] == [False] + [True] * (len(pieces) - 1)
    assert {piece.x.shape[1] for piece in pieces} == {batch}
    assert all(len(piece.x) == steps for piece in pieces[:-1])


def test_each_pass_begins_elsewhere_and_the_seed_says_where():
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    passes = sequences(np.arange(100), 4, 5, rng)
    begins = [next(iter(passes)).x[0, 0] for _ in range(8)]
    assert len(set(begins)) > 4
    assert [next(iter(sequences(np.arange(100), 4, 5, other))).x[0, 0] for _ in range(8)] == begins


def test_without_a_generator_each_pass_is_the_same():
    passes = sequences(np.arange(20), 3, 4)
    for a, b in zip(passes, passes, strict=True):
        assert all(np.array_equal(part, other) for part, other in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((np.arange(5), 5, 2), "5 tokens for 5 streams"),
        ((np.arange(0), 1, 2), "0 tokens"),
        ((np.arange(5.0), 1, 2), "float64"),
        ((np.zeros((5, 2), int), 1, 2), r"shape \(5, 2\)"),
        ((np.arange(5) + 2**32, 1, 2), "from 4294967296 to 4294967300; expected 0 to 2147483647"),
        ((np.arange(5) - 1, 1, 2), "from -1 to 3"),
        ((np.arange(5), 0, 2), "batch is 0"),
        ((np.arange(5), 1, 0), "steps is 0"),
        ((np.arange(5), True, 2), "batch is True"),
        ((np.arange(5), 1.0, 2), "batch is 1.0"),
        ((np.arange(5), 1, 2, 7), "Generator"),
    ],
)
def test_what_does_not_fit_is_refused(words, message):
    with pytest.raises(InputError, match=message):
        sequences(*words)
