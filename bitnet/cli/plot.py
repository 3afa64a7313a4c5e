"""`bitnet plot`: pictures of trainings and nets, as PNG or SVG."""

import dataclasses

from bitnet.analysis import plots
from bitnet.analysis.layer_counts import matrices_of
from bitnet.cli.nets import LanguageFile, opened_language
from bitnet.cli.options import add_data, add_machine, check_number, images_of, use_machine
from bitnet.deploy.freeze import freeze
from bitnet.errors import InputError
from bitnet.kernels import Bits
from bitnet.nn import IntegerLayer
from bitnet.quantizers import quantizer_named
from bitnet.training.log import read_log
from bitnet.training.trained import Trained, open_net, raw_scores

HELP = "curves, latent weights, filters, codes, confusion, quantizers as PNG or SVG"
LOG = "what `bitnet train --log` wrote"
FLOAT = (
    "the net is a float twin, which has no weights of a few bits; name a net that was trained "
    "without --float"
)
KINDS = {
    "curves": "loss, accuracies and flip ratio in per cent, and learning rate, by epoch; of texts "
    "perplexity, or bits per character, for accuracies",
    "histograms": "how the latent weights of each layer of bits spread, by epoch",
    "filters": "the weights of a layer, from black for -1, or the smallest, to white",
    "codes": "how many weights of each layer have each of their few numbers",
    "confusion": "how often each class of a data set's test images is taken for each",
    "quantizers": "quantizers beside their surrogates, and the slope of the backward pass",
}
NAMES = (
    "as uniform:2, linear:4:0.25, log:3, sign:2, stochastic-sign, or of gradients log6; up to 24 "
    "(one or more of each)"
)


def add_arguments(parser):
    """Give a parser the arguments of the verb."""
    kinds = parser.add_subparsers(title="kinds", dest="kind", required=True, metavar="KIND")
    own = {name: kinds.add_parser(name, help=t, description=f"{t}.") for name, t in KINDS.items()}
    for each in own.values():
        each.add_argument("--out", required=True, metavar="FILE.png|svg", help="the picture")
    for name in ("filters", "codes", "confusion"):
        about = "what `bitnet train` or `freeze` wrote"
        own[name].add_argument("file", metavar="FILE", help=about)
    add = own["curves"].add_argument
    add("logs", nargs="+", metavar="LOG.jsonl", help=f"{LOG}; up to 7")
    about = "the name of a log, once for each (its file's name)"
    add("--label", action="append", metavar="TEXT", help=about)
    own["histograms"].add_argument("log", metavar="LOG.jsonl", help=LOG)
    add, about = own["filters"].add_argument, "which layer of bits, from 0 (0)"
    add("--layer", type=int, default=0, metavar="I", help=about)
    about = "units or channels shown, 1 to 1024 (64)"
    add("--count", type=int, default=64, metavar="N", help=about)
    add_data(own["confusion"], "what the net was trained on")
    about = "only the first N test images (0: all)"
    own["confusion"].add_argument("--limit", type=int, default=0, metavar="N", help=about)
    add_machine(own["confusion"], gpu=False)
    names = {"nargs": "*", "metavar": "NAME", "default": plots.QUANTIZERS, "help": NAMES}
    own["quantizers"].add_argument("names", **names)


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
        weights, codebook = layers[args.layer]
        plots.plot_filters(weights, args.out, picture, args.count, codebook=codebook)
    elif args.kind == "codes":
        plots.plot_codes(weights_of(_opened(args.file)), args.out)
    elif args.kind == "confusion":
        use_machine(args)
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
    """Open the file of a net for images or texts."""
    return opened_language(path, of_words=False) or open_net(path)


def weights_of(net):
    """The weights of the layers of a net, as they are multiplied, by number and kind of the layer.

    Each is a pair of Bits or BitPlanes and the Codebook that its codes stand for, None for ±1.
    """
    if isinstance(net, LanguageFile):
        return _of_language(net)
    if isinstance(net, Trained):
        layers = [layer for layer in net.model.modules() if isinstance(layer, IntegerLayer)]
        found = [(layer.packed, layer.weight_quantizer.codebook) for layer in layers]
    else:
        layers = net.layers
        found = [(layer.bits, layer.weight_codebook) for layer in layers]
    if not found:
        raise InputError(FLOAT)
    pairs = ((w, None if isinstance(w, Bits) else codebook) for w, codebook in found)
    names = (f"{i} {type(layer).__name__}" for i, layer in enumerate(layers))
    return dict(zip(names, pairs, strict=True))


def _of_language(net):
    """The weights of a language model by matrix, without their scales."""
    if net.settings.get("float"):
        raise InputError(FLOAT)
    model = freeze(net.model) if net.settings else net.model
    plain = {k: dataclasses.replace(m, scale=1.0) for k, m in matrices_of(model).items()}
    return {k: (m.weight, quantizer_named(m.quantizer).codebook) for k, m in plain.items()}
