"""`bitnet train` with bits, quantizers and the other switches, as a user types them."""

import numpy as np
import pytest

from bitnet import InputError
from bitnet.__main__ import main
from bitnet.training.trained import load_trained

QUICK = ("--net", "mlp:16", "--limit", "300", "--batch", "50", "--epochs", "3")


def train(*words):
    main(["train", *QUICK, *map(str, words)])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITNET_DATA", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("weights", "activations"),
    [("2", "3"), ("ternary", "dorefa-activation:1"), ("log:4", "log:3:0:unsigned"), ("1", "2")],
)
def test_nets_of_few_bits(folder, capsys, weights, activations):
    train("--weights", weights, "--activations", activations, "--epochs", 1)
    out = capsys.readouterr().out
    assert out.startswith("quantized net mlp:16, ")
    assert f"with weights {weights}, activations {activations}\n" in out
    (file,) = folder.iterdir()
    main(["freeze", file.name, "--out", "net.npz", "--check", "50"])
    assert "all 1300 integers, scores and classes are equal" in capsys.readouterr().out
    main(["inspect", "net.npz", "--layer", "0"])
    assert "the next one at each of z " in capsys.readouterr().out.replace("\n  ", " ")


def test_a_net_of_one_bit_is_binary(capsys):
    train("--epochs", 1)
    assert capsys.readouterr().out.startswith("binary net mlp:16, ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "9"], "--weights is '9'; expected 1 to 8, or the name of a quantizer"),
        (["--weights", "log:6"], "a whole number from 2 to 5 with a sign"),
        (
            ["--activations", "nope"],
            "--activations is 'nope'; expected 1 to 8, or the name of a quantizer",
        ),
        (["--activations", "ternary"], "--activations is 'ternary', which quantizes weights only"),
        (
            ["--activations", "dorefa:2"],
            "--activations is 'dorefa:2', which quantizes weights only",
        ),
        (["--activations", "log:3", "--widen", "2"], "log:3 have no clip value"),
        (["--activations", "uniform:2:1:inf", "--widen", "2"], "have no clip value"),
        (["--weights", "2", "--optimizer", "bop"], "expected one-bit layers"),
        (["--recipe", "torch", "--activations", "2"], "stochastic activations are signs"),
        (["--grad-format", "dorefa6"], "grad_format dorefa6 adds noise"),
        (["--grad-format", "log6", "--rounding", "stochastic"], "nearest power of two"),
        (["--float", "--weights", "2"], "--weights applies only to low-bit nets"),
        (["--float", "--input-planes", "2"], "--input-planes applies only to low-bit nets"),
        (["--input-planes", "9"], "--input-planes is 9; expected a whole number from 1 to 8"),
    ],
)
def test_wrong_bits_are_one_sentence(folder, words, message):
    with pytest.raises(InputError, match=message) as caught:
        train(*words)
    assert "\n" not in str(caught.value)
    assert not [*folder.iterdir()]


def test_switches(folder, capsys):
    train("--balance", "--widen", 2, "--widen-after", 0.5, "--out", "a.checkpoint")
    out = capsys.readouterr().out
    assert "with balanced weights; clip value 2 after 50% of the epochs" in out
    trained = load_trained("a.checkpoint")
    assert trained.model.layers[0].balance
    assert (trained.settings["widen"], trained.settings["widen_after"]) == (2.0, 0.5)
    main(["freeze", "a.checkpoint"])
    assert "all 26000 integers, scores and classes are equal" in capsys.readouterr().out


def test_fewer_planes_of_the_pixels(folder, capsys):
    train("--input-planes", 2, "--out", "a.checkpoint")
    assert "with the 2 highest bits of each pixel" in capsys.readouterr().out
    trained = load_trained("a.checkpoint")
    assert trained.settings["input_planes"] == trained.model.layers[0].planes == 2
    with pytest.raises(InputError, match=r"--input-planes is 3, but a\.checkpoint was started"):
        main(["train", "--resume", "a.checkpoint", "--input-planes", "3"])
    capsys.readouterr()
    main(["evaluate", "a.checkpoint"])
    assert "accuracy" in capsys.readouterr().out


def test_a_teacher_that_has_moved(folder, capsys):
    train("--float", "--out", "twin.checkpoint")
    words = "--teacher", "twin.checkpoint", "--temperature", 2, "--teacher-weight", 0.75
    train(*words, "--out", "whole.checkpoint")
    assert (
        f"teacher {folder / 'twin.checkpoint'}, temperature 2, weight 0.75"
        in capsys.readouterr().out
    )
    plain = load_trained("whole.checkpoint").settings
    assert plain["teacher_crc32"] is not None
    train(*words, "--out", "part.checkpoint", "--epochs", 3)
    (folder / "twin.checkpoint").rename(folder / "moved")
    with pytest.raises(InputError, match=r"teacher .*twin.checkpoint: No such file"):
        main(["train", "--resume", "part.checkpoint"])
    main(["train", "--resume", "part.checkpoint", "--teacher", "moved"])
    train("--float", "--seed", 1, "--out", "twin.checkpoint")
    with pytest.raises(InputError, match="its weights have changed since the training began"):
        main(["train", "--resume", "part.checkpoint"])
    train("--out", "alone.checkpoint")
    with pytest.raises(InputError, match="started without a teacher"):
        main(["train", "--resume", "alone.checkpoint", "--teacher", "twin.checkpoint"])


def test_another_optimizer_norm_and_schedule(capsys):
    words = "--optimizer", "bop", "--norm", "shift", "--schedule", "step"
    train(*words, "--out", "a.checkpoint", "--log", "a.jsonl")
    announced = "default: bop, shift norm, Step(start=0.0001, factor=0.5, every=10)"
    assert announced in capsys.readouterr().out
    trained = load_trained("a.checkpoint")
    assert set(np.unique(trained.model.layers[0].weight.data)) == {-1.0, 1.0}
    main(["train", "--resume", "a.checkpoint", "--epochs", "4", "--log", "a.jsonl", *words])
    with pytest.raises(InputError, match=r"--norm is batch, but a\.checkpoint was started"):
        main(["train", "--resume", "a.checkpoint", "--norm", "batch"])
    main(["freeze", "a.checkpoint", "--out", "a.npz"])
    capsys.readouterr()
    main(["summary", "a.npz", "--operations"])
    assert "no multiplication is left" in capsys.readouterr().out
