"""Freeze many kinds of nets: are all integers and results equal, and what do they cost?

    python benchmarks/any_model.py              the papers' sizes; about 10 minutes
    python benchmarks/any_model.py --small      narrower nets, a minute
    python benchmarks/any_model.py --only bireal autoencoder

Each net is trained for an epoch on 500 inputs, frozen, saved and loaded.  The loaded net is
compared with the model in evaluation mode on 100 other inputs: every integer of every product of
bits, and every bit of the results.  The table has the bytes of the file, inputs per second in
batches of 100 (tokens for language models), and the multiply-accumulates for one input by the bits
of activation x weight.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS

import argparse
import dataclasses
import functools
import itertools
import pathlib
import tempfile
from typing import Any

import machine
import numpy as np
from stopwatch import interleaved

import bitnet
from bitnet import nn
from bitnet.nn import functional, models

TRAIN, TEST, BATCH = 500, 100, 50
RNG = np.random.default_rng(0)


@dataclasses.dataclass
class Trial:
    """A model with inputs and targets, of which the last TEST are for the comparison."""

    model: nn.Module
    inputs: tuple
    targets: np.ndarray
    loss: Any = functional.cross_entropy
    axes: tuple = ("B",)

    def rows(self, index):
        """Return some of the inputs; the batch is the second axis of sequences."""
        pairs = zip(self.inputs, self.axes, strict=True)
        return tuple(x[:, index] if axes == "TB" else x[index] for x, axes in pairs)


class BiReal(nn.Module):
    """x + bn(conv(sign(x))), then PReLU; a pooled shortcut where the images shrink."""

    def __init__(self, channels, stride=1):
        self.conv = nn.BinaryConv2d(channels, channels, 3, stride, padding=1, rng=RNG)
        self.norm, self.act = nn.BatchNorm(channels), nn.PReLU(channels)
        self.shrink = nn.AvgPool2d(stride) if stride > 1 else None

    def forward(self, x):
        y = self.norm(self.conv(functional.sign(x)))
        return self.act(y + (x if self.shrink is None else self.shrink(x)))


class BiRealNet(nn.Module):
    """A float stem, four Bi-Real blocks, the mean of all pixels, and a float head."""

    def __init__(self, channels):
        self.stem, self.norm = nn.Conv2d(3, channels, 3, padding=1, rng=RNG), nn.BatchNorm(channels)
        self.blocks = [BiReal(channels, stride) for stride in (1, 2, 1, 2)]
        self.head = nn.Linear(channels, 10, rng=RNG)

    def forward(self, x):
        x = self.norm(self.stem(x / 255.0))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(axis=(1, 2)))


class Shared(nn.Module):
    """Two branches of one shared layer with norms of their own, joined; two results."""

    def __init__(self, units):
        self.first, self.norm = nn.BinaryLinear(784, units, rng=RNG), nn.BatchNorm(units)
        self.shared = nn.BinaryLinear(units, units, rng=RNG)
        self.norms = [nn.BatchNorm(units), nn.BatchNorm(units)]
        self.last, self.last_norm = nn.BinaryLinear(2 * units, 10, rng=RNG), nn.BatchNorm(10)

    def forward(self, x):
        x = functional.sign(self.norm(self.first(x)))
        once = functional.sign(self.norms[0](self.shared(x)))
        twice = functional.sign(self.norms[1](self.shared(once)))
        return self.last_norm(self.last(functional.concatenate(once, twice)))


class Sequences(nn.Module):
    """An LSTM with 2-bit weights and 4-bit states over (T, B, N); scores of the last valid step."""

    def __init__(self, inputs, units):
        bits = {"weight_quantizer": 2, "activation_quantizer": 4}
        self.lstm = nn.LSTM(inputs, units, rng=RNG, **bits)
        self.head = nn.Linear(units, 4, rng=RNG)

    def forward(self, x, lengths):
        y, _ = self.lstm(x)
        return self.head(y[lengths - 1, np.arange(y.shape[1])])


def digits(shape):
    """Return images of digits in a shape, and their labels."""
    data = bitnet.load_dataset("embedded")
    images, labels = data.train_images[: TRAIN + TEST], data.train_labels[: TRAIN + TEST]
    if len(shape) == 1:
        return images.reshape(len(images), 784), labels
    wide = np.zeros((len(images), *shape), np.uint8)
    factor = shape[0] // 28
    wide[:, : 28 * factor, : 28 * factor] = np.kron(images, np.ones((1, factor, factor), np.uint8))[
        ..., None
    ]
    return wide, labels


def waves(steps, channels):
    """Return noisy sine waves of four frequencies, float32 (count, steps, channels), and labels."""
    labels = RNG.integers(0, 4, TRAIN + TEST)
    phase = RNG.random((len(labels), 1, channels)) * 2 * np.pi
    time = np.arange(steps)[None, :, None] * (labels[:, None, None] + 1) / 4
    noise = RNG.normal(size=(len(labels), steps, channels))
    return np.sin(time + phase).astype(np.float32) + 0.3 * noise.astype(np.float32), labels


def of_images(model, shape):
    """Return the trial of a classifier of digits, which may have heads in training."""
    images, labels = digits(shape)
    return Trial(model, (images,), labels, nn.auxiliary(functional.cross_entropy))


def float_ends(units):
    """Return an MLP with a float first and last layer."""
    scaled = nn.Sequential(nn.Linear(784, units, rng=RNG), nn.BatchNorm(units), nn.Sign())
    bits = nn.Sequential(nn.BinaryLinear(units, units, rng=RNG), nn.BatchNorm(units), nn.HardTanh())
    images, labels = digits((784,))
    model = nn.Sequential(scaled, bits, nn.Linear(units, 10, rng=RNG))
    return Trial(model, (bitnet.data.scale_pixels(images),), labels)


def autoencoder(units):
    """Return an autoencoder of digits: 784 - units - 64 - units - 784, signs in between."""
    sizes, layers = [784, units, 64, units, 784], []
    for n, m in itertools.pairwise(sizes):
        layers += [nn.BinaryLinear(n, m, rng=RNG), nn.BatchNorm(m), nn.Sign()]
    images, _ = digits((784,))
    targets = bitnet.data.scale_pixels(images)
    return Trial(
        nn.Sequential(*layers[:-1]), (images,), targets, lambda y, t: ((y - t) ** 2).mean()
    )


def sensors(units):
    """Return a net for windows of a sensor: floats, which a first quantizer rounds to 4 bits."""
    x, labels = waves(64, 3)
    layers = [nn.Quantize(4), nn.Flatten()]
    for n, m in ((192, units), (units, units)):
        few = nn.QuantLinear(n, m, rng=RNG, weight_quantizer=2)
        layers += [few, nn.BatchNorm(m), nn.Quantize(2)]
    last = nn.QuantLinear(units, 4, rng=RNG, weight_quantizer=2), nn.BatchNorm(4)
    return Trial(nn.Sequential(*layers, *last), (x,), labels)


def sequences(units):
    """Return a classifier of sequences of different lengths."""
    x, labels = waves(40, 3)
    lengths = RNG.integers(20, 41, len(labels))
    x = np.ascontiguousarray(x.transpose(1, 0, 2))
    return Trial(Sequences(3, units), (x, lengths), labels, axes=("TB", "B"))


def text(kind, units, **bits):
    """Return a language model of characters; targets are the next ones."""
    ids = np.frombuffer((__doc__ * 20).encode(), np.uint8).astype(np.int64)[: 12 * (TRAIN + TEST)]
    _, ids = np.unique(ids, return_inverse=True)
    model = models.language_model(ids.max() + 1, rng=RNG, kind=kind, width=64, units=units, **bits)
    ids = ids.reshape(TRAIN + TEST, 12).T  # (T, B)

    def loss(results, targets):
        return functional.cross_entropy(results[0], targets.T.ravel())

    targets = np.roll(ids, -1, axis=0).T
    return Trial(model, (ids,), targets, loss, axes=("TB",))


def trials(small):
    """Return the functions that make the trials, by name."""
    w, image = (8 if small else 1), (32, 32, 3)
    blocks = [tuple(c // w for c in block) for block in models.CIFAR10["blocks"]]
    svhn = [tuple(c // w for c in block) for block in models.SVHN["blocks"]]
    units = [1024 // w, 1024 // w, 10]
    few = {"weight_quantizer": 2, "activation_quantizer": 4}
    google = {"image": (64, 64), "inflation": 0.125 if small else 0.5}
    return {
        "mlp-theano": lambda: of_images(models.binary_mlp(mlp(4096 // w), rng=RNG), (784,)),
        "mlp-torch": lambda: of_images(models.binary_mlp(mlp(2048 // w), rng=RNG), (784,)),
        "mlp-2x4": lambda: of_images(models.binary_mlp(mlp(2048 // w), rng=RNG, **few), (784,)),
        "mlp-4-planes": lambda: of_images(
            models.binary_mlp(mlp(2048 // w), rng=RNG, input_planes=4), (784,)
        ),
        "cifar-convnet": lambda: of_images(
            models.binary_convnet(image, blocks, units, rng=RNG), image
        ),
        "svhn-convnet": lambda: of_images(
            models.binary_convnet(image, svhn, units, rng=RNG), image
        ),
        "float-convnet": lambda: Trial(
            models.float_convnet((28, 28, 1), [(32 // w,), (64 // w,)], [128, 10], rng=RNG),
            (bitnet.data.scale_pixels(digits((28, 28, 1))[0]),),
            digits((28, 28, 1))[1],
        ),
        "googlenet": lambda: of_images(models.googlenet(10, rng=RNG, **google), (64, 64, 3)),
        "bireal": lambda: of_images(BiRealNet(64 // w), image),
        "float-ends": lambda: float_ends(1024 // w),
        "shared-branches": lambda: of_images(Shared(1024 // w), (784,)),
        "autoencoder": lambda: autoencoder(1024 // w),
        "sensors": lambda: sensors(512 // w),
        "sequences": lambda: sequences(128 // w),
        "lstm-float": lambda: text("lstm", 300 // w),
        "lstm-4x4": lambda: text("lstm", 300 // w, weight_quantizer=4, activation_quantizer=4),
        "gru-2x4": lambda: text("gru", 300 // w, **few),
        "rnn-relu-4x4": lambda: text(
            "rnn", 2048 // w, activation="relu", weight_quantizer=4, activation_quantizer=4
        ),
    }


def mlp(units):
    """Return the sizes of the papers' MLPs."""
    return [784, units, units, units, 10]


def train(trial):
    """Train a model for an epoch."""
    adam = bitnet.optim.Adam(trial.model.parameters(), 1e-3)
    for rows in np.array_split(RNG.permutation(TRAIN), TRAIN // BATCH):
        adam.zero_grad()
        trial.loss(trial.model.train()(*trial.rows(rows)), trial.targets[rows]).backward()
        adam.step()
    trial.model.eval()


def frozen(trial, folder):
    """Return the net from its file, and the bytes of the file."""
    if isinstance(trial.model, models.LanguageModel):
        net = bitnet.freeze(trial.model)
    else:
        net = bitnet.freeze(trial.model, trial.rows(slice(2)), axes=trial.axes)
    path = pathlib.Path(folder) / "net.npz"
    net.save(path)
    return bitnet.load(path), path.stat().st_size


def compared(trial, net):
    """Return the number of compared integers and of results; stop if one differs."""
    x = trial.rows(slice(TRAIN, None))
    if isinstance(trial.model, models.LanguageModel):
        with bitnet.no_grad():
            scores, state = trial.model(*x)
        own, after = net.scores(*x)
        states = [scores.data, *(s.data for each in state for s in each)]
        pairs = zip(states, [own, *after], strict=True)
        if not all(np.array_equal(a, b) for a, b in pairs):
            raise bitnet.InputError("the frozen language model differs from the trained one")
        x = (*x, *net.first_state(x[0]))
        return sum(z.size for z in net.pre_activations(*x)), own.size
    agreement = bitnet.compare(trial.model, net, *x)
    if not agreement.is_complete:
        raise bitnet.InputError(f"the frozen net differs: {agreement}")
    return agreement.integers, net.scores(*x).size


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="an eighth of the widths")
    parser.add_argument("--only", nargs="+", metavar="NET", help="some of the nets")
    parser.add_argument("--threads", type=machine.positive, default=1)
    args = parser.parse_args()
    bitnet.set_num_threads(args.threads)
    made = trials(args.small)
    if wrong := [name for name in args.only or () if name not in made]:
        parser.error(f"unknown net {wrong[0]}; expected some of {', '.join(made)}")
    print("\n".join(machine.lines()))
    print("\nall integers and results of each net are equal to the model's in evaluation mode\n")
    columns = "net", "nodes", "integers", "results", "bytes", "inputs/s", "MACs by precision"
    form = "{:<16} {:>5} {:>10} {:>8} {:>11} {:>9}  {}"
    print(form.format(*columns))
    for name in args.only or made:
        trial = made[name]()
        train(trial)
        with tempfile.TemporaryDirectory() as folder:
            net, n_bytes = frozen(trial, folder)
        integers, results = compared(trial, net)
        x = trial.rows(slice(TRAIN, None))
        predict = functools.partial(net.scores, *x)
        seconds = np.median(interleaved([predict], turns=5, least_s=0.2))
        count = x[0].size if net.input == "ids" else TEST
        macs = bitnet.summary(net).macs
        shown = ", ".join(f"{p} {n:,}" for p, n in macs.items() if n)
        numbers = len(net.graph.nodes), f"{integers:,}", f"{results:,}", f"{n_bytes:,}"
        print(form.format(name, *numbers, f"{count / seconds:,.0f}", shown), flush=True)


if __name__ == "__main__":
    bitnet.cli.run(main)
