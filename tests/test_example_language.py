"""The examples of language models as a user types them."""

import json

import pytest
from test_examples import run

from bitnet.archive import kind_of
from bitnet.checkpoint import read_checkpoint

QUICK = "--quick", "--units", "16", "--epochs", "1", "--count", "20", "--threads", "1"
KINDS = {
    "char_rnn": ("char_rnn.py", *QUICK, "--width", "8", "--batch", "50"),
    "word_lstm": ("word_lstm.py", *QUICK, "--vocabulary", "300", "--bits", "float,4/4,2/3"),
}


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    """The name, the folder and the output of a quick run."""
    folder = tmp_path_factory.mktemp("language")
    out = run(*KINDS[request.param], "--json", "figures.json", folder=folder)
    return request.param, folder, out.stdout


def test_the_job(trained):
    name, folder, out = trained
    rows = json.loads((folder / "figures.json").read_text())["rows"]
    bits = ["float", "4/4"] + ["2/3"] * (name == "word_lstm")
    assert [row["bits"] for row in rows] == bits
    assert out.count("it goes on:") == len(bits)
    for row in rows:
        stem = f"{name}_quick_{row['bits'].replace('/', '')}"
        assert read_checkpoint(folder / f"{stem}.best.npz").notes["best"]["test"] == row["test"]
        if row["bits"] != "float":
            assert kind_of(folder / f"{stem}.frozen.npz") == "frozen language model"
            assert row["bytes"] == (folder / f"{stem}.frozen.npz").stat().st_size
            assert row["bytes"] < 0.5 * rows[0]["bytes"]


def test_resuming_is_a_longer_training(trained, tmp_path):
    """One epoch and one more, as two at once."""
    name = trained[0]
    words = *KINDS[name], "--bits", "2/3", "--epochs"
    run(*words, "2", "--out", "whole", folder=tmp_path)
    run(*words, "1", "--out", "part", folder=tmp_path)
    run(*words, "2", "--out", "part", "--resume", folder=tmp_path)
    whole, part = ((tmp_path / f"{stem}_23.npz").read_bytes() for stem in ("whole", "part"))
    assert whole == part


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--units", "0"], 2, "--units is 0"),
        (["--bits", "4"], 2, "WEIGHTS/ACTIVATIONS"),
        (["--bits", "9/9"], 2, "WEIGHTS/ACTIVATIONS"),
        (["--temperature", "nan"], 2, "--temperature is nan"),
        (["--lr", "0"], 2, "--lr is 0"),
        (["--data", "ptb", "--folder", "no"], 1, "no ptb.train.txt"),
        (["--folder", "."], 1, "leave out folder"),
        (["--json", "missing/figures.json"], 1, "no folder missing"),
        (["--resume", "--seed", "7"], 1, "seed = 0; this one has 7"),
    ],
)
def test_wrong_arguments_are_one_sentence(trained, words, code, message):
    name, folder, _ = trained
    out = run(*KINDS[name], *words, folder=folder, code=code)
    assert message in out.stderr
    assert code == 2 or out.stderr.count("\n") == 1
