"""Summary: a table of a net's layers, with weights by their bits, bytes and products."""

import dataclasses
import math

from bitnet.analysis.layer_counts import first_layer, frozen_rows, input_shape, model_rows
from bitnet.analysis.table import aligned, count
from bitnet.archive import archive_bytes
from bitnet.deploy.file import KIND, VERSION, contents
from bitnet.deploy.freeze import freeze
from bitnet.deploy.runtime import FrozenNet
from bitnet.errors import InputError
from bitnet.nn import Sequential
from bitnet.nn.activations import Quantize, Sign

__all__ = ["PRECISIONS", "Summary", "in_order", "summarize"]

PRECISIONS = ("1x1", "8x1", "float32")  # bits of an activation x of a weight; of binary nets


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
    >>> import numpy as np
    >>> from bitnet.nn.models.feedforward import binary_mlp
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
    def weights(self):
        """How many weights there are of each number of bits, a dict; without those in float."""
        widths = sorted({row.bits for row in self.rows if row.weights})
        return {b: sum(row.weights for row in self.rows if row.bits == b) for b in widths}

    @property
    def overhead(self):
        """The bytes of the frozen net's file that are in no layer: zip, names, header, digest."""
        if self.file_bytes is None:
            return None
        return self.file_bytes - self.total("n_bytes" if self.is_frozen else "file_bytes")

    @property
    def macs(self):
        """The multiply-accumulates for one image by precision, a dict with all `PRECISIONS`."""
        found = in_order({*PRECISIONS, *(row.precision for row in self.rows if row.precision)})
        return {p: sum(row.macs for row in self.rows if row.precision == p) for p in found}

    def as_dict(self):
        """The table, for JSON."""
        fields = ("one_bit", "thresholds", "directions", "floats", "n_bytes")
        return {
            "net": self.name,
            "frozen": self.is_frozen,
            "input": list(self.input),
            "layers": [row.as_dict() for row in self.rows],
            "totals": {
                **{name: self.total(name) for name in fields},
                "weights": {f"{bits}-bit": n for bits, n in self.weights.items()},
                "macs": self.macs,
            },
            "file_bytes": self.file_bytes,
            "overhead_bytes": self.overhead,
        }

    def __str__(self):
        columns = self._columns()
        rows = [("layer", "output", *columns)]
        rows += [
            (row.name, "x".join(map(str, row.outputs)) or "-", *self._cells(row, columns))
            for row in self.rows
        ]
        if self.file_bytes is not None:
            where = "bytes" if self.is_frozen else "file bytes"
            cells = (count(self.overhead) if c == where else "-" for c in columns)
            rows.append(("zip, names and header", "-", *cells))
        rows.append(("total", "-", *(self._total(name) for name in columns)))
        head = f"{self.name:.200}, input {'x'.join(map(str, self.input))}"
        return "\n".join([head, *aligned(rows), *self._notes()])

    def _columns(self):
        """The titles behind layer and output; weights and products only of bits that occur."""
        columns = [f"{bits}-bit" for bits in self.weights]
        columns += ["int32", "directions"] if self.is_frozen else []
        columns += ["float32", "bytes"]
        columns += ["file bytes"] if not self.is_frozen and self.file_bytes is not None else []
        return columns + [f"{p} MACs" for p, n in self.macs.items() if n]

    def _cells(self, row, columns):
        """The numbers of a layer below the titles."""
        cells = {"int32": row.thresholds, "directions": row.directions}
        cells[f"{row.bits}-bit"] = row.weights
        cells |= {"float32": row.floats, "bytes": row.n_bytes, "file bytes": row.file_bytes}
        cells[f"{row.precision} MACs"] = row.macs
        return (count(cells.get(name, 0)) for name in columns)

    def _total(self, name):
        """The number below a column."""
        if name == "file bytes" or (self.is_frozen and name == "bytes"):
            return count(self.file_bytes)
        if name.endswith(" MACs"):
            return count(self.macs[name.removesuffix(" MACs")])
        if name.endswith("-bit"):
            return count(self.weights[int(name.removesuffix("-bit"))])
        fields = {"int32": "thresholds", "directions": "directions"}
        return count(self.total({**fields, "float32": "floats", "bytes": "n_bytes"}[name]))

    def _notes(self):
        """The lines below the table."""
        yield "MACs: multiply-accumulates for one image, taps beyond its border included, by the"
        yield "bits of activation x weight (pixels have 8)"
        if self.is_frozen:
            yield "int32: thresholds, 2^k - 1 in a unit of k bits; directions: one bit each; bytes:"
            yield "of the file, all of it"
            return
        yield "bytes: in memory, with float32 latent weights, without the moments of an optimizer"
        if self.file_bytes is None:
            yield f"no frozen file: {self.reason:.200}"


def summarize(net, image=None, frozen=None):
    """Count what a net has, needs and does, layer by layer.

    Parameters
    ----------
    net : Sequential or FrozenNet
        A model of any bits or in float, with `Branches` or without, or a frozen net.  Heads
        that are there in training alone count with their bytes.
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
    >>> import numpy as np
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], np.random.default_rng(0)))
    >>> table = summarize(net)
    >>> table.rows[0].name, table.rows[0].n_bytes, table.file_bytes == table.overhead + 6536 + 200
    ('0 FrozenLayer(784, 64)', 6536, True)
    """
    if isinstance(net, FrozenNet):
        header, arrays = contents(net)
        n_bytes = archive_bytes(KIND, VERSION, header, arrays)
        return Summary(repr(net), True, net.shape, tuple(frozen_rows(net, arrays)), n_bytes)
    if not isinstance(net, Sequential):
        raise InputError(
            f"summarize: got {type(net).__name__}; expected a Sequential or a FrozenNet"
        )
    shape = input_shape(net, image)
    reason = ""
    try:
        takes = "signs" if _is_sign(first_layer(net)) else "pixels"
        frozen = frozen or freeze(net, takes, shape[:2] if len(shape) == 3 else None)
    except InputError as error:
        reason = str(error).removeprefix("freeze: ")
    header, arrays = ({}, {}) if frozen is None else contents(frozen)
    n_bytes = None if frozen is None else archive_bytes(KIND, VERSION, header, arrays)
    name = f"{type(net).__name__} of {len(net.layers)} layers"
    return Summary(name, False, shape, tuple(model_rows(net, shape, arrays)), n_bytes, reason)


def _is_sign(layer):
    """Whether a layer gives signs of what comes in."""
    return isinstance(layer, Sign) or (
        isinstance(layer, Quantize) and layer.quantizer.levels.is_sign
    )


def in_order(precisions):
    """Precisions by the bits of the weights, then of the activations, floats at the end.

    Parameters
    ----------
    precisions : iterable of str
        As "2x1", bits of activations x of weights, or "float32".

    Returns
    -------
    list of str

    Examples
    --------
    >>> in_order(["float32", "8x2", "8x1", "2x2", "1x1"])
    ['1x1', '8x1', '2x2', '8x2', 'float32']
    """
    sizes = {
        p: (math.inf,) if p == "float32" else tuple(map(int, p.split("x")))[::-1]
        for p in precisions
    }
    return sorted(sizes, key=sizes.get)
