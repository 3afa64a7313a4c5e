"""How many bits pay: accuracy, file, energy and speed over bits of weights and activations.

    python examples/bits_sweep.py --data fashion-mnist      16 nets and a float twin, table, picture
    python examples/bits_sweep.py --bits 1/1,1/2,2/2,4/4 --seeds 3
    python examples/bits_sweep.py --quick                   four small nets on the embedded digits

Every net is trained on its bits, frozen, written to a file, and compared with the trained one on
all test images; accuracy, bytes and speed are those of the frozen net.  Weights are `uniform`, 2^k
numbers from -1 to 1, activations of one bit the sign, and of k bits `linear` from 0 to 2.4, like a
rectifier; the rate falls with the bits of the weights, as more bits ask for finer steps.
"""

import argparse
import importlib.util
import json
import pathlib
import re
import statistics
import tempfile

import numpy as np
from tqdm import tqdm

import bitnet
from bitnet.analysis import energy
from bitnet.analysis.plots import check_plot, plot_tradeoffs
from bitnet.archive import check_writable, replacing
from bitnet.cli import run
from bitnet.nn import functional, models
from bitnet.optim import schedules
from bitnet.quantizers import LinearQuant

RATES = {1: 3e-3, 2: 1e-3} | dict.fromkeys(range(3, 9), 5e-4)  # first rates, by bits of weights
FIGURES = ("accuracy", "bytes", "energy_nj", "images_per_s")
ROW = "{:>7} {:>11} {:>15} {:>10} {:>12} {:>10}"


def train(model, loss_of, data, lr, epochs, batch, rng):
    """Train a model, few bits or float alike."""
    adam, schedule = bitnet.optim.Adam(model.parameters(), lr), schedules.Cosine(lr, epochs)
    for epoch in range(epochs):
        batches = bitnet.data.batches(data.train_images, data.train_labels, batch, rng)
        for i, (x, labels) in enumerate(tqdm(batches, leave=False, disable=None)):
            adam.lr = schedule(epoch + i / len(batches))
            loss = loss_of(model(x), labels)
            adam.zero_grad()
            loss.backward()
            adam.step()


def few_bits(weights, activations, sizes, data, args, seed):
    """Train, freeze and measure one net of few bits."""
    rng = np.random.default_rng(seed)
    bits = {"weight_quantizer": weights, "activation_quantizer": quantizer(activations)}
    model = models.binary_mlp(sizes, rng=rng, lr_scale=10, grad_format=args.grad_format, **bits)
    lr = args.lr or RATES[weights]
    train(model, functional.squared_hinge, data, lr, args.epochs, args.batch, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "net.npz"
        bitnet.freeze(model).save(path)
        frozen, n_bytes = bitnet.load(path), path.stat().st_size
    agreement = bitnet.compare(model, frozen, data.test_images)
    if not agreement.is_complete:
        raise SystemExit("error: the frozen net is not the trained one; please report this")
    figures = measured(frozen.predict, data, n_bytes, energy.estimate(frozen).estimates[0])
    return {**figures, "integers": agreement.integers}


def quantizer(bits):
    """The quantizer of activations of so many bits."""
    return 1 if bits == 1 else LinearQuant(bits, 2.4 / (2**bits - 1), signed=False)


def float_twin(sizes, data, args, seed):
    """Train and measure the float twin: ReLU, cross-entropy, Adam from 1e-3."""
    rng, data = np.random.default_rng(seed), data.with_images(bitnet.data.scale_pixels)
    twin = models.float_mlp(sizes, rng=rng)
    train(twin, functional.cross_entropy, data, 1e-3, args.epochs, args.batch, rng)
    n_bytes = sum(parameter.data.nbytes for parameter in twin.parameters())
    cost = energy.estimate(twin).estimates[-1]
    return measured(lambda x: bitnet.training.predict(twin, x), data, n_bytes, cost)


def measured(predict, data, n_bytes, cost):
    """The figures of one net."""
    return {
        "accuracy": bitnet.training.accuracy(predict(data.test_images), data.test_labels),
        "bytes": n_bytes,
        "energy_nj": sum(cost.total_pj) / 2 / 1000,  # the middle of the least and the most
        "images_per_s": bitnet.training.images_per_second(predict, data.test_images),
    }


def main():
    args = arguments()
    if args.out is None and importlib.util.find_spec("matplotlib"):
        args.out = "bits_sweep_quick.png" if args.quick else "bits_sweep.png"
    if args.out:
        check_plot(args.out)
    if args.json:
        check_writable(args.json)
    if args.threads is not None:
        bitnet.set_num_threads(args.threads)
    data = bitnet.load_dataset(args.data).flattened()
    data = data.first(2000, 500) if args.quick else data
    sizes = [data.train_images.shape[1], *args.hidden, len(data.classes)]
    bits = args.bits or [(w, a) for w in args.weights for a in args.activations]
    print(
        f"net {'-'.join(map(str, sizes))} on {len(data.train_images)} images of {args.data}, "
        f"{args.epochs} epochs, {args.seeds} seeds"
    )
    print(ROW.format("weights", "activations", "test", "bytes", "nJ an image", "images/s"))
    rows = []
    for weights, activations in [*bits, *([(32, 32)] if args.twin else [])]:
        runs = []
        for seed in range(args.seeds):
            if weights == 32:
                runs.append(float_twin(sizes, data, args, seed))
            else:
                runs.append(few_bits(weights, activations, sizes, data, args, seed))
        row = {name: statistics.mean(run[name] for run in runs) for name in FIGURES}
        spread = statistics.stdev(run["accuracy"] for run in runs) if len(runs) > 1 else 0.0
        bits_of = {"weights": weights, "activations": activations}
        rows.append({**bits_of, **row, "spread": spread, "runs": runs})
        accuracy = f"{row['accuracy']:.2%}" + (f" ± {100 * spread:.2f}" if len(runs) > 1 else "")
        figures = f"{row['bytes']:,.0f}", f"{row['energy_nj']:,.0f}", f"{row['images_per_s']:,.0f}"
        print(ROW.format(weights, activations, accuracy, *figures), flush=True)
    runs = [run for row in rows for run in row["runs"] if "integers" in run]
    integers, images = sum(run["integers"] for run in runs), len(data.test_images)
    print(
        f"all {len(runs)} frozen nets equal the trained ones: {integers:,} integers, and the "
        f"scores and classes of {images} test images each"
    )
    if args.out:
        plot_tradeoffs(rows, path=args.out)
        print(f"picture: {args.out}")
    if args.json:
        with replacing(args.json) as file:
            file.write(json.dumps({"settings": vars(args), "rows": rows}, indent=1).encode())


def some_bits(text):
    """Bits that "1,2,4" stands for."""
    if re.fullmatch(r"[1-8](,[1-8]){0,7}", text):
        return sorted({int(bits) for bits in text.split(",")})
    raise argparse.ArgumentTypeError(f"{text!r}; expected bits from 1 to 8, as 1,2,4")


def pairs(text):
    """Bits of weights and activations that "1/2,4/4" stands for."""
    if re.fullmatch(r"[1-8]/[1-8](,[1-8]/[1-8]){0,63}", text):
        return [tuple(map(int, pair.split("/"))) for pair in text.split(",")]
    raise argparse.ArgumentTypeError(f"{text!r}; expected WEIGHTS/ACTIVATIONS,..., as 1/2,4/4")


def widths(text):
    """The widths that "512,512" stands for."""
    if re.fullmatch(r"[1-9]\d{0,5}(,[1-9]\d{0,5}){0,9}", text):
        return [int(width) for width in text.split(",")]
    raise argparse.ArgumentTypeError(f"{text!r}; expected UNITS,UNITS,...")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data", choices=bitnet.data.DATASETS, help="data set (fashion-mnist; quick: embedded)")
    add("--weights", type=some_bits, help="bits of the weights (1,2,4,8; quick: 1,2)")
    add("--activations", type=some_bits, help="bits of the activations (1,2,4,8; quick: 1,2)")
    add("--bits", type=pairs, help="pairs of weights/activations in place of all, as 1/1,1/2,4/4")
    add("--hidden", type=widths, help="hidden units (512,512,512; quick: 64,64)")
    add("--epochs", type=int, help="passes over the training set (6; quick: 1)")
    add("--batch", type=int, default=100, help="images in a batch (100)")
    about = "first learning rate (0.003; weights of 2 bits 0.001, more 0.0005)"
    add("--lr", type=float, help=about)
    numbers = "float32", "int8", "int6", "int4", "log6"
    about = "numbers that the backward products multiply (int8)"
    add("--grad-format", choices=numbers, default="int8", help=about)
    add("--no-twin", dest="twin", action="store_false", help="do not train the float twin")
    add("--seeds", type=int, default=1, help="trainings of each net (1)")
    add("--threads", type=int, help="threads of the kernels and of the BLAS (all cores)")
    add("--out", help="the picture, .png or .svg (bits_sweep.png, if matplotlib is there)")
    add("--json", help="file for the figures")
    add("--quick", action="store_true", help="a few small nets: does everything work?")
    args = parser.parse_args()
    args.data = args.data or ("embedded" if args.quick else "fashion-mnist")
    args.weights = args.weights or ([1, 2] if args.quick else [1, 2, 4, 8])
    args.activations = args.activations or ([1, 2] if args.quick else [1, 2, 4, 8])
    args.hidden = args.hidden or ([64, 64] if args.quick else [512, 512, 512])
    args.epochs = args.epochs if args.epochs is not None else 1 if args.quick else 6
    ranges = {"epochs": (1, 1e9), "batch": (2, 1e9), "lr": (1e-9, 1e9), "seeds": (1, 1000)}
    ranges |= {"threads": (1, 1024)}
    for name, (least, most) in ranges.items():
        given = getattr(args, name)
        if given is not None and not least <= given <= most:
            parser.error(f"--{name} is {given}; expected a number from {least:g} to {most:g}")
    return args


if __name__ == "__main__":
    run(main)
