"""`bitnet train` as a user types it: files, lines, resuming, Ctrl-C, and wrong arguments."""

import argparse
import importlib.util
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from saved import without_times

import bitnet
from bitnet import InputError
from bitnet.__main__ import main
from bitnet.cli import train_options
from bitnet.training.settings import SETTINGS
from bitnet.training.trained import load_trained

QUICK = ("--net", "mlp:16", "--limit", "300", "--batch", "50", "--epochs", "3")


def train(*words):
    main(["train", *QUICK, *map(str, words)])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITNET_DATA", raising=False)
    return tmp_path


def test_a_training(folder, capsys):
    train("--log", "run.jsonl")
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[4:7]] == ["1", "2", "3"]
    assert "next: bitnet freeze mlp-16-embedded.checkpoint" in out
    assert {path.name for path in folder.iterdir()} == {"mlp-16-embedded.checkpoint", "run.jsonl"}
    first, *epochs = map(json.loads, (folder / "run.jsonl").read_text().splitlines())
    assert first["settings"]["net"] == "mlp:16"
    assert first["settings"]["optimizer"] == "adam"
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    for epoch in epochs:
        assert {k: sum(v) for k, v in epoch["histograms"].items()} == {
            "layers.0.weight": 784 * 16,
            "layers.3.weight": 160,
        }
    trained = load_trained("mlp-16-embedded.checkpoint")
    images = np.zeros((1, 28, 28), np.uint8)
    assert trained.scores(images).shape == (1, 10)


def test_quiet_is_quiet(capfd):
    train("--quiet")
    assert capfd.readouterr() == ("", "")


def test_the_best_epoch_is_kept(folder, capsys):
    train("--validation", 100, "--out", "a.checkpoint", "--log", "run.jsonl")
    out = capsys.readouterr().out
    epochs = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()[1:]]
    best = max(epochs, key=lambda epoch: (epoch["validation_accuracy"], epoch["epoch"]))
    assert load_trained("a.best.checkpoint").epoch == best["epoch"]
    shares = best["validation_accuracy"], best["test_accuracy"]
    line = "best epoch: {}, {:.2%} on the images held back, {:.2%} on the test images\n"
    assert line.format(best["epoch"], *shares) in out
    assert "next: bitnet freeze a.best.checkpoint" in out


def control_c(monkeypatch, epoch, times=1):
    """Ctrl-C before the second batch after an epoch."""
    seen = []

    def bar(experiment, quiet):
        def passes(batches):
            for i, batch in enumerate(batches):
                if i == 1 and experiment.done == epoch and not seen:
                    seen.append(i)
                    for _ in range(times):
                        signal.raise_signal(signal.SIGINT)
                yield batch

        return passes

    monkeypatch.setattr("bitnet.cli.train._bar", bar)


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_going_on_after_control_c_ends_with_the_same_bytes(folder, monkeypatch, epoch):
    words = "--validation", 60, "--flip", "--crop", 2
    train(*words, "--out", "whole.checkpoint", "--log", "whole.jsonl")
    with monkeypatch.context() as patch:
        control_c(patch, epoch)
        with pytest.raises(KeyboardInterrupt) as caught:
            train(*words, "--out", "part 1.checkpoint", "--log", "part.jsonl")
    command = "bitnet train --resume 'part 1.checkpoint' --log part.jsonl"
    done = f"{epoch} of 3 epochs and 2 batches of the next are in part 1.checkpoint"
    assert str(caught.value) == f"{done}; resume with: {command}"
    if epoch == 0:
        with pytest.raises(InputError, match="exists"):
            train("--out", "part 1.checkpoint")
    main(shlex.split(command)[1:])
    for name in ("{}.checkpoint", "{}.best.checkpoint"):
        a, b = (folder / name.format(stem) for stem in ("whole", "part 1"))
        assert a.read_bytes() == b.read_bytes()
    assert without_times("whole.jsonl") == without_times("part.jsonl")


def test_a_second_control_c_does_not_wait(folder, monkeypatch):
    control_c(monkeypatch, 1, times=2)
    with pytest.raises(KeyboardInterrupt, match=r"1 of 3 epochs are in a\.checkpoint; resume with"):
        train("--out", "a.checkpoint")
    assert load_trained("a.checkpoint").epoch == 1


def test_lines_of_a_log_that_the_checkpoint_does_not_hold_are_dropped(folder):
    train("--log", "run.jsonl")
    log = folder / "run.jsonl"
    log.write_text(log.read_text() + '{"epoch": 4, "loss": 1}\n{"epoch": "2"}\n{"epo')
    main(["train", "--resume", "mlp-16-embedded.checkpoint", "--log", "run.jsonl"])
    assert [line.get("epoch") for line in without_times(log)] == [None, 1, 2, 3]


def test_a_training_killed_before_its_first_epoch_is_resumed(folder, monkeypatch):
    """The checkpoint is there before the log: a log alone is refused, as it may be another's."""
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("bitnet.cli.train.log_of", lambda *args: sys.exit(9))
        train("--log", "run.jsonl")
    assert not (folder / "run.jsonl").exists()
    main(["train", "--resume", "mlp-16-embedded.checkpoint", "--log", "run.jsonl"])
    assert [line.get("epoch") for line in without_times("run.jsonl")] == [None, 1, 2, 3]


def test_the_log_of_another_training_is_left_alone(folder):
    train("--out", "a.checkpoint", "--log", "a.jsonl", "--quiet")
    before = (folder / "a.jsonl").read_bytes()
    train("--recipe", "torch", "--seed", 0, "--out", "b.checkpoint", "--quiet")
    with pytest.raises(InputError, match=r"a\.jsonl is from another training"):
        main(["train", "--resume", "b.checkpoint", "--epochs", "4", "--log", "a.jsonl"])
    assert (folder / "a.jsonl").read_bytes() == before


def test_a_finished_training_has_nothing_to_go_on_with(folder, capsys):
    train()
    before = (folder / "mlp-16-embedded.checkpoint").read_bytes()
    capsys.readouterr()
    train("--resume")
    assert "3 of 3 epochs done" in capsys.readouterr().out
    assert (folder / "mlp-16-embedded.checkpoint").read_bytes() == before


def test_longer_where_the_rate_does_not_depend_on_it():
    train("--recipe", "torch", "--epochs", 1, "--out", "a.checkpoint")
    main(["train", "--resume", "a.checkpoint", "--epochs", "2", "--quiet"])
    assert load_trained("a.checkpoint").epoch == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lr", "0.1"], "--lr is 0.1, but a.checkpoint was started with 0.003"),
        (["--net", "mlp:17"], "--net is mlp:17, but a.checkpoint was started with mlp:16"),
        (["--epochs", "4"], "epochs is 4, but the learning rate"),
        (["--float"], "--float is True, but"),
        (["--validation", "5"], "--validation is 5, but"),
        (["--data", "mnist"], "--data is mnist, but"),
        (["--out", "b.checkpoint"], "expected one file"),
        (["--log", "notes.jsonl"], "is not a training log"),
    ],
)
def test_a_resumed_training_has_the_settings_of_the_file(folder, words, message):
    train("--out", "a.checkpoint", "--quiet")
    (folder / "notes.jsonl").write_text("notes\n")
    before = (folder / "a.checkpoint").read_bytes()
    with pytest.raises(InputError, match=message):
        main(["train", "--resume", "a.checkpoint", *words])
    assert (folder / "a.checkpoint").read_bytes() == before
    assert (folder / "notes.jsonl").read_text() == "notes\n"


def test_nothing_is_written_over(folder):
    train("--out", "a.checkpoint", "--quiet")
    for name in ("notes.jsonl", "notes.checkpoint"):
        (folder / name).write_text("notes")
    for words in (
        ["--out", "a.checkpoint"],
        ["--out", "notes.checkpoint"],
        ["--out", "b.checkpoint", "--log", "notes.jsonl"],
    ):
        with pytest.raises(InputError, match="exists"):
            train(*words)
    (folder / "a.checkpoint").rename(folder / "c.best.checkpoint")
    with pytest.raises(InputError, match=r"c\.best\.checkpoint exists"):
        train("--out", "c.checkpoint", "--validation", 9)
    for name in ("notes.jsonl", "notes.checkpoint"):
        assert (folder / name).read_text() == "notes"


def test_a_training_stopped_at_once_may_begin_anew(folder, monkeypatch):
    with monkeypatch.context() as patch:
        control_c(patch, 0, times=2)
        with pytest.raises(KeyboardInterrupt, match="0 of 3"):
            train()
    train("--seed", 5, "--quiet")
    assert load_trained("mlp-16-embedded.checkpoint").settings["seed"] == 5


def test_a_training_that_diverges_keeps_the_last_good_epoch(monkeypatch):
    from bitnet.training import loop

    own = loop._step

    def step(model, *rest):
        step.count += 1
        if step.count == 9:
            model.layers[1].beta.edit()[:] = np.nan
        return own(model, *rest)

    step.count = 0
    monkeypatch.setattr(loop, "_step", step)
    with pytest.raises(
        InputError, match=r"epoch 2, batch 3: .*NaN.*; a.checkpoint keeps 1 of 3 epochs"
    ):
        train("--out", "a.checkpoint")
    assert load_trained("a.checkpoint").epoch == 1


def test_the_float_twin(capsys):
    train("--float")
    out = capsys.readouterr().out
    assert "float twin of mlp:16" in out
    assert "Cosine(start=0.001, epochs=3" in out
    assert "next: bitnet evaluate mlp-16-embedded-float.checkpoint" in out


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_pictures(folder, channels):
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 2)):
        for i, name in enumerate(("dark", "light")):
            (folder / "set" / part / name).mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(i * 128, i * 128 + 128, (12, 9, 3), np.uint8)
                Image.fromarray(pixels).save(folder / "set" / part / name / f"{k}.png")
    words = (
        "--data folder --folder set --size 8 --net conv:4/8 --batch 4 --epochs 6 --out a.checkpoint"
    )
    main(["train", *words.split(), "--channels", str(channels), "--quiet"])
    trained = load_trained("a.checkpoint")
    assert (trained.classes, trained.picture) == (("dark", "light"), (8, 8, channels))
    assert trained.settings["folder"] == str(folder / "set")
    (folder / "set").rename(folder / "moved")
    with pytest.raises(InputError, match="there is no such folder"):
        main(["train", "--resume", "a.checkpoint"])
    main(["train", "--resume", "a.checkpoint", "--folder", "moved", "--quiet"])
    (folder / "moved").rename(folder / "set")
    main(["freeze", "a.checkpoint", "--out", "a.npz"])
    main(["predict", "a.npz", "set/test/dark", "set/test/light/0.png"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "0"], "--epochs is 0; expected a whole number from 1"),
        (["--batch", "1"], "--batch is 1"),
        (["--batch", "301"], "batch is 301; there are only 300 images"),
        (["--lr", "nan"], "--lr is nan"),
        (["--lr", "-1"], "--lr is -1"),
        (["--seed", "-1"], "--seed is -1"),
        (["--threads", "0"], "--threads is 0"),
        (["--validation", "300"], "validation is 300"),
        (["--limit", "-1"], "--limit is -1"),
        (["--crop", "65"], "--crop is 65"),
        (["--crop", "30"], "crop is 30; expected fewer pixels than the images have, 28 x 28"),
        (["--net", "mlp:0"], "--net is 'mlp:0'; expected one of"),
        (["--net", "mlp:9999999,9999999"], "expected at most"),
        (["--net", "conv:1/1/1/1/1/1"], "too small for 5 poolings"),
        (["--prepare", "gcn,pca"], "--prepare has 'pca'"),
        (["--prepare", "gcn,gcn"], "each once"),
        (["--float", "--grad-format", "int8"], "--grad-format applies only to low-bit nets"),
        (["--float", "--balance"], "--balance applies only to low-bit nets"),
        (["--float", "--widen", "2"], "--widen applies only to low-bit nets"),
        (["--widen", "0"], "--widen is 0.0; expected a number from 0.001"),
        (["--widen-after", "0.5"], "--widen-after needs --widen"),
        (["--widen", "2", "--widen-after", "1.5"], "--widen-after is 1.5; expected"),
        (["--temperature", "2"], "--temperature needs --teacher"),
        (["--teacher-weight", "0.5"], "--teacher-weight needs --teacher"),
        (["--teacher", "x"], "teacher .*x: No such file"),
        (["--teacher", "."], "teacher "),
        (["--float", "--norm", "shift"], "--norm shift needs low-bit"),
        (["--float", "--optimizer", "bop"], "--optimizer bop needs low-bit"),
        (["--grad-format", "float32", "--rounding", "stochastic"], "or remove rounding"),
        (["--out", "missing/net.checkpoint"], "there is no folder missing"),
        (["--out", "net.txt"], r"--out is net\.txt; expected a name that ends with \.checkpoint$"),
        (["--out", "net"], r"ends with \.checkpoint$"),
        (["--out", "."], r"ends with \.checkpoint$"),
        (["--log", "missing/log.jsonl"], "there is no folder missing"),
        (
            ["--log", "log.json"],
            r"--log is log\.json; expected a name that ends with \.jsonl or \.csv$",
        ),
        (["--resume"], "there is no mlp-16-embedded.checkpoint"),
        (["--resume", "x"], "there is no x"),
        (["--data", "mnist"], "bitnet data fetch mnist|download"),
        (["--data", "folder"], "needs --folder"),
        (["--data", "folder", "--folder", "x"], "there is no such folder"),
        (["--folder", "x"], "remove it"),
        (["--size", "5"], "--size applies only to --data folder"),
    ],
)
def test_wrong_arguments_are_one_sentence(folder, words, message):
    with pytest.raises(InputError, match=message) as caught:
        train(*words)
    assert "\n" not in str(caught.value)
    assert [path.name for path in folder.iterdir()] in ([], ["mlp-16-embedded.checkpoint"])


TEXT = "--net", "lstm:8", "--limit", "600", "--batch", "5"


@pytest.mark.parametrize("training", [QUICK, TEXT], ids=["images", "text"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_from_a_shell(folder, training, number, code):
    words = *training, "--epochs", "100000", "--threads", "1", "--out", "a.checkpoint"
    command = [sys.executable, "-m", "bitnet", "train", *words]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.split()[:1] == ["2"]:
                break
        os.kill(process.pid, number)
        stderr = process.communicate()[1]
    assert process.returncode == code
    assert stderr.startswith("stopped: ")
    assert "Traceback" not in stderr
    done = load_trained("a.checkpoint").epoch
    said = rf"{done} of 100000 epochs( and \d+ (batches|pieces) of the next)? are in a.checkpoint; "
    assert re.search(said + "resume with: bitnet train --resume a.checkpoint", stderr)
    best = ["a.best.checkpoint"] * (training is TEXT)
    assert sorted(path.name for path in folder.iterdir()) == [*best, "a.checkpoint"]


def test_the_next_command_is_one_for_a_shell(capsys):
    train("--out", "my net.checkpoint")
    assert "next: bitnet freeze 'my net.checkpoint'\n" in capsys.readouterr().out


def test_a_training_needs_no_progress_bar(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "tqdm" else find(n))
    train()
    assert "next: " in capsys.readouterr().out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_says_what_is_kept(monkeypatch):
    monkeypatch.setattr("bitnet.cli.log.Log.__init__", _log_that_is_full)
    with pytest.raises(InputError, match=r"/dev/full: No space .*; 0 of 3 epochs .* --resume"):
        train("--log", "run.jsonl")


def _log_that_is_full(log, path, experiment):
    log.path = "/dev/full"


@pytest.mark.parametrize("line", ["[" * 100_000, '{"epoch": "x"}', '{"epoch": [2]}', "{"])
def test_what_is_no_epoch_in_a_log_goes(folder, line):
    train("--log", "run.jsonl", "--out", "a.checkpoint")
    log = folder / "run.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], line, *lines[1:]]) + "\n")
    main(["train", "--resume", "a.checkpoint", "--log", "run.jsonl"])
    assert log.read_text().splitlines() == lines
    log.write_text(line)
    with pytest.raises(InputError, match="is not a training log"):
        main(["train", "--resume", "a.checkpoint", "--log", "run.jsonl"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_log_takes_no_device_s_place(folder):
    train("--out", "a.checkpoint")
    os.mkfifo("pipe.jsonl")
    with pytest.raises(InputError, match="a folder or a device"):
        main(["train", "--resume", "a.checkpoint", "--log", "pipe.jsonl"])
    assert pathlib.Path("pipe.jsonl").is_fifo()


def test_each_setting_is_an_option_unless_the_data_say_it():
    parser = argparse.ArgumentParser()
    train_options.add_arguments(parser)
    options = {action.dest for action in parser._actions}
    said = {"picture", "input", "classes", "columns", "tokens"}
    said |= {"crc32", "teacher_crc32", "init_crc32"}
    assert SETTINGS.keys() - options == said
    for name in SETTINGS.keys() - said:
        assert parser.get_default(name) is None
    assert options - SETTINGS.keys() == {
        *("help", "threads", "gpu", "out", "resume", "log", "quiet", "seeds")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--net", "mlp:9", "--clip", "3"], "--clip applies only to text data sets"),
        (["--net", "rnn:9", "--teacher", "x"], "--teacher applies only to images"),
        (
            ["--recipe", "zaremba-small", "--widen-after", "0.5"],
            "--widen-after applies only to images",
        ),
        (["--data", "ptb", "--prepare", "gcn"], "--prepare applies only to images"),
        (["--data", "mnist", "--recipe", "zaremba-small"], "--data is 'mnist'; for texts expected"),
        (["--data", "mnist", "--schedule", "plateau"], "--schedule is 'plateau'; for images exp"),
    ],
)
def test_options_of_the_other_task_are_refused(folder, words, message):
    with pytest.raises(InputError, match=message):
        main(["train", *words])
    assert not [*folder.iterdir()]


def test_two_trainings_do_not_write_one_checkpoint(folder):
    pytest.importorskip("fcntl", reason="the system has no locks")
    words = *QUICK, "--epochs", "100000", "--out", "a.checkpoint", "--log", "a.jsonl"
    command = [sys.executable, "-m", "bitnet", "train", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for line in process.stdout:
            if line.split()[:1] == [b"1"]:
                break
        by = f"a.checkpoint is being written by process {process.pid}; wait for its end"
        for more in (["--resume", "a.checkpoint"], ["--out", "a.checkpoint"]):
            with pytest.raises(InputError, match=by):
                train(*more)
        with pytest.raises(InputError, match=rf"a.jsonl is being written by process {process.pid}"):
            train("--out", "b.checkpoint", "--log", "a.jsonl")
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert sorted(path.name for path in folder.iterdir()) == ["a.checkpoint", "a.jsonl"]
    assert load_trained("a.checkpoint").epoch > 0


def test_a_checkpoint_behind_a_link(folder):
    (folder / "there").mkdir()
    (folder / "a.checkpoint").symlink_to(folder / "there" / "b.checkpoint")
    train("--out", "a.checkpoint")
    assert (folder / "a.checkpoint").is_symlink()
    assert load_trained(folder / "there" / "b.checkpoint").epoch == 3


def test_a_clock_that_stands_still(monkeypatch):
    monkeypatch.setattr("time.perf_counter", lambda: 5.0)
    train("--out", "a.checkpoint", "--log", "a.jsonl")
    lines = [json.loads(line) for line in pathlib.Path("a.jsonl").read_text().splitlines()]
    assert all(line["images_per_second"] > 0 for line in lines[1:])
    assert bitnet.training.images_per_second(lambda x: x, np.zeros(3)) == 3e9
