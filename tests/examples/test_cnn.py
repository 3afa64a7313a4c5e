"""Tests of examples/cnn.py as a command."""

import json

import pytest
from scripts import COMPLETE, refused, run

import bitnet

QUICK = ("--quick", "--threads", "1", "--epochs", "1", "--net", "conv:4/8,8/16")


def test_a_quick_run(tmp_path):
    out = run("cnn.py", *QUICK, "--flip", "--crop", "2", "--json", "a.json", folder=tmp_path).stdout
    assert COMPLETE in out
    twin, latent, frozen = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [row["net"] for row in (twin, latent, frozen)] == [
        "float twin",
        "binary, latent",
        "binary, frozen",
    ]
    assert latent["accuracy"] == frozen["accuracy"] > 0.2
    assert frozen["bytes"] == (tmp_path / "cnn_quick.npz").stat().st_size
    net = bitnet.load(tmp_path / "cnn_quick.npz")
    assert repr(net) == "FrozenNet(28x28x1-4C-8C-8C-16-10, pixels)"
    assert (net.data, net.picture, len(net.classes)) == ("embedded", (28, 28, 1), 10)


@pytest.mark.parametrize("recipe", ["theano", "torch"])
def test_the_papers_recipes_and_a_preparation(tmp_path, recipe):
    words = "--recipe", recipe, "--prepare", "gcn", "--no-twin", "--out", "a.npz"
    out = run("cnn.py", *QUICK, *words, folder=tmp_path).stdout
    assert COMPLETE in out
    assert "note: the papers use dropout" in out or "note: shift-based AdaMax" in out
    assert bitnet.load(tmp_path / "a.npz").preparation.header["steps"] == ["gcn"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--epochs", "0"], 2, "--epochs is 0"),
        (["--lr", "nan"], 2, "--lr is nan"),
        (["--crop", "65"], 2, "--crop is 65"),
        (["--threads", "0"], 2, "--threads is 0"),
        (["--data", "imagenet"], 2, "invalid choice"),
        (["--net", "conv:0/5"], 1, "net is 'conv:0/5'; expected one of"),
        (["--data", "mnist"], 1, "fetch mnist"),
        (["--data", "folder", "--recipe", "torch"], 1, "the papers have no recipe"),
        (["--prepare", "pca"], 1, "steps"),
        (["--out", "missing/net.npz"], 1, "no folder missing"),
        (["--json", "cnn_quick.npz"], 1, "expected another"),
        (["--batch", "9999"], 1, "only 2000 images"),
    ],
)
def test_wrong_arguments_of_the_convnet(tmp_path, monkeypatch, words, code, message):
    monkeypatch.setenv("BITNET_DATA", str(tmp_path))
    assert message in refused("cnn.py", *QUICK, *words, folder=tmp_path, code=code)
    assert not list(tmp_path.iterdir())
