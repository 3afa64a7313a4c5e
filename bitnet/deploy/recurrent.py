"""The frozen language model: packed weights, a hidden state of k bits, gates in float.

NumPy alone is enough.  Every product is of integers; the same `kernels.affine` and cells as in
training make numbers of them, so that a frozen model gives the same bits as the trained one.
The state that goes from one step to the next is q(h), in planes, and the LSTM's cell, or what a
GRU's gate keeps, in float.
"""

import dataclasses
import functools

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, as_array, as_numpy, is_array, like, moved, to_cpu
from bitnet.backend import full_memory_named, mover
from bitnet.deploy.matrix import FrozenMatrix
from bitnet.errors import InputError
from bitnet.kernels import Bits, Planes
from bitnet.quantizers import quantizer_named
from bitnet.vocabulary import UNITS

__all__ = ["CELLS", "FrozenLanguageModel", "FrozenRecurrent"]

CELLS = {"rnn-tanh": 1, "rnn-relu": 1, "lstm": 4, "gru": 3}  # gates
STEPS = 100  # of a text that are read at once before others are drawn
LARGEST_NUMBER = 1e38  # that float32 holds, about


@dataclasses.dataclass(frozen=True)
class FrozenRecurrent:
    """One recurrent layer.

    Attributes
    ----------
    cell : {"rnn-tanh", "rnn-relu", "lstm", "gru"}
        The kind.
    input_weight, state_weight : FrozenMatrix
        Shapes (G H, N) and (G H, H) with G gates.
    bias : numpy.ndarray
        float32 of shape (G H,).
    quantizer : str
        The name of that of the state.

    Examples
    --------
    >>> ones = FrozenMatrix.of_codes(np.ones((1, 1), np.uint8), "sign", 0.5)
    >>> layer = FrozenRecurrent("rnn-relu", ones, ones, np.float32([1.0]), "linear:4:0.5:unsigned")
    >>> x = layer.levels.planes(np.array([[3], [3]], np.uint8))  # two steps of 1.5
    >>> states, _ = layer.run(x, 1, None)
    >>> states.values()
    array([[2.],
           [3.]], dtype=float32)
    """

    cell: str
    input_weight: FrozenMatrix
    state_weight: FrozenMatrix
    bias: np.ndarray
    quantizer: str

    @functools.cached_property
    def activations(self):
        """The quantizer of the state."""
        return quantizer_named(self.quantizer)

    @property
    def levels(self):
        """What the codes of the state stand for."""
        return self.activations.levels

    @property
    def units(self):
        """H."""
        return self.state_weight.shape[1]

    def quantized(self, h):
        """q(h), floats (B, H) as Planes."""
        return self.levels.planes(self.activations.codes(h))

    def first_state(self, batch):
        """The state before the first step: q(0), and zeros of the cell, or of what is kept."""
        zeros = array_module(self.bias).zeros((batch, self.units), np.float32)
        kept = () if self.cell.startswith("rnn") else (zeros,)
        return self.quantized(zeros), *kept

    def takes(self, state, batch):
        """Whether a state is one of this layer, for so many texts."""
        packed, *kept = state if isinstance(state, tuple) and state else (None,)
        held = [own for own in (packed, *kept) if isinstance(own, Planes) or is_array(own)]
        shapes = [own.shape for own in held]
        if shapes != [(batch, self.units)] * (1 if self.cell.startswith("rnn") else 2):
            return False
        numbers = [(own.coefficients, own.offset, own.unit) for own in (packed, self.levels)]
        return numbers[0] == numbers[1]

    def run(self, x, batch, state):
        """All steps of a sequence.

        Parameters
        ----------
        x : Planes
            The inputs, (T B, N), step after step.
        batch : int
            B.
        state : tuple or None
            What an earlier call gave; None at the beginning.

        Returns
        -------
        states : Planes
            q(h) of all steps, (T B, H).
        state : tuple
            For the next call.
        """
        weight = self.input_weight.weight
        z = kernels.affine(kernels.plane_gemm(x, weight), x.unit * weight.unit, self.bias)
        weight, unit = self.state_weight.weight, self.levels.unit * self.state_weight.weight.unit
        packed, *kept = self.first_state(batch) if state is None else state
        xp, kept, words = array_module(z), [own.copy() for own in kept], []
        h = xp.empty((batch, self.units), z.dtype)
        for t in range(len(x) // max(batch, 1)):
            product = kernels.plane_gemm(packed, weight)
            own = z[t * batch : (t + 1) * batch], product, unit
            if self.cell == "lstm":
                kernels.cells.lstm_step(*own, kept[0], kept[0], h)
            elif self.cell == "gru":
                kernels.cells.gru_step(*own, kept[0], xp.empty_like(h), h)
                kept[0][...] = h
            else:
                kernels.cells.rnn_step(*own, self.cell == "rnn-relu", h)
            packed = self.quantized(h)
            words.append(packed.bits.words)
        if len(words) == 1:
            return packed, (packed, *kept)
        words = xp.concatenate(words, axis=1) if words else packed.bits.words[:, :0]
        states = packed.with_bits(Bits(words, (*words.shape[:2], self.units)))
        return states, (packed, *kept)


class FrozenLanguageModel:
    """A language model for inference: scores of what comes next, and texts drawn from them.

    Parameters
    ----------
    embedding : FrozenMatrix
        The table, (V, N).
    layers : sequence of FrozenRecurrent
        One or more, with one quantizer.
    decoder : FrozenMatrix
        (V, H).
    bias : numpy.ndarray
        float32 of shape (V,).
    vocabulary : sequence of str, optional
        The V words or characters.
    unit : {"words", "characters"}, optional
        What these are, if it is known.

    Raises
    ------
    InputError
        If the parts do not fit together.

    Examples
    --------
    >>> from bitnet.deploy.freeze_language import freeze_language_model
    >>> from bitnet.language_models import language_model
    >>> rng = np.random.default_rng(0)
    >>> model = language_model(3, rng, width=8, units=16, weights=2, activations=4)
    >>> frozen = freeze_language_model(model, vocabulary=["a", "b", "<unk>"])
    >>> frozen
    FrozenLanguageModel(3-8-16 lstm-3)
    >>> scores, state = frozen.step([0], None)
    >>> scores.shape
    (1, 3)
    """

    def __init__(self, embedding, layers, decoder, bias, vocabulary=None, unit=None):
        self.embedding, self.layers = embedding, tuple(layers)
        self.decoder, self.bias = decoder, bias
        self.vocabulary = None if vocabulary is None else tuple(vocabulary)
        self.unit = unit
        self._check()

    def _check(self):
        """Refuse parts that do not fit."""
        count, width = self.embedding.shape
        for i, layer in enumerate(self.layers):
            gates = CELLS.get(layer.cell)
            shapes = layer.input_weight.shape, layer.state_weight.shape, layer.bias.shape
            rows = gates and gates * layer.units
            if shapes != ((rows, width), (rows, layer.units), (rows,)):
                raise InputError(
                    f"layer {i} ({layer.cell}) has weights and bias of shapes {shapes}, for "
                    f"{width} inputs"
                )
            width = layer.units
        quantizers = {layer.quantizer for layer in self.layers}
        if len(quantizers) != 1 or not self.layers[0].activations.elementwise:
            raise InputError(
                f"layers with the quantizers {sorted(quantizers)}; expected one, of each number "
                "alone, for the states of all layers"
            )
        if self.decoder.shape != (count, width) or self.bias.shape != (count,):
            raise InputError(
                f"a decoder {self.decoder.shape} and a bias {self.bias.shape}; expected "
                f"({count}, {width}) and ({count},)"
            )
        biases = [self.bias, *(layer.bias for layer in self.layers)]
        if any(b.dtype != np.float32 or not np.isfinite(b).all() for b in biases):
            raise InputError("a bias is not float32, or holds NaN or infinity")
        self._check_reach()
        words = self.vocabulary
        named = words is None or all(isinstance(word, str) for word in words)
        if not named or (words is not None and (len(words), len(set(words))) != (count, count)):
            raise InputError(f"a vocabulary that is not of {count} different words")
        if self.unit is not None and (words is None or self.unit not in UNITS):
            raise InputError(f"the unit is {self.unit!r:.40}; expected that of a vocabulary, "
                             f"{' or '.join(UNITS)}")  # fmt: skip

    def _check_reach(self):
        """Refuse products whose integers could pass int32, or whose numbers float32."""
        levels, scale = quantizer_named(self.embedding.quantizer).levels, self.embedding.scale
        reaches = []
        for layer in self.layers:
            products = layer.input_weight.reach(levels, scale)
            products += layer.state_weight.reach(layer.levels)
            reaches.append(products + float(abs(layer.bias).max()))
            levels, scale = layer.levels, 1.0
        reaches.append(self.decoder.reach(levels) + float(abs(self.bias).max()))
        if max(reaches) > LARGEST_NUMBER:
            raise InputError(
                f"scales and units that make numbers of up to {max(reaches):.3g} in a layer; "
                f"expected at most {LARGEST_NUMBER:g}, which float32 holds"
            )

    def to(self, device):
        """Move the model, as `FrozenNet.to`; returns it."""
        own = self.embedding, self.layers, self.decoder, self.bias
        self.embedding, self.layers, self.decoder, self.bias = moved(own, mover(device))
        return self

    @property
    def sizes(self):
        """V, N, and the units of each layer."""
        return [*self.embedding.shape, *(layer.units for layer in self.layers)]

    def __repr__(self):
        count, width, *units = self.sizes
        layers = "-".join(f"{n} {layer.cell}" for n, layer in zip(units, self.layers, strict=True))
        return f"FrozenLanguageModel({count}-{width}-{layers}-{count})"

    def scores(self, ids, state=None):
        """The scores of what comes next, behind every step.

        Parameters
        ----------
        ids : array
            Integers of shape (T, B), from 0 to V - 1: T steps of B texts.
        state : tuple, optional
            What an earlier call gave; the beginning of a text by default.

        Returns
        -------
        scores : numpy.ndarray
            float32 of shape (T B, V), step after step.
        state : tuple
            For the next call.

        Raises
        ------
        InputError
            If the ids or the state do not fit.
        """
        ids = as_array(ids)
        if ids.ndim != 2 or (ids.size and ids.dtype.kind not in "iu"):
            raise InputError(f"{self}: ids are {ids.dtype} {ids.shape}; expected integers (T, B)")
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self.bias):
            raise InputError(
                f"{self}: ids run from {ids.min()} to {ids.max()}; expected 0 to "
                f"{len(self.bias) - 1}"
            )
        with full_memory_named():
            return self._scores(ids, self._state(state, ids.shape[1]))

    def _scores(self, ids, state):
        """What `scores` gives, once all fits."""
        batch, state = ids.shape[1], like(state, self.bias)
        table = self.embedding.weight
        rows = like(ids.ravel().astype(np.int64), table)
        x, after = table.with_bits(table.bits[:, rows]), []
        for layer, own in zip(self.layers, state, strict=True):
            x, new = layer.run(x, batch, own)
            after.append(new)
        weight = self.decoder.weight
        z = kernels.plane_gemm(x, weight)
        return like(kernels.affine(z, x.unit * weight.unit, self.bias), ids), tuple(after)

    def _state(self, state, batch):
        """The state of each layer, once all are of this batch."""
        state = (None,) * len(self.layers) if state is None else state
        if len(state) != len(self.layers):
            raise InputError(f"{self}: {len(state)} states; expected {len(self.layers)}")
        for layer, own in zip(self.layers, state, strict=True):
            if own is not None and not layer.takes(own, batch):
                raise InputError(
                    f"{self}: a state is {own!r:.80}; expected what an earlier call of this model "
                    f"gave, of shape ({batch}, {layer.units})"
                )
        return state

    def step(self, ids, state=None):
        """The scores behind one step.

        Parameters
        ----------
        ids : array
            Integers of shape (B,).
        state : tuple, optional
            As for `scores`.

        Returns
        -------
        scores : numpy.ndarray
            float32 of shape (B, V).
        state : tuple
            For the next step.

        Raises
        ------
        InputError
            As for `scores`.
        """
        return self.scores(as_array(ids)[None], state)

    def generate(self, ids, count, rng, temperature=1.0):
        """A text that goes on from another, drawn one by one from softmax(scores / temperature).

        Parameters
        ----------
        ids : array
            Integers of shape (T,), how the text begins; one or more.
        count : int
            How many to draw.
        rng : numpy.random.Generator
            The source of randomness.
        temperature : float, optional
            Above 0; below 1 what is likely becomes more so.

        Returns
        -------
        numpy.ndarray
            int64 of shape (count,).

        Raises
        ------
        InputError
            If a setting is out of its range.
        """
        ids = as_numpy(ids)
        whole = isinstance(count, (int, np.integer)) and count >= 0
        if ids.ndim != 1 or not len(ids) or not 0 < temperature < np.inf or not whole:
            raise InputError(
                f"generate: ids of shape {ids.shape}, temperature {temperature!r} and count "
                f"{count!r}; expected one id or more, a number above 0, and 0 or more"
            )
        drawn, state = [], None
        for start in range(0, len(ids), STEPS):
            scores, state = self.scores(ids[start : start + STEPS, None], state)
        for _ in range(count):
            scores = to_cpu(scores[-1]).astype(np.float64)
            with np.errstate(over="ignore"):  # of a temperature near 0
                chances = np.exp((scores - scores.max()) / temperature).cumsum()
            found = np.searchsorted(chances, rng.random() * chances[-1], side="right")
            drawn.append(min(int(found), len(chances) - 1))
            if len(drawn) < count:
                scores, state = self.step(drawn[-1:], state)
        return np.array(drawn, np.int64)

    def save(self, path):
        """Write the model to a file; see `bitnet.deploy.language_file.save_language_model`."""
        from bitnet.deploy.language_file import save_language_model

        save_language_model(self, path)
