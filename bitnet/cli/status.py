"""`bitnet status`: show versions, the kernels in use, and what is missing and why.

examples:
  bitnet status
  bitnet status | grep kernels     # why is training slow?
  bitnet status | grep cupy     # is there a GPU?
  bitnet status | grep data     # which data sets are there?
"""

import importlib
from argparse import Namespace

import bitnet
from bitnet import kernels
from bitnet.data import available, available_texts
from bitnet.devices import blas, show_versions
from bitnet.kernels import memory, threads
from bitnet.kernels.dispatch import numba_problem

THREADS = "{} Python threads, which sleep between calls; the threading layer of Numba is not used"
# how many times as fast as float32 in NumPy, for 1000 x 4096 x 4096 on one thread of a Zen 4:
# benchmarks/results/kernels.txt; a level that is not listed is not measured
FACTORS = {
    "avx512": {"signs": 22, "2 bits": 10, "3 bits": 8, "4 bits": 8, "pixels": 8, "gradients": 8},
    "avx2": {"signs": 7, "2 bits": 3, "4 bits": 3, "pixels": 3, "gradients": 3},
    "portable": {"signs": 5.5},
}


def add_arguments(parser):
    """Add nothing: the verb has no arguments."""


def main(args: Namespace) -> None:
    """Print the facts."""
    for name, fact in facts():
        print(f"{name:20} {fact}")


def facts():
    """Return pairs of names and values that `bitnet status` prints."""
    found = [("bitnet", bitnet.__version__), *show_versions(), ("kernels", kernels_in_use())]
    found += [("good for", good_for()), ("caches", caches())]
    found.append(("threads", THREADS.format(threads.num_threads())))
    found.append(("blas", "; ".join(blas()) or "unknown; threadpoolctl is not installed"))
    sets = [*available(), *available_texts()]
    return found + [(f"data {name}", where) for name, where in sets]


def kernels_in_use():
    """The kernels in use and the reason, in words."""
    problem = numba_problem()
    if problem or kernels.implementation() == "reference":
        return "reference, slow, in NumPy" + (f": {problem}" if problem else "")
    cpu = importlib.import_module("bitnet.kernels.cpu")  # which needs Numba
    return f"numba, level {cpu.level()}: {cpu.level_reason()}"


def good_for():
    """What the kernels in use are good for, in words."""
    if kernels.implementation() == "reference":
        return "tests and small nets; the fast kernels need Numba"
    name = importlib.import_module("bitnet.kernels.cpu").level()
    if name not in FACTORS:
        return f"not measured at level {name}; docs/speed.md has the other levels"
    first, *others = (f"{what} {factor:g}" for what, factor in FACTORS[name].items())
    words = ", ".join([f"{first} times as fast as float32 in NumPy", *others])
    return f"products of {words} (one thread of a Zen 4; docs/speed.md)"


def caches():
    """The sizes of the caches, and whether the system reports them, in words."""
    found, words = memory.found_caches(), []
    for level, size in enumerate(memory.cache_sizes(), 1):
        unit, name = (1 << 20, "MiB") if size >= 1 << 20 else (1 << 10, "KiB")
        taken = "" if level in found else " (not reported, assumed)"
        words.append(f"L{level} {size / unit:g} {name}{taken}")
    return ", ".join(words)
