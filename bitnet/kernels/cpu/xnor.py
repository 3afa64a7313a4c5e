"""Products of signs by XOR and popcount, with several outputs side by side in a register.

The weights are laid out once in panels of 32 outputs: for each word of a row, the words of 32
rows are contiguous, so that a register holds one word of several outputs and no sum runs across
a register.

    panels[p, k, c] = word k of output 32 p + c          (P, K, 32) uint64

A tile is a few rows of x times one panel or a part of it.  For each word k, each input of the
tile is copied to all lanes, and `count += popcount(input ^ weight)`.  With AVX-512 these are three
instructions for 8 words, that is 512 products.  The counts stay in registers for the whole row.
Then they become integers, n - 2 count, or are compared with thresholds and stored as 32 bits, the
input of the next layer.
"""

import math

import numpy as np

from bitnet.kernels.bits import Bits, words_for
from bitnet.kernels.cpu import tile_choice
from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import jit, level, vector_level
from bitnet.kernels.cpu.pack import threshold
from bitnet.kernels.memory import aligned_empty, aligned_zeros
from bitnet.kernels.threads import shared

PANEL = 32  # outputs per panel
ROWS = 512  # of x per pass over a panel, which then stays in the cache
MACS_PER_NS = {"avx512": 1000, "avx2": 350, "portable": 100}  # approximate, one thread
NIBBLE_COUNTS = [bin(nibble).count("1") for nibble in range(16)] * 2
BYTE_BLOCK = 31  # words whose popcounts, up to 8 per byte, fit in a byte


def _words_differing(e, rows, lanes, x, stride, weight):
    """Yield the XOR of one word of each of `rows` inputs with each register of weights."""
    for r in range(rows):
        word = e.splat(f"<{lanes} x i64>", e.load("i64", x + stride * r))
        yield from (word ^ register for register in weight)


def _counts_512(e, rows, x, stride, panel, n_words, counts):
    """Count the differing bits of `rows` inputs and 32 outputs, in 4 registers per row."""
    lanes = "<8 x i64>"

    def step(k, counts):
        weight = [e.load(lanes, panel + (k << 8) + 64 * v) for v in range(4)]
        differing = _words_differing(e, rows, 8, x + (k << 3), stride, weight)
        ones = (e.call("llvm.ctpop.v8i64", lanes, word) for word in differing)
        return [count + one for count, one in zip(counts, ones, strict=True)]

    return e.repeat(n_words, counts, step)


def _counts_256(e, rows, x, stride, panel, n_words, counts):
    """Count the differing bits of `rows` inputs and 8 outputs, in 2 registers per row.

    Without a popcount instruction, a shuffle looks up the counts of 4 bits.  They are added in
    bytes over 31 words, and then in 64-bit lanes.
    """
    lanes, in_bytes = "<4 x i64>", "<32 x i8>"
    table, no_bytes = e.constant(in_bytes, NIBBLE_COUNTS), e.constant(in_bytes, 0)

    def count_bits(word):
        low = word.bits_as(in_bytes) & 15
        high = (word.bits_as("<16 x i16>") >> 4).bits_as(in_bytes) & 15
        looked_up = (e.call("llvm.x86.avx2.pshuf.b", in_bytes, table, i) for i in (low, high))
        return next(looked_up) + next(looked_up)

    def block(b, counts):
        first = b * BYTE_BLOCK
        left = n_words - first
        length = left.at_most(BYTE_BLOCK).chosen(left, e.constant("i64", BYTE_BLOCK))

        def step(k, in_block):
            k = k + first
            weight = [e.load(lanes, panel + (k << 8) + 32 * v) for v in range(2)]
            differing = _words_differing(e, rows, 4, x + (k << 3), stride, weight)
            pairs = zip(in_block, differing, strict=True)
            return [count + count_bits(word) for count, word in pairs]

        in_block = e.repeat(length, [no_bytes] * (2 * rows), step)
        sums = (e.call("llvm.x86.avx2.psad.bw", lanes, c, no_bytes) for c in in_block)
        return [count + total for count, total in zip(counts, sums, strict=True)]

    n_blocks = (n_words + (BYTE_BLOCK - 1)).divided_by(BYTE_BLOCK)
    return e.repeat(n_blocks, counts, block)


def _counts_128(e, rows, x, stride, panel, n_words, counts):
    """Count the differing bits of `rows` inputs and 8 outputs, in 4 registers per row.

    LLVM replaces the popcount by what the processor has.
    """
    lanes = "<2 x i64>"

    def step(k, counts):
        weight = [e.load(lanes, panel + (k << 8) + 16 * v) for v in range(4)]
        differing = _words_differing(e, rows, 2, x + (k << 3), stride, weight)
        ones = (e.call("llvm.ctpop.v2i64", lanes, word) for word in differing)
        return [count + one for count, one in zip(counts, ones, strict=True)]

    return e.repeat(n_words, counts, step)


LANES = {"avx512": 8, "avx2": 4}
# by number of lanes: the function, registers per row
COUNTS = {8: (_counts_512, 4), 4: (_counts_256, 2), 2: (_counts_128, 4)}


def parts(e, lanes, panels, n_panels, n_words, compute):
    """Loop over parts of panels, calling `compute(part, address of its first word)`."""
    part_outputs = lanes * COUNTS[lanes][1]
    per_panel = PANEL // part_outputs

    def part_of_panel(q, _):
        panel = panels + q.divided_by(per_panel) * (n_words << 8)
        compute(q, panel + q.remainder_of(per_panel) * (8 * part_outputs))
        return []

    e.repeat(n_panels * per_panel, [], part_of_panel)


def tiles(e, lanes, panels, n_panels, n_words, n_rows, tile):
    """Loop over all outputs and, for each, over all inputs, 4 rows at a time, then 1 row.

    `tile(part, weight, rows, first, zeros)` is called for the outputs from
    `part * part_outputs` on, whose first word is at weight, and for rows from the first on.
    """
    per_row = COUNTS[lanes][1]

    def all_rows(part, weight):
        def rows_at(first, rows):
            tile(part, weight, rows, first, [e.constant(f"<{lanes} x i64>", 0)] * (rows * per_row))
            return []

        e.repeat(n_rows >> 2, [], lambda i, _: rows_at(i << 2, 4))
        e.repeat(n_rows & 3, [], lambda i, _: rows_at((n_rows >> 2 << 2) + i, 1))

    parts(e, lanes, panels, n_panels, n_words, all_rows)


def store_integers(e, lanes, counts, part, base, z, z_stride):
    """Store z = base - 2 count as int32; `base(row, offset)` returns a register of bases."""
    per_row = COUNTS[lanes][1]
    for i, count in enumerate(counts):
        row, register = divmod(i, per_row)
        offset = (part * per_row + register) * (4 * lanes)
        doubled = count.to(f"<{lanes} x i32>") << 1
        e.store(base(row, offset) - doubled, z + z_stride * row + offset)


def store_signs(e, lanes, counts, part, limits, flips, y, y_stride):
    """Store one bit per output: 1 where count <= limit, xor the bit of flips.

    limits: for each row, the address of the limits of all outputs.
    """
    per_row = COUNTS[lanes][1]
    bits = lanes * per_row
    flip = e.load(f"i{bits}", flips + part * (bits // 8))
    for row, limits_of_row in enumerate(limits):
        word = flip
        for register in range(per_row):
            at = limits_of_row + (part * per_row + register) * (8 * lanes)
            passed = counts[row * per_row + register].at_most(e.load(f"<{lanes} x i64>", at))
            passed = passed.bits_as(f"i{lanes}").zero_extended(f"i{bits}")
            word = word ^ (passed << lanes * register)
        e.store(word, y + y_stride * row + part * (bits // 8))


def product(lanes, kind):
    """Make a routine for the product of some input rows with all outputs."""
    counts_of = COUNTS[lanes][0]

    def rows_of(e, x, n_rows, n_words, panels, n_panels, n, limits, flips, y, y_stride):
        stride = n_words << 3

        def tile(part, weight, rows, first, zeros):
            counts = counts_of(e, rows, x + first * stride, stride, weight, n_words, zeros)
            to = y + first * y_stride
            if kind == "signs":
                store_signs(e, lanes, counts, part, [limits] * rows, flips, to, y_stride)
            else:
                base = e.splat(f"<{lanes} x i32>", n.to("i32"))
                store_integers(e, lanes, counts, part, lambda *_: base, to, y_stride)

        tiles(e, lanes, panels, n_panels, n_words, n_rows, tile)

    return routine(rows_of)


def _integers(level):
    """Compile the product of a level that returns integers."""
    multiply = product(LANES[level], "integers")

    def run(x, panels, n, z):
        """Compute z = n - 2 popcount(x ^ weight); x (B, K), panels (P, K, 32), z (B, 32 P)."""
        weight, n_panels, n_words = address(panels, "uint64"), len(panels), x.shape[1]
        for i in range(0, x.shape[0], ROWS):
            at, to = address(x, "uint64") + i * x.strides[0], address(z, "int32") + i * z.strides[0]
            rows = min(ROWS, x.shape[0] - i)
            multiply(at, rows, n_words, weight, n_panels, n, 0, 0, to, z.strides[0])

    return jit(run, f"integers_{level}")


def _signs(level):
    """Compile the product of a level that returns signs."""
    multiply = product(LANES[level], "signs")

    def run(x, panels, limits, flips, y):
        """Set bits where popcount(x ^ weight) <= limit, xor flip; limits (32 P,), flips (P,)."""
        weight, n_panels, n_words = address(panels, "uint64"), len(panels), x.shape[1]
        limit, flip = address(limits, "int64 uint64"), address(flips, "uint32")
        for i in range(0, x.shape[0], ROWS):
            at, to = (
                address(x, "uint64") + i * x.strides[0],
                address(y, "uint64") + i * y.strides[0],
            )
            rows = min(ROWS, x.shape[0] - i)
            multiply(at, rows, n_words, weight, n_panels, 0, limit, flip, to, y.strides[0])

    return jit(run, f"signs_{level}")


INTEGERS = {level: _integers(level) for level in LANES}
SIGNS = {level: _signs(level) for level in LANES}


@jit
def popcount(word):
    """Count the ones in a uint64, which LLVM compiles to one instruction."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@jit
def _integers_portable(x, weight, n, z):
    """Compute z = n - 2 popcount(x ^ weight) in plain loops; x (B, K), weight (M, K), z (B, M)."""
    for i in range(x.shape[0]):
        for j in range(weight.shape[0]):
            differing = np.uint64(0)
            for k in range(x.shape[1]):
                differing += popcount(x[i, k] ^ weight[j, k])
            z[i, j] = n - 2 * np.int64(differing)


def prepare(bits):
    """See `bitnet.kernels.prepare`."""
    prepared = Bits(bits.words, bits.shape)
    prepared.layouts = {}
    return prepared


def make_panels(words, panels):
    """Write words (M, K) to panels (P, K, 32), which hold zeros for missing outputs."""
    m, n_words = words.shape
    whole = m // PANEL
    rows = words[: PANEL * whole].reshape(whole, PANEL, n_words)
    panels[:whole] = rows.transpose(0, 2, 1)
    panels[whole:, :, : m % PANEL] = words[PANEL * whole :].T


def _panels(weight):
    """Arrange Bits as panels."""
    words = np.ascontiguousarray(weight.words)
    words = words.reshape(len(words), math.prod(words.shape[1:]))
    shape = -(-words.shape[0] // PANEL), words.shape[1], PANEL
    panels = (aligned_zeros if words.shape[0] % PANEL else aligned_empty)(shape, np.uint64)
    make_panels(words, panels)
    return panels


def kept(weight, name, make):
    """Return a layout of weights: the cached one, or the result of `make`."""
    if weight.layouts is None:
        return make(weight)
    if name not in weight.layouts:
        weight.layouts[name] = make(weight)
    return weight.layouts[name]


def panels_of(weight):
    """Return the panels of Bits (M, N) or (M, rows, columns, C), cached in prepared weights."""
    return kept(weight, "panels", _panels)


def counted_taps(window, size):
    """Return the taps that count, (classes, taps) int32, and the classes of the outputs (H', W').

    A border of +1 or -1 counts like image pixels.
    """
    inside, of = window.classes(*size)
    return (np.ones_like(inside) if window.border else inside).astype(np.int32), of


def _work_ns(x, weight):
    """Return the approximate time of a product on one thread in nanoseconds."""
    return x.shape[0] * weight.shape[0] * x.shape[1] / MACS_PER_NS[vector_level()]


def xnor_gemm(x, weight):
    """See `bitnet.kernels.xnor_gemm`."""
    if tile_choice.pay("signs", len(x), *weight.shape):
        return tile_choice.products_of("signs").gemm(x, weight)
    words, (n_rows, n), m = np.ascontiguousarray(x.words), x.shape, weight.shape[0]
    if level() == "portable":
        z = np.empty((n_rows, m), np.int32)
        rows = np.ascontiguousarray(weight.words)

        def run(i, j):
            with np.errstate(over="ignore"):  # NumPy would warn if Numba does not compile
                _integers_portable(words[i:j], rows, n, z[i:j])

        shared(run, n_rows, 1, _work_ns(x, weight))
        return z
    multiply, panels = INTEGERS[vector_level()], panels_of(weight)
    z = np.empty((n_rows, PANEL * len(panels)), np.int32)

    def run(i, j):
        multiply(words[i:j], panels, n, z[i:j])

    shared(run, n_rows, 4, _work_ns(x, weight))
    return z if z.shape[1] == m else np.ascontiguousarray(z[:, :m])


def xnor_sign(x, weight, thresholds):
    """See `bitnet.kernels.xnor_sign`."""
    if tile_choice.pay("signs", len(x), *weight.shape):
        return tile_choice.products_of("signs").gemm_sign(x, weight, thresholds)
    multiply = SIGNS.get(vector_level())
    if multiply is None:
        return threshold(xnor_gemm(x, weight), thresholds)
    words, (n_rows, n), m = np.ascontiguousarray(x.words), x.shape, weight.shape[0]
    panels = panels_of(weight)
    if n not in thresholds.limits:
        thresholds.limits[n] = limits_of(thresholds, n)
    limits, flips = thresholds.limits[n]
    y = (np.zeros if len(panels) % 2 else np.empty)((n_rows, words_for(m)), np.uint64)

    def run(i, j):
        multiply(words[i:j], panels, limits, flips, y[i:j])

    shared(run, n_rows, 4, _work_ns(x, weight))
    return Bits(y, (n_rows, m))


def limits_of(thresholds, bases):
    """Convert thresholds of z = base - 2 count to limits of the count and bits to flip.

    Increasing: z >= t where count <= (base - t) / 2, rounded down.  Decreasing: z <= t where not
    z >= t + 1.  Padding outputs of a panel have the limit -1, which no count reaches.  The bases
    are one number, or integers (classes, M); the limits are (32 P,) or (classes, 32 P) int64.
    """
    values, falling = thresholds.values.astype(np.int64), ~thresholds.increasing
    m, bases = len(values), np.asarray(bases)
    limits = np.full((*bases.shape[:-1], PANEL * -(-m // PANEL)), -1, np.int64)
    limits[..., :m] = (bases - (values + falling)) // 2
    flips = np.zeros(limits.shape[-1], np.bool_)
    flips[:m] = falling
    return limits, np.packbits(flips, bitorder="little").view(np.uint32)
