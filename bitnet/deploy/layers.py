"""The layers of a frozen net: products of bits as integers, then comparisons with thresholds."""

import dataclasses
import functools
import math
import operator

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module, is_array
from bitnet.deploy.file import check_names, whole
from bitnet.deploy.plan import window_from
from bitnet.errors import InputError, check_choice
from bitnet.kernels import BitPlanes, Bits, Codebook, Thresholds, Window

PIXEL, POOLINGS = Window((1, 1)), ("max", "average")
MAX_INPUTS = (1 << 31) // 256  # per unit: a pixel adds up to 255 to an int32 sum
FLOATS = ("mean", "scale", "shift")
ARRAYS = ("bits", "thresholds", "increasing", *FLOATS)
LEVELS = ("patterns", "coefficients", "unit", "offset")


def codebook_from(given):
    """Return the Codebook in a header."""
    check_names("the header of a codebook", given, LEVELS)
    patterns, coefficients, unit, offset = (given[key] for key in LEVELS)
    lists = isinstance(patterns, list) and isinstance(coefficients, list)
    numbers = [*patterns, *coefficients, offset] if lists else [None]
    fits = all(type(n) is int and abs(n) < 1 << 31 for n in numbers)
    fits = fits and min(patterns, default=0) >= 0 and isinstance(unit, float)
    if not fits or not math.isfinite(unit):
        raise InputError(
            f"the header has the codebook {given!r:.60}; expected whole numbers and a finite unit"
        )
    return Codebook(patterns, coefficients, unit, offset)


READ = {"codebook": codebook_from, "weight_codebook": codebook_from}
READ |= {"window": window_from, "pool": window_from, "groups": whole, "pooling": str}


def _weights_from(rows, n, codebook):
    """Return weights as Bits or BitPlanes from the bytes of their signs or code planes."""
    bits = Bits.from_bytes(rows, n)
    if codebook is None:
        return bits
    if bits.ndim < 3 or bits.shape[0] != codebook.bits:
        raise InputError(f"weights of shape {bits.shape}; expected {codebook.bits} planes")
    codes = Codebook.uniform(codebook.bits)
    return codebook.planes(codes.codes(BitPlanes(bits, codes.coefficients)))


class _Weighted:
    """The base of frozen layers: prepared weights, and the header and arrays for the file."""

    @functools.cached_property
    def weight(self):
        """The weights, prepared once for the products."""
        return kernels.prepare(self.bits)

    def contents(self):
        """Return the header of the layer in a file, and its arrays by name."""
        bits, codebook = self.bits, self.weight_codebook
        if codebook is not None:
            bits = Codebook.uniform(codebook.bits).planes(codebook.codes(bits)).bits
        header = {"kind": type(self).__name__, "inputs": bits.shape[-1]}
        arrays = {"bits": bits.to_bytes()}
        for field in dataclasses.fields(self)[1:]:
            name, value = field.name, getattr(self, field.name)
            if name == "increasing":
                arrays[name] = kernels.pack(value).to_bytes()
            elif name in ARRAYS:
                arrays[name] = value.astype(value.dtype.newbyteorder("<"), copy=False)
            elif isinstance(value, Codebook):
                parts = value.patterns.tolist(), list(value.coefficients), value.unit, value.offset
                header[name] = dict(zip(LEVELS, parts, strict=True))
            elif isinstance(value, Window):
                header[name] = dataclasses.asdict(value)
            elif value != field.default:
                header[name] = value
        return header, arrays

    @classmethod
    def from_contents(cls, header, arrays):
        """Return the layer in a file; `check_layer` checks it against its inputs."""
        fields = {field.name: field.default for field in dataclasses.fields(cls)}
        needed = {name for name, default in fields.items() if default is dataclasses.MISSING}
        entries = ["kind", "inputs", *needed.difference(ARRAYS)]
        check_names("the header of a layer", header, entries, fields.keys() - needed)
        check_names("the file of a layer", arrays, needed.intersection(ARRAYS))
        own = {name: READ[name](value) for name, value in header.items() if name in READ}
        weights = arrays["bits"], whole(header["inputs"]), own.get("weight_codebook")
        own = arrays | own | {"bits": _weights_from(*weights)}
        if "increasing" in own:
            own["increasing"] = Bits.from_bytes(own["increasing"], own["bits"].shape[0]).signs() > 0
        return cls(**own)


class _Hidden(_Weighted):
    """The base of hidden layers: thresholds, and the outputs they produce."""

    @functools.cached_property
    def steps(self):
        """The thresholds in the form that the kernels take."""
        return Thresholds(self.thresholds, self.increasing)

    def outputs(self, z):
        """Return Bits, or BitPlanes of k bits, for integer pre-activations (..., M)."""
        if self.codebook is None:
            return kernels.threshold(z, self.steps)
        return self.codebook.planes(kernels.rank(z, self.steps))

    def is_binary(self, x):
        """Return whether inputs, weights and outputs are ±1, so that fused kernels apply."""
        return self.codebook is None and isinstance(x, Bits) and isinstance(self.bits, Bits)


@dataclasses.dataclass(frozen=True)
class FrozenLayer(_Hidden):
    """A frozen linear layer: XNOR products, then `2^k - 1` integer comparisons per unit."""

    bits: Bits | BitPlanes  # the weights, (M, N)
    thresholds: np.ndarray  # int32 (M,), or (M, L) for outputs of L + 1 codes
    increasing: np.ndarray  # booleans (M,): passed where z >= threshold, or where z <= threshold
    codebook: Codebook | None = None  # the values of the output codes; None for ±1
    weight_codebook: Codebook | None = None  # the values of the codes of the weights

    def __repr__(self):
        return f"FrozenLayer({self.bits!r}{_outputs(self)})"

    def integers(self, x):
        """Return the pre-activations, int32 (B, M), of pixels, Bits or BitPlanes of N values."""
        return product(x, self.weight)

    def run(self, x):
        """Return `outputs(integers(x))`, by a fused kernel if all values are ±1."""
        if not self.is_binary(x):
            return self.outputs(self.integers(x))
        return kernels.xnor_sign(kernels.flatten(x), self.weight, self.steps)


@dataclasses.dataclass(frozen=True)
class FrozenConv(_Hidden):
    """A frozen convolution: XNOR products, optional pooling, then comparisons per channel.

    Max-pooling of signs is OR of bits in an increasing channel (the largest integer passes the
    threshold if any does) and AND in a decreasing one.
    """

    bits: Bits | BitPlanes  # the filters, (M, rows, columns, C / groups)
    thresholds: np.ndarray
    increasing: np.ndarray
    window: Window  # the taps of the convolution
    pool: Window | None = None  # the window of the pooling after it
    groups: int = 1
    codebook: Codebook | None = None
    weight_codebook: Codebook | None = None
    pooling: str = "max"  # or "average", which adds up the integers

    def __repr__(self):
        pooled = f", pooled {self.pool.size[0]}x{self.pool.size[1]}" if self.pool else ""
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return f"FrozenConv({self.bits!r}{groups}{pooled}{_outputs(self)})"

    def integers(self, x):
        """Return the pre-activations, int32 (B, H', W', M), of inputs (B, H, W, C)."""
        return kernels.plane_conv(x, self.weight, self.window, self.groups)

    def outputs(self, z):
        """Return pooled Bits or BitPlanes (B, H'', W'', M) for integer pre-activations."""
        if self.pool and self.pooling == "average":
            z = sums(z, self.pool)
        elif self.pool:
            z, _ = kernels.max_pool(z, self.pool)
        return super().outputs(z)

    def run(self, x):
        """Return `outputs(integers(x))`, by a fused kernel if all values are ±1."""
        if not self.is_binary(x) or (self.pool and self.pooling == "average"):
            return self.outputs(self.integers(x))
        y = kernels.xnor_conv_sign(x, self.weight, self.window, self.steps, self.groups)
        return self._pooled(y) if self.pool else y

    def _pooled(self, y):
        """Return the OR over each window in increasing channels, the AND in decreasing ones."""
        falling = kernels.pack(~self.increasing).words  # a AND b = NOT (NOT a OR NOT b)
        words = y.words ^ falling
        if any(map(any, self.pool.padding)):
            words = array_module(words).pad(words, ((0, 0), *self.pool.padding, (0, 0)))
        words = functools.reduce(operator.or_, self.pool.seen(words)) ^ falling
        return Bits(words, (*words.shape[:3], y.shape[3]))


@dataclasses.dataclass(frozen=True)
class FrozenOutput(_Weighted):
    """The last layer: XNOR products, then batch norm as `(z - mean) * scale + shift`.

    With 1x1 filters it adds up the products of all pixels, which is the global average pooling
    of a net without linear layers.
    """

    bits: Bits | BitPlanes  # the weights, (C, N), or (C, 1, 1, N) for images
    mean: np.ndarray  # float32 (C,)
    scale: np.ndarray
    shift: np.ndarray
    weight_codebook: Codebook | None = None
    pool: Window | None = None  # the whole image, for 1x1 filters

    def __repr__(self):
        return f"FrozenOutput({self.bits!r})"

    def integers(self, x):
        """Return the pre-activations, int32 (B, C), of pixels, Bits or BitPlanes of N values.

        With 1x1 filters they have the shape (B, H, W, C) and are not added up yet.
        """
        return kernels.plane_conv(x, self.weight, PIXEL) if self.pool else product(x, self.weight)

    def outputs(self, z):
        """Return the scores, float32 (B, C), for pre-activations, int32 (B, ...)."""
        if self.pool:
            z = sums(z, self.pool)[:, 0, 0]
        return (z.astype(np.float32) - self.mean) * self.scale + self.shift


KINDS = {kind.__name__: kind for kind in (FrozenConv, FrozenLayer, FrozenOutput)}


def layer_from(i, header, arrays):
    """Return layer i from its header and arrays in a file."""
    kind = header.get("kind") if isinstance(header, dict) else None
    check_choice(f"layer {i}", KINDS, kind=kind)
    try:
        return KINDS[kind].from_contents(header, arrays)
    except InputError as error:
        raise InputError(f"layer {i} ({kind}): {error}") from None


def product(x, weight):
    """Return the product of pixels (B, N), Bits or BitPlanes, flattened to rows, with weights."""
    return kernels.plane_gemm(x if is_array(x) else kernels.flatten(x), weight)


def sums(z, window):
    """Return the sum of the integers in each window: (B, H, W, C) to (B, H', W', C)."""
    views = window.views(z)
    return sum(views[:, :, :, i, j] for i, j in np.ndindex(*window.size))


def _outputs(layer):
    """Return the bits of the outputs, for a repr."""
    return f", {layer.codebook.bits}-bit outputs" if layer.codebook else ""


def check_layer(i, layer, shape):
    """Return the shape of a layer's outputs for inputs of a shape; refuse what does not fit."""
    try:
        return _shape_after(layer, shape)
    except InputError as error:
        raise InputError(f"layer {i} ({type(layer).__name__}): {error}") from None


def _shape_after(layer, shape):
    """Return the shape of a layer's outputs for inputs of a shape; check all of its arrays."""
    is_conv, wanted = isinstance(layer, FrozenConv), layer.bits.shape
    averages = isinstance(layer, FrozenOutput) and layer.pool is not None
    m, n, inputs = wanted[0], wanted[-1], math.prod(shape)
    if is_conv or averages:
        inputs = kernels.check_groups("filters", shape[-1], m, getattr(layer, "groups", 1))
    taps = ("rows", "columns") if is_conv else (1, 1) if averages else ()
    expected = ("M", *taps, inputs)
    if len(wanted) != len(expected) or min(wanted) < 1 or n != expected[-1]:
        sizes = ", ".join(map(str, expected))
        raise InputError(f"weights of shape {wanted}; expected ({sizes}) with sizes of 1 or more")
    _check_arrays(layer, m)
    if (reach := math.prod(wanted[1:])) > MAX_INPUTS:
        raise InputError(f"its units have {reach} inputs each; expected at most {MAX_INPUTS}")
    if averages and (layer.pool.size != shape[:2] or any(map(any, layer.pool.padding))):
        raise InputError(f"{layer.pool!r} averages images of {shape[:2]}; expected all pixels")
    if not is_conv:
        return (m,)
    check_choice(None, POOLINGS, pooling=layer.pooling)
    if wanted[1:3] != tuple(layer.window.size):
        expected = f"filters with the taps of {layer.window!r}"
        raise InputError(f"weights of shape {wanted}; expected {expected}")
    for window in (layer.window, layer.pool):
        if window and max(n for pair in window.padding for n in pair) >= max(window.size):
            raise InputError(f"got {window!r}; expected a padding smaller than the window")
    size = layer.window.output(*shape[:2])
    return (*(layer.pool.output(*size) if layer.pool else size), m)


def _check_arrays(layer, m):
    """Refuse arrays of M units with a wrong shape or type, infinite, or not in order."""
    codebook = getattr(layer, "codebook", None)
    types = {"thresholds": np.int32, "increasing": np.bool_} | dict.fromkeys(FLOATS, np.float32)
    for name in types.keys() & vars(layer).keys():
        array, dtype = getattr(layer, name), np.dtype(types[name])
        fitting = (m, len(codebook) - 1) if name == "thresholds" and codebook is not None else (m,)
        if array.shape != fitting or array.dtype != dtype:
            came = f"{array.dtype} of shape {array.shape}"
            raise InputError(f"{name} is {came}; expected {dtype} of shape {fitting}")
        if not np.isfinite(array).all():
            raise InputError(f"{name} holds NaN or infinity; expected finite numbers")
    if codebook is not None:  # the thresholds of an increasing unit increase along its row
        steps = np.diff(layer.thresholds.astype(np.int64), axis=1)
        if not np.where(layer.increasing[:, None], steps >= 0, steps <= 0).all():
            raise InputError("thresholds are not in order; expected each row sorted")
