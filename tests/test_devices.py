"""Threads and the facts of an installation."""

import numpy as np
import pytest
import threadpoolctl

import bitnet
from bitnet import InputError
from bitnet.arrays import array_module


def test_set_num_threads_reaches_the_blas():
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    if not pools:
        pytest.skip("threadpoolctl knows no BLAS here")
    with threadpoolctl.threadpool_limits():
        for n in (1, 2):
            bitnet.set_num_threads(n)
            pools = threadpoolctl.threadpool_info()
            assert {p["num_threads"] for p in pools if p["user_api"] == "blas"} == {n}


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True, 1025, 10**30])
def test_invalid_numbers_of_threads_are_refused(n):
    with pytest.raises(InputError, match="1 to 1024"):
        bitnet.set_num_threads(n)


def test_threads_without_threadpoolctl(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install threadpoolctl"):
        bitnet.set_num_threads(1)
    missing = dict(bitnet.show_versions())["numba"]
    assert missing.startswith("not installed; needed for the fast kernels")


def test_the_array_decides_the_library():
    assert array_module(np.ones(3), 2.0) is np
