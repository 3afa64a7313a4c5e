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

from numba.core import config

from bitnet.kernels.cpu.emit import Value, address, routine
from bitnet.kernels.cpu.jit import jit, vector_level
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
    "words",  # per plane; vectors of 16 numbers for operations on numbers
    "count",  # of panels, steps or vectors of the result, or of terms before
    "first",  # offset: weights, steps, means, units, the second operand
    "second",  # offset: limits or bases, directions, scales, biases
    "third",  # offset: bits to flip, changes of patterns, shifts
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
    "reach",  # floats as patterns in bytes, by edges
    "convert",  # integers as floats
    "affine",  # (x - mean) * scale + shift
    "rescale",  # x * unit + bias
    "unpack",  # the numbers of planes
    "weigh",  # the ordered product of floats
    "add",
    "subtract",
    "scale",  # products of two floats
    "prelu",
    "divide",
    "hardtanh",
)
COMPILES = not vars(config)["DISABLE_JIT"]
BYTES, INTEGERS, FLOATS = "<64 x i8>", "<16 x i32>", "<16 x float>"

OP, X, X_STEP, Y, Y_STEP, N, PLANES, WORDS, COUNT = range(9)
FIRST, SECOND, THIRD, FACTORS, NUMBER = range(9, len(COLUMNS))
ENTER, LEAVE, SPLIT, MULTIPLY, SIGN, MULTIPLY_PLANES, SIGN_PLANES, ACCUMULATE, RANK = range(9)
REACH, CONVERT, AFFINE, RESCALE, UNPACK, WEIGH = range(9, 15)
ADD, SUBTRACT, SCALE, PRELU, DIVIDE, HARDTANH = range(15, len(OPERATIONS))


def _stored(e, value, to):
    """Store a register; return that no value is carried to the next iteration."""
    e.store(value, to)
    return []


@routine
def _split(e, bytes_at, n_words, planes, to, stride):
    """Store the top planes of 64 bytes per word: the sign bits, then those of the doubled bytes."""

    def word(k, _):
        def plane(i, own):
            negative = e.builder.icmp_signed("<", own[0].ir, e.constant(BYTES, 0).ir)
            mask = Value(e.builder, negative).bits_as("i64")
            e.store(mask, to + stride * (planes - 1 - i) + (k << 3))
            return [own[0] + own[0]]

        e.repeat(planes, [e.load(BYTES, bytes_at + (k << 6))], plane)
        return []

    e.repeat(n_words, [], word)


def _weighted(lanes, kind):
    """Make a routine for the product of one row of planes with all outputs."""
    counts_of, per_row = COUNTS[lanes]

    def row_of(e, x, planes, n_words, panels, n_panels, factors, limits, flips, y):
        stride, lane = n_words << 3, f"<{lanes} x i64>"

        def base(_, offset):
            return e.load(f"<{lanes} x i32>", limits + offset)

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
                store_integers(e, lanes, totals, part, base, y, e.constant("i64", 0))

        parts(e, lanes, panels, n_panels, n_words, tile)

    return routine(row_of)


@routine
def _copy(e, at, to, count):
    """Copy bytes, 64 at a time and the rest one by one."""
    e.repeat(count >> 6, [], lambda k, _: _stored(e, e.load(BYTES, at + (k << 6)), to + (k << 6)))
    whole = count >> 6 << 6
    at, to = at + whole, to + whole
    e.repeat(count & 63, [], lambda k, _: _stored(e, e.load("i8", at + k), to + k))


@routine
def _clear(e, to, count):
    """Set bytes to 0."""
    e.repeat(count, [], lambda k, _: _stored(e, e.constant("i8", 0), to + k))


@routine
def _accumulate(e, at, to, count, factor, terms):
    """Add integers times a factor to integers, or to 0 if there are no terms before."""
    factor = e.splat(INTEGERS, factor.to("i32"))
    keep = e.splat(INTEGERS, terms.at_most(0).chosen(terms * 0, terms * 0 - 1).to("i32"))

    def step(k, _):
        before = e.load(INTEGERS, to + (k << 6)) & keep
        return _stored(e, before + e.load(INTEGERS, at + (k << 6)) * factor, to + (k << 6))

    e.repeat(count, [], step)


def _ranks(kind):
    """Make a routine that turns numbers into patterns, by steps that increase.

    A number passes the first steps only.  Each step that it passes changes some bits of its
    pattern.  Integers of decreasing units are compared as complements.
    """

    def ranks(e, at, to, count, steps, n_steps, flips, changes):
        lane = "i32" if kind == INTEGERS else "float"

        def some(k, _):
            x = e.load(kind, at + (k << 6))
            x = x ^ e.load(kind, flips + (k << 6)) if kind == INTEGERS else x

            def step(s, patterns):
                if kind == INTEGERS:
                    own = e.load(kind, steps + ((s * count + k) << 6))
                    passed = own.at_most(x)
                else:
                    edge = e.splat(kind, e.load(lane, steps + (s << 2)))
                    passed = Value(e.builder, e.builder.fcmp_ordered(">=", x.ir, edge.ir))
                change = e.splat("<16 x i8>", e.load("i8", changes + 1 + s))
                return [patterns[0] ^ passed.chosen(change, e.constant("<16 x i8>", 0))]

            first = e.splat("<16 x i8>", e.load("i8", changes))
            (patterns,) = e.repeat(n_steps, [first], step)
            return _stored(e, patterns, to + (k << 4))

        e.repeat(count, [], some)

    return routine(ranks)


_rank, _reach = _ranks(INTEGERS), _ranks(FLOATS)


@routine
def _convert(e, at, to, count):
    """Convert integers to floats."""

    def step(k, _):
        return _stored(e, e.load(INTEGERS, at + (k << 6)).to(FLOATS), to + (k << 6))

    e.repeat(count, [], step)


@routine
def _affine(e, at, to, count, mean, scale, shift):
    """Compute `(x - mean) * scale + shift`."""

    def step(k, _):
        own = [e.load(FLOATS, address + (k << 6)) for address in (at, mean, scale, shift)]
        return _stored(e, (own[0] - own[1]) * own[2] + own[3], to + (k << 6))

    e.repeat(count, [], step)


@routine
def _rescale(e, at, to, count, unit, bias):
    """Compute `x * unit + bias`."""
    unit = e.splat(FLOATS, e.load("float", unit))

    def step(k, _):
        x, own = (e.load(FLOATS, address + (k << 6)) for address in (at, bias))
        return _stored(e, x * unit + own, to + (k << 6))

    e.repeat(count, [], step)


def _combined(operation):
    """Make a routine for an operation on two operands."""

    def combined(e, at, to, count, other):
        def step(k, _):
            a, b = (e.load(FLOATS, address + (k << 6)) for address in (at, other))
            return _stored(e, operation(e, a, b), to + (k << 6))

        e.repeat(count, [], step)

    return routine(combined)


def _prelu_of(e, x, slope):
    """Return x where it is positive, and elsewhere x times the slope."""
    positive = Value(e.builder, e.builder.fcmp_ordered(">", x.ir, e.constant(FLOATS, 0).ir))
    return positive.chosen(x, x * slope)


_add, _multiply = _combined(lambda e, a, b: a + b), _combined(lambda e, a, b: a * b)
_subtract, _prelu = _combined(lambda e, a, b: a - b), _combined(_prelu_of)
_divide = _combined(lambda e, a, b: Value(e.builder, e.builder.fdiv(a.ir, b.ir)))


@routine
def _hardtanh(e, at, to, count):
    """Replace numbers below -1 by -1, and those above 1 by 1."""

    def step(k, _):
        x = e.load(FLOATS, at + (k << 6))
        for relation, end in (("<", -1), (">", 1)):
            beyond = Value(
                e.builder, e.builder.fcmp_ordered(relation, x.ir, e.constant(FLOATS, end).ir)
            )
            x = beyond.chosen(e.constant(FLOATS, end), x)
        return _stored(e, x, to + (k << 6))

    e.repeat(count, [], step)


@routine
def _unpack(e, at, to, count, planes, plane_step, factors, offset, unit):
    """Compute the numbers that planes represent: integers times the unit."""
    first = e.splat(INTEGERS, offset.to("i32"))
    unit = e.splat(FLOATS, e.load("float", unit))

    def step(k, _):
        def plane(p, total):
            ones = e.load("i16", at + p * plane_step + (k << 1)).bits_as("<16 x i1>")
            factor = e.splat(INTEGERS, e.load("i64", factors + (p << 3)).to("i32"))
            return [total[0] + ones.chosen(factor, factor * -1)]

        (total,) = e.repeat(planes, [first], plane)
        return _stored(e, total.to(FLOATS) * unit, to + (k << 6))

    e.repeat(count, [], step)


@routine
def _weigh(e, at, to, count, n, weights, bias):
    """Compute the product of floats with weights (N, 16 count), in the order of N, plus a bias."""

    def columns(first, vectors):
        def step(i, totals):
            x = e.splat(FLOATS, e.load("float", at + (i << 2)))
            own = weights + ((i * count + first) << 6)
            loaded = [e.load(FLOATS, own + 64 * v) for v in range(vectors)]
            return [total + x * v for total, v in zip(totals, loaded, strict=True)]

        totals = e.repeat(n, [e.constant(FLOATS, 0)] * vectors, step)
        for v, total in enumerate(totals):
            shift = (first << 6) + 64 * v
            e.store(total + e.load(FLOATS, bias + shift), to + shift)
        return []

    e.repeat(count >> 2, [], lambda k, _: columns(k << 2, 4))
    e.repeat(count & 3, [], lambda k, _: columns((count >> 2 << 2) + k, 1))


@functools.cache
def _program(level):
    """Compile the loop over the operations for a level."""
    lanes = LANES.get(level, 2)
    multiply, sign = product(lanes, "integers"), product(lanes, "signs")
    multiply_planes, sign_planes = _weighted(lanes, "integers"), _weighted(lanes, "signs")

    def run(table, constants, room, x, y):
        rows, base, work = len(x), address(constants, "uint64"), address(room, "uint64")
        entering, enter_step = address(x, "uint8"), x.strides[0]
        leaving, leave_step = address(y, "int32"), y.strides[0]
        for i in range(len(table)):
            op, n, planes, words = table[i, OP], table[i, N], table[i, PLANES], table[i, WORDS]
            count, number, factors = table[i, COUNT], table[i, NUMBER], base + 8 * table[i, FACTORS]
            first, second = base + 8 * table[i, FIRST], base + 8 * table[i, SECOND]
            third = base + 8 * table[i, THIRD]
            step, y_step = 8 * table[i, X_STEP], 8 * table[i, Y_STEP]
            x_start, y_start = work + 8 * table[i, X] * rows, work + 8 * table[i, Y] * rows
            if op == MULTIPLY:
                multiply(x_start, rows, words, first, count, n, 0, 0, y_start, y_step)
            for r in range(rows):
                at, to = x_start + r * step, y_start + r * y_step
                if op == SIGN_PLANES:
                    _clear(to + y_step - 8, 8)
                    sign_planes(at, planes, words, first, count, factors, second, third, to)
                elif op == MULTIPLY_PLANES:
                    multiply_planes(at, planes, words, first, count, factors, second, 0, to)
                elif op == SIGN:
                    _clear(to + y_step - 8, 8)
                elif op == SPLIT:
                    _split(at, words, planes, to, 8 * words)
                elif op == ENTER:
                    _copy(entering + r * enter_step, to, enter_step)
                    _clear(to + enter_step, y_step - enter_step)
                elif op == LEAVE:
                    _copy(at, leaving + r * leave_step, leave_step)
                elif op == ACCUMULATE:
                    _accumulate(at, to, words, number, count)
                elif op == RANK:
                    _rank(at, to, words, first, count, second, third)
                    _clear(to + n, y_step - n)
                elif op == REACH:
                    _reach(at, to, words, first, count, 0, third)
                    _clear(to + n, y_step - n)
                elif op == CONVERT:
                    _convert(at, to, words)
                elif op == AFFINE:
                    _affine(at, to, words, first, second, third)
                elif op == RESCALE:
                    _rescale(at, to, words, first, second)
                elif op == HARDTANH:
                    _hardtanh(at, to, words)
                elif op == UNPACK:
                    _unpack(at, to, count, planes, 8 * words, factors, number, first)
                elif op == WEIGH:
                    _weigh(at, to, words, n, first, second)
                else:
                    other = first if number < 0 else work + 8 * number * rows + r * step
                    if op == ADD:
                        _add(at, to, words, other)
                    elif op == SUBTRACT:
                        _subtract(at, to, words, other)
                    elif op == SCALE:
                        _multiply(at, to, words, other)
                    elif op == PRELU:
                        _prelu(at, to, words, other)
                    elif op == DIVIDE:
                        _divide(at, to, words, other)
            if op == SIGN:
                sign(x_start, rows, words, first, count, 0, second, third, y_start, y_step)

    return jit(run, f"program_{level}")


def run_program(table, constants, room, x, y):
    """Write the result of the operations in a table for the input x (rows, bytes) to y."""
    _program(vector_level())(table, constants, room, x, y)
