"""Batches: each row once, in a seeded order, flipped and shifted, prefetched, or refused."""

import gc
import itertools
import subprocess
import sys
import threading

import numpy as np
import pytest

from bitnet import InputError
from bitnet.data import batches

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
        ((IMAGES, LABELS[:22], 5), "one label, or row of numbers"),
        ((IMAGES, LABELS.astype(str), 5), "numbers"),
        ((IMAGES, np.full(23, np.nan), 5), "the labels contain NaN"),
        ((IMAGES, LABELS.reshape(23, 1, 1), 5), "one label, or row of numbers"),
        ((np.full((23, 2), np.nan), LABELS, 5), "NaN"),
        ((np.full((23, 2), np.inf), LABELS, 5), "infinity"),
        ((IMAGES, LABELS, 24, np.random.default_rng(0)), "only 23"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        batches(*arguments)


PIXELS = np.random.default_rng(5).integers(1, 256, (30, 6, 5, 3), dtype=np.uint8)
NUMBERS = np.arange(30)


def joined(parts):
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def test_without_changes_the_generator_draws_the_order_alone():
    drawn, rng = np.random.default_rng(3), np.random.default_rng(3)
    rows = joined(batches(PIXELS, NUMBERS, 10, rng))[1]
    assert np.array_equal(rows, drawn.permutation(30))
    assert rng.bit_generator.state == drawn.bit_generator.state


@pytest.mark.parametrize("channels", [True, False])
def test_flips_are_images_or_their_mirror_images(channels):
    images = PIXELS if channels else PIXELS[..., 0]
    before = images.copy()
    x, rows = joined(batches(images, NUMBERS, 10, np.random.default_rng(0), flip=True))
    same = [np.array_equal(a, images[row]) for a, row in zip(x, rows, strict=True)]
    mirrored = [np.array_equal(a, images[row][:, ::-1]) for a, row in zip(x, rows, strict=True)]
    assert all(s != m for s, m in zip(same, mirrored, strict=True))
    assert 5 < sum(same) < 25
    assert np.array_equal(images, before)


@pytest.mark.parametrize("pad", [1, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_padded_crops_are_crops_of_the_padded_image(pad, dtype):
    images = PIXELS.astype(dtype)
    black = 0 if dtype == np.uint8 else -1
    border = [(0, 0), (pad, pad), (pad, pad), (0, 0)]
    padded = np.pad(images, border, constant_values=black)
    found = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for x, row in zip(*joined(batches(images, NUMBERS, 10, rng, pad=pad)), strict=True):
            places = [
                (i, j)
                for i in range(2 * pad + 1)
                for j in range(2 * pad + 1)
                if np.array_equal(padded[row, i : i + 6, j : j + 5], x)
            ]
            assert len(places) == 1
            found.add(places[0])
    assert len(found) == (2 * pad + 1) ** 2  # each shift is possible


def test_the_border_can_be_grey():
    x, _ = joined(batches(0 * PIXELS, NUMBERS, 10, np.random.default_rng(0), pad=4, border=128))
    assert set(np.unique(x)) == {0, 128}


@pytest.mark.parametrize("prefetch", [1, 2, 100])
@pytest.mark.parametrize("seed", [None, 0])
def test_prefetched_batches_and_the_generator_are_the_same(prefetch, seed):
    rngs = [None if seed is None else np.random.default_rng(seed) for _ in range(2)]
    changes = {} if seed is None else {"flip": True, "pad": 2}
    for _ in range(2):
        plain = batches(PIXELS, NUMBERS, 7, rngs[0], **changes)
        ahead = batches(PIXELS, NUMBERS, 7, rngs[1], prefetch=prefetch, **changes)
        assert len(plain) == len(ahead)
        for (x, y), (a, b) in zip(plain, ahead, strict=True):
            assert np.array_equal(x, a)
            assert np.array_equal(y, b)
            if seed is not None:  # at every moment: other draws between batches do not matter
                assert rngs[0].random() == rngs[1].random()


def test_a_pass_that_is_left_early_leaves_the_generator_as_a_whole_one():
    states = []
    for prefetch, count in ((0, 1), (3, 1), (0, 4)):
        rng = np.random.default_rng(0)
        parts = iter(batches(PIXELS, NUMBERS, 7, rng, flip=True, pad=1, prefetch=prefetch))
        for _ in range(count):
            next(parts)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1] == states[2]


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def all_end():
    """Return whether the threads end by themselves; the timeout is long for busy machines."""
    gc.collect()
    for thread in threads():
        thread.join(60)
    return not threads()


@pytest.mark.parametrize("leave", ["close", "forget", "exhaust", "break"])
def test_the_thread_ends_with_its_iterator(leave):
    parts = iter(batches(PIXELS, NUMBERS, 2, prefetch=3))
    next(parts)
    assert threads()
    if leave == "close":
        parts.close()
    elif leave == "exhaust":
        list(parts)
    elif leave == "break":
        for _ in parts:
            break
    if leave in ("forget", "break"):
        del parts
    assert all_end()


@pytest.mark.parametrize("prefetch", [0, 1, 9])
def test_an_error_in_the_thread_reaches_the_caller(prefetch, monkeypatch):
    calls = itertools.count()

    def fail_on_the_third(images, shifts, border):
        if next(calls) == 2:
            raise MemoryError("no more")
        return images

    monkeypatch.setattr(sys.modules["bitnet.data.batching"], "_shifted", fail_on_the_third)
    came, rng = [], np.random.default_rng(0)
    with pytest.raises(MemoryError, match="no more"):
        for x, _ in batches(PIXELS, NUMBERS, 3, rng, pad=1, prefetch=prefetch):
            came.append(len(x))
    assert came == [3, 3]
    assert all_end()


def test_a_program_ends_that_leaves_an_iterator_behind_and_ctrl_c_stops_one():
    """In a script of its own: no thread keeps the process alive."""
    code = """if True:
        import os, signal, sys, threading, time, numpy as np, bitnet.data.batching
        def slow(images, shifts, border):
            time.sleep(0.2)
            return images
        bitnet.data.batching._shifted = slow
        x, y, rng = np.zeros((1000, 4, 4), np.uint8), np.arange(1000), np.random.default_rng(0)
        kept = iter(bitnet.data.batches(x, y, 1, rng, pad=1, prefetch=2))
        next(kept)
        def main():
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
            for _ in bitnet.data.batches(x, y, 1, rng, pad=1, prefetch=2):
                pass
        bitnet.cli.run(main)
    """
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (out.returncode, out.stderr) == (130, "stopped\n")


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (PIXELS, {"flip": True, "rng": None}, "pass rng"),
        (PIXELS, {"pad": 1, "rng": None}, "pass rng"),
        (PIXELS, {"pad": -1}, "pad is -1"),
        (PIXELS, {"pad": 1.5}, "pad is 1.5"),
        (PIXELS, {"pad": True}, "pad is True"),
        (PIXELS, {"pad": 5}, "less than the image size"),
        (PIXELS, {"prefetch": -1}, "prefetch is -1"),
        (PIXELS, {"prefetch": True}, "prefetch is True"),
        (PIXELS, {"prefetch": 10**9}, "from 0 to 1024"),
        (PIXELS.reshape(30, -1), {"flip": True}, "got shape"),
        (PIXELS.reshape(30, -1), {"pad": 1}, "got shape"),
    ],
)
def test_changes_that_cannot_be_made_are_refused(images, options, message):
    with pytest.raises(InputError, match=message):
        batches(images, NUMBERS, 5, **{"rng": np.random.default_rng(0), **options})
