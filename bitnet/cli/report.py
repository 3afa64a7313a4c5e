"""What the examples share: their options, the lines of their epochs, and the table at their end."""

import argparse
import copy
import pathlib
import re
import time
from functools import partial

import numpy as np

from bitnet.archive import to_json
from bitnet.cli.options import add_machine, check_number
from bitnet.errors import InputError
from bitnet.files import check_writable, replacing
from bitnet.optim import Adam
from bitnet.training import checkpoint, metrics

EPOCH = "{:>6} {:>9} {:>8} {:>8} {:>10} {:>8} {:>8}"
NET = "{net:14} {accuracy:8.2%} {bytes:12,} {images_per_s:10,.0f}"


def parser_of(doc):
    """Return a parser with the options that all examples have; `doc` begins with what one does."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    add = parser.add_argument
    add("--epochs", type=int, metavar="N", help="passes over the training images")
    add("--seed", type=int, default=0, metavar="N", help="seed of all that is drawn (default: 0)")
    add("--out", metavar="NET.npz", help="file of the frozen net (default: the example's name)")
    add("--no-twin", dest="twin", action="store_false", help="do not train the float twin")
    add("--quick", action="store_true", help="few images, 2 epochs: does everything work?")
    add("--json", metavar="FILE", help="write the closing table as JSON")
    add_machine(parser)
    return parser


def check_options(args, *more):
    """Check the numbers of `parser_of` and the paths of all files, before any work."""
    check_number("epochs", args.epochs, 1, 10**9)
    check_number("seed", args.seed, 0, 10**9)
    check_files(args.out, *more, args.json)


def check_files(*paths):
    """Refuse paths that cannot be written, or of which two are the same; None is left out."""
    paths = [pathlib.Path(path) for path in paths if path is not None]
    for path in paths:
        check_writable(path)
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError(f"{paths[-1]} is named for two files of this run; expected another file")


def widths(text):
    """Return the widths that "3x512" or "512,512,256" stands for, as a list; for argparse."""
    if match := re.fullmatch(r"([1-9]\d?)x([1-9]\d{0,6})", text):
        return int(match[1]) * [int(match[2])]
    if re.fullmatch(r"[1-9]\d{0,6}(,[1-9]\d{0,6}){0,98}", text):
        return [int(width) for width in text.split(",")]
    raise argparse.ArgumentTypeError(f"{text!r}; expected COUNTxUNITS (3x512) or UNITS,UNITS,...")


def bits_list(text):
    """Return the items of "float,4/4,2/3" (WEIGHTS/ACTIVATIONS), each once; for argparse."""
    if not re.fullmatch(r"(float|[1-8]/[1-8])(,(float|[1-8]/[1-8])){0,20}", text):
        raise argparse.ArgumentTypeError(f"{text!r}; expected float or WEIGHTS/ACTIVATIONS, ...")
    return list(dict.fromkeys(text.split(",")))


def epochs(count, training, data, file=None, resume=False, settings=None):
    """Yield the number of each epoch and a list for its losses; measure and print it afterwards.

    `training` are the model, the optimizer, the schedule and the generator.  With a file each epoch
    ends with a checkpoint, from which `resume` continues.
    """
    (model, optimizer, *_), done = training, 0
    if file and resume:
        done = checkpoint.load_checkpoint(file, *training, settings)
        print(f"{file}: {done} epochs are done")
    elif file and file.exists():  # from another training: keep it
        file.replace(f"{file}.old")
    if file:
        print(f"a checkpoint per epoch: {file}; --resume continues from it")
    print(EPOCH.format("epoch", "loss", "train", "test", "rate", "flips", "seconds"))
    for epoch in range(done, count):
        start_s, losses, bits = time.perf_counter(), [], metrics.weight_bits(model)
        yield epoch, losses
        on_train = metrics.evaluate(model, data.train_images, data.train_labels)
        on_test = metrics.evaluate(model, data.test_images, data.test_labels)
        flips = metrics.flip_ratio(bits, metrics.weight_bits(model))
        shares = f"{on_train:.2%}", f"{on_test:.2%}", f"{optimizer.lr:.2e}", f"{flips:.2%}"
        seconds = f"{time.perf_counter() - start_s:.2f}"
        print(EPOCH.format(epoch + 1, f"{np.mean(losses):.5f}", *shares, seconds), flush=True)
        if file:
            checkpoint.save_checkpoint(file, epoch + 1, *training, settings)


def estimate(name, step, model, loss_of, data, count):
    """Say how long `count` epochs will take: a copy of the model takes some steps on 100 images."""
    copied = copy.deepcopy(model)
    optimizer, labels = Adam(copied.parameters()), data.train_labels[:100]

    def train_and_measure(x):
        step(copied, optimizer, loss_of, x, labels)
        return metrics.predict(copied, x)

    speed = metrics.images_per_second(train_and_measure, data.train_images[:100])
    seconds = count * len(data.train_images) / speed
    print(f"\n{name}: about {max(1, seconds):.0f} s more; --no-twin leaves it out", flush=True)


def row(name, net, images, labels, path=None, to_input=None, timed=None):
    """Return the row of a model, or of a frozen net in a file: accuracy, bytes and speed.

    The speed is that of the first `timed` images, or of all.
    """
    if path is None:
        predict = partial(metrics.predict, net, to_input=to_input)
        n_bytes = sum(parameter.data.nbytes for parameter in net.parameters())
    else:
        predict, n_bytes = net.predict, path.stat().st_size
    share = metrics.accuracy(predict(images), labels)
    speed = metrics.images_per_second(predict, images[:timed])
    return {"net": name, "accuracy": share, "bytes": n_bytes, "images_per_s": speed}


def check_complete(agreement):
    """End the process if a frozen net differs from the trained one."""
    if not agreement.is_complete:
        raise SystemExit("error: the frozen net is not the trained one; please report this")


def print_table(rows):
    """Print the rows of nets, with titles."""
    print(f"\n{'net':14} {'test':>8} {'bytes':>12} {'images/s':>10}")
    for own in rows:
        print(NET.format(**own), flush=True)


def write_json(path, args, agreement, rows):
    """Write the settings, the comparison and the rows of a run, if there is a path."""
    if path is not None:
        with replacing(path) as file:
            found = {"settings": vars(args), "agreement": vars(agreement), "rows": rows}
            file.write(to_json(found).encode())
