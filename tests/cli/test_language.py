"""Language models from the command line: trained, resumed, evaluated, frozen, continued."""

import json
import pathlib
import signal

import numpy as np
import pytest
from saved import without_times

from bitnet import InputError
from bitnet.__main__ import main
from bitnet.data import load_corpus
from bitnet.training import Experiment, evaluate_language, generate, load
from bitnet.training.checkpoint import read_checkpoint, save_checkpoint
from bitnet.training.trained import load_trained

SMALL = "--net", "rnn:12", "--width", 8, "--limit", 1500, "--batch", 10, "--epochs", 2, "--quiet"


def run(*words):
    main(list(map(str, words)))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with few.checkpoint, float.checkpoint and few.npz, of characters."""
    folder = tmp_path_factory.mktemp("language")
    run("train", *SMALL, "--out", folder / "few.checkpoint", "--log", folder / "few.jsonl")
    run("train", *SMALL, "--float", "--out", folder / "float.checkpoint")
    run("freeze", folder / "few.checkpoint")
    return folder


def test_what_training_says(folder, capsys):
    run("train", *SMALL[:-1], "--data", "embedded-text")
    out = capsys.readouterr().out
    assert "net rnn:12, 1720 weights (weights: 4 bits, activations: 4 bits" in out
    assert "1500 characters" in out
    assert "valid. and test show the bits per character" in out
    rows = [line.split() for line in out.splitlines() if line.startswith("    ")]
    assert [len(row) for row in rows] == [8, 8]
    assert [row[4] for row in rows] == ["1.00e-03", "1.00e-03"]
    name = "rnn-12-embedded-text-4w-4a"
    assert f"next: bitnet predict {name}.best.checkpoint the" in out
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.checkpoint",
        f"{name}.best.checkpoint",
    }


def test_the_log_has_the_figures(trained):
    lines = [json.loads(line) for line in (trained / "few.jsonl").read_text().splitlines()]
    assert lines[0]["settings"]["net"] == "rnn:12"
    assert [line["epoch"] for line in lines[1:]] == [1, 2]
    best = load_trained(trained / "few.best.checkpoint")
    record = min(lines[1:], key=lambda line: line["valid_loss"])
    assert best.epoch == record["epoch"]
    corpus = load_corpus("embedded-text", unit="characters").first(1500, 1500)
    assert evaluate_language(best.model, corpus.valid, 10, 25) == record["valid_loss"]


@pytest.mark.parametrize("net", ["rnn:12", "lstm:6,6"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_going_on_after_control_c_ends_with_the_same_bytes(folder, monkeypatch, net, epoch):
    words = *SMALL, "--net", net, "--unit", "characters", "--dropout", 0.2, "--epochs", 3
    seen = []
    run("train", *words, "--out", "whole.checkpoint", "--log", "whole.jsonl")

    def bar(experiment, quiet):
        def passes(pieces):
            for i, piece in enumerate(pieces):
                if i == 3 and experiment.done == epoch and not seen:
                    seen.append(i)
                    signal.raise_signal(signal.SIGINT)
                yield piece

        return passes

    next_of = "epochs and 4 pieces of the next are in part.checkpoint; resume with: "
    next_of += "bitnet train --resume part"
    with monkeypatch.context() as patch:
        patch.setattr("bitnet.cli.train._bar", bar)
        with pytest.raises(KeyboardInterrupt, match=f"{epoch} of 3 {next_of}"):
            run("train", *words, "--out", "part.checkpoint", "--log", "part.jsonl")
    with pytest.raises(InputError, match="exists"):
        run("train", *words, "--out", "part.checkpoint")
    run("train", "--resume", "part.checkpoint", "--log", "part.jsonl", "--quiet")
    for name in ("{}.checkpoint", "{}.best.checkpoint"):
        a, b = (folder / name.format(stem) for stem in ("whole", "part"))
        assert a.read_bytes() == b.read_bytes()
    times = "tokens_per_second"
    logs = [without_times(name) for name in ("whole.jsonl", "part.jsonl")]
    for record in logs[0] + logs[1]:
        record.pop(times, None)
    assert logs[0] == logs[1]


def test_longer_and_from_another_folder(folder):
    for part in ("train", "valid", "test"):
        pathlib.Path(f"ptb.{part}.txt").write_text("the sea and the storm\n" * 20)
    run(
        "train",
        "--net",
        "lstm:6",
        "--data",
        "ptb",
        "--folder",
        ".",
        "--epochs",
        1,
        "--batch",
        2,
        "--out",
        "a.checkpoint",
        "--quiet",
    )
    (folder / "moved").mkdir()
    for path in folder.glob("ptb.*"):
        path.rename(folder / "moved" / path.name)
    with pytest.raises(InputError, match=r"no ptb.train.txt"):
        run("train", "--resume", "a.checkpoint", "--quiet")
    run("train", "--resume", "a.checkpoint", "--folder", "moved", "--epochs", 2, "--quiet")
    assert load_trained("a.checkpoint").epoch == 2
    (folder / "moved" / "ptb.train.txt").write_text("the sea and a storm\n" * 20)
    with pytest.raises(InputError, match="training data ptb have changed"):
        run("train", "--resume", "a.checkpoint", "--folder", "moved", "--epochs", 3, "--quiet")


@pytest.mark.parametrize("name", ["few.checkpoint", "few.npz", "float.checkpoint"])
def test_the_measures_of_a_net(trained, capsys, name):
    words = "evaluate", trained / name, "--data", "embedded-text", "--limit", 400, "--batch", 4
    run(*words, "--json")
    figures = json.loads(capsys.readouterr().out)
    assert figures["tokens"] == 399
    assert figures["bits"] == pytest.approx(np.log2(figures["perplexity"]))
    assert figures["unknown"] == 0
    run(*words)
    out = capsys.readouterr().out
    assert f"bits per character {figures['bits']:.4f} on 399 characters of embedded-text" in out


@pytest.mark.parametrize("name", ["few.checkpoint", "float.checkpoint"])
def test_frozen_is_trained(trained, capsys, folder, name):
    run("freeze", trained / name, "--out", "a.npz", "--check", 50)
    assert "50 characters of the test text: all 3700 scores are equal" in capsys.readouterr().out
    run("freeze", trained / name, "--out", "a.npz", "--check", 0)
    assert "compared" not in capsys.readouterr().out
    assert len(load("a.npz").vocabulary) == 74


def test_how_a_text_goes_on(trained, capsys):
    words = "the sea", "--count", 30, "--seed", 3, "--temperature", 0.5
    outs = []
    for name in ("few.checkpoint", "few.npz"):
        run("predict", trained / name, *words)
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1]
    assert len(outs[0]) == 7 + 30 + 1
    net = load_trained(trained / "few.checkpoint")
    drawn = generate(net.model, net.vocabulary, "the sea", 30, np.random.default_rng(3), 0.5)
    assert outs[0] == f"the sea{''.join(drawn)}\n"
    run("predict", trained / "few.npz", "a", "b", "--json", "--count", 2)
    rows = json.loads(capsys.readouterr().out)
    assert [(row["input"], row["text"][0], len(row["text"])) for row in rows] == [
        ("a", "a", 3),
        ("b", "b", 3),
    ]


def test_standard_input(trained, capsys, monkeypatch, tmp_path):
    (tmp_path / "text").write_bytes(b"the sea\n")
    with open(tmp_path / "text") as file:
        monkeypatch.setattr("sys.stdin", file)
        run("predict", trained / "few.npz", "-", "--count", 0)
    assert capsys.readouterr().out == "the sea\n"
    (tmp_path / "text").write_bytes(b"\xff")
    with open(tmp_path / "text") as file:
        monkeypatch.setattr("sys.stdin", file)
        with pytest.raises(InputError, match="byte 0 is not UTF-8"):
            run("predict", trained / "few.npz", "-")


@pytest.mark.parametrize("name", ["few.checkpoint", "few.npz"])
def test_a_table_of_its_matrices(trained, capsys, name):
    run("summary", trained / name, "--json")
    table = json.loads(capsys.readouterr().out)["summary"]
    count = 74 * 8 + 12 * 8 + 12 * 12 + 74 * 12
    assert table["totals"]["weights"] == {"4-bit": count}
    assert table["totals"]["macs"]["4x4"] == count - 74 * 8


def test_a_table_of_a_net_by_name(capsys):
    run("summary", "lstm:30", "--classes", 100, "--float")
    out = capsys.readouterr().out
    assert "LanguageModel(100-30-30 lstm-100)" in out
    assert "Lstm(30, 120)" in out
    run("summary", "lstm:30", "--classes", 100, "--weights", 2, "--activations", "log:3", "--json")
    table = json.loads(capsys.readouterr().out)["summary"]
    rows = (row["bits"] for row in table["layers"] if row["weights"])
    assert [bits for bits in rows if bits < 32] == [3, 2, 2, 2]


@pytest.mark.parametrize("name", ["few.checkpoint", "few.npz"])
def test_the_operations_of_a_token(trained, capsys, name):
    """4 planes meet 4: rnn:12 with vectors of 8 numbers for 74 characters, a word a row."""
    run("summary", trained / name, "--operations", "--json")
    tables = json.loads(capsys.readouterr().out)
    assert [*tables] == ["summary", "operations"]
    assert [tuple(row.values())[1:] for row in tables["operations"]["layers"]] == [
        (16 * 12, 17 * 12, 0, 16 * 12, 12),
        (16 * 12, 17 * 12, 0, 16 * 12, 12),
        (0, 0, 12 * 15, 0, 0),  # the states for their own product
        (0, 0, 12 * 15, 0, 0),  # and for that of the scores
        (16 * 74, 17 * 74, 0, 16 * 74, 74),
    ]
    run("summary", trained / name, "--operations")
    assert "operations for one token" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", *SMALL, "--flip"], "--flip applies only to images"),
        (["train", *SMALL, "--data", "mnist"], "--data is 'mnist'; for texts expected"),
        (["train", *SMALL, "--recipe", "torch"], "recipe is 'torch'"),
        (["train", *SMALL, "--optimizer", "bop"], "optimizer is 'bop'"),
        (["train", *SMALL, "--schedule", "step"], "schedule is 'step'; for texts expected one of"),
        (["train", *SMALL, "--weights", "9"], "weights is '9'"),
        (["train", *SMALL, "--float", "--weights", "2"], "or remove --float"),
        (["train", *SMALL, "--net", "rnn:"], "net is 'rnn:'"),
        (["train", *SMALL, "--net", "rnn:3,4"], "the same units"),
        (["train", *SMALL, "--clip", "nan"], "clip is nan"),
        (["train", *SMALL, "--dropout", "1"], "dropout is 1"),
        (["train", *SMALL, "--folder", "."], "remove folder"),
        (["train", *SMALL, "--limit", "10"], "10 tokens for 10 streams"),
        (["train", "--net", "mlp:9", "--steps", "3"], "--steps applies only to text data sets"),
        (["train", "--net", "mlp:9", "--data", "ptb"], "net is 'mlp:9'; expected rnn:512"),
        (["train", "--resume", "few.checkpoint", "--lr", "0.5"], "--lr is 0.5, but"),
        (["train", "--resume", "few.npz"], "frozen language model"),
        (
            ["evaluate", "few.npz"],
            "few.npz does not say which text .* --data with one of embedded-text, ptb",
        ),
        (
            ["evaluate", "few.checkpoint", "--data", "mnist"],
            "--data is mnist; expected one of embed",
        ),
        (
            ["freeze", "few.checkpoint", "--data", "mnist", "--out", "a.npz"],
            "--data is mnist; expected",
        ),
        (["freeze", "few.checkpoint", "--folder", "."], "remove folder.*; or add --check 0"),
        (
            ["freeze", "few.checkpoint", "--out", "few.jsonl"],
            r"--out is few.jsonl; expected a name that ends with .npz",
        ),
        (["evaluate", "few.npz", "--data", "embedded-text", "--limit", "1"], "--limit is 1; expe"),
        (["predict", "few.npz", "a", "--top", "2"], "--top applies only to images"),
        (["predict", "few.npz", "a", "--count", "-1"], "--count is -1"),
        (["predict", "few.npz", "a", "--temperature", "nan"], "--temperature is nan"),
        (["freeze", "few.npz"], "holds a 'frozen language model'; expected a training"),
        (["freeze", "few.checkpoint", "--out", "float.checkpoint"], r"ends with \.npz"),
        (["inspect", "few.checkpoint", "--layer", "3"], "expected 0 to 2"),
        (["summary", "few.npz", "--energy"], "--energy applies only to nets for images"),
        (["summary", "few.npz", "--weights", "2"], "--weights applies only to a net by name"),
        (["summary", "few.checkpoint", "--float"], "--float applies only to a net by name"),
        (
            ["summary", "few.checkpoint", "--classes", "9"],
            "--classes applies only to a net by name",
        ),
        (
            ["summary", "lstm:8", "--float", "--weights", "2"],
            "--weights applies only to low-bit nets",
        ),
        (["summary", "lstm:8", "--weights", "9"], "weights is '9'"),
    ],
)
def test_wrong_arguments_are_one_sentence(trained, monkeypatch, words, message):
    monkeypatch.chdir(trained)
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    with pytest.raises(InputError, match=message) as error:
        run(*words)
    assert "\n" not in str(error.value)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": "rnn:9999"}, "the file has"),
        ({"net": "lstm:12"}, "the file has|lacks|shape"),
        ({"width": 10**5}, "the file has"),
        ({"data": "moby"}, "data is 'moby'"),
        ({"steps": "25"}, "steps is '25'"),
        ({"weights": "99"}, "weights is '99'"),
        ({"more": 1}, "unknown 'more'"),
        ({"net": None}, "net is None"),
    ],
)
def test_settings_that_a_file_makes_up_are_refused(trained, tmp_path, change, message):
    experiment = Experiment.resume(trained / "few.checkpoint")
    notes = {"vocabulary": experiment.data.vocabulary.header(), "best": None}
    settings = {"experiment": {**experiment.settings, **change}}
    save_checkpoint(tmp_path / "a", 1, *experiment._parts(), settings, notes)
    with pytest.raises(InputError, match=message):
        load_trained(tmp_path / "a")


def test_a_vocabulary_that_a_file_makes_up_is_refused(trained, tmp_path):
    experiment = Experiment.resume(trained / "few.checkpoint")
    parts, settings = experiment._parts(), {"experiment": experiment.settings}
    header = read_checkpoint(trained / "few.checkpoint").notes["vocabulary"]
    fewer = {**header, "words": [word for word in header["words"] if word != "e"]}
    for vocabulary in (None, {"unit": "words"}, fewer, {**header, "unit": "words"}):
        save_checkpoint(tmp_path / "a", 1, *parts, settings, {"vocabulary": vocabulary})
        with pytest.raises(InputError, match="a: "):
            load_trained(tmp_path / "a")


def test_unknown_words_that_the_training_text_does_not_teach(tmp_path, capsys):
    """Their scores are never trained, so one such word in a hundred multiplies the perplexity."""
    texts = {"train": "a b c a b c a b d\n" * 3 + "e\n", "valid": "a b x c\n" * 9, "test": "a b\n"}
    for part, text in texts.items():
        (tmp_path / f"ptb.{part}.txt").write_text(text * 20 if part != "train" else text)
    words = ("train", "--data", "ptb", "--folder", tmp_path, "--net", "rnn:8", "--unit", "words")
    words += ("--epochs", "1", "--batch", "2", "--steps", "3")
    run(*map(str, words), "--out", f"{tmp_path}/a.checkpoint")
    out = capsys.readouterr().out
    assert "note: 20.00% of the validation words and 0.00% of the test words are not in the" in out
    assert "--vocabulary 6 keeps the words that occur twice or more" in out
    run(*map(str, words), "--out", f"{tmp_path}/b.checkpoint", "--vocabulary", "6")
    out = capsys.readouterr().out
    assert "are not in the training text" not in out
