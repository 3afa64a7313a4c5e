"""`bitnet plot`: plot training logs and nets as PNG or SVG.

examples:
  bitnet plot curves net.jsonl --out curves.png
  bitnet plot filters net.npz --out filters.svg
  bitnet plot graph net.checkpoint --out graph.svg
  bitnet plot quantizers uniform:2 log:3 --out quantizers.png
"""

from argparse import Namespace

import numpy as np

from bitnet.analysis import plots
from bitnet.autograd import trace
from bitnet.cli.options import add_data, add_machine, check_number, images_of, use_machine
from bitnet.deploy.sources import Weights
from bitnet.errors import InputError
from bitnet.training.log import read_log
from bitnet.training.trained import Trained, load_net, open_net

LOG = "a log from `bitnet train --log`"
FLOAT = (
    "the net is a float twin, which has no low-bit weights; name a net that was trained without "
    "--float"
)
KINDS = {
    "curves": "loss, accuracy (for texts perplexity or bits per character), flip ratio and "
    "learning rate by epoch",
    "histograms": "the distribution of the latent weights of each low-bit layer by epoch",
    "filters": "the weights of a layer, from black (-1 or the smallest) to white",
    "codes": "the number of weights per layer for each of the k-bit values",
    "confusion": "the confusion matrix on the test images of a data set",
    "graph": "the operations of a trained or frozen net, from the input to the scores",
    "quantizers": "quantizers with their surrogates and the slope of the backward pass",
}
NAMES = (
    "up to 24 quantizers, such as uniform:2, linear:4:0.25, log:3, sign:2, stochastic-sign, or "
    "log6 for gradients; default: at least one of each kind"
)


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    kinds = parser.add_subparsers(title="kinds", dest="kind", required=True, metavar="KIND")
    own = {name: kinds.add_parser(name, help=t, description=f"{t}.") for name, t in KINDS.items()}
    for each in own.values():
        about = "the picture; default: KIND.png, such as confusion.png"
        each.add_argument("--out", metavar="NAME.png|svg", help=about)
    for name in ("filters", "codes", "confusion", "graph"):
        about = "a checkpoint, or a net from `bitnet freeze`"
        own[name].add_argument("file", metavar="FILE", help=about)
    add = own["curves"].add_argument
    add("logs", nargs="+", metavar="LOG.jsonl", help=f"{LOG}; up to 7")
    about = "the label of a log, once for each log; default: the name of its file"
    add("--label", action="append", metavar="TEXT", help=about)
    own["histograms"].add_argument("log", metavar="LOG.jsonl", help=LOG)
    add, about = own["filters"].add_argument, "number of the low-bit layer, from 0"
    add("--layer", type=int, default=0, metavar="I", help=about)
    about = "number of units or channels to show, 1 to 1024"
    add("--count", type=int, default=64, metavar="N", help=about)
    add, about = add_data(own["confusion"]).add_argument, "use only the first N test images; 0: all"
    add("--limit", type=int, default=0, metavar="N", help=about)
    add_machine(own["confusion"], gpu=False)
    names = {"nargs": "*", "metavar": "NAME", "default": plots.QUANTIZERS, "help": NAMES}
    own["quantizers"].add_argument("names", **names)


def main(args: Namespace) -> None:
    """Draw the picture."""
    args.out = args.out or f"{args.kind}.png"
    plots.check_plot(args.out)
    if args.kind == "curves":
        plots.plot_curves([read_log(log) for log in args.logs], args.label, path=args.out)
    elif args.kind == "histograms":
        plots.plot_histograms(read_log(args.log), path=args.out)
    elif args.kind == "filters":
        check_number("count", args.count, 1, 1024)
        net = load_net(args.file)
        picture = getattr(net, "picture", None) if args.layer == 0 else None
        layers = [*weights_of(net).values()]
        if not 0 <= args.layer < len(layers):
            raise InputError(f"--layer is {args.layer}; expected 0 to {len(layers) - 1}")
        weights, codebook = layers[args.layer]
        plots.plot_filters(weights, picture, args.count, codebook=codebook, path=args.out)
    elif args.kind == "codes":
        plots.plot_codes(weights_of(load_net(args.file)), path=args.out)
    elif args.kind == "confusion":
        use_machine(args)
        check_number("limit", args.limit, 0, 10**9)
        net = open_net(args.file)
        if net.target != "classification":
            raise InputError(
                f"{args.file} predicts {net.target}, which has no confusion matrix; see `bitnet "
                "evaluate` for its figures"
            )
        _, images, labels = images_of(
            net, args.file, args.data, args.folder, args.limit, args.label
        )
        classes = net.classes or [str(i) for i in range(net.sizes[-1])]
        predictions = net.predict(images)
        plots.plot_confusion(labels, predictions, classes, path=args.out)
    elif args.kind == "graph":
        plots.plot_graph(_graph(args.file), path=args.out)
    else:
        plots.plot_quantizers(args.names, path=args.out)
    print(f"{args.out}: {args.kind}")


def _graph(path):
    """Return the graph of a frozen net, or that of a checkpoint, traced with one input."""
    net = load_net(path)
    if not isinstance(net, Trained):
        return net.graph
    if net.task == "texts":
        return trace(net.model, np.zeros((2, 1), np.int64))  # 2 steps of 1 text
    kind, shape = net.model.takes
    return trace(net.model, np.zeros((1, *shape), kind))


def weights_of(net):
    """The packed weights of a net, by number and the kind of what takes them.

    Each is a pair of Bits or BitPlanes and the Codebook that its codes stand for, None for ±1.
    """
    graph = (net.freeze() if isinstance(net, Trained) else net).graph
    pairs = ((i, node) for i, node in enumerate(graph.nodes) if isinstance(node, Weights))
    readers = ((graph.readers[i], node) for i, node in pairs)
    found = [(graph.nodes[own[0]].kind, node) for own, node in readers if own and own[0] >= 0]
    if not found:
        raise InputError(FLOAT)
    return {f"{i} {kind}": (w.packed, w.codebook) for i, (kind, w) in enumerate(found)}
