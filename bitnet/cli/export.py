"""`bitnet export`: print a frozen net in another language, with the same integers and classes.

examples:
  bitnet export net.npz --to c --out digits.h --name digits --first adds
  bitnet export net.npz --to c --main --out digits.c
  bitnet export net.npz --to python --out digits.py
  bitnet export net.npz --to c --arduino digits_library
"""

import pathlib
import re
from argparse import Namespace

from bitnet.cli import options
from bitnet.deploy.runtime import FrozenNet
from bitnet.errors import InputError
from bitnet.export import libraries
from bitnet.export.c.header import FIRST, SCORES
from bitnet.export.formats import FORMATS
from bitnet.files import check_writable, replacing
from bitnet.training.trained import load_net

DEFAULTS = {"first": "auto", "scores": "float", "main": False, "steps": 1}
FOLDERS = {"arduino": libraries.arduino, "platformio": libraries.platformio}


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    add = parser.add_argument
    add("file", metavar="NET.npz", help="a frozen net from `bitnet freeze`")
    about = "; ".join(f"{name}: {own.about}" for name, own in FORMATS.items())
    add("--to", choices=tuple(FORMATS), required=True, help=f"the language; {about}")
    add("--out", metavar="FILE", help="the file to write; default: NET with the suffix of --to")
    about = "prefix of the names in the file; default: the name of the file"
    add("--name", metavar="NAME", help=about)
    own = parser.add_argument_group("C")
    about = (
        "products of pixels: bit planes and popcounts, sums of four pixels in tables, or one pixel "
        "at a time; default: auto, by the compiler's target"
    )
    own.add_argument("--first", choices=FIRST, default="auto", help=about)
    about = "float scores, or integers in the same order, without floats; default: float"
    own.add_argument("--scores", choices=SCORES, default="float", help=about)
    about = "add a program that reads raw inputs from standard input and prints classes"
    own.add_argument("--main", action="store_true", help=about)
    about = "steps T of a sequence; default: 1"
    own.add_argument("--steps", type=int, default=1, metavar="T", help=about)
    about = "write an Arduino library with an example sketch into DIR instead of a file"
    own.add_argument("--arduino", metavar="DIR", help=about)
    own.add_argument("--platformio", metavar="DIR", help="the same for PlatformIO")


def main(args: Namespace) -> None:
    """Print the net, completely or not at all."""
    options.check_number("steps", args.steps, 1, 10_000)
    own = FORMATS[args.to]
    for name, usual in (DEFAULTS | dict.fromkeys(FOLDERS)).items():
        if args.to != "c" and getattr(args, name) != usual:
            raise InputError(f"--{name} applies only to --to c; remove it")
    taken = {name: getattr(args, name) for name in own.options}
    folders = [(name, getattr(args, name)) for name in FOLDERS if getattr(args, name)]
    if folders and (args.out or args.main or len(folders) > 1):
        raise InputError(
            "--arduino and --platformio write a folder; give one of them, and no --out or --main"
        )
    suffixes = [".c", ".cpp", own.suffix] if args.main else [own.suffix]
    out = pathlib.Path(args.out or pathlib.Path(args.file).with_suffix(suffixes[0]).name)
    options.check_suffix("--out", out, *suffixes)
    place = pathlib.Path(folders[0][1]) if folders else out
    name = args.name or re.sub(r"\W", "_", place.stem, flags=re.ASCII)
    net = load_net(args.file)
    if not isinstance(net, FrozenNet):
        raise InputError(f"{args.file} holds a {net.kind}; run `bitnet freeze {args.file}` first")
    text = own.text(net, name, **taken)
    if folders:
        for path in FOLDERS[folders[0][0]](name, text, place):
            print(path)
        return
    check_writable(out)
    with replacing(out) as file:
        file.write(text.encode())
    print(f"{out}: {net}, {own.about}, {len(text)} bytes")
    if args.to == "c":
        about = libraries.facts(name, text)
        print(f"flash for constants {about['flash']} bytes, RAM {about['ram']} bytes")
