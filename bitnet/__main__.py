"""The command line, `bitnet VERB`, the same as `python -m bitnet VERB`."""

import argparse

import bitnet
from bitnet import kernels
from bitnet.backend import blas, status
from bitnet.bench import report
from bitnet.kernels.dispatch import implementation, numba_problem

__all__ = ["facts", "kernels_in_use", "main"]


def main(arguments=None):
    """Run one verb of the command line.

    Parameters
    ----------
    arguments : list of str, optional
        The words behind `bitnet`; those of the process by default.

    Raises
    ------
    SystemExit
        If the words are no command.

    Examples
    --------
    >>> main(["status"])  # doctest: +ELLIPSIS
    bitnet ...
    """
    parser = argparse.ArgumentParser(prog="bitnet", description=bitnet.__doc__.partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"bitnet {bitnet.__version__}")
    verbs = parser.add_subparsers(title="verbs", dest="verb", required=True)
    verbs.add_parser("status", help="versions, the kernels in use, and what is missing and why")
    bench = verbs.add_parser("bench", help="a short stopwatch: float, packed, frozen")
    bench.add_argument("--threads", type=int, help="of the kernels and the BLAS (all processors)")
    words = parser.parse_args(arguments)
    if words.verb == "status":
        for name, fact in facts():
            print(f"{name:20} {fact}")
        return
    if words.threads is not None:
        bitnet.set_num_threads(words.threads)
    shown = ("processor", "numpy", "numba", "kernels", "threads", "blas")
    for name, fact in facts():
        if name in shown:
            print(f"{name:20} {fact}")
    for line in report():
        print(line, flush=True)


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
    found.append(("threads", f"{kernels.num_threads()}, of Python's, which sleep between calls; "
                  "Numba's own pool (its threading layer) is not used"))  # fmt: skip
    found.append(("blas", "; ".join(blas()) or "unknown, as threadpoolctl is not installed"))
    return found + [(f"data {name}", where) for name, where in bitnet.data.available()]


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


def command():
    """The console script."""
    bitnet.run(main)


if __name__ == "__main__":
    command()
