"""Seeds, initial weights, CSV logs, early stopping, `runs` and `lr-find` as a user types them."""

import csv
import json
import os
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
from bitnet.cli.seeds import seeds_of
from bitnet.training.log import read_log
from bitnet.training.trained import load_trained

QUICK = ("--net", "mlp:16", "--limit", "300", "--batch", "50", "--epochs", "3")
TEXT = ("--net", "lstm:6", "--limit", "600", "--batch", "5", "--epochs", "2")


def train(*words, training=QUICK):
    main(["train", *training, *map(str, words)])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITNET_DATA", raising=False)
    return tmp_path


def control_c(monkeypatch, seed, epoch):
    """Ctrl-C before the second batch after an epoch of a seed."""

    def bar(experiment, quiet):
        def passes(batches):
            for i, batch in enumerate(batches):
                if (i, experiment.done, experiment.settings["seed"]) == (1, epoch, seed):
                    signal.raise_signal(signal.SIGINT)
                yield batch

        return passes

    monkeypatch.setattr("bitnet.cli.train._bar", bar)


def shell(folder, line):
    """Run a command line in a folder; return its output."""
    words = shlex.split(line)
    assert words[0] == "bitnet"
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pictures(folder, names, size=28):
    """Write a folder of grey pictures, darker or lighter by class."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for i, name in enumerate(names):
            (folder / part / name).mkdir(parents=True)
            for k in range(count):
                low = 256 * i // len(names)
                pixels = rng.integers(low, low + 256 // len(names), (size, size), np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{k}.png")


def test_seeds_from_the_shell_then_init_on_other_data(folder):
    """Three seeds on one set of data; the net of one of them begins a training on another one."""
    out = shell(folder, f"bitnet train {shlex.join(QUICK)} --seeds 0-2 --out a.checkpoint")
    table = out.splitlines()[-5:]
    assert [line.split()[0] for line in table] == ["run", "a.seed0", "a.seed1", "a.seed2", "mean"]
    accuracies = [float(line.split()[-1].rstrip("%")) for line in table[1:4]]
    mean, deviation = re.search(r"([\d.]+)% ± ([\d.]+)%$", table[4]).groups()
    assert float(mean) == pytest.approx(np.mean(accuracies), abs=0.01)
    assert float(deviation) == pytest.approx(np.std(accuracies, ddof=1), abs=0.01)
    assert sorted(path.name for path in folder.iterdir()) == [
        f"a.seed{seed}.checkpoint" for seed in range(3)
    ]
    pictures(folder / "shades", ("dark", "grey", "light"))
    words = "--data folder --folder shades --size 28 --channels 1 --net mlp:16 --batch 6 --epochs 2"
    line = f"bitnet train {words} --init a.seed1.checkpoint --out b.checkpoint"
    out = shell(folder, line)
    assert "initial weights from " in out
    assert "(mlp:16 on embedded): 3 of 6 parameters; not loaded: layers.3.weight ((10, 16)" in out
    trained = load_trained(folder / "b.checkpoint")
    assert (trained.classes, trained.epoch) == (("dark", "grey", "light"), 2)
    shell(folder, "bitnet freeze b.checkpoint --out b.npz")
    assert "dark" in shell(folder, "bitnet predict b.npz shades/test/dark/0.png")


@pytest.mark.parametrize("training", [QUICK, TEXT], ids=["images", "text"])
def test_each_seed_is_a_training_of_its_own(folder, training):
    train("--seeds", "3,0", "--out", "a.checkpoint", "--log", "a.jsonl", training=training)
    for seed in (0, 3):
        words = "--seed", seed, "--out", "b.checkpoint", "--log", "b.jsonl"
        train(*words, "--quiet", training=training)
        one = folder / f"a.seed{seed}.checkpoint"
        assert one.read_bytes() == (folder / "b.checkpoint").read_bytes()
        names = f"a.seed{seed}.jsonl", "b.jsonl"
        first, second = (
            [{k: v for k, v in line.items() if "per_second" not in k} for line in lines]
            for lines in map(without_times, names)
        )
        assert first == second
        for path in folder.glob("b.*"):
            path.unlink()


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (1, 0), (1, 2), (2, 1)])
def test_control_c_leaves_the_finished_seeds(folder, monkeypatch, capsys, seed, epoch):
    words = "--seeds", "0-2", "--validation", 60
    train(*words, "--out", "whole.checkpoint", "--log", "whole.csv")
    table = capsys.readouterr().out.splitlines()[-5:]
    with monkeypatch.context() as patch:
        control_c(patch, seed, epoch)
        with pytest.raises(KeyboardInterrupt) as caught:
            train(*words, "--out", "part.checkpoint", "--log", "part.csv")
    command = "bitnet train --seeds 0-2 --resume part.checkpoint --log part.csv"
    done = f"{epoch} of 3 epochs and 2 batches of the next are in part.seed{seed}.checkpoint"
    assert str(caught.value) == f"{seed} of 3 seeds are done; {done}; resume with: {command}"
    before = {s: (folder / f"part.seed{s}.checkpoint").read_bytes() for s in range(seed)}
    capsys.readouterr()
    main(shlex.split(command)[1:])
    resumed = capsys.readouterr().out.splitlines()[-5:]
    assert [line.replace("part", "whole").split() for line in resumed] == [
        line.split() for line in table
    ]
    for s in range(3):
        for kind in ("checkpoint", "best.checkpoint"):
            a, b = (folder / f"{stem}.seed{s}.{kind}" for stem in ("whole", "part"))
            assert a.read_bytes() == b.read_bytes()
        a, b = (read_log(f"{stem}.seed{s}.csv").series("loss") for stem in ("whole", "part"))
        assert a == b
    assert all((folder / f"part.seed{s}.checkpoint").read_bytes() == b for s, b in before.items())


def test_more_seeds_are_trained_with_the_settings_of_the_first(folder):
    train("--seeds", "0", "--out", "a.checkpoint", "--lr", "0.01")
    main(["train", "--seeds", "0-1", "--resume", "a.checkpoint", "--quiet"])
    first, second = (load_trained(f"a.seed{seed}.checkpoint").settings for seed in (0, 1))
    assert {**first, "seed": 1} == second
    with pytest.raises(InputError, match=r"--lr is 0\.02, but a\.seed0\.checkpoint was started"):
        main(["train", "--seeds", "0-2", "--resume", "a.checkpoint", "--lr", "0.02"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", [0]), ("0,1,2", [0, 1, 2]), ("0-2", [0, 1, 2]), ("7,3-4", [7, 3, 4]), ("5 , 6", [5, 6])],
)
def test_lists_of_seeds(text, expected):
    assert seeds_of(text) == expected


@pytest.mark.parametrize(
    "text", ["", "a", "-1", "2-0", "0,0", "0-2,1", "1.5", "0-1000", "0,", "１"]
)
def test_what_is_no_list_of_seeds(folder, text):
    with pytest.raises(InputError, match=r"--seeds is .*; expected"):
        train(f"--seeds={text}")
    assert not [*folder.iterdir()]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0-1", "--seed", "3"], "--seeds is 0-1 and --seed 3; expected one of them"),
        (["--seeds", "0-1", "--out", "a.txt"], r"--out is a\.seed0\.txt; expected a name"),
        (["--seeds", "0-1", "--resume", "b.checkpoint"], r"there is no b\.seed0\.checkpoint and"),
        (["--seeds", "0-1", "--resume", "b.checkpoint", "--out", "c.checkpoint"], "one file"),
        (["--patience", "2"], "--patience needs --validation"),
        (["--init", "x"], r"init .*x: No such file"),
        (["--init", "."], r"init .*: "),
        (["--weight-decay", "0.1", "--optimizer", "bop"], "bop has no latent weights that decay"),
        (["--accumulate", "0"], "--accumulate is 0"),
        (["--warmup", "-1"], "--warmup is -1.0"),
        (["--log", "a.txt"], r"ends with \.jsonl or \.csv"),
    ],
)
def test_wrong_arguments_are_one_sentence(folder, words, message):
    with pytest.raises(InputError, match=message) as caught:
        train(*words)
    assert "\n" not in str(caught.value)
    assert not [*folder.iterdir()]


def test_no_seed_begins_if_one_would_replace_a_file(folder):
    train("--seeds", "1", "--out", "a.checkpoint")
    with pytest.raises(InputError, match=r"a\.seed1\.checkpoint exists"):
        train("--seeds", "0-1", "--out", "a.checkpoint")
    assert [path.name for path in folder.iterdir()] == ["a.seed1.checkpoint"]


def test_float_first_then_bits(folder, capsys):
    train("--float", "--out", "float.checkpoint")
    capsys.readouterr()
    train("--init", "float.checkpoint", "--out", "bits.checkpoint")
    out = capsys.readouterr().out
    assert "float.checkpoint (float twin of mlp:16 on embedded): 6 of 6 parameters\n" in out
    assert load_trained("bits.checkpoint").settings["init"] == str(folder / "float.checkpoint")


def test_other_preparations_and_classes_are_said(folder, capsys):
    train("--prepare", "gcn", "--out", "a.checkpoint")
    pictures(folder / "shades", [f"shade {i}" for i in range(10)])
    words = "--data folder --folder shades --size 28 --channels 1 --net mlp:16 --batch 6 --epochs 1"
    capsys.readouterr()
    main(["train", *words.split(), "--init", "a.checkpoint", "--out", "b.checkpoint"])
    out = capsys.readouterr().out
    assert "note: its classes are 0, 1, 2" in out
    assert "those here are shade 0, shade 1" in out
    assert "note: the preparation of its images was gcn; choose the same with --prepare" in out


def test_a_training_stops_early(capsys):
    words = "--patience", 1, "--validation", 60, "--epochs", 60, "--schedule", "constant"
    train(*words, "--out", "a.checkpoint")
    out = capsys.readouterr().out
    assert "a stop after 1 epoch without a better one" in out
    assert "stopped early: 1 epoch without a better one" in out
    done = load_trained("a.checkpoint").epoch
    assert load_trained("a.best.checkpoint").epoch < done < 60
    main(["train", "--resume", "a.checkpoint"])
    assert "epoch     loss" not in capsys.readouterr().out
    assert load_trained("a.checkpoint").epoch == done


def test_a_log_in_csv(folder):
    train("--log", "a.csv", "--out", "a.checkpoint")
    with open("a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    train("--log", "b.jsonl", "--out", "b.checkpoint", "--quiet")
    for row, epoch in zip(rows, without_times("b.jsonl")[1:], strict=True):
        assert {name: float(row[name]) for name in epoch.keys() - {"histograms"}} == {
            name: value for name, value in epoch.items() if name != "histograms"
        }
    lines = (folder / "a.csv").read_text().splitlines()
    (folder / "a.csv").write_text("\n".join([*lines, "4,0.5", "5"]))
    main(["train", "--resume", "a.checkpoint", "--log", "a.csv", "--quiet"])
    assert (folder / "a.csv").read_text().splitlines() == lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "is not a training log"),
        ("epoch,loss\n3,0.123\n", r"is from another training \(loss differs\)"),
    ],
)
def test_the_csv_file_of_another_training_is_left_alone(folder, text, message):
    train("--out", "a.checkpoint")
    (folder / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        main(["train", "--resume", "a.checkpoint", "--log", "a.csv"])
    assert (folder / "a.csv").read_text() == text


def test_runs(folder, capsys):
    for name, lr in (("a", 0.003), ("b", 0.01)):
        train("--lr", lr, "--log", f"{name}.jsonl", "--out", f"{name}.checkpoint", "--quiet")
    main(["runs", "a.jsonl", "b.checkpoint"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["run", "lr", "epoch", "loss"]
    assert [row.split()[:3] for row in rows] == [["a", "0.003", "3/3"], ["b", "0.01", "3/3"]]
    main(["runs", "a.jsonl", "b.jsonl", "--json"])
    table = json.loads(capsys.readouterr().out)
    assert [run["settings"]["lr"] for run in table["runs"]] == [0.003, 0.01]
    assert table["runs"][0]["figures"]["loss"] == without_times("a.jsonl")[-1]["loss"]
    main(["plot", "curves", "a.jsonl", "b.jsonl"])
    for words in (["x.jsonl"], ["a.jsonl", "notes.txt"]):
        (folder / "notes.txt").write_text("notes")
        with pytest.raises((InputError, FileNotFoundError)):
            main(["runs", *words])


@pytest.mark.parametrize("training", [QUICK[:-2], TEXT[:-2]], ids=["images", "text"])
def test_lr_find(folder, capsys, training):
    words = *training, "--count", "20", "--start", "1e-5", "--end", "1"
    main(["lr-find", *words])
    out = capsys.readouterr().out
    suggestion = float(re.search(r"suggestion: --lr ([\d.e-]+) \(default: ", out)[1])
    assert out.startswith("20 steps with rates from 1e-05 to 1\n")
    assert (folder / "lr-find.png").read_bytes()[:4] == b"\x89PNG"
    main(["lr-find", *words, "--json", "--out", "a.svg", "--accumulate", "2"])
    found = json.loads(capsys.readouterr().out)
    assert len(found["rates"]) == len(found["losses"]) <= 20
    assert 1e-5 <= suggestion <= 1
    assert sorted(os.listdir()) == ["a.svg", "lr-find.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--start", "0"], "--start is 0 and --end 10; expected"),
        (["--start", "2", "--end", "1"], "--start is 2 and --end 1; expected"),
        (["--end", "nan"], "--end nan; expected"),
        (["--count", "1"], "--count is 1"),
        (["--out", "a.jpg"], r"a\.jpg: expected a name that ends with \.png or \.svg"),
        (["--net", "rnn:8", "--flip"], "--flip applies only to images"),
    ],
)
def test_wrong_arguments_of_lr_find(folder, words, message):
    with pytest.raises(InputError, match=message):
        main(["lr-find", *words])
    assert not [*folder.iterdir()]


def test_evaluate_says_that_the_data_are_others(folder, capsys):
    train("--data", "embedded", "--out", "a.checkpoint")
    pictures(folder / "shades", [f"shade {i}" for i in range(10)])
    bitnet.load("a.checkpoint").freeze().save("a.npz")
    frozen = "--data", "folder", "--folder", "shades"
    for name in ("a.checkpoint", "a.npz"):
        capsys.readouterr()
        main(["evaluate", name, "--json"])
        assert json.loads(capsys.readouterr().out)["trained_on"] == "embedded"
        main(["evaluate", name])
        assert "note: " not in capsys.readouterr().out
    net = bitnet.load("a.npz")
    net.data, net.classes = "mnist", tuple(f"shade {i}" for i in range(10))
    net.save("b.npz")
    main(["evaluate", "b.npz", *frozen])
    assert "note: the net was trained on mnist, not on folder\n" in capsys.readouterr().out


def test_seeds_of_a_table_then_init_on_another_one(folder, capsys):
    rng = np.random.default_rng(0)
    for name, count in (("a", 120), ("b", 60)):
        x = rng.random((count, 3))
        rows = (",".join(f"{v:.4f}" for v in (*row, 2 * row[0] - row[1])) for row in x)
        (folder / f"{name}.csv").write_text("\n".join(["u,v,w,y", *rows]) + "\n")
    words = "--target", "regression", "--net", "mlp:16", "--epochs", "2", "--batch", "20"
    seeds = "--seeds", "0-2", "--validation", "20", "--out", "a.checkpoint"
    main(["train", "--data", "a.csv", *words, *seeds])
    head, *_, mean = capsys.readouterr().out.splitlines()[-5:]
    assert head.split()[-8:] == ["train", "r2", "validation", "r2", "test", "r2", "test", "error"]
    assert mean.startswith("mean of 3")
    assert mean.count("±") == 5
    init = "--init", "a.seed2.best.checkpoint", "--out", "b.checkpoint"
    main(["train", "--data", "b.csv", *words, *init])
    said = "a.seed2.best.checkpoint (mlp:16 on a.csv): 6 of 6 parameters\n"
    assert said in capsys.readouterr().out
    main(["evaluate", "b.checkpoint", "--data", "a.csv"])
    assert "note: the net was trained on b.csv, not on a.csv\n" in capsys.readouterr().out
