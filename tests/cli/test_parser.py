"""The parser of the command line: help, defaults, completion, and words it does not know."""

import importlib
import importlib.util
import inspect
import re
import shlex
import shutil
import subprocess
import sys
import typing

import pytest

import bitnet
from bitnet import InputError
from bitnet.__main__ import main
from bitnet.cli.parser import GROUPS, VERBS, module_of, parser_of
from bitnet.data import TEXTS
from bitnet.training.building import complete

KINDS = ("curves", "histograms", "filters", "codes", "confusion", "quantizers")
PARSERS = [[verb] for verb in VERBS] + [["plot", kind] for kind in KINDS]
PARSERS += [["data", "fetch"], ["data", "verify"]]


def said(capsys, *words, code=0):
    """What the command line prints before it ends with this code."""
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == code
    out, err = capsys.readouterr()
    assert (code == 0) == (not err)
    return " ".join((out or err).split())


def test_help_imports_no_verb():
    code = "import sys; from bitnet.__main__ import main\ntry: main(['--help'])\nfinally: "
    code += "print(*[m for m in sys.modules if m.startswith('bitnet.')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = out.stdout.splitlines()[-1].split()
    assert set(loaded) == {"bitnet.__main__", "bitnet.cli", "bitnet.errors"} | {
        f"bitnet.cli.{name}" for name in ("command", "parser")
    }


def test_the_help_groups_the_verbs(capsys):
    out = said(capsys, "--help")
    assert [said(capsys, *words) for words in (["-h"], ["help"])] == [out, out]
    for title, verbs in GROUPS.items():
        assert f"{title}: {next(iter(verbs))} " in out
    for verb, about in VERBS.items():
        assert f"{verb} {about}" in out
    assert said(capsys, "--version") == f"bitnet {bitnet.__version__}"


@pytest.mark.parametrize("words", PARSERS, ids=" ".join)
def test_help_of_a_verb(capsys, words):
    out = said(capsys, "help", *words)
    assert out == said(capsys, *words, "--help")
    assert out.startswith(f"usage: bitnet {' '.join(words)} ")
    assert not re.search(r"\((\d|none|all|text)[^()]*\) -", out)
    if len(words) == 1:
        assert out.count(f" bitnet {words[0]}", out.index("examples:")) == 4


def test_help_names_the_defaults(capsys):
    assert "from 0; default: 0" in said(capsys, "plot", "filters", "--help")
    assert "do not compare; default: 1000" in said(capsys, "freeze", "--help")
    out = said(capsys, "train", "--help")
    for title in ("net", "data", "bits", "optimizer", "language models", "files", "machine"):
        assert f" {title}: --" in out
    for line in ("0: all; default: 0", "default: 1, for texts 4", "default: nearest"):
        assert line in out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"net": "mlp:512,512", "epochs": 20, "batch": 100, "lr": 0.003, "schedule": "cosine"}),
        ({"data": "mnist"}, {"net": "mlp:512,512,512", "optimizer": "adam", "norm": "batch"}),
        ({"data": "cifar10"}, {"net": "conv:32,32/64,64/256", "prepare": []}),
        ({"data": "cifar10", "net": "cifar10"}, {"batch": 50}),
        ({"float": True}, {"lr": 0.001, "optimizer": "adam"}),
        ({"optimizer": "sgd"}, {"lr": 0.1}),
        ({"optimizer": "adamax"}, {"lr": 0.003}),
        ({"optimizer": "shift-adamax"}, {"lr": 2**-10}),
        ({"optimizer": "shift-adamax-code"}, {"lr": 2**-6}),
        ({"optimizer": "bop"}, {"lr": 0.0001}),
        ({"recipe": "theano", "data": "mnist"}, {"epochs": 1000, "schedule": "exponential"}),
        ({"recipe": "theano", "data": "cifar10"}, {"epochs": 500, "optimizer": "adam"}),
        ({"recipe": "theano", "data": "svhn"}, {"epochs": 200, "norm": "batch", "prepare": []}),
        ({"recipe": "torch", "data": "mnist"}, {"epochs": 100, "optimizer": "shift-adamax-code"}),
        ({"recipe": "torch", "data": "cifar10"}, {"epochs": 500, "prepare": ["zca"]}),
        ({"recipe": "torch", "data": "svhn"}, {"epochs": 200, "prepare": ["gcn", "lcn"]}),
        ({"recipe": "torch"}, {"norm": "shift-code", "schedule": "step"}),
        ({"data": "ptb"}, {"net": "lstm:300", "unit": "words", "width": 300, "lr": 0.002}),
        ({"data": "ptb"}, {"batch": 20, "steps": 35, "clip": 5, "dropout": 0, "epochs": 20}),
        ({"net": "rnn:8"}, {"data": "embedded-text", "unit": "characters", "width": 8}),
        ({"net": "rnn:8"}, {"batch": 32, "steps": 25, "lr": 0.001, "schedule": "plateau"}),
        ({"net": "gru:8", "optimizer": "sgd"}, {"lr": 1.0}),
        ({"recipe": "zaremba-small"}, {"epochs": 13, "optimizer": "sgd", "schedule": "delayed"}),
        ({"recipe": "zaremba-medium"}, {"epochs": 39, "dropout": 0.5, "clip": 5}),
        ({"recipe": "zaremba-large"}, {"epochs": 55, "dropout": 0.65, "clip": 10}),
    ],
)
def test_the_defaults_that_train_help_states(given, expected):
    settings = complete(given)
    assert {name: settings[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("trian", "VERB is 'trian'; expected one of .*; did you mean 'train'?"),
        ("help plto", "VERB is 'plto'; expected one of .*; did you mean 'plot'?"),
        ("compare a.jsonl", "unknown verb compare; `bitnet runs` compares .*`bitnet freeze .*"),
        ("fly", "VERB is 'fly'; expected one of .*; see `bitnet --help`"),
        ("--verison", "unknown option --verison; did you mean --version?"),
        ("train --epo 3", "unknown option --epo; did you mean --epochs?"),
        ("train --epochz=3", "unknown option --epochz; did you mean --epochs?"),
        ("predict --topp 3", "unknown option --topp; did you mean --top?"),
        ("status --fast", "unknown option --fast; see `bitnet status --help`"),
        ("train --gradient int8", "unknown option --gradient; did you mean --grad-format?"),
        ("train --device gpu", "unknown option --device; see `bitnet train --help`"),
        ("inspect net.npz --nosuch", "unknown option --nosuch; see `bitnet inspect --help`"),
        ("train --data mnst", "--data is 'mnst'; expected one of .*; did you mean 'mnist'?"),
        ("train --channels 2", "--channels is '2'; expected one of 1, 3; see .*"),
        ("train --epochs ten", "--epochs is 'ten'; expected a whole number; see .*"),
        ("train --lr fast", "--lr is 'fast'; expected a number; see .*"),
        ("train --lr", "--lr needs a value; see .*"),
        ("train net.npz", "unexpected argument 'net.npz'; see .*"),
        ("plot curvs", "KIND is 'curvs'; expected one of .*; did you mean 'curves'?"),
        ("data fetsh", "ACTION is 'fetsh'; expected one of verify, fetch; did you mean 'fetch'?"),
        ("inspect a.npz --as pgn", "--as is 'pgn'; expected one of text, .*; did you mean 'png'?"),
        ("freeze", "the following arguments are required: CHECKPOINT; see `bitnet freeze --help`"),
        ("", "the following arguments are required: VERB; see `bitnet --help`"),
    ],
)
def test_unknown_words(capsys, words, line):
    err = said(capsys, *words.split(), code=2)
    assert re.fullmatch("error: " + line.replace("?", r"\?"), err)


def test_words_after_two_dashes_are_no_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        main(["predict", "no.npz", "--", "--topp"])


@pytest.mark.parametrize("verb", VERBS)
def test_mains_have_hints(verb):
    for function in (module_of(verb).main, main, bitnet.cli.run):
        hints = typing.get_type_hints(function)
        assert hints.keys() == {*inspect.signature(function).parameters, "return"}


SHELLS = pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])


@SHELLS
def test_completion(capsys, shell):
    pytest.importorskip("shtab", reason="completion needs shtab (extra completion)")
    main(["completion", shell])
    out = capsys.readouterr().out
    assert all(f"{word}" in out for word in ("bitnet", *VERBS, "epochs", "shift-adamax"))
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=out, text=True, check=True)


def test_bash_completes(tmp_path):
    pytest.importorskip("shtab", reason="completion needs shtab (extra completion)")
    if not shutil.which("bash"):
        pytest.skip("there is no bash")
    (tmp_path / "net.npz").touch()

    def completed(*words):
        ask = f"""eval "$({shlex.quote(sys.executable)} -m bitnet completion bash)"
        COMP_WORDS=({shlex.join(["bitnet", *words])}); COMP_CWORD={len(words)}
        _shtab_bitnet 2> /dev/null; printf '%s\\n' "${{COMPREPLY[@]}}" """
        out = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True)
        return out.stdout.split()

    assert completed("tr") == ["train"]
    assert completed("train", "--ep") == ["--epochs"]
    assert completed("train", "--data", "emb") == ["embedded", *TEXTS[:1]]
    assert completed("freeze", "ne") == ["net.npz"]


def test_completion_without_its_library(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="completion needs shtab; run `pip install shtab`"):
        main(["completion", "bash"])


def test_the_examples_of_the_help_are_commands():
    docs = [module_of(verb).__doc__ for verb in VERBS] + [bitnet.__main__.__doc__]
    for doc in docs:
        lines = re.findall(r"^  (?:.*\| )?bitnet (.*?)(?: [|>] .*)?$", doc, re.MULTILINE)
        assert len(lines) >= 4
        for line in lines:
            words = shlex.split(line.removeprefix("help "), comments=True)
            parser_of(words[:1]).parse_args(words)
