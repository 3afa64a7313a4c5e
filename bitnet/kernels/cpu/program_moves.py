"""The operations of `program` that move bytes and bits, and those that pool images."""

from bitnet.kernels.cpu.emit import Value, routine
from bitnet.kernels.cpu.program_numbers import BYTES, FLOATS, INTEGERS, stored


@routine
def copy(e, at, to, count):
    """Copy bytes: 64 at a time, then 8, then the rest one by one."""
    for size, kind in ((64, BYTES), (8, "i64"), (1, "i8")):
        shift = size.bit_length() - 1

        def step(k, _, at=at, to=to, kind=kind, shift=shift):
            return stored(e, e.load(kind, at + (k << shift)), to + (k << shift))

        e.repeat(count >> shift, [], step)
        whole = count >> shift << shift
        at, to, count = at + whole, to + whole, count - whole


@routine
def clear(e, to, count):
    """Set bytes, a multiple of 64, to 0."""
    e.builder.function.attributes.add("optsize")
    e.repeat(count >> 6, [], lambda k, _: stored(e, e.constant(BYTES, 0), to + (k << 6)))


@routine
def append(e, at, to, n, first):
    """Write n bits after the first ones of a row, which has zeros there."""
    shift, to = first & 63, to + (first >> 6 << 3)

    def word(k, _):
        own = e.load("i64", at + (k << 3))
        e.store(e.load("i64", to + (k << 3)) | (own << shift), to + (k << 3))
        # of n bits some may be in one word more, which is in the row only if one of them is
        ends = (shift + n - (k << 6)).at_most(64)
        more = ends.chosen(e.constant("i64", 0), e.constant("i64", 1))

        def rest(*_):
            return stored(e, own >> (shift * -1 + 64), to + (k << 3) + 8)

        e.repeat(more * shift.at_most(0).chosen(shift, shift * 0 + 1), [], rest)
        return []

    e.repeat((n + 63) >> 6, [], word)


def _over_taps(e, at, taps, tap_step, columns, column_step, values, combine):
    """Combine the values with those of all taps; `combine(address, values)`."""

    def line(i, values):
        row = at + i * tap_step
        return e.repeat(columns, values, lambda j, own: combine(row + j * column_step, own))

    return e.repeat(taps, values, line)


def _pool(kind, combine, first=None):
    """Make a routine that combines the numbers of all taps."""

    def pool(e, at, to, count, taps, tap_step, columns, column_step):
        def some(k, _):
            own = at + (k << 6)
            begin = e.load(kind, own) if first is None else e.constant(kind, first)

            def tap(address, total):
                return [combine(e, total[0], e.load(kind, address))]

            window = taps, tap_step, columns, column_step
            (total,) = _over_taps(e, own, *window, [begin], tap)
            if kind == FLOATS and first is not None:
                number = e.builder.sitofp((taps * columns).ir, e.constant("float", 0.0).ir.type)
                number = e.splat(FLOATS, Value(e.builder, number))
                total = Value(e.builder, e.builder.fdiv(total.ir, number.ir))
            return stored(e, total, to + (k << 6))

        e.repeat(count, [], some)

    return routine(pool)


def _larger_float(e, a, b):
    """Return the larger of two numbers, or the first of equal ones or with NaN."""
    return Value(e.builder, e.builder.fcmp_ordered(">", b.ir, a.ir)).chosen(b, a)


largest_integers = _pool(INTEGERS, lambda e, a, b: a.at_most(b).chosen(b, a))
largest_floats = _pool(FLOATS, _larger_float)
sum_integers = _pool(INTEGERS, lambda e, a, b: a + b, 0)
mean_floats = _pool(FLOATS, lambda e, a, b: a + b, 0.0)


@routine
def largest_planes(
    e, at, to, n_words, planes, x_plane, y_plane, taps, tap_step, columns, step, flips
):
    """Find the maxima of integers whose coefficients are 1, 2, 4, ..., 64 channels at a time.

    The greater number has the 1 in the highest plane in which the two differ.  Words are compared
    with the bits of flips changed.
    """
    none, whole = e.constant("i64", 0), e.constant("i64", -1)

    def word(k, _):
        flip, own, best = e.load("i64", flips + (k << 3)), at + (k << 3), to + (k << 3)

        def each(function):
            e.repeat(planes, [], lambda p, _: stored(e, function(p), best + p * y_plane))

        each(lambda p: e.load("i64", own + p * x_plane) ^ flip)

        def tap(address, _):
            def compared(p, state):
                greater, equal = state
                p = planes - 1 - p
                new = e.load("i64", address + p * x_plane) ^ flip
                old = e.load("i64", best + p * y_plane)
                greater = greater | (equal & new & (old ^ whole))
                return [greater, equal & (new ^ old ^ whole)]

            greater, _ = e.repeat(planes, [none, whole], compared)

            def larger(p):
                new = e.load("i64", address + p * x_plane) ^ flip
                old = e.load("i64", best + p * y_plane)
                return old ^ ((old ^ new) & greater)

            each(larger)
            return []

        _over_taps(e, own, taps, tap_step, columns, step, [], tap)
        each(lambda p: e.load("i64", best + p * y_plane) ^ flip)
        return []

    e.repeat(n_words, [], word)


@routine
def gather(e, at, to, table, count):
    """Copy a row of a table, of `count` bytes in whole words, whose number is at an address."""
    row = table + e.load("i64", at) * count
    e.repeat(count >> 3, [], lambda k, _: stored(e, e.load("i64", row + (k << 3)), to + (k << 3)))
