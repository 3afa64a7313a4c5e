"""Compare accuracy, file size, energy and speed for different numbers of bits.

    python examples/bits_sweep.py --data fashion-mnist    16 nets and a float twin, a table, a plot
    python examples/bits_sweep.py --bits 1/1,1/2,2/2,4/4 --seeds 3
    python examples/bits_sweep.py --quick                 a test: four small nets on few images

Each net is trained, frozen, saved, loaded, and compared with the trained one on all test images.
Accuracy, bytes and speed are those of the frozen net.  The weights use the quantizer `uniform`, 2^k
numbers from -1 to 1.  Activations are signs for one bit, and for k bits `linear` from 0 to 2.4,
like ReLU.  Weights with more bits need smaller steps, so the learning rate is lower.
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
from bitnet.cli import run
from bitnet.files import check_writable, replacing
from bitnet.nn import functional, models
from bitnet.optim import schedules
from bitnet.quantizers import LinearQuant

RATES = {1: 3e-3, 2: 1e-3} | dict.fromkeys(range(3, 9), 5e-4)  # first rate by bits per weight
FIGURES = ("accuracy", "bytes", "energy_nj", "images_per_s")
ROW = "{:>7} {:>11} {:>15} {:>10} {:>12} {:>10}"


def train(model, loss_of, data, lr, epochs, batch, rng):
    """Train a model, low-bit or float."""
    adam, schedule = bitnet.optim.Adam(model.parameters(), lr), schedules.Cosine(lr, epochs)
    for epoch in range(epochs):
        batches = bitnet.data.batches(data.train_images, data.train_labels, batch, rng)
        for i, (x, labels) in enumerate(tqdm(batches, leave=False, disable=None)):
            adam.lr = schedule(epoch + i / len(batches))
            loss = loss_of(model(x), labels)
            adam.zero_grad()
            loss.backward()
            adam.step()


def low_bit(weights, activations, sizes, data, args, seed):
    """Train, freeze and measure a low-bit net."""
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
        raise SystemExit("error: the frozen net differs from the trained one; please report this")
    figures = measured(frozen.predict, data, n_bytes, energy.estimate(frozen).estimates[0])
    return {**figures, "integers": agreement.integers}


def quantizer(bits):
    """Return the quantizer for activations with this number of bits."""
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
    """Return the figures of a net."""
    return {
        "accuracy": bitnet.training.accuracy(predict(data.test_images), data.test_labels),
        "bytes": n_bytes,
        "energy_nj": sum(cost.total_pj) / 2 / 1000,  # mean of the lower and the upper estimate
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
    print(ROW.format("weights", "activations", "test", "bytes", "nJ per image", "images/s"))
    rows = []
    for weights, activations in [*bits, *([(32, 32)] if args.twin else [])]:
        runs = []
        for seed in range(args.seeds):
            if weights == 32:
                runs.append(float_twin(sizes, data, args, seed))
            else:
                runs.append(low_bit(weights, activations, sizes, data, args, seed))
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
        f"scores and classes of {images} test images per net"
    )
    if args.out:
        plot_tradeoffs(rows, path=args.out)
        print(f"plot: {args.out}")
    if args.json:
        with replacing(args.json) as file:
            file.write(json.dumps({"settings": vars(args), "rows": rows}, indent=1).encode())


def some_bits(text):
    """Return the bits in "1,2,4"."""
    if re.fullmatch(r"[1-8](,[1-8]){0,7}", text):
        return sorted({int(bits) for bits in text.split(",")})
    raise argparse.ArgumentTypeError(f"{text!r}; expected bits from 1 to 8, such as 1,2,4")


def pairs(text):
    """Return the pairs of bits in "1/2,4/4"."""
    if re.fullmatch(r"[1-8]/[1-8](,[1-8]/[1-8]){0,63}", text):
        return [tuple(map(int, pair.split("/"))) for pair in text.split(",")]
    raise argparse.ArgumentTypeError(f"{text!r}; expected WEIGHTS/ACTIVATIONS,..., such as 1/2,4/4")


def widths(text):
    """Return the widths in "512,512"."""
    if re.fullmatch(r"[1-9]\d{0,5}(,[1-9]\d{0,5}){0,9}", text):
        return [int(width) for width in text.split(",")]
    raise argparse.ArgumentTypeError(f"{text!r}; expected UNITS,UNITS,..., such as 512,512")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    about = "data set; default: fashion-mnist, with --quick embedded"
    add("--data", choices=bitnet.data.DATASETS, metavar="SET", help=about)
    about = "bits per weight; default: 1,2,4,8, with --quick 1,2"
    add("--weights", type=some_bits, metavar="BITS", help=about)
    about = "bits per activation; default: 1,2,4,8, with --quick 1,2"
    add("--activations", type=some_bits, metavar="BITS", help=about)
    about = "only these pairs of weights/activations, such as 1/1,1/2,4/4"
    add("--bits", type=pairs, metavar="PAIRS", help=about)
    about = "units per hidden layer; default: 512,512,512, with --quick 64,64"
    add("--hidden", type=widths, metavar="UNITS", help=about)
    about = "passes over the training set; default: 6, with --quick 1"
    add("--epochs", type=int, metavar="N", help=about)
    add("--batch", type=int, default=100, metavar="N", help="images per batch; default: 100")
    about = "first learning rate; default: 0.003, for 2-bit weights 0.001, for more bits 0.0005"
    add("--lr", type=float, metavar="RATE", help=about)
    formats = "float32", "int8", "int6", "int4", "log6"
    about = "number format of the gradients in the backward products; default: int8"
    add("--grad-format", choices=formats, default="int8", help=about)
    add("--no-twin", dest="twin", action="store_false", help="do not train the float twin")
    about = "number of trainings per net; default: 1"
    add("--seeds", type=int, default=1, metavar="N", help=about)
    about = "threads of the kernels and the BLAS; default: all cores"
    add("--threads", type=int, metavar="N", help=about)
    about = "write the plot, .png or .svg; default: bits_sweep.png, if matplotlib is installed"
    add("--out", metavar="FILE", help=about)
    add("--json", metavar="FILE", help="write the figures to this file")
    add("--quick", action="store_true", help="train a few small nets, as a test")
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
