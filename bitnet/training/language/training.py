"""Training a language model, epoch after epoch, by truncated backpropagation through time."""

import dataclasses
import math
import time

import numpy as np

from bitnet import kernels
from bitnet.data.pieces import sequences
from bitnet.devices import full_memory_named
from bitnet.errors import InputError
from bitnet.nn.functional import cross_entropy
from bitnet.nn.recurrent import detach
from bitnet.optim.optimizers import clip_gradients
from bitnet.optim.schedules import Delayed
from bitnet.training.language.measures import (
    LARGEST_LOSS,
    bits_per_character,
    evaluate_language,
    perplexity,
)
from bitnet.training.metrics import flip_ratio, weight_bits

__all__ = ["REGIMES", "LanguageEpoch", "Regime", "fit_language"]


@dataclasses.dataclass(frozen=True)
class Regime:
    """How a language model is trained.

    Attributes
    ----------
    epochs, batch, steps : int
        Passes over the text, streams, and steps of a piece.
    lr, factor : float
        The first learning rate, and what it is multiplied with behind epoch `after` and each later
        one.
    after : int
        Epochs of the first rate.
    clip : float
        The largest norm of all gradients.
    dropout : float
        The probability of dropping what is not recurrent.
    units, layers : int
        Of the LSTM that it was chosen for.

    Examples
    --------
    >>> [round(REGIMES["medium"].schedule()(epoch), 3) for epoch in (0, 5, 6, 7)]
    [1.0, 1.0, 0.833, 0.694]
    """

    epochs: int
    batch: int
    steps: int
    lr: float
    factor: float
    after: int
    clip: float
    dropout: float
    units: int
    layers: int

    def schedule(self):
        """The learning rates."""
        return Delayed(self.lr, self.factor, self.after)


# Zaremba et al., arXiv 1409.2329, section 4.1: without dropout, and two nets with it; by SGD
REGIMES = {
    "small": Regime(13, 20, 20, 1.0, 1 / 2, 4, 5.0, 0.0, 200, 2),
    "medium": Regime(39, 20, 35, 1.0, 1 / 1.2, 6, 5.0, 0.5, 650, 2),
    "large": Regime(55, 20, 35, 1.0, 1 / 1.15, 14, 10.0, 0.65, 1500, 2),
}


@dataclasses.dataclass(frozen=True)
class LanguageEpoch:
    """What an epoch of a language model tells.

    Attributes
    ----------
    epoch : int
        From 1.
    loss, valid_loss, test_loss : float
        Cross-entropy in nats a token: the mean over the epoch's training, with dropout, and after
        it on the two other texts.
    learning_rate : float
        Of the last step.
    flip_ratio : float
        The share of weight signs that differ from those before the epoch.
    seconds : float
        Of the epoch, measurements included.
    tokens_per_second : float
        Of training alone.

    Examples
    --------
    >>> epoch = LanguageEpoch(1, 5.0, math.log(120), math.log(115), 1.0, 0.1, 60.0, 2e4)
    >>> round(epoch.record()["valid_perplexity"], 3)
    120.0
    """

    epoch: int
    loss: float
    valid_loss: float
    test_loss: float
    learning_rate: float
    flip_ratio: float
    seconds: float
    tokens_per_second: float

    def record(self):
        """The figures as a dict for JSON, with perplexities and bits a token."""
        record = dataclasses.asdict(self)
        for part in ("valid", "test"):
            loss = record[f"{part}_loss"]
            record[f"{part}_perplexity"] = perplexity(min(loss, LARGEST_LOSS))
            record[f"{part}_bits"] = bits_per_character(loss)
        return record


def fit_language(
    model,
    corpus,
    optimizer,
    schedule,
    epochs,
    batch,
    steps,
    rng,
    clip=5.0,
    done=0,
    progress=lambda pieces: pieces,
):
    """Train a language model, and yield a `LanguageEpoch` after each pass over the text.

    Truncated backpropagation through time: see `data.sequences`.  What a step lowers is the sum
    over a piece's steps of the mean over its streams, so that learning rates and norms are those
    of the literature (Zaremba et al., arXiv 1409.2329).  The caller prints and writes checkpoints,
    as after `fit`: behind the `yield` all is in the state that `save_checkpoint` has to hold.

    Parameters
    ----------
    model : Module
        As `bitnet.training.language.measures` describes them.
    corpus : Corpus
        The texts.
    optimizer : Optimizer
        Of its parameters.
    schedule : Schedule
        From a position in epochs to the learning rate; told the flip ratio and the cross-entropy
        on the validation text of each.
    epochs, batch, steps : int
        Epochs in all, streams, and steps of a piece.
    rng : numpy.random.Generator
        Says where each pass begins.
    clip : float or None, optional
        The largest norm of all gradients together, 5; a larger one is scaled down to it.
    done : int, optional
        Epochs that are done already.
    progress : callable, optional
        Wraps the pieces of an epoch, as a progress bar does.

    Yields
    ------
    LanguageEpoch

    Raises
    ------
    InputError
        If the training diverges: the loss or a weight is not finite; or the texts are too short.

    Examples
    --------
    >>> from bitnet.optim import Adam
    >>> from bitnet.data import load_corpus
    >>> from bitnet.nn.models.language import language_model
    >>> from bitnet.optim.schedules import Constant
    >>> corpus = load_corpus("embedded-text", unit="characters").first(2000, 200)
    >>> rng = np.random.default_rng(0)
    >>> model = language_model(len(corpus.vocabulary), rng, "rnn", width=4, units=8)
    >>> training = Adam(model.parameters()), Constant(1e-3)
    >>> [e.epoch for e in fit_language(model, corpus, *training, 2, 5, 10, rng)]
    [1, 2]
    """
    kernels.keep_memory()
    while done < epochs:
        start_s, bits = time.perf_counter(), weight_bits(model)
        pieces = sequences(corpus.train, batch, steps, rng)
        total, count, state = 0.0, 0, None
        for i, piece in enumerate(progress(pieces)):
            optimizer.lr = schedule(done + i / len(pieces))
            before = detach(state) if piece.continues else None
            try:
                with full_memory_named():
                    loss, state = _step(model, optimizer, piece, before, clip)
            except InputError as error:
                raise InputError(f"epoch {done + 1}, piece {i + 1}: {error}") from None
            total, count = total + loss * piece.y.size, count + piece.y.size
        train_s, done = time.perf_counter() - start_s, done + 1
        if not all(np.isfinite(array).all() for array in model.state_dict().values()):
            raise InputError(f"epoch {done}: a weight is not finite; lower the learning rate")
        ratio = flip_ratio(bits, weight_bits(model))
        losses = [
            evaluate_language(model, ids, batch, steps) for ids in (corpus.valid, corpus.test)
        ]
        schedule.observe_loss(losses[0])
        yield LanguageEpoch(
            done,
            total / count,
            *losses,
            optimizer.lr,
            ratio,
            time.perf_counter() - start_s,
            count / train_s,
        )


def _step(model, optimizer, piece, state, clip):
    """One piece; returns its loss and the state behind it."""
    scores, state = model(piece.x, state)
    loss = cross_entropy(scores, piece.y.reshape(-1))
    value = loss.item()
    if not math.isfinite(value):
        raise InputError(f"the loss is {value}; lower the learning rate")
    optimizer.zero_grad()
    loss.backward(np.asarray(len(piece.x), scores.data.dtype))  # the sum over the steps
    if clip is not None:
        clip_gradients(optimizer.parameters, clip)
    optimizer.step()
    return value, state
