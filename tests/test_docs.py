"""Every public name has a docstring in numpydoc with a doctest; the README tells the truth."""

import ast
import importlib
import inspect
import pathlib
import re

import numpy as np
import pytest

import bitnet

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
        and not ast.get_docstring(node)
    ]
    assert not lacking


def test_the_names_at_the_top_are_there():
    assert all(hasattr(bitnet, name) for name in bitnet.__all__)
    assert len(set(bitnet.__all__) - set(bitnet.ROOMS.split())) == 13


README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("line", re.findall(r"^\|.*\|$", README, re.MULTILINE))
def test_the_map_of_the_readme_names_what_there_is(line):
    for path in re.findall(r"`([\w/]+\.py)`", line):
        assert (ROOT / path).exists() or (ROOT / "bitnet" / path).exists(), path
    for path, names in re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", line):
        module = importlib.import_module("bitnet." + path.removesuffix(".py").replace("/", "."))
        for name in re.findall(r"`([\w.]+)`", names):
            value = module
            for part in name.split("."):
                value = getattr(value, part)


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = [784, 512, 512, 512, 10]
    model = bitnet.nn.models.binary_mlp(sizes, rng=np.random.default_rng(0))
    bitnet.freeze(model).save("mnist_mlp.npz")
    sizes = {"width": 8, "units": 16, "weight_quantizer": 4, "activation_quantizer": 4}
    language = bitnet.nn.models.language_model(3, rng=np.random.default_rng(0), **sizes)
    vocabulary = bitnet.data.Vocabulary(["<unk>", "<eos>", "the"], "words")
    bitnet.freeze(language, vocabulary=vocabulary).save("word_lstm_44.frozen.npz")
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    exec("\n".join(blocks), names := {})
    assert names["net"].layers[0].bits.signs().shape == (512, 784)
    assert names["scores"].shape == (1, 3)


def test_the_readme_has_two_commands_that_set_everything_up():
    """`.ci/run` takes them from the README and runs them as typed."""
    commands = re.findall(r"^python3 -m venv .venv && .*$", README, re.MULTILINE)
    assert [command.split(" && ")[-1] for command in commands] == [
        ".venv/bin/python examples/mnist_mlp.py",
        ".venv/bin/python -m pytest",
    ]
    assert "grep '^python3 -m venv .venv && ' README.md" in (ROOT / ".ci" / "run").read_text()
