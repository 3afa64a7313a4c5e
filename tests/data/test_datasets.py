"""Data sets by name: the embedded digits, full sets, missing files, and how sets are displayed."""

import hashlib
import os
import pathlib

import embed_digits
import numpy as np
import pytest

from bitnet import InputError, data
from bitnet.data.cifar import write_cifar
from bitnet.data.idx import write_idx

FULL = pathlib.Path(os.environ.get("BITNET_DATA", "nowhere"))


def needs(name):
    reason = f"the full {name} is not below BITNET_DATA"
    return pytest.mark.skipif(not (FULL / name).is_dir(), reason=reason)


def test_the_embedded_digits():
    digits = data.load_dataset("embedded")
    assert digits.train_images.shape == (10_000, 28, 28)
    assert digits.test_images.shape == (2_000, 28, 28)
    assert digits.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert digits.classes == tuple("0123456789")
    folder = pathlib.Path(data.__file__).parent / "digits"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2_200_000
    assert "Attribution-Share Alike 3.0" in (folder / "LICENSE").read_text().replace("\n", " ")


@needs("mnist")
def test_the_full_mnist_and_that_the_embedded_digits_are_its_part(tmp_path):
    mnist, digits = data.load_dataset("mnist"), data.load_dataset("embedded")
    assert abs(mnist.train_images.mean() / 255 - 0.1307) < 1e-4
    assert np.bincount(mnist.train_labels).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    content = b"\0\0\x08\x03\0\0\xea\x60\0\0\0\x1c\0\0\0\x1c" + mnist.train_images.tobytes()
    assert hashlib.md5(content).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert np.array_equal(mnist.train_images[:10_000], digits.train_images)
    assert np.array_equal(mnist.test_images[::5], digits.test_images)
    embed_digits.embed(mnist, tmp_path)
    for path in tmp_path.iterdir():
        read, kept = data.read_idx(path), pathlib.Path(data.__file__).parent / "digits" / path.name
        assert np.array_equal(read, data.read_idx(kept))


@needs("fashion-mnist")
def test_the_full_fashion_mnist():
    fashion = data.load_dataset("fashion-mnist")
    assert abs(fashion.train_images.mean() / 255 - 0.2860) < 1e-4
    assert fashion.train_labels[:4].tolist() == [9, 0, 0, 3]
    assert np.bincount(fashion.test_labels).tolist() == [1000] * 10


@pytest.mark.parametrize("variable", ["BITNET_DATA", "XDG_CACHE_HOME"])
def test_a_set_that_is_missing_says_what_to_put_where(tmp_path, monkeypatch, variable):
    monkeypatch.delenv("BITNET_DATA", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    folder = tmp_path / ("mnist" if variable == "BITNET_DATA" else "bitnet/mnist")
    with pytest.raises(InputError) as caught:
        data.load_dataset("mnist")
    for part in (f"{folder}", "train-images-idx3-ubyte.gz", "download", "BITNET_DATA"):
        assert part in str(caught.value)
    assert dict(data.available())["mnist"] == f"not in {folder}; `bitnet data fetch mnist` (12 MB)"


def test_files_are_found_plain_and_gzip_and_compared_with_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("BITNET_DATA", str(tmp_path))
    folder = tmp_path / "mnist"
    folder.mkdir()
    images = np.zeros((5, 28, 28), np.uint8)

    def write(train_images=images, train_labels=images[:, 0, 0]):
        write_idx(folder / "train-images-idx3-ubyte.gz", train_images)
        write_idx(folder / "train-labels-idx1-ubyte", train_labels)
        write_idx(folder / "t10k-images-idx3-ubyte", images)
        write_idx(folder / "t10k-labels-idx1-ubyte.gz", images[:, 0, 0])

    write()
    assert len(data.load_dataset("mnist").train_images) == 5
    assert dict(data.available())["mnist"] == str(folder)
    write(train_labels=images[:4, 0, 0])
    with pytest.raises(InputError, match="expected 5, one per image"):
        data.load_dataset("mnist")
    write(train_labels=images[:, 0, 0] + np.uint8(10))
    with pytest.raises(InputError, match="label 10; expected 0 to 9"):
        data.load_dataset("mnist")
    write(train_images=images[:, :27])
    with pytest.raises(InputError, match="28"):
        data.load_dataset("mnist")


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="expected one of embedded, mnist, fashion-mnist, cifar10"):
        data.load_dataset("cifar")


RNG = np.random.default_rng(0)


def colours(count):
    return RNG.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("subfolder", ["", "cifar-10-batches-bin"])
def test_cifar_10_in_its_folder_or_its_archives(tmp_path, monkeypatch, subfolder):
    monkeypatch.setenv("BITNET_DATA", str(tmp_path))
    folder = tmp_path / "cifar10" / subfolder
    folder.mkdir(parents=True)
    train, test = colours(10), colours(3)
    for i in range(5):
        write_cifar(folder / f"data_batch_{i + 1}.bin", train[2 * i : 2 * i + 2], [i, 9 - i])
    with pytest.raises(InputError, match=r"no test_batch.bin in .*bitnet data fetch cifar10"):
        data.load_dataset("cifar10")
    write_cifar(folder / "test_batch.bin", test, [7, 8, 9])
    for cifar in (data.load_dataset("cifar10"), data.load_dataset("cifar10", folder=folder)):
        assert np.array_equal(cifar.train_images, train)
        assert cifar.train_labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
        assert np.array_equal(cifar.test_images, test)
        assert cifar.test_labels.tolist() == [7, 8, 9]
        assert cifar.classes[0] == "airplane"
    assert dict(data.available())["cifar10"] == str(folder)
    names = folder / "batches.meta.txt"
    names.write_text("\n".join("abcdefghij") + "\n\n")
    assert data.load_dataset("cifar10").classes == tuple("abcdefghij")
    names.write_text("\n".join("abcdefghi"))
    with pytest.raises(InputError, match="9 different names; expected 10"):
        data.load_dataset("cifar10")


def test_cifar_100_has_fine_labels_and_their_names(tmp_path):
    write_cifar(tmp_path / "train.bin", colours(2), [99, 0], coarse=[19, 0])
    write_cifar(tmp_path / "test.bin", colours(1), [50], coarse=[3])
    cifar = data.load_dataset("cifar100", folder=str(tmp_path))
    assert cifar.train_labels.tolist() == [99, 0]
    assert cifar.classes == tuple(map(str, range(100)))
    names = [f"thing_{i}" for i in range(100)]
    (tmp_path / "fine_label_names.txt").write_text("\n".join(names))
    assert data.load_dataset("cifar100", folder=tmp_path).classes == tuple(names)


def test_svhn_with_and_without_the_set_extra(tmp_path):
    scipy_io = pytest.importorskip("scipy.io", reason="SciPy is not installed")
    parts = {"train": colours(3), "test": colours(2), "extra": colours(4)}
    for i, (name, images) in enumerate(parts.items()):
        y = np.full((len(images), 1), 10 - i, np.uint8)
        scipy_io.savemat(
            tmp_path / f"{name}_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": y}
        )
    svhn = data.load_dataset("svhn", folder=tmp_path)
    assert np.array_equal(svhn.train_images, parts["train"])
    assert svhn.train_labels.tolist() == [0, 0, 0]
    assert svhn.test_labels.tolist() == [9, 9]
    extra = data.load_dataset("svhn-extra", folder=tmp_path)
    assert np.array_equal(extra.train_images, np.concatenate([parts["train"], parts["extra"]]))
    assert extra.train_labels.tolist() == [0, 0, 0, 8, 8, 8, 8]
    assert np.array_equal(extra.test_images, parts["test"])
    assert extra.classes == tuple("0123456789")
    (tmp_path / "extra_32x32.mat").unlink()
    with pytest.raises(InputError, match=r"no extra_32x32.mat in .*fetch svhn-extra"):
        data.load_dataset("svhn-extra", folder=tmp_path)


@needs("mnist-m")
def test_the_stand_in_for_svhn_by_its_folder():
    svhn = data.load_dataset("svhn", folder=FULL / "mnist-m")
    assert svhn.train_images.shape == (12_000, 32, 32, 3)
    assert svhn.test_images.shape == (3_000, 32, 32, 3)
    assert set(np.unique(svhn.train_labels)) == set(range(10))


def test_with_channels():
    digits = data.load_dataset("embedded").first(3, 2).with_channels()
    assert digits.train_images.shape == (3, 28, 28, 1)
    assert digits.with_channels().test_images.shape == (2, 28, 28, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "embedded", "folder": "x"}, "remove folder="),
        ({"name": "folder"}, "needs folder="),
        ({"name": "mnist", "size": 32}, "size and channels apply only to the data set 'folder'"),
        ({"name": "mnist", "folder": "no/such"}, "no train-images-idx3-ubyte in no/such"),
        ({"name": ["mnist"]}, "name is"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        data.load_dataset(**arguments)


def test_pixels_are_scaled_exactly_once():
    pixels = np.arange(256, dtype=np.uint8).reshape(2, -1)
    scaled = data.scale_pixels(pixels)
    assert scaled.dtype == np.float32
    assert abs(scaled - (pixels / 127.5 - 1)).max() <= 3e-7  # float32 from -1 to 1
    for wrong in (scaled, pixels.astype(np.uint16), pixels.astype(np.int64), pixels > 3, [0, 255]):
        with pytest.raises(InputError, match=r"scale_pixels: .* expected uint8 pixels"):
            data.scale_pixels(wrong)
