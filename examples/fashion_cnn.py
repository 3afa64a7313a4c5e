"""Train a binary ConvNet on Fashion-MNIST in minutes, and compare it with a float twin.

    python examples/fashion_cnn.py            needs Fashion-MNIST: `bitnet data fetch fashion-mnist`
    python examples/fashion_cnn.py --quick    a test on the embedded digits

The net is 32C3 - MP2 - 64C3 - 64C3 - MP2 - 256FC - 10, a small version of the ConvNets of
"Binarized Neural Networks" (arXiv 1602.02830).  All weights and activations are ±1, including
those of the first layer.  Max-pooling is before batch norm.
"""

import argparse
import pathlib
import time

import numpy as np
from tqdm import tqdm

import bitnet
from bitnet.cli import report, run
from bitnet.files import check_writable
from bitnet.nn import functional, models
from bitnet.optim import schedules
from bitnet.training import Images, Split, fit

BLOCKS, UNITS = ((32,), (64, 64)), (256,)
COLUMNS = "{:>6} {:>9} {:>8} {:>8} {:>8} {:>8}"


def train(model, learning_rate, loss_of, data, args, rng, to_input=None):
    """Train with Adam and a cosine schedule, and print one line per epoch."""
    adam = bitnet.optim.Adam(model.parameters(), learning_rate)
    schedule = schedules.Cosine(learning_rate, args.epochs)
    print(COLUMNS.format("epoch", "loss", "train", "test", "flips", "seconds"))
    images = Images(data, loss_of, args.batch, to_input, measured=2000)
    more = {"schedule": schedule, "epochs": args.epochs, "rng": rng}

    def bar(passes):
        return tqdm(passes, leave=False, disable=None, unit="batch")

    for epoch in fit(model, adam, images, **more, progress=bar):
        figures = f"{epoch.loss:.5f}", f"{epoch.train_accuracy:.2%}", f"{epoch.test_accuracy:.2%}"
        figures += f"{epoch.flip_ratio:.2%}", f"{epoch.seconds:.1f}"
        print(COLUMNS.format(epoch.epoch, *figures), flush=True)


def main():
    args = arguments()
    start_s, out = time.perf_counter(), pathlib.Path(args.out)
    check_writable(out)
    if args.threads is not None:
        bitnet.set_num_threads(args.threads)
    data = bitnet.load_dataset("embedded" if args.quick else "fashion-mnist").with_channels()
    data = data.first(1000, 200) if args.quick else data
    shown = data.first(len(data.train_images), 2000)  # test images for the lines of the epochs
    split = Split((data.train_images, data.train_labels), (shown.test_images, shown.test_labels))
    rows, columns, channels = image = data.train_images.shape[1:]
    sizes = image, BLOCKS, (*UNITS, len(data.classes))

    print(f"binary ConvNet on {len(data.train_images)} images of {rows}x{columns}x{channels}")
    rng = np.random.default_rng(args.seed)
    model = models.binary_convnet(*sizes, rng=rng, lr_scale=10)
    train(model, args.lr, functional.squared_hinge, split, args, rng)

    bitnet.freeze(model).save(out)  # batch norm and sign become integer thresholds
    net = bitnet.load(out)
    agreement = bitnet.compare(model, net, data.test_images)
    print(f"frozen, saved to {out}, loaded: {agreement}")
    report.check_complete(agreement)
    table = [report.row("binary, frozen", net, data.test_images, data.test_labels, out, timed=2000)]

    if args.twin:
        print("float twin: the same sizes and epochs, ReLU, cross-entropy, Adam from 1e-3")
        rng = np.random.default_rng(args.seed)
        twin = models.float_convnet(*sizes, rng=rng)
        train(twin, 1e-3, functional.cross_entropy, split, args, rng, bitnet.data.scale_pixels)
        images = bitnet.data.scale_pixels(data.test_images)
        table.insert(0, report.row("float twin", twin, images, data.test_labels, timed=2000))

    report.print_table(table)
    print(f"{time.perf_counter() - start_s:.0f} s in all")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    about = "passes over the training set; default: 6, with --quick 2"
    add("--epochs", type=int, metavar="N", help=about)
    add("--batch", type=int, default=100, metavar="N", help="images per batch; default: 100")
    about = "first learning rate of the binary net; default: 0.001"
    add("--lr", type=float, default=1e-3, metavar="RATE", help=about)
    about = "seed of the weights and the order of images; default: 0"
    add("--seed", type=int, default=0, metavar="N", help=about)
    about = "threads of the kernels and the BLAS; default: all cores"
    add("--threads", type=int, metavar="N", help=about)
    about = "file of the frozen net; default: fashion_cnn.npz, with --quick quick_cnn.npz"
    add("--out", metavar="FILE", help=about)
    add("--no-twin", dest="twin", action="store_false", help="do not train the float twin")
    add("--quick", action="store_true", help="train on 1000 embedded digits, as a test")
    args = parser.parse_args()
    args.out = args.out or ("quick_cnn.npz" if args.quick else "fashion_cnn.npz")
    args.epochs = (2 if args.quick else 6) if args.epochs is None else args.epochs
    ranges = {"epochs": (1, 1e6), "batch": (2, 1e6), "lr": (1e-9, 1e9), "seed": (0, 1e9)}
    ranges |= {"threads": (1, 1024)}
    for name, (least, most) in ranges.items():
        given = getattr(args, name)
        if given is not None and not least <= given <= most:
            parser.error(f"--{name} is {given}; expected a number from {least:g} to {most:g}")
    return args


if __name__ == "__main__":
    run(main)
