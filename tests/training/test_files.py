"""Tests of `bitnet.load` with each kind of file, and with other files."""

import subprocess
import sys

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.archive import write_archive
from bitnet.deploy import FrozenLanguageModel, FrozenNet
from bitnet.training import Experiment
from bitnet.training.trained import Trained

IMAGES = {"net": "mlp:9", "data": "embedded", "epochs": 1, "batch": 50, "limit": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("opened")
    images, texts = Experiment(IMAGES), Experiment({"net": "rnn:8", "limit": 100})
    images.save(folder / "images")
    texts.save(folder / "texts")
    bitnet.freeze(images.model).save(folder / "images.npz")
    vocabulary = texts.data.vocabulary
    bitnet.freeze(texts.model, vocabulary=vocabulary).save(folder / "texts.npz")
    return folder


def test_each_kind_of_file(folder):
    images, texts = (bitnet.load(folder / name) for name in ("images", "texts"))
    assert (type(images), type(texts)) == (Trained, Trained)
    assert (images.task, texts.task) == ("images", "texts")
    net, model = (bitnet.load(folder / f"{name}.npz") for name in ("images", "texts"))
    assert (type(net), type(model)) == (FrozenNet, FrozenLanguageModel)
    ids = np.arange(6).reshape(3, 2)
    assert np.array_equal(texts.model(ids)[0].data, model.scores(ids)[0])
    assert (model.vocabulary, model.unit) == (texts.vocabulary.words, texts.unit)
    pictures = bitnet.load_dataset("embedded").test_images[:5]
    assert np.array_equal(images.predict(pictures), net.predict(pictures.reshape(5, -1)))


@pytest.mark.parametrize("name", ["images", "texts", "images.npz", "texts.npz"])
def test_what_is_not_whole_or_too_large_is_refused(folder, tmp_path, name):
    content = (folder / name).read_bytes()
    with pytest.raises(InputError, match=f"{len(content)} bytes; expected at most 1000"):
        bitnet.load(folder / name, max_bytes=1000)
    path = tmp_path / name
    for n in (0, 30, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:n])
        with pytest.raises(InputError, match="cut off"):
            bitnet.load(path)
    for n in range(0, len(content), len(content) // 10):
        path.write_bytes(content[:n] + bytes([content[n] ^ 1]) + content[n + 1 :])
        with pytest.raises(InputError, match="damaged"):
            bitnet.load(path)


def test_what_is_no_net_is_refused(tmp_path):
    write_archive(tmp_path / "other", "other thing", 1, {}, {})
    with pytest.raises(InputError, match="holds a 'other thing'"):
        bitnet.load(tmp_path / "other")
    with pytest.raises(InputError, match="it is a folder"):
        bitnet.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        bitnet.load(tmp_path / "nothing")


LOADED = """
import sys
import bitnet

bitnet.load(sys.argv[1])
loaded = [name for name in sys.modules if name.startswith("bitnet.")]
print(*[name for name in loaded if name.startswith(("bitnet.training", "bitnet.nn.recurrent"))])
"""


@pytest.mark.parametrize("name", ["images.npz", "texts.npz"])
def test_a_frozen_net_needs_no_trainer(folder, name):
    command = [sys.executable, "-c", LOADED, folder / name]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.split() == ["bitnet.training", "bitnet.training.files"]
