"""Training, epoch after epoch: Algorithm 1 of the papers, and what an epoch tells about it."""

import dataclasses
import math
import time

import numpy as np

from bitnet import kernels
from bitnet.autograd.tensor import as_tensor
from bitnet.data.batching import batches
from bitnet.devices import full_memory_named, to_cpu
from bitnet.errors import InputError
from bitnet.kernels import Bits
from bitnet.nn.activations import Quantize, ReLU, Sign
from bitnet.nn.module import evaluating
from bitnet.training.metrics import evaluate, flip_ratio, set_window, weight_bits

__all__ = ["Begun", "Epoch", "Split", "activity", "fit", "histograms"]

BINS = 40
MEASURED = 10_000  # training images on which the accuracy is measured, by default
AHEAD = 2  # batches that are turned and cut while another is trained on
SAMPLE, PART = 500, 50  # images that show saturated and dead units; how many at once


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of a training: what it learns from, chooses by, and is measured on.

    Attributes
    ----------
    train, test : (numpy.ndarray, numpy.ndarray)
        Images (count, ...) and integer labels (count,).
    validation : pair or None
        The same, held back from the training set.
    classes : tuple of str
        The names of the classes.

    Examples
    --------
    >>> pair = np.zeros((5, 4), np.uint8), np.zeros(5, np.uint8)
    >>> Split(pair, pair).validation is None
    True
    """

    train: tuple
    test: tuple
    validation: tuple | None = None
    classes: tuple = ()

    def with_images(self, change):
        """The same with `change(images)` in place of the images of each part."""
        parts = {name: getattr(self, name) for name in ("train", "test", "validation")}
        changed = {name: (change(part[0]), part[1]) for name, part in parts.items() if part}
        return dataclasses.replace(self, **changed)


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What an epoch tells.

    Attributes
    ----------
    epoch : int
        From 1.
    loss : float
        The mean over the batches.
    train_accuracy, test_accuracy : float
        From 0 to 1, after the epoch; in training, on the first 10 000 images.
    learning_rate : float
        Of the last step.
    flip_ratio : float
        The share of weight signs that differ from those before the epoch.
    saturated, dead : float
        See `activity`.
    seconds : float
        Of the epoch, measurements included.
    images_per_second : float
        Of training alone.
    histograms : dict of str to list of int
        See `histograms`.
    validation_accuracy : float or None
        On the images held back.

    Examples
    --------
    >>> Epoch(1, 0.5, 0.9, 0.8, 1e-3, 0.1, 0.2, 0.0, 1.5, 900.0, {}).record()["test_accuracy"]
    0.8
    """

    epoch: int
    loss: float
    train_accuracy: float
    test_accuracy: float
    learning_rate: float
    flip_ratio: float
    saturated: float
    dead: float
    seconds: float
    images_per_second: float
    histograms: dict
    validation_accuracy: float | None = None

    def record(self):
        """The figures as a dict for JSON, without what there is not."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}


@dataclasses.dataclass(frozen=True)
class Begun:
    """An epoch that was stopped between two batches, for `fit` to go on with.

    Attributes
    ----------
    rng : dict
        The state of the generator before it drew the order of the images.
    losses : list of float
        Of the batches that are done.
    bits : list of Bits
        The signs of the weights before the epoch.
    seconds : float
        Of the epoch so far.

    Examples
    --------
    >>> len(Begun(np.random.default_rng(0).bit_generator.state, [0.5, 0.25], [], 1.5).losses)
    2
    """

    rng: dict
    losses: list
    bits: list
    seconds: float

    def notes(self):
        """What JSON can hold of it."""
        return {"rng": self.rng, "losses": self.losses, "seconds": self.seconds}

    def arrays(self):
        """The signs, a byte for eight of them, by name."""
        return {f"begun.{i}": bits.to_bytes() for i, bits in enumerate(self.bits)}

    @classmethod
    def from_file(cls, notes, arrays, model, n_batches):
        """The inverse of `notes` and `arrays`, for a model and as many batches an epoch.

        Raises
        ------
        InputError
            If they do not fit.
        """
        kinds = {"rng": dict, "losses": list, "seconds": float}
        fits = isinstance(notes, dict) and {k: type(v) for k, v in notes.items()} == kinds
        if (
            not fits
            or not 0 < len(notes["losses"]) < n_batches
            or not all(type(number) is float for number in [*notes["losses"], notes["seconds"]])
        ):
            raise InputError("what the file says about the epoch that is begun does not fit")
        before = weight_bits(model)
        if set(arrays) != {f"begun.{i}" for i in range(len(before))}:
            raise InputError("the file lacks the signs from before the epoch that is begun")
        bits = [Bits.from_bytes(arrays[f"begun.{i}"], b.shape[-1]) for i, b in enumerate(before)]
        if [b.shape for b in bits] != [b.shape for b in before]:
            raise InputError("the signs from before the epoch that is begun are of another net")
        return cls(**notes, bits=bits)


def fit(
    model,
    optimizer,
    schedule,
    loss,
    data,
    epochs,
    batch,
    rng,
    done=0,
    to_input=None,
    flip=False,
    crop=0,
    border=None,
    progress=lambda passes: passes,
    begun=None,
    stop=lambda: False,
    measured=MEASURED,
    teacher=None,
    window=None,
):
    """Train a model, and yield an `Epoch` after each pass over the training images.

    The caller prints, logs and writes checkpoints; after the `yield` the model, the optimizer,
    the schedule and `rng` are in the state that a checkpoint has to hold.

    Parameters
    ----------
    model : Sequential
        From inputs to scores (B, C).
    optimizer : Optimizer
        Of its parameters.
    schedule : Schedule
        From a position in epochs to the learning rate; told the flip ratio of each.
    loss : callable
        From scores and labels to a Tensor of one number.
    data : Split
        uint8 images, in the memory of the processor; a model on the GPU is brought each batch.
    epochs, batch : int
        Epochs in all, and images in a batch.
    rng : numpy.random.Generator
        The source of the order of the images, of flips and of crops.
    done : int, optional
        Epochs that are done already.
    to_input : callable, optional
        From a batch of images to what the model takes.
    flip : bool, optional
        Turn half of the training images, left to right.
    crop : int, optional
        Pad training images by so many pixels and cut out a random part of the first size.
    border : int, optional
        The value of those pixels: 0, black, by default.
    progress : callable, optional
        Wraps the batches of an epoch, as a progress bar does.
    begun : Begun, optional
        The epoch after those that are done, if it was stopped.
    stop : callable, optional
        Asked after each batch but the last; True ends the training there.
    measured : int, optional
        The accuracy in training is that of so many images, the first 10 000.
    teacher : callable, optional
        From a batch of images, turned and cut, to the scores of a teacher; the loss is then given
        them behind the labels, as `functional.distillation` takes them.
    window : Schedule, optional
        From a position in epochs to the window of all signs, as `schedules.Widening`.

    Yields
    ------
    Epoch or Begun
        A `Begun` comes last, if the training was stopped between two batches.

    Raises
    ------
    InputError
        If the training diverges: the loss, a score or a weight is not finite; or the data do
        not fit.

    Examples
    --------
    >>> from bitnet import load_dataset
    >>> from bitnet.nn import functional, models
    >>> from bitnet.optim import Adam, schedules
    >>> digits, rng = load_dataset("embedded").flattened(), np.random.default_rng(0)
    >>> train = digits.train_images[:200], digits.train_labels[:200]
    >>> model = models.binary_mlp([784, 32, 10], rng)
    >>> training = model, Adam(model.parameters()), schedules.Cosine(1e-2, 2)
    >>> data = Split(train, train)
    >>> [e.epoch for e in fit(*training, functional.squared_hinge, data, 2, 50, rng)]
    [1, 2]
    """
    kernels.keep_memory()
    changes = {"flip": flip, "pad": crop, "border": border}
    changes["prefetch"] = AHEAD if flip or crop else 0
    while done < epochs:
        start_s, now = time.perf_counter(), rng.bit_generator.state
        if begun is None:
            begun = Begun(now, [], weight_bits(model), 0.0)
        rng.bit_generator.state = begun.rng
        passes, losses = batches(*data.train, batch, rng, **changes), list(begun.losses)
        for i, (x, labels) in enumerate(progress(passes)):
            if i == 0 and losses:  # the order has been drawn again; go on where the rest was
                rng.bit_generator.state = now
            if i < len(begun.losses):
                continue
            optimizer.lr = schedule(done + i / len(passes))
            if window:
                set_window(model, window(done + i / len(passes)))
            targets = (labels, teacher(x)) if teacher else (labels,)
            try:
                x = to_input(x) if to_input else x
                with full_memory_named():
                    losses.append(_step(model, optimizer, loss, x, *targets))
            except InputError as error:
                raise InputError(f"epoch {done + 1}, batch {i + 1}: {error}") from None
            if i + 1 < len(passes) and stop():
                seconds = begun.seconds + time.perf_counter() - start_s
                yield dataclasses.replace(begun, losses=losses, seconds=seconds)
                return
        train_s, done = begun.seconds + time.perf_counter() - start_s, done + 1
        start_s, bits, begun = start_s - begun.seconds, begun.bits, None
        if not all(np.isfinite(array).all() for array in model.state_dict().values()):
            raise InputError(f"epoch {done}: a weight is not finite; lower the learning rate")
        ratio = flip_ratio(bits, weight_bits(model))
        held = data.validation and evaluate(model, *data.validation, to_input)
        yield Epoch(
            done,
            float(np.mean(losses)),
            evaluate(model, *(part[:measured] for part in data.train), to_input),
            evaluate(model, *data.test, to_input),
            optimizer.lr,
            ratio,
            *activity(model, data.train[0][:SAMPLE], to_input),
            time.perf_counter() - start_s,
            len(passes) * batch / train_s,
            histograms(model),
            held,
        )


def _step(model, optimizer, loss, x, *targets):
    """One batch; returns its loss."""
    # forward, layer by layer: s = ab Wb; a = BatchNorm(s); ab = sign(a)
    loss = loss(model(x), *targets)
    value = loss.item()
    if not math.isfinite(value):
        raise InputError(f"the loss is {value}; lower the learning rate")
    # backward: through sign where |a| <= 1; the gradients of Wb count as those of W
    optimizer.zero_grad()
    loss.backward()
    # update: W = clip(W - scale * rate * direction, -1, 1)
    optimizer.step()
    return value


def activity(model, images, to_input=None):
    """How many activations pass no gradient, and how many units say the same of all images.

    Parameters
    ----------
    model : Sequential
        Used in evaluation mode.
    images : numpy.ndarray
        One or more.
    to_input : callable, optional
        From some images to what the model takes.

    Returns
    -------
    saturated : float
        The share of the inputs a of all signs with |a| > window (1 in the papers), where the
        straight-through estimator passes no gradient; for rectifiers, with a <= 0; for
        quantizers of more bits, where the slope of their surrogate is 0.
    dead : float
        The share of units, or of channels, with the same sign for all of the images (and at
        all positions); for rectifiers, with a <= 0 for all; for more bits, with a code of the same
        half.

    Examples
    --------
    >>> from bitnet.nn import Sequential
    >>> activity(Sequential(Sign()), np.float32([[0.5, 3.0], [0.5, -3.0]]))
    (0.5, 0.5)
    """
    closed = total = 0
    seen = {}  # by layer: whether each unit has been +1, and -1
    with full_memory_named(), evaluating(model):
        for i in range(0, len(images), PART):
            x = images[i : i + PART]
            x = to_input(x) if to_input else x
            for k, layer in enumerate(model.layers):
                if isinstance(layer, (Sign, ReLU, Quantize)):
                    a = as_tensor(x).data
                    on, shut = _activity(layer, a.reshape(-1, a.shape[-1]))
                    closed, total = closed + int(shut.sum()), total + a.size
                    was = seen.get(k, (False, isinstance(layer, ReLU)))
                    seen[k] = on.any(axis=0) | was[0], ~on.all(axis=0) | was[1]
                x = layer(x)
    units = [both for plus, minus in seen.values() for both in (plus & minus).tolist()]
    return float(closed / max(1, total)), units.count(False) / max(1, len(units))


def _activity(layer, a):
    """Which of the inputs of an activation (R, M) are on, and which pass no gradient."""
    if isinstance(layer, ReLU):
        return a > 0, a <= 0
    if isinstance(layer, Sign):
        return a >= 0, abs(a) > (layer.window or math.inf)
    quantizer = layer.quantizer
    return quantizer.codes(a) >= len(quantizer.levels) // 2, quantizer.slope(a) == 0


def histograms(model):
    """How the latent weights of each layer of few bits spread from -bound to bound, mostly 1.

    Parameters
    ----------
    model : Module
        Any model.

    Returns
    -------
    dict of str to list of int
        By the weight's name in the state, as "layers.0.weight": the counts of 40 bins.

    Examples
    --------
    >>> from bitnet.nn.models.feedforward import binary_mlp
    >>> sum(histograms(binary_mlp([4, 3], np.random.default_rng(0)))["layers.0.weight"])
    12
    """
    return {
        name: np.histogram(to_cpu(p.data), BINS, (-p.bound, p.bound))[0].tolist()
        for name, p in model.named_parameters()
        if p.bound is not None
    }
