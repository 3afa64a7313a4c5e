"""Arithmetic on floats and integers in C, in the order of Python's."""

import math

import numpy as np

from bitnet.deploy.floats import (
    Affine,
    Binary,
    Compare,
    FloatConv,
    FloatLinear,
    MatMul,
    MixedConv,
    MixedLinear,
    Reduce,
    Unary,
    Where,
    numbers_of,
)
from bitnet.deploy.products import Quantize, Rescale, Unpack
from bitnet.export.c.printer import Place, need, printer
from bitnet.export.c.text import number

READS = {"flash float32": "NET_READF", "flash int32": "NET_READ32S"}
BINARY = {
    "add": "{a} + {b}",
    "subtract": "{a} - {b}",
    "multiply": "{a} * {b}",
    "divide": "{a} / {b}",
    "prelu": "{a} > 0 ? {a} : {a} * {b}",
    "maximum": "{a} > {b} ? {a} : {b}",
    "minimum": "{a} < {b} ? {a} : {b}",
}
UNARY = {
    "negate": "-{a}",
    "abs": "{a} > 0 ? {a} : 0 - {a}",
    "relu": "{a} > 0 ? {a} : 0",
    "hardtanh": "{a} > 1 ? 1 : {a} < -1 ? -1 : {a}",
}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def kind_of(place):
    """Return the type of a place, whether it is a constant or not."""
    return place.kind.removeprefix("flash ")


def element(place, index, kind=None):
    """Return the expression of an element, converted to a type."""
    own = f"({place.at})[{index}]"
    if place.kind in READS:
        own = f"{READS[place.kind]}({place.at} + {index})"
    if kind == "float32" and kind_of(place) != "float32":
        return f"(float){own}"
    return f"(int32_t){own}" if kind == "int32" and place.kind == "uint8" else own


def index_of(place, shape, letters):
    """Return the index of an element of an operand that broadcasts to a shape."""
    own = (1,) * (len(shape) - len(place.shape)) + place.shape
    parts, step = [], 1
    for size, letter in zip(reversed(own), reversed(letters), strict=True):
        if size > 1:
            parts.append(letter if step == 1 else f"{letter} * {step}")
        step *= size
    return " + ".join(reversed(parts)) or "0"


def loops(shape):
    """Return letters, and the loops over the elements of a shape with their ends."""
    letters = [f"i{axis}" for axis in range(len(shape))] or ["i0"]
    sizes = shape or (1,)
    opened = [
        f"for ({letter} = 0; {letter} < {n}; {letter}++) {{"
        for letter, n in zip(letters, sizes, strict=True)
    ]
    return letters, [f"int {', '.join(letters)};", *opened], ["}"] * len(letters)


def elementwise(p, i, operands, expression, kind=None):
    """Print a loop over the elements of a result; return its place.

    `expression` maps the expressions of the operands' elements to that of the result's.
    """
    y = p.result(i)
    if all(own.shape == y.shape for own in operands):
        shape = (y.size,)
        flat = [own.has(shape=shape) for own in operands]
    else:
        shape, flat = y.shape, operands
    letters, opened, closed = loops(shape)
    read = [element(own, index_of(own, shape, letters), kind or kind_of(y)) for own in flat]
    at = index_of(y.has(shape=shape), shape, letters)
    p.add("{", *opened, f"({y.at})[{at}] = {expression(*read)};", *closed, "}")
    return y


def check_numbers(*places):
    """Refuse types that C does not compute with."""
    for place in places:
        need(kind_of(place) in ("float32", "int32", "uint8", "bool"), f"values of {place.kind}")


def held(form, *operands):
    """Return an expression with its operands in parentheses."""
    return form.format(**{name: f"({own})" for name, own in zip("abc", operands, strict=False)})


@printer(Binary, Unary)
def arithmetic(p, i, node):
    """Print an operation on each element."""
    operands = [p.operand(j) for j in node.inputs]
    check_numbers(*operands)
    form = (BINARY if len(operands) == 2 else UNARY).get(node.kind)
    need(form is not None, f"{node.kind!r}, which follows the library of Python")
    kind = p.value(i).kind
    need(kind in ("float32", "int32"), f"results of {kind}")
    return elementwise(p, i, operands, lambda *own: held(form, *own))


@printer(Compare)
def compare(p, i, node):
    """Print a comparison; its result is 0 or 1."""
    operands = [p.operand(j) for j in node.inputs]
    check_numbers(*operands)
    kinds = {kind_of(own) for own in operands}
    kind = "float32" if "float32" in kinds or isinstance(node.number, float) else "int32"
    own = () if node.number is None else (number(np.float32(node.number)),)
    if node.number is not None and kind == "int32":
        own = (number(node.number),)
    sign = COMPARISONS[node.kind]
    form = f"{{a}} {sign} {{b}}"
    return elementwise(p, i, operands, lambda *read: held(form, *read, *own), kind)


@printer(Where)
def where(p, i, node):
    """Print a choice between two values."""
    condition, a, b = (p.operand(j) for j in node.inputs)
    check_numbers(condition, a, b)
    kind = p.value(i).kind
    need(kind in ("float32", "int32"), f"results of {kind}")
    form = "{a} != 0 ? {b} : {c}"
    return elementwise(p, i, [condition, a, b], lambda *read: held(form, *read))


@printer(Affine)
def affine(p, i, node):
    """Print batch norm and the like, rounded after each operation."""
    x = p.operand(node.inputs[0])
    check_numbers(x)
    need(p.value(i).kind == "float32", f"results of {p.value(i).kind}")
    names = [p.constant(f"net_{k}{i}", getattr(node, k)) for k in ("mean", "scale", "shift")]
    own = [Place(name, "flash float32", node.mean.shape) for name in names]
    form = "({a} - {b}) * {c}"
    return elementwise(p, i, [x, *own], lambda a, b, c, d: f"{held(form, a, b, c)} + {d}")


@printer(Rescale)
def rescale(p, i, node):
    """Print integers times a unit plus a bias."""
    z = p.operand(node.inputs[0])
    need(p.value(i).kind == "float32", f"results of {p.value(i).kind}")
    bias = Place(p.constant(f"net_bias{i}", node.bias), "flash float32", node.bias.shape)
    unit = number(np.float32(node.unit))
    return elementwise(p, i, [z, bias], lambda a, b: f"{a} * {unit} + {b}")


@printer(Quantize)
def quantize(p, i, node):
    """Print comparisons of floats with edges: signs or codes."""
    x, y = p.operand(node.inputs[0]), p.result(i)
    need(kind_of(x) == "float32", f"codes of {x.kind}")
    edges = node.edges
    at = p.constant(f"net_edges{i}", edges) if len(edges) else "0"
    p.use("quantize")
    book, patterns = node.codebook, "0"
    if book is not None:
        patterns = p.constant(f"net_patterns{i}", book.patterns.astype(np.uint32))
    own = f"{at}, {len(edges)}, {patterns}, {y.planes}"
    n = x.shape[-1]
    call = f"net_quantize({x.at} + i * {n}, {n}, {own}, {y.at} + i * {y.step});"
    p.add("{", "int i;", f"for (i = 0; i < {x.positions}; i++)", f"    {call}", "}")
    return y


@printer(Unpack)
def unpack(p, i, node):
    """Print the numbers that packed values stand for."""
    x, value = p.operand(node.inputs[0]), p.value(node.inputs[0])
    need(node.dtype == "float32", f"values of {node.dtype}")
    y, book = p.result(i), value.codebook
    return numbers_from(p, x, y, 1.0 if book is None else book.unit)


def numbers_from(p, x, y, unit):
    """Print the integers of packed values times a unit, as floats or integers."""
    n, terms = x.shape[-1], []
    for b, c in enumerate(x.coefficients):
        word = f"({x.at})[i * {x.step} + {b * x.words} + (j >> 5)]"
        terms.append(f"{c} * (2 * (int32_t)(({word} >> (j & 31)) & 1u) - 1)")
    own = " + ".join(terms) + (f" + {x.offset}" if x.offset else "")
    own = f"(float)({own}) * {number(np.float32(unit))}" if y.kind == "float32" else own
    p.add("{", "int i, j;", f"for (i = 0; i < {x.positions}; i++)", f"for (j = 0; j < {n}; j++)")
    p.add(f"    ({y.at})[i * {n} + j] = {own};", "}")
    return y


@printer(FloatLinear, MixedLinear, FloatConv, MixedConv)
def float_product(p, i, node):
    """Print a product of floats, summed in order."""
    x, y = p.operand(node.inputs[0]), p.result(i)
    need(kind_of(x) == y.kind == "float32", f"products of {x.kind}")
    own = p.graph.nodes[node.inputs[1]]
    packed = getattr(own, "packed", None)
    array = own.array if packed is None else numbers_of(packed)
    m = array.shape[0]
    weight = p.constant(f"net_w{i}", array)
    bias = "0"
    if len(node.inputs) > 2:
        b = p.operand(node.inputs[2])
        need(b.kind == "flash float32", "a bias that is no constant")
        bias = b.at
    window = getattr(node, "window", None)
    if window is None:
        p.use("float_rows")
        n = x.shape[-1]
        call = f"net_float_rows({x.at} + i * {n}, {n}, {weight}, {bias}, {m}, {y.at} + i * {m});"
        p.add("{", "int i;", f"for (i = 0; i < {x.positions}; i++)", f"    {call}", "}")
        return y
    return float_conv(p, x, y, node, weight, bias)


def float_conv(p, x, y, node, weight, bias):
    """Print the convolution of float images, patch by patch."""
    window, groups = node.window, node.groups
    (_, height, width, channels), (_, rows, columns, m) = x.shape, y.shape
    n, m = channels // groups, m // groups
    patch = p.scratch("floats", window.taps * n)
    (down, right), ((above, _), (before, _)) = window.stride, window.padding
    fill = number(np.float32(window.border))
    inside = f"up >= 0 && up < {height} && at >= 0 && at < {width}"
    value = f"({x.at})[(up * {width} + at) * {channels} + g * {n} + k]"
    p.use("float_rows")
    own = f"{patch}, {window.taps * n}, {weight} + g * {m * window.taps * n}"
    own += f", {f'{bias} + g * {m}' if bias != '0' else '0'}, {m}"
    p.add(
        *("{", "int row, column, g, r, c, k;", f"for (row = 0; row < {rows}; row++) {{"),
        f"for (column = 0; column < {columns}; column++) {{",
        f"for (g = 0; g < {groups}; g++) {{",
        f"for (r = 0; r < {window.size[0]}; r++) {{",
        f"for (c = 0; c < {window.size[1]}; c++) {{",
        f"int up = row * {down} - {above} + r * {window.dilation[0]};",
        f"int at = column * {right} - {before} + c * {window.dilation[1]};",
        f"for (k = 0; k < {n}; k++)",
        f"    {patch}[(r * {window.size[1]} + c) * {n} + k] = {inside} ? {value} : {fill};",
        *("}", "}"),
        f"net_float_rows({own}, {y.at} + (row * {columns} + column) * {m * groups} + g * {m});",
        *("}", "}", "}", "}"),
    )
    return y


@printer(MatMul)
def matmul(p, i, node):
    """Print the product of two matrices of floats, summed in order."""
    a, b = (p.operand(j) for j in node.inputs)
    need(kind_of(a) == kind_of(b) == "float32", f"matrices of {a.kind} and {b.kind}")
    y, n, m = p.result(i), a.shape[1], b.shape[1]
    total = f"total += {element(a, f'i * {n} + k')} * {element(b, f'k * {m} + j')};"
    p.add(
        "{", "int i, j, k;", f"for (i = 0; i < {a.shape[0]}; i++)", f"for (j = 0; j < {m}; j++) {{"
    )
    p.add("float total = 0;", f"for (k = 0; k < {n}; k++)", f"    {total}")
    p.add(f"({y.at})[i * {m} + j] = total;", "}", "}")
    return y


@printer(Reduce)
def reduce(p, i, node):
    """Print a sum, a mean or a maximum; floats are summed by halves, as in Python."""
    x, shape = p.operand(node.inputs[0]), p.shape(node.inputs[0])
    check_numbers(x)
    kind, y = p.value(i).kind, p.result(i)
    need(kind != "int64" or x.kind in ("int32", "bool", "uint8"), f"sums of {x.kind}")
    axes, rest = node.axes, [k for k in range(len(shape)) if k not in node.axes]
    n = math.prod(shape[axis] for axis in axes)
    steps = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    inner = Place("", "", tuple(shape[k] for k in axes) or (1,))
    outer = Place("", "", tuple(shape[k] for k in rest) or (1,))
    wanted = "float32" if kind == "float32" else "int32"
    read = element(x, "at", wanted)
    own = ("floats", n) if kind == "float32" else ("words", n, "int32_t")
    rows = p.scratch(*own)
    at = [*_parts("o", outer.shape, [steps[k] for k in rest])]
    at += _parts("k", inner.shape, [steps[k] for k in axes])
    p.add("{", "int o, k, n;", f"for (o = 0; o < {outer.size}; o++) {{")
    p.add(f"for (k = 0; k < {n}; k++) {{", f"int at = {' + '.join(at) or '0'};")
    p.add(f"{rows}[k] = {read};", "}")
    if node.kind == "max":
        p.add(f"for (k = 1; k < {n}; k++)", f"    if ({rows}[k] > {rows}[0])")
        p.add(f"        {rows}[0] = {rows}[k];")
        result = f"{rows}[0]"
    else:
        p.add(f"for (n = {n}; n > 1; n = (n + 1) / 2)", "    for (k = (n + 1) / 2; k < n; k++)")
        p.add(f"        {rows}[k - (n + 1) / 2] += {rows}[k];")
        mean = f" / {number(np.float32(n))}" if node.kind == "mean" else ""
        result = f"{rows}[0]{mean}"
    p.add("(void)n;", f"({y.at})[o] = {result};", "}", "}")
    return y


def _parts(letter, sizes, steps):
    """Return the terms of an index whose digits are those of a number."""
    left = math.prod(sizes)
    for size, step in zip(sizes, steps, strict=False):
        left //= size
        if size > 1:
            yield f"{letter} / {left} % {size} * {step}"
