"""Classifiers of sequences of different lengths: recurrent layers, and their last valid steps."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bitnet.arrays import array_module
from bitnet.autograd import Tensor
from bitnet.errors import InputError, check_choice, check_count, is_whole, unfit
from bitnet.nn.embedding import Embedding
from bitnet.nn.linear import Linear, ScaledLinear
from bitnet.nn.module import Module
from bitnet.nn.recurrent import GRU, LSTM, RNN
from bitnet.quantizers import Quantizer

KINDS: dict[str, Any] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
POOLINGS = ("last", "mean")


def padded(sequences: Sequence[Sequence[int]], padding: int = 0) -> np.ndarray:
    """Return sequences of ids as one array, each filled up at its end.

    Parameters
    ----------
    sequences : sequence of sequences of int
        Ids of tokens, one sequence or more.
    padding : int, optional
        The id that fills them up.

    Returns
    -------
    numpy.ndarray
        int64 of shape (B, T), where T is the largest length.

    Examples
    --------
    >>> padded([[3, 4, 5], [6]])
    array([[3, 4, 5],
           [6, 0, 0]])
    """
    longest = max(map(len, sequences), default=0)
    if not longest:
        came = f"{len(sequences)} sequences without ids"
        raise InputError(f"padded: got {came}; expected at least one that has an id")
    ids = np.full((len(sequences), longest), padding, np.int64)
    for row, own in zip(ids, sequences, strict=True):
        row[: len(own)] = own
    return ids


class SequenceClassifier(Module):
    """Recurrent layers over tokens, and scores from the last valid step or the mean of all.

    The ids (B, T) of each text are followed by `padding`, which no other token has.  What follows
    the last token changes nothing.

    Parameters
    ----------
    embedding : Embedding
        The vectors of the tokens.
    recurrent : RNN, LSTM or GRU
        The recurrent layers.
    decoder : Linear or ScaledLinear
        The scores of a state.
    padding : int, optional
        The id after the end of a text.
    pooling : {"last", "mean"}, optional
        What is scored: the state after the last token, or the mean of the states of all tokens.

    Examples
    --------
    >>> model = sequence_classifier(50, 3, rng=np.random.default_rng(0), units=8)
    >>> model(padded([[3, 4, 5], [6]])).shape
    (2, 3)
    """

    def __init__(
        self,
        embedding: Embedding,
        recurrent: Any,
        decoder: Any,
        padding: int = 0,
        pooling: str = "last",
    ) -> None:
        check_choice("SequenceClassifier", POOLINGS, pooling=pooling)
        self.embedding, self.recurrent, self.decoder = embedding, recurrent, decoder
        self.padding, self.pooling = padding, pooling

    def forward(self, ids: Tensor) -> Tensor:
        if ids.ndim != 2 or not ids.shape[1]:
            raise unfit("SequenceClassifier", "ids (B, T) with one step or more", ids)
        ids = ids.transpose()  # (T, B)
        valid = ids != self.padding
        lengths = valid.sum(axis=0)  # (B,)
        y, _ = self.recurrent(self.embedding(ids))  # (T, B, H)
        if self.pooling == "last":
            return self.decoder(y[lengths - 1, array_module(y).arange(y.shape[1])])
        total = (y * valid[..., None]).sum(axis=0)
        return self.decoder(total / (lengths + (lengths == 0))[:, None])


def sequence_classifier(
    vocabulary: int,
    n_classes: int,
    *,
    rng: np.random.Generator,
    kind: str = "lstm",
    width: int = 32,
    units: int = 64,
    layers: int = 1,
    padding: int = 0,
    pooling: str = "last",
    weight_quantizer: int | str | Quantizer | None = None,
    activation_quantizer: int | str | Quantizer | None = None,
    **options: Any,
) -> SequenceClassifier:
    """Return a classifier of texts with different lengths, in float or with low-bit weights.

    Freeze it with `axes="BT"`: batches and lengths vary.

    Parameters
    ----------
    vocabulary, n_classes : int
        The numbers of tokens, with that for padding, and of classes.
    rng : numpy.random.Generator
        The generator of the initial weights, of dropout and of stochastic rounding.
    kind : {"lstm", "gru", "rnn"}, optional
        The kind of the recurrent layers.
    width, units, layers : int, optional
        The numbers of columns of the embedding, of units per layer, and of layers.
    padding, pooling : optional
        As for `SequenceClassifier`.
    weight_quantizer, activation_quantizer : int or Quantizer or str, optional
        As for `language_model`: both, or neither for floats.
    **options : optional
        As for `LSTM`: `dropout`, `grad_format` and `rounding`.

    Returns
    -------
    SequenceClassifier
        Takes int64 ids of shape (B, T).

    Examples
    --------
    >>> import bitnet
    >>> few = {"weight_quantizer": 2, "activation_quantizer": 4, "kind": "gru", "units": 8}
    >>> model = sequence_classifier(50, 3, rng=np.random.default_rng(0), **few)
    >>> net = bitnet.freeze(model, padded([[3, 4, 5]]), axes="BT")
    >>> net.scores(padded([[6, 7], [8]])).shape
    (2, 3)
    """
    check_choice("sequence_classifier", KINDS, kind=kind)
    check_count("sequence_classifier", vocabulary=vocabulary, n_classes=n_classes)
    if not is_whole(padding) or not 0 <= padding < vocabulary:
        expected = f"an id below {vocabulary}"
        raise InputError(f"sequence_classifier: padding is {padding!r:.40}; expected {expected}")
    few: dict[str, Any] = {
        "weight_quantizer": weight_quantizer,
        "activation_quantizer": activation_quantizer,
    }
    recurrent = KINDS[kind](width, units, rng=rng, num_layers=layers, **few, **options)
    quantizer = recurrent.activation_quantizer
    half, bits = math.sqrt(3) if kind == "rnn" else 0.1, activation_quantizer
    embedding = Embedding(vocabulary, width, rng=rng, activation_quantizer=bits, half=half)
    if weight_quantizer is None:
        decoder: Any = Linear(units, n_classes, rng=rng)
    else:
        few["activation_quantizer"] = quantizer
        decoder = ScaledLinear(units, n_classes, rng=rng, **few)
    return SequenceClassifier(embedding, recurrent, decoder, int(padding), pooling)
