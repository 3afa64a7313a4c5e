"""What the system says about caches, and arrays that begin at a multiple of some bytes."""

import os

import numpy as np
import pytest

from bitnet import kernels
from bitnet.kernels import memory
from bitnet.kernels.memory import CACHES, HUGE_PAGE, aligned_empty, aligned_zeros


def caches(folder, *indices):
    """Write the files of the first processor: level, type and size of each cache."""
    first = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    for i, facts in enumerate(indices):
        index = folder / f"cpu{first}" / "cache" / f"index{i}"
        index.mkdir(parents=True)
        for name, fact in zip(memory.PARTS, facts, strict=True):
            (index / name).write_text(f"{fact}\n")


def test_caches_are_read_from_the_system(tmp_path):
    caches(
        tmp_path,
        ("1", "Data", "48K"),
        ("1", "Instruction", "64K"),
        ("2", "Unified", "2048K"),
        ("3", "Unified", "260M"),
    )
    assert memory.found_caches(tmp_path) == {1: 48 << 10, 2: 2 << 20, 3: 260 << 20}


def test_caches_that_cannot_be_read_are_left_out(tmp_path):
    caches(tmp_path, ("1", "Data", "0K"), ("2", "Unified", "many"), ("x", "Unified", "1M"))
    (next(tmp_path.glob("*/cache")) / "index9").mkdir()  # without files
    assert memory.found_caches(tmp_path) == {}
    assert memory.found_caches(tmp_path / "none") == {}


def test_sizes_that_the_system_does_not_tell_have_defaults(monkeypatch):
    monkeypatch.setattr(memory, "found_caches", lambda: {2: 5 << 20})
    assert memory.cache_sizes.__wrapped__() == (CACHES[0], 5 << 20, CACHES[2])


@pytest.mark.parametrize("align", [64, HUGE_PAGE])
@pytest.mark.parametrize("shape", [(0,), (3, 0, 5), (1,), (7, 129), (600, 1000, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_arrays_begin_at_a_multiple(shape, dtype, align):
    for make in (aligned_empty, aligned_zeros):
        x = make(shape, dtype, align)
        assert (x.shape, x.dtype) == (shape, dtype)
        assert x.ctypes.data % align == 0 or not x.size
        assert x.flags.c_contiguous and x.flags.writeable
    assert not x.any()


@pytest.mark.skipif(
    kernels.implementation() == "reference", reason="the layouts belong to the compiled kernels"
)
def test_layouts_of_weights_are_aligned():
    """The three axes or more of a layout are those that registers are loaded from."""
    rng = np.random.default_rng(0)
    for m, n in ((33, 70), (64, 128), (2048, 2048)):
        weight = kernels.prepare(kernels.pack(rng.standard_normal((m, n), np.float32)))
        pixels = rng.integers(0, 256, (2, n), dtype=np.uint8)
        kernels.xnor_gemm(kernels.pack(pixels > 99), weight)
        kernels.plane_gemm(pixels, weight)
        found = [x for x in arrays_of([*weight.layouts.values()]) if x.ndim >= 3]
        assert len(found) == len(weight.layouts)
        assert [x.ctypes.data % 64 for x in found] == [0] * len(found)


def arrays_of(x):
    """Yield the arrays in a list or an object, at any depth."""
    if isinstance(x, np.ndarray):
        yield x
    inner = x if isinstance(x, (list, tuple)) else getattr(x, "__dict__", {}).values()
    for own in inner:
        yield from arrays_of(own)
