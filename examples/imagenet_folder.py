"""Train a low-bit AlexNet or GoogleNet on a folder of pictures in ImageNet's layout.

    python examples/imagenet_folder.py FOLDER              FOLDER/train/CLASS/*.jpg, FOLDER/val/...
    python examples/imagenet_folder.py FOLDER --net googlenet --weights 4 --activations 4
    python examples/imagenet_folder.py --quick             a test on a small folder made here

The settings are those of the second paper (arXiv 1609.07061, appendix A.6): Adam, batches of 512
for AlexNet and 64 for GoogleNet, and a learning rate divided by 10 every 20 epochs for AlexNet and
every 10 for GoogleNet.  The paper does not state the first learning rate, the epochs and the loss.
Pictures are decoded while the net trains.  A checkpoint is written after each epoch for --resume.
"""

import argparse
import contextlib
import pathlib
import tempfile
import time

import numpy as np
from imagenet_pictures import write_image_folder
from imagenet_stream import image_batches
from tqdm import tqdm

import bitnet
from bitnet import cli, data
from bitnet.files import check_writable
from bitnet.nn import auxiliary, functional
from bitnet.nn.models.imagenet import alexnet, googlenet
from bitnet.nn.module import evaluating
from bitnet.optim import schedules

NETS = {"alexnet": alexnet, "googlenet": googlenet}
PAPER = {"alexnet": (512, 20), "googlenet": (64, 10)}  # batch, epochs per rate
FLOAT = 32
COLUMNS = "{:>6} {:>9} {:>8} {:>8} {:>10} {:>10} {:>8}"


def train(model, sets, args, rng, path):
    """Train, print one line per epoch, and write a checkpoint after each."""
    optimizer = bitnet.optim.Adam(model.parameters(), args.lr)
    schedule = schedules.Step(args.lr, 0.1, args.every)
    loss_of = auxiliary(functional.cross_entropy)
    state = path, model, optimizer, schedule, rng, settings_of(args)
    done = bitnet.training.load_checkpoint(*state) if args.resume else 0
    print(COLUMNS.format("epoch", "loss", "top-1", "top-5", "rate", "images/s", "seconds"))
    for epoch in range(done, args.epochs):
        start_s, losses = time.perf_counter(), []
        passes = batches(sets[0], args, rng)
        for i, (images, labels) in enumerate(tqdm(passes, leave=False, disable=None)):
            optimizer.lr = schedule(epoch + i / len(passes))
            loss = loss_of(model(to_input(images, args)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if not np.isfinite(losses[-1]):
                raise bitnet.InputError(f"the loss is {losses[-1]}; lower the learning rate")
        speed = len(passes) * args.batch / (time.perf_counter() - start_s)
        first, five, _ = evaluate(scores_of(model, args), sets[1], args)
        bitnet.training.save_checkpoint(path, epoch + 1, *state[1:])
        figures = f"{np.mean(losses):.4f}", f"{first:.2%}", f"{five:.2%}", f"{optimizer.lr:.2e}"
        figures += f"{speed:.1f}", f"{time.perf_counter() - start_s:.1f}"
        print(COLUMNS.format(epoch + 1, *figures), flush=True)


def batches(pictures, args, rng=None):
    """Return the batches of a set: random crops with a generator, otherwise central crops."""
    sizes = {"size": args.size, "resize": args.resize, "threads": args.decoders}
    return image_batches(*pictures, args.batch, rng, **sizes)


def to_input(images, args):
    """Return the input of the model: pixels, or floats for a float net."""
    return bitnet.data.scale_pixels(images) if args.weights == FLOAT else images


def scores_of(model, args):
    """Return a function from images to the scores of the model in evaluation mode."""

    def scores(images):
        with evaluating(model):
            return model(to_input(images, args)).data

    return scores


def evaluate(scores_of, pictures, args):
    """Return top-1 and top-5 accuracy, and the predicted classes."""
    ranks, predicted = [], []
    for images, labels in batches(pictures, args):
        scores = scores_of(images)
        own = scores[np.arange(len(labels)), labels]
        ranks.append((scores > own[:, None]).sum(axis=1))
        predicted.append(scores.argmax(axis=1))
    ranks = np.concatenate(ranks)
    return (ranks < 1).mean(), (ranks < 5).mean(), np.concatenate(predicted)


def settings_of(args):
    """Return the settings that a resumed training must share."""
    names = "net", "weights", "activations", "grad_format", "inflation", "units", "size", "resize"
    return {name: getattr(args, name) for name in (*names, "batch", "seed")}


def main():
    args = arguments()
    start_s, out = time.perf_counter(), pathlib.Path(args.out)
    check_writable(out)
    if args.threads is not None:
        bitnet.set_num_threads(args.threads)
    bitnet.kernels.keep_memory()
    with contextlib.ExitStack() as stack:
        folder = args.folder
        if args.quick and folder is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            kinds = write_image_folder(folder, np.random.default_rng(args.seed))
            print(f"a folder of pictures of {len(kinds)} classes: {', '.join(kinds)}")
        *sets, classes = data.list_image_folder(folder)
        run(args, sets, classes, out)
    print(f"{time.perf_counter() - start_s:.0f} s in all")


def run(args, sets, classes, out):
    """Build, train, save, freeze, and compare the frozen net with the trained one."""
    rng, image = np.random.default_rng(args.seed), (args.size, args.size)
    options = {"weight_quantizer": args.weights, "activation_quantizer": args.activations}
    options |= {"inflation": args.inflation, "grad_format": args.grad_format}
    if args.net == "alexnet":
        options["units"] = args.units
    model = NETS[args.net](len(classes), rng=rng, image=image, **options)
    trunk = bitnet.nn.Sequential(*model.layers)  # without the auxiliary classifiers
    weights = sum(p.size for p in trunk.parameters() if p.data.ndim > 1)
    print(
        f"{args.net}, {weights:,} weights, {args.weights} bits per weight, {args.activations} per "
        f"activation, on {len(sets[0][0])} pictures of {len(classes)} classes, "
        f"{args.size}x{args.size} pixels"
    )
    train(model, sets, args, rng, f"{out}.checkpoint")
    first, five, trained = evaluate(scores_of(model, args), sets[1], args)
    if args.weights == FLOAT:
        print(f"top-1 {first:.2%}, top-5 {five:.2%}, {4 * weights:,} bytes of weights")
        return
    frozen = bitnet.freeze(model)
    frozen.classes, frozen.picture = classes, (*image, 3)
    frozen.save(out)
    frozen = bitnet.load(out)
    *_, predicted = evaluate(frozen.scores, sets[1], args)
    some = next(iter(batches(sets[1], args)))[0]
    agreement = bitnet.compare(model, frozen, some)
    print(f"frozen, saved to {out}, loaded: {agreement}")
    if not agreement.is_complete or not np.array_equal(trained, predicted):
        raise SystemExit("error: the frozen net differs from the trained one; please report this")
    speed = bitnet.training.images_per_second(frozen.predict, some, repeats=3)
    n_bytes = out.stat().st_size
    print(
        f"top-1 {first:.2%}, top-5 {five:.2%}, {n_bytes:,} bytes, {4 * weights / n_bytes:.1f} "
        f"times smaller than floats, {speed:,.0f} images/s"
    )


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    about = "folder with train/CLASS/*.jpg and val/CLASS/*.jpg"
    add("folder", nargs="?", metavar="FOLDER", help=about)
    add("--net", choices=NETS, default="alexnet", help="net; default: alexnet")
    about = "bits per weight, 1 to 8, or 32; default: 1"
    add("--weights", type=int, default=1, metavar="BITS", help=about)
    about = "bits per activation, 1 to 8, or 32; default: 2"
    add("--activations", type=int, default=2, metavar="BITS", help=about)
    about = "number format of the gradients in the backward products; default: int8"
    add("--grad-format", default="int8", metavar="FORMAT", help=about)
    about = "factor of the number of channels; default: 1, with --quick 0.25"
    add("--inflation", type=float, metavar="FACTOR", help=about)
    about = "units of AlexNet's hidden layers; default: 4096 4096, with --quick 128 128"
    add("--units", type=int, nargs=2, metavar="N", help=about)
    about = "side of a crop in pixels; default: 224, with --quick 64"
    add("--size", type=int, metavar="N", help=about)
    about = "shorter side before the crop in pixels; default: 256, with --quick 72"
    add("--resize", type=int, metavar="N", help=about)
    about = "passes over the training set; default: 50, with --quick 3"
    add("--epochs", type=int, metavar="N", help=about)
    about = "pictures per batch; default: 512, for GoogleNet 64, with --quick 20"
    add("--batch", type=int, metavar="N", help=about)
    about = "first learning rate; default: 0.001"
    add("--lr", type=float, default=1e-3, metavar="RATE", help=about)
    about = "epochs per division of the learning rate by 10; default: 20, for GoogleNet 10"
    add("--every", type=int, metavar="N", help=about)
    about = "seed of the weights, the order, crops and flips; default: 0"
    add("--seed", type=int, default=0, metavar="N", help=about)
    about = "threads of the kernels and the BLAS; default: all cores"
    add("--threads", type=int, metavar="N", help=about)
    about = "threads that decode pictures; default: 2"
    add("--decoders", type=int, default=2, metavar="N", help=about)
    about = "file of the frozen net; default: NET.npz, with --quick NET_quick.npz"
    add("--out", metavar="FILE", help=about)
    add("--resume", action="store_true", help="resume from OUT.checkpoint")
    about = "train on small pictures, as a test; without FOLDER on parts of photographs from"
    add("--quick", action="store_true", help=f"{about} installed packages, or drawn figures")
    args = parser.parse_args()
    if args.folder is None and not args.quick:
        parser.error("FOLDER is missing; give a folder of pictures, or --quick")
    batch, every = PAPER[args.net]
    usual = {
        "inflation": (1.0, 0.25),
        "units": ([4096, 4096], [128, 128]),
        "size": (224, 64),
        "resize": (256, 72),
        "epochs": (50, 3),
        "batch": (batch, 20),
        "every": (every, every),
        "out": (f"{args.net}.npz", f"{args.net}_quick.npz"),
    }
    for name, choices in usual.items():
        if getattr(args, name) is None:
            setattr(args, name, choices[args.quick])
    ranges = {"epochs": (1, 1e6), "batch": (2, 1e6), "lr": (1e-9, 1e9), "seed": (0, 1e9)}
    ranges |= {"threads": (1, 1024), "every": (1, 1e6), "inflation": (1e-3, 1e3)}
    for name, (least, most) in ranges.items():
        given = getattr(args, name)
        if given is not None and not least <= given <= most:
            parser.error(f"--{name} is {given}; expected a number from {least:g} to {most:g}")
    return args


if __name__ == "__main__":
    cli.run(main)
