"""The files that `bitnet train` writes: their names, and that no other training's are lost."""

import pathlib
import re
import shlex

from bitnet.archive import kind_of
from bitnet.errors import InputError
from bitnet.training.checkpoint import KIND, read_checkpoint

__all__ = ["best_of", "check_free", "file_name", "kept", "resumed_file"]


def file_name(settings):
    """The name of the checkpoint of a training, if none is given.

    Parameters
    ----------
    settings : dict
        With net, data and float.

    Returns
    -------
    str

    Examples
    --------
    >>> file_name({"net": "conv:32,32/64/256", "data": "svhn", "float": False})
    'conv-32-32_64_256-svhn.checkpoint'
    """
    net = re.sub(r"[:,]", "-", settings["net"]).replace("/", "_").rstrip("_")
    bits = [settings.get(name, "1") for name in ("weights", "activations")]
    kind = "" if bits == ["1", "1"] else "-{}w-{}a".format(*bits).replace(":", "-")
    kind = "-float" if settings["float"] else kind
    return f"{net}-{settings['data']}{kind}.checkpoint"


def best_of(out):
    """The file of the best epoch, beside the checkpoint.

    Parameters
    ----------
    out : pathlib.Path
        The checkpoint.

    Returns
    -------
    pathlib.Path

    Examples
    --------
    >>> best_of(pathlib.Path("a.checkpoint")).name
    'a.best.checkpoint'
    """
    return out.with_name(f"{out.stem}.best{out.suffix}")


def check_free(paths, log):
    """Refuse to write over another training, or over any other file.

    Parameters
    ----------
    paths : list of pathlib.Path
        The checkpoint, and that of the best epoch; one of no epoch may be written over.
    log : str or None
        What --log says.

    Raises
    ------
    InputError
        If one is there already.

    Examples
    --------
    >>> check_free([pathlib.Path("no such file")], None)
    """
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
    """What is kept after Ctrl-C, and the command that goes on.

    Parameters
    ----------
    out : pathlib.Path
        The checkpoint.
    saved : str or None
        How much is in it, in words.
    args : argparse.Namespace
        With log.

    Returns
    -------
    str

    Examples
    --------
    >>> import argparse
    >>> kept(pathlib.Path("a b"), "2 of 3 epochs", argparse.Namespace(log=None))
    "2 of 3 epochs are in a b; go on with: bitnet train --resume 'a b'"
    """
    if saved is None:
        return "before the first epoch; nothing is kept"
    words = ["bitnet", "train", "--resume", str(out), *(["--log", args.log] if args.log else [])]
    return f"{saved} are in {out}; go on with: {shlex.join(words)}"


def resumed_file(args, settings):
    """The file of the training that is gone on with.

    Parameters
    ----------
    args : argparse.Namespace
        With out and resume.
    settings : callable
        Gives the settings of the training, whose name is the file's where neither says it.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        If they name two files, or there is no such file.

    Examples
    --------
    >>> import argparse
    >>> try:
    ...     resumed_file(argparse.Namespace(out=None, resume="a.checkpoint"), dict)
    ... except InputError as error:
    ...     print(error)
    --resume: there is no a.checkpoint; name the file, as --resume FILE
    """
    named = [name for name in (args.out, args.resume) if isinstance(name, str)]
    if len({pathlib.Path(name).resolve() for name in named}) > 1:
        raise InputError(f"--resume is {args.resume} and --out {args.out}; expected one file")
    out = pathlib.Path(named[0] if named else file_name(settings()))
    if not out.exists():
        raise InputError(f"--resume: there is no {out}; name the file, as --resume FILE")
    return out
