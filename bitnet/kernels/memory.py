"""The memory of this machine: its caches, aligned arrays, and freed memory that is kept."""

import ctypes
import functools
import math
import os
import pathlib
import sys

import numpy as np

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of mallopt, as in glibc's malloc.h
LARGEST = 1 << 30  # bytes of the largest array that reuses freed memory
OLD_LARGEST = 1 << 25  # the maximum in older versions of glibc

LINE = 64  # bytes of a cache line, and of the largest register
HUGE_PAGE = 1 << 21  # bytes; for arrays of 4 MB and more, for which NumPy asks for such pages
CACHES = 32 << 10, 512 << 10, 8 << 20  # bytes of L1d, L2, L3 where the system does not tell
CPUS = pathlib.Path("/sys/devices/system/cpu")  # Linux
UNITS = {"K": 10, "M": 20, "G": 30}
PARTS = "level", "type", "size"  # files of a cache


@functools.cache
def cache_sizes() -> tuple[int, int, int]:
    """Return the bytes of the L1 data, L2 and L3 caches of the processor, as Linux reports them.

    On a machine with several kinds of cores, they are those of the first core that this process
    may run on.  A size that the system does not report is replaced by that in `CACHES`.
    """
    found = found_caches()
    l1, l2, l3 = (found.get(level, size) for level, size in enumerate(CACHES, 1))
    return l1, l2, l3


@functools.cache
def found_caches(cpus=CPUS):
    """Return the bytes of the data caches that the system reports, by level."""
    affinity = getattr(os, "sched_getaffinity", None)
    first = min(affinity(0)) if affinity else 0
    found = {}
    for index in sorted(cpus.glob(f"cpu{first}/cache/index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in PARTS)
            if kind != "Instruction" and int(size[:-1]):
                found[int(level)] = int(size[:-1]) << UNITS[size[-1]]
        except (OSError, ValueError, LookupError):
            continue
    return found


def aligned_empty(shape, dtype, align=LINE):
    """Return an uninitialized array that begins at a multiple of `align` bytes.

    NumPy's large arrays begin at 16 modulo 64, so that each 64-byte load reads two cache lines.
    Arrays of 4 MB and more that begin at a multiple of `HUGE_PAGE` consist of such pages only.
    """
    return _aligned(np.empty, shape, dtype, align)


def aligned_zeros(shape, dtype, align=LINE):
    """Return an array of zeros that begins at a multiple of `align` bytes."""
    return _aligned(np.zeros, shape, dtype, align)


def _aligned(make, shape, dtype, align):
    """Return the aligned part of a slightly larger array."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = make(n_bytes + align, np.uint8)
    skipped = -memory.__array_interface__["data"][0] % align
    return np.ndarray(shape, dtype, memory, skipped)


def keep_memory() -> bool:
    """Keep freed memory in the process, for programs that allocate the same sizes repeatedly.

    The C library returns arrays of some megabytes to the system as soon as they are freed.  The
    next array of that size then needs new pages; each one costs a page fault and is filled with
    zeros, which takes much of the time of a training step.  After this call the process keeps up
    to 2 GiB of freed memory.  It works with glibc (Linux); elsewhere it does nothing.

    Returns
    -------
    bool
        Whether the C library accepted it.

    Examples
    --------
    >>> keep_memory() in (True, False)
    True
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    taken = mallopt(MMAP_THRESHOLD, LARGEST) or mallopt(MMAP_THRESHOLD, OLD_LARGEST)
    return bool(taken and mallopt(TRIM_THRESHOLD, (1 << 31) - 1))
