"""`bitnet freeze`: a trained net as bits and integer thresholds, in a small file."""

import pathlib

import numpy as np

import bitnet
from bitnet.archive import check_writable
from bitnet.cli.language import freeze_text, opened_language
from bitnet.cli.options import (
    add_data,
    add_threads,
    check_number,
    check_replaced,
    images_of,
    use_threads,
)
from bitnet.data import TEXTS
from bitnet.deploy.file import KIND
from bitnet.errors import InputError
from bitnet.training.reestimation import reestimate
from bitnet.training.settings import inputs_of, read_data
from bitnet.training.trained import load_trained

__all__ = ["frozen"]

HELP = "a trained net as bits and integer thresholds, in a small file"


def add_arguments(parser):
    """Give a parser the arguments of the verb."""
    parser.add_argument("file", metavar="CHECKPOINT", help="what `bitnet train` wrote")
    parser.add_argument(
        "--out", metavar="NET.npz", help="the file to write (CHECKPOINT's name with .npz)"
    )
    parser.add_argument(
        "--check",
        type=int,
        default=1000,
        metavar="N",
        help="hold every "
        "integer against the trained net's on the first N test images, or the "
        "scores on the first N words or characters; 0: do not (1000)",
    )
    parser.add_argument(
        "--reestimate",
        type=int,
        default=0,
        metavar="N",
        help="replace the "
        "statistics of the norms by plain means over N batches of training images "
        "(0: take those of the training)",
    )
    add_data(parser, "what the net was trained on", TEXTS)
    add_threads(parser)


def main(args):
    """Freeze, save, load and compare."""
    use_threads(args.threads)
    check_number("check", args.check, 0, 10**9)
    check_number("reestimate", args.reestimate, 0, 10**9)
    if language := opened_language(args.file, of_words=False):
        freeze_text(language, args)
        return
    trained = load_trained(args.file)
    n = _reestimate(trained, args) if args.reestimate and not trained.settings["float"] else 0
    net = frozen(trained, args.file)
    out = pathlib.Path(args.out or pathlib.Path(args.file).with_suffix(".npz"))
    check_writable(out)
    check_replaced(out, KIND)
    images = None
    if args.check:
        try:
            images = images_of(trained, args.file, args.data, args.folder, args.check)[1]
        except InputError as error:
            raise InputError(f"{error}; or --check 0, to freeze without a comparison") from None
    net.save(out)
    loaded = bitnet.load(out)
    print(f"{out}: {loaded}")
    if n:
        size = trained.settings["batch"]
        print(f"statistics of its norms: means over {n} batches of {size} training images")
    _print_sizes(trained, loaded, out)
    if images is None:
        return
    agreement = bitnet.compare(trained.model, loaded, loaded.prepare(images))
    if not agreement.is_complete:
        raise InputError(f"{out} is not the trained net: {agreement}; please report this")
    print(
        f"compared with the trained net on {agreement.images} test images: all "
        f"{agreement.integers} integers, scores and classes are equal"
    )


def frozen(trained, path):
    """The frozen net of a trained one, with its classes and preparation.

    Parameters
    ----------
    trained : Trained
        Of few bits.
    path : str
        Its file, for the message.

    Returns
    -------
    FrozenNet

    Raises
    ------
    InputError
        If it is a float twin, or the training diverged.

    Examples
    --------
    >>> from bitnet.training.trained import Trained
    >>> try:
    ...     frozen(Trained(None, {"float": True, "net": "mlp:8"}), "twin.checkpoint")
    ... except InputError as error:
    ...     print(error)  # doctest: +ELLIPSIS
    twin.checkpoint holds the float twin of mlp:8, which has no bits to freeze; ...
    """
    if trained.settings["float"]:
        raise InputError(
            f"{path} holds the float twin of {trained.settings['net']}, which has no bits to "
            "freeze; train without --float"
        )
    image = trained.image[:2] if trained.image else None
    net = bitnet.freeze(trained.model, image=image)
    net.classes, net.data = trained.classes, trained.settings["data"]
    net.picture, net.preparation = trained.picture, trained.preparation
    return net


def _reestimate(trained, args):
    """Re-estimate the statistics of a net's norms; returns the number of batches."""
    settings = trained.settings
    if args.data not in (None, settings["data"]):
        raise InputError(
            f"--data is {args.data}, but --reestimate takes the training images of "
            f"{settings['data']}; leave one of them out"
        )
    names = "data", "folder", "limit", "validation", "size", "channels"
    folder = {"folder": args.folder or settings["folder"]}
    data = read_data(*((settings | folder)[name] for name in names)).train
    count, rng = settings["batch"], np.random.default_rng(settings["seed"])
    n = min(args.reestimate, len(data[0]) // count)
    parts = np.split(rng.permutation(len(data[0]))[: n * count], n)
    images = (trained.prepare(data[0][np.sort(part)]) for part in parts)
    return reestimate(trained.model, images, inputs_of(settings))


def _print_sizes(trained, net, out):
    """The bytes of the file beside those of the latent weights and of the preparation."""
    n_bytes, of_preparation = out.stat().st_size, 0
    if net.preparation is not None:
        of_preparation = sum(array.nbytes for array in net.preparation.arrays.values())
    also = f", {of_preparation} of them the preparation's" if of_preparation else ""
    latent = sum(parameter.data.nbytes for parameter in trained.model.parameters())
    print(
        f"{n_bytes} bytes{also}; the trained parameters in float32 are {latent}, "
        f"{latent / (n_bytes - of_preparation):.1f} times the net's"
    )
