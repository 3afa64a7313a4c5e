"""`bitnet predict`: the classes of pictures and arrays of pixels; how a text goes on."""

import math
import pathlib
import sys
import tempfile

import numpy as np

from bitnet.archive import to_json
from bitnet.cli.language import opened_language, predict_text
from bitnet.cli.options import add_gpu, add_threads, check_gpu, check_number, use_threads
from bitnet.data.arrays import MAGIC, parse_npy, read_arrays
from bitnet.data.image_folder import read_image, read_images_of
from bitnet.errors import InputError
from bitnet.training.trained import open_net, raw_scores

__all__ = ["as_images", "picture_of"]

HELP = "the classes of pictures, folders, arrays or standard input; how a text goes on"
TEXT_OPTIONS = ("count", "temperature", "seed")
MAX_INPUT = 1 << 28  # bytes of standard input


def add_arguments(parser):
    """Give a parser the arguments of the verb."""
    parser.add_argument("file", metavar="FILE", help="what `bitnet train` or `freeze` wrote")
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="a picture (Pillow reads it; "
        "its middle is scaled to the net's size), a folder of pictures (other "
        "files and folders in it are passed over), an .npy or .npz of uint8 pixels "
        "(count, rows, columns[, 3]), or - for standard input, a picture or "
        ".npy; for a language model, the beginning of a text, or - for standard "
        "input",
    )
    parser.add_argument(
        "--top",
        type=int,
        default=1,
        metavar="K",
        help="print the K classes with the largest scores (1)",
    )
    parser.add_argument(
        "--invert",
        action="store_true",
        help="255 - pixel, as for black on white where a net was trained on white on black",
    )
    parser.add_argument(
        "--count",
        type=int,
        metavar="N",
        help="of language models: words or characters that are added (100)",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="of language models: below "
        "1 likely words become likelier, 0 takes the likeliest (0.8)",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of language models: of what is drawn (0)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON: a list of {input, class, "
        "index, scores}, the scores of all classes in their order, or of "
        "{input, text}",
    )
    add_threads(parser)
    add_gpu(parser)


def main(args):
    """Print a line an image, with tabs: its name, then class and score as often as --top says."""
    check_number("top", args.top, 1, 1000)
    use_threads(args.threads)
    check_gpu(args.gpu)
    if args.inputs.count("-") > 1:
        raise InputError("- stands twice; there is one standard input")
    device = "gpu" if args.gpu else "cpu"
    if language := opened_language(args.file):
        predict_text(language.to(device), args)
        return
    if extra := [name for name in TEXT_OPTIONS if getattr(args, name) is not None]:
        raise InputError(f"--{extra[0]} is of language models; leave it out for images")
    net = open_net(args.file).to(device)
    picture, rows = picture_of(net), []
    for text in args.inputs:
        names, images = _read(text, picture, args.file)
        scores = raw_scores(net, 255 - images if args.invert else images)
        names_of = net.classes or [str(i) for i in range(scores.shape[1])]
        for name, own in zip(names, scores, strict=True):
            order = np.argsort(-own, kind="stable")
            if args.json:
                first = int(order[0])
                rows.append(
                    {
                        "input": name,
                        "class": names_of[first],
                        "index": first,
                        "scores": own.tolist(),
                    }
                )
            else:
                best = (f"{names_of[i]}\t{own[i]:.4f}" for i in order[: args.top].tolist())
                print(name, *best, sep="\t")
    if args.json:
        print(to_json(rows))


def picture_of(net):
    """Rows, columns and channels of the images that a net takes.

    Parameters
    ----------
    net : Trained or FrozenNet
        A frozen net of an older file does not say it; a square is taken for grey.

    Returns
    -------
    (int, int, int)

    Raises
    ------
    InputError
        If the net takes ±1, or rows of pixels that are no square.

    Examples
    --------
    >>> import bitnet
    >>> picture_of(bitnet.freeze(bitnet.nn.models.binary_mlp([784, 10], np.random.default_rng(0))))
    (28, 28, 1)
    """
    if getattr(net, "input", "pixels") != "pixels":
        raise InputError(f"{net} takes {net.input}; expected a net of pixels")
    if net.picture:
        return net.picture
    shape = net.shape if len(net.shape) == 3 else (math.isqrt(net.shape[0]),) * 2 + (1,)
    if math.prod(shape) != net.sizes[0]:
        raise InputError(f"{net} does not say how its {net.sizes[0]} pixels make a picture")
    return shape


def as_images(array, picture, name):
    """An array as images of a net.

    Parameters
    ----------
    array : numpy.ndarray
        uint8: one image or many, with or without the axis of a single channel, or rows of pixels.
    picture : (int, int, int)
        Rows, columns and channels.
    name : str
        Where it comes from, for the message.

    Returns
    -------
    numpy.ndarray
        Shape (count, *picture).

    Raises
    ------
    InputError
        If it does not fit.

    Examples
    --------
    >>> as_images(np.zeros((28, 28), np.uint8), (28, 28, 1), "zero").shape
    (1, 28, 28, 1)
    """
    shapes = [picture, picture[:2]] if picture[2] == 1 else [picture]
    shapes.append((math.prod(picture),))
    if array.shape in shapes:
        array = array[None]
    if array.shape[1:] not in shapes:
        raise InputError(
            f"{name}: an array of shape {array.shape}; expected images of "
            f"{'x'.join(map(str, picture))} pixels, (count, {', '.join(map(str, picture))})"
        )
    return array.reshape(-1, *picture)


def _read(text, picture, net):
    """The names and the images, (count, *picture), of one input."""
    path = pathlib.Path(text)
    if text == "-":
        return _numbered({"-": _standard_input(picture, net)}, text)
    if path.suffix.lower() in (".npy", ".npz"):
        found = read_arrays(path)
        parts = {f"{text}:{key}" if key else text: array for key, array in found.items()}
        return _numbered({name: as_images(a, picture, name) for name, a in parts.items()}, text)
    paths, images = read_images_of(path, _side(picture, net), picture[2])
    return [str(path) for path in paths], images.reshape(-1, *picture)


def _numbered(parts, text):
    """The names and the images of arrays of images by name."""
    names = [
        f"{name}[{i}]" if len(part) > 1 else name
        for name, part in parts.items()
        for i in range(len(part))
    ]
    if not names:
        raise InputError(f"{', '.join(parts) or text}: no images in it")
    return names, np.concatenate(list(parts.values()))


def _side(picture, net):
    """The side of the squares that pictures are scaled to."""
    if picture[0] != picture[1]:
        raise InputError(
            f"{net} takes images of {picture[0]}x{picture[1]}; pictures become squares, so give it "
            "an .npy of that shape"
        )
    return picture[0]


def _standard_input(picture, net):
    """The images in standard input."""
    content = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(content) > MAX_INPUT:
        raise InputError(f"standard input: more than the {MAX_INPUT} bytes that are read")
    if content[: len(MAGIC)] == MAGIC:
        return as_images(parse_npy(content, "standard input"), picture, "standard input")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "picture"
        path.write_bytes(content)
        try:
            return read_image(path, _side(picture, net), picture[2]).reshape(1, *picture)
        except InputError as error:
            raise InputError(str(error).replace(str(path), "standard input")) from None
