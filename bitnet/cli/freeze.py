"""`bitnet freeze`: convert a checkpoint into a file for inference: bits, thresholds and floats.

examples:
  bitnet freeze net.checkpoint
  bitnet freeze net.checkpoint --out small.npz --check 100
  bitnet freeze net.checkpoint --out small.npz --reestimate 20
  bitnet freeze text.checkpoint --out text.npz --check 0
"""

import pathlib
from argparse import Namespace

import numpy as np

import bitnet
from bitnet.cli import options
from bitnet.cli.nets import is_text, text_of
from bitnet.data import TEXTS
from bitnet.errors import InputError
from bitnet.files import check_writable
from bitnet.nn.module import evaluating
from bitnet.training.reestimation import reestimate
from bitnet.training.sources import OF_DATA, inputs_of, read_data
from bitnet.training.trained import Trained, load_net, norms_without_batches


def add_arguments(parser):
    """Add the arguments of the verb to a parser."""
    add = parser.add_argument
    add("file", metavar="CHECKPOINT", help="a checkpoint from `bitnet train`")
    add("--out", metavar="NET.npz", help="the file to write; default: CHECKPOINT's name with .npz")
    about = (
        "compare every integer with the trained net's on the first N test images, or every score "
        "on the first N words or characters; 0: do not compare"
    )
    add("--check", type=int, default=1000, metavar="N", help=about)
    about = (
        "replace the statistics of the norms by their means over N batches of training images; "
        "0: keep those of the training"
    )
    add("--reestimate", type=int, default=0, metavar="N", help=about)
    options.add_data(parser, TEXTS)
    options.add_machine(parser, gpu=False)


def main(args: Namespace) -> None:
    """Freeze, save, load and compare."""
    options.use_machine(args)
    for name in ("check", "reestimate"):
        options.check_number(name, getattr(args, name), 0, 10**9)
    net = load_net(args.file)
    if not isinstance(net, Trained):
        raise InputError(f"{args.file} holds a {net.kind!r}; expected a training checkpoint")
    if args.reestimate and is_text(net):
        raise InputError("--reestimate applies only to nets with norms, not to texts; remove it")
    n = _reestimate(net, args) if args.reestimate else 0
    made = net.freeze()
    out = pathlib.Path(args.out or pathlib.Path(args.file).with_suffix(".npz"))
    options.check_suffix("--out", out, ".npz")
    check_writable(out)
    options.check_replaced(out, made.kind)
    sample = _sample(net, args) if args.check else None
    made.save(out)
    loaded = bitnet.load(out)
    print(f"{out}: {loaded}")
    if n:
        size = net.settings["batch"]
        print(f"statistics of the norms: means over {n} batches of {size} training images")
    new = [] if n else norms_without_batches(net.model)
    if new:
        print(
            f"note: {len(new)} norms, such as {new[0]}, have seen no batch, so most inputs get the "
            "same scores; train the net first"
        )
    _print_sizes(net, out)
    if sample is not None:
        (_compare_text if is_text(net) else _compare)(net, loaded, sample, out)


def _sample(net, args):
    """The test images, or tokens (count, 1), on which both nets are compared."""
    try:
        if is_text(net):
            return text_of(net, net.vocabulary, args, max(2, args.check))[1][:, None]
        return options.images_of(net, args.file, args.data, args.folder, args.check, args.label)[1]
    except InputError as error:
        raise InputError(f"{error}; or add --check 0 to freeze without a comparison") from None


def _compare(trained, loaded, images, out):
    """Compare every integer, score and class on images."""
    agreement = bitnet.compare(trained.model, loaded, images)
    if not agreement.is_complete:
        raise InputError(f"{out} differs from the trained net: {agreement}; please report this")
    integers = f"{agreement.integers} integers, " if agreement.integers else ""
    kind = "rows" if loaded.columns else "images"
    print(
        f"compared with the trained net on {agreement.images} test {kind}: all {integers}scores "
        "and classes are equal"
    )


def _compare_text(trained, loaded, ids, out):
    """Compare every score on tokens."""
    with evaluating(trained.model):
        scores = trained.model(ids, None)[0].data
    if not np.array_equal(scores, loaded.scores(ids)[0]):
        raise InputError(f"{out} differs from the trained net in its scores; please report this")
    print(
        f"compared with the trained net on {len(ids)} {trained.unit} of the test text: all "
        f"{scores.size} scores are equal"
    )


def _reestimate(trained, args):
    """Re-estimate the statistics of a net's norms; returns the number of batches."""
    settings = trained.settings
    if args.data not in (None, settings["data"]):
        raise InputError(
            f"--data is {args.data}, but --reestimate takes the training images of "
            f"{settings['data']}; remove one of them"
        )
    folder = {"folder": args.folder or settings["folder"]}
    data = read_data(*((settings | folder)[name] for name in OF_DATA)).train
    count, rng = settings["batch"], np.random.default_rng(settings["seed"])
    n = min(args.reestimate, len(data[0]) // count)
    parts = np.split(rng.permutation(len(data[0]))[: n * count], n)
    images = (trained.prepare(data[0][np.sort(part)]) for part in parts)
    return reestimate(trained.model, images, inputs_of(trained.model))


def _print_sizes(trained, out):
    """Print the bytes of the file, of the preparation in it and of the latent weights."""
    n_bytes, of_preparation = out.stat().st_size, 0
    if trained.preparation is not None:
        of_preparation = sum(array.nbytes for array in trained.preparation.arrays.values())
    also = f", {of_preparation} of them for the preparation" if of_preparation else ""
    latent = sum(parameter.data.nbytes for parameter in trained.model.parameters())
    print(
        f"{n_bytes} bytes{also}; the trained parameters in float32 have {latent} bytes, "
        f"{latent / (n_bytes - of_preparation):.1f} times those of the net"
    )
