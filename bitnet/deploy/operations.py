"""The table of operations of a graph, for the loop of `bitnet.kernels.cpu.program`.

A `Builder` holds the operations so far and the places of values.  The functions in `MAKERS` append
the operations of one kind of node, or give up (`need`) where the loop has none; that node is then
computed by itself, see `segments`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from bitnet.deploy.node import Node
from bitnet.deploy.sizes import BATCH, PACKED, Size
from bitnet.deploy.sources import Constant, Weights
from bitnet.kernels.bits import words_for

PANEL, VECTOR, ALIGNED = 32, 16, 64  # outputs per panel, numbers per vector, bytes
MOST_PLANES = 8
SIZES = {"uint8": 1, "float32": 4, "int32": 4, "int64": 8}  # of values that may enter, in bytes
SIGNS = (1,)  # the coefficients of +1 and -1
STEPS, ROWS = Size(1, ("T",)), Size(1, ("B", "T"))  # of a sequence, which may have one step
MAKERS: dict[type[Node], Callable[..., Any]] = {}


class NotCoveredError(Exception):
    """A node that is not among the operations."""


def need(condition, what):
    """Give up unless a condition holds."""
    if not condition:
        raise NotCoveredError(what)


def maker(*kinds):
    """Return a decorator that enters a function in `MAKERS`."""

    def enter(function):
        MAKERS.update(dict.fromkeys(kinds, function))
        return function

    return enter


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a value is, its bytes per row and per position, and its sizes.

    `at` is the offset in the room of one row, or -1 - the offset in a row of x or of y.
    """

    at: int
    row: int
    step: int
    n: int  # elements per position
    lines: int = 1  # of positions: the rows of an image
    wide: int = 1  # positions per line: its columns
    coefficients: tuple[int, ...] = ()  # of packed values
    offset: int = 0
    unit: float = 1.0
    shift: int = 0  # bytes after the beginning

    @property
    def words(self):
        """The words per plane and position."""
        return words_for(self.n)

    @property
    def vectors(self):
        """The vectors of numbers per position."""
        return -(-self.n // VECTOR)

    @property
    def positions(self):
        """The number of positions."""
        return self.lines * self.wide

    @property
    def line(self):
        """The bytes per line."""
        return self.wide * self.step

    @property
    def plane(self):
        """The bytes per plane."""
        return self.lines * self.line

    @property
    def is_signs(self):
        """Whether the integers are +1 and -1."""
        return self.coefficients == SIGNS and self.offset == 0

    def columns(self, name):
        """Return the columns of an operand, x, or a result, y, in the table."""
        own = {"": self.at, "_shift": self.shift, "_row": self.row, "_line": self.line}
        own |= {"_step": self.step, "_plane": self.plane}
        return {name + key: number for key, number in own.items()}

    def later(self, n_bytes, **changes):
        """Return a place some bytes later, with other changes."""
        return dataclasses.replace(self, shift=self.shift + n_bytes, **changes)


class Builder:
    """The operations of a graph, or of some of its nodes, so far.

    Attributes
    ----------
    rows : list of dict of str to int
        The rows of the table.
    constants : list of uint8 arrays
        Weights, thresholds and floats, each of whole 64 bytes.
    places : dict of int to Place
        Where the values of nodes are.
    states : dict of int to list of Place
        Where the states of cells are.
    entering : list of int
        The nodes whose values are in the rows of x, in this order.
    results : list of (int, Place)
        The nodes whose values are in y, and where, in the order in which they are returned.
    per_row : int
        The bytes of memory of one row.
    work_ns, bytes_ns : float
        The approximate time of one row, and that of matrix products of bytes alone.
    one_step : bool
        Whether sequences (T, B, ...) have one step, so that their rows are the B texts.
    """

    def __init__(self, graph, program, one_step):
        self.graph, self.program, self.one_step = graph, program, one_step
        self.rows, self.constants, self.places, self.states = [], [], {}, {}
        self.entering, self.results = [], []
        self.n_bytes = self.per_row = self.entered = self.left = 0
        self.work_ns = self.bytes_ns = 0
        self.zero = self.constant(np.zeros(1, np.int64))

    def has(self, i):
        """Return whether a value is there, or needs no place."""
        fixed = isinstance(self.graph.nodes[i], (Weights, Constant))
        return fixed or i in self.places or i in self.states

    def cover(self, nodes):
        """Append the operations of nodes, and the values that they need; or none of them."""
        held = {
            name: own.copy() if isinstance(own, (list, dict)) else own
            for name, own in vars(self).items()
        }
        for i in nodes:
            try:
                self._cover(i)
            except NotCoveredError as error:
                vars(self).update(held)
                raise NotCoveredError(f"{self.graph.title(i)}: {error}") from None

    def _cover(self, i):
        """Append the operations of a node, unless they are there."""
        node = self.graph.nodes[i]
        if self.has(i):
            return
        need(type(node) in MAKERS, "no operation")
        for j in node.inputs:
            if not self.has(j):
                self.enter(j)
        place = MAKERS[type(node)](self, i, node)
        if place is not None:
            self.places[i] = place

    def enter(self, i):
        """Set the place of a value from outside: in the rows of x, or copied from there."""
        value, (lines, wide, n) = self.graph.values[i], self.sizes(i)
        need(value.kind in (*SIZES, *PACKED), f"an operand of {value.kind}")
        step, own = SIZES.get(value.kind, 0) * n or 8 * words_for(n), {}
        if value.is_packed:
            own = self.of_codebook(value.codebook)
        x = Place(-1 - self.entered, 0, step, n, lines, wide, **own)
        self.entered += step * x.positions * max(1, len(x.coefficients))
        self.entering.append(i)
        if SIZES.get(value.kind) == 4 and (x.positions > 1 or n % VECTOR):
            x = self.move(x, self.numbers((lines, wide, n)), step)
        self.places[i] = x

    def end(self, outputs):
        """Append the operations that return these values."""
        values, left = self.graph.values, {}
        for i in sorted({*outputs}, key=lambda i: not values[i].is_packed):  # words are aligned
            try:
                left[i] = self.leave(i)
            except NotCoveredError as error:
                raise NotCoveredError(f"{self.graph.title(i)} as a result: {error}") from None
        self.results = [(i, left[i]) for i in outputs]

    def row(self, operation, x=None, y=None, **columns):
        """Append an operation to the table, by default for each position of the result."""
        of = y or x
        need(operation in self.program.OPERATIONS, "no operation")
        own = {"operation": self.program.OPERATIONS.index(operation), "of": self.zero}
        own |= {"lines": of.lines, "wide": of.wide}
        own |= {} if x is None else x.columns("x")
        own |= {} if y is None else y.columns("y")
        self.rows.append(own | columns)
        return y

    def table(self, rows, capacity):
        """Return rows as an array, for values of so many rows of the batch in the room."""

        def number(own, name):
            at = own.get(name, 0)
            if name in ("x", "y", "other"):
                shift = own.get(f"{name}_shift", 0)
                return at - shift if at < 0 else at * capacity + shift
            return at

        return [[number(own, name) for name in self.program.COLUMNS] for own in rows]

    def constant(self, array):
        """Add an array, with zeros after it, to the constants; return its offset in bytes."""
        as_bytes = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        padded = np.zeros(ALIGNED * -(-len(as_bytes) // ALIGNED), np.uint8)
        padded[: len(as_bytes)] = as_bytes
        self.constants.append(padded)
        self.n_bytes += len(padded)
        return self.n_bytes - len(padded)

    def sizes(self, i):
        """Return the lines, positions per line and elements per position of a value's rows."""
        shape = self.graph.values[i].shape
        if self.one_step and shape[0] == STEPS:
            shape = shape[1:]
        need(shape[:1] == (BATCH,) or (self.one_step and shape[0] == ROWS), "rows")
        rest = shape[1:]
        need(all(isinstance(n, int) for n in rest) and len(rest) < 4, "axes")
        return (1, 1, 1, *rest)[-3:]

    def place(self, step, sizes, planes=1, **own):
        """Return a new place in the room."""
        lines, wide, n = sizes
        at, row = self.per_row, ALIGNED * -(-planes * lines * wide * step // ALIGNED)
        self.per_row += row
        return Place(at, row, step, n, lines, wide, **own)

    def numbers(self, sizes):
        """Return a place for integers or floats, in whole panels."""
        return self.place(4 * PANEL * -(-sizes[2] // PANEL), sizes)

    def bytes(self, sizes):
        """Return a place for bytes, of whole words of their planes."""
        return self.place(64 * words_for(sizes[2]), sizes)

    def planes(self, sizes, coefficients, offset=0, unit=1.0):
        """Return a place for planes."""
        own = {"coefficients": coefficients, "offset": offset, "unit": unit}
        return self.place(8 * words_for(sizes[2]), sizes, len(coefficients), **own)

    def packed(self, sizes, codebook=None):
        """Return a place for the planes of a codebook, or for signs."""
        return self.planes(sizes, **self.of_codebook(codebook))

    def of_codebook(self, codebook):
        """Return what a place has of a codebook, or of signs."""
        if codebook is None:
            return {"coefficients": SIGNS}
        need(len(codebook.coefficients) <= MOST_PLANES, "planes")
        own = "coefficients", "offset", "unit"
        return {name: getattr(codebook, name) for name in own}

    def operand(self, i, *kinds):
        """Return the place of a value, which must have one of these types."""
        value, node = self.graph.values[i], self.graph.nodes[i]
        need(value.kind in kinds, f"an operand of {value.kind}")
        if i not in self.places and isinstance(node, Constant) and value.kind == "float32":
            y = self.numbers(self.sizes(i))
            row = self.constant(np.broadcast_to(node.array.reshape(-1), (y.n,)))
            self.places[i] = self.row("fill", y=y, n=4 * y.n, first=row)
        need(i in self.places, "an operand without a place")
        return self.places[i]

    def clear(self, place):
        """Set a place to 0, and return it."""
        return self.row("clear", y=place)

    def move(self, x, y, n_bytes, **columns):
        """Copy bytes of each position."""
        return self.row("move", x, y, n=n_bytes, **columns)

    def append(self, x, y, first, source=0):
        """Write the bits of each position after the first ones, in a place that was cleared.

        In x they begin at bit `source`.
        """
        own = {"lines": x.positions, "wide": 1, "x_line": x.step, "y_line": y.step}
        own |= {"n": x.n, "planes": len(x.coefficients), "number": first, "count": source}
        return self.row("append", x, y, **own)

    def aligned_bytes(self, x, together=4):
        """Return bytes that can be read some together: those of rows, or with zeros after them.

        Nothing else is ever written to a place, and it is 0 at first.
        """
        if x.at >= 0 or (x.positions == 1 and x.n >= 64 and x.n % together == 0):
            return x
        return self.move(x, self.bytes((x.lines, x.wide, x.n)), x.n)

    def split(self, x, coefficients, y=None, **columns):
        """Split bytes into their top planes."""
        x = self.aligned_bytes(x)
        y = y or self.planes((x.lines, x.wide, x.n), coefficients)
        n = x.n if x.at < 0 else 64 * x.words
        return self.row("split", x, y, n=n, planes=len(coefficients), **columns)

    def numbers_of(self, i, *kinds):
        """Return the place of floats or integers; pixels become integers."""
        x = self.operand(i, *kinds)
        if self.graph.values[i].kind != "uint8":
            return x
        return self.change("widen", self.aligned_bytes(x, VECTOR))

    def as_floats(self, i):
        """Return the place of a value as float32."""
        x = self.numbers_of(i, "float32", "int32", "uint8")
        return x if self.graph.values[i].kind == "float32" else self.change("convert", x)

    def integers(self, x):
        """Return the place of the integers of planes."""
        own = {"number": x.offset, "factors": self.constant(np.array(x.coefficients, np.int64))}
        own |= {"planes": len(x.coefficients), "words": x.vectors}
        return self.row("unpack", x, self.numbers((x.lines, x.wide, x.n)), **own)

    def change(self, operation, x):
        """Change floats one by one."""
        return self.row(operation, x, self.numbers((x.lines, x.wide, x.n)), words=x.vectors)

    def combine(self, operation, x, other=None, **own):
        """Combine floats with others, or with constants at an offset."""
        own |= {} if other is None else other.columns("other") | {"other_row": other.row or 1}
        y = self.numbers((x.lines, x.wide, x.n))
        return self.row(operation, x, y, words=x.vectors, **own)

    def leave(self, i):
        """Append the operation that returns a result; return its place."""
        x, value = self.operand(i, "float32", "int32", *PACKED), self.graph.values[i]
        if value.is_packed:
            n_bytes = x.plane * len(x.coefficients)
            need(x.step == 8 * x.words, "words that do not follow each other")
            y = dataclasses.replace(x, at=-1 - self.left, row=n_bytes, shift=0)
            self.move(x, y, n_bytes, lines=1, wide=1)
        else:
            y = Place(-1 - self.left, 4 * x.n * x.positions, 4 * x.n, x.n, x.lines, x.wide)
            self.move(x, y, 4 * x.n)
        self.left += y.row
        return y

    def largest(self):
        """Return the row of the operation that finds the class of a row of the only result."""
        ((i, _),) = self.results
        x, is_float = self.places[i], self.graph.values[i].kind == "float32"
        self.row("largest", x, Place(-1, 8, 8, 1), n=x.n, number=int(is_float))
        return self.rows.pop()
