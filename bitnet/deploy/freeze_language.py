"""From a trained language model to a frozen one; beside `freeze` it knows both worlds."""

import numpy as np

from bitnet.arrays import to_cpu
from bitnet.data.vocabulary import Vocabulary
from bitnet.deploy.matrix import FrozenMatrix
from bitnet.deploy.recurrent import FrozenLanguageModel, FrozenRecurrent
from bitnet.errors import InputError
from bitnet.nn import ScaledLinear
from bitnet.nn.models.language import LanguageModel
from bitnet.nn.recurrent import GRU, LSTM, RNN
from bitnet.quantizers.scales import scale_of

__all__ = ["freeze_language_model"]

CELL = {RNN: "rnn", LSTM: "lstm", GRU: "gru"}


def freeze_language_model(model, vocabulary=None):
    """A model of bits that equals a trained one in evaluation mode.

    The integers of every product are equal, and as the numbers that are made of them come from
    the same kernels, so are the scores, to the last bit.

    Parameters
    ----------
    model : LanguageModel
        With weights and activations of a few bits, and one quantizer for the activations of all
        layers and of the decoder.  It is left as it is.
    vocabulary : Vocabulary or sequence of str, optional
        The words or characters, for the file; a Vocabulary also says which of the two they are, so
        that `bitnet predict` and `bitnet evaluate` can use the file.

    Returns
    -------
    FrozenLanguageModel

    Raises
    ------
    InputError
        If the model has float weights, or several quantizers of activations.

    Examples
    --------
    >>> from bitnet.nn.models.language import language_model
    >>> rng = np.random.default_rng(0)
    >>> model = language_model(50, rng, "gru", width=8, units=16, weights=2, activations=4)
    >>> freeze_language_model(model)
    FrozenLanguageModel(50-8-16 gru-50)
    """
    recurrent, decoder = getattr(model, "recurrent", None), getattr(model, "decoder", None)
    few = isinstance(model, LanguageModel) and isinstance(decoder, ScaledLinear)
    if not few or type(recurrent) not in CELL or recurrent.quantizer is None:
        raise InputError(
            f"freeze_language_model: got {model!r:.80}; expected a LanguageModel with weights of a "
            "few bits, as language_model(..., weights=4, activations=4)"
        )
    if recurrent.activations != decoder.activations or model.embedding.activations is None:
        raise InputError(
            f"freeze_language_model: activations of {recurrent.activations!r} and "
            f"{decoder.activations!r}; expected one quantizer for all layers and the decoder"
        )
    cell = CELL[type(recurrent)]
    cell += f"-{recurrent.activation}" if cell == "rnn" else ""
    weights, activations = recurrent.quantizer, recurrent.activations.name
    parts = zip(recurrent.input_weights, recurrent.state_weights, recurrent.biases, strict=True)
    layers = [
        FrozenRecurrent(
            cell,
            _frozen(of_input, weights),
            _frozen(of_state, weights),
            np.array(to_cpu(bias.data)),
            activations,
        )
        for of_input, of_state, bias in parts
    ]
    unit = None
    if isinstance(vocabulary, Vocabulary):
        vocabulary, unit = vocabulary.words, vocabulary.unit
    table = _frozen(model.embedding.weight, model.embedding.activations)
    last = _frozen(decoder.weight, decoder.quantizer), np.array(to_cpu(decoder.bias.data))
    return FrozenLanguageModel(table, layers, *last, vocabulary, unit)


def _frozen(weight, quantizer):
    """The codes of latent weights, as the layers make them."""
    data = to_cpu(weight.data)
    scale = scale_of(data, quantizer)
    codes = quantizer.codes(data / np.float32(scale))
    return FrozenMatrix.of_codes(codes, quantizer.name, scale)
