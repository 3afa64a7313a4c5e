"""Every public name has a docstring in numpydoc with a doctest; the README tells the truth."""

import importlib
import inspect
import pathlib
import pkgutil
import re

import numpy as np
import pytest

import bitnet

ROOT = pathlib.Path(bitnet.__file__).parent.parent


def public_names():
    for info in pkgutil.walk_packages(bitnet.__path__, "bitnet."):
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if getattr(value, "__module__", None) == info.name:
                yield pytest.param(value, id=f"{info.name}.{name}")


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
        for name, method in inspect.getmembers(value, inspect.isfunction):
            if not name.startswith("_") and method.__qualname__.startswith(value.__name__):
                assert inspect.getdoc(method), f"{name} has no docstring"
    else:
        parameters = list(inspect.signature(value).parameters)
        assert not parameters or "Parameters" in sections
    for parameter in parameters:
        assert re.search(rf"^.*\b{parameter.strip('*')}\b.* : ", doc, re.MULTILINE), parameter


def test_what_all_names_is_there():
    for info in pkgutil.walk_packages(bitnet.__path__, "bitnet."):
        module = importlib.import_module(info.name)
        assert all(hasattr(module, name) for name in getattr(module, "__all__", ()))
    assert all(hasattr(bitnet, name) for name in bitnet.__all__)


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
    model = bitnet.nn.models.binary_mlp(sizes, np.random.default_rng(0))
    bitnet.freeze(model).save("mnist_mlp.npz")
    sizes = {"width": 8, "units": 16, "weights": 4, "activations": 4}
    language = bitnet.nn.models.language_model(3, np.random.default_rng(0), **sizes)
    vocabulary = bitnet.data.Vocabulary(["<unk>", "<eos>", "the"], "words")
    bitnet.deploy.freeze_language_model(language, vocabulary).save("word_lstm_44.frozen.npz")
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
