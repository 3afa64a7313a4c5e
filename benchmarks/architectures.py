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
import inspect
import pathlib
import statistics
import tempfile
import time

import machine
import numpy as np

import bitnet
from bitnet import nn
from bitnet.data.svhn import read_svhn
from bitnet.nn import functional, models
from bitnet.nn.models.names import LATER, net_named
from bitnet.nn.module import evaluating
from bitnet.training.reestimation import reestimate

TRAIN, TEST, EPOCHS, BATCH, SEED = 6000, 1000, 5, 100, 0
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
    """Return lines of two kinds as padded ids: of plays, and the same lines with words shuffled."""
    corpus = bitnet.data.read_corpus if hasattr(bitnet.data, "read_corpus") else None
    raise NotImplementedError(corpus)


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
    """Return the lines of code of a builder, and of the classes of its own module, undocumented."""
    source = inspect.getsource(inspect.getmodule(builder))
    return machine.lines_of_code(source)
