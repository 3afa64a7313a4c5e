"""The printer of a frozen graph in C: constants, functions, and one step per node.

A `Printer` holds the text so far and the places of values.  The functions in `PRINTERS` print one
kind of node each; a kind without one is refused by name.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from bitnet.deploy.node import Node
from bitnet.deploy.sizes import PACKED, at
from bitnet.deploy.sources import Constant, Weights
from bitnet.errors import InputError
from bitnet.export.c import text
from bitnet.export.c.memory import Buffer, plan

PRINTERS: dict[type[Node], Callable[..., Any]] = {}
SIGNS = (1,)  # the coefficients of +1 and -1
C_TYPES = {"float32": "float", "int32": "int32_t", "bool": "int32_t", "uint8": "uint8_t"}
C_TYPES |= {"int64": "int32_t", "bits": "uint32_t", "planes": "uint32_t"}
USUAL = {"words": "uint32_t", "planes": "uint32_t", "floats": "float", "sums": "uint16_t"}
MOST = 2**31 - 1  # of integers: int64 values of a net have to fit into int32
FORMS = {"planes": 1, "tables": 2, "adds": 3}  # how products of pixels are computed


class NoFormError(Exception):
    """A node that has no form in C."""


def need(condition, what):
    """Refuse a node unless a condition holds."""
    if not condition:
        raise NoFormError(what)


def printer(*kinds):
    """Return a decorator that enters a function in `PRINTERS`."""

    def enter(function):
        PRINTERS.update(dict.fromkeys(kinds, function))
        return function

    return enter


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a value is: an expression in C, its type, its shape, and what packed values stand for.

    Packed values have, for each position (all axes but the last), `planes` rows of `words` words of
    32 bits.  Bytes have a shift, of pixels of which only the top planes are seen.
    """

    at: str
    kind: str
    shape: tuple[int, ...]
    coefficients: tuple[int, ...] = SIGNS
    offset: int = 0
    shift: int = 0
    buffer: Buffer | None = None

    @property
    def size(self):
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def words(self):
        """The words per plane and position."""
        return -(-self.shape[-1] // 32)

    @property
    def planes(self):
        """The number of planes."""
        return 8 - self.shift if self.kind == "uint8" else len(self.coefficients)

    @property
    def step(self):
        """The words per position."""
        return self.planes * self.words

    @property
    def positions(self):
        """The number of positions."""
        return math.prod(self.shape[:-1])

    @property
    def is_packed(self):
        """Whether the value is packed."""
        return self.kind in PACKED

    def has(self, **changes):
        """Return the place with other fields."""
        return dataclasses.replace(self, **changes)


class Printer:
    """The header of a net so far.

    Attributes
    ----------
    sizes : dict of str to int
        The variable sizes of the graph, which are constants in C.
    flash : Counter of str
        The bytes of constants, by the number of the form of products of pixels; 0 for all forms.
    n_seen : int
        The integers of all products of bits.
    """

    def __init__(self, graph, sizes):
        self.graph, self.sizes = graph, sizes
        self.functions, self.constants, self.lines = {}, {}, []
        self.buffers, self.places, self.done = [], {}, set()
        self.arguments, self.step, self.n_seen, self.flash = [], 0, 0, Counter()
        self.uses_forms = False

    def print(self):
        """Print all nodes; refuse one without a form by its title."""
        for i, node in enumerate(self.graph.nodes):
            if i in self.done or isinstance(node, (Weights, Constant)) or self.is_unread(i):
                continue
            self.step = i
            try:
                need(type(node) in PRINTERS, "this kind of node")
                place = PRINTERS[type(node)](self, i, node)
            except NoFormError as error:
                raise self.refusal(i, error) from None
            if place is not None:
                self.places[i] = place

    def refusal(self, i, what):
        """Return the error for a node of which something has no form."""
        expected = "print the net in another language, or use other layers"
        title = self.graph.title(i)
        return InputError(f"{title}: there is no form in C for {what}; {expected}")

    def is_unread(self, i):
        """Return whether nothing takes the value of a node, as that of a fused one."""
        return not self.graph.readers[i] and self.graph.nodes[i].arity[0] > 0

    def value(self, i):
        """Return what is known of the value of a node."""
        return self.graph.values[i]

    def shape(self, i):
        """Return the shape of a value, of ints."""
        return at(self.value(i).shape, self.sizes)

    def operand(self, i):
        """Return the place of a value that the present step reads."""
        node = self.graph.nodes[i]
        if i not in self.places and isinstance(node, Constant):
            self.places[i] = self.fixed(node, i)
        place = self.places[i]
        if place.buffer is not None:
            place.buffer.last = max(place.buffer.last, self.step)
        return place

    def fixed(self, node, i):
        """Return the place of a constant."""
        kind = str(node.array.dtype)
        need(kind in ("float32", "int32"), f"constants of {kind}")
        shape = (1,) * (len(self.shape(i)) - node.array.ndim) + node.array.shape
        return Place(self.constant(f"net_c{i}", node.array), f"flash {kind}", shape)

    def memory(self, arena, n):
        """Return a new buffer, in use from this step to the last one that reads it."""
        own = Buffer(arena, n, self.step, self.step)
        self.buffers.append(own)
        return own

    def scratch(self, arena, n, kind=None):
        """Return an expression of memory that only this step uses, as a pointer to a type of C."""
        own = self.memory(arena, -(-n // 4) if kind == "uint8_t" else n)
        return pointer(own, kind or USUAL[arena])

    def result(self, i):
        """Return the place of the result of node i, in new memory."""
        value, kind, own = self.value(i), self.value(i).kind, {}
        need(kind in C_TYPES, f"values of {kind}")
        need(kind != "int64" or value.largest <= MOST, f"integers up to {value.largest}")
        if kind in PACKED and value.codebook is not None:
            own = {"coefficients": value.codebook.coefficients, "offset": value.codebook.offset}
        place = Place("", kind, self.shape(i), **own)
        n = place.positions * place.step if place.is_packed else place.size
        buffer = self.memory(
            "floats" if kind == "float32" else "words", -(-n // 4) if kind == "uint8" else n
        )
        return place.has(at=pointer(buffer, C_TYPES[kind]), buffer=buffer)

    def constant(self, name, values, form=0):
        """Add an array of constants once, for all forms of products of pixels or for one."""
        values = np.ascontiguousarray(values)
        if name not in self.constants:
            own = text.array(name, values)
            self.constants[name] = guarded(own, f"NET_FIRST == {form}") if form else own
            self.flash[form] += values.nbytes
        return name

    def seen(self, name, values, form):
        """Add an array that counts only where the integers are stored, and return its name."""
        more = f" && NET_FIRST == {form}" if form else ""
        own = text.array(name, np.ascontiguousarray(values))
        self.constants[name] = guarded(own, f"defined(NET_SEEN){more}")
        return name

    def use(self, *names):
        """Add functions of `parts`."""
        for name in names:
            self.functions.setdefault(name, text.part(name))

    def function(self, name, own):
        """Add a function with its text, once."""
        self.functions.setdefault(name, own)

    def add(self, *lines):
        """Add statements to the run of the net."""
        self.lines += lines

    def only_reader(self, i, kind):
        """Return the number of the node that alone reads a value, if it has a class, or None."""
        readers = self.graph.readers[i]
        if len(readers) == 1 and readers[0] >= 0:
            return readers[0] if isinstance(self.graph.nodes[readers[0]], kind) else None
        return None

    def placed(self):
        """Find the places of all buffers; return the elements per arena."""
        return plan(self.buffers)

    def resolved(self, own):
        """Return text with the places of buffers in it."""
        for buffer in self.buffers:
            own = own.replace(buffer.token, str(buffer.at))
        return own


def guarded(own, condition):
    """Return text that counts only under a condition of the preprocessor."""
    return f"#if {condition}\n{own}#endif\n"


def pointer(buffer, kind):
    """Return an expression of a buffer as a pointer to a type of C."""
    own = f"state->{buffer.arena} + {buffer.token}"
    return f"({own})" if kind == USUAL[buffer.arena] else f"(({kind} *)({own}))"
