"""The operations on floats, on the shapes of values and of recurrent cells; see `operations`."""

import dataclasses

import numpy as np

from bitnet.deploy import cells, floats, shapes
from bitnet.deploy.covered_images import joined
from bitnet.deploy.covered_products import linear_of, quantized, weighed
from bitnet.deploy.operations import STEPS, maker, need
from bitnet.deploy.sizes import PACKED
from bitnet.deploy.sources import Constant, Weights
from bitnet.kernels import Bits

BINARY = ("add", "subtract", "multiply", "divide", "prelu")


@maker(floats.Affine)
def affine(self, i, node):
    """Compute `(x - mean) * scale + shift`."""
    need(node.mean.dtype == np.float32, "float64")
    x, own = self.as_floats(node.inputs[0]), (node.mean, node.scale, node.shift)
    at = dict(zip(("first", "second", "third"), map(self.constant, own), strict=True))
    return self.row("affine", x, self.numbers(self.sizes(i)), words=x.vectors, **at)


@maker(floats.Binary)
def binary(self, i, node):
    """Combine two floats of one shape, or floats and constants per column."""
    values, (first, second) = self.graph.values, node.inputs
    other = self.graph.nodes[second]
    need(values[i].kind == "float32" and values[first].shape == values[i].shape, "these operands")
    x = self.as_floats(first)
    if isinstance(other, Constant):
        row = other.array.size in (1, *other.array.shape[-1:])
        need(other.array.dtype == np.float32 and row, "this constant")
        own = {"first": self.constant(np.broadcast_to(other.array.reshape(-1), (x.n,)))}
        return self.combine(node.kind, x, **own)
    need(values[second].shape == values[i].shape, "these operands")
    return self.combine(node.kind, x, self.as_floats(second))


@maker(floats.Unary)
def unary(self, i, node):
    """Change floats one by one."""
    need(node.kind in ("hardtanh", "relu", "negate"), "no operation")
    kind = self.graph.values[node.inputs[0]].kind
    if node.kind == "negate":
        need(kind == "float32", f"an operand of {kind}")
        x = self.operand(node.inputs[0], kind)
        return self.combine("multiply", x, first=self.constant(np.full(x.n, -1, np.float32)))
    need(node.kind == "hardtanh" or kind == "float32", f"an operand of {kind}")
    return self.change(node.kind, self.as_floats(node.inputs[0]))


@maker(shapes.Flatten)
def flatten(self, i, node):
    """Put the elements of all positions side by side."""
    x = self.operand(node.inputs[0], "float32", "int32", "uint8", *PACKED)
    sizes = self.sizes(i)
    need(sizes[:2] == (1, 1), "axes")
    merged = {"lines": 1, "wide": 1, "n": sizes[2]}
    if x.positions == 1:
        return x
    if x.coefficients and x.n % 64 == 0:
        return dataclasses.replace(x, step=x.words * 8 * x.positions, **merged)
    if x.coefficients:
        y = self.clear(self.planes(sizes, x.coefficients, x.offset, x.unit))
        own = {"lines": 1, "wide": x.positions, "y_step": 0, "n": x.n}
        return self.row("append", x, y, planes=len(x.coefficients), **own)
    n_bytes = x.n if self.graph.values[i].kind == "uint8" else 4 * x.n
    if x.step == n_bytes:
        return dataclasses.replace(x, step=n_bytes * x.positions, **merged)
    y = self.numbers(sizes)
    to = dataclasses.replace(y, lines=x.lines, wide=x.wide, step=n_bytes)
    self.move(x, to, n_bytes)
    return y


@maker(shapes.Reshape)
def reshape(self, i, node):
    """Put the elements of rows in other positions."""
    x = self.operand(node.inputs[0], "float32", "int32", "uint8", "int64", *PACKED)
    lines, wide, n = sizes = self.sizes(i)
    if n == x.n:
        return dataclasses.replace(x, lines=lines, wide=wide)
    if sizes[:2] == (1, 1):
        return flatten(self, i, node)
    kind = self.graph.values[i].kind
    need(x.positions == 1 and kind in ("float32", "int32", "uint8"), "this shape")
    step = n if kind == "uint8" else 4 * n
    x = dataclasses.replace(x, lines=lines, wide=wide, n=n, step=step)
    return x if kind == "uint8" else self.move(x, self.numbers(sizes), step)


@maker(shapes.Concatenate)
def concatenate(self, i, node):
    """Put values side by side."""
    return joined(self, [self.operand(j, "float32", "int32", *PACKED) for j in node.inputs])


@maker(shapes.Gather)
def gather(self, i, node):
    """Copy rows of a table."""
    table, ids = self.graph.nodes[node.inputs[0]], self.operand(node.inputs[1], "int64")
    if isinstance(table, Weights):
        packed = table.packed
        words = packed.words[None] if isinstance(packed, Bits) else packed.bits.words
        rows, y = words.transpose(1, 0, 2), self.packed(self.sizes(i), table.codebook)
    else:
        need(isinstance(table, Constant) and table.array.dtype == np.float32, "this table")
        rows, y = table.constant, self.numbers(self.sizes(i))
        rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    own = {"first": self.constant(rows), "n": rows[0].nbytes}
    return self.row("gather", ids, y, **own)


@maker(cells.Cell)
def cell(self, i, node):
    """Compute the state of a cell after one step; the places are those of its slices."""
    need(self.one_step, "more than one step")
    z, weight, *states = node.inputs
    z, h, *cell = (self.operand(j, "float32") for j in (z, *states))
    z = z if z.at >= 0 else self.move(z, self.numbers((1, 1, z.n)), 4 * z.n)  # parts are read
    weight, m = self.graph.nodes[weight], h.n
    sizes = 1, 1, z.n
    if isinstance(weight, Weights):
        packed = quantized(self, h, node.edges, node.codebook)
        q = linear_of(self, packed, weight.packed)
        q = self.row("convert", q, q, words=q.vectors)
    else:
        need(isinstance(weight, Constant) and weight.array.dtype == np.float32, "these weights")
        q = weighed(self, h, sizes, weight.constant, np.zeros(len(weight.array), np.float32))
    unit = self.constant(np.full(z.n, node.unit, np.float32))
    q = self.combine("multiply", q, first=unit)

    def part(x, first, last):
        return x.later(4 * m * first, n=m * (last - first))

    def after(name, first, last):
        return self.change(name, self.combine("add", part(z, first, last), part(q, first, last)))

    if node.kind == "rnn":
        h = after("relu" if node.relu else "tanh", 0, 1)
    elif node.kind == "lstm":
        gates, g, o = after("logistic", 0, 2), after("tanh", 2, 3), after("logistic", 3, 4)
        kept = self.combine("multiply", part(gates, 1, 2), cell[0])
        c = self.combine("add", kept, self.combine("multiply", part(gates, 0, 1), g))
        h, cell = self.combine("multiply", o, self.change("tanh", c)), [c]
    else:
        gates = after("logistic", 0, 2)
        inner = self.combine("multiply", part(gates, 0, 1), part(q, 2, 3))
        new = self.change("tanh", self.combine("add", part(z, 2, 3), inner))
        moved = self.combine("multiply", part(gates, 1, 2), self.combine("subtract", h, new))
        h = self.combine("add", new, moved)
    self.states[i] = [h, *cell]
    return None if cell else h


@maker(shapes.Slice)
def one_state(self, i, node):
    """Return the place of one step of a sequence, or of one state of a cell."""
    j = node.inputs[0]
    need(self.graph.values[j].shape[0] in (STEPS, STEPS + 1) and len(node.index) == 1, "an index")
    states = self.states.get(j) or [self.operand(j, "float32", "int32", "uint8", "int64")]
    part = node.index[0]
    if type(part) is int:
        part = slice(part, part + 1 or None)
    need(isinstance(part, slice) and len(found := states[part]) == 1, "an index")
    return found[0]
