"""Options that several verbs share, and their checks."""

import pathlib
import re

import bitnet
from bitnet.archive import kind_of
from bitnet.data import DATASETS, TEXTS
from bitnet.data.datasets import Dataset
from bitnet.data.own import is_own, read_own
from bitnet.data.targets import TARGETS
from bitnet.devices import gpu_problem
from bitnet.errors import InputError, check_choice
from bitnet.training.sources import read_data

IDX_IMAGES = re.compile(r"images.*idx", re.IGNORECASE)  # in the name of a file


def add_machine(parser, gpu=True):
    """Add --threads and --gpu to a parser; return the group, for more options."""
    group = parser.add_argument_group("machine")
    about = "threads of the kernels and the BLAS, 1 to 1024; default: one per processor"
    group.add_argument("--threads", type=int, metavar="N", help=about)
    if gpu:
        about = "compute on an NVIDIA GPU; see `bitnet status`"
        group.add_argument("--gpu", action="store_true", help=about)
    return group


def use_machine(args):
    """Set the number of threads; return the device, or raise an error if there is no GPU."""
    if args.threads is not None:
        check_number("threads", args.threads, 1, 1024)
        bitnet.set_num_threads(args.threads)
    gpu = getattr(args, "gpu", False)
    if gpu and (problem := gpu_problem()):
        raise InputError(f"--gpu: {problem}")
    return "gpu" if gpu else "cpu"


def check_number(name, value, least, most):
    """Refuse a number out of the range of the option --NAME."""
    if not least <= value <= most:
        raise InputError(f"--{name} is {value}; expected a whole number from {least} to {most}")


def check_suffix(option, path, *suffixes):
    """Refuse a file name whose suffix does not match its kind."""
    if pathlib.Path(path).suffix.lower() not in suffixes:
        expected = " or ".join(suffixes)
        raise InputError(f"{option} is {path}; expected a name that ends with {expected}")


def check_replaced(out, kind):
    """Refuse to replace a file of another kind, see `bitnet.archive`."""
    try:
        same = not out.is_file() or kind_of(out) == kind
    except InputError:
        same = False
    if not same:
        raise InputError(f"--out: {out} exists and is not a {kind}; choose another name")


def add_data(parser, more=()):
    """Add --data, of images and `more`, and --folder; return the group, for more options."""
    group, names = parser.add_argument_group("data"), (*DATASETS, *more)
    about = (
        f"data set: {', '.join(names)}; or your own file or folder, as for `bitnet train`; "
        "default: the one that the net was trained on"
    )
    group.add_argument("--data", choices=Sets(names), metavar="SET|FILE", help=about)
    about = "folder of the data; default: the one used in training, if known, or its usual place"
    group.add_argument("--folder", metavar="FOLDER", help=about)
    about = "columns of a table with the labels; default: as in training, if known"
    group.add_argument("--label", metavar="COLUMN,...", help=about)
    return group


class Sets(tuple):
    """The names of data sets, as choices of --data that the paths of files complete."""

    def __contains__(self, value):
        path = pathlib.Path(value)
        return super().__contains__(value) or is_own(value) or path.exists() or path.name != value


def located(data, folder=None):
    """The settings `data` and `folder` for a value of --data: a set, a file or a folder."""
    path = pathlib.Path(data)
    if data in (*DATASETS, *TEXTS):
        return {"data": data} | ({} if folder is None else {"folder": folder})
    if path.is_dir():
        if folder is not None:
            raise InputError(f"--data is the folder {data}, and --folder is {folder}; remove one")
        found = [p for p in path.iterdir() if IDX_IMAGES.search(p.name)]
        found = [p for p in found if "train" in p.name.lower()] or found
        if len(found) == 1:
            return {"data": found[0].name, "folder": str(path.resolve())}
        return {"data": "folder", "folder": str(path.resolve())}
    whole = pathlib.Path(folder or "", path)
    if whole.is_file():
        return {"data": whole.name, "folder": str(whole.resolve().parent)}
    if not is_own(data) and path.name == data:
        check_choice(None, (*DATASETS, *TEXTS), **{"--data": data})
    raise InputError(f"--data: there is no file or folder {whole}; give its path")


def check_folder(data, folder):
    """Refuse the data set `folder` without a folder, and the embedded digits with one."""
    if data == "folder" and folder is None:
        raise InputError("--data folder needs --folder, with train/CLASS/*.png and val/CLASS/*.png")
    if data == "embedded" and folder is not None:
        raise InputError("--folder: the data set embedded is part of the package; remove it")


def images_of(net, path, data=None, folder=None, limit=0, label=None):
    """The test images for a net: those of the data set that it was trained on, or of another.

    `path` names the net's file in messages; data, folder, limit and label are the values of the
    options.  Returns the name of the data set, images (count, H, W, C) as in the files, and labels.
    """
    unknown = {"data": getattr(net, "data", None), "folder": None, "label": None}
    settings = getattr(net, "settings", unknown)
    place = {"data": settings["data"], "folder": folder} if data is None else located(data, folder)
    name, folder = place["data"], place.get("folder")
    if name in TEXTS:
        raise InputError(
            f"{path} classifies images, and --data is {data}; expected one of {', '.join(DATASETS)}"
        )
    if name is None:
        raise InputError(f"{path} does not say what it was trained on; add --data SET")
    if folder is None and name == settings["data"]:
        folder = settings["folder"]
    if name not in DATASETS:
        label = label.split(",") if label else settings["label"]
        return name, *_own_images(net, path, name, folder, limit, label, name != settings["data"])
    check_folder(name, folder)
    rows, _, channels = net.picture or (None, None, None)
    size = {"size": rows, "channels": channels} if name == "folder" else {}
    split = read_data(name, folder, limit, **size)
    images, labels = split.test
    n_classes = len(split.classes)
    _check_sizes(net, path, name, images, n_classes)
    if name == "folder" and net.classes and tuple(net.classes) != split.classes:
        other = next(a for a, b in zip(split.classes, net.classes, strict=True) if a != b)
        raise InputError(
            f"{folder} has a class {other!r:.60}, which {path} was not trained on; expected the "
            f"folders {', '.join(net.classes):.200}"
        )
    return name, images, labels


def _own_images(net, path, name, folder, limit, label, whole):
    """The test images and labels in a file of the user's."""
    file = pathlib.Path(folder or ".", name)
    if not file.is_file():
        raise InputError(
            f"{path} was trained on {name}, and there is no file {file}; name it by --data FILE"
        )
    if label is None and net.columns and net.target != TARGETS[0]:
        label = net.classes
    named = {"columns": net.columns, "classes": net.classes, "whole": whole}
    found = Dataset(**read_own(file, net.target, tuple(label or ()), **named)).with_channels()
    images, labels = found.test_images, found.test_labels
    _check_sizes(net, path, name, images, len(found.classes))
    return (images[:limit], labels[:limit]) if limit else (images, labels)


def _check_sizes(net, path, name, images, n_classes):
    """Refuse images or a number of classes that a net does not have."""
    expected = net.sizes[0] if hasattr(net, "sizes") else None
    fits = images.shape[1:] == net.picture if net.picture else images[0].size == expected
    own = len(net.classes) if net.classes else net.sizes[-1]
    if not fits or n_classes != own:
        shape = "x".join(map(str, net.picture)) if net.picture else f"{expected} numbers"
        raise InputError(
            f"{path} takes images of {shape} and has {own} classes; {name} has images of "
            f"{'x'.join(map(str, images.shape[1:]))} and {n_classes} classes; see --data"
        )
