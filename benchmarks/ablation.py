"""Ablation of training methods published after the papers, by test accuracy on Fashion-MNIST.

    BITNET_DATA=FOLDER python benchmarks/ablation.py                  every line, 3 seeds: hours
    BITNET_DATA=FOLDER python benchmarks/ablation.py --only base balancing --seeds 1
    python benchmarks/ablation.py --quick                             2000 of the embedded digits

The base is the default recipe: an MLP with three hidden layers of 512 units, binary weights and
activations in all layers, squared hinge, Adam with a cosine schedule from 3e-3 to 0, a ten times
larger rate for gamma and beta, batches of 100, 8-bit gradients, 6 epochs.  Each other line makes
one change, and starts from the same weights with the same order of images.  `gain` is the mean
difference from the base with the same seed.  The accuracy is that of the last epoch.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import time

import machine
import numpy as np

import bitnet
from bitnet.files import check_writable
from bitnet.nn import Quantize, functional
from bitnet.optim import Bop, ShiftAdaMax, schedules
from bitnet.quantizers import ApproxSign, SwishSign
from bitnet.training import Images, Split, fit, reestimate

BATCH, FASTER = 100, 10.0  # images; the factor of the rate of gamma and beta
TEMPERATURE, SOFT, WIDE, AFTER = 4.0, 0.5, 2.0, 0.5
BATCHES = 100  # number of batches for the statistics


def adam(model, start):
    return bitnet.optim.Adam(model.parameters(), start)


def bop(model, start):
    return Bop(model.parameters(), start, adam_lr=3e-3)


def shifts(variant):
    return lambda model, start: ShiftAdaMax(model.parameters(), start, variant)


def cosine(start, epochs):
    return schedules.Cosine(start, epochs)


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of the table: its differences from the base."""

    about: str
    options: dict = dataclasses.field(default_factory=dict)  # of binary_mlp
    layers: dict = dataclasses.field(default_factory=dict)  # replacements, by type
    start: float = 3e-3
    optimizer: object = adam  # made from a model and the first rate
    schedule: object = cosine  # made from the first rate and the epochs
    loss: object = functional.squared_hinge
    clip_value: object = lambda epochs: None
    teacher: bool = False
    reestimates: bool = False


def sign_with(quantizer):
    """Return a line with another surrogate."""
    return {bitnet.nn.Sign: lambda sign: Quantize(quantizer)}


def distilled(scores, labels, taught):
    hinge = functional.squared_hinge
    return functional.distillation(scores, labels, taught, TEMPERATURE, SOFT, hinge)


LINES = {
    "base": Line("as above"),
    "bop": Line("no latent weights, flips by Bop", start=1e-4, optimizer=bop),
    "balancing": Line("weights minus the mean of their row", {"balance": True}),
    "re-estimation": Line(f"statistics of {BATCHES} batches at the end", reestimates=True),
    "distillation": Line(
        f"half of the loss from the float twin, T = {TEMPERATURE:g}", loss=distilled, teacher=True
    ),
    "wide clip_value": Line(
        f"hard tanh of {WIDE:g} in the second half of the epochs",
        clip_value=lambda epochs: schedules.Widening(1.0, WIDE, AFTER * epochs),
    ),
    "norm, paper": Line("shift-based batch norm, the papers' algorithm", {"norm": "shift"}),
    "norm, code": Line("the same as in the authors' code", {"norm": "shift-code"}),
    "adamax, paper": Line("shift-based AdaMax from 2^-8", start=2**-8, optimizer=shifts("paper")),
    "adamax, code": Line("the same as in the authors' code", start=2**-6, optimizer=shifts("code")),
    "shifts, paper": Line(
        "both as in the papers", {"norm": "shift"}, start=2**-8, optimizer=shifts("paper")
    ),
    "shifts, code": Line(
        "both as in the code", {"norm": "shift-code"}, start=2**-6, optimizer=shifts("code")
    ),
    "approx-sign": Line("Bi-Real Net's surrogate", layers=sign_with(ApproxSign())),
    "swish-sign": Line("BNN+'s surrogate", layers=sign_with(SwishSign())),
    "stochastic": Line("signs of activations drawn in training", {"stochastic": True}),
    "cross-entropy": Line("instead of the squared hinge", loss=functional.cross_entropy),
}


def model_of(line, sizes, rng):
    """Return the model of a line, with some layers replaced."""
    model = bitnet.nn.models.binary_mlp(sizes, rng=rng, lr_scale=FASTER, **line.options)
    model.layers = [line.layers.get(type(layer), lambda same: same)(layer) for layer in model]
    return model


def trained(line, data, sizes, epochs, seed, taught=None):
    """Train once and return the test accuracy after the last epoch."""
    rng = np.random.default_rng(seed)
    model = model_of(line, sizes, rng)
    optimizer, schedule = line.optimizer(model, line.start), line.schedule(line.start, epochs)
    taught = taught if line.teacher else None
    images = Images(data, line.loss, BATCH, teacher=taught, measured=BATCH)
    more = {"epochs": epochs, "rng": rng, "clip_value": line.clip_value(epochs)}
    for epoch in fit(model, optimizer, images, schedule=schedule, **more):
        accuracy = epoch.test_accuracy
    if line.reestimates:
        order = np.random.default_rng(seed).permutation(len(data.train[0]))[: BATCHES * BATCH]
        reestimate(model, (data.train[0][part] for part in np.split(order, len(order) // BATCH)))
        accuracy = bitnet.training.evaluate(model, *data.test)
    return accuracy


def teacher(data, sizes, epochs, seed):
    """Train the float twin, and return a function from pixels to scores and its test accuracy."""
    rng = np.random.default_rng(seed)
    model = bitnet.nn.models.float_mlp(sizes, rng=rng)
    adam, schedule = bitnet.optim.Adam(model.parameters(), 1e-3), schedules.Cosine(1e-3, epochs)
    inputs = bitnet.data.scale_pixels
    images = Images(data, functional.cross_entropy, BATCH, inputs, measured=BATCH)
    for epoch in fit(model, adam, images, schedule=schedule, epochs=epochs, rng=rng):
        accuracy = epoch.test_accuracy
    return lambda x: bitnet.training.metrics.scores(model, x, inputs), accuracy


def data_of(name, quick):
    """Return the images as rows, and a note if the embedded digits replace them."""
    note = None
    try:
        found = bitnet.load_dataset("embedded" if quick else name)
    except bitnet.InputError as error:
        found = bitnet.load_dataset("embedded")
        note = f"note: the embedded digits replace {name} ({error})"
    found = found.flattened().first(2000, 1000) if quick else found.flattened()
    train = found.train_images, found.train_labels
    return found.name, Split(train, (found.test_images, found.test_labels)), note


def row(name, shares, base, elapsed_s):
    """Format the figures of a line."""
    spread = statistics.stdev(shares) if len(shares) > 1 else 0.0
    paired = list(zip(shares, base, strict=False))
    gain = f"{100 * statistics.mean(a - b for a, b in paired):+.2f}" if paired else ""
    each = " ".join(f"{share:.2%}" for share in shares)
    return (
        f"{name:16} {statistics.mean(shares):>7.2%} {100 * spread:>5.2f} {gain:>6} "
        f"{elapsed_s / len(shares):>6.0f}  {each:24} {LINES[name].about}"
    )


def main():
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    add, about = parser.add_argument, f"some lines: {', '.join(LINES)}"
    add("--only", nargs="+", metavar="LINE", choices=LINES, default=list(LINES), help=about)
    add("--data", default="fashion-mnist", help="grey-scale data set (default: fashion-mnist)")
    add("--seeds", type=machine.positive, default=3, help="number of seeds 0, 1, ... (default: 3)")
    add("--epochs", type=machine.positive, default=6, help="epochs (default: 6)")
    add("--units", type=machine.positive, default=512, help="units per hidden layer (default: 512)")
    add(
        "--threads",
        type=machine.positive,
        help="threads of the kernels and the BLAS (default: all processors)",
    )
    add("--quick", action="store_true", help="2000 digits, 64 units, 1 seed, 2 epochs")
    add("--out", metavar="FILE", help="also write the accuracies as JSON")
    args = parser.parse_args()
    if args.out:
        check_writable(args.out)
    if args.quick:
        args.seeds, args.units, args.epochs = 1, 64, 2
    if args.threads:
        bitnet.set_num_threads(args.threads)
    name, data, note = data_of(args.data, args.quick)
    print("\n".join(machine.lines()))
    if note:
        print(note)
    sizes = [data.train[0].shape[1], *[args.units] * 3, int(data.train[1].max()) + 1]
    print(f"{name}, {len(data.train[0])} images, {'-'.join(map(str, sizes))}, {args.epochs} epochs")
    figures, teachers = {}, []
    if any(LINES[line].teacher for line in args.only):
        teachers = [teacher(data, sizes, args.epochs, seed) for seed in range(args.seeds)]
        figures["float twin"] = [share for _, share in teachers]
        print(f"float twin: {' '.join(f'{share:.2%}' for share in figures['float twin'])}")
    names = f"{'line':16} {'mean':>7} {'std':>5} {'gain':>6} {'s':>6}"
    print(f"\n{names}  {'each seed':24} what differs")
    for line in args.only:
        start_s, shares = time.perf_counter(), []
        for seed in range(args.seeds):
            taught = teachers[seed][0] if teachers else None
            shares.append(trained(LINES[line], data, sizes, args.epochs, seed, taught))
        figures[line] = shares
        print(row(line, shares, figures.get("base", []), time.perf_counter() - start_s), flush=True)
    if args.out:
        said = {"data": name, "sizes": sizes, "epochs": args.epochs, "accuracy": figures}
        pathlib.Path(args.out).write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    bitnet.cli.run(main)
