"""The options of `bitnet train`: those of the table of settings, and its files."""

import itertools
import pathlib

from bitnet.cli.options import Sets, add_machine, check_folder, located
from bitnet.data import DATASETS, TEXTS
from bitnet.data.preparation import STEPS
from bitnet.errors import InputError
from bitnet.training.building import complete
from bitnet.training.settings import BINARY_ONLY, COMPUTED, MAY_CHANGE, NEEDS, SETTINGS, check_value

GROUPS = "net", "data", "bits", "optimizer", "distillation", "language models"
OF_OTHER = {
    "images": "--{} applies only to text data sets; remove it, or choose one, such as --data ptb",
    "texts": "--{} applies only to images; remove it, or choose a net and a data set of images",
}


def add_settings(parser, without=()):
    """Add the options of the table of settings, but those named in `without`."""
    for title in GROUPS:
        group = parser.add_argument_group(title)
        for setting in SETTINGS.values():
            if setting.group == title and setting.name not in without:
                about = setting.help + _default(setting)
                group.add_argument(f"--{_option(setting.name)}", **_kind(setting), help=about)


def add_arguments(parser):
    """Add the arguments of `bitnet train` to a parser."""
    parser.usage = "bitnet train [OPTION ...]"
    add_settings(parser)
    about = (
        "train once with each of these seeds, such as 0,1,2 or 0-2, write NAME.seed0.checkpoint "
        "and so on, and print mean and deviation"
    )
    parser.add_argument("--seeds", metavar="SEEDS", help=about)
    add = parser.add_argument_group("files").add_argument
    about = (
        "write the checkpoint here after each epoch, and the best epoch, with --validation or for "
        "texts, to NAME.best.checkpoint; default: NET-SET.checkpoint, such as "
        "mlp-512-512-embedded.checkpoint"
    )
    add("--out", metavar="NAME.checkpoint", help=about)
    about = "resume the training in FILE, or without FILE the one in --out, with its settings"
    add("--resume", nargs="?", const=True, metavar="FILE", help=about)
    about = "write the settings and the figures of each epoch as JSON lines, or the figures as CSV"
    add("--log", metavar="NAME.jsonl|csv", help=about)
    add("--quiet", action="store_true", help="print only errors")
    add_machine(parser)


def _default(setting):
    """The default of a setting in words, where the table has one that `help` does not name."""
    images, texts = (setting.of("default", task) for task in ("images", "texts"))
    if images in (None, COMPUTED) or setting.kind is bool:
        return ""
    return f"; default: {images}" + (f", for texts {texts}" if images != texts else "")


def _option(name):
    """The name of a setting's option, without the two dashes."""
    return name.replace("_", "-")


def _kind(setting):
    """The arguments of `add_argument` for a setting."""
    if setting.kind is bool:
        return {"action": "store_true", "default": None}
    choices = Sets((*DATASETS, *TEXTS)) if setting.name == "data" else setting.choices
    if isinstance(choices, dict):
        choices = tuple(dict.fromkeys(itertools.chain(*choices.values())))
    kind = {} if setting.kind is list else {"type": setting.kind}
    return kind | {"choices": choices, "metavar": setting.metavar}


def _with_dashes(error):
    """The sentence about a setting as one about its option."""
    name, _, rest = str(error).partition(" ")
    return f"--{_option(name)} {rest}" if name in SETTINGS else str(error)


def given_settings(args, task):
    """The settings that the user gave, each checked for a task."""
    given = {name: getattr(args, name, None) for name in SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    if extra := [name for name in given if task not in SETTINGS[name].tasks]:
        raise InputError(OF_OTHER[task].format(_option(extra[0])))
    for name in {"label", "drop"} & given.keys():
        given[name] = [text.strip() for text in given[name].split(",")]
    if "data" in given and not args.resume:
        given |= located(given["data"], given.get("folder"))
    if "prepare" in given:
        given["prepare"] = [] if args.prepare == "none" else args.prepare.split(",")
        if unknown := [step for step in given["prepare"] if step not in STEPS]:
            raise InputError(f"--prepare has {unknown[0]!r:.40}; expected {', '.join(STEPS)}")
    for name in given.keys() & {"folder", "init", "teacher"}:
        given[name] = str(pathlib.Path(given[name]).resolve())
    for name, value in given.items():
        try:
            check_value(name, value, task)
        except InputError as error:
            raise InputError(_with_dashes(error)) from None
    if given.get("float") and (extra := sorted(BINARY_ONLY & given.keys())):
        came = f"--{_option(extra[0])} applies only to low-bit nets"
        raise InputError(f"{came}; remove it, or remove --float")
    for name, needed in NEEDS.items():
        applies = task in SETTINGS[needed].tasks and not args.resume
        if applies and name in given and needed not in given:
            raise InputError(f"--{_option(name)} needs --{needed}; add it, or remove both")
    return given


def check_same(given, settings, out):
    """Refuse settings that contradict those of the training that is resumed."""
    for name, value in given.items():
        if name not in MAY_CHANGE and settings[name] != value:
            raise InputError(
                f"--{_option(name)} is {value}, but {out} was started with {settings[name]}; "
                "remove it, or start a new training without --resume"
            )


def new_settings(given):
    """The settings of a new training: those given, and the recipe's."""
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
