"""`bitnet predict`: classify pictures, arrays and tables, predict numbers, or continue a text.

examples:
  bitnet predict net.npz picture.png --top 3 --invert
  bitnet predict net.npz sensors.csv
  cat digits.npy | bitnet predict net.npz - --json
  bitnet predict text.npz "the king" --count 50 --temperature 0.5
"""

import math
import pathlib
import sys
import tempfile
from argparse import Namespace

import numpy as np

from bitnet.archive import to_json
from bitnet.cli.nets import is_text, prompt_of, scores_of, standard_input, vocabulary_of
from bitnet.cli.options import add_machine, check_number, use_machine
from bitnet.data.arrays import (
    EXPECTED_NUMBERS,
    MAGIC,
    NUMBERS,
    Foreign,
    as_numbers,
    parse_npy,
    read_arrays,
)
from bitnet.data.image_folder import read_image, read_images_of
from bitnet.data.table import SUFFIXES as TABLES
from bitnet.data.table import read_table
from bitnet.data.targets import predictions
from bitnet.errors import InputError, check_choice, visible
from bitnet.training.texts import generate
from bitnet.training.trained import Trained, load_net

TEXT_OPTIONS = ("count", "temperature", "seed")
MAX_INPUT = 1 << 28  # bytes of standard input


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    add = parser.add_argument
    add("file", metavar="FILE", help="a checkpoint, or a net from `bitnet freeze`")
    about = (
        "a picture (its central square is scaled to the size of the net's images), a folder of "
        "pictures (other files in it are ignored), an .npy or .npz file of uint8 pixels (count, "
        "rows, columns[, 3]), or - for a picture or .npy from standard input; for a net that takes "
        "numbers, a .csv table with its columns, or such arrays of numbers; for a language model, "
        "the beginning of a text, or - for standard input"
    )
    add("inputs", metavar="INPUT", nargs="+", help=about)
    add = parser.add_argument_group("images").add_argument
    about = "print the K classes with the largest scores"
    add("--top", type=int, default=1, metavar="K", help=about)
    about = "invert the pixels, such as dark on light for a net trained on light on dark"
    add("--invert", action="store_true", help=about)
    about = "the array of an .npz file; default: all that fit the net"
    add("--array", metavar="NAME", help=about)
    add = parser.add_argument_group("language models").add_argument
    about = "number of words or characters to add; default: 100"
    add("--count", type=int, metavar="N", help=about)
    about = "below 1 favours likely words, 0 always takes the likeliest; default: 0.8"
    add("--temperature", type=float, metavar="T", help=about)
    about = "seed of the random draws; default: 0"
    add("--seed", type=int, metavar="N", help=about)
    about = (
        "print JSON: a list of {input, class, index, scores}, with the scores of all classes in "
        "order, of {input, numbers} for a regression, of {input, labels, scores} for several "
        "labels, or of {input, text}"
    )
    parser.add_argument("--json", action="store_true", help=about)
    add_machine(parser)


def main(args: Namespace) -> None:
    """Print one line per image, with tabs: its name, then the --top classes and their scores.

    For a regression print the names and values of its numbers, for several labels those that are
    predicted and their scores, and for a language model each text with its continuation.
    """
    check_number("top", args.top, 1, 1000)
    device = use_machine(args)
    if args.inputs.count("-") > 1:
        raise InputError("- is given twice; standard input can be read only once, so remove one")
    net = load_net(args.file).to(device)
    rows = []
    for row, line in (_continued if is_text(net) else _classified)(net, args):
        rows.append(row)
        if not args.json:
            print(line)
    if args.json:
        print(to_json(rows))


def _classified(net, args):
    """Yield the JSON object and the line of each image."""
    if extra := [name for name in TEXT_OPTIONS if getattr(args, name) is not None]:
        raise InputError(f"--{extra[0]} applies only to language models; remove it for images")
    if args.top != 1 and net.target != "classification":
        raise InputError(f"--top applies only to classes, and the net predicts {net.target}")
    if args.invert and takes_numbers(net):
        raise InputError("--invert applies only to pixels, and the net takes numbers; remove it")
    picture = picture_of(net)
    for text in args.inputs:
        names, images = _read(text, net, picture, args)
        scores = net.scores(255 - images if args.invert else images)
        names_of = net.classes or [str(i) for i in range(scores.shape[1])]
        for name, own in zip(names, scores, strict=True):
            row, cells = ROWS[net.target](names_of, own, args.top)
            pairs = (f"{visible(each)}\t{value:.{digits}}" for each, value, digits in cells)
            yield {"input": name, **row}, "\t".join([visible(name), *pairs])


def _class_row(names, scores, top):
    """The JSON and the cells of the class of an image."""
    order = np.argsort(-scores, kind="stable").tolist()
    row = {"class": names[order[0]], "index": order[0], "scores": scores.tolist()}
    return row, [(names[i], scores[i], "4f") for i in order[:top]]


def _number_row(names, scores, top):
    """The JSON and the cells of the numbers of a regression."""
    numbers = dict(zip(names, scores.tolist(), strict=True))
    return {"numbers": numbers}, [(name, value, "6g") for name, value in numbers.items()]


def _label_row(names, scores, top):
    """The JSON and the cells of the labels of an image."""
    there = np.flatnonzero(predictions(scores, "multilabel")).tolist()
    row = {"labels": [names[i] for i in there], "scores": scores.tolist()}
    return row, [(names[i], scores[i], "4f") for i in there]


ROWS = {"classification": _class_row, "regression": _number_row, "multilabel": _label_row}


def _continued(net, args):
    """Yield the JSON object and the text with its continuation for each input."""
    count, seed = 100 if args.count is None else args.count, args.seed or 0
    temperature = 0.8 if args.temperature is None else args.temperature
    check_number("count", count, 0, 10**6)
    if not 0 <= temperature <= 1000:
        raise InputError(f"--temperature is {temperature}; expected a number from 0 to 1000")
    check_number("seed", seed, 0, 2**32)
    if args.top != 1 or args.invert or args.array:
        wrong = "invert" if args.invert else "array" if args.array else "top"
        raise InputError(f"--{wrong} applies only to images; remove it for a language model")
    rng, vocabulary = np.random.default_rng(seed), vocabulary_of(net, args.file)
    for text in args.inputs:
        prompt = prompt_of(text)
        drawn = generate(scores_of(net), vocabulary, prompt, count, rng, temperature)
        whole = vocabulary.join([*vocabulary.split(prompt), *drawn])
        yield {"input": text, "text": whole}, whole


def takes_numbers(net):
    """Whether a net takes numbers, not pixels."""
    own = net.settings["input"] if isinstance(net, Trained) else net.input
    return own == "numbers"


def picture_of(net):
    """Rows, columns and channels of the images of a net; assumes a grey square where unknown."""
    if getattr(net, "input", "pixels") not in ("pixels", "numbers"):
        raise InputError(f"{net} takes {net.input}; expected a net that takes pixels or numbers")
    if net.picture:
        return net.picture
    if takes_numbers(net):
        return net.shape if len(net.shape) == 3 else (1, 1, math.prod(net.shape))
    shape = net.shape if len(net.shape) == 3 else (math.isqrt(net.shape[0]),) * 2 + (1,)
    if math.prod(shape) != net.sizes[0]:
        raise InputError(f"{net} does not say which picture its {net.sizes[0]} pixels form")
    return shape


def as_images(array, picture, name):
    """Reshape one image, many, or rows of pixels to (count, *picture); `name` is for errors."""
    shapes = [picture, picture[:2]] if picture[2] == 1 else [picture]
    shapes.append((math.prod(picture),))
    if array.shape in shapes:
        array = array[None]
    if array.shape[1:] not in shapes:
        raise InputError(
            f"{name} is an array of shape {array.shape}; expected images of "
            f"{'x'.join(map(str, picture))} pixels, (count, {', '.join(map(str, picture))})"
        )
    return array.reshape(-1, *picture)


def _read(text, net, picture, args):
    """The names and the images, (count, *picture), of one input."""
    path, numbers = pathlib.Path(text), takes_numbers(net)
    if text == "-":
        return _numbered({"-": _standard_input(picture, net, args.file)}, text)
    if path.suffix.lower() in (".npy", ".npz"):
        return _numbered(_arrays(text, net, picture, args.array), text)
    if path.suffix.lower() in TABLES:
        if not numbers:
            raise InputError(f"{text} is a table, and {args.file} takes pixels; give it pictures")
        return _numbered({text: _table(path, net, picture)}, text)
    if numbers:
        raise InputError(
            f"{args.file} takes {math.prod(picture)} numbers, and {text} is no table or array; "
            "give it a .csv, .npy or .npz file"
        )
    paths, images = read_images_of(path, _side(picture, args.file), picture[2])
    return [str(path) for path in paths], images.reshape(-1, *picture)


def _arrays(text, net, picture, only):
    """The images in the arrays of a file by name; arrays that do not fit are passed over."""
    kinds = (NUMBERS, EXPECTED_NUMBERS) if takes_numbers(net) else ()
    found, parts, refused = read_arrays(text, *kinds), {}, {}
    if only is not None:
        check_choice(f"{text}", found, **{"--array": only})
        found = {only: found[only]}
    for key, array in found.items():
        name = f"{text}:{key}" if key else text
        try:
            if isinstance(array, Foreign):
                raise InputError(array)
            images = as_images(array, picture, name)
            parts[name] = as_numbers(images, name) if kinds else images
        except InputError as error:
            refused[name] = error
    if not parts and refused:
        raise next(iter(refused.values()))
    if refused:
        keys = ", ".join(visible(name.removeprefix(f"{text}:")) for name in refused)
        print(f"note: {text}: passed over {keys}, which the net does not take", file=sys.stderr)
    return parts


def _table(path, net, picture):
    """The rows of a table as images: the columns of the net, or all if it has no names."""
    table = read_table(path)
    return as_images(table.inputs(net.columns or tuple(table.columns)), picture, str(path))


def _numbered(parts, text):
    """The names and the images of arrays of images by name."""
    names = [
        f"{name}[{i}]" if len(part) > 1 else name
        for name, part in parts.items()
        for i in range(len(part))
    ]
    if not names:
        raise InputError(f"{', '.join(parts) or text} has no images; expected one or more")
    first, *more = parts.values()
    return names, np.concatenate([first, *more]) if more else first


def _side(picture, net):
    """The side of the squares that pictures are scaled to."""
    if picture[0] != picture[1]:
        raise InputError(
            f"{net} takes images of {picture[0]}x{picture[1]}, and pictures become squares; give "
            "it an .npy of that shape"
        )
    return picture[0]


def _standard_input(picture, net, file):
    """The images in standard input."""
    content, name = standard_input(MAX_INPUT), "standard input"
    if takes_numbers(net):
        rows = parse_npy(content, name, NUMBERS, EXPECTED_NUMBERS)
        return as_numbers(as_images(rows, picture, name), name)
    if content[: len(MAGIC)] == MAGIC:
        return as_images(parse_npy(content, name), picture, name)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "picture"
        path.write_bytes(content)
        try:
            return read_image(path, _side(picture, file), picture[2]).reshape(1, *picture)
        except InputError as error:
            raise InputError(str(error).replace(str(path), "standard input")) from None
