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
from bitnet.arrays import array_module, as_array, is_array, like, moved, to_cpu
from bitnet.data.vocabulary import UNITS
from bitnet.deploy import file
from bitnet.devices import full_memory_named, mover
from bitnet.errors import InputError
from bitnet.kernels import GATES, BitPlanes, Bits, Codebook
from bitnet.quantizers import quantizer_named

CELLS = ("rnn-tanh", "rnn-relu", "lstm", "gru")
ENDS = ("embedding", "decoder")  # the matrices of a model that are in no layer
LEAST, MOST = 1e-18, 1e18  # of a scale
LARGEST_SUM = np.iinfo(np.int32).max
LARGEST_NUMBER = 1e38  # that float32 holds, about
MAX_LAYERS = 64


@dataclasses.dataclass(frozen=True)
class FrozenMatrix:
    """Weights of a few bits with a scale: `scale * codebook[codes]`."""

    bits: Bits  # the codes, bit j of each in plane j: (k, M, N)
    quantizer: str  # the name of the one whose codebook the codes mean
    scale: float  # above 0

    def __post_init__(self):
        number = isinstance(self.scale, float) and LEAST <= self.scale <= MOST
        codebook = quantizer_named(self.quantizer).codebook
        if not number or self.bits.ndim != 3 or self.bits.shape[0] != codebook.bits:
            came = f"planes of shape {self.bits.shape} with the scale {self.scale!r}"
            expected = f"({codebook.bits}, M, N) and a number above 0"
            raise InputError(f"weights of {self.quantizer} in {came}; expected {expected}")

    @classmethod
    def of_codes(cls, codes, quantizer, scale):
        """From codes, uint8 of shape (M, N)."""
        codebook = quantizer_named(quantizer).codebook
        return cls(Codebook.uniform(codebook.bits).planes(codes).bits, quantizer, float(scale))

    @functools.cached_property
    def weight(self):
        """The BitPlanes that products take, with the scale in their unit, laid out."""
        codebook, uniform = (
            quantizer_named(self.quantizer).codebook,
            Codebook.uniform(len(self.bits)),
        )
        codes = uniform.codes(BitPlanes(self.bits, uniform.coefficients))
        planes = codebook.planes(like(codes, self.bits))
        planes.unit *= self.scale
        return kernels.prepare(planes)

    @property
    def shape(self):
        """(M, N)."""
        return self.bits.shape[1:]

    def reach(self, codebook, scale=1.0):
        """What no product with numbers of these codebook passes; refused if integers pass int32."""
        own = quantizer_named(self.quantizer).codebook
        largest = self.shape[1] * own.largest * codebook.largest
        if largest > LARGEST_SUM:
            came = f"a product of {self.shape[1]} inputs of {codebook!r} with {self.quantizer}"
            expected = "fewer inputs, or numbers of fewer bits"
            raise InputError(f"{came} passes int32; expected {expected}")
        return largest * own.unit * self.scale * codebook.unit * scale

    def contents(self):
        """What a file holds of the matrix: a header, and arrays by name."""
        header = {"inputs": self.shape[1], "quantizer": self.quantizer, "scale": self.scale}
        return header, {"bits": self.bits.to_bytes()}

    @classmethod
    def from_contents(cls, header, arrays):
        """The matrix that a file describes, laid out, which refuses codes that mean nothing."""
        file.check_names("the header of a matrix", header, ("inputs", "quantizer", "scale"))
        file.check_names("the file of a matrix", arrays, ("bits",))
        bits = Bits.from_bytes(arrays["bits"], file.whole(header["inputs"]))
        matrix = cls(bits, header["quantizer"], header["scale"])
        matrix.weight  # noqa: B018
        return matrix


@dataclasses.dataclass(frozen=True)
class FrozenRecurrent:
    """One recurrent layer, of G gates: weights (G H, N) and (G H, H), and a bias (G H,)."""

    cell: str  # one of CELLS
    input_weight: FrozenMatrix
    state_weight: FrozenMatrix
    bias: np.ndarray  # float32
    quantizer: str  # the name of that of the state

    @functools.cached_property
    def activations(self):
        """The quantizer of the state."""
        return quantizer_named(self.quantizer)

    @property
    def codebook(self):
        """What the codes of the state stand for."""
        return self.activations.codebook

    @property
    def units(self):
        """H."""
        return self.state_weight.shape[1]

    def quantized(self, h):
        """q(h), floats (B, H) as BitPlanes."""
        return self.codebook.planes(self.activations.codes(h))

    def first_state(self, batch):
        """The state before the first step: q(0), and zeros of the cell, or of what is kept."""
        zeros = array_module(self.bias).zeros((batch, self.units), np.float32)
        kept = () if self.cell.startswith("rnn") else (zeros,)
        return self.quantized(zeros), *kept

    def takes(self, state, batch):
        """Whether a state is one of this layer, for so many texts."""
        packed, *kept = state if isinstance(state, tuple) and state else (None,)
        held = [own for own in (packed, *kept) if isinstance(own, BitPlanes) or is_array(own)]
        shapes = [own.shape for own in held]
        if shapes != [(batch, self.units)] * (1 if self.cell.startswith("rnn") else 2):
            return False
        numbers = [(own.coefficients, own.offset, own.unit) for own in (packed, self.codebook)]
        return numbers[0] == numbers[1]

    def run(self, x, batch, state):
        """All steps of a sequence: BitPlanes (T B, N), step after step, to q(h), (T B, H).

        `state` is what an earlier call gave, None at the beginning; returns the next one too.
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
        """What a file holds of the layer: a header, and arrays by name."""
        weights = {"input": self.input_weight, "state": self.state_weight}
        headers, arrays = file.contents_of(weights)
        header = {"cell": self.cell, "quantizer": self.quantizer, **headers}
        return header, arrays | {"bias": to_cpu(self.bias).astype("<f4", copy=False)}

    @classmethod
    def from_contents(cls, header, arrays):
        """The layer that a file describes."""
        parts = file.apart(arrays)
        file.check_names("the header of a layer", header, ("cell", "quantizer", "input", "state"))
        file.check_names("the file of a layer", parts, ("", "input", "state"))
        file.check_names("the file of a layer", parts[""], ("bias",))
        weights = (FrozenMatrix.from_contents(header[n], parts[n]) for n in ("input", "state"))
        return cls(header["cell"], *weights, parts[""]["bias"], header["quantizer"])


class FrozenLanguageModel:
    """A language model for inference: scores of what comes next.

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
            shapes = layer.input_weight.shape, layer.state_weight.shape, layer.bias.shape
            known = layer.cell in CELLS
            rows = GATES[layer.cell.partition("-")[0]] * layer.units if known else None
            if shapes != ((rows, width), (rows, layer.units), (rows,)):
                came = f"weights and bias of shapes {shapes}, for {width} inputs"
                raise InputError(f"layer {i} ({layer.cell}) has {came}")
            width = layer.units
        quantizers = {repr(layer.quantizer) for layer in self.layers}
        if len(quantizers) != 1 or not self.layers[0].activations.elementwise:
            came = f"layers with the quantizers {', '.join(sorted(quantizers))}"
            expected = "one, of each number alone, for the states of all layers"
            raise InputError(f"{came}; expected {expected}")
        if self.decoder.shape != (count, width) or self.bias.shape != (count,):
            came = f"a decoder {self.decoder.shape} and a bias {self.bias.shape}"
            raise InputError(f"{came}; expected ({count}, {width}) and ({count},)")
        biases = [self.bias, *(layer.bias for layer in self.layers)]
        if any(b.dtype != np.float32 or not np.isfinite(b).all() for b in biases):
            raise InputError("a bias is not float32, or holds NaN or infinity")
        self._check_reach()
        words = self.vocabulary
        named = words is None or all(isinstance(word, str) for word in words)
        if not named or (words is not None and (len(words), len(set(words))) != (count, count)):
            raise InputError(f"a vocabulary that is not of {count} different words")
        if self.unit is not None and (words is None or self.unit not in UNITS):
            expected = f"that of a vocabulary, {' or '.join(UNITS)}"
            raise InputError(f"the unit is {self.unit!r:.40}; expected {expected}")

    def _check_reach(self):
        """Refuse products whose integers could pass int32, or whose numbers float32."""
        codebook, scale = quantizer_named(self.embedding.quantizer).codebook, self.embedding.scale
        reaches = []
        for layer in self.layers:
            products = layer.input_weight.reach(codebook, scale)
            products += layer.state_weight.reach(layer.codebook)
            reaches.append(products + float(abs(layer.bias).max()))
            codebook, scale = layer.codebook, 1.0
        reaches.append(self.decoder.reach(codebook) + float(abs(self.bias).max()))
        if max(reaches) > LARGEST_NUMBER:
            came = f"scales and units that make numbers of up to {max(reaches):.3g} in a layer"
            raise InputError(f"{came}; expected at most {LARGEST_NUMBER:g}, which float32 holds")

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
        """The scores after every step, float32 (T B, V), step after step, and the next state.

        `ids` are integers (T, B) from 0 to V - 1, T steps of B texts; `state` is what an earlier
        call gave, None at the beginning of a text.
        """
        ids = as_array(ids)
        if ids.ndim != 2 or (ids.size and ids.dtype.kind not in "iu"):
            raise InputError(f"{self}: ids are {ids.dtype} {ids.shape}; expected integers (T, B)")
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
        """The state of each layer, once all are of this batch."""
        state = (None,) * len(self.layers) if state is None else state
        if len(state) != len(self.layers):
            raise InputError(f"{self}: {len(state)} states; expected {len(self.layers)}")
        for layer, own in zip(self.layers, state, strict=True):
            if own is not None and not layer.takes(own, batch):
                shape = f"({batch}, {layer.units})"
                expected = f"what an earlier call of this model gave, of shape {shape}"
                raise InputError(f"{self}: a state is {own!r:.80}; expected {expected}")
        return state

    def step(self, ids, state=None):
        """The scores (B, V) after one step of ids (B,), and the next state."""
        return self.scores(as_array(ids)[None], state)

    def save(self, path):
        """Write the model to a file, whole or not at all."""
        file.save(self, path)

    def contents(self):
        """What a file holds of the model: a header, and arrays by name."""
        parts = {"embedding": self.embedding, "decoder": self.decoder}
        header, arrays = file.contents_of(parts | dict(enumerate(self.layers)))
        header["layers"] = [header.pop(i) for i in range(len(self.layers))]
        header |= {"vocabulary": self.vocabulary, "unit": self.unit}
        return header, arrays | {"bias": to_cpu(self.bias).astype("<f4", copy=False)}

    @classmethod
    def from_contents(cls, header, arrays):
        """The model that a file describes."""
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
