"""The options of `bitnet train`: those of the table of settings, and its files."""

import itertools
import pathlib

from bitnet.cli.options import add_machine, check_folder
from bitnet.data.preparation import STEPS
from bitnet.errors import InputError
from bitnet.nn.models import names
from bitnet.training.settings import BINARY_ONLY, NEEDS, SETTINGS, check_value, complete

OF_OTHER = {
    "images": "--{} is of texts; leave it out, or name a text (--data ptb)",
    "texts": "--{} is of images; leave it out for a text",
}


def add_arguments(parser):
    """Give a parser the arguments of `bitnet train`."""
    parser.epilog = names.__doc__.partition("\n\n")[2].replace("\n\n", "\n")
    add = parser.add_argument
    for setting in SETTINGS.values():
        if setting.help is not None:
            add(f"--{_option(setting.name)}", **_kind(setting), help=setting.help)
    add_machine(parser)
    about = (
        "the checkpoint, written after each epoch (NET-SET.checkpoint, as "
        "mlp-512-512-embedded.checkpoint); with --validation, and of texts, the best epoch goes to "
        "FILE's name with .best"
    )
    add("--out", metavar="FILE", help=about)
    about = "resume the training in FILE (OUT), with its settings"
    add("--resume", nargs="?", const=True, metavar="FILE", help=about)
    about = "JSON lines: the settings, then the figures of each epoch"
    add("--log", metavar="FILE", help=about)
    add("--quiet", action="store_true", help="print nothing but errors")


def _option(name):
    """A setting's name as that of its option, without the dashes before it."""
    return name.replace("_", "-")


def _kind(setting):
    """What argparse has to know about the values of a setting."""
    if setting.kind is bool:
        return {"action": "store_true", "default": None}
    choices = setting.choices
    if isinstance(choices, dict):
        choices = tuple(dict.fromkeys(itertools.chain(*choices.values())))
    kind = {} if setting.kind is list else {"type": setting.kind}
    return kind | {"choices": choices, "metavar": setting.metavar}


def _with_dashes(error):
    """The sentence about a setting as one about its option."""
    name, _, rest = str(error).partition(" ")
    return f"--{_option(name)} {rest}" if name in SETTINGS else str(error)


def given_settings(args, task):
    """The settings that the arguments name, checked one by one for a task."""
    given = {name: getattr(args, name, None) for name in SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    if extra := [name for name in given if task not in SETTINGS[name].tasks]:
        raise InputError(OF_OTHER[task].format(_option(extra[0])))
    if "prepare" in given:
        given["prepare"] = [] if args.prepare == "none" else args.prepare.split(",")
        if unknown := [step for step in given["prepare"] if step not in STEPS]:
            raise InputError(f"--prepare has {unknown[0]!r:.40}; expected {', '.join(STEPS)}")
    for name in given.keys() & {"folder", "teacher"}:
        given[name] = str(pathlib.Path(given[name]).resolve())
    for name, value in given.items():
        try:
            check_value(name, value, task)
        except InputError as error:
            raise InputError(_with_dashes(error)) from None
    if given.get("float") and (extra := sorted(BINARY_ONLY & given.keys())):
        raise InputError(f"--{extra[0]} is of nets of few bits; leave it out with --float")
    for name, needed in NEEDS.items():
        if name in given and needed not in given and not args.resume:
            raise InputError(f"--{_option(name)} is of --{needed}; give both, or neither")
    return given


def new_settings(given):
    """The settings of a new training: what is given, and the recipe's."""
    try:
        settings = complete(given)
    except InputError as error:
        raise InputError(_with_dashes(error)) from None
    if "size" in settings:  # of images
        check_folder(settings["data"], settings["folder"])
        extra = sorted({"size", "channels"} & given.keys())
        if settings["data"] != "folder" and extra:
            raise InputError(f"--{extra[0]} applies only to --data folder; remove it")
    return settings
