"""`bitnet predict`: pictures, folders, arrays and standard input, as text and as JSON."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import bitnet
from bitnet import InputError
from bitnet.__main__ import main
from bitnet.training.trained import open_net

DIGITS = bitnet.load_dataset("embedded").test_images[:12]


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    words = ("--limit", "300", "--epochs", "1", "--prepare", "gcn", "--quiet")
    main(["train", "--net", "conv:4/8", *words, "--out", f"{folder}/net.checkpoint"])
    main(["freeze", f"{folder}/net.checkpoint", "--out", f"{folder}/net.npz", "--check", "0"])
    (folder / "pictures").mkdir()
    for i, digit in enumerate(DIGITS[:3]):
        Image.fromarray(digit).save(folder / "pictures" / f"{i}.png")
    Image.fromarray(255 - DIGITS[0]).save(folder / "black.png")
    np.save(folder / "many.npy", DIGITS)
    np.save(folder / "rows.npy", DIGITS.reshape(12, 784))
    np.save(folder / "one.npy", DIGITS[0])
    np.savez_compressed(folder / "two.npz", a=DIGITS[:2], b=DIGITS[2])
    return folder


@pytest.fixture(autouse=True)
def folder(nets, monkeypatch):
    monkeypatch.chdir(nets)


class Stdin:
    def __init__(self, content):
        self.buffer = io.BytesIO(content)


def predicted(capsys, *words):
    capsys.readouterr()
    main(["predict", *words, "--json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("weights", "activations"), [("4", "2"), ("log:3", "linear:3:0.5")])
def test_nets_of_few_bits(tmp_path, capsys, weights, activations):
    bits = ("--weights", weights, "--activations", activations)
    words = ("--limit", "300", "--epochs", "1", "--quiet", "--out", f"{tmp_path}/few.checkpoint")
    main(["train", "--net", "conv:4/8", *bits, *words])
    main(["freeze", f"{tmp_path}/few.checkpoint", "--out", f"{tmp_path}/few.npz", "--check", "50"])
    scores = [
        [row["scores"] for row in predicted(capsys, f"{tmp_path}/{net}", "many.npy")]
        for net in ("few.checkpoint", "few.npz")
    ]
    assert scores[0] == scores[1] == open_net(tmp_path / "few.checkpoint").scores(DIGITS).tolist()


@pytest.mark.parametrize("net", ["net.checkpoint", "net.npz"])
def test_every_kind_of_input_gives_the_same_scores(nets, capsys, net):
    scores = open_net(net).scores(DIGITS)
    rows = predicted(
        capsys, net, "many.npy", "rows.npy", "one.npy", "two.npz", "pictures", "pictures/1.png"
    )
    which = [*range(12), *range(12), 0, 0, 1, 2, 0, 1, 2, 1]
    assert [row["scores"] for row in rows] == scores[which].tolist()
    assert [row["index"] for row in rows] == scores.argmax(axis=1)[which].tolist()
    assert all(row["class"] == str(row["index"]) for row in rows)
    names = [row["input"] for row in rows]
    assert names[:2] + names[24:] == [
        "many.npy[0]",
        "many.npy[1]",
        "one.npy",
        "two.npz:a[0]",
        "two.npz:a[1]",
        "two.npz:b",
        "pictures/0.png",
        "pictures/1.png",
        "pictures/2.png",
        "pictures/1.png",
    ]


def test_a_line_an_image(capsys):
    scores = open_net("net.checkpoint").scores(DIGITS[:1])[0]
    main(["predict", "net.checkpoint", "one.npy", "pictures/0.png"])
    best = int(scores.argmax())
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{name}\t{best}\t{scores[best]:.4f}" for name in ("one.npy", "pictures/0.png")
    ]
    main(["predict", "net.checkpoint", "one.npy", "--top", "99"])
    _, *cells = capsys.readouterr().out.split("\t")
    assert [int(cell) for cell in cells[::2]] == np.argsort(-scores, kind="stable").tolist()


def test_black_on_white(capsys):
    (black,) = predicted(capsys, "net.checkpoint", "black.png", "--invert")
    (white,) = predicted(capsys, "net.checkpoint", "pictures/0.png")
    assert black["scores"] == white["scores"]


@pytest.mark.parametrize("name", ["pictures/1.png", "many.npy", "one.npy"])
def test_standard_input(nets, capsys, monkeypatch, name):
    monkeypatch.setattr("sys.stdin", Stdin((nets / name).read_bytes()))
    rows = predicted(capsys, "net.npz", "-")
    assert [row["scores"] for row in rows] == [
        row["scores"] for row in predicted(capsys, "net.npz", name)
    ]


def test_standard_input_from_a_shell(nets):
    with open(nets / "pictures" / "0.png", "rb") as file:
        out = subprocess.run(
            [sys.executable, "-m", "bitnet", "predict", "net.npz", "-"],
            stdin=file,
            capture_output=True,
            text=True,
        )
    assert out.stdout.startswith("-\t")
    out = subprocess.run(
        [sys.executable, "-m", "bitnet", "predict", "net.npz", "-"],
        input="text",
        capture_output=True,
        text=True,
    )
    assert out.returncode == 1
    assert out.stderr.startswith("error: standard input: ")
    assert out.stderr.count("\n") == 1


def test_colour_and_names_of_classes(tmp_path, capsys):
    rng = np.random.default_rng(0)
    net = bitnet.freeze(bitnet.nn.models.binary_convnet((8, 8, 3), [(4,)], [2], rng=rng))
    net.classes = ("ankle boot", "coat")
    net.save(tmp_path / "net.npz")
    pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (row,) = predicted(capsys, f"{tmp_path}/net.npz", f"{tmp_path}/a.png")
    assert row["scores"] == net.scores(pixels[None])[0].tolist()
    assert row["class"] == net.classes[row["index"]]


def test_older_files_say_nothing_of_the_picture(tmp_path, capsys):
    for n in (784, 783):
        model = bitnet.nn.models.binary_mlp([n, 10], rng=np.random.default_rng(0))
        bitnet.freeze(model).save(tmp_path / f"{n}.npz")
    assert len(predicted(capsys, f"{tmp_path}/784.npz", "pictures", "rows.npy")) == 15
    with pytest.raises(InputError, match="does not say which picture its 783 pixels form"):
        main(["predict", f"{tmp_path}/783.npz", "pictures"])


def test_wrong_input(nets, tmp_path, monkeypatch):
    np.save(tmp_path / "float.npy", DIGITS / 255)
    np.save(tmp_path / "shape.npy", DIGITS[:, :27])
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "empty.npz")
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "folder").mkdir()
    for name, message in [
        ("float.npy", "expected uint8"),
        ("shape.npy", r"an array of shape \(12, 27, 28\); expected images of 28x28x1"),
        ("objects.npy", "expected uint8"),
        ("empty.npz", "has no images"),
        ("text.png", "not a readable picture"),
        ("folder", "no pictures in it"),
        ("missing.png", "missing"),
    ]:
        with pytest.raises((InputError, OSError), match=message):
            main(["predict", "net.checkpoint", str(tmp_path / name)])
    for words, message in [
        (["net.checkpoint", "-", "-"], "- is given twice"),
        (["net.checkpoint", "one.npy", "--top", "0"], "--top is 0"),
        (["one.npy", "one.npy"], "not a file of bitnet"),
        (["none", "one.npy"], "none"),
    ]:
        with pytest.raises((InputError, OSError), match=message):
            main(["predict", *words])
    monkeypatch.setattr("sys.stdin", Stdin(b""))
    with pytest.raises(InputError, match="standard input"):
        main(["predict", "net.checkpoint", "-"])


def test_signs_are_no_pictures(tmp_path):
    model = bitnet.nn.models.binary_mlp([784, 10], rng=np.random.default_rng(0))
    signs = bitnet.kernels.pack(np.ones((1, 784)))
    bitnet.freeze(model, signs).save(tmp_path / "net.npz")
    with pytest.raises(InputError, match="takes signs"):
        main(["predict", str(tmp_path / "net.npz"), "one.npy"])


def test_messages_name_the_input(nets, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    np.savez(tmp_path / "empty.npz")
    np.save(tmp_path / "float.npy", np.zeros((1, 28, 28)))
    for name, message in (
        ("text.png", "text.png: not a readable picture, or damaged; expected JPEG"),
        ("empty.npz", "empty.npz has no images"),
        ("float.npy", "float.npy: the array holds numbers of type <f8; expected uint8"),
    ):
        with pytest.raises(InputError, match=message):
            main(["predict", "net.npz", str(tmp_path / name)])


def test_a_missing_file_is_missing_also_without_pillow(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError):
        main(["predict", "net.npz", "none.png"])
