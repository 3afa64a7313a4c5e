"""`bitnet plot`: each kind from files as the other verbs write them, and wrong words."""

import numpy as np
import pytest
from saved import save_nets

import bitnet
from bitnet import InputError
from bitnet.__main__ import main
from bitnet.analysis import plots
from bitnet.cli.plot import weights_of
from bitnet.kernels import BitPlanes, Bits
from bitnet.training.trained import open_net

pytest.importorskip("matplotlib", reason="plots need matplotlib (extra plot)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_nets(tmp_path_factory.mktemp("nets"))


@pytest.mark.parametrize(
    "words",
    [
        ["curves", "{}/mlp.jsonl", "{}/twin.jsonl", "--label", "binary", "--label", "twin"],
        ["histograms", "{}/conv.jsonl"],
        ["filters", "{}/mlp.checkpoint"],
        ["filters", "{}/mlp.npz", "--layer", "1", "--count", "3"],
        ["filters", "{}/conv.npz"],
        ["filters", "{}/conv_bits.npz", "--layer", "0"],
        ["filters", "{}/bits.checkpoint", "--layer", "1"],
        ["codes", "{}/bits.npz"],
        ["codes", "{}/conv.checkpoint"],
        ["histograms", "{}/bits.jsonl"],
        ["confusion", "{}/conv_bits.npz", "--limit", "9"],
        ["confusion", "{}/mlp.npz"],
        ["confusion", "{}/plain.npz", "--data", "embedded", "--limit", "7"],
        ["quantizers"],
        ["quantizers", "uniform:2", "log6"],
    ],
)
def test_each_kind_of_picture(folder, tmp_path, capsys, words):
    kind = "svg" if len(words) % 2 else "png"  # both of each kind but histograms and codes
    out = tmp_path / f"a.{kind}"
    main(["plot", *(word.format(folder) for word in words), "--out", str(out)])
    assert out.read_bytes().startswith(b"\x89PNG" if kind == "png" else b"<?xml")
    assert capsys.readouterr().out == f"{out}: {words[0]}\n"


@pytest.mark.parametrize("name", ["conv.npz", "conv.checkpoint", "twin.checkpoint"])
def test_the_confusion_is_that_of_the_net(folder, tmp_path, monkeypatch, name):
    drawn = {}

    def plot_confusion(labels, predictions, classes, *, path):
        drawn.update(labels=labels, predictions=predictions, classes=classes)

    monkeypatch.setattr(plots, "plot_confusion", plot_confusion)
    words = ["--limit", "60", "--out", str(tmp_path / "a.png")]
    main(["plot", "confusion", str(folder / name), *words])
    digits = bitnet.load_dataset("embedded")
    net = open_net(folder / name)
    images = digits.test_images[:60]
    expected = net.predict(images[..., None] if name == "conv.npz" else images)
    assert np.array_equal(drawn["predictions"], expected)
    assert np.array_equal(drawn["labels"], digits.test_labels[:60])
    assert list(drawn["classes"]) == list(digits.classes)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["curves", "{}/mlp.jsonl", "--label", "a", "--label", "b"], "1 logs with 2 labels"),
        (["curves", "{}/mlp.npz"], "line 1: not JSON"),
        (["histograms", "{}/twin.jsonl"], "low-bit weights"),
        (["filters", "{}/twin.checkpoint"], "float twin"),
        (["filters", "{}/mlp.npz", "--layer", "2"], "expected 0 to 1"),
        (["codes", "{}/twin.checkpoint"], "float twin"),
        (["filters", "{}/mlp.npz", "--count", "0"], "--count is 0"),
        (["filters", "{}/mlp.jsonl"], "not a file of bitnet"),
        (["confusion", "{}/plain.npz"], "add --data"),
        (["quantizers", "uniform"], "expected uniform:BITS"),
        (["confusion", "{}/mlp.npz", "--limit", "-1"], "--limit is -1"),
    ],
)
def test_wrong_words_are_refused_in_a_sentence(folder, tmp_path, words, message):
    with pytest.raises(InputError, match=message):
        main(["plot", *(w.format(folder) for w in words), "--out", str(tmp_path / "a.png")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["bits", "conv_bits", "mlp"])
def test_a_net_has_the_weights_of_its_training(folder, name):
    trained, frozen = (
        weights_of(open_net(folder / f"{name}.{kind}")) for kind in ("checkpoint", "npz")
    )
    assert [key.split()[0] for key in trained] == [key.split()[0] for key in frozen]
    for (a, of), (b, codebook) in zip(trained.values(), frozen.values(), strict=True):
        assert type(a) is type(b) is (Bits if codebook is None else BitPlanes)
        assert of == codebook
        pair = [x.signs() if codebook is None else x.values() for x in (a, b)]
        assert np.array_equal(*pair)


@pytest.mark.parametrize("out", ["a.jpg", "a", "{}/none/a.png"])
def test_a_picture_that_cannot_be_written_is_refused_first(folder, out):
    with pytest.raises(InputError, match=r"png or \.svg|no folder"):
        main(["plot", "curves", "no.jsonl", "--out", out.format(folder)])


@pytest.mark.parametrize(
    "kind", [[], ["curves"], ["histograms"], ["filters"], ["codes"], ["confusion"]]
)
def test_help_says_what_there_is(capsys, kind):
    with pytest.raises(SystemExit) as left:
        main(["plot", *kind, "--help"])
    assert left.value.code == 0
    assert ("--out" if kind else "confusion") in capsys.readouterr().out


@pytest.mark.parametrize("net", ["conv:4/8", "gru:6"])
def test_the_graph_of_a_checkpoint(net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(
        [
            "train",
            "--net",
            net,
            "--limit",
            "200",
            "--epochs",
            "1",
            "--quiet",
            "--out",
            "a.checkpoint",
        ]
    )
    main(["plot", "graph", "a.checkpoint", "--out", "graph.svg"])
    assert "graph.svg: graph" in capsys.readouterr().out
    text = (tmp_path / "graph.svg").read_text()
    assert ("QuantizedConv2d" if net.startswith("conv") else "GRU") in text
    main(["freeze", "a.checkpoint", "--out", "net.npz", "--check", "0"])
    main(["plot", "graph", "net.npz", "--out", "frozen.svg"])
    text = (tmp_path / "frozen.svg").read_text()
    assert ("thresholds" if net.startswith("conv") else "gru") in text
