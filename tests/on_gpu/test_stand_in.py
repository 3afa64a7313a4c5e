"""The stand-in for CuPy: it rejects what CuPy rejects, and has nothing that CuPy lacks."""

import importlib.util
import inspect
import subprocess
import sys

import numpy as np
import pytest
import stand_in

from bitnet import kernels


@pytest.fixture
def cupy():
    with stand_in.installed() as module:
        yield module


REFUSED = {
    "conversion": lambda x, cupy: np.asarray(x),
    "a NumPy function": lambda x, cupy: np.concatenate([x, x]),
    "a NumPy ufunc": lambda x, cupy: np.exp(x),
    "a NumPy ufunc that writes": lambda x, cupy: np.add(np.ones(3), 1, out=x),
    "np.isfinite": lambda x, cupy: np.isfinite(x).all(),
    "np.where": lambda x, cupy: np.where(x > 0, 1, 0),
    "np.zeros_like": lambda x, cupy: np.zeros_like(x),
    "assignment to a NumPy array": lambda x, cupy: np.zeros(3).__setitem__(slice(None), x),
    "an operator with a NumPy array": lambda x, cupy: x + np.ones(3),
    "one with a NumPy array first": lambda x, cupy: np.ones(3) * x,
    "one without axes": lambda x, cupy: x * np.array(2.0),
    "in place": lambda x, cupy: x.__iadd__(np.ones(3)),
    "a product": lambda x, cupy: np.ones((2, 3)) @ x,
    "a function": lambda x, cupy: cupy.where(np.ones(3) > 0, x, x),
    "a ufunc": lambda x, cupy: cupy.maximum(x, np.ones(3)),
    "a ufunc of no array": lambda x, cupy: cupy.exp(1.0),
    "an index": lambda x, cupy: x[np.array([0, 1])],
    "an item": lambda x, cupy: x.__setitem__(0, np.ones(1)),
    "an argument that CuPy lacks": lambda x, cupy: x.max(initial=0),
    "one of a function": lambda x, cupy: cupy.concatenate([x], where=True),
    "a method that CuPy lacks": lambda x, cupy: x.setflags(write=False),
    "the flag that CuPy lacks": lambda x, cupy: x.flags.writeable,
    "bits along an axis": lambda x, cupy: cupy.packbits(x > 0, axis=-1),
    "bits of floats": lambda x, cupy: cupy.packbits(x),
    "an array as a Python index": lambda x, cupy: [7][x.argmax()],
    "an array as a count": lambda x, cupy: range(x.argmax()),
    "a rule of casting": lambda x, cupy: x.astype(np.float32, casting="safe"),
    "another size of what is not contiguous": lambda x, cupy: cupy.broadcast_to(x, (2, 3)).view(
        "u1"
    ),
    "numbers of its attribute data": lambda x, cupy: np.asarray(x.data, np.float64),
}


@pytest.mark.parametrize("way", REFUSED)
def test_it_refuses(cupy, way):
    x = cupy.asarray(np.ones(3))
    with pytest.raises((TypeError, AttributeError, NotImplementedError, ValueError)):
        REFUSED[way](x, cupy)
    assert x.get().tolist() == [1, 1, 1]


def test_it_computes(cupy):
    x = cupy.asarray(np.float32([[1, -2], [3, 4]]))
    y = np.float32(2) * x + 1.0
    y[0] -= x[1, 0]
    y **= 2
    assert (y.dtype, y.get().tolist()) == (np.float32, [[0, 36], [49, 81]])
    assert isinstance(x.sum(), cupy.ndarray)
    assert float(x.sum()) == 6
    assert [row.tolist() for row in x] == [[1, -2], [3, 4]]
    assert x[x > 2].tolist() == [3, 4]
    total = x.sum()
    total += 1
    assert int(total) == 7
    assert x.astype(np.float32, copy=False) is cupy.ascontiguousarray(x) is x


def test_a_numpy_call_in_a_kernel_is_found(cupy, monkeypatch):
    """With NumPy in place of `xp` each of these kernels fails."""
    with kernels.using("reference"):
        bits = kernels.pack(cupy.asarray(np.ones((2, 3))))
        assert kernels.count_flips(bits, bits) == 0
        for subject in ("pack", "rounding"):
            module = importlib.import_module(f"bitnet.kernels.reference.{subject}")
            monkeypatch.setattr(module, "array_module", lambda *arrays: np)
        with pytest.raises(TypeError):
            kernels.count_flips(bits, bits)
        with pytest.raises(TypeError):
            kernels.pack(cupy.asarray(np.ones((2, 3))))
        with pytest.raises(TypeError):
            kernels.round_gradient(cupy.asarray(np.ones((2, 3))), 8)


PROGRAM = """
import inspect, sys
sys.path.insert(0, {path!r})
import cupy, stand_in
for name, names in (*stand_in.FUNCTIONS.items(), ("windows", "x window_shape axis")):
    own = cupy.lib.stride_tricks.sliding_window_view if name == "windows" else getattr(cupy, name)
    there = inspect.signature(own).parameters
    kinds = {{own.kind for own in there.values()}}
    star = inspect.Parameter.VAR_POSITIONAL in kinds or inspect.Parameter.VAR_KEYWORD in kinds
    unknown = [word for word in names.split() if word not in there and word != "*" and not star]
    assert not unknown, (name, unknown)
for name in stand_in.UFUNCS.split():
    assert isinstance(getattr(cupy, name), cupy.ufunc), name
assert hasattr(cupy.add, "at")
for name, names in stand_in.METHODS.items():
    first = getattr(cupy.ndarray, name).__doc__.strip().partition("\\n")[0]
    assert all(word in first for word in names.replace("*", "").split()), (name, first)
extra = [name for name in vars(stand_in.Array) if not hasattr(cupy.ndarray, name)]
assert sorted(extra) == ["__del__", "_own", "_taken"], extra
assert not hasattr(cupy.ndarray, "setflags") and issubclass(cupy.cuda.memory.OutOfMemoryError,
                                                            MemoryError)
print("all there in", cupy.__version__)
"""


def test_it_offers_nothing_that_cupy_has_not():
    """Compare it with CuPy if that is installed, which needs no GPU."""
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    path = str(inspect.getfile(stand_in)).rpartition("/")[0]
    program = PROGRAM.format(path=path)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "all there" in done.stdout
