"""Thresholds in C: signs or codes from comparisons, in a loop over units."""

import numpy as np

from bitnet.deploy.products import Threshold
from bitnet.export.c.printer import need, printer

SIGNS = (
    "uint32_t bits = 0;\n",
    "bits |= (uint32_t)(v <= NET_READ{bits}(limits + j)) << (j & 31);\n"
    "if ((j & 31) == 31 || j + 1 == units) {{\n    *y++ = bits;\n    bits = 0;\n}}\n",
)
CODES = (
    "uint32_t bits[{p}] = {{0}};\nint l, b, apart = (units + 31) / 32;\n",
    "uint32_t code = 0;\nfor (l = 0; l < {levels}; l++)\n"
    "    code += v <= NET_READ{bits}(limits + {levels} * j + l);\n{pattern}"
    "for (b = 0; b < {p}; b++)\n    bits[b] |= ((code >> b) & 1u) << (j & 31);\n"
    "if ((j & 31) == 31 || j + 1 == units) {{\n    for (b = 0; b < {p}; b++) {{\n"
    "        y[b * apart] = bits[b];\n        bits[b] = 0;\n    }}\n    y++;\n}}\n",
)


def steps_text(printer, name, threshold):
    """Return the text of the thresholds of one unit, before the loop and in it."""
    levels = threshold.thresholds.shape[1] if threshold.thresholds.ndim > 1 else 1
    own = {"bits": name, "levels": levels, "pattern": "", "p": 1}
    if threshold.codebook is None:
        return [part.format(**own) for part in SIGNS], "signs"
    book = threshold.codebook
    own["p"], key = len(book.coefficients), f"codes_{levels}"
    if book.patterns.tolist() != list(range(len(book))):
        table = f"net_patterns{printer.step}"
        printer.constant(table, book.patterns.astype(np.uint32))
        own["pattern"] = f"code = NET_READ32({table} + code);\n"
        key = f"{key}_{printer.step}"
    return [part.format(**own) for part in CODES], f"{key}_{own['p']}"


def indented(text, depth):
    """Return lines indented."""
    return "".join(f"{'    ' * depth}{line}\n" for line in text.splitlines())


def call_of_steps(p, i, z, y):
    """Return a call that compares the integers z of one position with thresholds."""
    node = p.graph.nodes[i]
    values = node.thresholds.astype(np.int64)
    falling = ~np.asarray(node.increasing)
    many = falling if values.ndim == 1 else falling[:, None]
    limits = np.where(many, values + 1, values)  # z <= t is not z >= t + 1
    limits = limits.clip(-(2**31), 2**31 - 1).astype(np.int32)
    units, levels = len(values), 1 if values.ndim == 1 else values.shape[1]
    before, p.step = p.step, i
    own, finish = steps_text(p, "32S", node)
    p.step = before
    text = [part.replace("v <= NET", "z[j] >= NET") for part in own]
    flips = []
    if falling.any():
        bits = np.zeros(-(-units // 32) * 32, np.bool_)
        bits[:units] = falling
        words = np.packbits(bits, bitorder="little").view("<u4")
        flips = [p.constant(f"net_f{i}", words)]
    name = f"steps_{finish}{'_falling' if falling.any() else ''}"
    more, turned = "", ""
    if falling.any():
        more = ", const uint32_t *falling"
        turned = "if ((NET_READ32(falling + (j >> 5)) >> (j & 31)) & 1u)\n    "
        turn = f"code = {levels} - code;\n" if node.codebook is not None else ""
        if node.codebook is None:
            text[1] = text[1].replace(
                "bits |= (uint32_t)(z[j] >= NET_READ32S(limits + j)) << (j & 31);\n",
                "bits |= (uint32_t)(z[j] >= NET_READ32S(limits + j)) << (j & 31);\n"
                f"{turned}bits ^= (uint32_t)1 << (j & 31);\n",
            )
        else:
            at = text[1].index("for (b = 0;") if "code = NET" not in text[1] else None
            at = text[1].index("code = NET") if at is None else at
            text[1] = text[1][:at] + turned + turn + text[1][at:]
    p.function(
        name,
        "/* Compare integers with the thresholds of their units. */\n"
        f"static inline void net_{name}(const int32_t *z, const int32_t *limits, int units,\n"
        f"    uint32_t *y{more})\n{{\n    int j;\n{indented(text[0], 1)}"
        f"    for (j = 0; j < units; j++) {{\n{indented(text[1], 2)}    }}\n}}\n",
    )
    constant = p.constant(f"net_t{i}", limits)
    arguments = [z, constant, str(units), y, *flips]
    return f"net_{name}({', '.join(arguments)});"


@printer(Threshold)
def thresholds(p, i, node):
    """Print thresholds of integers in memory."""
    z = p.operand(node.inputs[0])
    need(z.kind == "int32", f"thresholds of {z.kind}")
    y = p.result(i)
    at = f"{y.at} + position * {y.step}"
    call = call_of_steps(p, i, f"{z.at} + position * {z.shape[-1]}", at)
    head = ["{", "int position;", f"for (position = 0; position < {z.positions}; position++)"]
    p.add(*head, f"    {call}", "}")
    return y
