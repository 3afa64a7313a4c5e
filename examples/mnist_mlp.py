"""The main job: digits, a network of bits, its integers, a small file, and predictions from it.

    python examples/mnist_mlp.py            train on the embedded digits, freeze, save, predict
    python examples/mnist_mlp.py --help     all settings

The loop in `train` is Algorithm 1 of "Binarized Neural Networks" (arXiv 1602.02830).
"""

import argparse
import json
import pathlib
import re
import time

import numpy as np
from tqdm import tqdm

import bitnet
from bitnet.archive import check_writable, replacing
from bitnet.cli import run
from bitnet.nn import functional, models
from bitnet.optim import schedules

COLUMNS = "{:>6} {:>9} {:>8} {:>8} {:>10} {:>8} {:>8}"
# what a resumed training must share with the earlier one
MUST_AGREE = ("data", "hidden", "batch", "recipe", "lr", "epochs")
MUST_AGREE += ("grad_format", "rounding", "seed", "quick")


def train(model, optimizer, schedule, loss_of, data, args, rng, checkpoint=None):
    """Train, print a line an epoch and, with a path for it, write a checkpoint an epoch."""
    training = model, optimizer, schedule, rng
    settings = {name: getattr(args, name) for name in MUST_AGREE}
    done = saved = 0
    if checkpoint and args.resume:
        if not checkpoint.exists():
            raise bitnet.InputError(f"--resume: there is no {checkpoint}; leave out --resume")
        done = saved = bitnet.training.load_checkpoint(checkpoint, *training, settings)
        print(f"{checkpoint}: {done} epochs are done")
    print(COLUMNS.format("epoch", "loss", "train", "test", "rate", "flips", "seconds"))
    try:
        while done < args.epochs:
            start_s, losses, bits = time.perf_counter(), [], bitnet.training.weight_bits(model)
            batches = bitnet.data.batches(data.train_images, data.train_labels, args.batch, rng)
            for i, (x, labels) in enumerate(tqdm(batches, leave=False, disable=None)):
                optimizer.lr = schedule(done + i / len(batches))
                # forward, layer by layer: s = ab Wb; a = BatchNorm(s); ab = sign(a)
                loss = loss_of(model(x), labels)
                # backward: through sign where |a| <= 1; the gradients of Wb count as those of W
                optimizer.zero_grad()
                loss.backward()
                # update: W = clip(W - scale * rate * direction, -1, 1)
                optimizer.step()
                losses.append(loss.item())
            done += 1
            on_train = bitnet.training.evaluate(model, data.train_images, data.train_labels)
            on_test = bitnet.training.evaluate(model, data.test_images, data.test_labels)
            flips = bitnet.training.flip_ratio(bits, bitnet.training.weight_bits(model))
            figures = f"{np.mean(losses):.5f}", f"{on_train:.2%}", f"{on_test:.2%}"
            figures += f"{optimizer.lr:.2e}", f"{flips:.2%}", f"{time.perf_counter() - start_s:.2f}"
            print(COLUMNS.format(done, *figures), flush=True)
            if checkpoint:
                if not saved and checkpoint.exists():  # of another training: it is not lost
                    checkpoint.replace(f"{checkpoint}.old")
                bitnet.training.save_checkpoint(checkpoint, done, *training, settings)
                saved = done
    except KeyboardInterrupt:
        kept = "nothing of this training is kept" if checkpoint else f"the net is in {args.out}"
        if saved:
            kept = f"{saved} epochs are in {checkpoint}; add --resume to go on"
        raise KeyboardInterrupt(kept) from None


def row(name, predict, data, n_bytes):
    """One row of the closing table."""
    accuracy = bitnet.training.accuracy(predict(data.test_images), data.test_labels)
    speed = bitnet.training.images_per_second(predict, data.test_images)
    return {"net": name, "accuracy": accuracy, "bytes": n_bytes, "images_per_s": speed}


def main():
    args = arguments()
    out, checkpoint = pathlib.Path(args.out), pathlib.Path(f"{args.out}.checkpoint")
    paths = [out, checkpoint] + ([pathlib.Path(args.json)] if args.json is not None else [])
    for path in paths:
        check_writable(path)
    if len({path.resolve() for path in paths}) < len(paths):
        raise bitnet.InputError(
            f"--json is {args.json}, where the net or its checkpoint goes; expected another file"
        )
    if args.threads is not None:
        bitnet.set_num_threads(args.threads)
    device = "gpu" if args.gpu else "cpu"
    data = bitnet.load_dataset(args.data).flattened()
    data = data.first(2000, 500) if args.quick else data
    sizes = [data.train_images.shape[1], *args.hidden, len(data.classes)]

    print(f"binary net {'-'.join(map(str, sizes))} on {len(data.train_images)} images")
    rng = np.random.default_rng(args.seed)
    backward = {"grad_format": args.grad_format, "rounding": args.rounding}
    if args.recipe == "paper":
        model = models.binary_mlp(sizes, rng=rng, dropout=(0.2, 0.5), **backward)
        schedule = schedules.Exponential(args.lr, args.lr * 1e-4, args.epochs)
    else:
        model = models.binary_mlp(sizes, rng=rng, lr_scale=10, **backward)
        schedule = schedules.Cosine(args.lr, args.epochs)
    model.to(device)
    adam, hinge = bitnet.optim.Adam(model.parameters(), args.lr), functional.squared_hinge
    train(model, adam, schedule, hinge, data, args, rng, checkpoint)
    n_bytes = sum(p.data.nbytes for p in model.parameters())
    rows = [row("binary, latent", lambda x: bitnet.training.predict(model, x), data, n_bytes)]

    bitnet.freeze(model).save(out)
    frozen = bitnet.load(out).to(device)
    agreement = bitnet.compare(model, frozen, data.test_images)
    print(f"frozen, saved to {out}, loaded: {agreement}")
    if not agreement.is_complete:
        raise SystemExit("error: the frozen net is not the trained one; please report this")
    rows.append(row("binary, frozen", frozen.predict, data, out.stat().st_size))

    if args.twin:
        print("float twin: the same sizes and epochs, ReLU, cross-entropy, Adam from 1e-3")
        rng, data = np.random.default_rng(args.seed), data.with_images(bitnet.data.scale_pixels)
        twin = models.float_mlp(sizes, rng=rng).to(device)
        schedule = schedules.Cosine(1e-3, args.epochs)
        adam, entropy = bitnet.optim.Adam(twin.parameters()), functional.cross_entropy
        train(twin, adam, schedule, entropy, data, args, rng)
        n_bytes = sum(p.data.nbytes for p in twin.parameters())
        rows.insert(0, row("float twin", lambda x: bitnet.training.predict(twin, x), data, n_bytes))

    print(f"\n{'net':14} {'test':>8} {'bytes':>12} {'images/s':>10}")
    for r in rows:
        print("{net:14} {accuracy:8.2%} {bytes:12,} {images_per_s:10,.0f}".format(**r))
    if args.json is not None:
        report = {"settings": vars(args), "agreement": vars(agreement), "rows": rows}
        with replacing(args.json) as file:
            file.write(json.dumps(report, indent=1).encode())


def widths(text):
    """The widths that "3x512" or "512,512,256" stands for."""
    if match := re.fullmatch(r"([1-9]\d?)x([1-9]\d{0,6})", text):
        return int(match[1]) * [int(match[2])]
    if re.fullmatch(r"[1-9]\d{0,6}(,[1-9]\d{0,6}){0,98}", text):
        return [int(width) for width in text.split(",")]
    raise argparse.ArgumentTypeError(f"{text!r}; expected COUNTxUNITS (3x512) or UNITS,UNITS,...")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data", choices=bitnet.data.DATASETS, default="embedded", help="data set (embedded)")
    recipes, about = ("default", "paper"), "paper: 3x4096, dropout, exponential decay"
    add("--recipe", choices=recipes, default="default", help=about)
    add("--hidden", type=widths, help="hidden layers x units (3x512; paper: 3x4096)")
    add("--epochs", type=int, help="passes over the training set (20; paper: 1000)")
    add("--batch", type=int, default=100, help="images in a batch (100)")
    add("--lr", type=float, default=3e-3, help="first learning rate of the binary net (0.003)")
    numbers = "float32", "int8", "int6", "int4"
    about = "numbers that the backward products multiply (int8)"
    add("--grad-format", choices=numbers, default="int8", help=about)
    ways, about = ("nearest", "stochastic"), "of gradients of integers (nearest)"
    add("--rounding", choices=ways, default="nearest", help=about)
    add("--seed", type=int, default=0, help="of weights, shuffling and dropout (0)")
    add("--threads", type=int, help="threads of the kernels and of the BLAS (all cores)")
    add("--gpu", action="store_true", help="compute on an NVIDIA GPU (processor)")
    add("--out", help="file of the frozen net (mnist_mlp.npz; quick: mnist_mlp_quick.npz)")
    add("--resume", action="store_true", help="go on from OUT.checkpoint")
    add("--no-twin", dest="twin", action="store_false", help="do not train the float twin")
    add("--quick", action="store_true", help="2000 images, 2 epochs: does everything work?")
    add("--json", help="file for the figures of the closing table")
    args = parser.parse_args()
    paper = args.recipe == "paper"
    if args.out is None:
        args.out = "mnist_mlp_quick.npz" if args.quick else "mnist_mlp.npz"
    args.hidden = args.hidden or 3 * [4096 if paper else 512]
    if args.epochs is None:
        args.epochs = 2 if args.quick else 1000 if paper else 20
    ranges = {"epochs": (1, 1e9), "batch": (2, 1e9), "lr": (1e-9, 1e9), "seed": (0, 1e9)}
    ranges |= {"threads": (1, 1024)}
    for name, (least, most) in ranges.items():
        given = getattr(args, name)
        if given is not None and not least <= given <= most:
            parser.error(f"--{name} is {given}; expected a number from {least:g} to {most:g}")
    return args


if __name__ == "__main__":
    run(main)
