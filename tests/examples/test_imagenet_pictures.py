"""Tests of small folders of pictures: layout, reproducibility and different classes."""

import importlib.util

import numpy as np
import pytest
from scripts import EXAMPLES

from bitnet import InputError
from bitnet.data import list_image_folder
from bitnet.data.image_folder import read_image_folder

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
spec = importlib.util.spec_from_file_location("pictures", EXAMPLES / "imagenet_pictures.py")
pictures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pictures)
DRAWN, SHIPPED = pictures.DRAWN, pictures.SHIPPED
photographs, write_image_folder = pictures.photographs, pictures.write_image_folder


def shipped(folder, count):
    """Install a package `skimage` with this number of photographs, and no `sklearn`."""
    own, names = SHIPPED["skimage"]
    (folder / "skimage" / own).mkdir(parents=True)
    (folder / "skimage" / "__init__.py").write_text("raise SystemExit('imported')")
    rng = np.random.default_rng(0)
    for name in names.split()[:count]:
        pixels = rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "skimage" / own / name)
    spec = importlib.util.spec_from_file_location(
        "skimage",
        folder / "skimage" / "__init__.py",
        submodule_search_locations=[str(folder / "skimage")],
    )
    return lambda name: spec if name == "skimage" else None


@pytest.mark.parametrize(("count", "drawn"), [(0, True), (1, True), (2, False), (5, False)])
def test_parts_of_photographs_or_drawings(tmp_path, monkeypatch, count, drawn):
    find = importlib.util.find_spec
    own = shipped(tmp_path, count)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: own(name) if name in SHIPPED else find(name)
    )
    assert len(photographs()) == count
    classes = write_image_folder(tmp_path / "a", np.random.default_rng(1), 3, 2, side=20)
    assert classes == (tuple(sorted(DRAWN)) if drawn else tuple(photographs()))
    (train, labels), (val, _), found = list_image_folder(tmp_path / "a")
    assert (len(train), len(val), found) == (3 * len(classes), 2 * len(classes), classes)
    assert np.bincount(labels).tolist() == [3] * len(classes)
    sizes = [Image.open(path).size for path in train]
    assert {min(size) for size in sizes} == {20}
    assert {max(size) <= 30 for size in sizes} == {True}
    write_image_folder(tmp_path / "b", np.random.default_rng(1), 3, 2, side=20)
    for path in (*train, *val):
        again = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert again.read_bytes() == path.read_bytes()


def test_drawn_classes_differ(tmp_path, monkeypatch):
    """Crosses have fewer bright pixels than squares."""
    monkeypatch.setattr(pictures, "photographs", dict)
    write_image_folder(tmp_path, np.random.default_rng(2), 10, 1, side=40)
    data = read_image_folder(tmp_path, 40, channels=1)
    images, labels, classes = data["train_images"], data["train_labels"], data["classes"]
    bright = (images > 90).mean(axis=(1, 2))
    means = [bright[labels == classes.index(name)].mean() for name in ("cross", "square")]
    assert means[0] < 0.7 * means[1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": 0}, "train is 0"),
        ({"val": 1.5}, "val is 1.5"),
        ({"side": 0}, "size is 0"),
        ({"rng": None}, "numpy.random.Generator"),
    ],
)
def test_what_there_cannot_be(tmp_path, changed, message):
    given = {"folder": tmp_path / "a", "rng": np.random.default_rng(0)} | changed
    with pytest.raises(InputError, match=message):
        write_image_folder(**given)
    assert not (tmp_path / "a").exists()
