"""`bitnet completion`: print a shell script that completes verbs and options.

examples:
  bitnet completion bash > ~/.local/share/bash-completion/completions/bitnet
  bitnet completion bash | sudo tee /etc/bash_completion.d/bitnet
  bitnet completion zsh > ~/.zfunc/_bitnet     # in a folder of your fpath
  bitnet completion tcsh > ~/.bitnet.tcsh     # then source it in ~/.tcshrc
"""

import importlib.util
from argparse import Namespace

from bitnet.cli.parser import VERBS, parser_of
from bitnet.errors import InputError


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    about = "bash, zsh or tcsh"
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"), help=about)


def main(args: Namespace) -> None:
    """Print the script."""
    if importlib.util.find_spec("shtab") is None:
        raise InputError("completion needs shtab; run `pip install shtab`")
    import shtab

    parser = parser_of(VERBS)
    _complete_files(parser, shtab.FILE)
    print(shtab.complete(parser, args.shell))


def _complete_files(parser, files):
    """Have each argument that takes any text complete the names of files."""
    for action in parser._actions:
        if isinstance(action.choices, dict):  # of subparsers
            for own in action.choices.values():
                _complete_files(own, files)
        elif action.choices is None and action.type is None and action.nargs != 0:
            action.complete = files
