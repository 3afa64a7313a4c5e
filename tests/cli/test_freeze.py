"""`bitnet freeze`: the file it writes, what it compares, and what it refuses."""

import itertools
import json
import re

import numpy as np
import pytest

import bitnet
from bitnet import InputError
from bitnet.__main__ import main
from bitnet.deploy.compare import Agreement
from bitnet.training.experiment import Experiment
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
@pytest.mark.parametrize("more", [(), ("--float",)])
def test_the_file_holds_all_that_predicting_needs(capsys, folder, net, prepare, more):
    train("--net", net, "--prepare", prepare, *more)
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
    expected = trained.scores(images)
    for count in (30, 1, 7):
        frozen.batch = count
        assert np.array_equal(frozen.scores(images), expected)


def test_without_a_comparison(capsys):
    train()
    main(["freeze", "net.checkpoint", "--out", "a.npz", "--check", "0"])
    assert "compared" not in capsys.readouterr().out
    assert bitnet.load("a.npz").sizes == [784, 16, 10]
    main(["freeze", "net.checkpoint", "--out", "a.npz"])  # a frozen net may be written over


@pytest.mark.parametrize("net", [["mlp:16,8"], ["conv:4/8"], ["mlp:16,8", "--float"]])
def test_statistics_are_re_estimated(capsys, net):
    train("--net", *net, "--prepare", "gcn", "--validation", "20")
    main(["freeze", "net.checkpoint", "--out", "plain.npz"])
    main(["freeze", "net.checkpoint", "--reestimate", "2", "--check", "50"])
    out = capsys.readouterr().out
    assert "means over 2 batches of 100 training images" in out
    assert "compared with the trained net on 50 test images: all" in out
    plain, net = bitnet.load("plain.npz"), bitnet.load("net.npz")
    assert np.array_equal(*(np.asarray(own.layers[0].bits) for own in (plain, net)))
    assert not np.array_equal(plain.layers[-1].affine.mean, net.layers[-1].affine.mean)
    main(["freeze", "net.checkpoint", "--reestimate", "9", "--out", "all.npz"])
    assert "means over 2 batches" in capsys.readouterr().out  # as many as there are
    main(["freeze", "net.checkpoint", "--reestimate", "2", "--out", "again.npz"])
    again = bitnet.load("again.npz")
    assert np.array_equal(again.layers[-1].affine.mean, net.layers[-1].affine.mean)


def test_statistics_of_other_images_are_refused():
    train()
    with pytest.raises(InputError, match="--reestimate takes the training images of embedded"):
        main(["freeze", "net.checkpoint", "--reestimate", "2", "--data", "mnist"])
    with pytest.raises(InputError, match="--reestimate is -1"):
        main(["freeze", "net.checkpoint", "--reestimate", "-1"])


def test_a_net_that_differs_is_not_kept_quiet(monkeypatch):
    train()
    monkeypatch.setattr("bitnet.compare", lambda *args: Agreement(1, 2, 1, 0, 0))
    with pytest.raises(InputError, match=r"net\.npz differs from the trained net.*please report"):
        main(["freeze", "net.checkpoint"])


def test_what_is_refused(folder):
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


def test_pictures_of_any_size_are_scaled_as_in_the_training(capsys, folder):
    """The frozen net knows the size and the channels of the images of a folder."""
    Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow (extra images)")
    rng = np.random.default_rng(0)
    for part, name in itertools.product(("train", "val"), ("cat", "dog")):
        (folder / "pets" / part / name).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 256, (21, 34, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pets" / part / name / f"{i}.png")
    own = "--data", "folder", "--folder", "pets", "--size", "9", "--channels", "1", "--batch", "4"
    words = "--net", "conv:4/", "--limit", "0", "--input-planes", "3"
    train(*own, *words)
    main(["freeze", "net.checkpoint", "--check", "8"])
    assert bitnet.load("net.npz").picture == (9, 9, 1)
    capsys.readouterr()
    outs = []
    for name in ("net.checkpoint", "net.npz"):
        main(["predict", name, "pets/val/cat", "pets/val/dog/1.png", "--json"])
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1]
    rows = json.loads(outs[0])
    images = bitnet.load_dataset("folder", "pets", size=9, channels=1).test_images[::2]
    expected = load_trained("net.checkpoint").scores(images)
    assert [row["scores"] for row in rows[:4]] == expected.tolist()


def test_a_net_whose_norms_have_seen_no_batch_is_named(capsys):
    Experiment({"net": "mlp:16,8", "limit": 300, "epochs": 1}).save("net.checkpoint")
    main(["freeze", "net.checkpoint", "--check", "0"])
    out = capsys.readouterr().out
    assert re.search(r"note: 3 norms, such as \S+, have seen no batch, so most inputs get", out)
    main(["freeze", "net.checkpoint", "--check", "0", "--reestimate", "2"])
    assert "have seen no batch" not in capsys.readouterr().out
    train("--out", "seen.checkpoint")
    main(["freeze", "seen.checkpoint", "--check", "0"])
    assert "have seen no batch" not in capsys.readouterr().out
