"""Training, epoch after epoch: Algorithm 1 of the papers, and what an epoch tells about it."""

import dataclasses
import math
import time

import numpy as np

from bitnet import kernels
from bitnet.devices import check_generator, full_memory_named
from bitnet.errors import InputError, check_count
from bitnet.kernels import Bits
from bitnet.nn.module import check_state
from bitnet.optim import clip_grad_norm
from bitnet.training.metrics import flip_ratio, set_clip_value, weight_bits
from bitnet.training.sources import state_arrays, state_for, state_from


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What an epoch tells; None where there is nothing to tell.

    `loss` is the mean over the batches, in nats per token for texts; `learning_rate` that of the
    last step; `flip_ratio` the share of weight signs that differ from those before the epoch;
    `seconds` count the measurements too, `images_per_second` and `tokens_per_second` do not.
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
    valid_loss: float | None = None
    valid_perplexity: float | None = None
    valid_bits: float | None = None
    test_loss: float | None = None
    test_perplexity: float | None = None
    test_bits: float | None = None
    tokens_per_second: float | None = None

    def record(self):
        """The figures as a dict for JSON, without what there is not."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}


@dataclasses.dataclass(frozen=True)
class Begun:
    """An epoch that was stopped between two batches, for `fit` to resume.

    It keeps the state of the generator before it drew the order of the batches, the losses of
    those that are done, the signs of the weights before the epoch, and a recurrent net's state.
    """

    rng: dict
    losses: list
    bits: list
    seconds: float
    state: object = None

    def notes(self):
        """What JSON can hold of it."""
        return {"rng": self.rng, "losses": self.losses, "seconds": self.seconds}

    def arrays(self):
        """The signs, a byte for eight of them, and the state, by name."""
        named = {str(i): bits.to_bytes() for i, bits in enumerate(self.bits)}
        return {f"begun.{k}": a for k, a in (named | state_arrays(self.state)).items()}

    @classmethod
    def from_file(cls, notes, arrays, model, source, n_batches):
        """The inverse of `notes` and `arrays`, for a model, a source and so many batches."""
        kinds = {"rng": dict, "losses": list, "seconds": float}
        fits = isinstance(notes, dict) and {k: type(v) for k, v in notes.items()} == kinds
        if (
            not fits
            or not 0 < len(notes["losses"]) < n_batches
            or not all(type(number) is float for number in [*notes["losses"], notes["seconds"]])
        ):
            raise InputError("what the file says about the epoch that is begun does not fit")
        before, state = weight_bits(model), source.state_like(model)
        bytes_of = {f"begun.{i}": bits.to_bytes() for i, bits in enumerate(before)}
        expected = {f"begun.{k}": a for k, a in state_arrays(state).items()} | bytes_of
        check_state("the epoch that is begun", expected, arrays)
        bits = [Bits.from_bytes(arrays[f"begun.{i}"], b.shape[-1]) for i, b in enumerate(before)]
        own = {name.removeprefix("begun."): array for name, array in arrays.items()}
        return cls(**notes, bits=bits, state=state_from(state, own))


def fit(
    model,
    optimizer,
    data,
    *,
    rng,
    schedule=None,
    epochs=1,
    done=0,
    begun=None,
    clip_value=None,
    progress=lambda passes: passes,
    stop=lambda: False,
):
    """Train a model, and yield an `Epoch` after each pass over the training data.

    All that can be checked without a step is checked before the first one.  The caller prints,
    logs and writes checkpoints; after the `yield` the model, the optimizer, the schedule and
    `rng` are in the state that a checkpoint has to hold.

    Parameters
    ----------
    model : Module
        From inputs to scores (B, C), or a language model, see `generate`.
    optimizer : Optimizer
        For its parameters.
    data : Images or Texts
        The source of batches: it has the data, the batch size and the loss.
    rng : numpy.random.Generator
        Draws the order of the images, flips and crops, or where the text begins.
    schedule : callable, optional
        From a position in epochs to the learning rate, as those of `bitnet.optim.schedules`,
        which are told about each epoch; the optimizer's own rate by default.
    epochs, done : int, optional
        Epochs in all, 1, and those that are done already, 0.
    begun : Begun, optional
        The epoch after those that are done, if it was stopped.
    clip_value : callable, optional
        From a position in epochs to the clip_value of all signs, as `schedules.Widening`.
    progress : callable, optional
        Wraps the batches of an epoch, as a progress bar does.
    stop : callable, optional
        Asked after each batch but the last; True ends the training there.

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
    check_generator("fit", rng)
    check_count("fit", least=0, epochs=epochs)
    kernels.keep_memory()
    data.check(model)
    while done < epochs:
        start_s, now = time.perf_counter(), rng.bit_generator.state
        begun = begun or Begun(now, [], weight_bits(model), 0.0)
        rng.bit_generator.state = begun.rng
        passes, losses = data.passes(rng), list(begun.losses)
        state = state_for(model, begun.state)
        for i, batch in enumerate(progress(passes)):
            if i == 0 and losses:  # the order has been drawn again; continue where the rest was
                rng.bit_generator.state = now
            if i < len(begun.losses):
                continue
            position = done + i / len(passes)
            if schedule:
                optimizer.lr = schedule(position)
            if clip_value:
                set_clip_value(model, clip_value(position))
            try:
                with full_memory_named():
                    value, state = _step(model, optimizer, data, batch, state)
            except InputError as error:
                raise InputError(f"epoch {done + 1}, {data.item} {i + 1}: {error}") from None
            losses.append(value)
            if i + 1 < len(passes) and stop():
                seconds = begun.seconds + time.perf_counter() - start_s
                yield dataclasses.replace(begun, losses=losses, seconds=seconds, state=state)
                return
        train_s, done = begun.seconds + time.perf_counter() - start_s, done + 1
        start_s, bits, begun = start_s - begun.seconds, begun.bits, None
        if not all(np.isfinite(array).all() for array in model.state_dict().values()):
            raise InputError(f"epoch {done}: a weight is not finite; lower the learning rate")
        figures = data.figures(model, losses, train_s)
        figures["flip_ratio"] = flip_ratio(bits, weight_bits(model))
        if hasattr(schedule, "observe_loss") and "valid_loss" in figures:
            schedule.observe_loss(figures["valid_loss"])
        seconds = time.perf_counter() - start_s
        yield Epoch(done, learning_rate=optimizer.lr, seconds=seconds, **figures)


def _step(model, optimizer, data, batch, state=None):
    """One batch; returns its loss and a recurrent net's state after it."""
    # forward, layer by layer: s = ab Wb; a = BatchNorm(s); ab = sign(a)
    loss, grad, state = data.loss(model, batch, state)
    value = loss.item()
    if not math.isfinite(value):
        raise InputError(f"the loss is {value}; lower the learning rate")
    # backward: through sign where |a| <= 1; the gradients of Wb count as those of W
    optimizer.zero_grad()
    loss.backward(grad)
    if data.clip is not None:
        clip_grad_norm(optimizer.parameters, data.clip)
    # update: W = clip(W - scale * rate * direction, -1, 1)
    optimizer.step()
    return value, state
