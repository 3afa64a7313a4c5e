"""The products of `program`: signs, planes of bits or bytes with signs, as integers or signs.

Each routine computes a line of n outputs.  An output reads `lines` rows of taps of the operand,
each `n_words` contiguous words, with `step` bytes between outputs and `line_step` bytes between
rows of taps; a matrix product has one row of taps, and its outputs are the rows of the batch.
The integers are `base - 2 count`, and the signs are 1 where `count <= limit`, xor flip.  The bases
or limits of output i are at `tables` + the word at `of + i * of_step`, so that the outputs of a
convolution near the border have their own.
"""

from bitnet.kernels.cpu.emit import routine
from bitnet.kernels.cpu.xnor import COUNTS, parts, store_integers, store_signs, tiles

SUMS, SOME = "<16 x i32>", "<8 x i64>"


def _store(e, lanes, counts, part, own, signs, flips, y, y_step):
    """Store the signs or the integers of some outputs; own: the address of the table of each."""
    is_signs = e.builder.icmp_signed("!=", signs.ir, e.constant("i64", 0).ir)
    with e.builder.if_else(is_signs) as (then, otherwise):
        with then:
            store_signs(e, lanes, counts, part, own, flips, y, y_step)
        with otherwise:

            def base(row, offset):
                return e.load(f"<{lanes} x i32>", own[row] + offset)

            store_integers(e, lanes, counts, part, base, y, y_step)


def product(lanes):
    """Make a routine for signs with signs."""
    counts_of = COUNTS[lanes][0]

    def line_of(
        e,
        signs,
        x,
        n,
        step,
        lines,
        line_step,
        n_words,
        panels,
        n_panels,
        tables,
        of,
        of_step,
        flips,
        y,
        y_step,
    ):
        def tile(part, weight, outputs, first, zeros):
            at = x + first * step

            def line(i, counts):
                taps, bits = at + i * line_step, weight + i * (n_words << 8)
                return counts_of(e, outputs, taps, step, bits, n_words, counts)

            counts = e.repeat(lines, zeros, line)
            own = [tables + e.load("i64", of + (first + i) * of_step) for i in range(outputs)]
            _store(e, lanes, counts, part, own, signs, flips, y + first * y_step, y_step)

        tiles(e, lanes, panels, n_panels, lines * n_words, n, tile)

    return routine(line_of)


def planes_product(lanes):
    """Make a routine for planes, whose counts are multiplied by factors, with signs."""
    counts_of, per_row = COUNTS[lanes]
    lane = f"<{lanes} x i64>"

    def line_of(
        e,
        signs,
        x,
        n,
        step,
        planes,
        plane_step,
        factors,
        lines,
        line_step,
        n_words,
        panels,
        n_panels,
        tables,
        of,
        of_step,
        flips,
        y,
        y_step,
    ):
        def all_outputs(part, weight):
            def some(at, first, count, totals):
                at = at + first * plane_step

                def line(i, counts):
                    taps, bits = at + i * line_step, weight + i * (n_words << 8)
                    return counts_of(e, count, taps, plane_step, bits, n_words, counts)

                counts = e.repeat(lines, [e.constant(lane, 0)] * (per_row * count), line)
                for p in range(count):
                    factor = e.splat(lane, e.load("i64", factors + ((first + p) << 3)))
                    own = counts[p * per_row : (p + 1) * per_row]
                    totals = [t + c * factor for t, c in zip(totals, own, strict=True)]
                return totals

            def output(i, _):
                at, fours = x + i * step, planes >> 2
                totals = [e.constant(lane, 0)] * per_row
                totals = e.repeat(fours, totals, lambda k, own: some(at, k << 2, 4, own))
                rest = fours << 2
                totals = e.repeat(planes & 3, totals, lambda k, own: some(at, rest + k, 1, own))
                own = [tables + e.load("i64", of + i * of_step)]
                _store(e, lanes, totals, part, own, signs, flips, y + i * y_step, y_step)
                return []

            e.repeat(n, [], output)

        parts(e, lanes, panels, n_panels, lines * n_words, all_outputs)

    return routine(line_of)


@routine
def bytes_product(
    e, signs, x, n, step, groups, panels, n_panels, tables, of, of_step, flips, y, y_step
):
    """Multiply unsigned bytes, four per group, with signs, whose bits become bytes on the way.

    panels (P, groups, 2, 64 bits): bit 4 c + j is the sign of byte j for output 16 half + c.  The
    counts are minus the sums.  Needs the instruction vpdpbusd.
    """
    plus, minus = e.constant("<64 x i8>", 1), e.constant("<64 x i8>", -1)

    def panel(part, _):
        weight = panels + part * (groups << 4)

        def outputs(first, count):
            at = x + first * step

            def group(g, sums):
                masks = (e.load("i64", weight + (g << 4) + 8 * half) for half in range(2))
                bits = [m.bits_as("<64 x i1>").chosen(plus, minus).bits_as(SUMS) for m in masks]
                new = []
                for i in range(count):
                    four = e.splat(SUMS, e.load("i32", at + step * i + (g << 2)))
                    for half in range(2):
                        dot = "llvm.x86.avx512.vpdpbusd.512"
                        new.append(e.call(dot, SUMS, sums[2 * i + half], four, bits[half]))
                return new

            sums = e.repeat(groups, [e.constant(SUMS, 0)] * (2 * count), group)
            halves = (range(8), range(8, 16))
            counts = [e.part(s * -1, half).to(SOME) for s in sums for half in halves]
            own = [tables + e.load("i64", of + (first + i) * of_step) for i in range(count)]
            _store(e, 8, counts, part, own, signs, flips, y + first * y_step, y_step)
            return []

        e.repeat(n >> 2, [], lambda i, _: outputs(i << 2, 4))
        e.repeat(n & 3, [], lambda i, _: outputs((n >> 2 << 2) + i, 1))
        return []

    e.repeat(n_panels, [], panel)
