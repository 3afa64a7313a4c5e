"""The forms of a product of bits in C: how one row of weights meets an operand, or a patch.

Each form computes, for a row of weights, a number v with z = base + factor v, where z is the
integer pre-activation and the factor is -2 or -1, so that `z >= t` is `v <= limit`.

* Packed operands: v counts the differing bits, weighted by the planes.
* Bytes in tables: v = s - 2 s1, with s the sum of all bytes, and s1 that of those under the ones of
  the row, from a table of the sums of each four bytes; or added one by one.

At a border of zeros, a mask has the taps inside the image, and the missing ones add nothing.
"""

import dataclasses
import re

import numpy as np

from bitnet.export.c.printer import FORMS, need
from bitnet.kernels import BitPlanes

X = re.compile(r"\bx\b")  # the operand in a form
MASKED = {"mask": "const uint32_t *mask", "missing": "int32_t missing", "inside": "int32_t inside"}
SUM = """\
/* The weighted sum of the differing bits of {p} planes and {q} planes of weights{where}. */
static inline int32_t net_{name}(const uint32_t *x, const uint32_t *weight,{mask} int words)
{{
    int32_t total = 0;
    int i, j;
{tables}#if NET_POPCOUNT
    int k;
    for (k = 0; k < words; k++)
        for (j = 0; j < {q}; j++)
            for (i = 0; i < {p}; i++)
                total += {factor} * (int32_t)net_ones({word});
#else
    for (j = 0; j < {q}; j++)
        for (i = 0; i < {p}; i++)
            total += {factor} * (int32_t){differing};
#endif
    return total;
}}
"""


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Weights as bits: booleans (M, Q, n) of Q planes, their coefficients and offset."""

    ones: np.ndarray
    coefficients: tuple[int, ...]
    offset: int

    @property
    def n(self):
        """The elements per row."""
        return self.ones.shape[2]

    @property
    def words(self):
        """The words of 32 bits per row and plane."""
        return -(-self.n // 32)

    @property
    def planes(self):
        """The planes per row."""
        return self.ones.shape[1]

    def negated(self, where):
        """Return the matrix with negated rows; it has no offset."""
        return dataclasses.replace(self, ones=self.ones ^ where[:, None, None])

    def packed(self):
        """Return uint32 (M, Q, words), the first element in the lowest bit."""
        padded = np.zeros((*self.ones.shape[:2], 32 * self.words), np.bool_)
        padded[..., : self.n] = self.ones
        return np.packbits(padded, axis=-1, bitorder="little").view("<u4")

    def sums(self):
        """Return the sum of the numbers of each row, int64 (M,)."""
        signs = 2 * self.ones.sum(axis=2, dtype=np.int64) - self.n
        return signs @ np.array(self.coefficients, np.int64) + self.offset * self.n


def matrix_of(weights):
    """Return the weights of a node as a Matrix, the taps of a filter side by side."""
    packed = getattr(weights, "packed", None)
    need(packed is not None, "weights that are no constant")
    if isinstance(packed, BitPlanes):
        ones, own = packed.bits.signs() > 0, (packed.coefficients, packed.offset)
    else:
        ones, own = packed.signs()[None] > 0, ((1,), 0)
    rows = np.moveaxis(ones.reshape(*ones.shape[:2], -1), 0, 1)
    return Matrix(np.ascontiguousarray(rows), *own)


@dataclasses.dataclass(frozen=True)
class Form:
    """A form of a product.

    `number` is that of the preprocessor's condition, 0 for none; `setup` are statements that follow
    the patch `x` or `bytes`; `arguments` are those of the call, `row` is the expression for v.
    """

    number: int
    key: str
    parameters: str
    arguments: str
    row: str
    base: np.ndarray
    factor: int
    setup: tuple[str, ...] = ()

    @property
    def condition(self):
        """The condition for the preprocessor."""
        return f"NET_FIRST == {self.number}" if self.number else ""

    def limits(self, thresholds):
        """Return the largest v that passes each threshold: z >= t as v <= limit."""
        base = self.base.reshape(-1, *[1] * (thresholds.ndim - 1))
        room = base - thresholds.astype(np.int64)
        return room // 2 if self.factor == -2 else room


def forms_of(printer, x, matrix, masked):
    """Return the forms of a product of an operand with a matrix of weights."""
    if x.kind != "uint8":
        return [_packed(printer, x, matrix, masked, 0)]
    planes = x.has(kind="planes", coefficients=tuple(1 << b for b in range(x.planes)), shift=0)
    own = _packed(printer, planes, matrix, masked, FORMS["planes"])
    memory = printer.scratch("planes", x.planes * matrix.words)
    printer.use("split_bytes")
    split = f"net_split_bytes(bytes, {matrix.n}, {x.planes}, {memory});"
    own = dataclasses.replace(own, arguments=X.sub(memory, own.arguments))
    own = dataclasses.replace(own, setup=(split, *(X.sub(memory, line) for line in own.setup)))
    printer.uses_forms = True
    return [own, *(_bytes(printer, x, matrix, masked, name) for name in ("tables", "adds"))]


def _packed(printer, x, matrix, masked, number):
    """Return the form of packed operands, or of bytes that were split into planes."""
    words, n, p, q = matrix.words, matrix.n, x.planes, matrix.planes
    signs = p == q == 1 and x.coefficients == matrix.coefficients == (1,)
    printer.use("differing", *["differing_inside"] * masked)
    one = "(int32_t)net_differing(x, weight, words)"
    inside = "(int32_t)net_differing_inside(x, weight, mask, words)"
    name = "signs"
    if not signs:
        name, one = _sum(printer, x, matrix, False)
        inside = _sum(printer, x, matrix, True)[1] if masked else ""
    total = sum(x.coefficients) * sum(matrix.coefficients)
    parameters, arguments, setup = "const uint32_t *x", "x", ()
    key = name + (f"_o{x.offset}_{matrix.offset}" if x.offset or matrix.offset else "")
    key = key.replace("-", "m")
    if matrix.offset:
        parameters, arguments = f"{parameters}, int32_t extra", "x, extra"
        counts = [
            f"{c} * (2 * (int32_t)net_ones_of(x + {i * words}, {words}) - {{n}})"
            for i, c in enumerate(x.coefficients)
        ]
        own = "inside" if masked else str(n)
        line = f"extra = {matrix.offset} * ({' + '.join(counts)});"
        setup = (line.format(n=own),)
        printer.use("ones_of")
    if not masked:
        base = total * n + x.offset * matrix.sums()
        row, factor = (f"2 * {one} - extra", -1) if matrix.offset else (one, -2)
        base = np.broadcast_to(base, len(matrix.ones))
        return Form(number, key, parameters, arguments, row, base, factor, setup)
    if not (x.offset or matrix.offset):
        row = f"2 * (missing ? {inside} : {one}) + {total} * missing"
    else:
        row = f"2 * {inside} + {total} * missing"
        row += " - extra" if matrix.offset else ""
        row += f" - {x.offset} * ({_sum_inside(printer, matrix)})" if x.offset else ""
    base = np.full(len(matrix.ones), total * n, np.int64)
    parameters, arguments = _with_mask(parameters, arguments, row)
    return Form(number, f"{key}_masked", parameters, arguments, row, base, -1, setup)


def _with_mask(parameters, arguments, row):
    """Return parameters and arguments with those of the mask that the row takes."""
    used = [name for name in MASKED if re.search(rf"\b{name}\b", row)]
    return ", ".join([parameters, *map(MASKED.get, used)]), ", ".join([arguments, *used])


def _sum(printer, x, matrix, masked):
    """Add the function that sums differing bits of planes; return its name and a call of it."""
    p, q = x.planes, matrix.planes
    uniform = [own == tuple(1 << b for b in range(len(own))) for own in _pair(x, matrix)]
    names = "_".join(
        "x".join(map(str, own)) if not even else str(len(own))
        for own, even in zip(_pair(x, matrix), uniform, strict=True)
    )
    name = f"planes_{names}{'_inside' if masked else ''}".replace("-", "m")
    tables = ""
    if all(uniform):
        factor = "(1 << (i + j))"
    else:
        for letter, own in zip("xw", _pair(x, matrix), strict=True):
            listed = ", ".join(map(str, own))
            tables += f"    static const int32_t of_{letter}[{len(own)}] = {{{listed}}};\n"
        factor = "of_x[i] * of_w[j]"
    operands = "x + i * words, weight + j * words"
    own = {
        "where": " inside a mask" if masked else "",
        "mask": " const uint32_t *mask," if masked else "",
        "word": "x[i * words + k] ^ NET_READ32(weight + j * words + k)",
        "differing": f"net_differing({operands}, words)",
    }
    if masked:
        own["word"] = f"({own['word']}) & mask[k]"
        own["differing"] = f"net_differing_inside({operands}, mask, words)"
    own |= {"p": p, "q": q, "name": name, "tables": tables, "factor": factor}
    printer.function(name, SUM.format(**own))
    return name, f"net_{name}(x, weight, {'mask, ' if masked else ''}words)"


def _pair(x, matrix):
    """Return the coefficients of both operands."""
    return x.coefficients, matrix.coefficients


def _sum_inside(printer, matrix):
    """Return an expression of the sum of the weights of a row inside a mask."""
    printer.use("ones_inside")
    parts = [
        f"{c} * (2 * (int32_t)net_ones_inside(weight + {j} * words, mask, words) - inside)"
        for j, c in enumerate(matrix.coefficients)
    ]
    return " + ".join(parts) + (f" + {matrix.offset} * inside" if matrix.offset else "")


def _bytes(printer, x, matrix, masked, name):
    """Return the form of bytes that are summed, by tables or one by one."""
    most, n, key = (1 << x.planes) - 1, matrix.n, name
    if name == "tables":
        printer.use("tables", "sum_of_tables")
        memory = printer.scratch("sums", 128 * matrix.words)
        setup = f"sum = net_tables(bytes, {n}, {x.shift}, {memory});"
        parameters, arguments = "const uint16_t *sums, int32_t sum", f"{memory}, sum"
        chosen = "net_sum_of_tables(sums, weight + {} * words, words)"
    else:
        printer.use("sum_of_bytes", "sum_of_chosen")
        setup = f"sum = net_sum_of_bytes(bytes, {n}, {x.shift});"
        parameters, arguments = "const uint8_t *bytes, int n, int32_t sum", f"bytes, {n}, sum"
        chosen = f"net_sum_of_chosen(bytes, weight + {{}} * words, n, {x.shift})"
        key = f"adds_{x.planes}"
    parts = [f"{c} * (sum - 2 * {chosen.format(j)})" for j, c in enumerate(matrix.coefficients)]
    row = " + ".join(parts) + (f" - {matrix.offset} * sum" if matrix.offset else "")
    if (own := (matrix.coefficients, matrix.offset)) != ((1,), 0):
        key += f"_{'x'.join(map(str, own[0]))}_{own[1]}".replace("-", "m")
    base, factor = -most * matrix.sums(), -2
    if masked:
        row = f"2 * ({row}) + {most} * ({_sum_inside(printer, matrix)})"
        parameters, arguments = _with_mask(parameters, arguments, row)
        base, factor, key = np.zeros(len(matrix.ones), np.int64), -1, f"{key}_{x.planes}_masked"
    return Form(FORMS[name], key, parameters, arguments, row, base, factor, (setup,))
