"""The loops of a product of tiles: a few rows, in the cache, times all columns.

    rows      tiles of bytes, see `tile_rows`; at most 512 KB, so that they stay in the L2 cache
    columns   panels of bits or bytes, see `tile_layouts`
    blocks    of at most 8 tiles of contracted elements: 16 KB of a panel as bytes, for the L1 cache

For each panel and block, all pairs of row tiles stream past the panel: four products of two row
tiles with two column tiles per 64 contracted elements, whose totals stay in four tiles.  Meanwhile
the bits of the following block become bytes of +1 and -1, some words after each product, so that no
tile waits for them; only the first and the last step of a block leave this to the others, as they
load and store totals.  After the last block of a panel the totals become integers, floats or signs.
"""

import functools

from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.tile_choice import MOST_ROWS
from bitnet.kernels.cpu.tile_rows import TILE_PAIR
from bitnet.kernels.cpu.tiles import FORMS, PLACE, REGISTERS, TILE_BYTES, ZEROS, tile_jit

BLOCK = 8  # tiles of contracted elements
GROUP = 4  # words that become bytes during one step of four products
GROUPS = 8  # per tile pair of a panel
BLOCK_BYTES = BLOCK * TILE_PAIR  # of a panel
TOTALS = PLACE + 2 * BLOCK_BYTES  # the first byte of the totals in a room, after two blocks
PAIR_TOTALS = 4 * TILE_BYTES  # bytes
SPARE = REGISTERS + 8 * TILE_BYTES  # the first byte of a part of the result, (16, 32) numbers
ROW_BYTES = 1 << 19  # of rows in the L2 cache


def shape_of(n_tiles):
    """Return the tiles per block, equal but for the last, and the rows that share a room."""
    size = -(-n_tiles // -(-n_tiles // BLOCK))
    pairs = ROW_BYTES // (TILE_PAIR * n_tiles)
    return size, max(32, min(MOST_ROWS, 32 * pairs))


def room_bytes(n_tiles, n_rows):
    """Return the first byte of the rows in a room, and its size."""
    pairs = -(-n_rows // 32)
    first = TOTALS + pairs * PAIR_TOTALS
    return first, first + pairs * n_tiles * TILE_PAIR


def _spread(e, words, to, count):
    """Store `count` words of bits as bytes of +1 and -1."""
    plus, minus = e.constant("<64 x i8>", 1), e.constant("<64 x i8>", -1)

    def word(i, _):
        ones = e.load("i64", words + (i << 3)).bits_as("<64 x i1>")
        e.store(ones.chosen(plus, minus), to + (i << 6))
        return []

    e.repeat(count, [], word, unrolled=False)


_spread_words = routine(_spread)


def _block_routine(form, kinds, of_bits):
    """Make a routine that adds the product of a pair of row tiles and a block of a panel.

    Totals come from `old`, whose tiles are `16 * stride` bytes apart, and go to `totals`.  Of the n
    steps, the middle ones turn up to 4 * `share` words into bytes, until `left` groups of 4 are
    done.
    """

    def block(e, room, rows, panel, old, stride, totals, n, words, to, share, left):
        tiles, line = FORMS[form](e, room), e.constant("i64", 64)

        def step(k, first=False, last=False, between=lambda: None):
            at, columns = rows + k * TILE_PAIR, panel + k * TILE_PAIR
            for i, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
                if column == 0:
                    tiles.load_once(4 + row, at + TILE_BYTES * row, line)
                if row == 0:
                    tiles.load(6 + column, columns + TILE_BYTES * column, line)
                if first:
                    tiles.load(i, old + (stride << 4) * i, stride)
                tiles.dot(i, 4 + row, 6 + column, kinds)
                if last:
                    tiles.store(i, totals + TILE_BYTES * i, line)
                between()
            return []

        def middle_step(k, ahead):
            words, to, left = ahead
            count, done = left.at_most(share).chosen(left, share), []

            def spread():
                first = count * len(done)
                _spread(e, words + (first << 3), to + (first << 6), count)
                done.append(count)

            step(k + 1, between=spread)
            return [words + (count << 5), to + (count << 8), left - count]

        def store_all(*_):
            for i in range(4):
                tiles.store(i, totals + TILE_BYTES * i, line)
            return []

        step(e.constant("i64", 0), first=True)
        if of_bits:
            e.repeat(n - 2, [words, to, left], middle_step)
        else:
            e.repeat(n - 2, [], lambda k, _: step(k + 1))
        single = n.at_most(1).zero_extended("i64")
        e.repeat(single, [], store_all)
        e.repeat(single ^ 1, [], lambda *_: step(n - 1, last=True))

    return routine(block)


def _control_routine(form, name):
    """Make a routine that configures or releases the tiles."""

    def control(e, room):
        getattr(FORMS[form](e, room), name)()

    return routine(control)


def _stored(e, totals, y, stride, count, value, past):
    """Store 32 numbers of each of `count` rows; `value(row, sums, offset)` makes 16 of them."""
    store = e.store_past if past else e.store

    def row(r, _):
        at = totals + (r << 6)
        sums = [e.load("<16 x i32>", at + TILE_BYTES * half) for half in range(2)]
        for half, own in enumerate([value(r, own, 64 * half) for half, own in enumerate(sums)]):
            store(own, y + r * stride + 64 * half)
        return []

    e.repeat(count, [], row)


def _finish_routine(kind, affine, past=False):
    """Make a routine that writes 32 columns of some rows of the result from totals.

    affine: whether there are gains and shifts other than 1 and 0
    kind "integers": gain * total + base
    kind "floats":   (gain * total + shift) * scale; shifts int32 and scales float32 of each row
    kind "signs":    (total >= limit) ^ flip
    table: of bases or limits; classes: the byte at which those of each row begin
    """

    def finish(e, totals, y, stride, count, offset, gain, table, classes, shifts, scales, flips):
        gains = e.splat("<16 x i32>", gain.to("i32"))

        def at_class(row):
            return table + e.load("i64", classes + (row << 3)) + (offset << 2)

        def multiplied(sums):
            return sums * gains if affine else sums

        def integers(row, sums, half):
            return multiplied(sums) + e.load("<16 x i32>", at_class(row) + half)

        def floats(row, sums, _):
            if affine:
                shift = e.load("i32", shifts + (row << 2))
                sums = multiplied(sums) + e.splat("<16 x i32>", shift)
            scale = e.splat("<16 x float>", e.load("float", scales + (row << 2)))
            return sums.to("<16 x float>") * scale

        def signs(row, _):
            limits = at_class(row)
            word = e.load("i32", flips + (offset >> 3))
            for half in range(2):
                sums = e.load("<16 x i32>", totals + TILE_BYTES * half + (row << 6))
                passed = e.load("<16 x i32>", limits + 64 * half).at_most(sums)
                word = word ^ (passed.bits_as("i16").zero_extended("i32") << 16 * half)
            e.store(word, y + row * stride)
            return []

        if kind == "signs":
            e.repeat(count, [], signs)
        else:
            value = {"integers": integers, "floats": floats}[kind]
            _stored(e, totals, y, stride, count, value, past)

    return routine(finish)


@routine
def _copy_numbers(e, source, to, count):
    """Copy 32-bit numbers."""

    def one(i, _):
        e.store(e.load("i32", source + (i << 2)), to + (i << 2))
        return []

    e.repeat(count, [], one)


@functools.cache
def loops(form, kinds, of_bits, kind):
    """Compile the product of some rows for a form of the tiles and types of operands and results.

    kinds: of rows and columns, "i" signed and "u" unsigned; of_bits: columns are bits.
    """
    affine = kinds != "ii"
    add, finish = _block_routine(form, kinds, of_bits), _finish_routine(kind, affine)
    finish_past = finish if kind == "signs" else _finish_routine(kind, affine, past=True)
    configure, release = (_control_routine(form, name) for name in ("configure", "release"))
    panel_bytes = 256 if of_bits else TILE_PAIR  # per tile
    groups = GROUPS if of_bits else 0
    of_signs = kind == "signs"

    def run(room, first, panels, size, tables, classes, gain, shifts, scales, flips, past, y):
        """Write y (R, .), of the rows that begin in the room at byte number `first`.

        size: tiles per block; tables (classes, 32 P): bases or limits; classes, shifts and
        scales (R,); past: whether to store y past the caches.
        """
        start, base = address(room, "uint8"), address(panels, "uint64 uint8")
        to, stride, n_rows = address(y, "int32 float32 uint64"), y.strides[0], len(y)
        table, of = address(tables, "int32"), address(classes, "int64")
        flip = address(flips, "uint32")
        shift, scale = address(shifts, "int32"), address(scales, "float32")
        n_panels, n_tiles, pairs = len(panels), panels.shape[1], (n_rows + 31) // 32
        n_blocks, n_columns = (n_tiles + size - 1) // size, y.shape[1]
        own, following = start + PLACE, start + PLACE + BLOCK_BYTES
        configure(start)
        if of_bits:
            _spread_words(base, own, GROUP * GROUPS * min(size, n_tiles))
        for number in range(n_panels * n_blocks):
            panel, block = number // n_blocks, number % n_blocks
            k, column = block * size, 32 * panel
            n = min(size, n_tiles - k)
            next_k = k + size if k + size < n_tiles else 0
            ahead = base + (panel * n_tiles + k + n) * panel_bytes
            left = groups * min(size, n_tiles - next_k) if number + 1 < n_panels * n_blocks else 0
            steps, done = max(0, n - 2), 0  # that turn bits into bytes, per pair
            share = (left + pairs * steps - 1) // max(1, pairs * steps)
            if not of_bits:
                own = base + (panel * n_tiles + k) * panel_bytes
            for pair in range(pairs):
                at = start + first + (k * pairs + pair * n) * TILE_PAIR
                totals, zeros = start + TOTALS + pair * PAIR_TOTALS, start + ZEROS
                old, step = (totals, 64) if block else (zeros, 0)
                words, bytes_to = ahead + 32 * done, following + 256 * done
                add(start, at, own, old, step, totals, n, words, bytes_to, share, left - done)
                done = min(left, done + share * steps)
                if k + n < n_tiles:
                    continue
                for row in range(32 * pair, min(n_rows, 32 * pair + 32), 16):
                    count, sums = min(16, n_rows - row), totals + 128 * (row % 32)
                    own_class, own_scale = of + 8 * row, scale + 4 * row
                    given = count, column, gain, table, own_class, shift + 4 * row, own_scale, flip
                    place = to + row * stride + 4 * (panel if of_signs else column)
                    if of_signs or column + 32 <= n_columns:
                        if past:
                            finish_past(sums, place, stride, *given)
                        else:
                            finish(sums, place, stride, *given)
                        continue
                    finish(sums, start + SPARE, 128, *given)
                    for r in range(count):
                        own_row = start + SPARE + 128 * r
                        _copy_numbers(own_row, place + r * stride, n_columns - column)
            if of_bits:
                _spread_words(ahead + 32 * done, following + 256 * done, GROUP * (left - done))
                own, following = following, own
        release(start)

    return tile_jit(run, f"tiles_{kind}_{kinds}_{'bits' if of_bits else 'bytes'}", form)
