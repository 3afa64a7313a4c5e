"""The operations of `program` on bytes, integers and floats, 16 or 64 at a time.

No product and sum of floats are fused, so the results are those of the other kernels, bit for bit.
"""

from bitnet.kernels.cpu.emit import Value, routine
from bitnet.kernels.reference.cells import BOTTOM, LIMIT, TOP

CHANGES = (
    "widen",  # bytes as integers
    "convert",  # integers as floats
    "affine",  # (x - mean) * scale + shift
    "rescale",  # x * unit + bias, of integers
    "hardtanh",
    "tanh",  # of recurrent cells
    "logistic",
    "relu",
    "add",
    "subtract",
    "multiply",
    "prelu",
    "divide",
)
BYTES, INTEGERS, FLOATS = "<64 x i8>", "<16 x i32>", "<16 x float>"


def stored(e, value, to):
    """Store a register; return that no value is carried to the next iteration."""
    e.store(value, to)
    return []


def _compared(e, relation, a, b):
    """Compare floats; a comparison with NaN is false."""
    return Value(e.builder, e.builder.fcmp_ordered(relation, a.ir, b.ir))


@routine
def split(e, at, n, planes, to, plane_step):
    """Store the top planes of n bytes: the sign bits, then those of the doubled bytes.

    Of the last bytes of a row that is no multiple of 64, the ones before are read as well.
    """

    def word(own, to, shift):
        def plane(i, carried):
            negative = e.builder.icmp_signed("<", carried[0].ir, e.constant(BYTES, 0).ir)
            mask = Value(e.builder, negative).bits_as("i64") >> shift
            e.store(mask, to + plane_step * (planes - 1 - i))
            return [carried[0] + carried[0]]

        e.repeat(planes, [own], plane)
        return []

    none = e.constant("i64", 0)
    e.repeat(n >> 6, [], lambda k, _: word(e.load(BYTES, at + (k << 6)), to + (k << 3), none))
    rest = n & 63
    last = rest.at_most(0).chosen(none, e.constant("i64", 1))
    shift = rest * -1 + 64
    e.repeat(last, [], lambda *_: word(e.load(BYTES, at + n - 64), to + (n >> 6 << 3), shift))


@routine
def accumulate(e, at, to, count, factor, terms):
    """Add integers times a factor to integers, or to 0 if there are no terms before."""
    factor = e.splat(INTEGERS, factor.to("i32"))
    keep = e.splat(INTEGERS, terms.at_most(0).chosen(terms * 0, terms * 0 - 1).to("i32"))

    def step(k, _):
        before = e.load(INTEGERS, to + (k << 6)) & keep
        return stored(e, before + e.load(INTEGERS, at + (k << 6)) * factor, to + (k << 6))

    e.repeat(count, [], step)


def _ranks(kind):
    """Make a routine that turns numbers into patterns, by steps that increase.

    A number passes the first steps only.  Each step that it passes changes some bits of its
    pattern.  Integers of decreasing units are compared as complements.  After the n patterns of a
    row there are zeros, up to whole words of their planes.
    """

    def ranks(e, at, to, n, steps, n_steps, flips, changes):
        lane, count = ("i32" if kind == INTEGERS else "float"), (n + 15) >> 4
        e.store(e.constant(BYTES, 0), to + ((n - 1) >> 6 << 6))

        def some(k, _):
            x = e.load(kind, at + (k << 6))
            x = x ^ e.load(kind, flips + (k << 6)) if kind == INTEGERS else x

            def step(s, patterns):
                if kind == INTEGERS:
                    passed = e.load(kind, steps + ((s * count + k) << 6)).at_most(x)
                else:
                    edge = e.splat(kind, e.load(lane, steps + (s << 2)))
                    passed = _compared(e, ">=", x, edge)
                change = e.splat("<16 x i8>", e.load("i8", changes + 1 + s))
                return [patterns[0] ^ passed.chosen(change, e.constant("<16 x i8>", 0))]

            first = e.splat("<16 x i8>", e.load("i8", changes))
            (patterns,) = e.repeat(n_steps, [first], step)
            return stored(e, patterns, to + (k << 4))

        e.repeat(count, [], some)
        beyond = to + n
        e.repeat((count << 4) - n, [], lambda k, _: stored(e, e.constant("i8", 0), beyond + k))

    return routine(ranks)


rank, reach = _ranks(INTEGERS), _ranks(FLOATS)


def by_number(e, number, functions):
    """Return the result of function `number` of several, which is 0 or more, as a register."""
    b = e.builder
    blocks = [b.append_basic_block("case") for _ in functions]
    after = b.append_basic_block("after")
    switch = b.switch(number.ir, blocks[-1])
    found = []
    for i, (block, function) in enumerate(zip(blocks, functions, strict=True)):
        if i < len(blocks) - 1:
            switch.add_case(i, block)
        b.position_at_end(block)
        found.append((function().ir, b.block))
        b.branch(after)
    b.position_at_end(after)
    result = b.phi(found[0][0].type)
    for value, block in found:
        result.add_incoming(value, block)
    return Value(b, result)


def _within(e, x, least, most):
    """Replace numbers below the least by it, and those above the most; NaN is unchanged."""
    for relation, end in (("<", least), (">", most)):
        end = e.constant(FLOATS, end)
        x = _compared(e, relation, x, end).chosen(end, x)
    return x


def _tanh_of(e, x):
    """Return `reference.tanh` of floats."""
    limit = float(LIMIT)
    x = _within(e, x, -limit, limit)
    square = x * x
    sums = [[e.constant(FLOATS, float(number)) for number in own] for own in (TOP, BOTTOM)]
    totals = []
    for own in sums:
        total = own[-1]
        for number in own[-2::-1]:
            total = total * square + number
        totals.append(total)
    top = x * totals[0]
    return _within(e, Value(e.builder, e.builder.fdiv(top.ir, totals[1].ir)), -1.0, 1.0)


def _logistic_of(e, x):
    """Return `tanh(x / 2) / 2 + 1 / 2`."""
    half = e.constant(FLOATS, 0.5)
    return _tanh_of(e, x * half) * half + half


def _relu_of(e, x):
    """Return x where it is positive or NaN, and 0 elsewhere."""
    kept = Value(e.builder, e.builder.fcmp_unordered(">", x.ir, e.constant(FLOATS, 0.0).ir))
    return kept.chosen(x, e.constant(FLOATS, 0.0))


def _prelu_of(e, x, slope):
    """Return x where it is positive, and elsewhere x times the slope."""
    return _compared(e, ">", x, e.constant(FLOATS, 0.0)).chosen(x, x * slope)


@routine
def change(e, operation, at, to, count, first, second, third, other):
    """Apply an operation of `CHANGES` to numbers, 16 at a time."""

    def step(k, _):
        offset = k << 6

        def load(address):
            return e.load(FLOATS, address + offset)

        def operands():
            return load(at), load(other)

        def widen():
            return e.load("<16 x i8>", at + (k << 4)).zero_extended(INTEGERS).bits_as(FLOATS)

        def convert():
            return e.load(INTEGERS, at + offset).to(FLOATS)

        def affine():
            return (load(at) - load(first)) * load(second) + load(third)

        def rescale():
            return convert() * e.splat(FLOATS, e.load("float", first)) + load(second)

        def divide():
            a, b = operands()
            return Value(e.builder, e.builder.fdiv(a.ir, b.ir))

        functions = {
            "widen": widen,
            "convert": convert,
            "affine": affine,
            "rescale": rescale,
            "hardtanh": lambda: _within(e, load(at), -1.0, 1.0),
            "tanh": lambda: _tanh_of(e, load(at)),
            "logistic": lambda: _logistic_of(e, load(at)),
            "relu": lambda: _relu_of(e, load(at)),
            "add": lambda: load(at) + load(other),
            "subtract": lambda: load(at) - load(other),
            "multiply": lambda: load(at) * load(other),
            "prelu": lambda: _prelu_of(e, *operands()),
            "divide": divide,
        }
        return stored(
            e, by_number(e, operation, [functions[name] for name in CHANGES]), to + offset
        )

    e.repeat(count, [], step)


@routine
def unpack(e, at, to, count, planes, plane_step, factors, offset):
    """Compute the integers that planes represent."""
    first = e.splat(INTEGERS, offset.to("i32"))

    def step(k, _):
        def plane(p, total):
            ones = e.load("i16", at + p * plane_step + (k << 1)).bits_as("<16 x i1>")
            factor = e.splat(INTEGERS, e.load("i64", factors + (p << 3)).to("i32"))
            return [total[0] + ones.chosen(factor, factor * -1)]

        (total,) = e.repeat(planes, [first], plane)
        return stored(e, total, to + (k << 6))

    e.repeat(count, [], step)


@routine
def weigh(e, at, to, count, n, weights, bias):
    """Compute the product of floats with weights (N, 16 count), in the order of N, plus a bias."""

    def columns(first, vectors):
        def step(i, totals):
            x = e.splat(FLOATS, e.load("float", at + (i << 2)))
            own = weights + ((i * count + first) << 6)
            loaded = [e.load(FLOATS, own + 64 * v) for v in range(vectors)]
            return [total + x * v for total, v in zip(totals, loaded, strict=True)]

        totals = e.repeat(n, [e.constant(FLOATS, 0.0)] * vectors, step)
        for v, total in enumerate(totals):
            shift = (first << 6) + 64 * v
            e.store(total + e.load(FLOATS, bias + shift), to + shift)
        return []

    e.repeat(count >> 2, [], lambda k, _: columns(k << 2, 4))
    e.repeat(count & 3, [], lambda k, _: columns((count >> 2 << 2) + k, 1))


@routine
def largest(e, at, to, n, is_float):
    """Store the index of the first of the largest numbers of a row, or of the first NaN."""
    b, none = e.builder, e.constant("i64", 0)

    def loop(kind):
        def step(i, best):
            own, index = best
            x = e.load(kind, at + (i << 2))
            if kind == "i32":
                more = b.icmp_signed(">", x.ir, own.ir)
            else:
                nan = b.fcmp_unordered("uno", own.ir, own.ir)
                more = b.and_(b.fcmp_unordered(">", x.ir, own.ir), b.not_(nan))
            more = Value(b, more)
            return [more.chosen(x, own), more.chosen(i, index)]

        e.store(e.repeat(n, [e.load(kind, at), none], step)[1], to)

    with b.if_else(b.icmp_signed("!=", is_float.ir, none.ir)) as (then, otherwise):
        with then:
            loop("float")
        with otherwise:
            loop("i32")
