"""The choice of an implementation."""

import pytest

from bitnet import InputError, kernels


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


def test_numba_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install numba"), kernels.using("numba"):
        pass
    monkeypatch.setattr("bitnet.kernels.dispatch._chosen", None)
    assert kernels.implementation() == "reference"
