"""Products of bits in C, with what follows them: pooling, thresholds, or integers in memory."""

import numpy as np

from bitnet.deploy.products import Conv, Linear, Threshold
from bitnet.deploy.shapes import Pool
from bitnet.export.c.forms import forms_of, matrix_of
from bitnet.export.c.patches import gathered
from bitnet.export.c.printer import need, printer
from bitnet.export.c.thresholds import call_of_steps, indented, steps_text

ROWS = """\
/* {about} */
static inline void net_{name}({parameters}, const uint32_t *weight, int words, int units, {more}
                              NET_SEES)
{{
    int j;
{before}    for (j = 0; j < units; j++, weight += {planes} * words) {{
        int32_t v = {row};
        NET_SAW(v)
{each}    }}
}}
"""
HOW = {"integers": "z[j] = {z};\n"}
HOW |= {"largest": "if ({z} > z[j])\n    z[j] = {z};\n", "sums": "z[j] += {z};\n"}
ABOUT = {
    "signs": "Signs of the units of a product: +1 where v <= limit.",
    "codes": "Codes of the units of a product: the number of limits that v does not exceed.",
    "integers": "The integers of the units of a product.",
    "largest": "The largest integers of the units of a product so far.",
    "sums": "The integers of the units of a product, added to those so far.",
}


class Product:
    """A product that is being printed: its operand, weights, geometry, and what follows it."""

    def __init__(self, printer, i, node):
        self.printer, self.i = printer, i
        self.x = printer.operand(node.inputs[0])
        need(self.x.is_packed or self.x.kind == "uint8", f"a product of {self.x.kind}")
        self.window = getattr(node, "window", None)
        self.groups = getattr(node, "groups", 1)
        self.matrix = matrix_of(printer.graph.nodes[node.inputs[1]])
        self.shape = printer.shape(i)  # (1, H, W, M), or (R, M)
        self.pool = printer.only_reader(i, Pool)
        if self.pool is not None and printer.graph.nodes[self.pool].kind == "avgpool":
            self.pool = None
        self.steps = printer.only_reader(self.last, Threshold)
        self.masked = self.window is not None and self.window.border == 0 and self.is_padded
        self.result = printer.result(self.last if self.steps is None else self.steps)
        self.units = self.shape[-1]
        self.direct = self._is_direct()
        self._weigh()

    @property
    def last(self):
        """The number of the product, or of the pooling after it."""
        return self.i if self.pool is None else self.pool

    @property
    def is_padded(self):
        """Whether taps may be outside the image."""
        return any(map(any, self.window.padding))

    @property
    def threshold(self):
        """The node of the thresholds, or None."""
        return None if self.steps is None else self.printer.graph.nodes[self.steps]

    def _is_direct(self):
        """Return whether thresholds are compared as soon as a row is summed."""
        if self.steps is None or self.pool is not None or self.groups > 1:
            return False
        return not self.matrix.offset or bool(self.threshold.increasing.all())

    def _weigh(self):
        """Negate the rows of decreasing units that are compared at once."""
        self.thresholds, self.falling = None, np.zeros(self.units, np.bool_)
        if self.direct:
            own = self.threshold
            self.falling = ~np.asarray(own.increasing)
            signs = np.where(self.falling, -1, 1)
            values = own.thresholds.astype(np.int64)
            self.thresholds = values * (signs[:, None] if values.ndim > 1 else signs)
            self.matrix = self.matrix.negated(self.falling) if self.falling.any() else self.matrix
        self.weight = self.printer.constant(f"net_w{self.i}", self.matrix.packed())

    def print(self):
        """Print the product; return the place of its result."""
        p, forms = self.printer, forms_of(self.printer, self.x, self.matrix, self.masked)
        self.z = None
        if not self.direct and self.steps is not None:
            self.z = p.scratch("words", self.units, "int32_t")
        self.patch = self._patch()
        p.add("{", *self._declared(forms), *self._loops(forms), "}")
        p.done |= {own for own in (self.pool, self.steps) if own is not None}
        for own in (self.pool, self.steps):
            if own is not None:
                p.places[own] = self.result
        self.result.buffer.last = max(self.result.buffer.last, p.step)
        p.n_seen += int(np.prod(self.shape))
        return self.result

    def _declared(self, forms):
        """Return declarations of variables."""
        lines = []
        if any("sum = " in line for form in forms for line in form.setup):
            lines += ["#if NET_FIRST != 1", "int32_t sum;", "#endif"]
        lines += ["int32_t extra;"] if self.matrix.offset and self.x.is_packed else []
        lines += ["int32_t missing, inside;"] if self.masked else []
        if self.matrix.offset and not self.x.is_packed:
            lines += ["#if NET_FIRST == 1", "int32_t extra;", "#endif"]
        return lines

    def _patch(self):
        """Return the expressions of the patch of packed values or bytes, and of the mask."""
        window, x = self.window, self.x
        self.whole = window is None or (
            window.taps == 1 and not self.is_padded and self.groups == 1
        )
        words = self.matrix.words
        self.mask = self.printer.scratch("words", words) if self.masked else None
        if self.whole:
            return None
        if x.is_packed:
            return self.printer.scratch("words", x.planes * words)
        return self.printer.scratch("words", self.matrix.n, "uint8_t")

    def _loops(self, forms):
        """Return the loops over the output pixels."""
        m = self.units
        height, width = self.shape[1:3] if self.window else (self.shape[0], 1)
        if self.pool is None:
            inner = self._at(forms, "row", "column", "integers")
            after = self._after(f"(row * {width} + column)")
            return [
                *("int row, column;", f"for (row = 0; row < {height}; row++) {{"),
                f"for (column = 0; column < {width}; column++) {{",
                *(inner + after + ["}", "}"]),
            ]
        pool = self.printer.graph.nodes[self.pool]
        own, (rows, columns) = pool.window, self.printer.shape(self.pool)[1:3]
        how, first = ("largest", "-2147483647 - 1") if pool.kind == "maxpool" else ("sums", "0")
        tops = f"row * {own.stride[0]} - {own.padding[0][0]} + i * {own.dilation[0]}"
        lefts = f"column * {own.stride[1]} - {own.padding[1][0]} + j * {own.dilation[1]}"
        target = self._target(f"(row * {columns} + column)")
        return [
            *("int row, column, i, j;", f"for (row = 0; row < {rows}; row++) {{"),
            f"for (column = 0; column < {columns}; column++) {{",
            *(f"int32_t *z = {target};", f"for (j = 0; j < {m}; j++)", f"    z[j] = {first};"),
            f"for (i = 0; i < {own.size[0]}; i++) {{",
            f"for (j = 0; j < {own.size[1]}; j++) {{",
            f"int top = {tops}, left = {lefts};",
            f"if (top < 0 || top >= {height} || left < 0 || left >= {width})",
            "    continue;",
            *self._at(forms, "top", "left", how),
            *("}", "}", *self._after(f"(row * {columns} + column)"), "}", "}"),
        ]

    def _target(self, position):
        """Return the expression of the integers of a position."""
        return self.z or f"{self.result.at} + {position} * {self.units}"

    def _after(self, position):
        """Return the statements that turn the integers of a position into bits."""
        if self.direct or self.steps is None:
            return []
        y = f"{self.result.at} + {position} * {self.result.step}"
        return [call_of_steps(self.printer, self.steps, self.z, y)]

    def _at(self, forms, row, column, how):
        """Return the statements of the product at one position, by the form."""
        lines = []
        for k, form in enumerate(forms):
            if form.number:
                words = "if" if k == 0 else "elif"
                lines.append(f"#{words} {form.condition}")
            lines += self._of_form(form, row, column, how)
        return [*lines, "#endif"] if forms[0].number else lines

    def _of_form(self, form, row, column, how):
        """Return the statements of the product at one position."""
        x, m = self.x, self.units // self.groups
        wide = self.shape[2] if self.window else 1
        position = f"({row} * {wide} + {column})"
        lines, patch = [], self.patch
        if self.whole:
            at = row
            if self.window is not None:
                (down, right), columns = self.window.stride, x.shape[2]
                at = f"({row} * {down} * {columns} + {column} * {right})"
            step = x.step if x.is_packed else x.shape[-1]
            patch = f"{x.at} + {at} * {step}"
        kind = "uint32_t *x" if x.is_packed else "uint8_t *bytes"
        group = "group" if self.groups > 1 else "0"
        if self.groups > 1:
            lines += ["int group;", f"for (group = 0; group < {self.groups}; group++) {{"]
        if not self.whole:
            lines += gathered(self, row, column, group)
        name, more = self._function(form, how)
        weight = self.weight
        target = f"{self._target(position)}"
        if self.pool is not None:
            target = "z"
        if self.groups > 1:
            weight = f"{weight} + group * {m * self.matrix.planes * self.matrix.words}"
            target = f"{target} + group * {m}"
        if self.direct:
            target = f"{self.result.at} + {position} * {self.result.step}"
        seen = f"state->seen + {self.printer.n_seen} + {position} * {self.units}"
        bases = self._seen_bases(form)
        if self.groups > 1:
            seen, bases = f"{seen} + group * {m}", f"{bases} + group * {2 * m}"
            more = [f"{own} + group * {m}" for own in more] if self._by_unit(form) else more
        call = [form.arguments, weight, str(self.matrix.words), str(m)]
        call += [*more, target]
        lines += [f"const {kind} = {patch};", *form.setup]
        lines.append(f"net_{name}({', '.join(call)} NET_SEE({bases}, {seen}));")
        lines = [*lines, "}"] if self.groups > 1 else lines
        return ["{", *lines, "}"]

    def _seen_bases(self, form):
        """Add the constants that recover the integers from v; return their name."""
        signs = np.where(self.falling, -1, 1)
        pairs = np.stack([form.base * signs, form.factor * signs], axis=1).astype(np.int32)
        return self.printer.seen(f"net_seen{self.i}_{form.number}", pairs, form.number)

    def _function(self, form, how):
        """Add the function of the rows; return its name and the arguments after the units."""
        p = self.printer
        if self.direct:
            name, more, own = self._thresholds(form)
        else:
            same = not self._by_unit(form)
            base = "base" if same else "NET_READ32S(base + j)"
            z = f"{base} {'-' if form.factor < 0 else '+'} {abs(form.factor)} * v"
            own = ["", HOW[how].format(z=f"({z})" if how == "largest" else z)]
            if same:
                declared, more = "int32_t base", [str(int(form.base[0]))]
                name = f"{how}_{abs(form.factor)}"
            else:
                base = form.base.astype(np.int32)
                constant = p.constant(f"net_b{self.i}_{form.number}", base, form.number)
                declared, more = "const int32_t *base", [constant]
                name = f"{how}_by_unit_{abs(form.factor)}"
            more_declared = f"{declared}, int32_t *z,"
        if self.direct:
            more_declared = f"const int{own[2]}_t *limits, uint32_t *y"
        name = f"{form.key}_to_{name}"
        text = ROWS.format(
            about=ABOUT["signs" if "_to_signs" in name else "codes" if self.direct else how],
            name=name,
            parameters=form.parameters,
            planes=self.matrix.planes,
            more=more_declared.rstrip(","),
            row=form.row,
            before=indented(own[0], 1),
            each=indented(own[1], 2),
        )
        p.function(name, text)
        return name, more

    def _by_unit(self, form):
        """Return whether integers in memory have a base of their own for each unit."""
        return not self.direct and len(set(form.base.tolist())) > 1

    def _thresholds(self, form):
        """Return the name, the arguments and the text of thresholds that are compared with v."""
        p, limits = self.printer, form.limits(self.thresholds)
        small = abs(limits).max() <= 32767 if limits.size else True
        outside = limits.clip(-32768, 32767)
        reach = int(abs(form.base).max()) + p.value(self.i).largest
        if not small and reach // abs(form.factor) < 32767:
            small, limits = True, outside  # v itself is smaller
        kind = "16" if small else "32"
        limits = limits.clip(-(2**31), 2**31 - 1).astype(f"int{kind}")
        name = p.constant(f"net_t{self.i}_{form.number}", limits, form.number)
        read = "16" if small else "32S"
        own, finish = steps_text(p, read, self.threshold)
        return f"{finish}_{kind}", [name], [*own, kind]


@printer(Linear, Conv)
def product(p, i, node):
    """Print a product of bits."""
    return Product(p, i, node).print()
