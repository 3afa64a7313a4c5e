"""`bitnet freeze`: the file it writes, what it compares, and what it refuses."""

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.__main__ import main
from bitnet.training.trained import load_trained


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*words):
    words = ("--net", "mlp:16", "--limit", "300", "--epochs", "1", "--quiet", *words)
    main(["train", "--out", "net.checkpoint", *words])


@pytest.mark.parametrize("net", ["mlp:16,8", "conv:4,4/5/8", "conv:4/"])
@pytest.mark.parametrize("prepare", ["none", "gcn,lcn"])
def test_the_file_holds_all_that_predicting_needs(capsys, folder, net, prepare):
    train("--net", net, "--prepare", prepare)
    main(["freeze", "net.checkpoint", "--check", "50"])
    out = capsys.readouterr().out
    assert "compared with the trained net on 50 test images: all" in out
    frozen, trained = bitnet.load("net.npz"), load_trained("net.checkpoint")
    assert f"{(folder / 'net.npz').stat().st_size} bytes" in out
    assert (frozen.classes, frozen.data, frozen.picture) == (
        tuple("0123456789"),
        "embedded",
        (28, 28, 1),
    )
    assert (frozen.preparation is None) == (prepare == "none")
    images = bitnet.load_dataset("embedded").test_images[:30]
    assert np.array_equal(frozen.scores(images), trained.scores(images))


def test_without_a_comparison(capsys):
    train()
    main(["freeze", "net.checkpoint", "--out", "a.npz", "--check", "0"])
    assert "compared" not in capsys.readouterr().out
    assert bitnet.load("a.npz").sizes == [784, 16, 10]
    main(["freeze", "net.checkpoint", "--out", "a.npz"])  # a frozen net may be written over


@pytest.mark.parametrize("net", ["mlp:16,8", "conv:4/8"])
def test_statistics_are_re_estimated(capsys, net):
    train("--net", net, "--prepare", "gcn", "--validation", "20")
    main(["freeze", "net.checkpoint", "--out", "plain.npz"])
    main(["freeze", "net.checkpoint", "--reestimate", "2", "--check", "50"])
    out = capsys.readouterr().out
    assert "means over 2 batches of 100 training images" in out
    assert "compared with the trained net on 50 test images: all" in out
    plain, net = bitnet.load("plain.npz"), bitnet.load("net.npz")
    assert plain.layers[0].bits == net.layers[0].bits
    assert not np.array_equal(plain.layers[-1].mean, net.layers[-1].mean)
    main(["freeze", "net.checkpoint", "--reestimate", "9", "--out", "all.npz"])
    assert "means over 2 batches" in capsys.readouterr().out  # as many as there are
    main(["freeze", "net.checkpoint", "--reestimate", "2", "--out", "again.npz"])
    again = bitnet.load("again.npz")
    assert np.array_equal(again.layers[-1].mean, net.layers[-1].mean)


def test_statistics_of_other_images_are_refused():
    train()
    with pytest.raises(InputError, match="--reestimate takes the training images of embedded"):
        main(["freeze", "net.checkpoint", "--reestimate", "2", "--data", "mnist"])
    with pytest.raises(InputError, match="--reestimate is -1"):
        main(["freeze", "net.checkpoint", "--reestimate", "-1"])


def test_a_net_that_differs_is_not_kept_quiet(monkeypatch):
    train()
    monkeypatch.setattr(
        "bitnet.compare", lambda *args: bitnet.deploy.freeze.Agreement(1, 2, 1, 0, 0)
    )
    with pytest.raises(InputError, match=r"net\.npz differs from the trained net.*please report"):
        main(["freeze", "net.checkpoint"])


def test_what_is_refused(folder):
    train("--float")
    with pytest.raises(InputError, match="the float twin of mlp:16, which has no bits to freeze"):
        main(["freeze", "net.checkpoint"])
    (folder / "net.checkpoint").unlink()
    train()
    (folder / "notes.npz").write_text("notes")
    cases = [
        (["notes.npz"], "not a file of bitnet"),
        (["none"], "none"),
        (["net.checkpoint", "--out", "notes.npz"], "is not a frozen net"),
        (["net.checkpoint", "--out", "net.checkpoint"], r"ends with \.npz"),
        (["net.checkpoint", "--out", "missing/a.npz"], "no folder missing"),
        (["net.checkpoint", "--check", "-1"], "--check is -1"),
        (["net.checkpoint", "--data", "mnist", "--folder", "x"], "add --check 0"),
        (["net.checkpoint", "--threads", "0"], "--threads is 0"),
    ]
    for words, message in cases:
        with pytest.raises((InputError, OSError), match=message):
            main(["freeze", *words])
    assert (folder / "notes.npz").read_text() == "notes"
    assert sorted(path.name for path in folder.iterdir()) == ["net.checkpoint", "notes.npz"]
    main(["freeze", "net.checkpoint", "--check", "0"])
    with pytest.raises(InputError, match="holds a 'frozen net'"):
        main(["freeze", "net.npz"])
