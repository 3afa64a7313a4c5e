"""The operations of `program` that move bytes and bits, and those that pool images."""

from bitnet.kernels.cpu.emit import Value, routine
from bitnet.kernels.cpu.program_numbers import BYTES, FLOATS, INTEGERS, by_number, stored

POOLS = ("largest integers", "largest floats", "sum integers", "mean floats")


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
    e.repeat(count >> 6, [], lambda k, _: stored(e, e.constant(BYTES, 0), to + (k << 6)))


@routine
def append(e, at, to, n, first, source):
    """Write n bits, from bit `source` on, after the first ones of a row, which has zeros there."""
    none, one, whole = (e.constant("i64", number) for number in (0, 1, -1))
    begin, shift, to = source & 63, first & 63, to + (first >> 6 << 3)

    def word(k, _):
        left, own, here = n - (k << 6), at + (k << 3), to + (k << 3)
        length = left.at_most(64).chosen(left, e.constant("i64", 64))

        def following(*_):
            return [e.load("i64", own + 8) << (begin * -1 + 64)]

        def count(bits):
            return bits.at_most(64).chosen(none, one)  # of the words after the first

        (more,) = e.repeat(count(begin + length), [none], following)
        bits = ((e.load("i64", own) >> begin) | more) & (whole >> (length * -1 + 64))
        e.store(e.load("i64", here) | (bits << shift), here)

        def rest(*_):
            return stored(e, bits >> (shift * -1 + 64), here + 8)

        e.repeat(count(shift + length), [], rest)
        return []

    e.repeat((n + 63) >> 6, [], word)


def _over_taps(e, at, taps, tap_step, columns, column_step, values, combine):
    """Combine the values with those of all taps; `combine(address, values)`."""

    def line(i, values):
        row = at + i * tap_step
        return e.repeat(columns, values, lambda j, own: combine(row + j * column_step, own))

    return e.repeat(taps, values, line)


@routine
def pool(e, operation, at, to, count, taps, tap_step, columns, column_step):
    """Combine the numbers of all taps by an operation of `POOLS`, 16 at a time."""
    is_mean = operation.at_most(2).chosen(operation * 0, operation * 0 + 1)

    def some(k, _):
        own = at + (k << 6)
        is_sum = operation.at_most(1).chosen(operation * 0, operation * 0 + 1)
        keep = e.splat(INTEGERS, (is_sum - 1).to("i32"))  # a maximum begins with the first tap

        def tap(address, total):
            a, b = total[0], e.load(INTEGERS, address)
            x, y = a.bits_as(FLOATS), b.bits_as(FLOATS)
            functions = {
                "largest integers": lambda: a.at_most(b).chosen(b, a),
                "largest floats": lambda: _larger(e, x, y).bits_as(INTEGERS),
                "sum integers": lambda: a + b,
                "mean floats": lambda: (x + y).bits_as(INTEGERS),
            }
            return [by_number(e, operation, [functions[name] for name in POOLS])]

        first = e.load(INTEGERS, own) & keep
        window = taps, tap_step, columns, column_step
        (total,) = _over_taps(e, own, *window, [first], tap)
        e.store(total, to + (k << 6))

        def divide(*_):
            number = e.splat(FLOATS, (taps * columns).to("float"))
            ratio = e.builder.fdiv(total.bits_as(FLOATS).ir, number.ir)
            return stored(e, Value(e.builder, ratio), to + (k << 6))

        e.repeat(is_mean, [], divide)
        return []

    e.repeat(count, [], some)


def _larger(e, a, b):
    """Return the larger of two numbers, or the first of equal ones or with NaN."""
    return Value(e.builder, e.builder.fcmp_ordered(">", b.ir, a.ir)).chosen(b, a)


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
