"""Nets of later papers from the shell: train, freeze, evaluate, summary and plot."""

import pytest

from bitnet import InputError
from bitnet.__main__ import main

QUICK = "--data", "embedded", "--limit", "60", "--batch", "20", "--epochs", "1", "--quiet"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITNET_DATA", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", ["bireal-small:4", "keyword:4"])
def test_from_training_to_pictures(folder, capsys, name):
    main(["train", "--net", name, *QUICK, "--out", "net.checkpoint"])
    main(["freeze", "net.checkpoint", "--out", "net.npz"])
    assert "integers, scores and classes are equal" in capsys.readouterr().out
    for file in ("net.checkpoint", "net.npz"):
        main(["evaluate", file, "--limit", "20"])
        main(["summary", file])
        main(["plot", "graph", file, "--out", "graph.svg"])
    assert "1x1 MACs" in capsys.readouterr().out
    assert (folder / "graph.svg").stat().st_size > 1000


def test_summaries_by_name(capsys):
    main(["summary", "reactnet:4", "--image", "32x32x3", "--classes", "100"])
    assert "FloatLinear(16, 100)" in capsys.readouterr().out
    main(["summary", "autoencoder:4"])
    assert "decoder.layers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--net", "autoencoder"], "no scores of classes"),
        (["--net", "xnornet", "--weights", "2"], "net xnornet: got weight_quantizer"),
        (["--net", "xnornet", "--float"], "net xnornet: got is_float True"),
        (["--net", "reactnets"], "did you mean reactnet"),
    ],
)
def test_what_a_net_does_not_have_is_one_sentence(words, message):
    with pytest.raises((InputError, SystemExit), match=message):
        main(["train", *QUICK, *words])
