"""The training loop, Algorithm 1 of the papers, by steps and by epochs.

`steps` yields after each step of the optimizer, and `fit`, which is built on the same loop, after
each epoch.  The caller prints, logs and stops.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.devices import check_generator, full_memory_named
from bitnet.errors import InputError, check_count
from bitnet.kernels import Bits
from bitnet.nn.module import Module
from bitnet.nn.state import check_state
from bitnet.optim.gradients import clip_grad_norm
from bitnet.optim.optimizers import Optimizer
from bitnet.training.metrics import flip_ratio, set_clip_value, weight_bits
from bitnet.training.sources import Images, Texts, state_arrays, state_for, state_from

# figures that differ between runs, or are long
OF_A_RUN = "seconds", "images_per_second", "tokens_per_second", "histograms"


@dataclasses.dataclass(frozen=True)
class Epoch:
    """The figures of one epoch; None for those that do not apply.

    `loss` is the mean over the batches, in nats per token for texts.  A regression has R^2 instead
    of accuracies, and `test_error`, the mean absolute error; several labels have F1.
    `learning_rate` is that of the last step.  `flip_ratio` is the fraction of weight signs that
    differ from those before the epoch.  `seconds` includes the evaluation; `images_per_second` and
    `tokens_per_second` exclude it.
    """

    epoch: int
    loss: float
    train_accuracy: float | None = None
    test_accuracy: float | None = None
    learning_rate: float | None = None
    flip_ratio: float | None = None
    saturated: float | None = None
    dead: float | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    histograms: dict | None = None
    validation_accuracy: float | None = None
    train_r2: float | None = None
    validation_r2: float | None = None
    test_r2: float | None = None
    test_error: float | None = None
    train_f1: float | None = None
    validation_f1: float | None = None
    test_f1: float | None = None
    valid_loss: float | None = None
    valid_perplexity: float | None = None
    valid_bits: float | None = None
    test_loss: float | None = None
    test_perplexity: float | None = None
    test_bits: float | None = None
    tokens_per_second: float | None = None

    def __repr__(self) -> str:
        figures = (f"{k}={v:.4g}" for k, v in self.record().items() if k != "histograms")
        return f"Epoch({', '.join(figures)})"

    def record(self, times: bool = True) -> dict:
        """Return the figures that are not None as a dict for JSON.

        Without times it has no histograms either, and two runs with equal settings are equal.
        """
        own = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        return own if times else {k: v for k, v in own.items() if k not in OF_A_RUN}


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of the optimizer.

    `position` is that of its first batch, in epochs, `losses` those of its batches (one, unless
    gradients are accumulated), and `learning_rate` the rate of the step.  `is_last` tells whether
    the epoch ends with it, and `state` is the state of a recurrent net.
    """

    position: float
    losses: tuple[float, ...]
    learning_rate: float
    is_last: bool
    state: Any = dataclasses.field(default=None, repr=False)

    @property
    def loss(self) -> float:
        """The mean loss of the batches."""
        return math.fsum(self.losses) / len(self.losses)


@dataclasses.dataclass(frozen=True)
class Begun:
    """An epoch that was stopped between two batches, for `fit` to resume.

    It keeps the state of the generator before the order of the batches was drawn, the losses of
    the completed batches, the signs of the weights before the epoch, and the state of a recurrent
    net.
    """

    rng: Mapping
    losses: list
    bits: list
    seconds: float
    state: Any = None

    def __repr__(self) -> str:
        return f"Begun({len(self.losses)} batches, seconds={self.seconds:.4g})"

    def notes(self):
        """Return the fields that JSON can hold."""
        return {"rng": self.rng, "losses": self.losses, "seconds": self.seconds}

    def arrays(self):
        """Return the signs, eight per byte, and the state, by name."""
        named = {str(i): bits.to_bytes() for i, bits in enumerate(self.bits)}
        return {f"begun.{k}": a for k, a in (named | state_arrays(self.state)).items()}

    @classmethod
    def from_file(cls, notes, arrays, model, source, n_batches, accumulate=1):
        """Return a `Begun` from its `notes` and `arrays`, checked for a model and its source."""
        kinds = {"rng": dict, "losses": list, "seconds": float}
        fits = isinstance(notes, dict) and {k: type(v) for k, v in notes.items()} == kinds
        if (
            not fits
            or not 0 < len(notes["losses"]) < n_batches
            or len(notes["losses"]) % accumulate
            or not all(type(number) is float for number in [*notes["losses"], notes["seconds"]])
        ):
            raise InputError("the record of the interrupted epoch does not fit; use another file")
        before, state = weight_bits(model), source.state_like(model)
        bytes_of = {f"begun.{i}": bits.to_bytes() for i, bits in enumerate(before)}
        expected = {f"begun.{k}": a for k, a in state_arrays(state).items()} | bytes_of
        check_state("the interrupted epoch", expected, arrays)
        bits = [Bits.from_bytes(arrays[f"begun.{i}"], b.shape[-1]) for i, b in enumerate(before)]
        own = {name.removeprefix("begun."): array for name, array in arrays.items()}
        return cls(**notes, bits=bits, state=state_from(state, own))


def fit(
    model: Module,
    optimizer: Optimizer,
    data: Images | Texts,
    *,
    rng: np.random.Generator,
    schedule: Callable[[float], float] | None = None,
    epochs: int = 1,
    done: int = 0,
    begun: Begun | None = None,
    accumulate: int = 1,
    clip_value: Callable[[float], float] | None = None,
    progress: Callable[[Any], Iterable] = lambda passes: passes,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Epoch]:
    """Train a model, and yield an `Epoch` after each pass over the training data.

    The arguments are checked before the first step.  The caller prints, logs and writes
    checkpoints: at each `yield` the model, the optimizer, the schedule and `rng` are in the state
    that a checkpoint must contain.

    Parameters
    ----------
    model : Module
        Maps inputs to scores (B, C), or is a language model, see `generate`.
    optimizer : Optimizer
        The optimizer of the model's parameters.
    data : Images or Texts
        The source of batches, with the data, the batch size and the loss.
    rng : numpy.random.Generator
        Draws the order of the images, flips and crops, or the beginning of a text.
    schedule : callable, optional
        Maps a position in epochs to the learning rate, such as those of `bitnet.optim.schedules`;
        default: the learning rate of the optimizer stays.
    epochs, done : int, optional
        Number of epochs in total, default: 1, and number of completed epochs, default: 0.
    begun : Begun, optional
        The interrupted epoch after the completed ones.
    accumulate : int, optional
        Number of batches per step of the optimizer; default: 1.  The gradient of a step is the
        mean of those of its batches; the last step of an epoch may have fewer.  Batch norm uses
        the statistics of each batch.
    clip_value : callable, optional
        Maps a position in epochs to the clip value of all signs, such as `schedules.Widening`.
    progress : callable, optional
        Wraps the batches of an epoch, such as `tqdm.tqdm`.
    stop : callable, optional
        Called after each step except the last of an epoch; if it returns True, the training stops.

    Yields
    ------
    Epoch
        After each epoch.  If `stop` ended the training between two steps, the last item is a
        `Begun`.

    Raises
    ------
    InputError
        If the data do not fit, or the training diverges, that is, the loss, a score or a weight
        is not finite.

    Examples
    --------
    >>> from bitnet import load_dataset
    >>> from bitnet.nn import models
    >>> from bitnet.optim import Adam
    >>> from bitnet.training import Images, Split
    >>> digits, rng = load_dataset("embedded").flattened(), np.random.default_rng(0)
    >>> train = digits.train_images[:200], digits.train_labels[:200]
    >>> model = models.binary_mlp([784, 32, 10], rng=rng)
    >>> data = Images(Split(train, train), batch=50)
    >>> [e.epoch for e in fit(model, Adam(model.parameters()), data, epochs=2, rng=rng)]
    [1, 2]
    """
    _check("fit", data, model, rng, epochs, accumulate)
    more: dict = {"schedule": schedule, "clip_value": clip_value, "progress": progress}
    more |= {"accumulate": accumulate, "rng": rng}
    while done < epochs:
        start_s, now = time.perf_counter(), rng.bit_generator.state
        begun = begun or Begun(now, [], weight_bits(model), 0.0)
        losses = list(begun.losses)
        for step in _epoch(model, optimizer, data, done, begun, **more):
            losses += step.losses
            if not step.is_last and stop():
                seconds = begun.seconds + time.perf_counter() - start_s
                own = {"losses": losses, "seconds": seconds, "state": step.state}
                yield dataclasses.replace(begun, **own)  # type: ignore[misc]  # only with `stop`
                return
        train_s, done = begun.seconds + time.perf_counter() - start_s, done + 1
        start_s, bits, begun = start_s - begun.seconds, begun.bits, None
        if not all(np.isfinite(array).all() for array in model.state_dict().values()):
            raise InputError(f"epoch {done}: a weight is not finite; lower the learning rate")
        figures = data.figures(model, losses, train_s)
        figures["flip_ratio"] = flip_ratio(bits, weight_bits(model))
        observe = getattr(schedule, "observe_loss", None)
        if observe and "valid_loss" in figures:
            observe(figures["valid_loss"])
        seconds = time.perf_counter() - start_s
        yield Epoch(done, learning_rate=optimizer.lr, seconds=seconds, **figures)


def steps(
    model: Module,
    optimizer: Optimizer,
    data: Images | Texts,
    *,
    rng: np.random.Generator,
    schedule: Callable[[float], float] | None = None,
    epochs: int = 1,
    accumulate: int = 1,
    clip_value: Callable[[float], float] | None = None,
    progress: Callable[[Any], Iterable] = lambda passes: passes,
) -> Iterator[Step]:
    """Train a model, and yield a `Step` after each step of the optimizer.

    `fit` runs the same steps, and also evaluates the model after each epoch.

    Parameters
    ----------
    model, optimizer, data, rng, schedule, epochs, accumulate, clip_value, progress : optional
        As for `fit`.  Without a schedule the caller may set `optimizer.lr` between two steps.

    Yields
    ------
    Step
        With the position in epochs, the loss and the learning rate.

    Raises
    ------
    InputError
        As for `fit`.

    Examples
    --------
    >>> from bitnet import load_dataset
    >>> from bitnet.nn import models
    >>> from bitnet.optim import Adam
    >>> from bitnet.training import Images, Split
    >>> digits, rng = load_dataset("embedded").flattened(), np.random.default_rng(0)
    >>> train = digits.train_images[:200], digits.train_labels[:200]
    >>> model = models.binary_mlp([784, 32, 10], rng=rng)
    >>> data = Images(Split(train, train), batch=50)
    >>> [s.position for s in steps(model, Adam(model.parameters()), data, rng=rng, accumulate=2)]
    [0.0, 0.5]
    """
    _check("steps", data, model, rng, epochs, accumulate)
    more: dict = {"schedule": schedule, "clip_value": clip_value, "progress": progress}
    more |= {"accumulate": accumulate, "rng": rng}
    for done in range(epochs):
        yield from _epoch(model, optimizer, data, done, **more)


def _check(name, data, model, rng, epochs, accumulate):
    """Refuse arguments of `fit` or `steps` that do not fit, before the first step."""
    check_generator(name, rng)
    check_count(name, least=0, epochs=epochs)
    check_count(name, accumulate=accumulate)
    kernels.keep_memory()
    data.check(model)


def _epoch(
    model, optimizer, data, done, begun=None, *, rng, schedule, accumulate, clip_value, progress
):
    """Train for the epoch after `done` epochs, or the rest of one; yield its `Step`s."""
    now, n_begun = rng.bit_generator.state, len(begun.losses) if begun else 0
    if begun:
        rng.bit_generator.state = begun.rng
    passes, losses = data.passes(rng), []
    state = state_for(model, begun.state) if begun else None
    for i, batch in enumerate(progress(passes)):
        if i == 0 and n_begun:  # the order is drawn again: restore the later state
            rng.bit_generator.state = now
        if i < n_begun:
            continue
        part = i % accumulate
        parts = min(accumulate, len(passes) - i + part)
        if part == 0:
            position = done + i / len(passes)
            if schedule:
                optimizer.lr = schedule(position)
            if clip_value:
                set_clip_value(model, clip_value(position))
        try:
            with full_memory_named():
                value, state = _step(model, optimizer, data, batch, state, part, parts)
        except InputError as error:
            raise InputError(f"epoch {done + 1}, {data.item} {i + 1}: {error}") from None
        losses.append(value)
        if part + 1 == parts:
            yield Step(position, tuple(losses), optimizer.lr, i + 1 == len(passes), state)
            losses = []


def _step(model, optimizer, data, batch, state=None, part=0, parts=1):
    """Train on one batch, the `part`-th of a step; return its loss and the recurrent state."""
    # forward, layer by layer: s = ab Wb; a = BatchNorm(s); ab = sign(a)
    loss, grad, state = data.loss(model, batch, state)
    value = loss.item()
    if not math.isfinite(value):
        raise InputError(f"the loss is {value}; lower the learning rate")
    if parts > 1:
        grad = np.asarray((1 if grad is None else grad) / parts, loss.data.dtype)
    # backward: through sign where |a| <= 1; the gradients of Wb count as those of W
    if part == 0:
        optimizer.zero_grad()
    loss.backward(grad)
    if part + 1 < parts:
        return value, state
    if data.clip is not None:
        clip_grad_norm(optimizer.parameters, data.clip)
    # update: W = clip(W - scale * rate * direction, -1, 1)
    optimizer.step()
    return value, state
