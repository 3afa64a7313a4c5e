"""Train nets for microcontrollers on MNIST: bytes of flash and RAM, work, accuracy.

    BITNET_DATA=FOLDER python benchmarks/small_nets.py --out nets               every net, hours
    BITNET_DATA=FOLDER python benchmarks/small_nets.py conv-11k --seeds 0 1 2 --out nets
    BITNET_DATA=FOLDER python benchmarks/small_nets.py --choose --out nets      validation accuracy
    python benchmarks/small_nets.py --quick --out nets                          embedded digits

Settings are chosen with `--choose`, which trains on all training images but the last 10 000 and
prints the accuracy on those; without it a net is trained on all of them and tested.  Each epoch has
another copy of the training images, distorted at random (`distortions.py`); the copies, and the
scores of the teacher for them, are made once and kept in the folder of `--out`.  The teacher is the
net of that name, trained without the last 10 000 images.  Each net is frozen, compared with the
model integer for integer, and saved as NAME.seedN.npz.

Flash and RAM are NET_FLASH_BYTES and NET_RAM_BYTES of the net in C, with its first layer as planes
of pixels: the constants, without the code, and the state, without the image.  Other forms of the
first layer have other sizes.  Work is the number of pairs of words that are combined with XOR and
popcount, of all positions.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS
os.environ.pop("OPENBLAS_L2_SIZE", None)

import argparse
import dataclasses
import math
import pathlib
import statistics
import time

import machine
import numpy as np
from distortions import distorted_copies

import bitnet
from bitnet import nn
from bitnet.export import to_c
from bitnet.export.libraries import sizes_in
from bitnet.nn import functional
from bitnet.optim import Adam, schedules
from bitnet.training.reestimation import reestimate

BATCH, HELD, FASTER = 100, 10_000, 10.0  # images; the factor of the rate of gamma and beta
TEACHER = "teacher"
MODULES = {  # of a kind of layer: with 1 bit, with more
    "conv": (nn.BinaryConv2d, nn.QuantConv2d),
    "dense": (nn.BinaryLinear, nn.QuantLinear),
}


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution without padding, perhaps a 2x2 max-pooling, batch norm and k-bit outputs."""

    channels: int
    size: int = 3
    weights: int = 1  # bits
    outputs: int = 1  # bits
    stride: int = 1
    pool: bool = False

    def after(self, shape):
        """Return the shape (rows, columns, channels) of its output."""
        sizes = [(n - self.size) // self.stride + 1 for n in shape[:2]]
        return *(n // 2 if self.pool else n for n in sizes), self.channels

    def module(self, shape, **options):
        """Return the layer of the model for images of a shape."""
        sizes = shape[2], self.channels, self.size, self.stride
        return _weighted("conv", self.weights, sizes, options)


@dataclasses.dataclass(frozen=True)
class Dense:
    """A fully connected layer, batch norm and k-bit outputs."""

    units: int
    weights: int = 1  # bits
    outputs: int = 1  # bits; 32 for scores
    pool: bool = False

    def after(self, shape):
        """Return the shape of its output."""
        return (self.units,)

    def module(self, shape, **options):
        """Return the layer of the model for inputs of a shape."""
        return _weighted("dense", self.weights, (math.prod(shape), self.units), options)


def _weighted(kind, bits, sizes, options):
    """Return a layer with k-bit weights."""
    binary, quantized = MODULES[kind]
    return (
        binary(*sizes, **options)
        if bits == 1
        else quantized(*sizes, weight_quantizer=bits, **options)
    )


@dataclasses.dataclass(frozen=True)
class Net:
    """The layers of a net and the settings of its training."""

    layers: tuple
    planes: int = 8  # highest bits of each pixel that the net sees
    epochs: int = 40
    rate: float = 3e-3
    strength: float = 0.5  # of the distortions
    soft: float = 0.0  # share of the loss that compares with the teacher
    temperature: float = 4.0

    @property
    def shape(self):
        """The shape of an input: images for convolutions, rows otherwise."""
        return (28, 28, 1) if isinstance(self.layers[0], Conv) else (784,)


def scores(weights=1):
    """Return the last layer."""
    return Dense(10, weights, 32)


NETS = {
    TEACHER: Net(
        (Conv(32, 5, 4, 2, pool=True), Conv(96, 3, 2, 2, pool=True), Conv(128, 3, 2, 2), scores(2)),
        epochs=12, strength=1.0,
    ),
    "mlp-2k": Net((Dense(16, 1, 2), Dense(16, 2, 2), scores(2))),
    "mlp-14k": Net((Dense(112, 1, 2), Dense(48, 1, 2), scores(2)), epochs=12),
    "mlp-15k-p8": Net((Dense(128), Dense(96), scores()), epochs=30),
    "mlp-15k-p4": Net((Dense(128), Dense(96), scores()), planes=4, epochs=30),
    "mlp-15k-p2": Net((Dense(128), Dense(96), scores()), planes=2, epochs=30),
    "mlp-15k-p1": Net((Dense(128), Dense(96), scores()), planes=1, epochs=30),
    "mlp-23k-p2": Net((Dense(192), Dense(128), scores()), planes=2),
    "mlp-24k-p1": Net((Dense(192, 1, 2), Dense(96, 1, 2), scores(2)), planes=1),
    "mlp-46k-p1": Net((Dense(384), Dense(128), scores()), planes=1),
    "mlp-140k": Net((Dense(1024), Dense(256), scores()), planes=2, epochs=30),
    "conv-fast": Net(
        (Conv(16, 5, 2, 1, stride=2, pool=True), Conv(32, 3, 1, 1), scores(2)),
        planes=1, epochs=24, rate=5e-3,
    ),
    "conv-3k": Net(
        (Conv(16, 5, 2, 2, pool=True), Conv(24, 3, 2, 2, pool=True), Conv(24, 3, 1, 2), scores(2)),
        planes=4, epochs=24, rate=2e-3,
    ),
    "conv-11k": Net(
        (Conv(32, 5, 2, 2, pool=True), Conv(48, 3, 2, 2, pool=True), Conv(48, 3, 2, 2), scores(2)),
        planes=4, epochs=24, rate=2e-3,
    ),
    "conv-12k": Net(
        (Conv(32, 5, 2, 2, pool=True), Conv(64, 3, 2, 2, pool=True), Conv(64, 3, 1, 2), scores(2)),
        planes=4, rate=2e-3,
    ),
}  # fmt: skip


def build(net, rng):
    """Return the untrained model of a net."""
    shape, layers = net.shape, [nn.PixelPlanes(net.planes)] if net.planes < 8 else []
    for layer in net.layers:
        if isinstance(layer, Dense) and len(shape) == 3:
            layers.append(nn.Flatten())
        layers.append(layer.module(shape, rng=rng))
        layers += [nn.MaxPool2d()] if layer.pool else []
        shape = layer.after(shape)
        layers.append(nn.BatchNorm(shape[-1], lr_scale=FASTER))
        if layer.outputs < 32:
            layers.append(nn.Sign() if layer.outputs == 1 else nn.Quantize(layer.outputs))
    model = nn.Sequential(*layers)
    model.takes = "uint8", net.shape
    return model


def train(net, copies, labels, seed, epochs, taught=None, log=None):
    """Return the trained model; an epoch uses one of the copies (count, B, 28, 28) of the images.

    `taught` are the scores (count, B, 10) of the teacher for the copies.
    """
    rng = np.random.default_rng(seed)
    model = build(net, rng)
    adam, schedule = Adam(model.parameters(), net.rate), schedules.Cosine(net.rate, epochs)
    n_batches = len(labels) // BATCH
    for epoch in range(epochs):
        images = np.array(copies[epoch % len(copies)][: len(labels)]).reshape(-1, *net.shape)
        order, losses = rng.permutation(len(labels)), []
        model.train()
        for step in range(n_batches):
            rows = order[step * BATCH : (step + 1) * BATCH]
            adam.lr = schedule(epoch + step / n_batches)
            y = model(images[rows])
            if taught is None or net.soft == 0:
                loss = functional.cross_entropy(y, labels[rows])
            else:
                soft = taught[epoch % len(copies), rows].astype(np.float32)
                loss = functional.distillation(y, labels[rows], soft, net.temperature, net.soft)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        if log:
            log(model, epoch + 1, float(np.mean(losses)))
    reestimate(model, (images[order[i * BATCH :][:BATCH]] for i in range(min(100, n_batches))))
    return model.eval()


def costs(net):
    """Return the bytes of flash and RAM of a frozen net in C with bit planes, and its work."""
    header, work = to_c(net), 0
    for layer in net.layers:
        planes = 8 if layer.enters.kind == "uint8" else _planes(layer.enters)
        words = math.ceil(math.prod(layer.bits.shape[1:]) / 32)
        work += math.prod(layer.z.shape[1:]) * words * _planes_of(layer.bits) * planes
    flash, ram = (sizes_in("net", macro, header)[0] for macro in ("FLASH_BYTES", "RAM_BYTES"))
    return flash, ram, work


def _planes(value):
    """Return the number of planes of packed values."""
    return 1 if value.codebook is None else value.codebook.bits


def _planes_of(weights):
    """Return the number of planes of Bits or BitPlanes."""
    return len(weights.coefficients) if isinstance(weights, bitnet.kernels.BitPlanes) else 1


def accuracy(frozen, net, images, labels):
    """Return the share of images (B, 28, 28) that a frozen net classifies correctly."""
    return float((frozen.predict(images.reshape(-1, *net.shape)) == labels).mean())


class Workshop:
    """The data, the distorted copies and the teacher, made when they are first used."""

    def __init__(self, args):
        self.folder, self.args = pathlib.Path(args.out), args
        self.folder.mkdir(parents=True, exist_ok=True)
        data = bitnet.load_dataset("embedded" if args.quick else "mnist")
        data = data.first(1000, 500) if args.quick else data
        self.images, self.labels = data.train_images, data.train_labels.astype(np.int64)
        self.test = data.test_images, data.test_labels
        self.n_chosen = len(self.images) - min(HELD, len(self.images) // 2)
        self.held = self.images[self.n_chosen :], self.labels[self.n_chosen :]

    def copies(self, strength):
        """Return the distorted copies of all training images."""
        path = self.folder / f"distorted-{strength:g}.npy"
        return distorted_copies(self.images, self.args.copies, path, strength)

    def taught(self, strength):
        """Return the scores of the teacher for the copies, float16 (count, B, 10)."""
        path = self.folder / f"taught-{strength:g}.npy"
        if not path.exists():
            teacher = self.folder / f"{TEACHER}.choose.seed0.npz"
            if not teacher.exists():
                self.made(TEACHER, 0, choose=True)
            frozen, shape = bitnet.load(teacher), NETS[TEACHER].shape
            scores = [frozen.scores(copy.reshape(-1, *shape)) for copy in self.copies(strength)]
            np.save(path, np.asarray(scores, np.float16))
        return np.load(path, mmap_mode="r")

    def made(self, name, seed, choose):
        """Train, freeze, compare and save a net; return its accuracy, costs and seconds."""
        net, start_s = NETS[name], time.perf_counter()
        labels = self.labels[: self.n_chosen] if choose else self.labels
        taught = self.taught(net.strength) if net.soft else None
        epochs = self.args.epochs or net.epochs
        path = self.folder / f"{name}{'.choose' if choose else ''}.seed{seed}.npz"

        def log(model, epoch, loss):
            if self.args.log and epoch % self.args.log == 0:
                line = f"  {name} {seed}: epoch {epoch}, loss {loss:.4f}"
                if choose:
                    x, y = self.held
                    share = bitnet.training.evaluate(model, x.reshape(-1, *net.shape), y)
                    line += f", validation {share:.2%}"
                print(line, flush=True)

        model = train(net, self.copies(net.strength), labels, seed, epochs, taught, log)
        x, y = self.held if choose else self.test
        frozen = bitnet.freeze(model, x[:1].reshape(-1, *net.shape))
        agreement = bitnet.compare(model, frozen, x.reshape(-1, *net.shape))
        if not agreement.is_complete:
            raise bitnet.InputError(f"{name}: the frozen net differs from the model: {agreement}")
        frozen.data = "mnist"
        frozen.save(path)
        return accuracy(frozen, net, x, y), costs(frozen), time.perf_counter() - start_s


def row(name, shares, cost, elapsed_s):
    """Format the figures of a net."""
    spread = f"±{100 * statistics.stdev(shares):.2f}" if len(shares) > 1 else ""
    flash, ram, work = (f"{n:,}" for n in cost)
    mean = f"{100 * statistics.mean(shares):.2f}"
    each = " ".join(f"{100 * share:.2f}" for share in shares)
    return f"{name:14} {flash:>8} {ram:>6} {work:>9} {mean:>6} {spread:6} {elapsed_s:>7.0f}  {each}"


def main():
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"some nets: {', '.join(NETS)}")
    add("--seeds", type=int, nargs="+", default=[0], help="seeds (default: 0)")
    add("--epochs", type=machine.positive, help="epochs instead of those of each net")
    add("--copies", type=machine.positive, default=32, help="distorted copies (default: 32)")
    add("--choose", action="store_true", help="hold 10 000 training images back, and do not test")
    add("--log", type=machine.positive, metavar="N", help="accuracy after each N epochs")
    add("--threads", type=machine.positive, default=1, help="threads (default: 1)")
    add("--quick", action="store_true", help="1000 digits, 2 epochs, 2 copies")
    add("--out", metavar="FOLDER", required=True, help="folder of the nets and the copies")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in NETS]:
        raise bitnet.InputError(f"there is no net {unknown[0]!r}; choose from {', '.join(NETS)}")
    if args.quick:
        args.epochs, args.copies = 2, 2
    bitnet.set_num_threads(args.threads)
    workshop = Workshop(args)
    print("\n".join(machine.lines()))
    what = "validation" if args.choose else "test"
    print(f"\n{'net':14} {'flash':>8} {'RAM':>6} {'work':>9} {what:>13} {'s':>7}  each seed")
    for name in args.names or [name for name in NETS if name != TEACHER]:
        found = [workshop.made(name, seed, args.choose) for seed in args.seeds]
        shares = [share for share, _, _ in found]
        elapsed_s = statistics.mean(own for _, _, own in found)
        print(row(name, shares, found[0][1], elapsed_s), flush=True)


if __name__ == "__main__":
    bitnet.cli.run(main)
