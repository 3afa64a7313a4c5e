"""Tests of examples/imagenet_folder.py as a command."""

import importlib.util
import re
import runpy

import numpy as np
import pytest
from scripts import COMPLETE, EXAMPLES, refused, run

import bitnet

if importlib.util.find_spec("PIL") is None:
    pytest.skip("Pillow is not installed", allow_module_level=True)

pictures = runpy.run_path(str(EXAMPLES / "imagenet_pictures.py"))
QUICK = ("--quick", "--threads", "1", "--epochs", "1", "--inflation", "0.0625")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a small folder in ImageNet's layout."""
    path = tmp_path_factory.mktemp("pictures")
    pictures["write_image_folder"](path, np.random.default_rng(0), 10, 3)
    return path


@pytest.mark.parametrize(
    ("net", "bits"), [("alexnet", (1, 1)), ("alexnet", (1, 2)), ("googlenet", (2, 2))]
)
def test_a_quick_run(tmp_path, folder, net, bits):
    words = "--net", net, "--weights", str(bits[0]), "--activations", str(bits[1])
    out = run("imagenet_folder.py", str(folder), *QUICK, *words, folder=tmp_path).stdout
    assert COMPLETE in out
    path = tmp_path / f"{net}_quick.npz"
    assert f"{path.stat().st_size:,} bytes" in out
    frozen = bitnet.load(path)
    assert frozen.picture == (64, 64, 3)
    assert len(frozen.classes) == len([*folder.glob("train/*")])


def test_resuming_gives_the_same_net(tmp_path, folder):
    words = (str(folder), *QUICK, "--epochs", "2", "--units", "16", "16")
    run("imagenet_folder.py", *words, "--out", "whole.npz", folder=tmp_path)
    run("imagenet_folder.py", *words, "--epochs", "1", "--out", "parts.npz", folder=tmp_path)
    out = run("imagenet_folder.py", *words, "--out", "parts.npz", "--resume", folder=tmp_path)
    assert re.findall(r"^ +(\d+) ", out.stdout, re.MULTILINE) == ["2"]
    whole, parts = (tmp_path / f"{name}.npz" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_a_folder_of_its_own_and_a_net_of_floats(tmp_path):
    words = "--weights", "32", "--activations", "32", "--units", "16", "16"
    out = run("imagenet_folder.py", *QUICK, *words, folder=tmp_path).stdout
    assert "a folder of pictures of" in out
    assert "bytes of weights" in out
    assert not (tmp_path / "alexnet_quick.npz").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--epochs", "0"], 2, "--epochs is 0"),
        (["--inflation", "0"], 2, "--inflation is 0"),
        (["--net", "vgg"], 2, "invalid choice"),
        (["--weights", "9"], 1, "expected"),
        (["--weights", "32"], 1, "32 (floats) for both"),
        (["--size", "80"], 1, "at most 72"),
        (["--size", "32"], 1, "does not fit"),
        (["--out", "missing/net.npz"], 1, "no folder missing"),
        (["--resume"], 1, "alexnet_quick.npz.checkpoint"),
        (["--batch", "9999"], 1, "pictures"),
        (["no/such/folder"], 1, "there is no such folder"),
    ],
)
def test_wrong_arguments(tmp_path, folder, words, code, message):
    given = words if words[0] == "no/such/folder" else [str(folder), *words]
    out = refused("imagenet_folder.py", *given, *QUICK[:3], folder=tmp_path, code=code)
    assert message in out
    assert not list(tmp_path.iterdir())


def test_neither_a_folder_nor_quick(tmp_path):
    assert (
        "a folder of pictures, or --quick"
        in run("imagenet_folder.py", folder=tmp_path, code=2).stderr
    )
