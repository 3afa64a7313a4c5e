"""Binary files of CIFAR: written files are read back, all others are refused."""

import pickle

import numpy as np
import pytest

from bitnet import InputError
from bitnet.data import read_cifar
from bitnet.data.cifar import read_class_names, write_cifar

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def test_cifar_10(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    write_cifar(path, IMAGES, [0, 9, 3, 1, 2])
    images, labels = read_cifar(path)
    assert np.array_equal(images, IMAGES)
    assert images.flags.c_contiguous
    assert labels.tolist() == [0, 9, 3, 1, 2]
    raw = path.read_bytes()
    assert len(raw) == 5 * 3073
    assert raw[3073] == 9  # the label of the second image, then its red pixels, row after row
    assert list(raw[3074 : 3074 + 40]) == IMAGES[1].reshape(1024, 3)[:40, 0].tolist()
    assert raw[3074 + 1024 + 33] == IMAGES[1, 1, 1, 1]


def test_cifar_100_has_two_labels(tmp_path):
    path = tmp_path / "train.bin"
    write_cifar(path, IMAGES, [0, 99, 3, 1, 2], coarse=[0, 19, 1, 2, 3])
    images, labels = read_cifar(path, classes=100)
    assert np.array_equal(images, IMAGES)
    assert labels.tolist() == [0, 99, 3, 1, 2]
    assert path.read_bytes()[3074:3076] == bytes([19, 99])


def written(path, **changes):
    write_cifar(path, IMAGES, changes.get("labels", [0, 1, 2, 3, 4]), changes.get("coarse"))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (lambda raw: raw[:-1], {}, "not a whole number of records of 3073"),
        (lambda raw: raw + b"0", {}, "not a whole number"),
        (lambda raw: b"", {}, "0 bytes"),
        (lambda raw: raw, {"classes": 100}, "not a whole number of records of 3074"),
        (lambda raw: raw, {"classes": 5}, "expected 10 or 100"),
        (lambda raw: raw, {"max_bytes": 100}, "at most 100"),
        (lambda raw: bytes([10]) + raw[1:], {}, "a label is 10; expected 0 to 9"),
        (lambda raw: pickle.dumps({b"data": IMAGES}), {}, "a pickle, which can run code"),
        (lambda raw: pickle.dumps(1, protocol=2), {}, "instead of the Python version"),
    ],
)
def test_what_is_no_cifar_file_is_refused(tmp_path, content, arguments, message):
    path = tmp_path / "file.bin"
    path.write_bytes(content(written(path)))
    with pytest.raises(InputError, match=message):
        read_cifar(path, **arguments)


def test_a_missing_file():
    with pytest.raises(FileNotFoundError):
        read_cifar("missing.bin")


@pytest.mark.parametrize(
    ("images", "labels"),
    [(IMAGES[:, :28], [0] * 5), (IMAGES.astype(float), [0] * 5), (IMAGES, [0] * 4)],
)
def test_arrays_that_do_not_fit_are_not_written(tmp_path, images, labels):
    with pytest.raises(InputError, match="write_cifar"):
        write_cifar(tmp_path / "x.bin", images, labels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 different names; expected 2"),
        (b"a\nb\nc\n", "3 different names"),
        (b"a\na\n", "1 different names"),
        (b"a\n\xc3\xa4\n", "ASCII"),
        (b"a\n\x1b[31mb\n", "printable"),
        (b"a\n\0b\n", "printable"),
        (b"a\n" + b"b" * 65, "at most 64"),
        (b"a\n" * 100_000, "not a list"),
    ],
)
def test_lists_of_other_things_than_names_are_refused(tmp_path, content, message):
    path = tmp_path / "batches.meta.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_class_names(path, 2)


def test_lines_may_end_as_they_do_elsewhere(tmp_path):
    path = tmp_path / "batches.meta.txt"
    path.write_bytes(b"cat\r\nfire truck\r\n\r\n")
    assert read_class_names(path, 2) == ("cat", "fire truck")
