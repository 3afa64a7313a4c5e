"""`bitnet evaluate`: measure a net on test images or rows, or the perplexity on a text.

examples:
  bitnet evaluate net.npz
  bitnet evaluate net.npz --json --threads 1
  bitnet evaluate net.npz --data sensors.csv
  bitnet evaluate text.npz --data embedded-text
"""

import pathlib
import time
from argparse import Namespace

from bitnet.analysis.table import aligned
from bitnet.archive import to_json
from bitnet.cli.nets import is_text, measure_of, measure_text, scores_of, text_of, vocabulary_of
from bitnet.cli.options import add_data, add_machine, check_number, images_of, use_machine
from bitnet.data import TEXTS
from bitnet.errors import visible
from bitnet.training.metrics import per_second
from bitnet.training.targets import report
from bitnet.training.trained import load_net


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    add = parser.add_argument
    add("file", metavar="FILE", help="a checkpoint, or a net from `bitnet freeze`")
    about = "use only the first N test images, words or characters; 0: all"
    add_data(parser, TEXTS).add_argument("--limit", type=int, default=0, metavar="N", help=about)
    add("--json", action="store_true", help="print JSON")
    about = (
        "images per batch; default: 200 for frozen nets (ConvNets: 64; on a GPU: 10000 and 256), "
        "1000 for trained nets (ConvNets: 100); for texts, the number of streams; default: as in "
        "training, or 20"
    )
    add_machine(parser).add_argument("--batch", type=int, metavar="N", help=about)


def main(args: Namespace) -> None:
    """Measure, and print the figures."""
    device = use_machine(args)
    check_number("limit", args.limit, 0, 10**9)
    if args.batch is not None:
        check_number("batch", args.batch, 1, 10**6)
    net = load_net(args.file).to(device)
    figures, lines = (_of_text if is_text(net) else _of_images)(net, args)
    print(to_json(figures) if args.json else "\n".join(lines))


def _of_images(net, args):
    """The figures on the test images, and the lines to print."""
    if args.batch is not None:
        net.batch = args.batch
    options = args.data, args.folder, args.limit, args.label
    data, images, labels = images_of(net, args.file, *options)
    figures = {"file": str(args.file), "data": data, **measure(net, images, labels)}
    first, rows = LINES[net.target], [[visible(cell) for cell in row] for row in table_of(figures)]
    kind, end = ("rows", "") if net.columns else ("images", ", without their preparation")
    last = f"{figures['images_per_second']:,.0f} {kind} per second{end}"
    notes = _differs(net, args, data, figures)
    return figures, [first.format(kind=kind, **figures), *notes, *aligned(rows), last]


LINES = {
    "classification": "{file}: accuracy {accuracy:.2%} on {images} test {kind} of {data}",
    "regression": "{file}: R^2 {r2:.4f}, mean absolute error {mean_absolute_error:.4g} on {images} "
    "test {kind} of {data}",
    "multilabel": "{file}: F1 {f1:.2%} over all labels, {macro_f1:.2%} as the mean of the labels, "
    "all labels right in {exact:.2%} of {images} test {kind} of {data}",
}


def table_of(figures):
    """Yield the cells of each class, output or label."""
    for name, share in figures.get("classes", {}).items():
        yield name, "no image" if share is None else f"{share:.2%}"
    outputs = figures.get("outputs", {})
    for name, own in outputs.items() if len(outputs) > 1 else ():
        yield name, f"R^2 {own['r2']:.4f}", f"error {own['mean_absolute_error']:.4g}"
    for name, own in figures.get("labels", {}).items():
        shares = ((key, own[key]) for key in ("precision", "recall"))
        words = (f"{key} {'-' if share is None else format(share, '.2%')}" for key, share in shares)
        yield name, f"F1 {own['f1']:.2%}", *words, f"{own['images']} images"


def _of_text(net, args):
    """The figures on the test text, and the lines to print."""
    vocabulary = vocabulary_of(net, args.file)
    data, ids = text_of(net, vocabulary, args, args.limit)
    settings = getattr(net, "settings", {"batch": 20, "steps": 35})
    batch = args.batch or settings["batch"]
    measured = measure_text(scores_of(net), vocabulary, ids, batch, settings["steps"])
    figures = {"file": str(args.file), "data": data, **measured}
    name, value = measure_of(net.unit, figures["loss"])
    return figures, [
        f"{args.file}: {name} {value:.4f} on {figures['tokens']} {net.unit} of {data}",
        *_differs(net, args, data, figures),
        f"{figures['unknown']:.2%} of them are <unk>",
        f"{figures['tokens_per_second']:,.0f} {net.unit} per second, in {batch} streams",
    ]


def _differs(net, args, data, figures):
    """The lines that say that a net was trained on other data; the figures tell it, too."""
    settings = getattr(net, "settings", {})
    own, folder = settings.get("data", getattr(net, "data", None)), settings.get("folder")
    figures["trained_on"] = own
    if own not in (None, data):
        return [f"note: the net was trained on {own}, not on {data}"]
    if args.folder and folder and pathlib.Path(args.folder).resolve() != pathlib.Path(folder):
        return [f"note: the net was trained on the files in {folder}, not in {args.folder}"]
    return []


def measure(net, images, labels):
    """The figures of a net on images as they are in files, in all and per class, and its speed.

    The accuracy on a class without images is None; the speed is that of one pass without
    preparation.
    """
    prepared = net.prepare(images)
    net.scores(prepared[:1], prepared=True)  # compiles, and lays the weights out
    start_s = time.perf_counter()
    scores = net.scores(prepared, prepared=True)
    elapsed_s = time.perf_counter() - start_s
    names = net.classes or [str(i) for i in range(scores.shape[1])]
    return {
        "images": len(images),
        **report(scores, labels, net.target, names),
        "images_per_second": per_second(len(images), elapsed_s),
    }
