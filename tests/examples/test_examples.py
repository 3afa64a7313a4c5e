"""The examples as a user types them, with good and with wrong arguments."""

import json
import math
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from scripts import COMPLETE, EXAMPLES, refused, run

import bitnet
from bitnet.__main__ import main
from bitnet.archive import kind_of
from bitnet.devices import gpu_problem

QUICK = ("--quick", "--hidden", "2x40", "--threads", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder and the output of one quick run of the main job."""
    folder = tmp_path_factory.mktemp("job")
    out = run("mnist_mlp.py", *QUICK, "--json", "figures.json", folder=folder)
    return folder, out.stdout


def test_the_main_job(trained):
    folder, out = trained
    assert COMPLETE in out
    figures = json.loads((folder / "figures.json").read_text())
    assert [row["net"] for row in figures["rows"]] == [
        "float twin",
        "binary, latent",
        "binary, frozen",
    ]
    twin, latent, frozen = figures["rows"]
    assert latent["accuracy"] == frozen["accuracy"] > 0.5
    assert twin["accuracy"] > 0.5
    assert frozen["bytes"] == (folder / "mnist_mlp_quick.npz").stat().st_size
    net = bitnet.load(folder / "mnist_mlp_quick.npz")
    assert repr(net) == "FrozenNet(784-40-40-10, pixels)"
    assert (net.data, net.picture, len(net.classes)) == ("embedded", (28, 28, 1), 10)


def test_the_twin_comes_after_the_rows_of_the_binary_net(trained):
    """And the time that it will take is said before its first epoch."""
    order = ("binary, latent", "binary, frozen", "float twin: about", "float twin  ")
    places = [trained[1].index(words) for words in order]
    assert places == sorted(places)


def test_the_command_line_takes_the_file_of_the_main_job(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained[0])
    main(["evaluate", "mnist_mlp_quick.npz", "--limit", "50"])
    assert "on 50 test images of embedded" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    main(["plot", "confusion", "mnist_mlp_quick.npz", "--limit", "50", "--out", "confusion.png"])
    assert pathlib.Path("confusion.png").read_bytes()[1:4] == b"PNG"


def test_the_main_job_is_short_and_shows_its_loop():
    text = (EXAMPLES / "mnist_mlp.py").read_text()
    assert len(text.splitlines()) <= 100
    steps = ("loss = loss_of(model(x), labels)", "loss.backward()", "optimizer.step()")
    assert [text.count(line) for line in steps] == [1, 1, 1]


def test_resuming_ends_with_the_same_bytes(trained, tmp_path):
    """An epoch, killed while the second runs, then resumed: the file of an uninterrupted run."""
    command = [sys.executable, EXAMPLES / "mnist_mlp.py", *QUICK, "--no-twin"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.split()[:1] == ["1"]:
                break
        while not (tmp_path / "mnist_mlp_quick.npz.checkpoint").exists():
            time.sleep(0.001)
        process.kill()
    run("mnist_mlp.py", *QUICK, "--no-twin", "--resume", folder=tmp_path)
    whole, resumed = (folder / "mnist_mlp_quick.npz" for folder in (trained[0], tmp_path))
    assert resumed.read_bytes() == whole.read_bytes()


def test_control_c_keeps_the_checkpoint_that_was_announced(tmp_path):
    command = [sys.executable, EXAMPLES / "mnist_mlp.py", *QUICK, "--epochs", "1000"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        lines = [process.stdout.readline()]
        while lines[-1].split()[:1] != ["2"]:
            lines.append(process.stdout.readline())
        os.kill(process.pid, signal.SIGINT)
        stderr = process.stderr.read()
    assert process.returncode == 130
    assert stderr == "stopped\n"
    assert "mnist_mlp_quick.npz.checkpoint; --resume continues from it" in lines[1]
    assert kind_of(tmp_path / "mnist_mlp_quick.npz.checkpoint") == "training checkpoint"
    assert not list(tmp_path.glob(".*"))


def test_a_new_training_keeps_the_checkpoint_of_another(tmp_path):
    (tmp_path / "mnist_mlp_quick.npz.checkpoint").write_text("of days of work")
    run("mnist_mlp.py", *QUICK, "--no-twin", folder=tmp_path)
    assert (tmp_path / "mnist_mlp_quick.npz.checkpoint.old").read_text() == "of days of work"


def test_the_papers_recipe_at_a_small_size(tmp_path):
    out = run("mnist_mlp.py", *QUICK, "--recipe", "paper", "--no-twin", folder=tmp_path).stdout
    assert COMPLETE in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--hidden", "0"], 2, "COUNTxUNITS"),
        (["--hidden", "0x5"], 2, "COUNTxUNITS"),
        (["--hidden", "9999999999x5"], 2, "COUNTxUNITS"),
        (["--hidden", "3x"], 2, "COUNTxUNITS"),
        (["--hidden", "-5"], 2, "hidden"),
        (["--hidden", "0"], 2, "COUNTxUNITS"),
        (["--hidden", "0x5"], 2, "COUNTxUNITS"),
        (["--hidden", "9999999999x5"], 2, "COUNTxUNITS"),
        (["--hidden", "3x"], 2, "COUNTxUNITS"),
        (["--hidden", "-5"], 2, "hidden"),
        (["--epochs", "0"], 1, "--epochs is 0"),
        (["--threads", "0"], 1, "--threads is 0"),
        (["--seed", "-1"], 1, "--seed is -1"),
        (["--threads", "9" * 30], 1, "--threads is 999"),
        (["--threads", "9999"], 1, "from 1 to 1024"),
        (["--epochs", "9" * 400], 1, "expected a whole number from 1"),
        (["--data", "cifar"], 2, "invalid choice"),
        (["--data", "mnist"], 1, "download"),
        (["--data", "folder"], 1, "needs folder="),
        (["--out", "missing/net.npz"], 1, "no folder missing"),
        (["--out", "."], 1, "is a folder"),
        (["--out", "n" * 250], 1, "File name too long"),
        (["--json", "/dev/null"], 1, "a device"),
        (["--json", ""], 1, "is a folder"),
        (["--json", "mnist_mlp_quick.npz"], 1, "expected another file"),
        (["--json", "mnist_mlp_quick.npz.checkpoint"], 1, "expected another file"),
        (["--json", "missing/figures.json"], 1, "no folder missing"),
        (["--resume", "--out", "new.npz"], 1, "new.npz.checkpoint: No such file"),
        (["--resume", "--hidden", "2x41"], 1, "hidden = [40, 40]; this one has [41, 41]"),
        (["--resume", "--recipe", "paper"], 1, "this one has"),
        (["--resume", "--seed", "7"], 1, "seed = 0; this one has 7"),
        (["--fly"], 2, "unrecognized"),
    ],
)
def test_wrong_arguments_are_one_sentence(trained, monkeypatch, words, code, message):
    folder, _ = trained
    monkeypatch.setenv("BITNET_DATA", str(folder))
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert message in refused("mnist_mlp.py", *QUICK, *words, folder=folder, code=code)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_no_gpu_is_one_sentence(tmp_path):
    if problem := gpu_problem():
        out = run("mnist_mlp.py", *QUICK, "--gpu", folder=tmp_path, code=1)
        assert out.stderr == f"error: --gpu: {problem}\n"
        return
    pytest.skip("there is a GPU")


def test_the_figures_of_an_epoch(trained):
    """The last learning rate is the cosine's at the last of 2 x 20 steps, in both trainings."""
    lines = [line.split() for line in trained[1].splitlines()]
    epochs = [line for line in lines if len(line) == 7 and line[0].isdigit()]
    last = (1 + math.cos(math.pi * 39 / 40)) / 2
    rates = [float(line[4]) for line in epochs]
    assert rates[1] == pytest.approx(3e-3 * last, rel=0.01)
    assert rates[3] == pytest.approx(1e-3 * last, rel=0.01)
    assert [line[5] for line in epochs[2:]] == ["0.00%", "0.00%"]  # the twin has no signs
    assert all(0 < float(line[5].rstrip("%")) < 50 for line in epochs[:2])


def test_the_recipes_build_what_they_say(tmp_path, monkeypatch):
    """The default: step scale 10, cosine.  The paper's: dropout .2/.5, 3e-3 to 3e-7."""
    job = runpy.run_path(str(EXAMPLES / "mnist_mlp.py"))
    monkeypatch.chdir(tmp_path)

    def training(*words):
        monkeypatch.setattr(sys, "argv", ["mnist_mlp.py", "--hidden", "20", *words])
        seen = {}

        def stop(model, schedule, loss_of, *rest):
            seen.update(model=model, schedule=schedule, loss_of=loss_of)
            raise bitnet.InputError("seen")

        monkeypatch.setitem(job["main"].__globals__, "train", stop)
        with pytest.raises(bitnet.InputError, match="seen"):
            job["main"]()
        return seen

    default, paper = training(), training("--recipe", "paper")
    scales = [p.lr_scale for p in default["model"].parameters()]
    assert scales[1:3] == scales[4:] == [10, 10]
    assert scales[0] == pytest.approx(math.sqrt((784 + 20) / 1.5))
    assert default["schedule"] == bitnet.optim.schedules.Cosine(3e-3, 20)
    assert [layer.p for layer in paper["model"].layers if hasattr(layer, "p")] == [0.2, 0.5]
    assert [p.lr_scale for p in paper["model"].parameters()][1:3] == [1.0, 1.0]
    assert [paper["schedule"](epoch) for epoch in (0, 1000)] == pytest.approx([3e-3, 3e-7])
    for seen in (default, paper):
        assert seen["loss_of"] is bitnet.nn.functional.squared_hinge


def test_a_damaged_checkpoint_is_refused(trained, tmp_path):
    whole = (trained[0] / "mnist_mlp_quick.npz.checkpoint").read_bytes()
    (tmp_path / "mnist_mlp_quick.npz.checkpoint").write_bytes(whole[: len(whole) // 2])
    out = run("mnist_mlp.py", *QUICK, "--resume", folder=tmp_path, code=1)
    assert "mnist_mlp_quick.npz.checkpoint" in out.stderr


def test_the_lessons(tmp_path):
    out = run("xnor_by_hand.py", folder=tmp_path).stdout
    assert "8 - 2 * 3 = 2" in out
    out = run("ste_by_hand.py", folder=tmp_path).stdout
    assert out.count("<- flips") == 1


def test_training_with_the_reference_kernels_gives_the_same_bits():
    """The same model trains with NumPy alone, slowly, with equal integers and equal signs."""
    digits = bitnet.load_dataset("embedded")
    images, labels = digits.train_images[:200].reshape(200, 784), digits.train_labels[:200]

    def trained_bits(implementation):
        with bitnet.kernels.using(implementation):
            rng = np.random.default_rng(0)
            options = {"dropout": (0.2, 0.5), "grad_format": "int8"}
            model = bitnet.nn.models.binary_mlp([784, 48, 10], rng=rng, **options)
            adam = bitnet.optim.Adam(model.parameters(), 1e-2)
            for x, y in bitnet.data.batches(images, labels, 50, rng):
                adam.zero_grad()
                bitnet.nn.functional.squared_hinge(model(x), y).backward()
                adam.step()
            return bitnet.training.weight_bits(model), model.state_dict()

    (bits, state), (other_bits, other_state) = trained_bits("numba"), trained_bits("reference")
    assert all(a.equals(b) for a, b in zip(bits, other_bits, strict=True))
    assert all(np.array_equal(state[name], other_state[name]) for name in state)
