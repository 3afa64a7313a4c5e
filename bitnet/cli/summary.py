"""`bitnet summary`: list the layers, weights and bytes of a net; estimate energy and operations.

examples:
  bitnet summary net.npz
  bitnet summary net.npz --energy --operations
  bitnet summary conv:32,32/64,64/256 --image 32x32x3 --weights 2 --activations 4
  bitnet summary lstm:300 --json
"""

import pathlib
import re
from argparse import Namespace

import numpy as np

from bitnet.analysis import count_operations, estimate, repetitions, summary
from bitnet.archive import to_json
from bitnet.cli.nets import is_text
from bitnet.cli.options import check_number
from bitnet.errors import InputError
from bitnet.nn.models import net_named
from bitnet.nn.models.names import LATER, PAPERS, is_language_net
from bitnet.training.settings import ARGUMENTS, bits_or_name
from bitnet.training.trained import Trained, load_net

MNIST, CIFAR = (28, 28, 1), (32, 32, 3)
NET = (
    f"a checkpoint, a net from `bitnet freeze`, or a name: {', '.join([*PAPERS, *LATER])}, "
    "mlp:512,512 (units), conv:32,32/64,64/256 (blocks of 3x3 convolutions/units), lstm:300 "
    "(a language model)"
)
BITS = "1 to 8, or a quantizer, such as log:4; default: 1, for language models 4"
FLAGS = {
    "energy": "estimate the energy per image in pJ, with Horowitz's tables, and compare it with "
    "the float twin's",
    "operations": "count the words, additions, comparisons, shifts and multiplications of the "
    "frozen net",
    "repetition": "count the distinct 2-D filters of each binary convolution",
    "json": "print JSON",
}


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    parser.add_argument("file", metavar="NET", help=NET)
    add = parser.add_argument_group("net given by name").add_argument
    about = "rows, columns and channels; default: 28x28x1, for cifar10 and svhn 32x32x3"
    add("--image", metavar="HxWxC", help=about)
    about = "number of classes or tokens; default: 10, for language models 10000"
    add("--classes", type=int, metavar="N", help=about)
    for name in ("weights", "activations"):
        add(f"--{name}", metavar="BITS", help=f"bits of the {name}, {BITS}")
    add("--float", action="store_true", help="use the float twin")
    for name, about in FLAGS.items():
        parser.add_argument(f"--{name}", action="store_true", help=about)


def main(args: Namespace) -> None:
    """Print the tables, or JSON."""
    path = pathlib.Path(args.file)
    net, frozen = _of_file(args) if path.exists() else (_of_name(args), None)
    tables: dict = {"summary": summary(net, frozen=frozen)}
    if args.energy:
        tables["energy"] = estimate(tables["summary"])
    if args.operations:
        tables["operations"] = count_operations(tables["summary"])
    if args.repetition:
        tables["repetition"] = repetitions(net)
    if args.json:
        print(to_json({name: table.as_dict() for name, table in tables.items()}))
    else:
        print("\n\n".join(map(str, tables.values())))


def _of_file(args):
    """Return the net of a file, and for a trained one its frozen form."""
    if wrong := _given(args, "image", "classes", "weights", "activations", "float"):
        raise InputError(f"--{wrong} applies only to a net by name, not to {args.file}; remove it")
    net = load_net(args.file)
    if is_text(net):
        _refuse_for_texts(args)
    return (net.model, net.freeze()) if isinstance(net, Trained) else (net, None)


def _refuse_for_texts(args):
    """Refuse the options that apply only to nets for images."""
    if wrong := _given(args, "image", "energy", "repetition"):
        raise InputError(f"--{wrong} applies only to nets for images, not for texts; remove it")


def _given(args, *names):
    """The first of these options that the user gave, or None."""
    return next((name for name in names if getattr(args, name) not in (None, False)), None)


def _of_name(args):
    """Return a net by name with random weights."""
    try:
        named = net_named(args.file)
    except InputError as error:
        raise InputError(f"there is no file {args.file}; {error}") from None
    of_text = is_language_net(named.name)
    count = (10_000 if of_text else 10) if args.classes is None else args.classes
    check_number("classes", count, 1, 10**6)
    rng = np.random.default_rng(0)
    if of_text:
        _refuse_for_texts(args)
        bits = {} if args.float else {"weight_quantizer": 4, "activation_quantizer": 4}
        return named.build(count, named.units, rng, **(bits | _bits(args)))
    image = CIFAR if named.name in ("cifar10", "svhn") else MNIST
    image = _image(args.image) if args.image else image
    return named.build(image, count, rng, is_float=args.float, **_bits(args))


def _bits(args):
    """The bits or quantizers in the arguments; refuses them with --float."""
    given = {name: getattr(args, name) for name in ("weights", "activations")}
    given = {name: text for name, text in given.items() if text is not None}
    if args.float and given:
        wrong = next(iter(given))
        raise InputError(f"--{wrong} applies only to low-bit nets; remove it, or remove --float")
    return {ARGUMENTS[name]: bits_or_name(name, text) for name, text in given.items()}


def _image(text):
    """Rows, columns and channels, of HxWxC."""
    if not re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}x[1-9]\d{0,3}", text):
        raise InputError(f"--image is {text!r:.40}; expected ROWSxCOLUMNSxCHANNELS, as in 28x28x1")
    return tuple(map(int, text.split("x")))
