"""Counts of weights, bytes and operations per layer of a net: the rows of its summary."""

import dataclasses
import math
import typing

import numpy as np

from bitnet import nn
from bitnet.arrays import to_cpu
from bitnet.deploy import FrozenLanguageModel
from bitnet.deploy.file import apart
from bitnet.deploy.plan import follow
from bitnet.deploy.runtime import FrozenConv, FrozenOutput
from bitnet.errors import InputError
from bitnet.kernels import words_for
from bitnet.nn.module import evaluating

QUANTIZED, FLOATS = (nn.IntegerLayer,), (nn.Linear, nn.Conv2d)
PRODUCTS = QUANTIZED + FLOATS
MAX_FEATURES = 1 << 28  # the largest number of values per image


class Numbers(typing.NamedTuple):
    """The bits of a code, and the number of ±1 planes that sum to its value."""

    bits: int
    planes: int


SIGNS, PIXELS = Numbers(1, 1), Numbers(8, 8)


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """The counts of a layer, or of a matrix of a language model, for one image or token."""

    name: str  # index and kind
    outputs: tuple[int, ...]  # the shape of the outputs, after pooling; of a matrix its own
    weights: int = 0  # quantized weights; of a matrix also those in float32
    bits: int = 0  # bits per weight in the file
    thresholds: int = 0  # int32
    directions: int = 0  # of one bit
    floats: int = 0  # float32: weights, biases, gammas, betas, means, scales; no latent weights
    n_bytes: int = 0  # frozen: in its file; trained: in memory, latent weights included
    file_bytes: int | None = None  # trained: in the file of the frozen net, if it can be frozen
    precision: str | None = None  # bits of activation x weight, such as "2x1", or "float32"
    macs: int = 0  # multiply-accumulates, including taps beyond the border of the image
    planes: int = 0  # ±1 products per product: planes of the activations x planes of the weights
    words: int = 0  # XORs of 64 bits for all of them, padding included
    read: int = 0  # values of the input, if the layer multiplies
    read_bits: int = 0  # bits per value read
    written: int = 0  # values after norm and activation, if the layer multiplies
    written_bits: int = 0  # bits per value written
    units: int = 0  # pre-activations, before pooling
    comparisons: int = 0  # signs: before max-pooling; k bits: after it, 2^k - 1 per output
    multiplications: int = 0  # by scales of a norm that no threshold replaces
    shifts: int = 0  # by such scales that are powers of two

    def __repr__(self):
        shape = "x".join(map(str, self.outputs)) or "-"
        return f"LayerRow({self.name}: {shape}, {self.weights:,} weights, {self.n_bytes:,} bytes)"

    @property
    def one_bit(self):
        """The number of weights if they have one bit, otherwise 0."""
        return self.weights if self.bits == 1 else 0

    def as_dict(self):
        """Return the row in the form of JSON."""
        fields = dataclasses.asdict(self) | {"outputs": list(self.outputs)}
        return fields | {"one_bit": self.one_bit}


def what_enters(net):
    """Return the inputs of each frozen layer: "pixels", a Codebook, or None for signs."""
    found = []

    def through(i, enters):
        found.append(enters)
        return getattr(net.layers[i], "codebook", None)

    pixels = "pixels" if net.input == "pixels" else None
    follow(net.plan, pixels, through, lambda enters, _: enters, lambda parts: parts[0])
    return found


def frozen_rows(net, arrays):
    """Yield the rows of the layers of a frozen net, then of the other parts of its file."""
    parts = zip(net.layers, net.shapes, what_enters(net), strict=True)
    for i, (layer, (inputs, shape), entered) in enumerate(parts):
        m, pixels = layer.bits.shape[0], 1
        if isinstance(layer, FrozenConv):
            pixels = math.prod(layer.window.output(*inputs[:2]))
        elif layer.bits.ndim == 4:  # 1x1 filters before the last average pooling
            pixels = math.prod(inputs[:2])
        enters = PIXELS if entered == "pixels" else numbers_of(entered)
        row = _products(layer.bits.shape, pixels, enters, numbers_of(layer.weight_codebook))
        row |= _moved(math.prod(inputs), enters.bits, shape)
        row["n_bytes"] = sum(a.nbytes for name, a in arrays.items() if name.startswith(f"{i}."))
        if isinstance(layer, FrozenOutput):
            row |= {"floats": 3 * m, **_scaled(layer.scale, 1)}
        else:
            averages = getattr(layer, "pooling", None) == "average"
            row |= _steps(row["units"], shape, layer.codebook, averages)
            row |= {"thresholds": layer.thresholds.size, "directions": m}
        yield LayerRow(f"{i} {_frozen_name(layer)}", shape, **row)
    yield from _other_rows(arrays)


def _other_rows(arrays, field="n_bytes"):
    """Yield a row for each part of a frozen net's file that is not a layer, such as preparation."""
    for part, own in apart(arrays).items():
        if not part.isdigit():
            floats = sum(array.size for array in own.values() if array.dtype.kind == "f")
            floats = floats if field == "n_bytes" else 0  # a model counts those in memory only
            n_bytes = sum(array.nbytes for array in own.values())
            yield LayerRow(part, (), floats=floats, **{field: n_bytes})


def _frozen_name(layer):
    """Return the kind and sizes of a frozen layer."""
    m, *taps, n = layer.bits.shape
    groups, pool = getattr(layer, "groups", 1), getattr(layer, "pool", None)
    sizes = [str(n * groups), str(m), *(["x".join(map(str, taps))] if taps else [])]
    sizes += [f"groups={groups}"] if groups > 1 else []
    sizes += ["pooled " + "x".join(map(str, pool.size))] if pool else []
    return f"{type(layer).__name__}({', '.join(sizes)})"


def numbers_of(codebook):
    """Return the bits and planes of values with a Codebook; None for signs."""
    return SIGNS if codebook is None else Numbers(codebook.bits, len(codebook.coefficients))


def _products(shape, pixels, enters, weights):
    """Count the products with weights (M, ..., N) at `pixels` output pixels."""
    m, row = shape[0], math.prod(shape[1:])
    words = math.prod(shape[1:-1]) * words_for(shape[-1])
    words = words_for(row) if enters is PIXELS else words  # pixels are packed patch by patch
    planes = enters.planes * weights.planes
    counts = {"weights": m * row, "macs": pixels * m * row, "units": pixels * m}
    counts |= {"bits": weights.bits, "precision": f"{enters.bits}x{weights.bits}"}
    return counts | {"planes": planes, "words": pixels * m * planes * words}


def _moved(read, read_bits, outputs):
    """Count the values that a layer reads and writes, with their bits."""
    written = math.prod(outputs)
    return {"read": read, "read_bits": read_bits, "written": written, "written_bits": 32}


def _steps(units, shape, codebook, averages):
    """Count the comparisons with thresholds, and the bits written; signs have no codebook."""
    steps = 1 if codebook is None else len(codebook) - 1
    compared = units if codebook is None and not averages else math.prod(shape) * steps
    return {"comparisons": compared, "written_bits": numbers_of(codebook).bits}


def _scaled(scale, pixels):
    """Count the multiplications and shifts by the scales of a norm at `pixels` output pixels."""
    fraction, _ = np.frexp(to_cpu(scale))
    powers = int(np.count_nonzero((abs(fraction) == 0.5) | (fraction == 0)))
    return {"multiplications": pixels * (len(scale) - powers), "shifts": pixels * powers}


def model_rows(net, shape, arrays):
    """Run one image through a model and return its rows; `arrays` are those of its file."""
    walk = _Walk(arrays)
    pixels = isinstance(first_layer(net), (*QUANTIZED, nn.PixelPlanes))
    with evaluating(net):
        walk.through(net, np.zeros((1, *shape), np.uint8 if pixels else np.float32), "")
    return [*(LayerRow(**row) for row in walk.rows), *_other_rows(arrays, "file_bytes")]


class _Walk:
    """A run of an image through a model, which collects the rows of the layers."""

    def __init__(self, arrays):
        self.arrays, self.rows = arrays, []
        self.count = -1  # index of the quantized layer in the file
        self.enters = PIXELS  # inputs of the next layer; pixels are this very object
        self.open = None  # last row that multiplies in this branch
        self.averages = False  # whether average pooling follows it

    def through(self, layer, x, name):
        """Append the rows of a layer, and return its output for `x`."""
        if isinstance(layer, nn.Sequential):
            for i, inner in enumerate(_without_dropout(layer)):
                x = self.through(inner, x, f"{name}.{i}" if name else str(i))
            for i, head in layer.heads.items() if isinstance(layer, nn.WithHeads) else ():
                title = f"head after layer {i}, in training"
                self.rows.append({"name": title, "outputs": (), "n_bytes": _n_bytes(head)})
            return x
        if isinstance(layer, nn.Branches):
            enters, parts = self.enters, []
            for i, branch in enumerate(layer.branches):
                self.enters, self.open = enters, None
                parts.append(self.through(branch, x, f"{name}.{i}"))
            self.open = None
            return nn.functional.concatenate(*parts)
        multiplies = isinstance(layer, PRODUCTS)
        if not multiplies and any(isinstance(own, PRODUCTS) for own in layer.modules()):
            came = f"layer {name} is {layer!r:.80}, whose inner layers cannot be counted one by one"
            raise InputError(f"summary: {came}; put them into a Sequential or Branches")
        read, x = math.prod(x.shape[1:]), layer(x)
        self.count += isinstance(layer, QUANTIZED)
        row = {"name": f"{name} {_name(layer):.40}", "outputs": x.shape[1:]}
        row |= {"n_bytes": _n_bytes(layer), "file_bytes": self._in_file(layer)}
        self.rows.append(row | self._own(layer, read, x.shape[1:]))
        if multiplies:
            self.open, self.averages = self.rows[-1], False
        else:
            self._follow(layer, x.shape[1:])
        return x

    def _own(self, layer, read, outputs):
        """Return the counts of a layer without the layers that follow."""
        pixels = math.prod(outputs[:-1])
        if isinstance(layer, QUANTIZED):
            weights = numbers_of(layer.weight_quantizer.codebook)
            own = _products(layer.weight.shape, pixels, self.enters, weights)
            return own | _moved(read, self.enters.bits, outputs)
        state = layer.state_dict().values()
        own = {"floats": sum(array.size for array in state if array.dtype == np.float32)}
        if isinstance(layer, FLOATS):
            own |= {"precision": "float32", "macs": pixels * layer.weight.data.size}
            own |= {"units": math.prod(outputs), **_moved(read, 32, outputs)}
        return own

    def _follow(self, layer, shape):
        """Add the operations of a layer to the row of the last layer that multiplies."""
        quantizes = isinstance(layer, (nn.Sign, nn.Quantize))
        codebook = layer.quantizer.codebook if quantizes and not is_sign(layer) else None
        self.enters = numbers_of(codebook) if quantizes else self.enters
        if isinstance(layer, nn.PixelPlanes):
            self.enters = Numbers(layer.planes, layer.planes)
        if self.open is None:
            return
        row, few = self.open, "weights" in self.open
        row["written"] = math.prod(shape)
        self.averages |= isinstance(layer, nn.AvgPool2d)
        if isinstance(layer, nn.BatchNorm) and few:
            row |= _scaled(layer.affine()[1], math.prod(shape[:-1]))
        if quantizes and few:
            row |= _steps(row["units"], shape, codebook, self.averages)
            row |= {"multiplications": 0, "shifts": 0}
        elif quantizes:
            row["written_bits"] = self.enters.bits

    def _in_file(self, layer):
        """Return the bytes of a layer in the file of the frozen net."""
        if not self.arrays:
            return None
        of_layer = isinstance(layer, QUANTIZED)
        if not of_layer and not isinstance(layer, nn.BatchNorm):
            return 0
        own = (name for name in self.arrays if name.startswith(f"{self.count}."))
        return sum(self.arrays[name].nbytes for name in own if name.endswith(".bits") == of_layer)


def _name(layer):
    """Return the repr of a layer, with the short name of its quantizer."""
    quantizer = getattr(layer, "quantizer", None)
    name = repr(layer)
    return name if quantizer is None else name.replace(repr(quantizer), quantizer.name)


def is_sign(layer):
    """Return whether a layer outputs the signs of its input."""
    codes = isinstance(layer, nn.Quantize) and layer.quantizer.codebook.is_sign
    return codes or isinstance(layer, nn.Sign)


def _n_bytes(layer):
    """Return the bytes of a layer's state."""
    return sum(array.nbytes for array in layer.state_dict().values())


def _without_dropout(net):
    """Return the layers of a Sequential except dropout."""
    return [layer for layer in net.layers if not isinstance(layer, nn.Dropout)]


def first_layer(net):
    """Return the layer that receives the images, or None."""
    while isinstance(net, (nn.Sequential, nn.Branches)):
        inner = net.branches if isinstance(net, nn.Branches) else _without_dropout(net)
        if not inner:
            return None
        net = inner[0]
    return net


def input_shape(net, image):
    """Return the shape of the images of a model."""
    kinds = (*PRODUCTS, nn.BatchNorm, nn.Flatten)
    first = next((layer for layer in net.modules() if isinstance(layer, kinds)), None)
    linear = isinstance(first, (nn.QuantLinear, nn.Linear))
    if image is None and linear:
        return (first.in_features,)
    if image is None:
        came = "image is None for a model that does not begin with a linear layer"
        raise InputError(f"summary: {came}; give image=(rows, columns, channels)")
    whole = isinstance(image, (tuple, list)) and image
    if not whole or not all(isinstance(n, (int, np.integer)) and n > 0 for n in image):
        expected = "sizes of 1 or more, such as (H, W, C)"
        raise InputError(f"summary: image is {image!r}; expected {expected}")
    n = math.prod(map(int, image))
    if n > MAX_FEATURES:
        raise InputError(f"summary: image is {image!r}; expected at most {MAX_FEATURES} values")
    return (n,) if linear else tuple(map(int, image))


def matrices_of(model):
    """Return the matrices of a trained or frozen language model by their names in its summary."""
    if isinstance(model, FrozenLanguageModel):
        ends = model.embedding, model.decoder
        pairs = [(layer.input_weight, layer.state_weight) for layer in model.layers]
    else:
        ends, recurrent = (model.embedding.weight, model.decoder.weight), model.recurrent
        pairs = zip(recurrent.input_weights, recurrent.state_weights, strict=True)
    found = {"table": ends[0]}
    for i, (of_input, of_state) in enumerate(pairs):
        found |= {f"layer {i} inputs": of_input, f"layer {i} states": of_state}
    return found | {"scores": ends[1]}


def language_rows(model):
    """Yield the rows of the matrices of a language model; the table has no products."""
    is_frozen = isinstance(model, FrozenLanguageModel)
    if not is_frozen:
        quantizers = {"table": model.embedding.activation_quantizer}
        quantizers["scores"] = getattr(model.decoder, "weight_quantizer", None)  # not of a Linear
    for name, matrix in matrices_of(model).items():
        if is_frozen:
            bits = matrix.bits.shape[0]
        else:
            quantizer = quantizers.get(name, model.recurrent.weight_quantizer)
            bits = quantizer.bits if quantizer else 32
        n = math.prod(matrix.shape)
        products, n_bytes = 0 if name == "table" else n, -(-n * bits // 8)
        yield LayerRow(name, matrix.shape, n, bits, n_bytes=n_bytes, macs=products)
