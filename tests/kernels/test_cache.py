"""The cache of compiled kernels: what is damaged or cannot be written counts as no cache."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba", reason="there is no cache without Numba")
from bitnet.kernels.cpu import jit

PROGRAM = """if True:
    import sys, numpy as np
    from bitnet.kernels.cpu.jit import jit
    if sys.argv[1:]:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    from bitnet.kernels import pack
    print(pack(np.ones((2, 70))).signs().sum())
"""


def run(folder, *words):
    """Return the numbers of warnings about the cache, and of all, of a program with a cache."""
    command, environment = [sys.executable, "-c", PROGRAM, *words], {"NUMBA_CACHE_DIR": str(folder)}
    out = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert (out.returncode, out.stdout) == (0, "140\n"), out.stderr
    return out.stderr.count("the cache of compiled kernels"), out.stderr.count("Warning")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return a folder with a cache."""
    folder = tmp_path_factory.mktemp("cache")
    assert run(folder) == (0, 0)
    return folder


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("size", [0, 200])
def test_a_cut_off_cache_is_made_again(filled, tmp_path, ending, size):
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    files = list(pathlib.Path(tmp_path).rglob(f"*.{ending}"))
    assert files
    for file in files:
        os.truncate(file, size)
    assert run(tmp_path) == (1, 1)
    assert run(tmp_path) == (0, 0)


def test_cached_code_is_loaded_without_what_only_compilation_needs(filled, monkeypatch):
    """A second process imports neither Numba's algebra nor the kernels of convolutions."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(filled))
    words = [sys.executable, "-c", PROGRAM + "    print(*sys.modules)\n"]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    loaded = set(out.split())
    assert {"bitnet.kernels.cpu.pack", "numba"} <= loaded
    assert not {"bitnet.kernels.cpu.conv", "numba.np.linalg", "numba.typed.dictimpl"} & loaded


def test_read_only_arrays_are_compiled_for_once():
    """They use the code for other arrays, whichever of the two comes first."""

    def copy(x, y):
        for i in range(len(x)):
            y[i] = x[i]

    x = np.arange(3.0)
    for order in ("before", "after"):
        function = jit.jit(copy, f"copy_of_read_only_{order}")
        for writeable in (True, False) if order == "after" else (False, True):
            x.flags.writeable, y = writeable, np.zeros(3)
            for _ in range(2):
                function(x, y)
            assert y.tolist() == [0, 1, 2]
            assert len(function.signatures) == 1


def test_a_full_disk_is_no_error(tmp_path):
    pytest.importorskip("resource", reason="limits on the size of files need Unix")
    assert run(tmp_path, "full") == (1, 1)
    assert run(tmp_path) == (0, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_loading_comes_after_it(monkeypatch, number):
    """Callbacks of LLVM, in which Python runs, would swallow the exception of the handler."""

    class Stopped(BaseException):
        pass

    def handler(number, frame):
        raise Stopped

    def double(x):
        return 2 * x

    function = jit.jit(double, "double_after_a_signal")
    load, seen = function._cache.load_overload, []

    def loading(*key):
        try:
            signal.raise_signal(number)
            seen.append("loaded")
            return load(*key)
        except Stopped:
            seen.append("swallowed")

    monkeypatch.setattr(function._cache, "load_overload", loading)
    before = signal.signal(number, handler)
    try:
        with pytest.raises(Stopped):
            function(np.float64(2.0))
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert seen == ["loaded"]
    assert function(np.float64(2.0)) == 4.0
