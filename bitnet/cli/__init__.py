"""The command line: a module for each verb, with `HELP`, `add_arguments` and `main`.

`add_arguments(parser)` gives an `argparse.ArgumentParser` the arguments of the verb, and
`main(args)` does what they say; it raises InputError, OSError or KeyboardInterrupt, which
`run` turns into one line and an exit code.
"""

from bitnet.cli.command import run

__all__ = ["run"]
