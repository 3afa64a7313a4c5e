"""The parser of the command line: verbs imported on first use, their help, and refusals."""

import argparse
import difflib
import importlib
import sys

import bitnet
from bitnet.errors import InputError, check_choice

# by title, in the order of `bitnet --help`; each verb is a module of this package
GROUPS = {
    "train and use a net": {
        "train": "train a net and write a checkpoint after each epoch",
        "lr-find": "train with rising learning rates, plot the loss, and suggest a rate",
        "evaluate": "measure the accuracy or the perplexity of a net, and its speed",
        "freeze": "convert a checkpoint into a small file of bits and integer thresholds",
        "predict": "classify images, or continue a text",
        "export": "print a frozen net in C, or as one file of Python",
    },
    "look inside": {
        "runs": "compare trainings by their logs or checkpoints in one table",
        "summary": "list layers, weights and bytes; estimate energy and operations",
        "inspect": "show the weights and thresholds of a layer",
        "plot": "draw training curves, weights, quantizers or a confusion matrix",
    },
    "set up": {
        "status": "show versions, the kernels in use, and what is missing and why",
        "data": "list, verify and download data sets",
        "completion": "print a shell script that completes verbs and options",
    },
}
VERBS = {verb: about for verbs in GROUPS.values() for verb, about in verbs.items()}
COMPARE = (
    "unknown verb compare; `bitnet runs` compares trainings, and `bitnet freeze --check N` a "
    "frozen net with the trained one"
)
KINDS = {int: "a whole number", float: "a number"}


def parser_of(verbs):
    """Return the parser of `bitnet`, with the arguments of these verbs only."""
    parser = _TopParser(prog="bitnet", description=(bitnet.__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"bitnet {bitnet.__version__}")
    own = {"dest": "verb", "metavar": "VERB", "required": True, "parser_class": Parser}
    subparsers = parser.add_subparsers(**own)
    for verb, about in VERBS.items():
        if verb not in verbs:
            subparsers.add_parser(verb, help=about)
            continue
        module = module_of(verb)
        description, _, epilog = (module.__doc__ or "").partition(": ")[2].partition("\n\n")
        parts = {"description": description, "epilog": epilog}
        module.add_arguments(subparsers.add_parser(verb, help=about, **parts))
    return parser


def module_of(verb):
    """Import the module of a verb."""
    return importlib.import_module(f"bitnet.cli.{verb.replace('-', '_')}")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with the default of each option that has one."""

    def _get_help_string(self, action):
        has_none = action.nargs == 0 or action.default in (None, argparse.SUPPRESS)
        said = has_none or "default: " in action.help
        return action.help if said else f"{action.help}; default: %(default)s"


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, with the nearest option or choice."""

    def __init__(self, description="", **parts):
        description = description[:1].upper() + description[1:]
        parts |= {"allow_abbrev": False, "formatter_class": _Formatter}
        super().__init__(description=description, **parts)

    def error(self, message):
        """Print one line and exit with code 2."""
        message = message.replace(": expected one argument", " needs a value")
        message = " ".join(message.removeprefix("argument ").split())
        hint = "" if message.endswith("?") else f"; see `{self.prog} --help`"
        print(f"error: {message}{hint}", file=sys.stderr)
        raise SystemExit(2)

    def parse_known_args(self, args=None, namespace=None):
        """Parse, and refuse unknown options and what is left over."""
        known = [*self._option_string_actions]
        for word in args:
            option = word.partition("=")[0]
            if word == "--" or (self._subparsers and not word.startswith("-")):
                break  # what follows belongs to a verb, or is no option
            if word.startswith("--") and option not in known:
                near = [name for name in known if name.startswith(option)]
                words, own = [name.removeprefix("--") for name in known], option[2:]
                close = difflib.get_close_matches(own, words, 1)
                close = close or [name for name in words if name[:4] == own[:4]]
                near = near or [f"--{name}" for name in close]
                hint = f"; did you mean {near[0]}?" if near else ""
                self.error(f"unknown option {option:.60}{hint}")
        namespace, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(f"unexpected argument {extra[0]!r:.60}")
        return namespace, []

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            name = action.option_strings[0] if action.option_strings else action.metavar
            if value == "compare" and "runs" in action.choices:
                self.error(COMPARE)
            try:
                check_choice(None, [*map(str, action.choices)], **{name: str(value)})
            except InputError as error:
                self.error(str(error))

    def _get_value(self, action, text):
        try:
            return super()._get_value(action, text)
        except argparse.ArgumentError:
            name, kind = action.option_strings[0], KINDS[action.type]
            self.error(f"{name} is {text!r:.60}; expected {kind}")


class _TopParser(Parser):
    """The parser of `bitnet`, whose help lists the verbs by group."""

    def format_help(self):
        """Return the verbs and examples."""
        lines = ["usage: bitnet [--help] [--version] VERB ...", "", self.description]
        for title, group in GROUPS.items():
            lines += [f"\n{title}:", *(f"  {verb:12} {about}" for verb, about in group.items())]
        return "\n".join([*lines, "", self.epilog or ""])
