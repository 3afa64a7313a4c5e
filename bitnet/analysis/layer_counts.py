"""What each layer of a net has, needs and does for one image: the rows of its summary."""

import dataclasses
import math
import typing

import numpy as np

from bitnet.arrays import to_cpu
from bitnet.deploy.plan import follow
from bitnet.deploy.runtime import FrozenConv, FrozenOutput
from bitnet.errors import InputError
from bitnet.kernels import words_for
from bitnet.nn import (
    BatchNorm,
    Branches,
    Dropout,
    IntegerLayer,
    Linear,
    QuantLinear,
    Sequential,
    WithHeads,
    functional,
)
from bitnet.nn.activations import Quantize, Sign
from bitnet.nn.conv import AvgPool2d, Conv2d, Flatten
from bitnet.nn.module import evaluating

__all__ = ["LayerRow"]

QUANTIZED, FLOATS = (IntegerLayer,), (Linear, Conv2d)
MAX_FEATURES = 1 << 28  # numbers an image may have


class Numbers(typing.NamedTuple):
    """How many bits a code has, and how many planes of ±1 its number is a sum of."""

    bits: int
    planes: int


SIGNS, PIXELS = Numbers(1, 1), Numbers(8, 8)


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """A layer of a net, for one image.

    Attributes
    ----------
    name : str
        Its number and kind.
    outputs : tuple of int
        The shape of what it gives, after a pooling.
    weights, bits : int
        Weights of a few bits, and the bits of each: those of its code in the file.
    thresholds, directions, floats : int
        int32 thresholds; direction bits; float32 numbers, that is weights, biases, gammas, betas,
        means and scales.  Of a model, the latent float32 weights count once, as `weights`.
    n_bytes : int
        Of a frozen net: what the layer has in its file.  Of a model: of its state in memory,
        latent weights included, without the moments of an optimizer.
    file_bytes : int or None
        What it will have in the frozen net's file, if the model can be frozen.
    precision : str or None
        Of the multiply-accumulates: bits of an activation x of a weight as "2x1", or "float32".
    macs : int
        Multiply-accumulates, also of taps beyond the border of the image.
    planes : int
        Products of ±1 that are added for one of numbers: planes of activations x of weights.
    words : int
        XORs of 64 bits that they take, padding and all planes included.
    read, read_bits, written, written_bits : int
        Numbers that the layer reads, and those that the norm and the activation behind it
        write, and the bits of each, if it multiplies.
    units : int
        Pre-activations, before a pooling, if it multiplies.
    comparisons : int
        With thresholds: of signs before a max-pooling; of more bits after it, `2^k - 1` for each.
    multiplications, shifts : int
        By scales of a norm that is computed, not compared with thresholds: by powers of two
        (shifts), and by other numbers.

    Examples
    --------
    >>> LayerRow("0 Linear", (10,), floats=7850, n_bytes=31400, precision="float32", macs=7840).macs
    7840
    """

    name: str
    outputs: tuple
    weights: int = 0
    bits: int = 0
    thresholds: int = 0
    directions: int = 0
    floats: int = 0
    n_bytes: int = 0
    file_bytes: int | None = None
    precision: str | None = None
    macs: int = 0
    planes: int = 0
    words: int = 0
    read: int = 0
    read_bits: int = 0
    written: int = 0
    written_bits: int = 0
    units: int = 0
    comparisons: int = 0
    multiplications: int = 0
    shifts: int = 0

    @property
    def one_bit(self):
        """The weights, if they are of one bit."""
        return self.weights if self.bits == 1 else 0

    def as_dict(self):
        """The row, for JSON."""
        fields = {**dataclasses.asdict(self), "outputs": list(self.outputs)}
        return {**fields, "one_bit": self.one_bit}


def what_enters(net):
    """What each layer of a frozen net takes: "pixels", the Levels of numbers, or None for signs."""
    found = []

    def through(i, enters):
        found.append(enters)
        return getattr(net.layers[i], "levels", None)

    pixels = "pixels" if net.input == "pixels" else None
    follow(net.plan, pixels, through, lambda enters, _: enters, lambda parts: parts[0])
    return found


def frozen_rows(net, arrays):
    """The rows of the layers of a frozen net, and of what else its file has."""
    parts = zip(net.layers, net.shapes, what_enters(net), strict=True)
    for i, (layer, (inputs, shape), entered) in enumerate(parts):
        m, pixels = layer.bits.shape[0], 1
        if isinstance(layer, FrozenConv):
            pixels = math.prod(layer.window.output(*inputs[:2]))
        elif layer.bits.ndim == 4:  # the 1x1 filters of a last average
            pixels = math.prod(inputs[:2])
        enters = PIXELS if entered == "pixels" else _numbers(entered)
        row = LayerRow(
            f"{i} {_frozen_name(layer)}",
            shape,
            n_bytes=sum(a.nbytes for name, a in arrays.items() if name.startswith(f"{i}.")),
            **_products(layer.bits.shape, pixels, enters, _numbers(layer.weight_levels)),
            read=math.prod(inputs),
            read_bits=enters.bits,
            written=math.prod(shape),
        )
        if isinstance(layer, FrozenOutput):
            scaled = _scaled(layer.scale, 1)
            yield dataclasses.replace(row, floats=3 * m, written_bits=32, **scaled)
            continue
        averages = getattr(layer, "pooling", None) == "average"
        yield dataclasses.replace(
            row,
            thresholds=layer.thresholds.size,
            directions=m,
            written_bits=_numbers(layer.levels).bits,
            comparisons=_comparisons(row.units, shape, layer.levels, averages),
        )
    yield from _other_rows(arrays)


def _other_rows(arrays):
    """A row for each other part of a frozen net's file, as its preparation."""
    parts = {}
    for name, array in arrays.items():
        if not name.partition(".")[0].isdigit():
            parts.setdefault(name.partition(".")[0], []).append(array)
    for part, own in parts.items():
        floats = sum(array.size for array in own if array.dtype.kind == "f")
        yield LayerRow(part, (), floats=floats, n_bytes=sum(array.nbytes for array in own))


def _frozen_name(layer):
    """The kind and sizes of a frozen layer."""
    m, *taps, n = layer.bits.shape
    groups = getattr(layer, "groups", 1)
    sizes = [str(n * groups), str(m), *(["x".join(map(str, taps))] if taps else [])]
    sizes += [f"groups={groups}"] if groups > 1 else []
    pool = getattr(layer, "pool", None)
    sizes += ["pooled " + "x".join(map(str, pool.size))] if pool else []
    return f"{type(layer).__name__}({', '.join(sizes)})"


def _numbers(levels):
    """The bits and planes of numbers with these Levels, None for signs."""
    return SIGNS if levels is None else Numbers(levels.bits, len(levels.coefficients))


def _products(shape, pixels, enters, weights):
    """The products with weights (M, ..., N) at some output pixels of an image."""
    m, row = shape[0], math.prod(shape[1:])
    words = math.prod(shape[1:-1]) * words_for(shape[-1])
    words = words_for(row) if enters is PIXELS else words  # which are packed as they are cut out
    planes = enters.planes * weights.planes
    return {
        "weights": m * row,
        "bits": weights.bits,
        "precision": f"{enters.bits}x{weights.bits}",
        "macs": pixels * m * row,
        "planes": planes,
        "words": pixels * m * planes * words,
        "units": pixels * m,
    }


def _comparisons(units, shape, levels, averages):
    """With the thresholds of all units; `levels` is None for signs."""
    steps = 1 if levels is None else len(levels) - 1
    return units if levels is None and not averages else math.prod(shape) * steps


def _scaled(scale, pixels):
    """The multiplications and shifts by the scales of a norm at some output pixels."""
    fraction, _ = np.frexp(to_cpu(scale))
    powers = int(np.count_nonzero((abs(fraction) == 0.5) | (fraction == 0)))
    return {"multiplications": pixels * (len(scale) - powers), "shifts": pixels * powers}


def model_rows(net, shape, arrays):
    """The rows of a model, from one image that runs through it; `arrays` are of its file."""
    walk = _Walk(arrays)
    with evaluating(net):
        walk.through(net, _blank(net, shape), "")
    return [
        *walk.rows,
        *(
            dataclasses.replace(row, n_bytes=0, file_bytes=row.n_bytes, floats=0)
            for row in _other_rows(arrays)
        ),
    ]


class _Walk:
    """An image on its way through a model, and the rows of the layers that it has passed."""

    def __init__(self, arrays):
        self.arrays, self.rows = arrays, []
        self.count = -1  # the number of the quantized layer, as in the file
        self.enters = PIXELS  # what the next layer multiplies; PIXELS itself is pixels alone
        self.open = None  # the number of the last row that multiplies, if it is on this way
        self.averages = False  # whether an average stands behind it

    def through(self, layer, x, name):
        """What a layer makes of x."""
        if isinstance(layer, Sequential):
            for i, inner in enumerate(_without_dropout(layer)):
                x = self.through(inner, x, f"{name}.{i}" if name else str(i))
            if isinstance(layer, WithHeads):
                self.rows += [
                    LayerRow(f"head behind {i}, in training", (), n_bytes=_n_bytes(head))
                    for i, head in layer.heads.items()
                ]
            return x
        if isinstance(layer, Branches):
            enters, parts = self.enters, []
            for i, branch in enumerate(layer.branches):
                self.enters, self.open = enters, None
                parts.append(self.through(branch, x, f"{name}.{i}"))
            self.open = None
            return functional.concatenate(*parts)
        multiplies = isinstance(layer, (*QUANTIZED, *FLOATS))
        inside = any(isinstance(own, (*QUANTIZED, *FLOATS)) for own in layer.modules())
        if inside and not multiplies:
            raise InputError(
                f"summarize: {layer!r:.80} has layers inside, whose products could not be told "
                "apart; put them into a Sequential, or a Branches"
            )
        before, x = x, layer(x)
        self.count += isinstance(layer, QUANTIZED)
        self.rows.append(self._row(layer, name, math.prod(before.shape[1:]), x.shape[1:]))
        if multiplies:
            self.open, self.averages = len(self.rows) - 1, False
        else:
            self._follow(layer, x)
        return x

    def _row(self, layer, name, read, outputs):
        """The row of a layer, without what stands behind it."""
        state = layer.state_dict().values()
        floats = sum(array.size for array in state if array.dtype == np.float32)
        row = LayerRow(
            f"{name} {_name(layer):.40}",
            outputs,
            floats=floats,
            n_bytes=_n_bytes(layer),
            file_bytes=self._in_file(layer),
        )
        written = {"read": read, "written": math.prod(outputs), "written_bits": 32}
        if isinstance(layer, QUANTIZED):
            weights, pixels = _numbers(layer.quantizer.levels), math.prod(outputs[:-1])
            own = _products(layer.weight.shape, pixels, self.enters, weights)
            return dataclasses.replace(row, **own, **written, floats=0, read_bits=self.enters.bits)
        if isinstance(layer, FLOATS):
            macs = math.prod(outputs[:-1]) * layer.weight.data.size
            return dataclasses.replace(
                row,
                precision="float32",
                macs=macs,
                units=math.prod(outputs),
                read_bits=32,
                **written,
            )
        return row

    def _follow(self, layer, x):
        """Note in the row of the last layer that multiplies what one behind it does."""
        if self.open is None:
            if isinstance(layer, (Sign, Quantize)):
                self.enters = _numbers(_levels(layer))
            return
        row, own = self.rows[self.open], {"written": math.prod(x.shape[1:])}
        self.averages |= isinstance(layer, AvgPool2d)
        if isinstance(layer, BatchNorm) and row.weights:
            own |= _scaled(layer.affine()[1], math.prod(x.shape[1:-1]))
        if isinstance(layer, (Sign, Quantize)):
            self.enters = _numbers(_levels(layer))
            own["written_bits"] = self.enters.bits
            if row.weights:
                compared = _comparisons(row.units, x.shape[1:], _levels(layer), self.averages)
                own |= {"comparisons": compared, "multiplications": 0, "shifts": 0}
        self.rows[self.open] = dataclasses.replace(row, **own)

    def _in_file(self, layer):
        """The bytes that a layer will have in the frozen file."""
        if not self.arrays:
            return None
        parts = ()
        if isinstance(layer, QUANTIZED):
            parts = ("bits",)
        elif isinstance(layer, BatchNorm):
            parts = ("thresholds", "rising", "mean", "scale", "shift")
        names = (f"{self.count}.{part}" for part in parts)
        return sum(self.arrays[name].nbytes for name in names if name in self.arrays)


def _name(layer):
    """A layer's repr, with the short name of its quantizer."""
    quantizer = getattr(layer, "quantizer", None)
    return (
        repr(layer) if quantizer is None else repr(layer).replace(repr(quantizer), quantizer.name)
    )


def _levels(layer):
    """What an activation's codes stand for, or None for signs."""
    levels = None if isinstance(layer, Sign) else layer.quantizer.levels
    return None if levels is None or levels.is_sign else levels


def _n_bytes(layer):
    """The bytes of a layer's state."""
    return sum(array.nbytes for array in layer.state_dict().values())


def _without_dropout(net):
    """The layers of a Sequential that are there in evaluation."""
    return [layer for layer in net.layers if not isinstance(layer, Dropout)]


def first_layer(net):
    """The layer that the images meet first, if there is one."""
    while isinstance(net, (Sequential, Branches)):
        inner = net.branches if isinstance(net, Branches) else _without_dropout(net)
        if not inner:
            return None
        net = inner[0]
    return net


def input_shape(net, image):
    """The shape of an image of a model."""
    kinds = (*QUANTIZED, *FLOATS, BatchNorm, Flatten)
    first = next((layer for layer in net.modules() if isinstance(layer, kinds)), None)
    if image is None:
        if not isinstance(first, (QuantLinear, Linear)):
            raise InputError(
                "summarize: the model does not begin with a linear layer; give image=(rows, "
                "columns, channels)"
            )
        return (first.inputs,)
    whole = isinstance(image, (tuple, list)) and image
    if not whole or not all(isinstance(n, (int, np.integer)) and n > 0 for n in image):
        raise InputError(
            f"summarize: image is {image!r}; expected sizes of 1 or more, as (H, W, C)"
        )
    if math.prod(map(int, image)) > MAX_FEATURES:
        raise InputError(f"summarize: image is {image!r}; expected at most {MAX_FEATURES} numbers")
    if isinstance(first, (QuantLinear, Linear)):
        image = (math.prod(image),)
    return tuple(map(int, image))


def _blank(net, shape):
    """One image of zeros, of the type that the first layer takes."""
    pixels = isinstance(first_layer(net), QUANTIZED)
    return np.zeros((1, *shape), np.uint8 if pixels else np.float32)
