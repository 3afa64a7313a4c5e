"""The frozen language model: scores of the next token, and the states between the steps."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from bitnet.arrays import Array, as_array, like
from bitnet.data.vocabulary import UNITS
from bitnet.deploy import file
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.layers import Cell
from bitnet.deploy.node import check_names
from bitnet.deploy.runtime import FrozenNet
from bitnet.deploy.sizes import at
from bitnet.errors import InputError, unfit


class FrozenLanguageModel(FrozenNet):
    """A language model for inference, which returns the scores of the next token.

    Parameters
    ----------
    graph : FrozenGraph
        A graph from ids (T, B) and states (B, H) to scores (T B, V) and the next states.
    vocabulary : sequence of str, optional
        The V words or characters.
    unit : {"words", "characters"}, optional
        The kind of the tokens in the vocabulary.

    Raises
    ------
    InputError
        If the parts do not fit together.

    Examples
    --------
    >>> import bitnet
    >>> rng = np.random.default_rng(0)
    >>> few = {"width": 8, "units": 16, "weight_quantizer": 2, "activation_quantizer": 4}
    >>> model = bitnet.nn.models.language_model(3, rng=rng, **few)
    >>> frozen = bitnet.freeze(model, vocabulary=["a", "b", "<unk>"])
    >>> frozen
    FrozenLanguageModel(3-8-16 lstm-3)
    >>> scores, state = frozen.step([0], None)
    >>> scores.shape
    (1, 3)
    """

    kind = file.LANGUAGE_MODEL

    def __init__(
        self, graph: FrozenGraph, vocabulary: Sequence[str] | None = None, unit: str | None = None
    ) -> None:
        super().__init__(graph)
        self.vocabulary = None if vocabulary is None else tuple(vocabulary)
        self.unit = unit
        self._check()

    def _check(self):
        """Refuse a graph that is no language model, and a vocabulary of another size."""
        inputs, outputs = self.graph.inputs, [self.graph.values[i] for i in self.graph.outputs]
        states = [own.shape for own in inputs[1:]]
        same = [value.shape for value in outputs[1:]] == states
        if inputs[0].kind != "ids" or not states or not same or len(outputs[0].shape) != 2:
            expected = "ids (T, B) and states, and scores (T B, V) and the same states"
            came = f"inputs {inputs!r:.80} and results {outputs!r:.80}"
            raise InputError(f"FrozenLanguageModel: got {came}; expected {expected}")
        words, count = self.vocabulary, inputs[0].below
        named = words is None or all(isinstance(word, str) for word in words)
        if not named or (words is not None and (len(words), len(set(words))) != (count, count)):
            expected = f"{count} different strings, one per token"
            raise InputError(
                f"FrozenLanguageModel: vocabulary is {words!r:.60}; expected {expected}"
            )
        if self.unit is not None and (words is None or self.unit not in UNITS):
            expected = f"{' or '.join(UNITS)}, and a vocabulary"
            raise InputError(f"FrozenLanguageModel: unit is {self.unit!r:.40}; expected {expected}")

    @property
    def sizes(self) -> list[int]:
        """The number of tokens, the size of an embedding, and the units of each recurrent layer."""
        units = [layer.units for layer in self.layers if isinstance(layer.node, Cell)]
        table = next(node.inputs[0] for node in self.graph.nodes if node.kind == "gather")
        return [*self.graph.values[table].shape, *units]

    def __repr__(self) -> str:
        count, width, *units = self.sizes
        cells = [layer.node for layer in self.layers if isinstance(layer.node, Cell)]
        names = [
            f"{c.kind}-{'relu' if c.relu else 'tanh'}" if c.kind == "rnn" else c.kind for c in cells
        ]
        layers = "-".join(f"{n} {name}" for n, name in zip(units, names, strict=True))
        return f"FrozenLanguageModel({count}-{width}-{layers}-{count})"

    def scores(  # type: ignore[override]
        self, ids: Array, state: Any = None, prepared: bool = True
    ) -> tuple[Array, tuple]:
        """Return the scores after every step, float32 (T B, V), and the next state.

        `ids` are integers (T, B) from 0 to V - 1: T steps of B texts.  `state` is the state that an
        earlier call returned, or None at the beginning of a text.
        """
        ids = as_array(ids)
        if ids.ndim != 2:
            raise InputError(f"{self}: ids are {ids.dtype} of shape {ids.shape}; expected (T, B)")
        state = self.first_state(ids) if state is None else state
        if not isinstance(state, tuple) or len(state) != len(self.graph.inputs) - 1:
            expected = f"{len(self.graph.inputs) - 1} states that this model returned"
            raise unfit(repr(self), expected, *(state if isinstance(state, tuple) else (state,)))
        if not len(ids):
            return like(np.zeros((0, self.sizes[0]), np.float32), ids), state
        scores, *after = self.run(ids, *state)
        return scores, tuple(after)

    def first_state(self, ids: Array) -> tuple[Array, ...]:
        """Return the states before the first step, zeros (B, H), for ids (T, B)."""
        own = [at(node.shape, {"B": ids.shape[1]}) for node in self.graph.inputs[1:]]
        return tuple(like(np.zeros(shape, np.float32), ids) for shape in own)

    def step(self, ids: Array, state: Any = None) -> tuple[Array, tuple]:
        """Return the scores, float32 (B, V), after one step of ids (B,), and the next state."""
        return self.scores(as_array(ids)[None], state)

    def contents(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        header, arrays = super().contents()
        own = {name: header[name] for name in ("nodes", "outputs")}
        return own | {"vocabulary": self.vocabulary, "unit": self.unit}, arrays

    @classmethod
    def from_contents(cls, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        check_names("the header", header, ("nodes", "outputs", "vocabulary", "unit"))
        vocabulary = header["vocabulary"]
        if vocabulary is not None and not isinstance(vocabulary, list):
            raise InputError(f"the header has a vocabulary {vocabulary!r:.60}; expected a list")
        return cls(FrozenGraph.from_contents(header, arrays), vocabulary, header["unit"])
