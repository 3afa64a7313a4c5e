"""Train, freeze, save and load the nets of later papers: accuracy, bytes, speed, lines.

    BITNET_DATA=FOLDER python benchmarks/architectures.py          the table, about 15 minutes
    BITNET_DATA=FOLDER python benchmarks/architectures.py --only bireal-small keyword
    python benchmarks/architectures.py --small                     narrow nets on embedded digits

FOLDER has Fashion-MNIST in `fashion-mnist` and MNIST-M, which has the format of SVHN, in `mnist-m`.
The set of words is synthesized here: spectrograms of 12 "words" of three formants each, with
different speakers, speeds, loudness and noise.  Each net is trained on a subset, frozen, saved and
loaded.  All integers and scores of the loaded net are compared with those of the model.  Images per
second are the median of several passes of the loaded net over the test images, on one thread.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS
os.environ.pop("OPENBLAS_L2_SIZE", None)

import argparse
import ast
import inspect
import pathlib
import statistics
import tempfile
import time

import machine
import numpy as np

import bitnet
from bitnet.data.svhn import read_svhn
from bitnet.nn import functional, models
from bitnet.nn.models.names import LATER, net_named
from bitnet.nn.module import evaluating
from bitnet.training.reestimation import reestimate

TRAIN, TEST, EPOCHS, BATCH, SEED = 6000, 2000, 5, 100, 0
WORDS, STEPS, BINS = 12, 49, 32
# net, data; the default widths of the names, halved where a net would take longer than others
CASES = [
    ("mlp:512,512", "fashion-mnist"),
    ("conv:32,32/64,64/256", "fashion-mnist"),
    ("bireal-small:16", "fashion-mnist"),
    ("reactnet:16", "fashion-mnist"),
    ("quicknet:16", "fashion-mnist"),
    ("xnornet:32", "fashion-mnist"),
    ("binarydense:16", "fashion-mnist"),
    ("binaryduo:32", "fashion-mnist"),
    ("autoencoder", "fashion-mnist"),
    ("bireal-small:16", "mnist-m"),
    ("reactnet:16", "mnist-m"),
    ("keyword:32", "words"),
    ("text", "lines"),
]


def spectrograms(rng, labels, shapes):
    """Return uint8 spectrograms (count, STEPS, BINS, 1) of words; `shapes` has their formants."""
    time_s, bins = np.linspace(0, 1, STEPS), np.arange(BINS)
    images = np.empty((len(labels), STEPS, BINS, 1), np.uint8)
    for i, label in enumerate(labels):
        begin, length = rng.uniform(0, 0.3), rng.uniform(0.45, 0.7)
        at = np.clip((time_s - begin) / length, 0, 1)
        loud = np.sin(np.pi * at) ** 0.5 * rng.uniform(0.5, 1)
        voice, sound = rng.normal(0, 1.5), np.zeros((STEPS, BINS))
        for base, slope, bend in shapes[label]:
            place = (base + slope * at + bend * np.sin(2 * np.pi * at)) * BINS + voice
            sound += np.exp(-0.5 * ((bins - place[:, None]) / 1.2) ** 2)
        sound = sound * loud[:, None] + rng.normal(0, 0.35, sound.shape)
        images[i, ..., 0] = np.clip(sound * 110 + 90, 0, 255)
    return images


def words():
    """Return the synthesized set: training images and labels, test images and labels."""
    rng = np.random.default_rng(7)
    shapes = rng.uniform((0.1, -0.3, -0.12), (0.8, 0.3, 0.12), (WORDS, 3, 3))
    parts = []
    for count in (TRAIN, TEST):
        labels = rng.integers(0, WORDS, count)
        parts += spectrograms(rng, labels, shapes), labels
    return parts


def first_of_each(images, labels, count):
    """Return a random subset."""
    rows = np.random.default_rng(1).permutation(len(images))[:count]
    return images[rows], labels[rows].astype(np.int64)


def data_named(name, small):
    """Return training images and labels, test images and labels."""
    if name == "words":
        return words()
    if name == "mnist-m" and not small:
        folder = pathlib.Path(os.environ["BITNET_DATA"]) / name
        sets = [read_svhn(folder / f"{part}_32x32.mat") for part in ("train", "test")]
    else:
        data = bitnet.load_dataset("embedded" if small else name)
        sets = [(data.train_images, data.train_labels), (data.test_images, data.test_labels)]
        sets = [(x.reshape(-1, 28, 28, 1), y) for x, y in sets]
    pairs = zip(sets, (TRAIN, TEST), strict=True)
    return [own for (x, y), count in pairs for own in first_of_each(x, y, count)]


def lines():
    """Return lines of plays and of the Penn Treebank as padded ids of characters, in halves."""
    ptb = pathlib.Path(os.environ["BITNET_DATA"]) / "text"
    plays = pathlib.Path(bitnet.data.__file__).parent / "plays"
    sources = {"train": ("train.txt", "ptb.train.txt"), "test": ("test.txt", "ptb.test.txt")}
    parts, letters = [], " abcdefghijklmnopqrstuvwxyz"
    for name, count in (("train", TRAIN), ("test", TEST)):
        found = []
        for folder, file in zip((plays, ptb), sources[name], strict=True):
            text = (folder / file).read_text().lower()
            kept = ("".join(c for c in line if c in letters).strip() for line in text.splitlines())
            found.append([line[:48] for line in kept if len(line) > 8][: count // 2])
        ids = [[letters.index(c) + 1 for c in line] for own in found for line in own]
        labels = np.repeat([0, 1], [len(own) for own in found])
        order = np.random.default_rng(1).permutation(len(ids))
        parts += models.padded([ids[i] for i in order]), labels[order]
    return parts


def trained(model, x, y, rng, loss):
    """Train a model with Adam and a cosine schedule; return the seconds of processor time."""
    adam = bitnet.optim.Adam(model.parameters(), 2e-3)
    n_batches, start_s = len(x) // BATCH, time.process_time()
    for epoch in range(EPOCHS):
        order, model = rng.permutation(len(x)), model.train()
        for step, rows in enumerate(np.array_split(order, n_batches)):
            done = (epoch + step / n_batches) / EPOCHS
            adam.lr = 2e-3 * 0.5 * (1 + np.cos(np.pi * done))
            adam.zero_grad()
            loss(x[rows], y[rows]).backward()
            adam.step()
    return time.process_time() - start_s


def lines_of(builder):
    """Return the lines of code of a builder's module, without imports and documentation."""
    source = inspect.getsource(inspect.getmodule(builder))
    hidden, tree = set(), ast.parse(source)
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module))
        documented = documented and ast.get_docstring(node, clean=False) is not None
        if documented or isinstance(node, (ast.Import, ast.ImportFrom)):
            own = node.body[0] if documented else node
            hidden |= set(range(own.lineno, own.end_lineno + 1))
    return sum(1 for i, line in enumerate(source.splitlines(), 1) if line and i not in hidden)


def made(name, image, n_classes, small):
    """Return an untrained model, its loss and the axes for `freeze`."""
    rng = np.random.default_rng(SEED)
    if name == "text":
        few = {"weight_quantizer": 2, "activation_quantizer": 4, "kind": "gru"}
        model = models.sequence_classifier(28, 2, rng=rng, units=16 if small else 64, **few)
        return model, lambda x, y: functional.cross_entropy(model(x), y), "BT"
    if name == "autoencoder":
        model = models.autoencoder(image, rng=rng, width=8 if small else 32)
        return model, lambda x, y: model.loss(x), None
    kind, _, width = name.partition(":")
    name = f"{kind}:{int(width) // 4}" if small and width.isdigit() else name
    model = net_named(name).build(image, n_classes, rng)
    return model, lambda x, y: functional.cross_entropy(model(x), y), None


def measured(name, data, small):
    """Return the row of a net: accuracy or error, bytes, inputs per second, lines."""
    x, y, test_x, test_y = lines() if data == "lines" else data_named(data, small)
    if name.startswith("mlp"):
        x, test_x = (own.reshape(len(own), -1) for own in (x, test_x))
    image = (28, 28, 1) if name.startswith("mlp") else x.shape[1:]
    model, loss, axes = made(name, image, int(y.max()) + 1, small)
    rng = np.random.default_rng(SEED)
    train_s = trained(model, x, y, rng, loss)
    if axes is None:
        reestimate(model, np.array_split(x[:2000], 20))
    net = bitnet.freeze(model.eval(), test_x[:1], axes=axes)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "net.npz"
        net.save(path)
        net, n_bytes = bitnet.load(path), path.stat().st_size
    agreement = bitnet.compare(model, net, test_x)
    with evaluating(model):
        expected = model(test_x).data
    (scores,) = net.run(test_x)
    if not agreement.is_complete or not np.array_equal(scores, expected):
        raise bitnet.InputError(f"{name}: the loaded net differs from the model: {agreement}")
    if name == "autoencoder":
        pixels = test_x * np.float32(2 / 255) - 1
        share = 1 - ((scores - pixels) ** 2).mean() / pixels.var()
        result = f"R2 {share:.3f}"
    else:
        result = f"{(scores.argmax(axis=1) == test_y).mean():.1%}"
    seconds = statistics.median(passes(net, test_x))
    table = bitnet.summary(net)
    weights = ", ".join(f"{n:,} of {b}" for b, n in table.weights.items())
    return result, n_bytes, weights, len(test_x) / seconds, train_s, agreement.integers


def passes(net, x, count=5):
    """Return the seconds of processor time of passes over some inputs, in batches of 100."""
    found = []
    for _ in range(count):
        start_s = time.process_time()
        for rows in np.array_split(np.arange(len(x)), max(1, len(x) // 100)):
            net.run(x[rows])
        found.append(time.process_time() - start_s)
    return found


def builder_of(name):
    """Return the function that builds a net with a name."""
    others = {"autoencoder": models.autoencoder, "text": models.sequence_classifier}
    kind = name.partition(":")[0]
    own = LATER[kind][0] if kind in LATER else others.get(kind, models.binary_mlp)
    return getattr(own, "func", own)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a quarter of the widths, one epoch")
    parser.add_argument("--only", nargs="+", metavar="NET", help="nets whose names begin so")
    args = parser.parse_args()
    if args.small:
        global TRAIN, TEST, EPOCHS
        TRAIN, TEST, EPOCHS = 500, 100, 1
    bitnet.set_num_threads(1)
    print("\n".join(machine.lines()))
    print(f"{TRAIN} training and {TEST} test inputs, {EPOCHS} epochs, seed {SEED}, one thread\n")
    form = "{:<18} {:<14} {:>8} {:>9} {:>11} {:>8} {:>10} {:>5}  {}"
    titles = "net", "data", "test", "bytes", "inputs/s", "train s", "integers", "lines"
    print(form.format(*titles, "weights of bits"), flush=True)
    for name, data in CASES:
        if args.only and not any(map(name.startswith, args.only)):
            continue
        result, n_bytes, weights, speed, train_s, integers = measured(name, data, args.small)
        numbers = f"{n_bytes:,}", f"{speed:,.0f}", f"{train_s:.0f}", f"{integers:,}"
        count = lines_of(builder_of(name))
        print(form.format(name, data, result, *numbers, count, weights), flush=True)


if __name__ == "__main__":
    bitnet.cli.run(main)
