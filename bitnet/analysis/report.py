"""The summary of a net: weights by their bits, bytes, and products of each layer."""

import dataclasses
import math
from typing import Any

from bitnet.analysis.layer_counts import LayerRow, frozen_rows, with_memory
from bitnet.analysis.table import aligned, count
from bitnet.archive import archive_bytes
from bitnet.deploy import FrozenNet
from bitnet.deploy.file import VERSION
from bitnet.deploy.freeze import freeze
from bitnet.deploy.html import html_table
from bitnet.errors import InputError
from bitnet.nn import Module, Sequential
from bitnet.nn.models import takes_of

PRECISIONS = ("1x1", "8x1", "float32")  # bits of activation x weight, in binary nets
TOTALS = "one_bit", "thresholds", "directions", "floats", "n_bytes", "memory", "float_operations"
OVERHEAD = "zip, names and header"
NOTES = (
    "MACs: multiply-accumulates for one {}, including taps beyond the border of an image, by the",
    "bits of activation x weight (pixels have 8)",
)
OF_BITS = "int32: thresholds, 2^k - 1 per unit with k-bit outputs; directions: one bit each"
OF_FILES = "bytes: in the file; float ops: additions and multiplications besides those of the MACs"
OF_MEMORY = "memory: bytes, with float32 latent weights, without the state of an optimizer"


@dataclasses.dataclass(frozen=True)
class Summary:
    """The counts of a net, layer by layer; `str` is a table, and a notebook shows one too.

    Attributes
    ----------
    name : str
        The repr or a description of the net.
    is_frozen : bool
        Whether the net is frozen.
    input : tuple of int
        The shape of the input, such as an image; empty for tokens, which are counted one by one,
        or if the net cannot be frozen.
    rows : tuple of LayerRow
        The layers, and other parts of the net that cost anything.
    file_bytes : int or None
        The size of the frozen net's file; None if the net cannot be frozen.
    reason : str
        The reason why the net cannot be frozen, if it cannot.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.nn.models import binary_mlp
    >>> table = summary(binary_mlp([784, 512, 10], rng=np.random.default_rng(0)))
    >>> print(repr(table).partition(" weights")[0])
    Summary(Sequential of 5 layers: 406,528 1-bit
    >>> table.one_bit, table.macs["8x1"], table.rows[0].n_bytes
    (406528, 401408, 52288)
    """

    name: str
    is_frozen: bool
    input: tuple[int, ...]
    rows: tuple[LayerRow, ...]
    file_bytes: int | None = None
    reason: str = ""

    def __repr__(self) -> str:
        counts = (f"{n:,} {bits}-bit weights" for bits, n in self.weights.items())
        n_bytes = f"{self.total('memory'):,} bytes in memory"
        n_bytes = n_bytes if self.file_bytes is None else f"{self.file_bytes:,} bytes as a file"
        return f"Summary({self.name:.200}: {', '.join([*counts, n_bytes])})"

    def total(self, field: str, **only: Any) -> int:
        """Return the sum of a field of the rows, or only of the rows with the given values."""
        return sum(_cell(row, field, only) for row in self.rows)

    @property
    def one(self) -> str:
        """What is counted: one "image" or one "token"."""
        return "image" if self.input else "token"

    @property
    def one_bit(self) -> int:
        """The number of 1-bit weights."""
        return self.total("one_bit")

    @property
    def weights(self) -> dict[int, int]:
        """The numbers of weights by their bits, without those in float."""
        widths = sorted({row.bits for row in self.rows if 0 < row.bits < 32})
        return {b: self.total("weights", bits=b) for b in widths}

    @property
    def overhead(self) -> int | None:
        """The bytes of the file outside the rows: zip, names, header, digest."""
        return None if self.file_bytes is None else self.file_bytes - self.total("n_bytes")

    @property
    def macs(self) -> dict[str, int]:
        """The multiply-accumulates for one input by precision, with at least `PRECISIONS`."""
        found = in_order({*PRECISIONS, *(row.precision for row in self.rows if row.precision)})
        return {p: self.total("macs", precision=p) for p in found}

    def as_dict(self) -> dict[str, Any]:
        """Return the table in the form of JSON."""
        totals: dict[str, Any] = {name: self.total(name) for name in TOTALS}
        totals |= {"weights": {f"{bits}-bit": n for bits, n in self.weights.items()}}
        table = {"net": self.name, "frozen": self.is_frozen, "input": list(self.input)}
        table |= {"layers": [row.as_dict() for row in self.rows]}
        table |= {"totals": totals | {"macs": self.macs}, "reason": self.reason}
        return table | {"file_bytes": self.file_bytes, "overhead_bytes": self.overhead}

    def __str__(self) -> str:
        head, rows = self._table()
        return "\n".join([head, *aligned(rows), *self._notes()])

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        head, (titles, *rows) = self._table()
        return html_table(head, titles, rows, self._notes())

    def _table(self):
        """Return the title, and the rows of text, with the titles of the columns first."""
        columns, rows = self._columns(), [*self.rows]
        if self.file_bytes is not None:
            rows.append(LayerRow(OVERHEAD, n_bytes=self.overhead))
        numbers = [[_cell(row, *column) for column in columns.values()] for row in rows]
        sums = [sum(column) for column in zip(*numbers, strict=True)]
        cells = [
            (row.name, "x".join(map(str, row.outputs)) or "-", *map(count, own))
            for row, own in zip(rows, numbers, strict=True)
        ]
        head = f"{self.name:.200}, input {'x'.join(map(str, self.input))}"
        head = head if self.input else f"{self.name:.200}"
        return head, [("layer", "output", *columns), *cells, ("total", "-", *map(count, sums))]

    def _columns(self):
        """Return the columns of numbers by title: a field, and which rows count."""
        columns = {f"{bits}-bit": ("weights", {"bits": bits}) for bits in self.weights}
        columns |= {"int32": ("thresholds", {}), "directions": ("directions", {})}
        columns |= {"float32": ("floats", {}), "bytes": ("n_bytes", {}), "memory": ("memory", {})}
        columns |= {f"{p} MACs": ("macs", {"precision": p}) for p in self.macs}
        columns |= {"float ops": ("float_operations", {})}
        return {title: own for title, own in columns.items() if self.total(own[0], **own[1])}

    def _notes(self):
        """Yield the lines below the table."""
        if self.file_bytes is None:
            yield f"cannot be frozen: {self.reason:.200}"
        else:
            yield from (NOTES[0].format(self.one), *NOTES[1:])
            yield from (OF_BITS, OF_FILES) if self.weights else (OF_FILES,)
        if not self.is_frozen:
            yield OF_MEMORY


def summary(
    net: Module | FrozenNet, example: Any = None, frozen: FrozenNet | None = None
) -> Summary:
    """Count the weights, bytes and products of a net, layer by layer.

    A model is frozen, and the frozen net is counted, for one input of the batch, or one token of a
    sequence.  If the model cannot be frozen, only the bytes of its parameters are counted.

    Parameters
    ----------
    net : Module or FrozenNet
        A model with any bits or in float, or a frozen net.  The memory of heads, which exist only
        in training, is counted.
    example : array, Bits, or tuple of them, optional
        The inputs of the model, as for `bitnet.freeze`; models of `nn.models`, and Sequentials
        that begin with a linear layer, need none.
    frozen : FrozenNet, optional
        The frozen form of the model, with the classes and the preparation that its file contains;
        by default the model is frozen here, without these.

    Returns
    -------
    Summary
        The counts.  The bytes of the rows and the overhead add up to the size of the file that the
        frozen net's `save` writes; the memory of the rows to that of the model's `state_dict`.

    Raises
    ------
    InputError
        If `net` has a different type, or the example is missing or does not fit.

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> table = summary(bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng)))
    >>> table.rows[0].name, table.rows[0].n_bytes, table.file_bytes == table.overhead + 6536 + 200
    ('layers.0 FrozenLinear(784, 64)', 6536, True)
    >>> few = {"width": 4, "units": 8, "weight_quantizer": 2, "activation_quantizer": 4}
    >>> model = bitnet.nn.models.language_model(9, rng=rng, **few)
    >>> {row.name: row.macs for row in summary(model).rows if "state" in row.name}
    {'recurrent.state_weights.0 Lstm(8, 32)': 256, 'recurrent.state_weights.0 gates': 0}
    """
    if isinstance(net, FrozenNet):
        return Summary(repr(net), True, net.shape, tuple(frozen_rows(net)), _file_bytes(net))
    if not isinstance(net, Module):
        expected = "a Module, such as a Sequential, or a FrozenNet"
        raise InputError(f"summary: got {type(net).__name__}; expected {expected}")
    name = type(net).__name__
    name = f"{name} of {len(net.layers)} layers" if isinstance(net, Sequential) else name
    try:
        frozen = frozen or freeze(net, example)
    except InputError as error:
        reason = str(error).removeprefix("freeze: ")
        unknown = example is None and takes_of(net) is None
        if unknown or reason == str(error) or reason.startswith("the example"):
            raise
        return Summary(name, False, (), tuple(with_memory([], net)), None, reason)
    rows, sizes = with_memory(frozen_rows(frozen), net), repr(frozen).partition("(")[2]
    name = name if isinstance(net, Sequential) else f"{name}({sizes}"
    return Summary(name, False, frozen.shape, tuple(rows), _file_bytes(frozen))


def _file_bytes(net):
    """Return the size of a frozen net's file."""
    return archive_bytes(net.kind, VERSION, *net.contents())


def _cell(row, field, only):
    """Return a field of a row, or 0 if fields of the row differ from the given values."""
    fits = all(getattr(row, name) == value for name, value in only.items())
    return getattr(row, field) if fits else 0


def in_order(precisions):
    """Sort precisions such as "2x1" by weight bits, then activation bits; floats last."""
    sizes = {p: [*map(int, p.split("x"))][::-1] for p in precisions if "x" in p}
    return sorted(precisions, key=lambda p: (sizes.get(p, [math.inf]), p))
