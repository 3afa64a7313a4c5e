"""Counts of the operations of a frozen net for one image or token.

A k-bit value is a sum of ±1 planes, and each plane of the activations is multiplied by each plane
of the weights.  Where there are many planes, the processor uses bytes or tables (`plane_gemm`) with
the same integers as result; the planes are counted anyway.

Between its layers a frozen net has neither multiplications nor floats.  At its end, batch norm
multiplies once per score.  The scales of shift-based batch norm are powers of two: a shift (for a
float, an addition to its exponent) replaces that multiplication.  The products of a language model
are also products of bits; its gates and cells are computed in float.
"""

import dataclasses
from typing import Any

from bitnet.analysis.report import summary
from bitnet.analysis.table import aligned, count
from bitnet.deploy import FrozenLanguageModel, FrozenNet
from bitnet.errors import InputError
from bitnet.kernels import words_for

KINDS = ("words", "additions", "comparisons", "shifts", "multiplications")
NOTES = (
    "words: XOR and popcount of 64 bits, including taps beyond the border, for each plane of the",
    "activations (pixels have 8) with each plane of the weights; a unit adds the counts of its",
    "words and, for n - 2 * count, shifts once per pair of planes; each threshold is one",
    "comparison; a score is (z - mean) * scale + shift: two additions and a multiplication, or a",
    "shift where the scale is a power of two.  Not counted: packing of bits, pooling, addresses,",
    "and the sum of the inputs that values with an offset need once for all units",
)
OF_TOKENS = (
    "words: XOR and popcount of 64 bits, for each plane of the inputs with each plane of the",
    "weights; a unit adds the counts of its words and, for n - 2 * count, shifts once per pair of",
    "planes; its sum is multiplied by the scales and added to the bias, or to the other product.",
    "A tanh takes 14 multiplications, a division that counts as one, and 12 additions; a logistic",
    "function takes two multiplications and one addition more; the code of a k-bit state takes 2^k",
    "- 1 comparisons. Not counted: packing of bits, reading a row of the table, and the sum of the",
    "inputs that values with an offset need once for all units",
)
TANH, LOGISTIC = (15, 12), (17, 13)  # multiplications and additions
# per unit: numbers of tanh and logistic functions, further multiplications and additions
CELLS = {
    "rnn-tanh": (1, 0, 0, 0),
    "rnn-relu": (0, 0, 0, 0),
    "lstm": (2, 3, 3, 1),  # c = f * before + i * g, h = o * tanh(c)
    "gru": (1, 2, 2, 2),  # n = tanh(... + r * inner), h = n + u * (before - n)
}


@dataclasses.dataclass(frozen=True)
class LayerOperations:
    """The operations of a layer of a frozen net, for one image or token."""

    name: str  # index, kind and sizes of the layer
    words: int  # XORs and popcounts of 64 bits
    additions: int  # integer additions, and in the last layer two float32 additions per score
    comparisons: int  # with thresholds
    shifts: int  # multiplications with powers of two
    multiplications: int  # multiplications with other numbers


@dataclasses.dataclass(frozen=True)
class Operations:
    """The operations of a frozen net; `str` is a table."""

    name: str
    rows: tuple[LayerOperations, ...]
    one: str = "image"  # the unit of work, or "token"
    notes: tuple[str, ...] = NOTES  # what is counted, and what is not

    def __repr__(self) -> str:
        totals = ", ".join(f"{self.total(kind):,} {kind}" for kind in KINDS)
        return f"Operations({self.name:.200}: {totals} per {self.one})"

    def total(self, kind: str) -> int:
        """Return the sum of one of `KINDS` of operations over the layers."""
        return sum(getattr(row, kind) for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return the table in the form of JSON."""
        layers = [dataclasses.asdict(row) for row in self.rows]
        totals = {kind: self.total(kind) for kind in KINDS}
        return {"net": self.name, "layers": layers, "totals": totals}

    def __str__(self) -> str:
        rows: list[tuple[str, ...]]
        rows = [("layer", *KINDS)]
        rows += [(row.name, *(count(getattr(row, kind)) for kind in KINDS)) for row in self.rows]
        rows.append(("total", *(count(self.total(kind)) for kind in KINDS)))
        lines = [f"{self.name:.200}: operations for one {self.one}", *aligned(rows)]
        if not self.total("multiplications"):
            lines.append("no multiplication is left")
        return "\n".join([*lines, *self.notes])


def count_operations(net: FrozenNet | FrozenLanguageModel) -> Operations:
    """Count the operations of a frozen net for one image or token, layer by layer.

    Consider a layer with U pre-activations and P pairs of planes (the number of planes of the
    activations, 8 for pixels, times that of the weights), which takes W words in total.  It has W
    XORs and popcounts; W additions (`W - P U` of counts, and P U for `n - 2 * count`); P U shifts;
    and one comparison per threshold, 2^k - 1 per unit with k-bit outputs.  Instead of comparisons
    the last layer has two additions and a multiplication or a shift per score.  A product of a
    language model has also a multiplication and an addition per pre-activation; its cells have
    rows of their own.

    Parameters
    ----------
    net : FrozenNet or FrozenLanguageModel
        The net that `bitnet.freeze` returned.

    Returns
    -------
    Operations
        The counts, which print as a table.

    Raises
    ------
    InputError
        If the net is not frozen.

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng, norm="shift"))
    >>> print(str(count_operations(net)).partition("words:")[0])
    FrozenNet(784-64-10, pixels): operations for one image
    layer                   words  additions  comparisons  shifts  multiplications
    0 FrozenLayer(784, 64)  6,656      6,656           64     512                -
    1 FrozenOutput(64, 10)     10         30            -      20                -
    total                   6,666      6,686           64     532                -
    no multiplication is left
    <BLANKLINE>
    """
    if isinstance(net, FrozenLanguageModel):
        return Operations(repr(net), tuple(_of_language(net)), "token", OF_TOKENS)
    if not isinstance(net, FrozenNet):
        expected = "a FrozenNet or FrozenLanguageModel, as bitnet.freeze returns"
        raise InputError(f"count_operations: got {type(net).__name__}; expected {expected}")
    table = summary(net)
    return Operations(table.name, tuple(_count(row) for row in table.rows if row.precision))


def _count(row):
    """Return the operations of a layer from its row in the summary."""
    scores = row.multiplications + row.shifts
    additions, shifts = row.words + 2 * scores, row.planes * row.units + row.shifts
    numbers = row.words, additions, row.comparisons, shifts, row.multiplications
    return LayerOperations(row.name, *numbers)


def _of_language(net):
    """Yield the operations of the products and cells of a language model, for one token."""
    planes = len(net.embedding.weight.coefficients)  # of the inputs of the next product
    for i, layer in enumerate(net.layers):
        yield _product(f"layer {i} inputs", layer.input_weight, planes)
        planes = len(layer.codebook.coefficients)
        yield _product(f"layer {i} states", layer.state_weight, planes)
        yield _cell(f"layer {i} {layer.cell}", layer)
    yield _product("scores", net.decoder, planes)


def _product(name, matrix, planes):
    """Return the operations of a FrozenMatrix (M, N) times a vector with this many planes."""
    m, n = matrix.shape
    pairs = m * planes * len(matrix.weight.coefficients)
    words = pairs * words_for(n)
    return LayerOperations(f"{name} {m}x{n}", words, words + m, 0, pairs, m)


def _cell(name, layer):
    """Return the operations of the gates, the cell and the codes of the state of a layer."""
    tanh, logistic, *more = CELLS[layer.cell]
    kinds, units = zip(TANH, LOGISTIC, more, strict=True), layer.units
    multiplications, additions = (units * (tanh * a + logistic * b + own) for a, b, own in kinds)
    comparisons = units * (len(layer.codebook) - 1 + (layer.cell == "rnn-relu"))
    return LayerOperations(name, 0, additions, comparisons, 0, multiplications)
