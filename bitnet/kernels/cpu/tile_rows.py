"""The left operand of a product of tiles: some rows, copied to the order in which tiles read them.

    a[b, p, k, t, r] = row 32 p + 16 t + r, 64 bytes of element 64 k of block b    uint8

A pair p of tiles has 32 rows.  The contracted elements are in blocks of up to 8 tiles, and k counts
the tiles of a block.  Rows are bits, which become bytes of +1 and -1; planes, which become bytes of
the sum of the factors of the planes whose bit is 1; bytes; or int16 numbers from -128 to 127.
After the last element of a row come bytes 0, or, of bits, what their padding says.  After the last
row, the tiles keep what they had: these rows of the product are not read.
"""

from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import inner, jit

TILE_PAIR = 2048  # bytes of two tiles


@routine
def _put_bits(e, source, to, count):
    """Store `count` words as bytes of +1 and -1."""
    plus, minus = e.constant("<64 x i8>", 1), e.constant("<64 x i8>", -1)

    def word(k, _):
        ones = e.load("i64", source + (k << 3)).bits_as("<64 x i1>")
        e.store(ones.chosen(plus, minus), to + k * TILE_PAIR)
        return []

    e.repeat(count, [], word)


@routine
def _put_planes(e, source, plane_stride, factors, n_planes, to, count):
    """Store words of planes as bytes: the sum of the factors of the planes whose bit is 1."""
    nothing = e.constant("<64 x i8>", 0)

    def word(k, _):
        def plane(p, total):
            ones = e.load("i64", source + p * plane_stride + (k << 3)).bits_as("<64 x i1>")
            factor = e.splat("<64 x i8>", e.load("i8", factors + p))
            return [total[0] + ones.chosen(factor, nothing)]

        (total,) = e.repeat(n_planes, [nothing], plane)
        e.store(total, to + k * TILE_PAIR)
        return []

    e.repeat(count, [], word)


def _numbers_routine(kind):
    """Make a routine that stores bytes or int16 numbers as bytes, and zeros after `count`."""
    size = {"i8": 1, "i16": 2}[kind]

    def put(e, source, to, count):
        def tile(k, _):
            for half in range(size):  # registers of 64 bytes
                numbers = e.load(f"<{64 // size} x {kind}>", source + k * (64 * size) + 64 * half)
                numbers = numbers.to(f"<{64 // size} x i8>") if size > 1 else numbers
                e.store(numbers, to + k * TILE_PAIR + 32 * half)
            return []

        whole, left = count >> 6, count & 63
        e.repeat(whole, [], tile)
        last = to + whole * TILE_PAIR

        def one(i, _):
            number = e.load(kind, source + ((whole << 6) + i) * size)
            e.store(number.to("i8") if size > 1 else number, last + i)
            return []

        def cleared(*_):
            e.store(e.constant("<64 x i8>", 0), last)
            e.repeat(left, [], one)
            return []

        e.repeat((left + 63) >> 6, [], cleared)  # if there is a part of a tile

    return routine(put)


_put_bytes, _put_shorts = _numbers_routine("i8"), _numbers_routine("i16")


@inner
def _place(row, pairs, k, count):
    """Return the byte at which a row begins in a block of `count` tiles, of which k are before."""
    return (k * pairs + row // 32 * count) * TILE_PAIR + row % 32 * 64


@jit
def put_bits(words, n_tiles, size, room, first):
    """Copy rows of bits, words (R, K), to a room from byte number `first` on."""
    to, pairs = address(room, "uint8") + first, (len(words) + 31) // 32
    for row in range(len(words)):
        at = address(words, "uint64") + row * words.strides[0]
        for k in range(0, n_tiles, size):
            count = min(size, n_tiles - k)
            own = to + _place(row, pairs, k, count)
            _put_bits(at + 8 * k, own, count)


@jit
def put_planes(words, factors, start, stop, n_tiles, size, room, first):
    """Copy rows of planes, from start to stop, like `put_bits`; words (P, R, K), factors (P,)."""
    to, pairs = address(room, "uint8") + first, (stop - start + 31) // 32
    factor, stride = address(factors, "uint8"), words.strides[0]
    for row in range(stop - start):
        at = address(words, "uint64") + (start + row) * words.strides[1]
        for k in range(0, n_tiles, size):
            count = min(size, n_tiles - k)
            own = to + _place(row, pairs, k, count)
            _put_planes(at + 8 * k, stride, factor, len(factors), own, count)


def _put_numbers(name, put, n_bytes):
    """Compile the copy of rows of numbers."""

    def run(numbers, n_tiles, size, room, first):
        """Copy rows of numbers (R, N) like `put_bits`."""
        to, pairs, n = address(room, "uint8") + first, (len(numbers) + 31) // 32, numbers.shape[1]
        for row in range(len(numbers)):
            at = address(numbers, "uint8 int16") + row * numbers.strides[0]
            for k in range(0, n_tiles, size):
                count = min(size, n_tiles - k)
                own = to + _place(row, pairs, k, count)
                put(at + 64 * n_bytes * k, own, min(n - 64 * k, 64 * count))

    return jit(run, name)


put_bytes = _put_numbers("put_bytes", _put_bytes, 1)
put_shorts = _put_numbers("put_shorts", _put_shorts, 2)
