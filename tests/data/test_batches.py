"""Batches: each row once, in a seeded order, or refused."""

import numpy as np
import pytest

from bitnet import InputError, batches

IMAGES, LABELS = np.arange(46).reshape(23, 2), np.arange(23)


def test_in_order_every_row_comes_once():
    parts = list(batches(IMAGES, LABELS, 5))
    assert [len(y) for _, y in parts] == [5, 5, 5, 5, 3]
    assert np.array_equal(np.concatenate([x for x, _ in parts]), IMAGES)


def test_shuffled_batches_are_whole_and_keep_rows_and_labels_together():
    passes = batches(IMAGES, LABELS, 5, np.random.default_rng(0))
    parts = list(passes)
    assert [len(y) for _, y in parts] == [5] * len(passes) == [5] * 4
    rows = np.concatenate([y for _, y in parts])
    assert len(set(rows)) == 20
    assert not np.array_equal(rows, np.sort(rows))
    assert all(np.array_equal(x, IMAGES[y]) for x, y in parts)


def test_a_last_batch_of_one_row_and_lists():
    assert [len(y) for _, y in batches(IMAGES, LABELS, 22)] == [22, 1]
    assert len(batches(IMAGES.tolist(), LABELS.tolist(), 22)) == 2


def test_the_seed_decides_the_order():
    a, b, c = (
        np.concatenate([y for _, y in batches(IMAGES, LABELS, 23, np.random.default_rng(seed))])
        for seed in (1, 1, 2)
    )
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((IMAGES, LABELS, 0), "1 or more"),
        ((IMAGES, LABELS, 2.5), "1 or more"),
        ((IMAGES[:0], LABELS[:0], 5), "at least one"),
        ((IMAGES, LABELS[:22], 5), "one integer label"),
        ((IMAGES, LABELS.astype(float), 5), "float64 labels"),
        ((np.full((23, 2), np.nan), LABELS, 5), "NaN"),
        ((np.full((23, 2), np.inf), LABELS, 5), "infinity"),
        ((IMAGES, LABELS, 24, np.random.default_rng(0)), "only 23"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        batches(*arguments)
