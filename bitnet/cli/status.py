"""`bitnet status`: versions, the kernels in use, and what is missing and why."""

import bitnet
from bitnet.data import available, available_texts
from bitnet.devices import blas, status
from bitnet.kernels import threads
from bitnet.kernels.dispatch import implementation, numba_problem

__all__ = ["facts", "kernels_in_use"]

HELP = "versions, the kernels in use, and what is missing and why"


def add_arguments(parser):
    """The verb has none."""


def main(args):
    """Print the facts."""
    for name, fact in facts():
        print(f"{name:20} {fact}")


def facts():
    """What `bitnet status` prints.

    Returns
    -------
    list of (str, str)
        The name of a thing, and what there is to say about it.

    Examples
    --------
    >>> dict(facts())["bitnet"] == bitnet.__version__
    True
    """
    found = [("bitnet", bitnet.__version__), *status(), ("kernels", kernels_in_use())]
    found.append(
        (
            "threads",
            f"{threads.num_threads()}, of Python's, which sleep between calls; "
            "Numba's own pool (its threading layer) is not used",
        )
    )
    found.append(("blas", "; ".join(blas()) or "unknown, as threadpoolctl is not installed"))
    sets = [*available(), *available_texts()]
    return found + [(f"data {name}", where) for name, where in sets]


def kernels_in_use():
    """Which kernels run, and why, in words.

    Examples
    --------
    >>> with kernels.using("reference"):
    ...     kernels_in_use()
    'reference, the slow ones, in NumPy'
    """
    if problem := numba_problem():
        return f"reference, the slow ones, in NumPy: {problem}"
    if implementation() == "reference":
        return "reference, the slow ones, in NumPy"
    from bitnet.kernels.cpu import level, level_reason

    return f"numba, level {level()}: {level_reason()}"
