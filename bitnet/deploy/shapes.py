"""Nodes that move values, pool them, or look them up in a table; packed values stay packed."""

import dataclasses
import math
from typing import Annotated

from bitnet import kernels
from bitnet.arrays import Array, array_module, is_array
from bitnet.deploy.node import Form, Integers, Node, Shape, Taps, whole
from bitnet.deploy.products import images_after, seen_by
from bitnet.deploy.sizes import INTEGERS, PACKED, Value, at, joined, total
from bitnet.errors import InputError
from bitnet.kernels import BitPlanes, Bits


@dataclasses.dataclass(frozen=True)
class Pool(Node):
    """The maximum of each window, the sum of integers, or the mean of floats."""

    window: Taps = None

    def value(self, x):
        shape = images_after(self.window, x.shape)
        if self.kind == "maxpool":
            if x.kind == "int64":
                raise self.unlike("floats, int32, pixels or packed values", x)
            return x.has(shape)
        if self.kind == "avgpool":
            if not x.is_float:
                raise self.unlike("floats", x)
            return x.has(shape)
        if x.kind not in ("int32", *PACKED):
            raise self.unlike("int32 or packed values", x)
        return Value(shape, "int32", x.largest * self.window.taps, by_row=x.by_row)

    def work(self, value, *values):
        return seen_by(self.window, value.shape)

    def run(self, sizes, x):
        """Return the pooled images."""
        if self.kind != "maxpool":
            return kernels.sum_pool(x, self.window)
        if is_array(x):
            return kernels.max_pool(x, self.window)[0]
        return kernels.max_pool_bits(x, self.window)


@dataclasses.dataclass(frozen=True)
class Flatten(Node):
    """Images as rows."""

    def value(self, x):
        if len(x.shape) < 2:
            raise self.unlike("values (B, ...)", x)
        return x.has((x.shape[0], total(x.shape[1:])))

    def run(self, sizes, x):
        """Return rows (B, N)."""
        if is_array(x):
            return x.reshape(x.shape[0], math.prod(x.shape[1:]))
        return kernels.flatten(x)


@dataclasses.dataclass(frozen=True)
class Reshape(Node):
    """The same elements in another shape; packed ones keep their last axis."""

    shape: Shape = ()
    needs_axes = False

    def value(self, x):
        packed = x.is_packed and x.shape[-1:] != self.shape[-1:]
        if packed or total(x.shape) != total(self.shape):
            came = "as many elements, packed ones with the same last axis,"
            raise self.unlike(f"{came} as {self.shape}", x)
        by_row = x.by_row and self.shape[:1] == x.shape[:1]
        return dataclasses.replace(x.has(self.shape), by_row=by_row)

    def run(self, sizes, x):
        """Return the elements in their new shape."""
        return kernels.reshape(x, at(self.shape, sizes))


@dataclasses.dataclass(frozen=True)
class Upsample(Node):
    """Each pixel several times, down and to the right."""

    factors: Integers = ()

    def value(self, x):
        fixed = len(x.shape) == 4 and all(isinstance(size, int) for size in x.shape[1:])
        if not fixed or len(self.factors) != 2 or min(self.factors) < 1:
            raise self.unlike("images (B, H, W, C), and two factors of 1 or more", x)
        (down, right), (n, height, width, channels) = self.factors, x.shape
        return x.has((n, height * down, width * right, channels))

    def run(self, sizes, x):
        """Return the larger images."""
        return kernels.upsample(x, self.factors)


@dataclasses.dataclass(frozen=True)
class Transpose(Node):
    """The axes of numbers in another order."""

    axes: Integers = ()

    def value(self, x):
        if x.is_packed or sorted(self.axes) != list(range(len(x.shape))):
            raise self.unlike(f"numbers with as many axes as {self.axes}", x)
        moved = x.has(x.shape[axis] for axis in self.axes)
        return dataclasses.replace(moved, by_row=x.by_row and self.axes[0] == 0)

    def run(self, sizes, x):
        """Return the array with its axes in this order."""
        return x.transpose(self.axes)


@dataclasses.dataclass(frozen=True)
class Concatenate(Node):
    """Values side by side along the last axis."""

    arity = (1, 1 << 12)

    def value(self, *parts):
        ends = [part.shape[-1] for part in parts]
        same = len({part.shape[:-1] for part in parts}) == len({p.kind for p in parts}) == 1
        books = [part.codebook for part in parts]
        if same and books[0] is not None:
            planes = {(b.coefficients, b.offset, b.unit) for b in books}
            same = len(planes) == 1
        if not same or not all(isinstance(own, int) for own in ends):
            raise self.unlike(
                "values of one type, with shapes that differ in the last axis", *parts
            )
        largest = None if parts[0].is_float else max(part.largest for part in parts)
        shape = (*parts[0].shape[:-1], sum(ends))
        return Value(shape, parts[0].kind, largest, books[0], joined(parts))

    def run(self, sizes, *parts):
        """Return the values side by side."""
        return kernels.concatenate(parts)


def _in_header(part):
    """Return a part of an index in the form of JSON."""
    if isinstance(part, slice):
        return {"slice": [part.start, part.stop, part.step]}
    return {type(...): "...", type(None): "new axis"}.get(type(part), part)


def _index_from(given):
    """Return an index in a header."""
    names = {"...": ..., "new axis": None}
    if not isinstance(given, list) or len(given) > 16:
        raise InputError(f"the header has the index {given!r:.60}; expected a list")
    parts = []
    for part in given:
        if isinstance(part, dict) and part.keys() == {"slice"}:
            ends = part["slice"]
            fits = isinstance(ends, list) and len(ends) == 3 and ends[2] != 0
            if not fits or not all(
                e is None or (type(e) is int and abs(e) < 1 << 31) for e in ends
            ):
                raise InputError(f"the header has {part!r:.60}; expected start, stop and step")
            parts.append(slice(*ends))
        elif isinstance(part, str) and part in names:
            parts.append(names[part])
        elif type(part) is int and abs(part) < 1 << 31:
            parts.append(part)
        else:
            raise InputError(f"the header has {part!r:.60}; expected a part of an index")
    return tuple(parts)


Index = Annotated[tuple, Form(_index_from, lambda index: [*map(_in_header, index)])]


@dataclasses.dataclass(frozen=True)
class Slice(Node):
    """An index of ints, slices and new axes, as NumPy's."""

    index: Index = ()
    needs_axes = False

    def value(self, x):
        if x.is_packed:
            raise self.unlike("numbers", x)
        missing = len(x.shape) - sum(part is not None and part is not ... for part in self.index)
        if missing < 0 or sum(part is ... for part in self.index) > 1:
            raise self.unlike(f"an array with more axes, for the index {self.index}", x)
        parts = [*self.index] if ... in self.index else [*self.index, ...]
        where = parts.index(...)
        parts[where : where + 1] = [slice(None)] * missing
        shape, axes = [], iter(x.shape)
        for part in parts:
            if part is None:
                shape.append(1)
                continue
            size = next(axes)
            if isinstance(part, slice):
                shape.append(_sliced(size, part))
            elif isinstance(size, int) and not -size <= part < size:
                raise self.unlike(f"an array that has the element {part}", x)
        whole = not parts or (parts[0] == slice(None))
        return dataclasses.replace(x.has(shape), by_row=x.by_row and whole)

    def run(self, sizes, x):
        """Return `x[index]`, an array."""
        return array_module(x).asarray(_indexed(x, self.index))


def _indexed(x, index):
    """Return x[index]; refuse an index that the sizes of the inputs do not have."""
    try:
        return x[index]
    except IndexError as error:
        raise InputError(f"an index into values of shape {x.shape}: {error}") from None


def _sliced(size, part):
    """Return the size of an axis after a slice."""
    if isinstance(size, int):
        return len(range(*part.indices(size)))
    if part == slice(None, None, -1):
        return size
    start, stop = part.start or 0, part.stop or 0
    if part.step not in (None, 1) or start < 0 or stop > 0:
        came = f"{part} of an axis whose size {size} depends on the inputs"
        raise InputError(f"{came}; expected one such as [2:], [:-1] or [::-1]")
    return size + (stop - start) if stop or start else size


@dataclasses.dataclass(frozen=True)
class Gather(Node):
    """The rows of a table at integer ids, packed if the table is."""

    arity = (2, 2)

    def value(self, table, ids):
        fixed = all(isinstance(size, int) for size in table.shape)
        if len(table.shape) != 2 or not fixed or ids.kind not in INTEGERS:
            raise self.unlike("a table (V, N) and integer ids", table, ids)
        if ids.largest >= table.shape[0]:
            raise InputError(f"ids of up to {ids.largest} for a table of {table.shape[0]} rows")
        value = table.has((*ids.shape, table.shape[1]))
        return dataclasses.replace(value, by_row=joined((table, ids)))

    def run(self, sizes, table, ids):
        """Return rows (..., N)."""
        if is_array(table):
            return table[ids]
        planes = table.bits if isinstance(table, BitPlanes) else table
        words = planes.words[..., ids, :]
        bits = Bits(words, (*words.shape[:-1], table.shape[-1]))
        return table.with_bits(bits) if isinstance(table, BitPlanes) else bits


@dataclasses.dataclass(frozen=True)
class Select(Node):
    """The elements of one axis at constant ids, such as channels in another order."""

    axis: Annotated[int, Form(lambda given: whole(given, 0))] = 0
    ids: Annotated[Array, Form(types=("<i8",))] = None

    def value(self, x):
        if x.is_packed or self.axis >= len(x.shape) or not isinstance(x.shape[self.axis], int):
            raise self.unlike(f"numbers with an axis {self.axis} of fixed size", x)
        size = x.shape[self.axis]
        self.check_array("ids")
        if self.ids.ndim != 1 or (
            self.ids.size and not 0 <= self.ids.min() <= self.ids.max() < size
        ):
            raise InputError(f"ids of shape {self.ids.shape}; expected numbers below {size}")
        shape = (*x.shape[: self.axis], len(self.ids), *x.shape[self.axis + 1 :])
        return dataclasses.replace(x.has(shape), by_row=x.by_row and self.axis > 0)

    def run(self, sizes, x):
        """Return the selected elements."""
        return x[(slice(None),) * self.axis + (self.ids,)]


@dataclasses.dataclass(frozen=True)
class Take(Node):
    """One step of each sequence: `x[steps[b], b]` of x (T, B, N)."""

    arity = (2, 2)

    def value(self, x, steps):
        fits = not x.is_packed and len(x.shape) == 3 and steps.shape == x.shape[1:2]
        if not fits or steps.kind not in INTEGERS:
            raise self.unlike("numbers (T, B, N) and integers (B,)", x, steps)
        return x.has(x.shape[1:])

    def run(self, sizes, x, steps):
        """Return the steps, (B, N)."""
        return _indexed(x, (steps, array_module(x).arange(x.shape[1])))


KINDS: dict[str, type[Node]] = {
    "maxpool": Pool,
    "sumpool": Pool,
    "avgpool": Pool,
    "flatten": Flatten,
    "reshape": Reshape,
    "upsample": Upsample,
}
KINDS |= {"transpose": Transpose, "concatenate": Concatenate, "slice": Slice, "gather": Gather}
KINDS |= {"take": Take, "select": Select}
