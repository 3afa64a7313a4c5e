"""`bitnet evaluate`: the accuracy of a net on test images, or perplexity on a text; and speed."""

import dataclasses
import time

from bitnet.analysis.table import aligned
from bitnet.archive import to_json
from bitnet.cli.language import evaluate_text, opened_language
from bitnet.cli.options import (
    add_data,
    add_gpu,
    add_threads,
    check_gpu,
    check_number,
    images_of,
    use_threads,
)
from bitnet.data import TEXTS
from bitnet.training.trained import Trained, open_net, prepared_scores

__all__ = ["measure"]

HELP = "accuracy of a net on test images, of each class, or its perplexity; and its speed"


def add_arguments(parser):
    """Give a parser the arguments of the verb."""
    parser.add_argument("file", metavar="FILE", help="what `bitnet train` or `freeze` wrote")
    add_data(parser, "what the net was trained on", TEXTS)
    parser.add_argument(
        "--limit",
        type=int,
        default=0,
        metavar="N",
        help="only the first N test images, words or characters (0: all)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="images at once (frozen: 200, "
        "ConvNets 64, on a GPU 10000 and 256; trained: 1000, ConvNets 100); of "
        "language models, texts at once (as in training)",
    )
    add_threads(parser)
    add_gpu(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args):
    """Print the figures."""
    use_threads(args.threads)
    check_gpu(args.gpu)
    check_number("limit", args.limit, 0, 10**9)
    if args.batch is not None:
        check_number("batch", args.batch, 1, 10**6)
    device = "gpu" if args.gpu else "cpu"
    if language := opened_language(args.file):
        evaluate_text(language.to(device), args)
        return
    net = open_net(args.file).to(device)
    if args.batch is not None:
        net = _with_batch(net, args.batch)
    data, images, labels = images_of(net, args.file, args.data, args.folder, args.limit)
    figures = {"file": str(args.file), "data": data, **measure(net, images, labels)}
    if args.json:
        print(to_json(figures))
        return
    print("{file}: {accuracy:.2%} of {images} test images of {data} are right".format(**figures))
    rows = [
        (name, "no image" if share is None else f"{share:.2%}")
        for name, share in figures["classes"].items()
    ]
    print(*aligned(rows), sep="\n")
    print(f"{figures['images_per_second']:,.0f} images a second, without their preparation")


def measure(net, images, labels):
    """The accuracy of a net, that on each class, and its speed.

    Parameters
    ----------
    net : Trained or FrozenNet
        What to measure.
    images : numpy.ndarray
        uint8 of shape (count, H, W, C), as in the files, one or more.
    labels : numpy.ndarray
        Integers of shape (count,).

    Returns
    -------
    dict
        images (how many), accuracy and classes (from 0 to 1, None where there is no image),
        images_per_second (of one pass, without preparation).

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([4, 2], np.random.default_rng(0)))
    >>> images, labels = np.zeros((3, 2, 2, 1), np.uint8), np.zeros(3, int)
    >>> measure(net, images, labels)["images"]
    3
    """
    prepared = net.prepare(images)
    prepared_scores(net, prepared[:1])  # compiles, and lays the weights out
    start_s = time.perf_counter()
    scores = prepared_scores(net, prepared)
    elapsed_s = time.perf_counter() - start_s
    right = scores.argmax(axis=1) == labels
    names = net.classes or [str(i) for i in range(scores.shape[1])]
    of_class = {}
    for i, name in enumerate(names):
        own = right[labels == i]
        of_class[name] = float(own.mean()) if len(own) else None
    return {
        "images": len(images),
        "accuracy": float(right.mean()),
        "classes": of_class,
        "images_per_second": len(images) / elapsed_s,
    }


def _with_batch(net, batch):
    """The net with so many images at once."""
    if isinstance(net, Trained):
        return dataclasses.replace(net, batch=batch)
    net.batch = batch
    return net
