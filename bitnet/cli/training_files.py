"""The files that `bitnet train` writes: their names, and checks that nothing else is lost."""

import pathlib
import re
import shlex

from bitnet.archive import kind_of
from bitnet.cli.options import check_suffix
from bitnet.errors import InputError
from bitnet.files import check_writable
from bitnet.training.checkpoint import KIND, read_checkpoint


def file_name(settings):
    """The default name of the checkpoint of a training."""
    net = re.sub(r"[:,]", "-", settings["net"]).replace("/", "_").rstrip("_")
    bits = [settings.get(name, "1") for name in ("weights", "activations")]
    kind = "" if bits == ["1", "1"] else "-{}w-{}a".format(*bits).replace(":", "-")
    kind = "-float" if settings["float"] else kind
    data = re.sub(r"\.(csv|tsv|npz|gz)$", "", settings["data"], flags=re.IGNORECASE)
    return f"{net}-{data}{kind}.checkpoint"


def best_of(out):
    """The file of the best epoch, next to the checkpoint."""
    return out.with_name(f"{out.stem}.best{out.suffix}")


def of_seed(path, seed):
    """The file of one of several seeds: NAME.seed0.checkpoint for NAME.checkpoint."""
    return path.with_name(f"{path.stem}.seed{seed}{path.suffix}")


def files_of(settings, out, log):
    """The checkpoints that a new training writes, once they and its log can be written."""
    check_suffix("--out", out, ".checkpoint")
    paths = [out, best_of(out)] if settings.get("validation", True) else [out]
    for path in paths + ([log] if log else []):
        check_writable(path)
    return paths


def check_free(paths, log):
    """Refuse to replace any file but a checkpoint of 0 epochs."""
    for path in filter(pathlib.Path.is_file, paths):
        try:
            file = read_checkpoint(path) if kind_of(path) == KIND else None
            empty = file is not None and file.epoch == 0 and "begun" not in file.notes
        except InputError:
            empty = False
        if not empty:
            raise InputError(
                f"{path} exists; resume it (--resume {path}), choose another --out, or remove it"
            )
    if log and pathlib.Path(log).is_file() and pathlib.Path(log).stat().st_size:
        raise InputError(f"--log: {log} exists; choose another name, or remove it")


def kept(out, saved, args):
    """What is kept after Ctrl-C, in words, and the command that resumes it."""
    if saved is None:
        return "before the first epoch, so nothing is kept"
    return f"{saved} are in {out}; {again(out, args.log)}"


def again(out, log, *more):
    """The command that resumes a training, in words."""
    words = ["bitnet", "train", *more, "--resume", str(out), *(["--log", log] if log else [])]
    return f"resume with: {shlex.join(words)}"


def resumed_file(args, settings):
    """The checkpoint that is resumed; without an argument, the default name of `settings()`."""
    named = [name for name in (args.out, args.resume) if isinstance(name, str)]
    if len({pathlib.Path(name).resolve() for name in named}) > 1:
        raise InputError(f"--resume is {args.resume} and --out {args.out}; expected one file")
    out = pathlib.Path(named[0] if named else file_name(settings()))
    if not out.exists():
        raise InputError(f"--resume: there is no {out}; name the checkpoint, as in --resume FILE")
    return out
