"""Selection of an implementation."""

import ast
import importlib
import pathlib

import pytest

from bitnet import InputError, kernels
from bitnet.__main__ import main
from bitnet.kernels import reference


def test_using_puts_the_choice_back():
    before = kernels.implementation()
    with kernels.using("reference"):
        assert kernels.implementation() == "reference"
        with pytest.raises(RuntimeError), kernels.using(before):
            raise RuntimeError
        assert kernels.implementation() == "reference"
    assert kernels.implementation() == before


def test_an_unknown_implementation_is_refused():
    with pytest.raises(InputError, match="fortran"), kernels.using("fortran"):
        pass


def test_numba_that_cannot_be_imported_is_named_and_done_without(monkeypatch, capsys):
    found = importlib.import_module

    def broken(name):
        if name == "bitnet.kernels.cpu":
            raise ImportError("Numba needs NumPy 2.1 or less")
        return found(name)

    monkeypatch.setattr("bitnet.kernels.dispatch._chosen", None)
    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(InputError, match=r"imported \(Numba needs"), kernels.using("numba"):
        pass
    assert kernels.implementation() == "reference"
    main(["status"])
    assert "reference, slow, in NumPy: Numba cannot be imported" in capsys.readouterr().out


def test_numba_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install numba"), kernels.using("numba"):
        pass
    monkeypatch.setattr("bitnet.kernels.dispatch._chosen", None)
    assert kernels.implementation() == "reference"


def test_every_definition_that_is_called_is_there():
    """Every `reference.NAME` in the code exists, also in calls that no test makes."""
    for path in pathlib.Path(kernels.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                named = node.value.id == "reference"
                assert not named or hasattr(reference, node.attr), f"{path.name}: {node.attr}"
