"""Counts of the operations of a frozen net for one image or token.

A k-bit value is a sum of ±1 planes, and each plane of the activations is multiplied by each plane
of the weights.  Where there are many planes, the processor uses bytes or tables (`plane_gemm`) with
the same integers as result; the planes are counted anyway.

Between the layers of a chain of bits there are neither multiplications nor floats.  At its end,
batch norm multiplies once per score.  The scales of shift-based batch norm are powers of two: a
shift (for a float, an addition to its exponent) replaces that multiplication.  Where a model has
floats, as between the products of a language model or in a shortcut, these are counted too.
"""

import dataclasses
from typing import Any

from bitnet.analysis.report import Summary, summary
from bitnet.analysis.table import aligned, count
from bitnet.deploy import FrozenNet
from bitnet.errors import InputError

KINDS = ("words", "additions", "comparisons", "shifts", "multiplications")
NOTES = (
    "words: XOR and popcount of 64 bits, including taps beyond the border, for each plane of the",
    "activations (pixels have 8) with each plane of the weights; a unit adds the counts of its",
    "words and, for n - 2 * count, shifts once per pair of planes; each threshold is one",
    "comparison; batch norm without thresholds is (z - mean) * scale + shift: two additions and a",
    "multiplication, or a shift where the scale is a power of two.  A product of floats has a",
    "multiplication and an addition per weight; a tanh 14 multiplications, a division that counts",
    "as one, and 12 additions; a logistic function two multiplications and one addition more; a",
    "power, exponential or logarithm one multiplication.  Not counted: packing of bits, pooling by",
    "maximum, ReLU, selections, addresses, tables, and the sum of the inputs that values with an",
    "offset need",
)


@dataclasses.dataclass(frozen=True)
class LayerOperations:
    """The operations of a layer of a frozen net, for one image or token."""

    name: str  # dotted name, kind and sizes of the layer
    words: int  # XORs and popcounts of 64 bits
    additions: int  # of integers and floats
    comparisons: int  # with thresholds
    shifts: int  # multiplications with powers of two
    multiplications: int  # multiplications with other numbers


@dataclasses.dataclass(frozen=True)
class Operations:
    """The operations of a frozen net; `str` is a table."""

    name: str
    rows: tuple[LayerOperations, ...]
    one: str = "image"  # the unit of work, or "token"

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
        return "\n".join([*lines, *NOTES])


def count_operations(net: FrozenNet | Summary) -> Operations:
    """Count the operations of a frozen net for one image or token, layer by layer.

    Consider a layer with U pre-activations and P pairs of planes (the number of planes of the
    activations, 8 for pixels, times that of the weights), which takes W words in total.  It has W
    XORs and popcounts; W additions (`W - P U` of counts, and P U for `n - 2 * count`); P U shifts;
    and one comparison per threshold, 2^k - 1 per unit with k-bit outputs.  Instead of comparisons
    the last layer has two additions and a multiplication or a shift per score.  A product of a
    language model has also a multiplication and an addition per pre-activation; its gates have
    rows of their own, and so have other operations, such as the addition of a shortcut.

    Parameters
    ----------
    net : FrozenNet, FrozenLanguageModel or Summary
        The net that `bitnet.freeze` returned, or the summary of a net that can be frozen.

    Returns
    -------
    Operations
        The counts, which print as a table.

    Raises
    ------
    InputError
        If the net is not frozen, or cannot be.

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng, norm="shift"))
    >>> print(str(count_operations(net)).partition("words:")[0])
    FrozenNet(784-64-10, pixels): operations for one image
    layer                           words  additions  comparisons  shifts  multiplications
    layers.0 FrozenLinear(784, 64)  6,656      6,656           64     512                -
    layers.3 FrozenLinear(64, 10)      10         30            -      20                -
    total                           6,666      6,686           64     532                -
    no multiplication is left
    <BLANKLINE>
    """
    if not isinstance(net, (FrozenNet, Summary)):
        expected = "a FrozenNet, as bitnet.freeze returns, or a Summary"
        raise InputError(f"count_operations: got {type(net).__name__}; expected {expected}")
    table = net if isinstance(net, Summary) else summary(net)
    if table.reason:
        came = f"{table.name}, which cannot be frozen: {table.reason}"
        raise InputError(f"count_operations: got {came}; expected a frozen net")
    rows = (_count(row) for row in table.rows)
    kept = (row for row in rows if any(getattr(row, kind) for kind in KINDS))
    return Operations(table.name, tuple(kept), table.one)


def _count(row):
    """Return the operations of a row of the summary."""
    products = 0 if row.words else row.macs  # of floats
    additions = row.words + row.integer_additions + row.additions + products
    shifts = row.planes * row.units + row.shifts
    numbers = row.words, additions, row.comparisons, shifts, row.multiplications + products
    return LayerOperations(row.name, *numbers)
