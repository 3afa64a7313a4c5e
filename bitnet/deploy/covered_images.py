"""The operations that surround, cut and pool images; see `operations`."""

import dataclasses

import numpy as np

from bitnet.deploy import shapes
from bitnet.deploy.operations import maker, need
from bitnet.deploy.sizes import PACKED

LEAST = np.iinfo(np.int32).min


def _is_padded(window):
    """Return whether a window sees positions outside of the images."""
    return any(map(any, window.padding))


def surround(self, x, window, fill, step):
    """Copy images into larger ones, whose other positions have the bytes of `fill`.

    The copies have so many bytes per position.
    """
    if not _is_padded(window) and step == x.step:
        return x
    planes = max(1, len(x.coefficients))
    y = self.place(step, (*window.padded(x.lines, x.wide), x.n), planes)
    y = dataclasses.replace(y, coefficients=x.coefficients, offset=x.offset, unit=x.unit)
    if _is_padded(window):
        line = self.constant(np.tile(fill.view(np.uint8), y.wide))
        self.row("fill", y=y, lines=planes * y.lines, wide=1, n=y.line, first=line)
    (above, _), (left, _) = window.padding
    own = {"lines": x.lines, "wide": x.wide, "n": step}
    own |= {"wide": 1, "n": x.line} if step == x.step else {}
    for p in range(planes):
        inner = y.later(above * y.line + left * step + p * y.plane)
        self.row("move", x.later(p * x.plane), inner, **own)
    return y


def patches(self, x, window, sizes, fill):
    """Copy the taps of each output, one after the other: pixels, floats, or words of planes."""
    n_bytes, planes = fill.nbytes, max(1, len(x.coefficients))
    x = surround(self, x, window, fill, n_bytes)
    if x.coefficients:
        own = {"coefficients": x.coefficients, "offset": x.offset, "unit": x.unit}
        of = (*sizes[:2], 64 * window.taps * x.words)
        y = self.place(window.taps * n_bytes, of, planes, **own)
    else:
        of = (*sizes[:2], window.taps * x.n)
        y = self.bytes(of) if fill.dtype == np.uint8 else self.numbers(of)
    (rows, columns), (down, right) = window.size, window.dilation
    if right == 1:  # the taps of a row follow each other
        n_bytes, columns = columns * n_bytes, 1
    own = taps(x, window) | {"n": n_bytes}
    for p, i, j in np.ndindex(planes, rows, columns):
        to = y.later(p * y.plane + (i * columns + j) * n_bytes)
        at = p * x.plane + i * down * x.line + j * right * x.step
        self.row("move", x.later(at), to, **own)
    return y


def channels(self, x, groups):
    """Return the place of the channels of each group."""
    n = x.n // groups
    if groups == 1:
        return [x]
    if not x.coefficients:  # bytes or floats
        unit = 1 if x.at < 0 else 4
        return [x.later(g * n * unit, n=n) for g in range(groups)]
    if n % 64 == 0:
        return [x.later(g * n // 8, n=n) for g in range(groups)]
    found, sizes = [], (x.lines, x.wide, n)
    for g in range(groups):
        y = self.clear(self.planes(sizes, x.coefficients, x.offset, x.unit))
        self.append(x.later(g * n // 64 * 8, n=n), y, 0, g * n % 64)
        found.append(y)
    return found


def joined(self, parts):
    """Put the elements of places side by side."""
    if len(parts) == 1:
        return parts[0]
    first, at = parts[0], 0
    sizes = first.lines, first.wide, sum(part.n for part in parts)
    packed = first.coefficients, first.offset, first.unit
    y = self.clear(self.planes(sizes, *packed)) if first.coefficients else self.numbers(sizes)
    for x in parts:
        if first.coefficients:
            self.append(x, y, at)
        else:
            self.move(x, y.later(4 * at), 4 * x.n)
        at += x.n
    return y


def taps(x, window):
    """Return the columns of the table for a window on surrounded images."""
    (down, right), (rows, columns) = window.stride, window.size
    own = {"x_line": down * x.line, "x_step": right * x.step, "x_plane": x.plane}
    own |= {"taps": rows, "tap_step": window.dilation[0] * x.line}
    return own | {"columns": columns, "column_step": window.dilation[1] * x.step}


@maker(shapes.Pool)
def pool(self, i, node):
    """Pool images of numbers or packed values."""
    j = node.inputs[0]
    x = self.operand(j, "float32", "int32", "bits", "planes")
    if x.coefficients and node.kind == "maxpool":
        return pooled(self, self.sizes(i), node.window, x, np.zeros(x.words, np.uint64))
    x = self.integers(x) if x.coefficients else x
    is_float = self.graph.values[j].kind == "float32"
    name = {"maxpool": "largest", "sumpool": "sum", "avgpool": "mean"}.get(node.kind)
    if name == "largest":  # a maximum of NaN is that of the first tap, which may be outside
        need(not is_float or not _is_padded(node.window), "padded floats")
    kind, outside = (np.float32, 0) if is_float else (np.int32, LEAST if name == "largest" else 0)
    padded = surround(self, x, node.window, np.full(x.step // 4, outside, kind), x.step)
    own = taps(padded, node.window) | {"words": x.vectors}
    name = f"{name} {'floats' if is_float else 'integers'}"
    return self.row(name, padded, self.numbers(self.sizes(i)), **own)


def pooled(self, sizes, window, x, flips):
    """Find the maxima of packed values; the bits of flips are changed before and after."""
    need(x.coefficients == tuple(1 << p for p in range(len(x.coefficients))), "other coefficients")
    padded = surround(self, x, window, flips, x.step)
    y = self.planes(sizes, x.coefficients, x.offset, x.unit)
    own = {"planes": len(x.coefficients), "words": x.words, "first": self.constant(flips)}
    return self.row("largest planes", padded, y, **taps(padded, window) | own)


@maker(shapes.Upsample)
def upsample(self, i, node):
    """Copy each position several times, down and to the right."""
    x, (down, right) = self.operand(node.inputs[0], "float32", "int32", *PACKED), node.factors
    y = self.place(x.step, self.sizes(i), planes := max(1, len(x.coefficients)))
    y = dataclasses.replace(y, coefficients=x.coefficients, offset=x.offset, unit=x.unit)
    own = {"lines": x.lines, "wide": x.wide, "n": x.step}
    own |= {"y_line": down * y.line, "y_step": right * y.step}
    for p, h, w in np.ndindex(planes, down, right):
        to = y.later(p * y.plane + h * y.line + w * y.step)
        self.row("move", x.later(p * x.plane), to, **own)
    return y
