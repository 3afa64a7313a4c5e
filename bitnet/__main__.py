"""The command line, `bitnet VERB`, the same as `python -m bitnet VERB`."""

import argparse

import bitnet
from bitnet.backend import status
from bitnet.kernels.dispatch import implementation, numba_problem

__all__ = ["main"]


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
    verbs = parser.add_subparsers(title="verbs", dest="verb", required=True)
    verbs.add_parser("status", help="versions, the kernels in use, and what is missing and why")
    parser.parse_args(arguments)
    problem = numba_problem()
    kernels = f"{implementation()}, the slow ones: {problem}" if problem else implementation()
    facts = [("bitnet", bitnet.__version__), *status(), ("kernels", kernels)]
    facts += [(f"data {name}", where) for name, where in bitnet.data.available()]
    for name, fact in facts:
        print(f"{name:20} {fact}")


def command():
    """The console script."""
    bitnet.run(main)


if __name__ == "__main__":
    command()
