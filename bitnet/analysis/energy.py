"""Estimated energy of one prediction of a net and of its float twin, from Horowitz's tables.

The tables (45 nm, in the papers' section on energy) list the picojoules of a multiplication, of an
addition, and of reading 64 bits from caches of three sizes and from DRAM.  They contain no XNOR
and no popcount; `ASSUMPTIONS` lists what is assumed for these, and what is not counted.
"""

import dataclasses
from typing import Any

from bitnet.analysis.report import Summary, in_order, summary
from bitnet.analysis.table import aligned, count
from bitnet.deploy import FrozenNet
from bitnet.errors import InputError
from bitnet.nn import Module

MUL_PJ = {"int8": 0.2, "int32": 3.1, "fp16": 1.1, "fp32": 3.7}
ADD_PJ = {"int8": 0.03, "int32": 0.1, "fp16": 0.4, "fp32": 0.9}
# name, capacity in bytes, and picojoules per 64 bits (least and most)
MEMORIES = (
    ("8K cache", 8 << 10, 10.0, 10.0),
    ("32K cache", 32 << 10, 20.0, 20.0),
    ("1M cache", 1 << 20, 100.0, 100.0),
    ("DRAM", None, 1300.0, 2600.0),
)
WORD_PJ = 5 * ADD_PJ["int32"]  # XOR, popcount and accumulation of 64 bits
FLOAT_PJ = MUL_PJ["fp32"] + ADD_PJ["fp32"]

ASSUMPTIONS = (
    "from the tables (Horowitz, 45 nm): int8 ADD 0.03 pJ, int32 ADD 0.1, fp32 MUL 3.7, fp32 ADD",
    "  0.9; 64 bits from 8K 10 pJ, 32K 20, 1M 100, DRAM 1300 to 2600",
    "assumed: 64 XNOR multiply-accumulates cost one XOR (64 gates: two int32 ADDs), one popcount",
    "  (fewer than 64 full adders: two more) and one accumulation (one): 0.5 pJ per word, padding",
    "  included, for each plane of ±1 of the activations with each of the weights; k-bit values",
    "  have k planes, pixels eight, powers of two up to two planes for each power; the upper bound",
    "  counts one int8 ADD for each product of ±1",
    "assumed: a threshold costs one int32 ADD, and k-bit outputs have 2^k - 1; a batch norm that",
    "  no threshold replaces costs one fp32 MUL and two ADDs per value, with an int8 ADD to the",
    "  exponent instead of the MUL if the scale is a power of two; that of the twin is folded into",
    "  weights and biases; other operations on floats, such as shortcuts, cost the same in both",
    "assumed: for one image each layer reads its weights and inputs once and writes its outputs",
    "  once, k bits per value; the weights are in the smallest memory that holds all of them, the",
    "  activations in the smallest that holds the largest input and output of a layer; repeated",
    "  reads come from registers and cost nothing",
    "not counted: max-pooling, ReLU, control, addresses, leakage",
)
PJ = ("arithmetic", "upper", "weights", "activations", "total")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Operations, bytes and picojoules of one net for one image."""

    net: str  # "binary", "quantized" (with k-bit values), "float twin" or "float"
    macs: dict[str, int]  # multiply-accumulates by precision
    weight_bytes: int  # all weights and thresholds
    activation_bytes: int  # activations read and written
    weight_memory: str  # the memory that holds the weights
    activation_memory: str
    arithmetic_pj: float
    upper_pj: float  # upper bound of the arithmetic
    weights_pj: tuple[float, float]  # reading the weights: (least, most)
    activations_pj: tuple[float, float]

    def __repr__(self):
        return f"Estimate({self.net}: {_span(self.total_pj)} pJ per image)"

    @property
    def total_pj(self) -> tuple[float, float]:
        """The sum of arithmetic, weights and activations, as (least, most)."""
        moved = zip(self.weights_pj, self.activations_pj, strict=True)
        least, most = (self.arithmetic_pj + w + a for w, a in moved)
        return least, most


@dataclasses.dataclass(frozen=True)
class Energy:
    """The estimated energy of a net and its float twin; `str` is a table with the assumptions.

    Attributes
    ----------
    name : str
        The repr or a description of the net.
    estimates : tuple of Estimate
        The estimates of a low-bit net and of its float twin, or of a float net alone.

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> net = bitnet.nn.models.binary_mlp([784, 512, 10], rng=np.random.default_rng(0))
    >>> energy = estimate(net)
    >>> energy
    Energy(Sequential of 5 layers: binary 691,024 pJ per image, float twin 386 to 768 times that)
    >>> print(str(energy).partition("from the tables")[0])
    Sequential of 5 layers: estimated energy of one image
                          binary                  float twin
    1x1 MACs               5,120                           -
    8x1 MACs             401,408                           -
    float32 MACs               -                     406,528
    weights, bytes        53,048                   1,628,200
      in                1M cache                        DRAM
    activations, bytes       952                       7,272
      in                8K cache                    8K cache
    arithmetic, pJ        26,734                   1,870,499
      at most, pJ         96,561                   1,870,499
    weights, pJ          663,100  264,582,500 to 529,165,000
    activations, pJ        1,190                       9,090
    total, pJ            691,024  266,462,089 to 531,044,589
    float twin / binary, pJ: 386 to 768
    """

    name: str
    estimates: tuple[Estimate, ...]

    def __repr__(self) -> str:
        own = self.estimates[0]
        cost = f"{own.net} {_span(own.total_pj)} pJ per image"
        twin = f", float twin {self._times()} times that" if self.ratio else ""
        return f"Energy({self.name:.200}: {cost}{twin})"

    @property
    def ratio(self) -> tuple[float, float] | None:
        """The energy of the float twin divided by that of the net, as (least, most)."""
        if len(self.estimates) < 2:
            return None
        own, twin = (e.total_pj for e in self.estimates)
        ratios = [t / n for t, n in zip(twin, own, strict=True)]
        return min(ratios), max(ratios)

    def _times(self):
        """Format the ratio."""
        least, most = (f"{n:,.0f}" if n >= 10 else f"{n:.1f}" for n in self.ratio)
        return least if least == most else f"{least} to {most}"

    def as_dict(self) -> dict[str, Any]:
        """Return the table in the form of JSON."""
        fields = [{**dataclasses.asdict(e), "total_pj": e.total_pj} for e in self.estimates]
        table: dict[str, Any] = {"net": self.name, "estimates": fields, "ratio": self.ratio}
        return table | {"assumptions": [" ".join(line.split()) for line in ASSUMPTIONS]}

    def __str__(self) -> str:
        es = self.estimates
        rows = [("", *(e.net for e in es))]
        used = in_order({p for e in es for p, n in e.macs.items() if n})
        rows += [(f"{p} MACs", *(count(e.macs.get(p, 0)) for e in es)) for p in used]
        for part in ("weight", "activation"):
            rows.append((f"{part}s, bytes", *(count(getattr(e, f"{part}_bytes")) for e in es)))
            rows.append(("  in", *(getattr(e, f"{part}_memory") for e in es)))
        for name in PJ:
            title = "  at most" if name == "upper" else name
            rows.append((f"{title}, pJ", *(_span(getattr(e, f"{name}_pj")) for e in es)))
        lines = [f"{self.name:.200}: estimated energy of one image", *aligned(rows)]
        if self.ratio:
            lines.append(f"float twin / {es[0].net}, pJ: {self._times()}")
        return "\n".join([*lines, *ASSUMPTIONS])


def _span(values):
    """Format picojoules, or a range of them."""
    values = values if isinstance(values, tuple) else (values,)
    return " to ".join(dict.fromkeys(f"{v:,.0f}" for v in values))


def estimate(net: Module | FrozenNet | Summary, example: Any = None) -> Energy:
    """Estimate the energy of one prediction of a net, and of its float twin with the same shapes.

    Parameters
    ----------
    net : Module, FrozenNet or Summary
        A model, a frozen net, or the summary of one.
    example : array, Bits, or tuple of them, optional
        The inputs of a model, as for `summary`.

    Returns
    -------
    Energy
        The estimates.  A float model has no twin.

    Raises
    ------
    InputError
        If the net multiplies nothing, takes tokens or cannot be frozen, or as for `summary`.

    Examples
    --------
    >>> import bitnet
    >>> import numpy as np
    >>> net = bitnet.nn.models.binary_mlp([784, 64, 10], rng=np.random.default_rng(0))
    >>> binary, twin = estimate(net).estimates
    >>> binary.weight_memory, twin.weight_memory
    ('8K cache', '1M cache')
    """
    table = net if isinstance(net, Summary) else summary(net, example)
    if table.reason:
        came = f"{table.name}, which cannot be frozen: {table.reason}"
        raise InputError(f"energy: got {came}; expected a model that can be frozen")
    if not table.input:
        came = f"{table.name}, which takes tokens"
        raise InputError(f"energy: got {came}; expected a net for images")
    if not any(row.macs for row in table.rows):
        expected = "a net with linear layers or convolutions"
        raise InputError(f"energy: {table.name} has no layer that multiplies; expected {expected}")
    own = [_own(table)] if table.weights else []
    return Energy(table.name, (*own, _twin("float twin" if own else "float", table.rows)))


def _own(table):
    """Estimate the energy of the net of bits."""
    arithmetic = upper = 0.0
    for row in table.rows:
        rest = _floats(row) + ADD_PJ["int32"] * (row.comparisons + row.integer_additions)
        rest += 0 if row.words else FLOAT_PJ * row.macs
        own, most = WORD_PJ * row.words, ADD_PJ["int8"] * row.planes * row.macs
        arithmetic, upper = arithmetic + own + rest, upper + max(own, most) + rest
    n_bytes = table.total("n_bytes") - table.total("n_bytes", name="prepare")
    read = [row.read * row.read_bits / 8 for row in table.rows]
    written = [row.written * row.written_bits / 8 for row in table.rows]
    binary = [*table.weights] == [1] and {row.written_bits for row in table.rows} <= {0, 1, 32}
    name = "binary" if binary else "quantized"
    return _moved(name, table.macs, n_bytes, read, written, (arithmetic, upper))


def _floats(row):
    """Return the energy of the operations on floats besides those of the products."""
    shifted = ADD_PJ["int8"] * row.shifts  # added to the exponents
    return MUL_PJ["fp32"] * row.multiplications + ADD_PJ["fp32"] * row.additions + shifted


def _twin(name, rows):
    """Estimate the energy of a float32 net with the same shapes."""
    products, rest = ([row for row in rows if bool(row.macs) == own] for own in (True, False))
    macs, units, weights, biases = (
        sum(getattr(row, field) for row in products)
        for field in ("macs", "units", "weights", "channels")
    )
    arithmetic = FLOAT_PJ * macs + ADD_PJ["fp32"] * units  # a bias is added
    arithmetic += sum(map(_floats, rest))
    numbers = weights + biases + sum(row.floats for row in rest if row.outputs)
    moved = [4 * row.read for row in rows], [4 * row.written for row in rows]
    return _moved(name, {"float32": macs}, 4 * numbers, *moved, (arithmetic, arithmetic))


def _moved(name, macs, weight_bytes, read, written, arithmetic):
    """Return the Estimate for the bytes that each layer reads and writes."""
    held = max(r + w for r, w in zip(read, written, strict=True))
    n_bytes = sum(read) + sum(written)
    sizes = weight_bytes, held  # both in the smallest memory that holds them
    memories = [next(m for m in MEMORIES if m[1] is None or n <= m[1]) for n in sizes]
    moved = zip((weight_bytes, n_bytes), memories, strict=True)
    costs = (tuple(n / 8 * pj for pj in memory[2:]) for n, memory in moved)
    names = (memory[0] for memory in memories)
    return Estimate(name, macs, int(weight_bytes), round(n_bytes), *names, *arithmetic, *costs)
