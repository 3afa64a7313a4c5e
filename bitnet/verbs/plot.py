"""`bitnet plot`: pictures of trainings and nets, as PNG or SVG."""

from bitnet import plots
from bitnet.errors import InputError
from bitnet.runlog import read_log
from bitnet.train import weight_bits
from bitnet.trained import Trained, open_net, raw_scores
from bitnet.verbs.options import add_data, add_threads, check_number, images_of, use_threads

__all__ = ["bits_of"]

HELP = "curves, latent weights, filters, confusion, quantizers as PNG or SVG"
LOG = "what `bitnet train --log` wrote"
FILE = "what `bitnet train` or `freeze` wrote"


def add_arguments(parser):
    """Give a parser the arguments of the verb."""
    kinds = parser.add_subparsers(title="kinds", dest="kind", required=True, metavar="KIND")

    def kind(name, about):
        own = kinds.add_parser(name, help=about, description=f"{about}.")
        own.add_argument("--out", required=True, metavar="FILE.png|svg", help="the picture")
        return own

    own = kind("curves", "loss, accuracies and flip ratio in per cent, and learning rate, by epoch")
    own.add_argument("logs", nargs="+", metavar="LOG.jsonl", help=f"{LOG}; up to 7")
    own.add_argument("--label", action="append", metavar="TEXT",
                     help="the name of a log, once for each (its file's name)")  # fmt: skip
    own = kind("histograms", "how the latent weights of each binary layer spread, by epoch")
    own.add_argument("log", metavar="LOG.jsonl", help=LOG)
    own = kind("filters", "the ±1 weights of a layer, white for +1 and black for -1")
    own.add_argument("file", metavar="FILE", help=FILE)
    own.add_argument("--layer", type=int, default=0, metavar="I",
                     help="which binary layer, from 0 (0)")  # fmt: skip
    own.add_argument("--count", type=int, default=64, metavar="N",
                     help="units or channels shown, 1 to 1024 (64)")  # fmt: skip
    own = kind("confusion", "how often each class of a data set's test images is taken for each")
    own.add_argument("file", metavar="FILE", help=FILE)
    add_data(own, "what the net was trained on")
    own.add_argument("--limit", type=int, default=0, metavar="N",
                     help="only the first N test images (0: all)")  # fmt: skip
    add_threads(own)
    own = kind(
        "quantizers", "quantizers beside their surrogates, and the slope of the backward pass"
    )
    own.add_argument("names", nargs="*", metavar="NAME", default=plots.QUANTIZERS,
                     help="as uniform:2, linear:4:0.25, log:3, sign:2, stochastic-sign, or of "
                     "gradients log6; up to 24 (one or more of each)")  # fmt: skip


def main(args):
    """Draw the picture."""
    plots.check_plot(args.out)
    if args.kind == "curves":
        plots.plot_curves([read_log(log) for log in args.logs], args.out, args.label)
    elif args.kind == "histograms":
        plots.plot_histograms(read_log(args.log), args.out)
    elif args.kind == "filters":
        check_number("count", args.count, 1, 1024)
        net = open_net(args.file)
        picture = net.picture if args.layer == 0 else None
        plots.plot_filters(bits_of(net, args.layer), args.out, picture, args.count)
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


def bits_of(net, layer):
    """The ±1 weights of a layer of a trained or frozen net.

    Parameters
    ----------
    net : Trained or FrozenNet
        As `open_net` gives it.
    layer : int
        Which binary layer, from 0.

    Returns
    -------
    Bits

    Raises
    ------
    InputError
        If there is no such layer.

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> net = bitnet.freeze(bitnet.models.binary_mlp([4, 3], np.random.default_rng(0)))
    >>> bits_of(net, 0)
    Bits(shape=(3, 4), 24 bytes)
    """
    trained = isinstance(net, Trained)
    all_bits = weight_bits(net.model) if trained else [layer.bits for layer in net.layers]
    if not all_bits:
        raise InputError("the net is a float twin, which has no ±1 weights")
    if not 0 <= layer < len(all_bits):
        raise InputError(f"--layer is {layer}; expected 0 to {len(all_bits) - 1}")
    return all_bits[layer]
