"""The frozen language model: packed weights, a k-bit hidden state, gates in float.

All products are computed in integers.  The same `kernels.affine` and cells as in training turn
them into floats, so that a frozen model returns the same bits as the trained one.  The state
between two steps is q(h), in planes, and in float the cell of an LSTM or the h of a GRU.  NumPy
alone is enough.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from bitnet import kernels
from bitnet.arrays import Array, array_module, as_array, is_array, like, moved, to_cpu
from bitnet.data.vocabulary import UNITS
from bitnet.deploy import file
from bitnet.devices import full_memory_named, mover
from bitnet.errors import InputError, unfit
from bitnet.kernels import GATES, BitPlanes, Bits, Codebook
from bitnet.quantizers import quantizer_named

CELLS = ("rnn-tanh", "rnn-relu", "lstm", "gru")
ENDS = ("embedding", "decoder")  # the matrices outside the layers
LEAST, MOST = 1e-18, 1e18  # the range of a scale
LARGEST_SUM = np.iinfo(np.int32).max
LARGEST_NUMBER = 1e38  # about the largest float32
MAX_LAYERS = 64


@dataclasses.dataclass(frozen=True)
class FrozenMatrix:
    """A k-bit matrix with a scale: `scale * codebook[codes]`."""

    bits: Bits  # the codes (k, M, N): plane j holds bit j of each
    quantizer: str  # the name of the quantizer, whose codebook has the values of the codes
    scale: float  # above 0

    def __repr__(self):
        rows, columns = self.shape
        return f"FrozenMatrix({rows}x{columns}, {self.quantizer}, scale={self.scale:g})"

    def __post_init__(self):
        number = isinstance(self.scale, float) and LEAST <= self.scale <= MOST
        codebook = quantizer_named(self.quantizer).codebook
        if not number or self.bits.ndim != 3 or self.bits.shape[0] != codebook.bits:
            came = f"{self.quantizer} weights of shape {self.bits.shape}, scale {self.scale!r}"
            expected = f"({codebook.bits}, M, N) and a scale from {LEAST:g} to {MOST:g}"
            raise InputError(f"FrozenMatrix: got {came}; expected {expected}")

    @classmethod
    def of_codes(cls, codes, quantizer, scale):
        """Pack codes, uint8 of shape (M, N)."""
        codebook = quantizer_named(quantizer).codebook
        return cls(Codebook.uniform(codebook.bits).planes(codes).bits, quantizer, float(scale))

    @functools.cached_property
    def weight(self):
        """The BitPlanes that products take, prepared, with the scale in their unit."""
        codebook = quantizer_named(self.quantizer).codebook
        uniform = Codebook.uniform(len(self.bits))
        codes = uniform.codes(BitPlanes(self.bits, uniform.coefficients))
        planes = codebook.planes(like(codes, self.bits))
        planes.unit *= self.scale
        return kernels.prepare(planes)

    @property
    def shape(self):
        """The shape of the matrix, (M, N)."""
        return self.bits.shape[1:]

    def reach(self, codebook, scale=1.0):
        """Return a bound of the products with values of a codebook; refuse sums beyond int32."""
        own = quantizer_named(self.quantizer).codebook
        largest = self.shape[1] * own.largest * codebook.largest
        if largest > LARGEST_SUM:
            came = f"{self!r} times inputs of {codebook!r}, whose sums exceed int32"
            raise InputError(f"got {came}; expected fewer inputs or fewer bits")
        return largest * own.unit * self.scale * codebook.unit * scale

    def contents(self):
        """Return the header of the matrix in a file, and its arrays by name."""
        header = {"inputs": self.shape[1], "quantizer": self.quantizer, "scale": self.scale}
        return header, {"bits": self.bits.to_bytes()}

    @classmethod
    def from_contents(cls, header, arrays):
        """Return the matrix in a file, prepared, which refuses codes without a value."""
        file.check_names("the header of a matrix", header, ("inputs", "quantizer", "scale"))
        file.check_names("the file of a matrix", arrays, ("bits",))
        bits = Bits.from_bytes(arrays["bits"], file.whole(header["inputs"]))
        matrix = cls(bits, header["quantizer"], header["scale"])
        matrix.weight  # noqa: B018
        return matrix


@dataclasses.dataclass(frozen=True)
class FrozenRecurrent:
    """A recurrent layer with G gates: weights (G H, N) and (G H, H), and a bias (G H,)."""

    cell: str  # one of CELLS
    input_weight: FrozenMatrix
    state_weight: FrozenMatrix
    bias: np.ndarray  # float32
    quantizer: str  # the name of the quantizer of the state

    def __repr__(self):
        sizes = f"{self.input_weight.shape[1]}, {self.units}"
        return f"FrozenRecurrent({self.cell}, {sizes}, {self.input_weight.quantizer} weights)"

    @functools.cached_property
    def activations(self):
        """The quantizer of the state."""
        return quantizer_named(self.quantizer)

    @property
    def codebook(self):
        """The values of the codes of the state."""
        return self.activations.codebook

    @property
    def units(self):
        """The number of units, H."""
        return self.state_weight.shape[1]

    def quantized(self, h):
        """Return q(h), BitPlanes, for floats h (B, H)."""
        return self.codebook.planes(self.activations.codes(h))

    def first_state(self, batch):
        """Return the state before the first step: q(0), and the zeros of a cell or a GRU's h."""
        zeros = array_module(self.bias).zeros((batch, self.units), np.float32)
        kept = () if self.cell.startswith("rnn") else (zeros,)
        return self.quantized(zeros), *kept

    def takes(self, state, batch):
        """Return whether a state belongs to this layer and has this batch size."""
        packed, *kept = state if isinstance(state, tuple) and state else (None,)
        held = [own for own in (packed, *kept) if isinstance(own, BitPlanes) or is_array(own)]
        shapes = [own.shape for own in held]
        if shapes != [(batch, self.units)] * (1 if self.cell.startswith("rnn") else 2):
            return False
        numbers = [(own.coefficients, own.offset, own.unit) for own in (packed, self.codebook)]
        return numbers[0] == numbers[1]

    def run(self, x, batch, state):
        """Return q(h), (T B, H), for a sequence of T steps, BitPlanes (T B, N), and the next state.

        `state` is the state that an earlier call returned, or None at the beginning.
        """
        weight = self.input_weight.weight
        z = kernels.affine(kernels.plane_gemm(x, weight), x.unit * weight.unit, self.bias)
        weight, unit = self.state_weight.weight, self.codebook.unit * self.state_weight.weight.unit
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

    def contents(self):
        """Return the header of the layer in a file, and its arrays by name."""
        weights = {"input": self.input_weight, "state": self.state_weight}
        headers, arrays = file.contents_of(weights)
        header = {"cell": self.cell, "quantizer": self.quantizer, **headers}
        return header, arrays | {"bias": to_cpu(self.bias).astype("<f4", copy=False)}

    @classmethod
    def from_contents(cls, header, arrays):
        """Return the layer with this header and these arrays."""
        parts = file.apart(arrays)
        file.check_names("the header of a layer", header, ("cell", "quantizer", "input", "state"))
        file.check_names("the file of a layer", parts, ("", "input", "state"))
        file.check_names("the file of a layer", parts[""], ("bias",))
        weights = (FrozenMatrix.from_contents(header[n], parts[n]) for n in ("input", "state"))
        return cls(header["cell"], *weights, parts[""]["bias"], header["quantizer"])


class FrozenLanguageModel:
    """A language model for inference, which returns the scores of the next token.

    Parameters
    ----------
    embedding : FrozenMatrix
        The embeddings of the V tokens, (V, N).
    layers : sequence of FrozenRecurrent
        One or more layers with the same quantizer.
    decoder : FrozenMatrix
        The weights of the scores, (V, H).
    bias : numpy.ndarray
        The bias of the scores, float32 of shape (V,).
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
        self,
        embedding: FrozenMatrix,
        layers: Sequence[FrozenRecurrent],
        decoder: FrozenMatrix,
        bias: Array,
        vocabulary: Sequence[str] | None = None,
        unit: str | None = None,
    ) -> None:
        self.embedding, self.layers = embedding, tuple(layers)
        self.decoder, self.bias = decoder, bias
        self.vocabulary = None if vocabulary is None else tuple(vocabulary)
        self.unit = unit
        self._check()

    def _check(self):
        """Refuse parts that do not fit together."""
        count, width = self.embedding.shape
        for i, layer in enumerate(self.layers):
            shapes = layer.input_weight.shape, layer.state_weight.shape, layer.bias.shape
            known = layer.cell in CELLS
            rows = GATES[layer.cell.partition("-")[0]] * layer.units if known else None
            if shapes != ((rows, width), (rows, layer.units), (rows,)):
                came = f"{layer.cell!r:.20} with weights and bias of shapes {shapes}"
                expected = f"one of {', '.join(CELLS)} that fits {width} inputs"
                raise InputError(f"layer {i} (FrozenRecurrent): got {came}; expected {expected}")
            width = layer.units
        quantizers = {repr(layer.quantizer) for layer in self.layers}
        if len(quantizers) != 1 or not self.layers[0].activations.elementwise:
            came = f"layers with the quantizers {', '.join(sorted(quantizers))}"
            expected = "one elementwise quantizer for the states of all layers"
            raise InputError(f"FrozenLanguageModel: got {came}; expected {expected}")
        if self.decoder.shape != (count, width) or self.bias.shape != (count,):
            came = f"decoder and bias of shapes {self.decoder.shape} and {self.bias.shape}"
            expected = f"({count}, {width}) and ({count},)"
            raise InputError(f"FrozenLanguageModel: got {came}; expected {expected}")
        biases = [self.bias, *(layer.bias for layer in self.layers)]
        if any(b.dtype != np.float32 or not np.isfinite(b).all() for b in biases):
            came = "a bias that is not float32, or holds NaN or infinity"
            raise InputError(f"FrozenLanguageModel: got {came}; expected finite float32")
        self._check_reach()
        words = self.vocabulary
        named = words is None or all(isinstance(word, str) for word in words)
        if not named or (words is not None and (len(words), len(set(words))) != (count, count)):
            expected = f"{count} different strings, one per embedding"
            raise InputError(
                f"FrozenLanguageModel: vocabulary is {words!r:.60}; expected {expected}"
            )
        if self.unit is not None and (words is None or self.unit not in UNITS):
            expected = f"{' or '.join(UNITS)}, and a vocabulary"
            raise InputError(f"FrozenLanguageModel: unit is {self.unit!r:.40}; expected {expected}")

    def _check_reach(self):
        """Refuse products whose sums can exceed int32, or whose values can exceed float32."""
        codebook, scale = quantizer_named(self.embedding.quantizer).codebook, self.embedding.scale
        reaches = []
        for layer in self.layers:
            products = layer.input_weight.reach(codebook, scale)
            products += layer.state_weight.reach(layer.codebook)
            reaches.append(products + float(abs(layer.bias).max()))
            codebook, scale = layer.codebook, 1.0
        reaches.append(self.decoder.reach(codebook) + float(abs(self.bias).max()))
        if max(reaches) > LARGEST_NUMBER:
            came = f"scales with which values reach {max(reaches):.3g}"
            expected = f"at most {LARGEST_NUMBER:g}, which float32 can hold"
            raise InputError(f"FrozenLanguageModel: got {came}; expected {expected}")

    def to(self, device: str) -> Self:
        """Move the model to a device, "cpu" or "gpu", and return it, as `FrozenNet.to` does."""
        own = self.embedding, self.layers, self.decoder, self.bias
        self.embedding, self.layers, self.decoder, self.bias = moved(own, mover(device))
        return self

    @property
    def sizes(self) -> list[int]:
        """The number of tokens, the size of an embedding, and the units of each layer."""
        return [*self.embedding.shape, *(layer.units for layer in self.layers)]

    def __repr__(self) -> str:
        count, width, *units = self.sizes
        layers = "-".join(f"{n} {layer.cell}" for n, layer in zip(units, self.layers, strict=True))
        return f"FrozenLanguageModel({count}-{width}-{layers}-{count})"

    def scores(self, ids: Array, state: tuple | None = None) -> tuple[Array, tuple]:
        """Return the scores after every step, float32 (T B, V), and the next state.

        `ids` are integers (T, B) from 0 to V - 1: T steps of B texts.  `state` is the state that an
        earlier call returned, or None at the beginning of a text.
        """
        ids = as_array(ids)
        if ids.ndim != 2 or (ids.size and ids.dtype.kind not in "iu"):
            came = f"{ids.dtype} of shape {ids.shape}"
            raise InputError(f"{self}: ids are {came}; expected integers (T, B)")
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self.bias):
            span = f"from {ids.min()} to {ids.max()}"
            raise InputError(f"{self}: ids run {span}; expected 0 to {len(self.bias) - 1}")
        with full_memory_named():
            batch, table = ids.shape[1], self.embedding.weight
            state = like(self._state(state, batch), self.bias)
            rows = like(ids.ravel().astype(np.int64), table)
            x, after = table.with_bits(table.bits[:, rows]), []
            for layer, own in zip(self.layers, state, strict=True):
                x, new = layer.run(x, batch, own)
                after.append(new)
            weight = self.decoder.weight
            z = kernels.plane_gemm(x, weight)
            return like(kernels.affine(z, x.unit * weight.unit, self.bias), ids), tuple(after)

    def _state(self, state, batch):
        """Return the state of each layer; refuse states that do not fit the model or the batch."""
        state = (None,) * len(self.layers) if state is None else state
        if len(state) != len(self.layers):
            raise InputError(f"{self}: got {len(state)} states; expected {len(self.layers)}")
        for layer, own in zip(self.layers, state, strict=True):
            if own is not None and not layer.takes(own, batch):
                shape = f"({batch}, {layer.units})"
                expected = f"a state of a layer, of shape {shape}, that this model returned"
                raise unfit(repr(self), expected, *(own if isinstance(own, tuple) else (own,)))
        return state

    def step(self, ids: Array, state: tuple | None = None) -> tuple[Array, tuple]:
        """Return the scores, float32 (B, V), after one step of ids (B,), and the next state."""
        return self.scores(as_array(ids)[None], state)

    def save(self, path: Path | str) -> None:
        """Write the model to a file, completely or not at all."""
        file.save(self, path)

    def contents(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the header of the model in a file, and its arrays by name."""
        parts = {"embedding": self.embedding, "decoder": self.decoder}
        header, arrays = file.contents_of(parts | dict(enumerate(self.layers)))
        header["layers"] = [header.pop(i) for i in range(len(self.layers))]
        header |= {"vocabulary": self.vocabulary, "unit": self.unit}
        return header, arrays | {"bias": to_cpu(self.bias).astype("<f4", copy=False)}

    @classmethod
    def from_contents(cls, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the model with this header and these arrays; refuse what does not fit."""
        file.check_names("the header", header, (*ENDS, "layers", "vocabulary", "unit"))
        headers, parts, vocabulary = header["layers"], file.apart(arrays), header["vocabulary"]
        file.check_list("layers", headers, MAX_LAYERS)
        names = [str(i) for i in range(len(headers))]
        file.check_names("the file", parts, ("", *ENDS, *names))
        file.check_names("the file", parts[""], ("bias",))
        if vocabulary is not None and not isinstance(vocabulary, list):
            raise InputError(f"the header has a vocabulary {vocabulary!r:.60}; expected a list")
        table, decoder = (FrozenMatrix.from_contents(header[n], parts[n]) for n in ENDS)
        own = zip(headers, names, strict=True)
        layers = [FrozenRecurrent.from_contents(header, parts[name]) for header, name in own]
        return cls(table, layers, decoder, parts[""]["bias"], vocabulary, header["unit"])
