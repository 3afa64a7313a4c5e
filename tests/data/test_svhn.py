"""MATLAB files of SVHN: read exactly or refused, and the full stand-in if it is there."""

import importlib.util
import os
import pathlib

import numpy as np
import pytest

from bitnet import InputError
from bitnet.data import read_svhn

scipy_io = pytest.importorskip("scipy.io", reason="SciPy is not installed")

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (32, 32, 3, 7), dtype=np.uint8)
Y = np.array([[10], [1], [2], [9], [3], [10], [5]], np.uint8)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_images_and_labels(tmp_path, compressed, dtype):
    path = tmp_path / "train_32x32.mat"
    scipy_io.savemat(path, {"X": X, "y": Y.astype(dtype)}, do_compression=compressed)
    images, labels = read_svhn(path)
    assert images.dtype == labels.dtype == np.uint8
    assert images.flags.c_contiguous
    assert np.array_equal(images[4], X[..., 4])
    assert labels.tolist() == [0, 1, 2, 9, 3, 0, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"X": X}, "y is missing"),
        ({"y": Y}, "X is missing"),
        ({"X": X[:28], "y": Y}, r"\(28, 32, 3, 7\)"),
        ({"X": X.astype(float), "y": Y}, "X is double"),
        ({"X": X, "y": Y[:6]}, "expected 7 numbers"),
        ({"X": X, "y": Y + np.uint8(1)}, "7 labels; expected 7, each from 0 to 10"),
        ({"X": X, "y": Y * 0.5}, "7 labels; expected 7, each from 0 to 10"),
        ({"X": X, "y": Y * np.nan}, "7 labels; expected 7, each from 0 to 10"),
        ({"X": X, "y": np.array(["a"] * 7, object)}, "y is cell"),
        ({"X": {"a": X}, "y": Y}, "X is struct"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, message):
    path = tmp_path / "file.mat"
    scipy_io.savemat(path, content)
    with pytest.raises(InputError, match=message):
        read_svhn(path)


def test_damaged_cut_off_and_too_large_files_are_refused(tmp_path):
    path = tmp_path / "file.mat"
    scipy_io.savemat(path, {"X": X, "y": Y})
    whole = path.read_bytes()
    for content in (b"", b"no MATLAB file", whole[:200], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"file.mat"):
            read_svhn(path)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="expected at most 1000"):
        read_svhn(path, max_bytes=1000)
    scipy_io.savemat(path, {"X": 0 * X, "y": Y}, do_compression=True)  # small on the disk alone
    with pytest.raises(InputError, match="X has 21504 bytes; expected at most 10000"):
        read_svhn(path, max_bytes=10_000)


def test_without_scipy_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install scipy"):
        read_svhn("train_32x32.mat")


@pytest.mark.skipif(not os.environ.get("BITNET_DATA"), reason="BITNET_DATA is not set")
def test_the_stand_in():
    folder = pathlib.Path(os.environ["BITNET_DATA"]) / "mnist-m"
    if not folder.exists():
        pytest.skip(f"no {folder}")
    images, labels = read_svhn(folder / "test_32x32.mat")
    assert images.shape == (len(labels), 32, 32, 3)
    assert set(np.unique(labels)) == set(range(10))
