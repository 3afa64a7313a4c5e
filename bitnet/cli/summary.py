"""`bitnet summary`: a net's layers, with weights by their bits, bytes and products."""

import pathlib
import re

import numpy as np

from bitnet.analysis import energy
from bitnet.analysis.operations import count_operations
from bitnet.analysis.repetition import repetitions
from bitnet.analysis.summary import summarize
from bitnet.archive import to_json
from bitnet.cli.freeze import frozen
from bitnet.cli.language import opened_language
from bitnet.cli.options import check_number
from bitnet.deploy.freeze import freeze
from bitnet.deploy.freeze_language import freeze_language_model
from bitnet.deploy.recurrent import FrozenLanguageModel
from bitnet.deploy.runtime import FrozenNet
from bitnet.errors import InputError
from bitnet.nn.models.language_names import is_language_net, language_net_named
from bitnet.nn.models.names import PAPERS, net_named
from bitnet.training.settings import bits_or_name
from bitnet.training.trained import Trained, open_net

__all__ = ["net_and_image"]

HELP = "layers, weights by their bits, bytes and products; energy, operations, repetition"
MNIST, CIFAR = (28, 28, 1), (32, 32, 3)


def add_arguments(parser):
    """Give a parser the arguments of the verb."""
    parser.add_argument(
        "file",
        metavar="NET",
        help="what `bitnet train` or `freeze` wrote; or a "
        f"net by name: {', '.join(PAPERS)}, mlp:512,512 (units), "
        "conv:32,32/64,64/256 (blocks of 3x3 convolutions/units), lstm:300 (a "
        "language model, with 4 bits)",
    )
    parser.add_argument(
        "--image",
        metavar="HxWxC",
        help="of a net by name: rows, columns and channels (28x28x1; cifar10, svhn: 32x32x3)",
    )
    parser.add_argument(
        "--classes",
        type=int,
        metavar="N",
        help="of a net by name (10; of language models 10 000 tokens)",
    )
    for name in ("weights", "activations"):
        parser.add_argument(
            f"--{name}",
            metavar="BITS",
            help=f"of a net by name: of each of its "
            f"{name}, 1 to 8, or a quantizer's name, as log:4 (1; of language models 4)",
        )
    parser.add_argument("--float", action="store_true", help="the float twin of a net by name")
    parser.add_argument(
        "--energy",
        action="store_true",
        help="estimate the energy of one image "
        "in pJ, beside the float twin's, after Horowitz's tables",
    )
    parser.add_argument(
        "--operations",
        action="store_true",
        help="count the words, additions, "
        "comparisons, shifts and multiplications of the frozen net",
    )
    parser.add_argument(
        "--repetition",
        action="store_true",
        help="count the 2-D filters of each binary convolution that differ",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args):
    """Print the tables."""
    if tables := _of_text(args):
        _show(tables, args)
        return
    net, image, file = net_and_image(args)
    tables = {"summary": summarize(net, image, file)}
    if args.energy:
        tables["energy"] = energy.estimate(tables["summary"])
    if args.operations:
        frozen_net = net if isinstance(net, FrozenNet) else file
        frozen_net = frozen_net or freeze(net, image=image and image[:2])
        tables["operations"] = count_operations(frozen_net)
    if args.repetition:
        tables["repetition"] = repetitions(net)
    _show(tables, args)


def _show(tables, args):
    """Print tables, or JSON."""
    if args.json:
        print(to_json({name: table.as_dict() for name, table in tables.items()}))
    else:
        print("\n\n".join(map(str, tables.values())))


def _of_text(args):
    """The tables of a language model, or None if the arguments name another net."""
    exists, named = pathlib.Path(args.file).exists(), is_language_net(args.file)
    language = opened_language(args.file, of_words=False) if exists else None
    if language is None and (exists or not named):
        return None
    for name in ("image", "energy", "repetition"):
        if getattr(args, name) not in (None, False):
            raise InputError(f"--{name} is of nets of images; leave it out for a language model")
    if exists:
        _check_named(args)
        model = language.model
    else:
        net, rng = language_net_named(args.file), np.random.default_rng(0)
        tokens = 10_000 if args.classes is None else args.classes
        check_number("classes", tokens, 1, 10**6)
        few = {} if args.float else {"weights": 4, "activations": 4}
        model = net.build(tokens, net.units, rng, **{**few, **_bits(args)})
    tables = {"summary": summarize(model)}
    if args.operations and (args.float or (exists and language.settings.get("float"))):
        raise InputError(
            f"--operations is of nets of few bits, and {args.file} is in float; leave it out"
        )
    if args.operations:
        is_frozen = isinstance(model, FrozenLanguageModel)
        tables["operations"] = count_operations(
            model if is_frozen else freeze_language_model(model)
        )
    return tables


def _check_named(args):
    """Refuse the options of a net by name beside a file."""
    names = "image", "classes", "weights", "activations", "float"
    if given := [name for name in names if getattr(args, name) not in (None, False)]:
        raise InputError(
            f"--{given[0]} is of a net by name, and {args.file} is a file; leave it out"
        )


def _bits(args):
    """The bits or quantizers that the arguments name; none beside --float."""
    bits = {
        name: bits_or_name(name, text)
        for name in ("weights", "activations")
        if (text := getattr(args, name)) is not None
    }
    if args.float and bits:
        given = next(iter(bits))
        raise InputError(f"--{given} is of bits, and --float has none; leave one of them out")
    return bits


def net_and_image(args):
    """The net that the arguments name.

    Parameters
    ----------
    args : argparse.Namespace
        With file, image, classes, weights, activations and float.

    Returns
    -------
    net : Sequential or FrozenNet
        Of a file, or of a name with weights by chance.
    image : tuple or None
        The shape of an image, for a ConvNet that is not frozen.
    file : FrozenNet or None
        What a trained model will be frozen to.

    Raises
    ------
    InputError
        If there is neither such a file nor such a name.

    Examples
    --------
    >>> import argparse
    >>> words = {"image": "4x4x3", "classes": 2, "weights": "2", "activations": None}
    >>> net, image, _ = net_and_image(argparse.Namespace(file="conv:8/", float=False, **words))
    >>> net.layers[0].quantizer.name, image
    ('uniform:2', (4, 4, 3))
    """
    if pathlib.Path(args.file).exists():
        _check_named(args)
        net = open_net(args.file)
        if not isinstance(net, Trained):
            return net, None, None
        file = None if net.settings["float"] else frozen(net, args.file)
        return net.model, net.image, file
    try:
        named = net_named(args.file)
    except InputError as error:
        raise InputError(f"{args.file}: there is no such file; {error}") from None
    n_classes = 10 if args.classes is None else args.classes
    check_number("classes", n_classes, 1, 10**6)
    image = (
        _image(args.image) if args.image else CIFAR if named.name in ("cifar10", "svhn") else MNIST
    )
    model = named.build(
        image, n_classes, np.random.default_rng(0), is_float=args.float, **_bits(args)
    )
    return model, image if named.is_conv else None, None


def _image(text):
    """Rows, columns and channels, of HxWxC."""
    if not re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}x[1-9]\d{0,3}", text):
        raise InputError(f"--image is {text!r:.40}; expected ROWSxCOLUMNSxCHANNELS, as 28x28x1")
    return tuple(map(int, text.split("x")))
