"""`bitnet evaluate`: the figures of trained and frozen nets, and nets that do not fit the data."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

import bitnet
from bitnet import InputError
from bitnet.__main__ import main
from bitnet.cli import evaluate
from bitnet.training.trained import load_trained


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    words = ("--limit", "300", "--epochs", "1", "--quiet")
    for name, net, *more in (
        ("mlp", "mlp:16"),
        ("conv", "conv:4/8"),
        ("gcn", "mlp:16", "--prepare", "gcn"),
        ("float", "mlp:16", "--float"),
        ("bits", "mlp:16", "--weights", "4", "--activations", "2"),
    ):
        main(["train", "--net", net, *more, *words, "--out", f"{folder}/{name}.checkpoint"])
        if name != "float":
            main(
                [
                    "freeze",
                    f"{folder}/{name}.checkpoint",
                    "--out",
                    f"{folder}/{name}.npz",
                    "--check",
                    "0",
                ]
            )
    return folder


def evaluated(capsys, *words):
    capsys.readouterr()
    main(["evaluate", *map(str, words), "--json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["mlp", "conv", "gcn", "float", "bits"])
def test_the_figures(nets, capsys, name):
    digits = bitnet.load_dataset("embedded")
    right = (
        load_trained(nets / f"{name}.checkpoint").predict(digits.test_images) == digits.test_labels
    )
    figures = evaluated(capsys, nets / f"{name}.checkpoint")
    assert (figures["data"], figures["images"]) == ("embedded", 2000)
    assert figures["accuracy"] == right.mean()
    expected = {str(i): right[digits.test_labels == i].mean() for i in range(10)}
    assert figures["classes"] == pytest.approx(expected)
    assert figures["images_per_second"] > 0
    if name != "float":
        frozen = evaluated(capsys, nets / f"{name}.npz", "--batch", 7)
        assert frozen["classes"] == figures["classes"]


def test_a_few_images(nets, capsys):
    figures = evaluated(capsys, nets / "mlp.checkpoint", "--limit", 3, "--batch", 2)
    assert figures["images"] == 3
    assert [name for name, share in figures["classes"].items() if share is not None] == [
        "0",
        "1",
        "7",
    ]
    main(["evaluate", str(nets / "mlp.checkpoint"), "--limit", "3"])
    out = capsys.readouterr().out
    assert "on 3 test images of embedded" in out
    assert out.count("no image") == 7


def test_nets_that_do_not_say_what_they_were_trained_on(tmp_path, capsys):
    for sizes in ([784, 10], [784, 9], [783, 10]):
        rng = np.random.default_rng(0)
        bitnet.freeze(bitnet.nn.models.binary_mlp(sizes, rng=rng)).save(tmp_path / f"{sizes}.npz")
    with pytest.raises(InputError, match="add --data"):
        main(["evaluate", f"{tmp_path}/[784, 10].npz"])
    figures = evaluated(capsys, tmp_path / "[784, 10].npz", "--data", "embedded")
    assert sorted(figures["classes"]) == sorted("0123456789")
    for name in ("[784, 9]", "[783, 10]"):
        with pytest.raises(InputError, match="has images of 28x28x1 and 10 classes; see --data"):
            main(["evaluate", f"{tmp_path}/{name}.npz", "--data", "embedded"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch", "0"], "--batch is 0"),
        (["--limit", "-1"], "--limit is -1"),
        (["--threads", "9999"], "--threads is 9999"),
        (["--data", "folder"], "--folder"),
        (["--folder", "x"], "remove it"),
    ],
)
def test_wrong_arguments(nets, words, message):
    with pytest.raises(InputError, match=message):
        main(["evaluate", str(nets / "mlp.checkpoint"), *words])


def test_folders_of_other_classes_are_refused(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    for root, names in (("pets", ("cat", "dog")), ("birds", ("owl", "tit"))):
        for part, name in itertools.product(("train", "val"), names):
            (tmp_path / root / part / name).mkdir(parents=True)
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            for i in range(4):
                Image.fromarray(pixels).save(tmp_path / root / part / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    words = "--net", "mlp:4", "--size", "8", "--epochs", "1", "--batch", "4", "--quiet"
    main(["train", "--data", "folder", "--folder", "pets", *words, "--out", "net.checkpoint"])
    assert evaluated(capsys, "net.checkpoint")["images"] == 8
    assert evaluated(capsys, "net.checkpoint", "--limit", 2)["classes"].keys() == {"cat", "dog"}
    with pytest.raises(
        InputError, match=r"birds has a class 'owl', which net\.checkpoint was not trained on"
    ):
        main(["evaluate", "net.checkpoint", "--data", "folder", "--folder", "birds"])


def test_damaged_files(nets, tmp_path):
    for name in ("mlp.checkpoint", "mlp.npz"):
        content = (nets / name).read_bytes()
        for damaged in (content[:-9], content[:99], b"", content.replace(b"mlp:16", b"mlp:17")):
            if damaged != content:
                (tmp_path / "net").write_bytes(damaged)
                with pytest.raises(InputError, match="net"):
                    main(["evaluate", str(tmp_path / "net")])


def test_long_names_of_classes_stay_aligned(nets, capsys, monkeypatch):
    shares = {"a": 1.0, "n" * 30: None, "c": 0.05}
    figures = {"images": 5, "accuracy": 0.5, "classes": shares, "images_per_second": 7.0}
    monkeypatch.setattr(evaluate, "measure", lambda *words: figures)
    main(["evaluate", str(nets / "mlp.checkpoint")])
    rows = capsys.readouterr().out.splitlines()[1:4]
    assert [row.split()[-1] for row in rows] == ["100.00%", "image", "5.00%"]
    assert len({len(row) for row in rows}) == 1
