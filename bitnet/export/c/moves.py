"""Moves of values in C: reshape, transpose, slices, concatenation, and rows of a table."""

import math

import numpy as np

from bitnet.deploy.shapes import (
    Concatenate,
    Flatten,
    Gather,
    Reshape,
    Select,
    Slice,
    Take,
    Transpose,
    Upsample,
)
from bitnet.export.c.forms import matrix_of
from bitnet.export.c.numbers import element, kind_of, loops
from bitnet.export.c.printer import need, printer


@printer(Flatten, Reshape)
def reshape(p, i, node):
    """Keep the elements where they are; packed rows that become longer are joined."""
    x, shape = p.operand(node.inputs[0]), p.shape(i)
    if not x.is_packed or x.shape[-1] == shape[-1]:
        return x.has(shape=shape)
    if x.shape[-1] % 32 == 0 and x.planes == 1:
        return x.has(shape=shape)
    y, n = p.result(i), x.shape[-1]
    p.use("copy_bits")
    per = x.positions // y.positions
    source = f"{x.at} + (r * {per} + i) * {x.step} + b * {x.words}"
    target = f"{y.at} + r * {y.step} + b * {y.words}"
    p.add("{", "int r, i, b;", f"for (r = 0; r < {y.positions}; r++)")
    p.add(f"for (b = 0; b < {x.planes}; b++)", f"for (i = 0; i < {per}; i++)")
    p.add(f"    net_copy_bits({target}, i * {n}, {source}, 0, {n});", "}")
    return y


def gathered(p, i, x, index):
    """Print a copy of the elements of x at an index, an expression of the loops' letters."""
    y = p.result(i)
    letters, opened, closed = loops(y.shape)
    steps = [math.prod(y.shape[k + 1 :]) for k in range(len(y.shape))]
    at = " + ".join(f"{letter} * {step}" for letter, step in zip(letters, steps, strict=False))
    p.add("{", *opened, f"({y.at})[{at or '0'}] = {element(x, index(letters))};", *closed, "}")
    return y


def steps_of(x):
    """Return the elements between neighbours on each axis."""
    return [math.prod(x.shape[k + 1 :]) for k in range(len(x.shape))]


def total(terms):
    """Return the sum of terms as an expression."""
    return " + ".join(terms) or "0"


@printer(Transpose)
def transpose(p, i, node):
    """Print a copy with the axes in another order."""
    x = p.operand(node.inputs[0])
    steps = [steps_of(x)[axis] for axis in node.axes]
    return gathered(
        p, i, x, lambda own: total(f"{a} * {s}" for a, s in zip(own, steps, strict=True))
    )


@printer(Slice)
def sliced(p, i, node):
    """Print a copy of the elements at an index."""
    x = p.operand(node.inputs[0])
    grid = np.arange(x.size).reshape(x.shape)[node.index]
    first = int(grid.flat[0]) if grid.size else 0
    steps = [s // grid.itemsize for s in grid.strides]
    return gathered(
        p,
        i,
        x,
        lambda own: total([str(first), *(f"{a} * {s}" for a, s in zip(own, steps, strict=True))]),
    )


@printer(Select)
def select(p, i, node):
    """Print a copy of the elements at constant ids of an axis."""
    x = p.operand(node.inputs[0])
    ids, steps = p.constant(f"net_ids{i}", node.ids.astype(np.int32)), steps_of(x)

    def index(own):
        own = [*own]
        own[node.axis] = f"NET_READ32S({ids} + {own[node.axis]})"
        return total(f"{a} * {s}" for a, s in zip(own, steps, strict=True))

    return gathered(p, i, x, index)


@printer(Take)
def take(p, i, node):
    """Print a copy of one step of each sequence."""
    x, steps = (p.operand(j) for j in node.inputs)
    _, b, n = x.shape
    chosen = element(steps, "i0")
    chosen = f"({chosen} < 0 ? {chosen} + {x.shape[0]} : {chosen})"
    return gathered(p, i, x, lambda own: f"({chosen} * {b} + {own[0]}) * {n} + {own[1]}")


@printer(Concatenate)
def concatenate(p, i, node):
    """Print copies side by side."""
    parts, y, at = [p.operand(j) for j in node.inputs], p.result(i), 0
    m = y.shape[-1]
    p.add("{", "int r, k;", "(void)k;")
    for x in parts:
        n = x.shape[-1]
        p.add(f"for (r = 0; r < {x.positions}; r++)")
        if x.is_packed:
            p.use("copy_bits")
            source = f"{x.at} + r * {x.step} + k * {x.words}"
            target = f"{y.at} + r * {y.step} + k * {y.words}"
            p.add(f"for (k = 0; k < {x.planes}; k++)")
            p.add(f"    net_copy_bits({target}, {at}, {source}, 0, {n});")
        else:
            p.add(f"for (k = 0; k < {n}; k++)")
            p.add(f"    ({y.at})[r * {m} + {at} + k] = {element(x, f'r * {n} + k')};")
        at += n
    p.add("}")
    return y


@printer(Gather)
def gather(p, i, node):
    """Print the rows of a table at ids."""
    ids, y = p.operand(node.inputs[1]), p.result(i)
    own = p.graph.nodes[node.inputs[0]]
    n = y.shape[-1]
    if hasattr(own, "packed"):
        table, per = p.constant(f"net_table{i}", matrix_of(own).packed()), y.step
        read = f"NET_READ32({table} + {element(ids, 'r')} * {per} + k)"
    else:
        table = p.operand(node.inputs[0])
        need(kind_of(table) in ("float32", "int32"), f"a table of {table.kind}")
        per, read = n, element(table, f"{element(ids, 'r')} * {n} + k")
    p.add("{", "int r, k;", f"for (r = 0; r < {ids.size}; r++)", f"for (k = 0; k < {per}; k++)")
    p.add(f"    ({y.at})[r * {per} + k] = {read};", "}")
    return y


@printer(Upsample)
def upsample(p, i, node):
    """Print each pixel several times."""
    x, y, (down, right) = p.operand(node.inputs[0]), p.result(i), node.factors
    per = x.step if x.is_packed else x.shape[-1]
    _, rows, columns, _ = y.shape
    source = f"(r / {down} * {x.shape[2]} + c / {right}) * {per} + k"
    p.add("{", "int r, c, k;", f"for (r = 0; r < {rows}; r++)", f"for (c = 0; c < {columns}; c++)")
    target = f"({y.at})[(r * {columns} + c) * {per} + k]"
    p.add(f"for (k = 0; k < {per}; k++)", f"    {target} = ({x.at})[{source}];", "}")
    return y
