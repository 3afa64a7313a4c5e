"""Summary: a table of a net's layers, with weights by their bits, bytes and products."""

import dataclasses
import math

import numpy as np

from bitnet.activations import Sign
from bitnet.archive import archive_bytes
from bitnet.deploy.file import KIND, VERSION, contents
from bitnet.deploy.freeze import freeze
from bitnet.deploy.runtime import FrozenConv, FrozenNet, FrozenOutput
from bitnet.errors import InputError
from bitnet.image_layers import BinaryConv2d, Conv2d, Flatten
from bitnet.kernels import Bits, Planes, words_for
from bitnet.layers import BatchNorm, BinaryLinear, Dropout, Linear
from bitnet.module import Sequential, evaluating
from bitnet.table import aligned, count

__all__ = ["PRECISIONS", "LayerRow", "Summary", "summarize"]

PRECISIONS = ("1x1", "8x1", "float32")  # bits of an activation x of a weight
BINARY, FLOATS = (BinaryLinear, BinaryConv2d), (Linear, Conv2d)
MAX_FEATURES = 1 << 28  # numbers an image may have


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """A layer of a net, for one image.

    Attributes
    ----------
    name : str
        Its number and kind.
    outputs : tuple of int
        The shape of what it gives, after a pooling.
    one_bit, thresholds, directions, floats : int
        Weights of one bit; int32 thresholds; direction bits; float32 numbers, that is weights,
        biases, gammas, betas, means and scales.  Of a model, the latent float32 weights count
        once, as weights of one bit.
    n_bytes : int
        Of a frozen net: what the layer has in its file.  Of a model: of its state in memory,
        latent weights included, without the moments of an optimizer.
    file_bytes : int or None
        What it will have in the frozen net's file, if the model can be frozen.
    precision : str or None
        Of the multiply-accumulates, one of `PRECISIONS`.
    macs : int
        Multiply-accumulates, also of taps beyond the border of the image.
    words : int
        XORs of 64 bits that they take, padding and the eight planes of pixels included.
    read, read_bits : int
        Numbers that the layer reads, and the bits of each, if it multiplies.
    units : int
        Pre-activations that it compares or normalizes, before a pooling, if it multiplies.

    Examples
    --------
    >>> LayerRow("0 Linear", (10,), floats=7850, n_bytes=31400, precision="float32", macs=7840).macs
    7840
    """

    name: str
    outputs: tuple
    one_bit: int = 0
    thresholds: int = 0
    directions: int = 0
    floats: int = 0
    n_bytes: int = 0
    file_bytes: int | None = None
    precision: str | None = None
    macs: int = 0
    words: int = 0
    read: int = 0
    read_bits: int = 0
    units: int = 0


@dataclasses.dataclass(frozen=True)
class Summary:
    """A table of a net's layers; `str` aligns it.

    Attributes
    ----------
    name : str
        The net.
    is_frozen : bool
        Whether it is a FrozenNet.
    input : tuple of int
        The shape of an image.
    rows : tuple of LayerRow
        The layers.
    file_bytes : int or None
        The bytes of the frozen net's file, all included.
    reason : str
        Why there is no such file, if there is none.

    Examples
    --------
    >>> from bitnet.models import binary_mlp
    >>> table = summarize(binary_mlp([784, 512, 10], np.random.default_rng(0)))
    >>> table.one_bit, table.macs["8x1"], table.rows[0].file_bytes
    (406528, 401408, 50176)
    """

    name: str
    is_frozen: bool
    input: tuple
    rows: tuple
    file_bytes: int | None
    reason: str = ""

    def total(self, field):
        """The sum of a field of the rows."""
        return sum(getattr(row, field) or 0 for row in self.rows)

    @property
    def one_bit(self):
        """The weights of one bit."""
        return self.total("one_bit")

    @property
    def overhead(self):
        """The bytes of the frozen net's file that are in no layer: zip, names, header, digest."""
        if self.file_bytes is None:
            return None
        return self.file_bytes - self.total("n_bytes" if self.is_frozen else "file_bytes")

    @property
    def macs(self):
        """The multiply-accumulates for one image by precision, a dict."""
        return {p: sum(row.macs for row in self.rows if row.precision == p) for p in PRECISIONS}

    def as_dict(self):
        """The table, for JSON."""
        fields = ("one_bit", "thresholds", "directions", "floats", "n_bytes")
        return {
            "net": self.name,
            "frozen": self.is_frozen,
            "input": list(self.input),
            "layers": [{**dataclasses.asdict(row), "outputs": list(row.outputs)}
                       for row in self.rows],
            "totals": {**{name: self.total(name) for name in fields}, "macs": self.macs},
            "file_bytes": self.file_bytes,
            "overhead_bytes": self.overhead,
        }  # fmt: skip

    def __str__(self):
        columns = self._columns()
        rows = [("layer", "output", *columns)]
        rows += [(row.name, "x".join(map(str, row.outputs)) or "-", *self._cells(row, columns))
                 for row in self.rows]  # fmt: skip
        if self.file_bytes is not None:
            where = "bytes" if self.is_frozen else "file bytes"
            cells = (count(self.overhead) if c == where else "-" for c in columns)
            rows.append(("zip, names and header", "-", *cells))
        rows.append(("total", "-", *(self._total(name) for name in columns)))
        head = f"{self.name:.200}, input {'x'.join(map(str, self.input))}"
        return "\n".join([head, *aligned(rows), *self._notes()])

    def _columns(self):
        """The titles behind layer and output; products only of a precision that occurs."""
        columns = ["1-bit"]
        columns += ["int32", "directions"] if self.is_frozen else []
        columns += ["float32", "bytes"]
        columns += ["file bytes"] if not self.is_frozen and self.file_bytes is not None else []
        return columns + [f"{p} MACs" for p in PRECISIONS if self.macs[p]]

    def _cells(self, row, columns):
        """The numbers of a layer below the titles."""
        cells = {"1-bit": row.one_bit, "int32": row.thresholds, "directions": row.directions}
        cells |= {"float32": row.floats, "bytes": row.n_bytes, "file bytes": row.file_bytes}
        cells[f"{row.precision} MACs"] = row.macs
        return (count(cells.get(name, 0)) for name in columns)

    def _total(self, name):
        """The number below a column."""
        if name == "file bytes" or (self.is_frozen and name == "bytes"):
            return count(self.file_bytes)
        if name.endswith(" MACs"):
            return count(self.macs[name.removesuffix(" MACs")])
        fields = {"1-bit": "one_bit", "int32": "thresholds", "directions": "directions"}
        return count(self.total({**fields, "float32": "floats", "bytes": "n_bytes"}[name]))

    def _notes(self):
        """The lines below the table."""
        yield "MACs: multiply-accumulates for one image, taps beyond its border included, by the"
        yield "bits of activation x weight (8x1: pixels)"
        if self.is_frozen:
            yield "int32: thresholds; directions: one bit each; bytes: of the file, all of it"
            return
        yield "bytes: in memory, with float32 latent weights, without the moments of an optimizer"
        if self.file_bytes is None:
            yield f"no frozen file: {self.reason}"


def summarize(net, image=None, frozen=None):
    """Count what a net has, needs and does, layer by layer.

    Parameters
    ----------
    net : Sequential or FrozenNet
        A model, binary or in float, or a frozen net.
    image : tuple of int, optional
        The shape of an image, (H, W, C) or (N,); needed for a model that begins with a
        convolution.  A frozen net knows it.
    frozen : FrozenNet, optional
        What the model was frozen to, with the classes and the preparation that its file holds;
        by default the model is frozen here, and the file holds nothing else.

    Returns
    -------
    Summary
        The table.  For a frozen net, the bytes of the rows and the overhead add up to the bytes
        that `net.save` writes; for a model that can be frozen, so do the `file_bytes`.

    Raises
    ------
    InputError
        If it is no such net, or the image does not fit.

    Examples
    --------
    >>> import bitnet
    >>> net = bitnet.freeze(bitnet.models.binary_mlp([784, 64, 10], np.random.default_rng(0)))
    >>> table = summarize(net)
    >>> table.rows[0].name, table.rows[0].n_bytes, table.file_bytes == table.overhead + 6536 + 200
    ('0 FrozenLayer(784, 64)', 6536, True)
    """
    if isinstance(net, FrozenNet):
        header, arrays = contents(net)
        rows = (*_frozen_rows(net, arrays), *_other_rows(arrays))
        n_bytes = archive_bytes(KIND, VERSION, header, arrays)
        return Summary(repr(net), True, net.shape, rows, n_bytes)
    if not isinstance(net, Sequential):
        raise InputError(
            f"summarize: got {type(net).__name__}; expected a Sequential or a FrozenNet"
        )
    layers = [layer for layer in net.layers if not isinstance(layer, Dropout)]
    for layer in layers:
        inside = [own for own in layer.modules() if isinstance(own, (*BINARY, *FLOATS))]
        if inside and inside != [layer]:
            raise InputError(
                f"summarize: {layer!r:.80} has layers inside, whose products could not be told "
                "apart; put them into the Sequential itself"
            )
    shape = _input_shape(layers, image)
    reason = ""
    try:
        takes = "signs" if layers and isinstance(layers[0], Sign) else "pixels"
        frozen = frozen or freeze(net, takes, shape[:2] if len(shape) == 3 else None)
    except InputError as error:
        reason = str(error).removeprefix("freeze: ")
    header, arrays = ({}, {}) if frozen is None else contents(frozen)
    n_bytes = None if frozen is None else archive_bytes(KIND, VERSION, header, arrays)
    rows = [*_model_rows(net, layers, shape, arrays)]
    rows += [dataclasses.replace(row, n_bytes=0, file_bytes=row.n_bytes, floats=0)
             for row in _other_rows(arrays)]  # fmt: skip
    name = f"{type(net).__name__} of {len(net.layers)} layers"
    return Summary(name, False, shape, tuple(rows), n_bytes, reason)


def _frozen_rows(net, arrays):
    """The rows of the layers of a frozen net."""
    for i, (layer, (inputs, shape)) in enumerate(zip(net.layers, net.shapes, strict=True)):
        bits, pixels = layer.bits, 1
        if isinstance(layer, FrozenConv):
            pixels = math.prod(layer.window.output(*inputs[:2]))
        elif len(bits.shape) == 4:  # the 1x1 filters of a last average
            pixels = math.prod(inputs[:2])
        of_pixels = i == 0 and net.input == "pixels"
        last = isinstance(layer, FrozenOutput)
        m = bits.shape[0]
        yield LayerRow(
            f"{i} {_frozen_name(layer)}", shape, bits.size,
            *((0, 0, 3 * m) if last else (m, m, 0)),
            sum(array.nbytes for name, array in arrays.items() if name.startswith(f"{i}.")),
            **_products(bits, pixels, "8x1" if of_pixels else "1x1"),
            read=math.prod(inputs), read_bits=8 if of_pixels else 1,
        )  # fmt: skip


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


def _products(bits, pixels, precision):
    """The multiply-accumulates of ±1 weights (M, ..., N) at some output pixels of an image."""
    row = math.prod(bits.shape[1:])
    words = math.prod(bits.shape[1:-1]) * words_for(bits.shape[-1])
    words = 8 * words_for(row) if precision == "8x1" else words
    m = bits.shape[0]
    return {"precision": precision, "macs": pixels * bits.size, "words": pixels * m * words,
            "units": pixels * m}  # fmt: skip


def _model_rows(net, layers, shape, arrays):
    """The rows of a model, from one image that runs through it."""
    x = _blank(layers, shape)
    group = -1  # the number of the binary layer, as in the file
    with evaluating(net):
        for i, layer in enumerate(layers):
            if isinstance(layer, BINARY):
                group += 1
            before, x = x, layer(x)
            state = layer.state_dict()
            row = LayerRow(
                f"{i} {layer!r:.40}", x.shape[1:],
                n_bytes=sum(array.nbytes for array in state.values()),
                floats=sum(array.size for array in state.values() if array.dtype == np.float32),
                file_bytes=_in_file(layer, group, arrays),
            )  # fmt: skip
            if isinstance(layer, BINARY):
                pixels = math.prod(x.shape[1:-1])
                of_pixels = not isinstance(getattr(before, "data", before), (Bits, Planes))
                row = dataclasses.replace(
                    row, one_bit=layer.bits.size, floats=0,
                    **_products(layer.bits, pixels, "8x1" if of_pixels else "1x1"),
                    read=math.prod(before.shape[1:]), read_bits=8 if of_pixels else 1,
                )  # fmt: skip
            elif isinstance(layer, FLOATS):
                macs = math.prod(x.shape[1:-1]) * layer.weight.data.size
                row = dataclasses.replace(
                    row, precision="float32", macs=macs, units=math.prod(x.shape[1:]),
                    read=math.prod(before.shape[1:]), read_bits=32,
                )  # fmt: skip
            yield row


def _in_file(layer, group, arrays):
    """The bytes that a layer of a model will have in the frozen file."""
    if not arrays:
        return None
    parts = ()
    if isinstance(layer, BINARY):
        parts = ("bits",)
    elif isinstance(layer, BatchNorm):
        parts = ("thresholds", "rising", "mean", "scale", "shift")
    names = (f"{group}.{part}" for part in parts)
    return sum(arrays[name].nbytes for name in names if name in arrays)


def _input_shape(layers, image):
    """The shape of an image of a model."""
    first = next((x for x in layers if isinstance(x, (*BINARY, *FLOATS, BatchNorm, Flatten))), None)
    if image is None:
        if not isinstance(first, (BinaryLinear, Linear)):
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
    if isinstance(first, (BinaryLinear, Linear)):
        image = (math.prod(image),)
    return tuple(map(int, image))


def _blank(layers, shape):
    """One image of zeros, of the type that the first layer takes."""
    pixels = bool(layers) and isinstance(layers[0], BINARY)
    return np.zeros((1, *shape), np.uint8 if pixels else np.float32)
