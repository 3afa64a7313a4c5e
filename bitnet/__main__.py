"""The command line, `bitnet VERB`, the same as `python -m bitnet VERB`.

examples:
  bitnet status
  bitnet train --net mlp:512,512 --epochs 5 --out net.checkpoint
  bitnet freeze net.checkpoint
  bitnet evaluate net.npz
  bitnet help train     # the arguments of a verb
"""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb of the command line.

    Parameters
    ----------
    arguments : list of str, optional
        The words after `bitnet`; by default those of the process.

    Raises
    ------
    SystemExit
        After `--help` and `--version`, and if the arguments are invalid.

    Examples
    --------
    >>> main(["status"])  # doctest: +ELLIPSIS
    bitnet ...
    """
    from bitnet.cli.parser import VERBS, module_of, parser_of

    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    parser = parser_of(VERBS.keys() & words[:1])
    parser.epilog = (__doc__ or "").partition("\n\n")[2]
    args = parser.parse_args(words)
    module_of(args.verb).main(args)


def command() -> None:
    """Run the console script; Ctrl-C during the imports ends it like any other."""
    try:
        from bitnet.cli import run

        run(main)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    command()
