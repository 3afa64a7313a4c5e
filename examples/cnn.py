"""Train a binary ConvNet or MLP on any data set, freeze it, and compare it with a float twin.

    python examples/cnn.py --quick               a test on the embedded digits
    python examples/cnn.py --data svhn           a small ConvNet
    python examples/cnn.py --data cifar10 --net cifar10 --recipe theano
                                                 the papers' net, as the papers trained it
    python examples/cnn.py --help                all settings, and how nets are named

The training loop is `fit` in bitnet/training/loop.py.  For a training of many hours use
`bitnet train`, which writes a checkpoint per epoch, and `bitnet freeze`.
"""

import argparse
import dataclasses
import pathlib
from functools import partial

import numpy as np
from tqdm import tqdm

import bitnet
from bitnet.cli import report, run
from bitnet.data.preparation import GREY, STEPS, Preparation
from bitnet.nn.models import names
from bitnet.nn.models.names import net_named
from bitnet.training import Images, fit
from bitnet.training.recipes import RECIPES, recipe_for
from bitnet.training.sources import inputs_of, read_data

COLUMNS = "{:>6} {:>9} {:>8} {:>8} {:>10} {:>8} {:>10} {:>8} {:>8}"
TIMED = 500  # test images for the measurement of speed


def train(recipe, net, data, args, border):
    """Train, print one line per epoch, and return the model."""
    rng = np.random.default_rng(args.seed)
    model = recipe.model(net, data.train[0].shape[1:], len(data.classes), rng)
    optimizer, schedule = recipe.optimizer_of(model), recipe.schedule()
    print(f"{recipe.optimizer}, {schedule}, batch {recipe.batch}, {recipe.loss}")
    columns = "epoch", "loss", "train", "test", "rate", "flips", "saturated", "dead", "seconds"
    print(COLUMNS.format(*columns))
    changes = {"flip": args.flip, "crop": args.crop, "border": border}
    images = Images(data, recipe.loss_of, recipe.batch, inputs_of(model), **changes)
    more = {"schedule": schedule, "epochs": recipe.epochs, "rng": rng}
    bar = partial(tqdm, leave=False, disable=None)
    for epoch in fit(model, optimizer, images, **more, progress=bar):
        figures = f"{epoch.loss:.5f}", f"{epoch.train_accuracy:.2%}", f"{epoch.test_accuracy:.2%}"
        figures += f"{epoch.learning_rate:.2e}", f"{epoch.flip_ratio:.2%}"
        figures += f"{epoch.saturated:.2%}", f"{epoch.dead:.2%}", f"{epoch.seconds:.2f}"
        print(COLUMNS.format(epoch.epoch, *figures), flush=True)
    return model


def main():
    args = arguments()
    out = pathlib.Path(args.out)
    report.check_files(args.out, args.json)
    if args.threads is not None:
        bitnet.set_num_threads(args.threads)
    net = net_named(args.net)
    recipe = recipe_for(args.recipe, args.data, net)
    recipe = recipe.changed(args.epochs, args.batch, args.lr)
    data = read_data(args.data, args.folder, limit=2000 if args.quick else 0)
    if args.quick:
        data = dataclasses.replace(data, test=tuple(part[:500] for part in data.test))

    image, n_classes = data.train[0].shape[1:], len(data.classes)
    shape = "x".join(map(str, image))
    print(
        f"binary net {net.name}, {net.weights(image, n_classes):,} weights, on {args.data}: "
        f"{len(data.train[0])} images of {shape}"
    )
    for note in recipe.notes:
        print(f"note: {note}")
    steps = recipe.prepare if args.prepare is None else args.prepare
    preparation, raw = (Preparation.fit(steps, data.train[0]) if steps else None), data
    if preparation:
        print(f"images prepared: {' '.join(steps)}")
        data = data.with_images(preparation)

    border = GREY if preparation else None  # color of padding: grey, or black
    model = train(recipe, net, data, args, border)
    own = {"to_input": inputs_of(model), "timed": TIMED}
    rows = [report.row("binary, latent", model, *data.test, **own)]

    frozen = bitnet.freeze(model)
    frozen.classes, frozen.data, frozen.picture = data.classes, args.data, image
    frozen.preparation = preparation
    frozen.save(out)
    frozen = bitnet.load(out)
    agreement = bitnet.compare(model, frozen, raw.test[0])
    print(f"frozen, saved to {out}, loaded: {agreement}")
    report.check_complete(agreement)
    rows.append(report.row("binary, frozen", frozen, *raw.test, out, timed=TIMED))

    if args.twin:
        print("float twin: the same sizes, epochs and batches, ReLU, cross-entropy, Adam from 1e-3")
        recipe = recipe_for(args.recipe, args.data, net, is_float=True)
        recipe = recipe.changed(args.epochs, args.batch)
        twin = train(recipe, net, data, args, border)
        rows.insert(0, report.row("float twin", twin, *data.test, **own))
    report.print_table(rows)
    report.write_json(args.json, args, agreement, rows)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog=names.__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    sets = bitnet.data.DATASETS
    about = f"data set, {', '.join(sets)}; default: embedded"
    add("--data", choices=sets, metavar="SET", default="embedded", help=about)
    about = "folder of its files; default: BITNET_DATA/SET, or the cache"
    add("--folder", metavar="FOLDER", help=about)
    about = "see below; default: conv:32,32/64,64/256, with --quick conv:8/16,16/32"
    add("--net", metavar="NAME", help=about)
    about = "theano and torch are the papers' recipes; default: default"
    add("--recipe", choices=RECIPES, default="default", help=about)
    about = "passes over the training set; default: the recipe's, 20, with --quick 2"
    add("--epochs", type=int, metavar="N", help=about)
    add("--batch", type=int, metavar="N", help="images per batch; default: the recipe's, 100 or 50")
    about = "first learning rate of the binary net; default: the recipe's, 0.003"
    add("--lr", type=float, metavar="RATE", help=about)
    about = f"some of {', '.join(STEPS)}, such as gcn,lcn, or none; default: the recipe's, none"
    add("--prepare", metavar="STEPS", help=about)
    about = "mirror half of the training images, left to right"
    add("--flip", action="store_true", help=about)
    about = "pad training images by PAD pixels and cut out a random part; default: 0"
    add("--crop", type=int, default=0, metavar="PAD", help=about)
    about = "seed of the weights, the order, dropout, flips and crops; default: 0"
    add("--seed", type=int, default=0, metavar="N", help=about)
    about = "threads of the kernels and the BLAS; default: all cores"
    add("--threads", type=int, metavar="N", help=about)
    about = "file of the frozen net; default: cnn.npz, with --quick cnn_quick.npz"
    add("--out", metavar="FILE", help=about)
    add("--no-twin", dest="twin", action="store_false", help="do not train the float twin")
    add("--quick", action="store_true", help="train on 2000 images for 2 epochs, as a test")
    add("--json", metavar="FILE", help="write the figures of the final table to this file")
    args = parser.parse_args()
    args.net = args.net or ("conv:8/16,16/32" if args.quick else "conv:32,32/64,64/256")
    args.out = args.out or ("cnn_quick.npz" if args.quick else "cnn.npz")
    if args.epochs is None and args.quick:
        args.epochs = 2
    if args.prepare is not None:
        args.prepare = [] if args.prepare == "none" else args.prepare.split(",")
    ranges = {"epochs": (1, 1e9), "batch": (2, 1e9), "lr": (1e-9, 1e9), "seed": (0, 1e9)}
    ranges |= {"threads": (1, 1024), "crop": (0, 64)}
    for name, (least, most) in ranges.items():
        given = getattr(args, name)
        if given is not None and not least <= given <= most:
            parser.error(f"--{name} is {given}; expected a number from {least:g} to {most:g}")
    return args


if __name__ == "__main__":
    run(main)
