"""The command line, `bitnet VERB`, the same as `python -m bitnet VERB`."""

import argparse
import sys

import bitnet
from bitnet.cli import data, evaluate, freeze, inspect, plot, predict, run, status, summary, train

__all__ = ["main"]

# in the order of `bitnet --help`
MODULES = status, data, train, evaluate, freeze, predict, summary, inspect, plot
VERBS = {module.__name__.rpartition(".")[2]: module for module in MODULES}


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
    parser = _Parser(prog="bitnet", description=bitnet.__doc__.partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"bitnet {bitnet.__version__}")
    verbs = parser.add_subparsers(title="verbs", dest="verb", required=True, metavar="VERB")
    for name, module in VERBS.items():
        about = module.__doc__.partition(": ")[2].strip()
        parts = {"help": module.HELP, "description": about}
        shown = argparse.RawDescriptionHelpFormatter  # the lines of an epilog stay as they are
        module.add_arguments(verbs.add_parser(name, **parts, formatter_class=shown))
    args = parser.parse_args(arguments)
    VERBS[args.verb].main(args)


class _Parser(argparse.ArgumentParser):
    """A parser whose refusal is one line."""

    def error(self, message):
        print(f"error: {' '.join(message.split())}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(2)


def command():
    """The console script."""
    run(main)


if __name__ == "__main__":
    command()
