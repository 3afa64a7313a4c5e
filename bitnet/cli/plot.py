"""`bitnet plot`: pictures of trainings and nets, as PNG or SVG."""

import dataclasses

from bitnet.analysis import plots
from bitnet.analysis.layer_counts import matrices_of
from bitnet.cli.language import opened_language
from bitnet.cli.options import add_data, add_threads, check_number, images_of, use_threads
from bitnet.deploy.freeze_language import freeze_language_model
from bitnet.errors import InputError
from bitnet.kernels import Bits
from bitnet.nn.conv import QuantConv2d
from bitnet.nn.linear import QuantLinear
from bitnet.quantizers import quantizer_named
from bitnet.training.language.experiment import TrainedLanguage
from bitnet.training.log import read_log
from bitnet.training.trained import Trained, open_net, raw_scores

__all__ = ["weights_of"]

HELP = "curves, latent weights, filters, codes, confusion, quantizers as PNG or SVG"
LOG = "what `bitnet train --log` wrote"
FILE = "what `bitnet train` or `freeze` wrote"
FLOAT = (
    "the net is a float twin, which has no weights of a few bits; name a net that was trained "
    "without --float"
)


def add_arguments(parser):
    """Give a parser the arguments of the verb."""
    kinds = parser.add_subparsers(title="kinds", dest="kind", required=True, metavar="KIND")

    def kind(name, about):
        own = kinds.add_parser(name, help=about, description=f"{about}.")
        own.add_argument("--out", required=True, metavar="FILE.png|svg", help="the picture")
        return own

    own = kind(
        "curves",
        "loss, accuracies and flip ratio in per cent, and learning rate, by "
        "epoch; of texts perplexity, or bits per character, for accuracies",
    )
    own.add_argument("logs", nargs="+", metavar="LOG.jsonl", help=f"{LOG}; up to 7")
    own.add_argument(
        "--label",
        action="append",
        metavar="TEXT",
        help="the name of a log, once for each (its file's name)",
    )
    own = kind("histograms", "how the latent weights of each layer of bits spread, by epoch")
    own.add_argument("log", metavar="LOG.jsonl", help=LOG)
    own = kind("filters", "the weights of a layer, from black for -1, or the smallest, to white")
    own.add_argument("file", metavar="FILE", help=FILE)
    own.add_argument(
        "--layer", type=int, default=0, metavar="I", help="which layer of bits, from 0 (0)"
    )
    own.add_argument(
        "--count", type=int, default=64, metavar="N", help="units or channels shown, 1 to 1024 (64)"
    )
    own = kind("codes", "how many weights of each layer have each of their few numbers")
    own.add_argument("file", metavar="FILE", help=FILE)
    own = kind("confusion", "how often each class of a data set's test images is taken for each")
    own.add_argument("file", metavar="FILE", help=FILE)
    add_data(own, "what the net was trained on")
    own.add_argument(
        "--limit", type=int, default=0, metavar="N", help="only the first N test images (0: all)"
    )
    add_threads(own)
    own = kind(
        "quantizers", "quantizers beside their surrogates, and the slope of the backward pass"
    )
    own.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        default=plots.QUANTIZERS,
        help="as uniform:2, linear:4:0.25, log:3, sign:2, stochastic-sign, or of "
        "gradients log6; up to 24 (one or more of each)",
    )


def main(args):
    """Draw the picture."""
    plots.check_plot(args.out)
    if args.kind == "curves":
        plots.plot_curves([read_log(log) for log in args.logs], args.out, args.label)
    elif args.kind == "histograms":
        plots.plot_histograms(read_log(args.log), args.out)
    elif args.kind == "filters":
        check_number("count", args.count, 1, 1024)
        net = _opened(args.file)
        picture = getattr(net, "picture", None) if args.layer == 0 else None
        layers = [*weights_of(net).values()]
        if not 0 <= args.layer < len(layers):
            raise InputError(f"--layer is {args.layer}; expected 0 to {len(layers) - 1}")
        weights, levels = layers[args.layer]
        plots.plot_filters(weights, args.out, picture, args.count, levels=levels)
    elif args.kind == "codes":
        plots.plot_codes(weights_of(_opened(args.file)), args.out)
    elif args.kind == "confusion":
        use_threads(args.threads)
        check_number("limit", args.limit, 0, 10**9)
        net = open_net(args.file)
        _, images, labels = images_of(net, args.file, args.data, args.folder, args.limit)
        classes = net.classes or [str(i) for i in range(net.sizes[-1])]
        predictions = raw_scores(net, images).argmax(axis=1)
        plots.plot_confusion(labels, predictions, classes, args.out)
    else:
        plots.plot_quantizers(args.out, args.names)
    print(f"{args.out}: {args.kind}")


def _opened(path):
    """The net of a file, of images or of texts."""
    return opened_language(path, of_words=False) or open_net(path)


def weights_of(net):
    """The weights of the layers of a trained or frozen net, as they are multiplied.

    Parameters
    ----------
    net : Trained or FrozenNet or TrainedLanguage
        As `open_net` or `opened_language` gives it.

    Returns
    -------
    dict of str to (Bits or Planes, Levels or None)
        By the number and kind of the layer: its weights, and what their codes stand for; None
        for ±1.

    Raises
    ------
    InputError
        If it is a float twin.

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([4, 3], np.random.default_rng(0)))
    >>> weights_of(net)
    {'0 FrozenOutput': (Bits(shape=(3, 4), 24 bytes), None)}
    """
    if isinstance(net, TrainedLanguage):
        return _of_language(net)
    if isinstance(net, Trained):
        kinds = QuantLinear, QuantConv2d
        layers = [layer for layer in net.model.modules() if isinstance(layer, kinds)]
        found = [(layer.packed, layer.quantizer.levels) for layer in layers]
    else:
        layers = net.layers
        found = [(layer.bits, layer.weight_levels) for layer in layers]
    if not found:
        raise InputError(FLOAT)
    pairs = ((w, None if isinstance(w, Bits) else levels) for w, levels in found)
    names = (f"{i} {type(layer).__name__}" for i, layer in enumerate(layers))
    return dict(zip(names, pairs, strict=True))


def _of_language(net):
    """The weights of the matrices of a language model, without their scales."""
    if net.settings.get("float"):
        raise InputError(FLOAT)
    model = freeze_language_model(net.model) if net.settings else net.model
    return {
        name: (
            dataclasses.replace(matrix, scale=1.0).weight,
            quantizer_named(matrix.quantizer).levels,
        )
        for name, matrix in matrices_of(model).items()
    }
