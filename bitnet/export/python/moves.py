"""The nodes that pool images, move elements or look them up, as lines of Python."""

from bitnet.deploy import shapes
from bitnet.deploy.sizes import FLOATS
from bitnet.export.python.forms import arguments, form, window_of


@form(shapes.Pool)
def pool(p, i, node):
    """Return the maximum, sum or mean of windows."""
    x, value = p.operand(node.inputs[0]), p.graph.values[i]
    own = f"({arguments(value.shape)}), {window_of(node.window)}"
    if node.kind == "maxpool":
        least = 'float("-inf")' if value.kind in FLOATS else -(2**31)
        return f"pooled(larger, {x}, {own}, {least})"
    if node.kind == "sumpool":
        return f"pooled(add, {x}, {own}, 0)"
    return f"each(divide, pooled(add, {x}, {own}, 0.0, 0.0), {float(node.window.taps)})"


@form(shapes.Flatten, shapes.Reshape)
def reshape(p, i, node):
    """Return the same elements in another shape."""
    return f"reshape({p.operand(node.inputs[0])}, {arguments(p.graph.values[i].shape)})"


@form(shapes.Upsample)
def upsample(p, i, node):
    """Return larger images."""
    return f"upsample({p.operand(node.inputs[0])}, {arguments(node.factors)})"


@form(shapes.Concatenate)
def concatenate(p, i, node):
    """Return values side by side."""
    return f"concatenate({', '.join(map(p.operand, node.inputs))})"


@form(shapes.Slice)
def cut(p, i, node):
    """Return a part of a value."""
    parts = [part for part in node.index if part is not None]
    parts = parts if ... in parts else [*parts, ...]
    where, n_axes = parts.index(...), len(p.graph.values[node.inputs[0]].shape)
    parts[where : where + 1] = [slice(None)] * (n_axes - len(parts) + 1)
    own = [(s.start, s.stop, s.step or 1) if isinstance(s, slice) else [s] for s in parts]
    return sliced(p, i, node, own)


def sliced(p, i, node, parts):
    """Return the elements of a value that are taken along each axis."""
    shape = arguments(p.graph.values[i].shape)
    return f"sliced({p.operand(node.inputs[0])}, {parts}{', ' + shape if shape else ''})"


@form(shapes.Select)
def select(p, i, node):
    """Return the elements of one axis at constant ids."""
    parts = [(None, None, 1)] * len(p.graph.values[i].shape)
    return sliced(p, i, node, [*parts[: node.axis], node.ids.tolist(), *parts[node.axis + 1 :]])


@form(shapes.Transpose)
def transpose(p, i, node):
    """Return a value with its axes in another order."""
    return f"transposed({p.operand(node.inputs[0])}, {arguments(node.axes)})"


@form(shapes.Gather)
def gather(p, i, node):
    """Return rows of a table."""
    return f"gather({', '.join(map(p.operand, node.inputs))})"


@form(shapes.Take)
def take(p, i, node):
    """Return one step of each sequence."""
    return f"take({', '.join(map(p.operand, node.inputs))})"
