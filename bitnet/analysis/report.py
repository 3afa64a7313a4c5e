"""The summary of a net: weights by their bits, bytes and products of each layer or matrix."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bitnet.analysis import layer_counts
from bitnet.analysis.table import aligned, count
from bitnet.archive import archive_bytes
from bitnet.deploy import FrozenLanguageModel, FrozenNet
from bitnet.deploy.file import KIND, VERSION, contents
from bitnet.deploy.freeze import freeze
from bitnet.deploy.html import html_table
from bitnet.errors import InputError
from bitnet.nn import Sequential
from bitnet.nn.models import LanguageModel

PRECISIONS = ("1x1", "8x1", "float32")  # bits of activation x weight, in binary nets
OVERHEAD = "zip, names and header"
NOTES = (
    "MACs: multiply-accumulates for one image, including taps beyond its border, by the bits of",
    "activation x weight (pixels have 8)",
)
OF_FILES = (
    "int32: thresholds, 2^k - 1 per unit with k-bit outputs; directions: one bit each; bytes: the",
    "whole file",
)
OF_MEMORY = "bytes: in memory, with float32 latent weights, without the state of an optimizer"
# the columns of a language model: title, and field of a row
TITLES = {"matrix": "name", "shape": "outputs"}
OF_TOKENS = {"weights": "weights", "bits": "bits", "bytes": "n_bytes", "products": "macs"}


@dataclasses.dataclass(frozen=True)
class Summary:
    """The counts of a net, layer by layer, or of a language model, matrix by matrix.

    `str` is an aligned table, `repr` one line; a notebook shows an HTML table.

    Attributes
    ----------
    name : str
        The repr or a description of the net.
    is_frozen : bool
        Whether the net is frozen.
    input : tuple of int
        The shape of an image; empty for a language model, which is counted for one token.
    rows : tuple of LayerRow
        The layers or matrices.
    file_bytes : int or None
        The size of the frozen net's file; None for a language model.
    reason : str
        The reason why the net cannot be frozen, if it cannot.

    Examples
    --------
    >>> import numpy as np
    >>> from bitnet.nn.models import binary_mlp
    >>> table = summary(binary_mlp([784, 512, 10], rng=np.random.default_rng(0)))
    >>> table
    Summary(Sequential of 5 layers: 406,528 1-bit weights, 55,451 bytes as a file)
    >>> table.one_bit, table.macs["8x1"], table.rows[0].file_bytes
    (406528, 401408, 50176)
    """

    name: str
    is_frozen: bool
    input: tuple[int, ...]
    rows: tuple[layer_counts.LayerRow, ...]
    file_bytes: int | None = None
    reason: str = ""

    def __repr__(self) -> str:
        counts = (f"{n:,} {bits}-bit weights" for bits, n in self.weights.items())
        n_bytes = f"{self.total('n_bytes'):,} bytes"
        n_bytes = n_bytes if self.file_bytes is None else f"{self.file_bytes:,} bytes as a file"
        return f"Summary({self.name:.200}: {', '.join([*counts, n_bytes])})"

    def total(self, field: str, **only: Any) -> int:
        """Return the sum of a field of the rows, or only of the rows with the given values."""
        return sum(_cell(row, field, only) for row in self.rows)

    @property
    def one_bit(self) -> int:
        """The number of 1-bit weights."""
        return self.total("one_bit")

    @property
    def weights(self) -> dict[int, int]:
        """The numbers of weights by their bits, without those of float layers."""
        widths = sorted({row.bits for row in self.rows if row.weights})
        return {b: self.total("weights", bits=b) for b in widths}

    @property
    def in_file(self) -> str:
        """The field of a row that has its bytes in the file."""
        return "n_bytes" if self.is_frozen else "file_bytes"

    @property
    def overhead(self) -> int | None:
        """The bytes of the frozen net's file outside the layers: zip, names, header, digest."""
        return None if self.file_bytes is None else self.file_bytes - self.total(self.in_file)

    @property
    def macs(self) -> dict[str, int]:
        """The multiply-accumulates for one image by precision, with at least `PRECISIONS`."""
        found = in_order({*PRECISIONS, *(row.precision for row in self.rows if row.precision)})
        return {p: self.total("macs", precision=p) for p in found}

    def as_dict(self) -> dict[str, Any]:
        """Return the table in the form of JSON."""
        if not self.input:
            return self._of_tokens()
        fields = ("one_bit", "thresholds", "directions", "floats", "n_bytes")
        totals: dict[str, Any] = {name: self.total(name) for name in fields}
        totals["weights"] = {f"{bits}-bit": n for bits, n in self.weights.items()}
        table: dict[str, Any] = {
            "net": self.name,
            "frozen": self.is_frozen,
            "input": list(self.input),
        }
        table["layers"] = [row.as_dict() for row in self.rows]
        table["totals"] = totals | {"macs": self.macs}
        return table | {"file_bytes": self.file_bytes, "overhead_bytes": self.overhead}

    def _of_tokens(self):
        """Return the table of a language model in the form of JSON."""
        titles, rows = TITLES | OF_TOKENS, [row.as_dict() for row in self.rows]
        matrices = [{title: row[field] for title, field in titles.items()} for row in rows]
        totals = {t: self.total(field) for t, field in OF_TOKENS.items() if t != "bits"}
        return {"model": self.name, "matrices": matrices, **totals}

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
            rows.append(layer_counts.LayerRow(OVERHEAD, (), **{self.in_file: self.overhead}))
        numbers = [[_cell(row, *column) for column in columns.values()] for row in rows]
        sums = [count(sum(column)) for column in zip(*numbers, strict=True)]
        names = [(row.name, "x".join(map(str, row.outputs)) or "-") for row in rows]
        cells = [(*name, *map(count, own)) for name, own in zip(names, numbers, strict=True)]
        if self.input:
            titles, last = ("layer", "output", *columns), ("total", "-", *sums)
            head = f"{self.name:.200}, input {'x'.join(map(str, self.input))}"
        else:
            sums[list(columns).index("bits")] = ""
            titles, last, head = ("matrix", "shape", *columns), ("total", "", *sums), self.name
        return head, [titles, *cells, last]

    def _columns(self):
        """Return the columns of numbers by title: a field, and which rows count."""
        if not self.input:
            return {title: (field, {}) for title, field in OF_TOKENS.items()}
        columns = {f"{bits}-bit": ("weights", {"bits": bits}) for bits in self.weights}
        if self.is_frozen:
            columns |= {"int32": ("thresholds", {}), "directions": ("directions", {})}
        columns |= {"float32": ("floats", {}), "bytes": ("n_bytes", {})}
        if not self.is_frozen and self.file_bytes is not None:
            columns["file bytes"] = "file_bytes", {}
        macs = [p for p, n in self.macs.items() if n]
        return columns | {f"{p} MACs": ("macs", {"precision": p}) for p in macs}

    def _notes(self):
        """Yield the lines below the table."""
        if not self.input:
            n_bytes = 4 * self.total("weights")
            times = f"{n_bytes / self.total('n_bytes'):.1f} times as many"
            in_float = f"in float32 the weights take {n_bytes:,} bytes, {times}"
            yield f"products: multiplications per token; {in_float}"
            return
        yield from (*NOTES, *OF_FILES) if self.is_frozen else (*NOTES, OF_MEMORY)
        if self.file_bytes is None:
            yield f"cannot be frozen: {self.reason:.200}"


def summary(
    net: Sequential | FrozenNet | LanguageModel | FrozenLanguageModel,
    image: Sequence[int] | None = None,
    frozen: FrozenNet | None = None,
) -> Summary:
    """Count the weights, bytes and products of a net, layer by layer.

    Parameters
    ----------
    net : Sequential, FrozenNet, LanguageModel or FrozenLanguageModel
        A model with any bits or in float, or a frozen net.  The bytes of heads, which
        exist only in training, are counted.
    image : sequence of int, optional
        The shape of an image, (H, W, C) or (N,); needed for a model that begins with a
        convolution, and not for a frozen net.
    frozen : FrozenNet, optional
        The frozen form of the model, with the classes and the preparation that its file contains;
        by default the model is frozen here, without these.

    Returns
    -------
    Summary
        The counts.  For a frozen net, the bytes of the rows and the overhead add up to the size
        of the file that `net.save` writes; for a model that can be frozen, the `file_bytes` do.
        A language model has a row for each matrix.

    Raises
    ------
    InputError
        If `net` has a different type, or the image does not fit.

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> table = summary(bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng)))
    >>> table.rows[0].name, table.rows[0].n_bytes, table.file_bytes == table.overhead + 6536 + 200
    ('0 FrozenLayer(784, 64)', 6536, True)
    >>> few = {"width": 4, "units": 8, "weight_quantizer": 2, "activation_quantizer": 4}
    >>> print(summary(bitnet.nn.models.language_model(9, rng=rng, **few)))
    LanguageModel(9-4-8 lstm-9)
    matrix          shape  weights  bits  bytes  products
    table             9x4       36     4     18         -
    layer 0 inputs   32x4      128     2     32       128
    layer 0 states   32x8      256     2     64       256
    scores            9x8       72     2     18        72
    total                      492          132       456
    products: multiplications per token; in float32 the weights take 1,968 bytes, 14.9 times as many
    """
    if isinstance(net, (LanguageModel, FrozenLanguageModel)):
        is_frozen = isinstance(net, FrozenLanguageModel)
        name = repr(net) if is_frozen else _sizes_of(net)
        return Summary(name, is_frozen, (), tuple(layer_counts.language_rows(net)))
    if isinstance(net, FrozenNet):
        header, arrays = contents(net)
        n_bytes = archive_bytes(KIND, VERSION, header, arrays)
        rows = tuple(layer_counts.frozen_rows(net, arrays))
        return Summary(repr(net), True, net.shape, rows, n_bytes)
    if not isinstance(net, Sequential):
        expected = "a Sequential, a FrozenNet or a language model"
        raise InputError(f"summary: got {type(net).__name__}; expected {expected}")
    shape = layer_counts.input_shape(net, image)
    arrays, n_bytes, reason = {}, None, ""
    try:
        takes = "signs" if layer_counts.is_sign(layer_counts.first_layer(net)) else "pixels"
        frozen = frozen or freeze(net, takes, shape[:2] if len(shape) == 3 else None)
    except InputError as error:
        reason = str(error).removeprefix("freeze: ")
    if frozen is not None:
        header, arrays = contents(frozen)
        n_bytes = archive_bytes(KIND, VERSION, header, arrays)
    name = f"{type(net).__name__} of {len(net.layers)} layers"
    rows = tuple(layer_counts.model_rows(net, shape, arrays))
    return Summary(name, False, shape, rows, n_bytes, reason)


def _cell(row, field, only):
    """Return a field of a row, or 0 if fields of the row differ from the given values."""
    fits = all(getattr(row, name) == value for name, value in only.items())
    return getattr(row, field) or 0 if fits else 0


def _sizes_of(model):
    """Return the sizes of a trained language model in the form of a frozen one's repr."""
    recurrent, table = model.recurrent, model.embedding
    layer = f"{recurrent.hidden_size} {type(recurrent).__name__.lower()}"
    layers, count = "-".join(recurrent.num_layers * [layer]), table.num_embeddings
    return f"LanguageModel({count}-{table.embedding_dim}-{layers}-{count})"


def in_order(precisions):
    """Sort precisions such as "2x1" by weight bits, then activation bits; floats last."""
    sizes = {p: [*map(int, p.split("x"))][::-1] for p in precisions if p != "float32"}
    return sorted(precisions, key=lambda p: sizes.get(p, [math.inf]))
