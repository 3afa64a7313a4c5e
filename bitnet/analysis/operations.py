"""Counts of the operations of a frozen net for one image or token.

Numbers of a few bits are sums of ±1 planes, and each plane of the activations meets each plane of
the weights.  Where there are many the processor takes bytes or tables instead (`plane_gemm`), with
the same integers; what is counted is the planes.

Between its layers a frozen net has neither multiplications nor floats.  At its end, batch norm
multiplies once for each score; the scales of shift-based batch norm are powers of two, with which
a shift multiplies (of a float: an addition to its exponent), so that nothing is left to multiply.
In a language model the products are of bits too; gates and cells are in float.
"""

import dataclasses

from bitnet.analysis.report import summary
from bitnet.analysis.table import aligned, count
from bitnet.deploy import FrozenLanguageModel, FrozenNet
from bitnet.errors import InputError
from bitnet.kernels import words_for

KINDS = ("words", "additions", "comparisons", "shifts", "multiplications")
NOTES = (
    "words: XOR and popcount of 64 bits, taps beyond the border included, for each plane of the",
    "activations (8 of pixels) with each of the weights; a unit adds the counts of its words and,",
    "for n - 2 * count, has a shift a pair of planes; each threshold is a comparison; a score is",
    "(z - mean) * scale + shift, two additions and a multiplication, or a shift where the scale is",
    "a power of two.  Left out: the packing of bits, pooling, addresses, and the sum of the inputs",
    "that numbers with an offset need once for all units",
)
OF_TOKENS = (
    "words: XOR and popcount of 64 bits, for each plane of the inputs with each of the weights; a",
    "unit adds the counts of its words and, for n - 2 * count, has a shift a pair of planes; its",
    "sum is multiplied by the scales and added to the bias, or to the other product.  A tanh is 14",
    "multiplications, a division that counts as one, and 12 additions, and a logistic function is",
    "a tanh with two and one more; the code of a state of k bits is 2^k - 1 comparisons.",
    "Left out: the packing of bits, the row that is read of the table, and the sum of the inputs",
    "that numbers with an offset need once for all units",
)
TANH, LOGISTIC = (15, 12), (17, 13)  # multiplications and additions
# of a unit: how many functions of each kind, then further multiplications and additions
CELLS = {
    "rnn-tanh": (1, 0, 0, 0),
    "rnn-relu": (0, 0, 0, 0),
    "lstm": (2, 3, 3, 1),  # c = f * before + i * g, h = o * tanh(c)
    "gru": (1, 2, 2, 2),  # n = tanh(... + r * inner), h = n + u * (before - n)
}


@dataclasses.dataclass(frozen=True)
class LayerOperations:
    """The operations of a layer of a frozen net, for one image or token."""

    name: str  # its number, kind and sizes
    words: int  # XORs and popcounts of 64 bits
    additions: int  # of integers; in the last layer also two float32 additions per score
    comparisons: int  # with thresholds
    shifts: int  # multiplications with powers of two
    multiplications: int  # those with other numbers


@dataclasses.dataclass(frozen=True)
class Operations:
    """The operations of a frozen net; `str` gives a table."""

    name: str
    rows: tuple  # of LayerOperations
    one: str = "image"  # or "token": the unit of work
    notes: tuple = NOTES  # what is counted, and what is not

    def total(self, kind):
        """The sum of one kind of operation."""
        return sum(getattr(row, kind) for row in self.rows)

    def as_dict(self):
        """The table, for JSON."""
        layers = [dataclasses.asdict(row) for row in self.rows]
        totals = {kind: self.total(kind) for kind in KINDS}
        return {"net": self.name, "layers": layers, "totals": totals}

    def __str__(self):
        rows = [("layer", *KINDS)]
        rows += [(row.name, *(count(getattr(row, kind)) for kind in KINDS)) for row in self.rows]
        rows.append(("total", *(count(self.total(kind)) for kind in KINDS)))
        lines = [f"{self.name:.200}: operations for one {self.one}", *aligned(rows)]
        if not self.total("multiplications"):
            lines.append("no multiplication is left")
        return "\n".join([*lines, *self.notes])


def count_operations(net):
    """Count the operations of a frozen net for one image or token, layer by layer.

    Of a layer with W words in all, in P pairs of planes (those of the activations, 8 of pixels,
    times those of the weights), for U pre-activations: W XORs and popcounts, W additions
    (`W - P U` of counts, and one a pair for `n - 2 * count`), P U shifts, and a comparison for
    each threshold of a unit, 2^k - 1 for k bits.  The last layer has two additions and a
    multiplication or a shift for each score instead of comparisons.  Of a language model each
    product has a multiplication and an addition for each pre-activation, and its cells are counted
    beside it.

    Parameters
    ----------
    net : FrozenNet or FrozenLanguageModel
        What `bitnet.freeze` made.

    Returns
    -------
    Operations
        The table.

    Raises
    ------
    InputError
        If it is no frozen net.

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
        expected = "a FrozenNet, as bitnet.freeze makes it, or a FrozenLanguageModel"
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
    planes = len(net.embedding.weight.coefficients)  # of what the next product takes
    for i, layer in enumerate(net.layers):
        yield _product(f"layer {i} inputs", layer.input_weight, planes)
        planes = len(layer.codebook.coefficients)
        yield _product(f"layer {i} states", layer.state_weight, planes)
        yield _cell(f"layer {i} {layer.cell}", layer)
    yield _product("scores", net.decoder, planes)


def _product(name, matrix, planes):
    """The operations of a FrozenMatrix (M, N) times a vector with this many planes."""
    m, n = matrix.shape
    pairs = m * planes * len(matrix.weight.coefficients)
    words = pairs * words_for(n)
    return LayerOperations(f"{name} {m}x{n}", words, words + m, 0, pairs, m)


def _cell(name, layer):
    """The operations of the gates and cells of a layer, and of the codes of its state."""
    tanh, logistic, *more = CELLS[layer.cell]
    kinds, units = zip(TANH, LOGISTIC, more, strict=True), layer.units
    multiplications, additions = (units * (tanh * a + logistic * b + own) for a, b, own in kinds)
    comparisons = units * (len(layer.codebook) - 1 + (layer.cell == "rnn-relu"))
    return LayerOperations(name, 0, additions, comparisons, 0, multiplications)
