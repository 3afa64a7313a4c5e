"""Language models by name: rnn:512, lstm:300, gru:256,256.

A name says what lies between the vectors of the tokens and the scores of the next one:

rnn:512                   a layer of 512 recurrent units with ReLU, as in the second paper
lstm:300                  a layer of 300 LSTM units, as there
gru:256,256               two layers of 256 gated recurrent units
"""

import dataclasses
import re

from bitnet.errors import InputError
from bitnet.kernels import GATES
from bitnet.nn.models.language import language_model

__all__ = ["LanguageNet", "is_language_net", "language_net_named"]

MAX_LAYERS, MAX_WEIGHTS = 20, 1 << 29
NAME = re.compile(r"(rnn|lstm|gru):([1-9]\d{0,5})((?:,[1-9]\d{0,5})*)", re.ASCII)


@dataclasses.dataclass(frozen=True)
class LanguageNet:
    """What lies between the vectors of the tokens and their scores.

    Attributes
    ----------
    name : str
        As `language_net_named` takes it.
    kind : {"rnn", "lstm", "gru"}
        Of its layers.
    units, layers : int
        Units of each layer, and how many layers.

    Examples
    --------
    >>> language_net_named("gru:256,256")
    LanguageNet(name='gru:256,256', kind='gru', units=256, layers=2)
    """

    name: str
    kind: str
    units: int
    layers: int

    def weights(self, count, width):
        """How many weights it has for so many tokens with vectors of so many numbers."""
        rows, inputs, total = GATES[self.kind] * self.units, width, count * width
        for _ in range(self.layers):
            total, inputs = total + rows * (inputs + self.units), self.units
        return total + count * self.units

    def build(self, count, width, rng, weights=None, activations=None, dropout=0.0, **options):
        """The model for a vocabulary of so many tokens.

        Parameters
        ----------
        count, width : int
            Tokens, and numbers of the vector of each.
        rng : numpy.random.Generator
            The source of all that the model draws.
        weights, activations : int or Quantizer or str, optional
            Bits or quantizers; floats by default.
        dropout : float, optional
            The probability of dropping what is not recurrent.
        **options
            As for `language_models.language_model`.

        Returns
        -------
        Module
            As `bitnet.training.language.measures` describes it.

        Raises
        ------
        InputError
            If there would be too many weights.
        """
        if (total := self.weights(count, width)) > MAX_WEIGHTS:
            raise InputError(
                f"net {self.name} for {count} tokens has {total} weights; expected at most "
                f"{MAX_WEIGHTS}"
            )
        options |= {"activation": "relu"} if self.kind == "rnn" else {}
        sizes = {"kind": self.kind, "width": width, "units": self.units, "layers": self.layers}
        few = {"weights": weights, "activations": activations}
        return language_model(count, rng, **sizes, **few, dropout=dropout, **options)


def is_language_net(name):
    """Whether a name is meant for a language model: one of rnn, lstm or gru and a colon.

    Parameters
    ----------
    name : str
        As somebody typed it.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_language_net("lstm:0"), is_language_net("mlp:512")
    (True, False)
    """
    return isinstance(name, str) and name.partition(":")[0] in GATES


def language_net_named(name):
    """The language model of a name.

    Parameters
    ----------
    name : str
        "rnn:UNITS,...", "lstm:UNITS,..." or "gru:UNITS,...": the units of each layer, which are
        the same for all.

    Returns
    -------
    LanguageNet

    Raises
    ------
    InputError
        If there is no such net.

    Examples
    --------
    >>> language_net_named("lstm:300").weights(10_000, 300)
    6720000
    """
    match = NAME.fullmatch(name) if isinstance(name, str) and len(name) < 200 else None
    if match is None:
        raise InputError(
            f"net {name!r:.80}; expected rnn:512, lstm:300 or gru:256,256 (units of each layer)"
        )
    units = [int(match[2]), *map(int, filter(None, match[3].split(",")))]
    if len(set(units)) > 1 or len(units) > MAX_LAYERS:
        raise InputError(
            f"net {name!r:.80}; expected the same units in each layer, and at most {MAX_LAYERS} "
            "layers"
        )
    return LanguageNet(name, match[1], units[0], len(units))
