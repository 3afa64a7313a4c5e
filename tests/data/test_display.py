"""Reprs of data in one line, and the HTML table of a data set."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest

from bitnet import data
from bitnet.data.display import grouped, png, size_in_words

DIGITS = data.load_dataset("embedded")
RNG = np.random.default_rng(0)


def colours(classes, size=8):
    images = RNG.integers(0, 256, (30, size, size, 3), dtype=np.uint8)
    labels = np.arange(30) % len(classes)
    return data.Dataset("folder", images, labels, images[:2], labels[:2], tuple(classes))


def test_counts_and_sizes():
    assert list(map(grouped, (0, 999, 1000, 1234567))) == ["0", "999", "1 000", "1 234 567"]
    assert [size_in_words(shape) for shape in ((), (784,), (28, 28), (28, 28, 3))] == [
        "1",
        "784",
        "28x28x1",
        "28x28x3",
    ]


def test_reprs_are_one_informative_line():
    text = np.arange(2000)
    rng = np.random.default_rng(0)
    images, labels = DIGITS.train_images, DIGITS.train_labels
    corpus = data.load_corpus("embedded-text", unit="characters").first(1000, 100)
    for value, words in {
        DIGITS.flattened: "Dataset('embedded', 10 000 + 2 000 images of 784, 10 classes)",
        DIGITS.first(
            5, 1
        ).with_channels: "Dataset('embedded', 5 + 1 images of 28x28x1, 10 classes)",
        lambda: colours("ab"): "Dataset('folder', 30 + 2 images of 8x8x3, 2 classes)",
        lambda: corpus: "Corpus('embedded-text', 1 000 + 100 + 100 characters, "
        "Vocabulary(74 characters: ' ', 'e', 't', ...))",
        lambda: data.Vocabulary(["a" * 1000, "<eos>", "<unk>"]): "Vocabulary(3 words: "
        "'aaaaaaaaaaaaaaaaaaaa', '<eos>', '<unk>')",
        lambda: data.batches(images, labels, 64): "batches(10 000 images of 28x28x1, "
        "batch_size=64: 157 batches)",
        lambda: data.batches(images, labels, 64, rng, flip=True, pad=2): "batches(10 000 images "
        "of 28x28x1, batch_size=64, shuffled, flip, pad=2: 156 batches)",
        lambda: data.sequences(text, 2, 9): "sequences(2 000 tokens, batch=2, steps=9: 112 pieces)",
        lambda: data.sequences(text, 2, 9, rng): "sequences(2 000 tokens, batch=2, steps=9, "
        "random start: 112 pieces)",
        lambda: next(iter(data.sequences(text, 2, 9))): "Piece(9 steps of 2 streams, "
        "continues=False)",
        lambda: data.Preparation.fit("gcn", images[:9]): "Preparation('gcn', images of 28x28x1)",
    }.items():
        assert repr(value()) == words


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (28, 280), (4, 6, 3)])
def test_a_png_has_the_pixels_of_the_image(shape):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    with image.open(io.BytesIO(png(pixels))) as opened:
        assert np.array_equal(np.asarray(opened), pixels)


def pictures(table):
    """Return the shapes of the images in an HTML table."""
    found = [base64.b64decode(code) for code in re.findall(r'base64,([^"]*)"', table)]
    size = [(int.from_bytes(c[20:24]), int.from_bytes(c[16:20])) for c in found]
    assert all(content.startswith(b"\x89PNG") for content in found)
    return size


def test_the_table_of_a_data_set_has_the_first_images_of_each_class():
    for digits in (DIGITS, DIGITS.with_channels()):
        table = digits._repr_html_()
        assert pictures(table) == [(28, 280)] * 10
        assert "10 000 + 2 000 images of 28x28x1, 10 classes" in table
        assert table.count("<tr>") == 10
    assert len(table) < 100_000


def test_the_table_is_short_for_many_classes_and_large_images():
    classes = list(map(str, range(25)))
    table = colours(classes, size=200)._repr_html_()
    assert set(pictures(table)) == {(50, 50), (50, 100)}  # one or two images per class
    assert len(pictures(table)) == 20
    assert "and 5 more classes" in table


def test_the_table_is_escaped_and_needs_no_images():
    bad = "<script>alert('&\"')</script>"
    dataset = dataclasses.replace(colours([bad, "b"]), name=bad, classes=(bad, "b", "unused"))
    table = dataset._repr_html_()
    assert "<script" not in table
    assert "&lt;script&gt;" in table
    assert "no images</td>" in table
    for change in (lambda x: x.reshape(len(x), -1), data.scale_pixels, lambda x: x[:, :0]):
        assert pictures(DIGITS.with_images(change)._repr_html_()) == []
