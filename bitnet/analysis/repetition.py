"""Filter repetition: the number of different 2-D filters in a ±1 convolution.

A filter with n taps has n bits, so there are at most 2^n different filters, and half as many if a
filter and its negation count as one: 256 with 3x3 taps.  Equal filters on the same input channel
have equal products with it, and opposite filters opposite products.  In their net for CIFAR-10 the
papers (section on filter repetition) find 42 % unique filters per layer on average, and conclude
that the number of XNOR operations could be divided by about 3.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bitnet.analysis.table import aligned, count, percent
from bitnet.arrays import to_cpu
from bitnet.deploy import FrozenNet
from bitnet.deploy.runtime import weight_bits
from bitnet.errors import InputError
from bitnet.kernels import WORD_BITS, Bits
from bitnet.nn import Module, QuantConv2d

PAPERS_SHARE = 0.42  # unique filters per layer on average, in the papers' net for CIFAR-10


def unique_rows(rows):
    """Return the different rows of integers (R, C), sorted by bytes, and the index of each row."""
    rows = np.ascontiguousarray(rows)
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    unique, of = np.unique(whole, return_inverse=True)  # a row is one element, however long
    return unique.view(rows.dtype).reshape(len(unique), rows.shape[1]), of


@dataclasses.dataclass(frozen=True)
class Repetition:
    """The numbers of all and of different 2-D filters of a layer."""

    outputs: int  # M
    inputs: int  # C / groups
    rows: int  # rows of taps
    columns: int  # columns of taps
    unique: int  # different filters on the same input channel, summed over the channels
    up_to_sign: int  # the same, where a filter and its negation count as one
    different: int  # different filters in the whole layer, up to sign
    groups: int = 1  # groups of channels; filters of different groups have different inputs

    @property
    def filters(self):
        """The number of 2-D filters, M * C / groups."""
        return self.outputs * self.inputs

    @property
    def share(self):
        """The fraction of filters that are unique up to sign: 42 % in the papers."""
        return self.up_to_sign / self.filters

    @property
    def saved(self):
        """The fraction of XNOR operations that could be saved in principle.

        Each unique filter is then applied once to its input channel.  The M * C additions per
        output pixel that remain are not counted.
        """
        return 1 - self.share

    @property
    def share_of_random(self):
        """The expected fraction of unique filters up to sign among as many random filters."""
        m = self.outputs // self.groups
        if self.rows * self.columns == 1:
            return 1 / m
        kinds = math.ldexp(1.0, min(self.rows * self.columns - 1, 1000))
        missed = math.expm1(m * math.log1p(-1 / kinds))  # (1 - 1 / kinds)^m - 1
        return -missed * kinds / m

    def as_dict(self):
        """Return the counts and fractions in the form of JSON."""
        shares = {name: getattr(self, name) for name in ("filters", "share", "saved")}
        return {**dataclasses.asdict(self), **shares, "share_of_random": self.share_of_random}


def repetition(bits, groups=1):
    """Count the different 2-D filters of a convolution, Bits (M, rows, columns, C / groups).

    At most 64 input channels are unpacked at a time.
    """
    if not isinstance(bits, Bits) or bits.ndim != 4 or not bits.size:
        came = f"Bits of shape {bits.shape}" if isinstance(bits, Bits) else type(bits).__name__
        raise InputError(f"repetition: got {came}; expected Bits (M, rows, columns, C), not empty")
    m, rows, columns, channels = bits.shape
    if not 1 <= groups <= m or m % groups:
        came = f"groups is {groups} for {m} filters"
        raise InputError(f"repetition: {came}; expected a divisor of {m}")
    unique = up_to_sign = 0
    kinds = None
    for first, word in itertools.product(range(0, m, m // groups), range(bits.words.shape[3])):
        own = slice(first, first + m // groups)
        n = min(WORD_BITS, channels - word * WORD_BITS)
        part = Bits(bits.words[own, ..., word : word + 1], (m // groups, rows, columns, n))
        taps = (part.signs() > 0).reshape(len(part), rows * columns, n)
        negated = taps[:, 0]  # (m, n)
        codes = np.packbits((taps ^ negated[:, None]).transpose(2, 0, 1), axis=2)  # (n, m, octets)
        seen = unique_rows(codes.reshape(n * len(part), -1))[0]
        kinds = seen if kinds is None else unique_rows(np.concatenate([kinds, seen]))[0]
        for channel in range(n):
            of = unique_rows(codes[channel])[1]
            up_to_sign += int(of.max()) + 1
            unique += len(np.unique(2 * of + negated[:, channel]))
    return Repetition(m, channels, rows, columns, unique, up_to_sign, len(kinds), groups)


class Repetitions:
    """The filter repetition of each convolution of a net; `str` is a table."""

    def __init__(self, layers: Mapping[str, Repetition], left_out: Iterable[str] = ()) -> None:
        self.layers, self.left_out = dict(layers), tuple(left_out)

    def __repr__(self) -> str:
        return f"Repetitions({len(self.layers)} layers, {percent(self.share)} unique filters)"

    @property
    def share(self) -> float:
        """The mean fraction of unique filters up to sign over the layers: 42 % in the papers."""
        return sum(found.share for found in self.layers.values()) / len(self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Return the table in the form of JSON."""
        layers = [{"layer": name, **found.as_dict()} for name, found in self.layers.items()]
        table: dict[str, Any] = {"layers": layers, "left_out": [*self.left_out]}
        return table | {"share": self.share, "papers_share": PAPERS_SHARE}

    def __str__(self) -> str:
        titles = "layer", "filters", "2-D", "unique", "up to sign", "in the layer", "share"
        rows = [(*titles, "at random")]
        for name, r in self.layers.items():
            size = f"{r.outputs}x{r.inputs}x{r.rows}x{r.columns}"
            counts = map(count, (r.filters, r.unique, r.up_to_sign, r.different))
            rows.append((name, size, *counts, percent(r.share), percent(r.share_of_random)))
        at_random = sum(r.share_of_random for r in self.layers.values()) / len(self.layers)
        rows.append(("average", *5 * "-", percent(self.share), percent(at_random)))
        rows.append(("papers", *5 * "-", percent(PAPERS_SHARE), "-"))
        saved = f"{percent(1 - self.share)} on average, without M*C additions per pixel."
        left = [f"not counted, as not ±1: {', '.join(self.left_out)}"] if self.left_out else []
        saved = f"XNOR operations saved in principle: {saved}"
        return "\n".join([*aligned(rows), *NOTES, *left, saved])


NOTES = (
    "2-D: all M*C filters; unique: different on the same input channel; up to sign: a filter and",
    "its negation count as one; in the layer: different on any channel, up to sign; share: up to",
    "sign / 2-D; at random: the same for random signs; papers: average over the layers of their",
    "CIFAR-10 net.",
)


def repetitions(net: FrozenNet | Module) -> Repetitions:
    """Count the different 2-D filters in each binary convolution of a net.

    Parameters
    ----------
    net : FrozenNet or Module
        A frozen net, or a model with `BinaryConv2d`, or `QuantConv2d` with 1-bit weights.

    Returns
    -------
    Repetitions
        The counts, which print as a table, with the names of the convolutions that are not binary.

    Raises
    ------
    InputError
        If the net has no binary convolution.

    Examples
    --------
    >>> import bitnet
    >>> rng = np.random.default_rng(0)
    >>> net = bitnet.nn.models.binary_convnet((8, 8, 1), [(512,)], [10], rng=rng)
    >>> repetitions(net).layers["layers.0"].up_to_sign  # of 256 possible ones
    229
    """
    if isinstance(net, FrozenNet):
        layers = [(own.name or str(i), own) for i, own in enumerate(net.layers)]
        layers = [(name, own) for name, own in layers if own.kind == "conv"]
        filters = [(name, to_cpu(c.bits), weight_bits(c), c.groups) for name, c in layers]
    elif isinstance(net, Module):
        modules: list[tuple[str, Any]] = [*net.named_modules()]
        convs = [own for own in modules if isinstance(own[1], QuantConv2d)]
        filters = [(n, to_cpu(c.packed), c.weight_quantizer.bits, c.groups) for n, c in convs]
    else:
        raise InputError(f"repetitions: got {type(net).__name__}; expected a model or FrozenNet")
    found = {name: repetition(own, n) for name, own, _, n in filters if isinstance(own, Bits)}
    left_out = [f"{name} with {b}-bit weights" for name, _, b, _ in filters if name not in found]
    if not found:
        came = f"{net!r:.100}, which has {', '.join(left_out) or 'no convolutions of bits':.200}"
        expected = "±1 filters, so train convolutions with 1-bit weights"
        raise InputError(f"repetitions: got {came}; expected {expected}")
    return Repetitions(found, left_out)
