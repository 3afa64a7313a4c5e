"""Tests of the language model examples as commands."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest
from scripts import EXAMPLES, refused, run

import bitnet
from bitnet.archive import kind_of
from bitnet.training import fit, read_checkpoint

QUICK = "--quick", "--units", "16", "--epochs", "1", "--count", "20", "--threads", "1"
KINDS = {
    "char_rnn": ("char_rnn.py", *QUICK, "--width", "8", "--batch", "50"),
    "word_lstm": ("word_lstm.py", *QUICK, "--vocabulary", "300", "--bits", "float,4/4,2/3"),
}


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    """Return the name, the folder and the output of a quick run."""
    folder = tmp_path_factory.mktemp("language")
    out = run(*KINDS[request.param], "--json", "figures.json", folder=folder)
    return request.param, folder, out.stdout


def test_the_job(trained):
    name, folder, out = trained
    rows = json.loads((folder / "figures.json").read_text())["rows"]
    bits = ["float", "4/4"] + ["2/3"] * (name == "word_lstm")
    assert [row["bits"] for row in rows] == bits
    assert out.count("sample:") == len(bits)
    for row in rows:
        stem = f"{name}_quick_{row['bits'].replace('/', '')}"
        assert read_checkpoint(folder / f"{stem}.best.npz").notes["best"]["test"] == row["test"]
        if row["bits"] != "float":
            assert kind_of(folder / f"{stem}.frozen.npz") == "frozen language model"
            assert row["bytes"] == (folder / f"{stem}.frozen.npz").stat().st_size
            assert row["bytes"] < 0.7 * rows[0]["bytes"]


STOPPED = """
import itertools, runpy, sys

import bitnet.training

fit = bitnet.training.fit


def stopped(*arguments, **named):
    yield from itertools.islice(fit(*arguments, **named), 1)
    raise KeyboardInterrupt


bitnet.training.fit = stopped
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_is_stopped_has_the_exit_code_of_ctrl_c(kind, tmp_path):
    script, *words = *KINDS[kind], "--bits", "2/3", "--epochs", "2", "--out", "part"
    command = [sys.executable, "-c", STOPPED, str(EXAMPLES / script), *words]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 130
    assert read_checkpoint(tmp_path / "part_23.npz").epoch == 1


def test_a_longer_training_is_another_one(trained):
    """The learning rate depends on the number of epochs."""
    name, folder, _ = trained
    out = run(*KINDS[name], "--epochs", "2", "--resume", folder=folder, code=1)
    assert "epochs = 1; this one has 2" in out.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--units", "0"], 2, "--units is 0"),
        (["--bits", "4"], 2, "WEIGHTS/ACTIVATIONS"),
        (["--bits", "9/9"], 2, "WEIGHTS/ACTIVATIONS"),
        (["--temperature", "nan"], 2, "--temperature is nan"),
        (["--lr", "0"], 2, "--lr is 0"),
        (["--data", "ptb", "--folder", "no"], 1, "no ptb.train.txt"),
        (["--folder", "."], 1, "remove folder"),
        (["--json", "missing/figures.json"], 1, "no folder missing"),
        (["--resume", "--seed", "7"], 1, "seed = 0; this one has 7"),
    ],
)
def test_wrong_arguments_are_one_sentence(trained, words, code, message):
    name, folder, _ = trained
    assert message in refused(*KINDS[name], *words, folder=folder, code=code)


@pytest.fixture(params=KINDS)
def main(request, tmp_path, monkeypatch):
    """Return the `main` of an example for a 2/3-bit net and one epoch, in this process.

    Its texts have 1500 training tokens and 300 others.
    """
    name, *words = KINDS[request.param]
    path = pathlib.Path(bitnet.__file__).parents[1] / "examples" / name
    spec = importlib.util.spec_from_file_location(request.param, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bitnet, "set_num_threads", lambda n: None)
    corpus = module.load_corpus
    monkeypatch.setattr(module, "load_corpus", lambda *a, **b: corpus(*a, **b).first(1500, 300))

    def run_main(*more):
        words_of_run = [name, *words, "--bits", "2/3", "--out", "a", *more]
        monkeypatch.setattr(sys, "argv", list(map(str, words_of_run)))
        module.main()

    run_main.module = module
    return run_main


def test_control_c_says_what_is_kept_and_how_to_resume(main, monkeypatch, capsys):
    """The resumed training ends with the bytes of one that was not stopped."""

    def stopped(after):
        def fit_or_stop(*parts, **named):
            for epoch in fit(*parts, **named):
                if epoch.epoch > after:
                    raise KeyboardInterrupt
                yield epoch

        return fit_or_stop

    main("--epochs", 2, "--out", "whole")
    with monkeypatch.context() as patch:
        patch.setattr(main.module, "fit", stopped(0))
        with pytest.raises(KeyboardInterrupt, match=r"^no epoch is done for a_23.npz; add --resum"):
            main("--epochs", 2)
        patch.setattr(main.module, "fit", stopped(1))
        with pytest.raises(KeyboardInterrupt, match=r"^1 epochs are in a_23.npz; add --resume to "):
            main("--epochs", 2)
    main("--epochs", 2, "--resume")
    assert "a_23.npz: 1 epochs are done" in capsys.readouterr().out
    for name in ("{}_23.npz", "{}_23.best.npz", "{}_23.frozen.npz"):
        whole, part = (pathlib.Path(name.format(stem)).read_bytes() for stem in ("whole", "a"))
        assert whole == part


def test_a_training_of_the_same_name_is_not_lost(main):
    main()
    files = {name: pathlib.Path(name).read_bytes() for name in ("a_23.npz", "a_23.best.npz")}
    main("--seed", 5)
    for name, content in files.items():
        assert pathlib.Path(f"{name}.old").read_bytes() == content
        assert pathlib.Path(name).read_bytes() != content


def test_an_epoch_that_was_saved_in_part_comes_again(main, monkeypatch, capsys):
    """If the process dies between the two files, --resume repeats the epoch."""
    saved, save = [], bitnet.training.save_checkpoint

    def killed(path, *parts):
        if saved:
            raise SystemExit
        saved.append(path)
        save(path, *parts)

    with monkeypatch.context() as patch:
        patch.setattr(bitnet.training, "save_checkpoint", killed)
        with pytest.raises(SystemExit):
            main()
    main("--resume")
    assert "sample:" in capsys.readouterr().out
    assert read_checkpoint("a_23.best.npz").notes["best"]["epoch"] == 1


def test_a_regime_sets_the_learning_rate(tmp_path):
    script, *words = KINDS["word_lstm"]
    words += "--regime", "small", "--bits", "float", "--epochs", "1"
    out = run(script, *words, folder=tmp_path).stdout
    epoch = next(line.split() for line in out.splitlines() if line.split()[:1] == ["1"])
    assert epoch[4] == "1.00e+00"
