"""Options that several verbs share, and their checks, in the words of the command line."""

import bitnet
from bitnet.archive import kind_of
from bitnet.data import DATASETS
from bitnet.devices import gpu_problem
from bitnet.errors import InputError
from bitnet.training.settings import read_data

__all__ = [
    "add_data",
    "add_gpu",
    "add_threads",
    "check_folder",
    "check_gpu",
    "check_number",
    "check_replaced",
    "images_of",
    "use_threads",
]


def add_gpu(parser):
    """Give a parser --gpu.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of a verb.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser()
    >>> add_gpu(parser)
    >>> parser.parse_args(["--gpu"]).gpu
    True
    """
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="compute on an NVIDIA GPU; see `bitnet status` (processor)",
    )


def check_gpu(wanted):
    """Refuse --gpu where there is none.

    Parameters
    ----------
    wanted : bool
        Whether --gpu is given.

    Raises
    ------
    InputError
        If it is, and there is no GPU; says why and what to do.

    Examples
    --------
    >>> check_gpu(False)
    """
    if wanted and (problem := gpu_problem()):
        raise InputError(f"--gpu: {problem}")


def add_threads(parser):
    """Give a parser --threads.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of a verb.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser()
    >>> add_threads(parser)
    >>> parser.parse_args(["--threads", "2"]).threads
    2
    """
    about = "threads of the kernels and the BLAS, 1 to 1024 (all processors)"
    parser.add_argument("--threads", type=int, metavar="N", help=about)


def use_threads(n):
    """Use as many threads as --threads says, if it says something.

    Parameters
    ----------
    n : int or None
        From 1 to 1024.

    Raises
    ------
    InputError
        If it is no such number.

    Examples
    --------
    >>> try:
    ...     use_threads(0)
    ... except InputError as error:
    ...     print(error)
    --threads is 0; expected a whole number from 1 to 1024
    """
    if n is not None:
        check_number("threads", n, 1, 1024)
        bitnet.set_num_threads(n)


def check_number(name, value, least, most):
    """Refuse a number out of its range.

    Parameters
    ----------
    name : str
        Of the option, without its dashes.
    value : int
        What came.
    least, most : int
        Its range.

    Raises
    ------
    InputError
        If it lies outside.

    Examples
    --------
    >>> check_number("top", 3, 1, 10)
    """
    if not least <= value <= most:
        raise InputError(f"--{name} is {value}; expected a whole number from {least} to {most}")


def check_replaced(out, kind):
    """Refuse to write over another file than one of the same kind.

    Parameters
    ----------
    out : pathlib.Path
        What --out says.
    kind : str
        What is to be written there, see `bitnet.archive`.

    Raises
    ------
    InputError
        If something else is there.

    Examples
    --------
    >>> import pathlib
    >>> try:
    ...     check_replaced(pathlib.Path(__file__), "frozen net")
    ... except InputError as error:
    ...     print(str(error).partition("options.py ")[2])
    is there already and is no frozen net; give another name
    """
    try:
        same = not out.is_file() or kind_of(out) == kind
    except InputError:
        same = False
    if not same:
        raise InputError(f"--out: {out} is there already and is no {kind}; give another name")


def add_data(parser, default, more=()):
    """Give a parser --data and --folder.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of a verb.
    default : str
        What --data is by default, in words.
    more : tuple of str, optional
        Sets beside `DATASETS`, as the texts.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser()
    >>> add_data(parser, "embedded")
    >>> parser.parse_args(["--data", "mnist"]).data
    'mnist'
    """
    names = (*DATASETS, *more)
    parser.add_argument(
        "--data", choices=names, metavar="SET", help=f"data set: {', '.join(names)} ({default})"
    )
    parser.add_argument(
        "--folder",
        help="folder of its files (BITNET_DATA/SET or cache); "
        "for --data folder: with train/CLASS/*.png, val/CLASS/*.png",
    )


def check_folder(data, folder):
    """Refuse the data set `folder` without a folder, and the embedded digits with one.

    Parameters
    ----------
    data : str
        What --data says.
    folder : str or None
        What --folder says.

    Raises
    ------
    InputError
        If they do not fit each other.

    Examples
    --------
    >>> check_folder("mnist", None)
    """
    if data == "folder" and folder is None:
        raise InputError("--data folder needs --folder, with train/CLASS/*.png and val/CLASS/*.png")
    if data == "embedded" and folder is not None:
        raise InputError("--folder: the data set embedded is part of the package; leave it out")


def images_of(net, path, data=None, folder=None, limit=0):
    """The test images for a net: those of the data set that it was trained on, or of another.

    Parameters
    ----------
    net : Trained or FrozenNet
        What will classify them.
    path : str
        Its file, for the messages.
    data, folder : str, optional
        What --data and --folder say.
    limit : int, optional
        Only so many images; 0 is all.

    Returns
    -------
    name : str
        Of the data set.
    images, labels : numpy.ndarray
        uint8 of shape (count, H, W, C), as in the files, and integers (count,).

    Raises
    ------
    InputError
        If the data set is unknown or not there, or its images or classes do not fit the net.

    Examples
    --------
    >>> import numpy as np
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 10], np.random.default_rng(0)))
    >>> name, images, labels = images_of(net, "net.npz", "embedded", limit=5)
    >>> images.shape
    (5, 28, 28, 1)
    """
    settings = getattr(net, "settings", {"data": getattr(net, "data", None), "folder": None})
    name = data or settings["data"]
    if data is not None and data not in DATASETS:
        raise InputError(
            f"{path} is of images, and --data is {data}; it needs one of {', '.join(DATASETS)}"
        )
    if name not in DATASETS:
        raise InputError(f"{path} does not say what it was trained on; use --data")
    if folder is None and name == settings["data"]:
        folder = settings["folder"]
    check_folder(name, folder)
    rows, _, channels = net.picture or (None, None, None)
    size = {"size": rows, "channels": channels} if name == "folder" else {}
    split = read_data(name, folder, limit, **size)
    images, labels = split.test
    n_classes = len(split.classes)
    expected = net.sizes[0] if hasattr(net, "sizes") else None
    fits = images.shape[1:] == net.picture if net.picture else images[0].size == expected
    own = len(net.classes) if net.classes else net.sizes[-1]
    if not fits or n_classes != own:
        shape = "x".join(map(str, net.picture)) if net.picture else f"{expected} numbers"
        raise InputError(
            f"{path} takes images of {shape} and has {own} classes; {name} has images of "
            f"{'x'.join(map(str, images.shape[1:]))} and {n_classes} classes; see --data"
        )
    if name == "folder" and net.classes and tuple(net.classes) != split.classes:
        other = next(a for a, b in zip(split.classes, net.classes, strict=True) if a != b)
        raise InputError(
            f"{folder} has a class {other!r}, which {path} was not trained on; expected the "
            f"folders {', '.join(net.classes):.200}"
        )
    return name, images, labels
