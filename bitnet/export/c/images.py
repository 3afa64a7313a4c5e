"""Pooling in C, where it does not follow a product at once."""

from bitnet.deploy.shapes import Pool
from bitnet.export.c.numbers import kind_of, numbers_from
from bitnet.export.c.printer import need, printer
from bitnet.export.c.text import number


@printer(Pool)
def pool(p, i, node):
    """Print the maximum, the sum or the mean of each window."""
    x, kind = p.operand(node.inputs[0]), node.kind
    if x.is_packed and kind == "maxpool":
        return pool_bits(p, i, node, x) if x.planes == 1 else pool_codes(p, i, node, x)
    if x.is_packed:
        own = p.memory("words", x.size)
        unpacked = x.has(kind="int32", at=f"((int32_t *)(state->words + {own.token}))", buffer=own)
        numbers_from(p, x, unpacked, 1.0)
        x = unpacked
    need(kind_of(x) in ("float32", "int32", "uint8"), f"pooling of {x.kind}")
    y = p.result(i)
    n = x.shape[-1]
    value = f"({x.at})[(up * {x.shape[2]} + at) * {n} + k]"
    own = "float" if y.kind == "float32" else "int32_t"
    if kind == "maxpool":
        best = f"    if (!n++ || {value} > best)"
        inner = [best, f"        best = {value};"]
        p.add(*opened(node.window, x, y, n, f"{own} best = 0;"), *inner)
        cast = "(uint8_t)" if y.kind == "uint8" else ""
        p.add(*closed(f"({y.at})[(row * {y.shape[2]} + column) * {n} + k] = {cast}best;"))
        return y
    p.add(*opened(node.window, x, y, n, f"{own} best = 0;"), f"    best += {value}, n++;")
    mean = f"best / {number(float(node.window.taps))}" if kind == "avgpool" else "best"
    p.add(*closed(f"({y.at})[(row * {y.shape[2]} + column) * {n} + k] = {mean};"))
    return y


def opened(window, x, y, n, first):
    """Return the loops over outputs and channels k, and over the taps (up, at) inside the image."""
    (down, right), ((above, _), (before, _)) = window.stride, window.padding
    return [
        *("{", "int row, column, k, r, c;", f"for (row = 0; row < {y.shape[1]}; row++) {{"),
        *(f"for (column = 0; column < {y.shape[2]}; column++) {{",),
        *(f"for (k = 0; k < {n}; k++) {{", "int n = 0;", first),
        f"for (r = 0; r < {window.size[0]}; r++) {{",
        f"for (c = 0; c < {window.size[1]}; c++) {{",
        f"int up = row * {down} - {above} + r * {window.dilation[0]};",
        f"int at = column * {right} - {before} + c * {window.dilation[1]};",
        f"if (up >= 0 && up < {x.shape[1]} && at >= 0 && at < {x.shape[2]}) {{",
    ]


def closed(*last):
    """Return the ends of these loops, with the statements that store the result."""
    return ["}", "}", "}", "(void)n;", *last, "}", "}", "}", "}"]


def pool_bits(p, i, node, x):
    """Print the maximum of signs: the OR of words."""
    y = p.result(i)
    value = f"({x.at})[(up * {x.shape[2]} + at) * {x.words} + k]"
    p.add(*opened(node.window, x, y, x.words, "uint32_t best = 0;"), f"    best |= {value}, n++;")
    p.add(*closed(f"({y.at})[(row * {y.shape[2]} + column) * {x.words} + k] = best;"))
    return y


def pool_codes(p, i, node, x):
    """Print the maximum of codes: the planes of the largest integer."""
    y, channels = p.result(i), x.shape[-1]
    word = f"({x.at})[(up * {x.shape[2]} + at) * {x.step} + b * {x.words} + (k >> 5)]"
    listed = ", ".join(map(str, x.coefficients))
    p.add(*opened(node.window, x, y, channels, "int32_t best = 0; uint32_t won = 0;"))
    p.add(f"static const int32_t worth[{x.planes}] = {{{listed}}};", "uint32_t code = 0;")
    p.add("int32_t own = 0;", "int b;", f"for (b = 0; b < {x.planes}; b++) {{")
    p.add(f"uint32_t bit = ({word} >> (k & 31)) & 1u;", "code |= bit << b;")
    p.add("own += bit ? worth[b] : -worth[b];", "}", "if (!n++ || own > best) {")
    p.add("best = own;", "won = code;", "}")
    target = f"({y.at})[(row * {y.shape[2]} + column) * {y.step} + b * {y.words} + (k >> 5)]"
    store = [
        f"for (int b = 0; b < {x.planes}; b++) {{",
        "uint32_t bit = ((won >> b) & 1u) << (k & 31);",
    ]
    store += [f"{target} = (k & 31) ? {target} | bit : bit;", "}"]
    p.add(*closed(*store))
    return y
