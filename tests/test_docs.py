"""Every public name has a docstring in numpydoc with a doctest; README and docs tell the truth."""

import argparse
import ast
import importlib
import inspect
import pathlib
import re
import shlex
import sys
import types

import numpy as np
import pytest

import bitnet
from bitnet.cli.parser import VERBS, parser_of
from bitnet.training import Experiment

ROOT = pathlib.Path(bitnet.__file__).parent.parent


ROOMS = ("", ".analysis", ".analysis.plots", ".autograd", ".cli", ".data", ".deploy", ".kernels")
ROOMS += (".nn", ".nn.functional", ".nn.models", ".optim", ".optim.schedules", ".quantizers")
ROOMS += (".training",)


def public_names():
    """What the rooms offer: by `__all__`, or else all that their `__init__` imports."""
    seen = set()
    for room in ROOMS:
        module = importlib.import_module(f"bitnet{room}")
        for name in getattr(module, "__all__", None) or vars(module):
            value = getattr(module, name)
            own = getattr(value, "__module__", "").startswith("bitnet") and callable(value)
            if own and name != "lazily" and not name.startswith("_") and id(value) not in seen:
                seen.add(id(value))
                yield pytest.param(value, id=f"bitnet{room}.{name}")


@pytest.mark.parametrize("value", list(public_names()))
def test_a_public_name_is_documented(value):
    doc = inspect.getdoc(value) or ""
    sections = re.findall(r"^(\w+)\n-+$", doc, re.MULTILINE)
    assert re.match(r"[^\n]+[.,;:]", doc), "a first line"
    assert "Examples" in sections
    assert ">>> " in doc
    if inspect.isclass(value):
        parameters = list(inspect.signature(value).parameters) if "__init__" in vars(value) else []
        assert not parameters or {"Parameters", "Attributes"} & set(sections)
    else:
        parameters = list(inspect.signature(value).parameters)
        assert not parameters or "Parameters" in sections
    for parameter in parameters:
        assert re.search(rf"^.*\b{parameter.strip('*')}\b.* : ", doc, re.MULTILINE), parameter


def test_what_a_module_defines_has_a_clear_line():
    lacking = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sorted((ROOT / "bitnet").rglob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        and not node.name.startswith("_")
        and "overload" not in map(ast.unparse, node.decorator_list)
        and not ast.get_docstring(node)
    ]
    assert not lacking


def test_the_names_at_the_top_are_there():
    assert all(hasattr(bitnet, name) for name in bitnet.__all__)
    assert len(set(bitnet.__all__) - set(bitnet.ROOMS.split())) == 13


README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("[CS]*.md"))]
TEXT = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
TABLES = [line for text in TEXT.values() for line in re.findall(r"^\|.*\|$", text, re.MULTILINE)]


@pytest.mark.parametrize("line", [line for line in TABLES if ".py`" in line])
def test_a_table_names_what_there_is(line):
    for path in re.findall(r"`([\w/]+\.py)`", line):
        assert (ROOT / path).exists() or (ROOT / "bitnet" / path).exists(), path
    for path, names in re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", line):
        module = importlib.import_module("bitnet." + path.removesuffix(".py").replace("/", "."))
        for name in re.findall(r"`([\w.]+)`", names):
            value = module
            for part in name.split("."):
                value = getattr(value, part)


def anchors(text):
    """The anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings}


@pytest.mark.parametrize("name", TEXT)
def test_links_lead_somewhere(name):
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXT[name]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


@pytest.mark.parametrize("name", TEXT)
def test_no_line_but_a_table_or_a_picture_is_long(name):
    lines = TEXT[name].splitlines()
    assert not [line for line in lines if len(line) > 100 and line[0] not in "|!"]


def python_of(name):
    """The Python of a page, as one program."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", TEXT[name], re.MULTILINE | re.DOTALL))


def test_the_program_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = python_of("README.md")
    assert 20 <= len(program.strip().splitlines()) <= 25
    exec(program, names := {})
    assert names["epoch"].test_accuracy > 0.9
    assert (
        "differing_integers=0, differing_scores=0, differing_classes=0" in capsys.readouterr().out
    )
    assert bitnet.load("digits.npz").layers[0].bits.signs().shape == (256, 784)


def test_the_python_of_the_pages_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages = ["README.md", "docs/architectures.md", "docs/python.md", "docs/training.md"]
    assert [name for name in TEXT if python_of(name)] == pages
    sizes = [784, 512, 512, 512, 10]
    model = bitnet.nn.models.binary_mlp(sizes, rng=np.random.default_rng(0))
    bitnet.freeze(model).save("mnist_mlp.npz")
    sizes = {"width": 8, "units": 16, "weight_quantizer": 4, "activation_quantizer": 4}
    language = bitnet.nn.models.language_model(3, rng=np.random.default_rng(0), **sizes)
    vocabulary = bitnet.data.Vocabulary(["<unk>", "<eos>", "the"], "words")
    bitnet.freeze(language, vocabulary=vocabulary).save("word_lstm_44.frozen.npz")
    Experiment({"net": "mlp:8", "data": "embedded", "limit": 100}).save("net.checkpoint")
    exec(python_of("docs/architectures.md"), names := {})
    assert names["net"].predict([[5, 7, 0], [1, 2, 3]]).shape == (2,)
    exec(python_of("docs/python.md"), names := {})
    assert names["frozen"].sizes == [784, 8, 10]
    assert names["net"].layers[0].bits.signs().shape == (512, 784)
    assert names["scores"].shape == (1, 3)


class Recorder:
    """A stand-in for a run of TensorBoard or Weights & Biases, which keeps what it is given."""

    def __init__(self, *words, **options):
        self.given = []
        RECORDERS.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def log(self, record):
        self.given.append(record["test_accuracy"])

    def add_scalar(self, name, value, epoch):
        self.given.append(value)


RECORDERS: list[Recorder] = []


def test_the_loops_of_the_page_on_training_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="plots need matplotlib (extra plot)")
    monkeypatch.chdir(tmp_path)
    for name in ("torch", "torch.utils", "torch.utils.tensorboard", "wandb"):
        module = types.SimpleNamespace(SummaryWriter=Recorder, init=Recorder)
        monkeypatch.setitem(sys.modules, name, module)
    RECORDERS.clear()
    exec(python_of("docs/training.md"), names := {})
    board, run = (recorder.given for recorder in RECORDERS)
    assert len(board) == 2
    assert board == run
    lines = (tmp_path / "run.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["1", "2"]
    assert (tmp_path / "rates.png").stat().st_size > 1000
    assert names["epoch"].epoch == 5
    assert names["training"]["optimizer"].lr == 3e-3 / 4


def commands():
    """Each `bitnet VERB ...` in a block of a page."""
    blocks = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = ((name, block) for name, text in TEXT.items() for block in blocks.findall(text))
    return [
        pytest.param(line, id=f"{name}: {line}")
        for name, block in found
        for line in re.findall(r"^bitnet .*$", block, re.MULTILINE)
    ]


@pytest.mark.parametrize("line", commands())
def test_the_command_line_knows_the_options_of_a_command(line):
    words = shlex.split(line)[1:]
    if words[0] != "help":
        assert parser_of(words[:1]).parse_args(words).verb == words[0]


def switches(parser):
    """Yield the switches of a parser and of those below it."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from switches(below)


@pytest.mark.parametrize("name", TEXT)
def test_the_switches_of_a_page_exist(name):
    """In a verb, or in a script of which the page may speak."""
    known = set(switches(parser_of(VERBS)))
    for folder in ("examples", "benchmarks", "tools", "bitnet/cli"):
        for path in (ROOT / folder).glob("*.py"):
            known |= set(re.findall(r'"(--[a-z-]+)"', path.read_text()))
    known |= {"--hypothesis-profile", "--check", "--self-test"}  # the last one of exported files
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT[name])) <= known


def test_the_readme_has_two_commands_that_set_everything_up():
    """`.ci/run` takes them from the README and runs them as typed."""
    lines = re.findall(r"^python3 -m venv .venv && .*$", README.read_text(), re.MULTILINE)
    assert [line.split(" && ")[-1] for line in lines] == [
        ".venv/bin/python examples/mnist_mlp.py",
        ".venv/bin/python -m pytest",
    ]
    assert "grep '^python3 -m venv .venv && ' README.md" in (ROOT / ".ci" / "run").read_text()


def test_the_table_of_the_readme_is_what_the_main_job_prints():
    head = "net                test        bytes   images/s"
    assert re.search(
        rf"^{head}\n(float twin|binary, latent|binary, frozen) ", README.read_text(), re.M
    )
