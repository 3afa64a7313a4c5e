"""The files that `bitnet train` writes: their names, and that no other training's are lost."""

import pathlib
import re
import shlex

from bitnet.archive import kind_of
from bitnet.errors import InputError
from bitnet.training.checkpoint import KIND, read_checkpoint


def file_name(settings):
    """The name of the checkpoint of a training, if none is given."""
    net = re.sub(r"[:,]", "-", settings["net"]).replace("/", "_").rstrip("_")
    bits = [settings.get(name, "1") for name in ("weights", "activations")]
    kind = "" if bits == ["1", "1"] else "-{}w-{}a".format(*bits).replace(":", "-")
    kind = "-float" if settings["float"] else kind
    return f"{net}-{settings['data']}{kind}.checkpoint"


def best_of(out):
    """The file of the best epoch, beside the checkpoint."""
    return out.with_name(f"{out.stem}.best{out.suffix}")


def check_free(paths, log):
    """Refuse to write over another training, unless it is of no epoch, or any other file."""
    if log and pathlib.Path(log).resolve() in [path.resolve() for path in paths]:
        raise InputError(f"--log is {log}, where the checkpoint goes; expected another file")
    for path in filter(pathlib.Path.is_file, paths):
        try:
            file = read_checkpoint(path) if kind_of(path) == KIND else None
            empty = file is not None and file.epoch == 0 and "begun" not in file.notes
        except InputError:
            empty = False
        if not empty:
            raise InputError(
                f"{path} is there already; go on with it (--resume), give another --out, or "
                "remove it"
            )
    if log and pathlib.Path(log).is_file() and pathlib.Path(log).stat().st_size:
        raise InputError(f"--log: {log} is there already; give another name, or remove it")


def kept(out, saved, args):
    """What is kept after Ctrl-C, in words, and the command that resumes."""
    if saved is None:
        return "before the first epoch; nothing is kept"
    words = ["bitnet", "train", "--resume", str(out), *(["--log", args.log] if args.log else [])]
    return f"{saved} are in {out}; go on with: {shlex.join(words)}"


def resumed_file(args, settings):
    """The file of the training that is resumed; `settings()` names it where no argument does."""
    named = [name for name in (args.out, args.resume) if isinstance(name, str)]
    if len({pathlib.Path(name).resolve() for name in named}) > 1:
        raise InputError(f"--resume is {args.resume} and --out {args.out}; expected one file")
    out = pathlib.Path(named[0] if named else file_name(settings()))
    if not out.exists():
        raise InputError(f"--resume: there is no {out}; name the file, as --resume FILE")
    return out
