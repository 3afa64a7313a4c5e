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
from bitnet.kernels import threads
from bitnet.kernels.dispatch import numba_problem

THREADS = "{} Python threads, which sleep between calls; the threading layer of Numba is not used"


def add_arguments(parser):
    """Add nothing: the verb has no arguments."""


def main(args: Namespace) -> None:
    """Print the facts."""
    for name, fact in facts():
        print(f"{name:20} {fact}")


def facts():
    """Return pairs of names and values that `bitnet status` prints."""
    found = [("bitnet", bitnet.__version__), *show_versions(), ("kernels", kernels_in_use())]
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
