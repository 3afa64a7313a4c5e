"""Whole nets in one call: one compiled loop over the operations in a table.

Between two kernels, Python takes ten times as long as a small layer.  This loop is compiled once
per level, not once per net: what it computes is in a table with one row per operation, whose
columns are below.  Three flat arrays hold everything else:

    constants   weights, thresholds and floats; each begins at a multiple of 64 bytes
    room        the values of the net; that of an operation begins at word `start * rows`
    x, y        the input as bytes (rows, bytes), the result as units of 4 bytes (rows, M)

Packed values are words (rows, planes, words per plane), with zeros after the last element;
integers are int32 and floats float32.  No sum of products of floats is fused, so the results are
those of the other kernels, bit for bit.
"""

import functools

import numpy as np

from numba.core import config

from bitnet.kernels.cpu.emit import Value, routine
from bitnet.kernels.cpu.jit import inner, jit, level
from bitnet.kernels.cpu.xnor import COUNTS, LANES, parts, product, store_integers, store_signs

# The columns of the table.  Starts and steps are in words of the room, offsets in words of the
# constants.
COLUMNS = (
    "operation",
    "x",  # start of the operand
    "x_step",  # words per row of the operand
    "y",  # start of the result
    "y_step",  # words per row of the result
    "n",  # elements per row: of the operand of products, of the result of others
    "planes",
    "words",  # per plane
    "count",  # of panels, thresholds, edges, outputs or terms before; or which of COMBINED
    "first",  # offset: weights, thresholds, edges, means, units, the second operand
    "second",  # offset: limits or bases, directions, scales, biases
    "third",  # offset: bits to flip, patterns, shifts
    "factors",  # offset: coefficients of planes
    "number",  # a factor, an integer to add, or the start of the second operand or -1
)
OPERATIONS = (
    "enter",  # bytes of the input, and zeros after them
    "leave",  # units of 4 bytes to the result
    "split",  # the top planes of bytes
    "multiply",  # signs with signs, as integers
    "sign",  # signs with signs, as signs
    "multiply planes",  # planes with signs, as integers
    "sign planes",  # planes with signs, as signs
    "accumulate",  # integers times a number, added to integers
    "rank",  # integers as patterns in bytes, by thresholds
    "count",  # floats as patterns in bytes, by edges
    "convert",  # integers as floats
    "affine",  # (x - mean) * scale + shift
    "rescale",  # x * unit + bias
    "unpack",  # the numbers of planes
    "combine",  # two operands, one of COMBINED
    "weigh",  # the ordered product of floats
)
COMBINED = ("add", "subtract", "multiply", "divide", "prelu")
COMPILES = not config.DISABLE_JIT

_OP, _X, _XS, _Y, _YS, _N, _P, _K, _L, _A, _B, _C, _F, _S = range(len(COLUMNS))
_ENTER, _LEAVE, _SPLIT, _MUL, _SIGN, _MULP, _SIGNP, _ACC = range(8)
_RANK, _COUNT, _CONVERT, _AFFINE, _RESCALE, _UNPACK, _COMBINE, _WEIGH = range(8, len(OPERATIONS))


@routine
def _split_bytes(e, bytes_at, n_words, planes, to, stride):
    """Store the top planes of 64 bytes per word: the sign bits, then those of the doubled bytes."""

    def word(k, _):
        def plane(i, own):
            negative = e.builder.icmp_signed("<", own[0].ir, e.constant("<64 x i8>", 0).ir)
            mask = Value(e.builder, negative).bits_as("i64")
            e.store(mask, to + stride * (planes - 1 - i) + (k << 3))
            return [own[0] + own[0]]

        e.repeat(planes, [e.load("<64 x i8>", bytes_at + (k << 6))], plane)
        return []

    e.repeat(n_words, [], word)


def _weighted(lanes, kind):
    """Make a routine for the product of one row of planes with all outputs."""
    counts_of, per_row = COUNTS[lanes]

    def row_of(e, x, planes, n_words, panels, n_panels, factors, limits, flips, y):
        stride, lane = n_words << 3, f"<{lanes} x i64>"

        def tile(part, weight):
            def some(first, count, totals):
                none, at = [e.constant(lane, 0)] * (per_row * count), x + first * stride
                counts = counts_of(e, count, at, stride, weight, n_words, none)
                for i in range(count):
                    factor = e.splat(lane, e.load("i64", factors + ((first + i) << 3)))
                    own = counts[i * per_row : (i + 1) * per_row]
                    totals = [t + c * factor for t, c in zip(totals, own, strict=True)]
                return totals

            fours, zeros = planes >> 2, [e.constant(lane, 0)] * per_row
            totals = e.repeat(fours, zeros, lambda i, totals: some(i << 2, 4, totals))
            totals = e.repeat(planes & 3, totals, lambda i, own: some((fours << 2) + i, 1, own))
            if kind == "signs":
                store_signs(e, lanes, totals, part, [limits], flips, y, e.constant("i64", 0))
            else:
                base = lambda _, offset: e.load(f"<{lanes} x i32>", limits + offset)  # noqa: E731
                store_integers(e, lanes, totals, part, base, y, e.constant("i64", 0))

        parts(e, lanes, panels, n_panels, n_words, tile)

    return routine(row_of)


@inner
def _enter(t, room, x, rows):
    """Copy the bytes of the input."""
    to, step, n = room.view(np.uint8), 8 * t[_YS], x.shape[1]
    for r in range(rows):
        own = to[8 * t[_Y] * rows + r * step :][:step]
        own[:n] = x[r]
        own[n:] = 0


@inner
def _leave(t, room, y, rows):
    """Copy units of 4 bytes to the result."""
    z = room.view(np.int32)
    for r in range(rows):
        y[r] = z[2 * (t[_X] * rows + r * t[_XS]) :][: y.shape[1]]


@inner
def _accumulate(t, room, rows):
    """Add integers times a number to integers, or to 0 at first."""
    z, n, factor = room.view(np.int32), t[_N], np.int32(t[_S])
    for r in range(rows):
        own, to = z[2 * (t[_X] * rows + r * t[_XS]) :][:n], z[2 * (t[_Y] * rows + r * t[_YS]) :][:n]
        if t[_L] == 0:
            to[:] = 0
        for j in range(n):
            to[j] += factor * own[j]


@inner
def _patterns(t, constants, to):
    """Replace codes by their patterns."""
    table = constants.view(np.uint8)[8 * t[_C] :][:256]
    for j in range(t[_N]):
        to[j] = table[to[j]]
    to[t[_N] :] = 0


@inner
def _rank(t, constants, room, rows):
    """Count the thresholds that integers pass; in decreasing units, complements are compared."""
    n, z, c = t[_N], room.view(np.int32), constants.view(np.int32)
    flips = c[2 * t[_B] :][:n]
    for r in range(rows):
        own = z[2 * (t[_X] * rows + r * t[_XS]) :][:n]
        to = room.view(np.uint8)[8 * (t[_Y] * rows + r * t[_YS]) :][: 8 * t[_YS]]
        to[:n] = 0
        for k in range(t[_L]):
            steps = c[2 * t[_A] + k * n :][:n]
            for j in range(n):
                to[j] += (own[j] ^ flips[j]) >= steps[j]
        _patterns(t, constants, to)


@inner
def _count(t, constants, room, rows):
    """Count the edges that floats reach."""
    n, edges = t[_N], constants.view(np.float32)[2 * t[_A] :][: t[_L]]
    for r in range(rows):
        own = room.view(np.float32)[2 * (t[_X] * rows + r * t[_XS]) :][:n]
        to = room.view(np.uint8)[8 * (t[_Y] * rows + r * t[_YS]) :][: 8 * t[_YS]]
        to[:n] = 0
        for edge in edges:
            for j in range(n):
                to[j] += own[j] >= edge
        _patterns(t, constants, to)


@inner
def _convert(t, room, rows):
    """Convert integers to floats."""
    n, z, y = t[_N], room.view(np.int32), room.view(np.float32)
    for r in range(rows):
        own, to = z[2 * (t[_X] * rows + r * t[_XS]) :][:n], y[2 * (t[_Y] * rows + r * t[_YS]) :][:n]
        for j in range(n):
            to[j] = np.float32(own[j])


@inner
def _map(t, constants, room, rows):
    """Compute `(x - mean) * scale + shift`, or `x * unit + bias`, of floats."""
    n, y, c = t[_N], room.view(np.float32), constants.view(np.float32)
    a, b, shift = c[2 * t[_A] :][:n], c[2 * t[_B] :][:n], c[2 * t[_C] :][:n]
    for r in range(rows):
        own, to = y[2 * (t[_X] * rows + r * t[_XS]) :][:n], y[2 * (t[_Y] * rows + r * t[_YS]) :][:n]
        if t[_OP] == _AFFINE:
            for j in range(n):
                to[j] = (own[j] - a[j]) * b[j] + shift[j]
        else:
            unit = a[0]
            for j in range(n):
                to[j] = own[j] * unit + b[j]


@inner
def _unpack(t, constants, room, rows):
    """Compute the numbers that planes represent: integers times the unit."""
    n, y, unit = t[_N], room.view(np.float32), constants.view(np.float32)[2 * t[_A]]
    factors = constants.view(np.int64)[t[_F] :][: t[_P]]
    for r in range(rows):
        words = room[t[_X] * rows + r * t[_XS] :][: t[_XS]]
        to = y[2 * (t[_Y] * rows + r * t[_YS]) :][:n]
        for j in range(n):
            total = t[_S]
            for p in range(t[_P]):
                one = (words[p * t[_K] + (j >> 6)] >> np.uint64(j & 63)) & np.uint64(1)
                total += factors[p] * (2 * np.int64(one) - 1)
            to[j] = np.float32(total) * unit


@inner
def _combine(t, constants, room, rows):
    """Combine floats with a second operand, a value or constants per column."""
    n, y, kind = t[_N], room.view(np.float32), t[_L]
    for r in range(rows):
        a = y[2 * (t[_X] * rows + r * t[_XS]) :][:n]
        b = constants.view(np.float32)[2 * t[_A] :][:n]
        if t[_S] >= 0:
            b = y[2 * (t[_S] * rows + r * t[_XS]) :][:n]
        to = y[2 * (t[_Y] * rows + r * t[_YS]) :][:n]
        if kind == 0:
            for j in range(n):
                to[j] = a[j] + b[j]
        elif kind == 1:
            for j in range(n):
                to[j] = a[j] - b[j]
        elif kind == 2:
            for j in range(n):
                to[j] = a[j] * b[j]
        elif kind == 3:
            for j in range(n):
                to[j] = a[j] / b[j]
        else:
            for j in range(n):
                to[j] = a[j] if a[j] > 0 else a[j] * b[j]


@inner
def _weigh(t, constants, room, rows):
    """Compute the product of floats with weights (N, M), summed in order, plus a bias."""
    n, m, y, c = t[_N], t[_L], room.view(np.float32), constants.view(np.float32)
    shift = c[2 * t[_B] :][:m]
    for r in range(rows):
        own, to = y[2 * (t[_X] * rows + r * t[_XS]) :][:n], y[2 * (t[_Y] * rows + r * t[_YS]) :][:m]
        to[:] = 0
        for k in range(n):
            column, number = c[2 * t[_A] + k * m :][:m], own[k]
            for j in range(m):
                to[j] += number * column[j]
        for j in range(m):
            to[j] += shift[j]


@functools.cache
def _program(level):
    """Compile the loop over the operations for a level."""
    lanes = LANES.get(level, 2)
    multiply, sign = product(lanes, "integers"), product(lanes, "signs")
    multiply_planes, sign_planes = _weighted(lanes, "integers"), _weighted(lanes, "signs")

    def run(table, constants, room, x, y):
        rows, weights, work = len(x), constants.ctypes.data, room.ctypes.data
        for t in table:
            op = t[_OP]
            at, to = work + 8 * t[_X] * rows, work + 8 * t[_Y] * rows
            if op == _SIGN or op == _SIGNP:
                for r in range(rows):
                    room[t[_Y] * rows + (r + 1) * t[_YS] - 1] = 0  # an odd panel fills a half
            a, b, c, f = (weights + 8 * t[_A], weights + 8 * t[_B], weights + 8 * t[_C], 0)
            if op == _SIGN:
                sign(at, rows, t[_K], a, t[_L], 0, b, c, to, 8 * t[_YS])
            elif op == _MUL:
                multiply(at, rows, t[_K], a, t[_L], t[_N], 0, 0, to, 8 * t[_YS])
            elif op == _SIGNP:
                f = weights + 8 * t[_F]
                for r in range(rows):
                    own, own_to = at + 8 * r * t[_XS], to + 8 * r * t[_YS]
                    sign_planes(own, t[_P], t[_K], a, t[_L], f, b, c, own_to)
            elif op == _MULP:
                f = weights + 8 * t[_F]
                for r in range(rows):
                    own, own_to = at + 8 * r * t[_XS], to + 8 * r * t[_YS]
                    multiply_planes(own, t[_P], t[_K], a, t[_L], f, b, 0, own_to)
            elif op == _SPLIT:
                for r in range(rows):
                    own, own_to = at + 8 * r * t[_XS], to + 8 * r * t[_YS]
                    _split_bytes(own, t[_K], t[_P], own_to, 8 * t[_K])
            elif op == _ENTER:
                _enter(t, room, x, rows)
            elif op == _LEAVE:
                _leave(t, room, y, rows)
            elif op == _ACC:
                _accumulate(t, room, rows)
            elif op == _RANK:
                _rank(t, constants, room, rows)
            elif op == _COUNT:
                _count(t, constants, room, rows)
            elif op == _CONVERT:
                _convert(t, room, rows)
            elif op == _AFFINE or op == _RESCALE:
                _map(t, constants, room, rows)
            elif op == _UNPACK:
                _unpack(t, constants, room, rows)
            elif op == _COMBINE:
                _combine(t, constants, room, rows)
            elif op == _WEIGH:
                _weigh(t, constants, room, rows)

    return jit(run, f"program_{level}")


def run_program(table, constants, room, x, y):
    """Write the result of the operations in a table for the input x (rows, bytes) to y."""
    _program(level())(table, constants, room, x, y)
