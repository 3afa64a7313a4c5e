"""AlexNet or GoogleNet of a few bits on any folder of pictures in ImageNet's layout.

    python examples/imagenet_folder.py FOLDER              FOLDER/train/CLASS/*.jpg, FOLDER/val/...
    python examples/imagenet_folder.py FOLDER --net googlenet --weights 4 --activations 4
    python examples/imagenet_folder.py --quick             a small folder, made here

The setting is that of the second paper (arXiv 1609.07061, appendix A.6): Adam, a learning rate that
becomes a tenth every 20 epochs for AlexNet and every 10 for GoogleNet, batches of 512 and of 64.
The first learning rate, the epochs and the loss are not in its text.  Pictures are decoded while
the net trains; after each epoch all is saved, and --resume goes on there.
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
from bitnet.archive import check_writable
from bitnet.nn import auxiliary, functional
from bitnet.nn.models.imagenet import alexnet, googlenet
from bitnet.nn.module import evaluating
from bitnet.optim import schedules

NETS = {"alexnet": alexnet, "googlenet": googlenet}
PAPER = {"alexnet": (512, 20), "googlenet": (64, 10)}  # batch, epochs until a tenth of the rate
FLOAT = 32
COLUMNS = "{:>6} {:>9} {:>8} {:>8} {:>10} {:>10} {:>8}"


def train(model, sets, args, rng, path):
    """Train, print a line an epoch, and keep a checkpoint."""
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
    """Batches of a set: cut at random for training, with a generator, otherwise in the middle."""
    sizes = {"size": args.size, "resize": args.resize, "threads": args.decoders}
    return image_batches(*pictures, args.batch, rng, **sizes)


def to_input(images, args):
    """What the model takes: pixels, or floats for a net of floats."""
    return bitnet.data.scale_pixels(images) if args.weights == FLOAT else images


def scores_of(model, args):
    """The model in evaluation mode, as a function from images to scores."""

    def scores(images):
        with evaluating(model):
            return model(to_input(images, args)).data

    return scores


def evaluate(scores_of, pictures, args):
    """Top-1 and top-5 accuracy, and the classes predicted."""
    ranks, predicted = [], []
    for images, labels in batches(pictures, args):
        scores = scores_of(images)
        own = scores[np.arange(len(labels)), labels]
        ranks.append((scores > own[:, None]).sum(axis=1))
        predicted.append(scores.argmax(axis=1))
    ranks = np.concatenate(ranks)
    return (ranks < 1).mean(), (ranks < 5).mean(), np.concatenate(predicted)


def settings_of(args):
    """What a resumed training must share."""
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
            print(f"a folder of pictures of {len(kinds)} kinds: {', '.join(kinds)}")
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
    trunk = bitnet.nn.Sequential(*model.layers)  # without the classifiers of training alone
    weights = sum(p.size for p in trunk.parameters() if p.data.ndim > 1)
    print(
        f"{args.net}, {weights:,} weights of {args.weights} bits, activations of "
        f"{args.activations}, on {len(sets[0][0])} pictures of {len(classes)} classes, "
        f"{args.size}x{args.size} pixels"
    )
    train(model, sets, args, rng, f"{out}.checkpoint")
    first, five, trained = evaluate(scores_of(model, args), sets[1], args)
    if args.weights == FLOAT:
        print(f"top-1 {first:.2%}, top-5 {five:.2%}, {4 * weights:,} bytes of weights")
        return
    frozen = bitnet.freeze(model, image=image)
    frozen.classes, frozen.picture = classes, (*image, 3)
    frozen.save(out)
    frozen = bitnet.load(out)
    *_, predicted = evaluate(frozen.scores, sets[1], args)
    some = next(iter(batches(sets[1], args)))[0]
    agreement = bitnet.compare(model, frozen, some)
    print(f"frozen, saved to {out}, loaded: {agreement}")
    if not agreement.is_complete or not np.array_equal(trained, predicted):
        raise SystemExit("error: the frozen net is not the trained one; please report this")
    speed = bitnet.training.images_per_second(frozen.predict, some, repeats=3)
    n_bytes = out.stat().st_size
    print(
        f"top-1 {first:.2%}, top-5 {five:.2%}, {n_bytes:,} bytes, {4 * weights / n_bytes:.1f} "
        f"times less than floats, {speed:,.0f} images/s"
    )


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("folder", nargs="?", help="with train/CLASS/*.jpg and val/CLASS/*.jpg")
    add("--net", choices=NETS, default="alexnet", help="(alexnet)")
    add("--weights", type=int, default=1, help="bits of the weights, 1 to 8, or 32 (1)")
    add("--activations", type=int, default=2, help="bits of the activations, 1 to 8, or 32 (2)")
    add("--grad-format", default="int8", help="numbers of the backward products (int8)")
    add("--inflation", type=float, help="factor of the channels (1; quick: 0.25)")
    add("--units", type=int, nargs=2, metavar="N", help="AlexNet's hidden layers (4096 4096)")
    add("--size", type=int, help="pixels along each side of a crop (224; quick: 64)")
    add("--resize", type=int, help="pixels of the shorter side before it (256; quick: 72)")
    add("--epochs", type=int, help="passes over the training set (50; quick: 3)")
    add("--batch", type=int, help="pictures in a batch (512, GoogleNet 64; quick: 20)")
    add("--lr", type=float, default=1e-3, help="first learning rate (0.001)")
    add("--every", type=int, help="epochs until a tenth of the rate (20, GoogleNet 10)")
    add("--seed", type=int, default=0, help="of weights, order, crops and mirrors (0)")
    add("--threads", type=int, help="threads of the kernels and of the BLAS (all cores)")
    add("--decoders", type=int, default=2, help="threads that decode pictures (2)")
    add("--out", help="file of the frozen net (NET.npz; quick: NET_quick.npz)")
    add("--resume", action="store_true", help="go on from OUT.checkpoint")
    about = (
        "small pictures, and without FOLDER a folder made of photographs that installed packages"
    )
    add("--quick", action="store_true", help=f"{about} ship, or drawn: does everything work?")
    args = parser.parse_args()
    if args.folder is None and not args.quick:
        parser.error("a folder of pictures, or --quick")
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
