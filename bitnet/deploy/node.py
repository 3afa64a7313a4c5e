"""The base of the nodes of a frozen graph, and how their fields are stored in a file.

A node computes one value from those of earlier nodes.  `value` says what is known of the result
before any input, and refuses operands that do not fit; `run` computes it.  Each field is a part of
the header (numbers, windows, codebooks) or an array.
"""

import dataclasses
import functools
import math
import typing
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import numpy as np

from bitnet.arrays import Array, array_module, is_array, moved, to_cpu
from bitnet.deploy.sizes import Value, elements, in_header, shape_of
from bitnet.errors import InputError
from bitnet.kernels import Codebook, Window

WINDOW = {field.name for field in dataclasses.fields(Window)}
MACS = 32  # multiply-accumulates take as long as one element of other nodes
LEVELS = ("patterns", "coefficients", "unit", "offset")


@dataclasses.dataclass(frozen=True)
class Form:
    """How a field is stored: in the header by these two functions, or as an array of some types."""

    read: Callable[[Any], Any] = lambda given: given
    write: Callable[[Any], Any] = lambda value: value
    types: tuple[str, ...] = ()  # of an array

    @property
    def is_array(self):
        """Whether the field is an array."""
        return bool(self.types)


def check_names(what, given, names, optional=()):
    """Refuse a header or arrays whose names are not these."""
    if not isinstance(given, dict) or not set(names) <= set(given) <= {*names, *optional}:
        found = sorted(given) if isinstance(given, dict) else given
        raise InputError(f"{what} has {found!r:.80}; expected {', '.join(sorted(names))}")


def whole(given, least=1):
    """Return a whole number in a header."""
    if type(given) is not int or not least <= given < 1 << 31:
        expected = f"a whole number of {least} or more"
        raise InputError(f"the header has {given!r:.60}; expected {expected}")
    return given


def number(given):
    """Return a finite number in a header."""
    if type(given) not in (int, float) or not math.isfinite(given):
        raise InputError(f"the header has {given!r:.60}; expected a finite number")
    return float(given)


def flag(given):
    """Return a truth value in a header."""
    if type(given) is not bool:
        raise InputError(f"the header has {given!r:.60}; expected true or false")
    return given


def integers(given):
    """Return a tuple of ints in a header."""
    if not isinstance(given, list) or not all(type(n) is int and abs(n) < 1 << 31 for n in given):
        raise InputError(f"the header has {given!r:.60}; expected a list of whole numbers")
    return tuple(given)


def window_from(given):
    """Return the Window in a header."""
    if not isinstance(given, dict) or set(given) | {"dilation"} != WINDOW:
        expected = f"a dict with {', '.join(sorted(WINDOW))}"
        raise InputError(f"the header has the window {given!r:.60}; expected {expected}")
    return Window(**given)


def window_in_header(window):
    """Return a Window in the form of JSON, without a dilation of 1."""
    own = dataclasses.asdict(window)
    return own if window.is_dilated else {name: own[name] for name in own if name != "dilation"}


def codebook_from(given):
    """Return the Codebook in a header; null stands for the signs."""
    if given is None:
        return None
    check_names("the header of a codebook", given, LEVELS)
    patterns, coefficients, offset = (given[key] for key in ("patterns", "coefficients", "offset"))
    numbers = [*integers(patterns), *integers(coefficients), *integers([offset])]
    if min(numbers[: len(patterns)], default=0) < 0:
        raise InputError(f"the header has the patterns {patterns!r:.60}; expected 0 or more")
    return Codebook(patterns, coefficients, number(given["unit"]), offset)


def codebook_in_header(codebook):
    """Return a Codebook in the form of JSON, null for the signs."""
    if codebook is None:
        return None
    parts = codebook.patterns.tolist(), list(codebook.coefficients), codebook.unit, codebook.offset
    return dict(zip(LEVELS, parts, strict=True))


Whole = Annotated[int, Form(whole)]
Number = Annotated[float, Form(number)]
Flag = Annotated[bool, Form(flag)]
Integers = Annotated[tuple[int, ...], Form(integers, list)]
Shape = Annotated[tuple, Form(shape_of, in_header)]
Taps = Annotated[Any, Form(window_from, window_in_header)]  # a Window
Book = Annotated[Codebook | None, Form(codebook_from, codebook_in_header)]
FloatArray = Annotated[Array, Form(types=("<f4", "<f8"))]
Int32Array = Annotated[Array, Form(types=("<i4",))]
BoolArray = Annotated[Array, Form(types=("|b1",))]


@functools.cache
def forms_of(kind):
    """Return the forms of the stored fields of a class of nodes, by name."""
    hints = typing.get_type_hints(kind, include_extras=True)
    own = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    forms = ((name, *getattr(hint, "__metadata__", ())) for name, hint in own.items())
    return dict(pair for pair in forms if len(pair) == 2)


@dataclasses.dataclass(frozen=True)
class Node:
    """A node: its kind, the numbers of the nodes whose values it takes, and its name in the model.

    Subclasses are frozen dataclasses, whose stored fields are annotated with a Form.
    """

    kind: str
    inputs: tuple[int, ...] = ()
    name: str = dataclasses.field(default="", kw_only=True)

    arity: ClassVar[tuple[int, int]] = (1, 1)  # least and most operands
    needs_axes: ClassVar[bool] = True  # whether operands have one axis or more

    def value(self, *values: Value) -> Value:
        """Return what is known of the result; refuse operands or fields that do not fit."""
        raise TypeError(f"{type(self).__name__} has no value; a Node defines it")

    def work(self, value: Value, *values: Value) -> int:
        """Return the work for one input in a sequence of one step: about the elements computed.

        `MACS` multiply-accumulates of a product count as one.
        """
        return elements(value.shape)

    def run(self, sizes, *operands):
        """Return the result for operands, with the variable sizes by name."""
        raise TypeError(f"{type(self).__name__} has no run; a Node defines it")

    def __getstate__(self):
        """Pickle the fields alone, without what was computed from them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def _moved(self, move):
        """Return a copy with moved arrays; see `bitnet.arrays.moved`."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        held = {name: x for name, x in own.items() if is_array(x) or hasattr(x, "_moved")}
        return dataclasses.replace(self, **moved(held, move))

    def contents(self):
        """Return the header of the node in a file, and its arrays by name."""
        header: dict[str, Any] = {"kind": self.kind, "inputs": list(self.inputs)}
        header |= {"name": self.name} if self.name else {}
        arrays = {}
        for name, form in forms_of(type(self)).items():
            own = getattr(self, name)
            if form.is_array:
                own = to_cpu(own)
                arrays[name] = own.astype(own.dtype.newbyteorder("<"), copy=False)
            else:
                header[name] = form.write(own)
        return header, arrays

    @classmethod
    def from_contents(cls, header, arrays):
        """Return the node with this header and these arrays."""
        forms = forms_of(cls)
        names = {own: form for own, form in forms.items() if not form.is_array}
        check_names("the header", header, ["kind", "inputs", *names], ["name"])
        check_names("the file", arrays, forms.keys() - names)
        fields = {own: form.read(header[own]) for own, form in names.items()}
        return cls(header["kind"], tuple(header["inputs"]), **fields, **arrays, **_name(header))

    def check_array(self, name, shape=None):
        """Refuse an array with a wrong type or shape, or one that is not finite."""
        array, types = getattr(self, name), forms_of(type(self))[name].types
        if array.dtype.newbyteorder("<").str not in types or shape not in (None, array.shape):
            expected = f"{' or '.join(types)} of shape {'any' if shape is None else shape}"
            raise InputError(f"{name} is {array.dtype} of shape {array.shape}; expected {expected}")
        if not array_module(array).isfinite(array).all():
            raise InputError(f"{name} holds NaN or infinity; expected finite numbers")

    def arrays(self):
        """Return the arrays of the node."""
        held = (getattr(own, "_held", own) for own in vars(self).values())
        return [own for own in held if is_array(own)]

    def unlike(self, expected, *values):
        """Return the InputError for operands that do not fit."""
        came = ", ".join(map(repr, values)) or "none"
        return InputError(f"operands {came}; expected {expected}")


def _name(header):
    """Return the name in a header as an argument."""
    name = header.get("name", "")
    if not isinstance(name, str):
        raise InputError(f"the header has the name {name!r:.60}; expected text")
    return {"name": name}


def largest_of(array):
    """Return the largest absolute value in an array of integers."""
    return int(max(array.max(), -int(array.min()))) if array.size else 0


def numpy_kind(array):
    """Return the name of an array's type."""
    return str(np.dtype(array.dtype.newbyteorder("=")))
