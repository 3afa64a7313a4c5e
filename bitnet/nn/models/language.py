"""Language models: the next token from all earlier ones.

The second paper (arXiv 1609.07061, section 4.5) has an LSTM of 300 units for the next word, and a
plain net of 2048 ReLU units for the next character; it gives no further details.

    language_model(10000, rng=rng, kind="lstm", width=300, units=300)
    language_model(50, rng=rng, kind="rnn", width=64, units=2048, activation="relu")

Both are float nets; with `weight_quantizer=4, activation_quantizer=4` they have 4 bits.
"""

import math
from typing import Any

import numpy as np

from bitnet.autograd import Tensor
from bitnet.errors import InputError, check_choice, unfit
from bitnet.nn import functional
from bitnet.nn.dropout import Dropout
from bitnet.nn.embedding import Embedding
from bitnet.nn.functional.ste import as_packed
from bitnet.nn.linear import Linear, ScaledLinear
from bitnet.nn.module import Module
from bitnet.nn.recurrent import GRU, LSTM, RNN
from bitnet.quantizers import Quantizer

KINDS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class LanguageModel(Module):
    """An embedding, recurrent layers, and the scores of the next token.

    A call takes ids (T, B), which are T steps of B texts, and the state that an earlier call
    returned (default: zeros).  It returns the scores (T B, V), for
    `cross_entropy(scores, next.ravel())`, and the next state.  Dropout acts after the embedding,
    between the layers and before the scores, but not on the states (Zaremba et al., arXiv
    1409.2329); quantized values stay packed.

    Parameters
    ----------
    embedding : Embedding
        The table, with V rows.
    recurrent : RNN or LSTM or GRU
        The recurrent layers; their input size is the number of columns of the embedding.
    decoder : Linear or ScaledLinear
        The layer from the units to V scores.
    dropout : Dropout or None, optional
        Applied after the embedding and before the scores.

    Examples
    --------
    >>> import numpy as np
    >>> model = language_model(10, rng=np.random.default_rng(0), kind="gru", width=8, units=16)
    >>> scores, state = model(np.array([[1, 2], [3, 4], [5, 6]]))  # 3 steps of 2 texts
    >>> scores.shape
    (6, 10)
    """

    shown = ("embedding", "recurrent", "decoder")
    takes = ("int64", ())  # one id

    def __init__(
        self,
        embedding: Embedding,
        recurrent: RNN | LSTM | GRU,
        decoder: Linear | ScaledLinear,
        dropout: Dropout | None = None,
    ) -> None:
        sizes = embedding.embedding_dim, recurrent.hidden_size, embedding.num_embeddings
        if sizes != (recurrent.input_size, decoder.in_features, decoder.out_features):
            parts = embedding, recurrent, decoder
            raise unfit("LanguageModel", "layers of (V, N), (N, H) and (H, V)", *parts)
        self.embedding, self.recurrent, self.decoder = embedding, recurrent, decoder
        self.dropout = dropout

    def forward(self, ids: Any, state: Any = None) -> tuple[Tensor, tuple]:
        """Return the scores of the next tokens for ids (T, B), and the last state."""
        x = self._dropped(self.embedding(ids))
        y, state = self.recurrent(x, state)
        if isinstance(self.decoder, ScaledLinear):
            y = self._dropped(as_packed(y, self.decoder.activation_quantizer))
            return self._rows(self.decoder(y)), state
        return self.decoder(self._rows(self._dropped(y))), state

    def _rows(self, y):
        """Return (T, B, N) as (T B, N)."""
        return functional.reshape(y, y.shape[0] * y.shape[1], y.shape[2])

    def _dropped(self, x):
        """Apply dropout to x in training."""
        if self.dropout is None or not self.training:
            return x
        return functional.dropout(x, self.dropout.p, self.dropout.rng)


def language_model(
    vocabulary: int,
    *,
    rng: np.random.Generator,
    kind: str = "lstm",
    width: int = 300,
    units: int = 300,
    layers: int = 1,
    weight_quantizer: int | str | Quantizer | None = None,
    activation_quantizer: int | str | Quantizer | None = None,
    dropout: float = 0.0,
    activation: str | None = None,
    **backward: Any,
) -> LanguageModel:
    """Return a language model in float, or with low-bit weights and activations.

    Quantization applies to the embedding table (with the bits of the activations, because its rows
    are inputs), to both weights of each recurrent layer, to those of the decoder, and to the inputs
    of all their products.  Section 3 of the second paper also quantizes the first and last layers.

    Parameters
    ----------
    vocabulary : int
        V, the number of words or characters.
    rng : numpy.random.Generator
        The generator of the initial weights, of dropout and of stochastic rounding.  The table is
        initialized from U(-0.1, 0.1), as in the small net of arXiv 1409.2329, or with variance 1
        for kind "rnn".
    kind : {"lstm", "gru", "rnn"}, optional
        The kind of the recurrent layers.
    width, units, layers : int, optional
        Numbers of columns of the embedding, of units per recurrent layer (default: 300, as in the
        paper), and of layers.
    weight_quantizer, activation_quantizer : int or Quantizer or str, optional
        A number of bits from 1 to 8, a quantizer, or its name; both, or neither for floats.
    dropout : float, optional
        See `LanguageModel`.
    activation : {"tanh", "relu"}, optional
        For kind "rnn"; "tanh" by default.
    **backward : optional
        The arguments `grad_format` and `rounding`, as for `QuantLinear`, for all quantized layers.
        "float32" is the default of `grad_format`: nearly all gradients
        of a softmax over many words are so small that the nearest int8 is 0; with stochastic
        rounding, int8 is unbiased.

    Returns
    -------
    LanguageModel

    Examples
    --------
    >>> import numpy as np
    >>> bits = {"weight_quantizer": 2, "activation_quantizer": 3}
    >>> model = language_model(50, rng=np.random.default_rng(0), units=64, **bits)
    >>> model.decoder
    ScaledLinear(64, 50, Uniform(bits=2, max_value=1.0, clip_value=1.0))
    """
    check_choice("language_model", KINDS, kind=kind)
    if activation is not None and kind != "rnn":
        raise InputError(
            f"language_model: activation is {activation!r}, but kind is {kind!r}, whose functions "
            "are fixed; remove it, or choose kind='rnn'"
        )
    options: dict[str, Any] = {} if activation is None else {"activation": activation}
    few = {"weight_quantizer": weight_quantizer, "activation_quantizer": activation_quantizer}
    options |= {"dropout": dropout, **few, **backward}
    recurrent = KINDS[kind](width, units, rng=rng, num_layers=layers, **options)
    # without gates the first states are as small as the inputs, and few bits would make them 0
    half = math.sqrt(3) if kind == "rnn" else 0.1
    states = recurrent.activation_quantizer
    table = activation_quantizer
    if states is not None and states.codebook.integers[0] >= 0:
        table = states.codebook.bits  # the table has numbers below 0 too
    embedding = Embedding(vocabulary, width, rng=rng, activation_quantizer=table, half=half)
    decoder: Linear | ScaledLinear
    if weight_quantizer is None:
        decoder = Linear(units, vocabulary, rng=rng)
    else:
        bits = {"weight_quantizer": weight_quantizer, "activation_quantizer": states}
        decoder = ScaledLinear(units, vocabulary, rng=rng, **bits, **backward)
    drop = Dropout(dropout, rng=rng) if dropout else None
    return LanguageModel(embedding, recurrent, decoder, drop)
