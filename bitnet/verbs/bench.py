"""`bitnet bench`: a short stopwatch for this machine."""

from bitnet.bench import report
from bitnet.verbs.options import add_threads, use_threads
from bitnet.verbs.status import facts

__all__ = ["add_arguments", "main"]

HELP = "a short stopwatch: float, packed, frozen"
SHOWN = ("processor", "numpy", "numba", "kernels", "threads", "blas")


def add_arguments(parser):
    """Give a parser the arguments of the verb.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the verb.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> parser.parse_args(["--threads", "2"]).threads
    2
    """
    add_threads(parser)


def main(args):
    """Print the machine and the speeds.

    Parameters
    ----------
    args : argparse.Namespace
        What `add_arguments` asks for.

    Raises
    ------
    InputError
        If the number of threads is out of its range.

    Examples
    --------
    >>> import argparse
    >>> import bitnet
    >>> try:
    ...     main(argparse.Namespace(threads=0))
    ... except bitnet.InputError:
    ...     print("refused")
    refused
    """
    use_threads(args.threads)
    for name, fact in facts():
        if name in SHOWN:
            print(f"{name:20} {fact}")
    for line in report():
        print(line, flush=True)
