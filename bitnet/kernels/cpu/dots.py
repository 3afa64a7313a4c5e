"""Products of small integers, with several contracted elements per lane of a register.

The rows of the left factor are signed bytes, the columns of the right one unsigned bytes.  Four
contracted elements of a column are side by side, and a lane of 32 bits belongs to one column:

    panels[v, f, c, i] = element 4 f + i of column (v * columns + c)       (V, F, columns, 4)

A tile is a few rows times one panel.  Four bytes of a row are copied to all lanes and multiplied
by the same four of all columns; the four products are added to the sum of the column.

              instruction   products   processors
    fours512  vpdpbusd      64         AVX-512 with VNNI
    fours256  vpdpbusd      32         AVX-VNNI
    pairs     vpmaddubsw    32         AVX2; adds pairs of products, with saturation to 16 bits
    words     vpmaddwd      16         AVX2; two numbers of 16 bits per lane instead of four bytes

"pairs" is exact: after at most `chain` steps, with 2 * chain * largest * largest <= 32767, the sums
of 16 bits are added to 32 bits.  Numbers that do not allow LEAST_CHAIN steps are multiplied as
words.  Columns of Bits become bytes 0 and 1 in the cache, a block at a time ("bits").
"""

import dataclasses

import numpy as np

from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import at_least, has, inner, jit
from bitnet.kernels.memory import LINE, aligned_empty, aligned_zeros, cache_sizes

ROWS = 4  # of a tile
PANEL_SHARE = 0.75  # of the L1 cache for a part of a panel, which stays while all rows pass
SUMS_SHARE = 1 / 16  # of the L2 cache for the sums of rows
LEAST_CHAIN = 4
AT_ONCE = 64  # rows that are interleaved: more would not stay in the cache
BYTES, WORDS = (np.dtype("i1"), np.dtype("u1")), (np.dtype("i2"), np.dtype("u2"))


@dataclasses.dataclass(frozen=True)
class Kind:
    """An instruction, and the sizes of its tiles."""

    name: str
    lanes: int  # of 32 bits per register
    vectors: int  # registers of columns per panel
    per_lane: int  # contracted elements
    macs_per_ns: int  # approximate, one thread

    columns = property(lambda self: self.lanes * self.vectors)  # of a panel
    dtypes = property(lambda self: BYTES if self.per_lane == 4 else WORDS)


FOURS512, FOURS256 = Kind("fours512", 16, 4, 4, 200), Kind("fours256", 8, 2, 4, 150)
PAIRS, WORD_PAIRS = Kind("pairs", 8, 2, 4, 150), Kind("words", 8, 2, 2, 75)


def _tile_routine(kind, register, multiply_add, widened=None):
    """Make a routine that adds a product of ROWS rows and one panel to sums in memory.

    `multiply_add` adds products to a register of sums, for which `widened` returns sums of 32 bits.
    """
    lanes, size = f"<{kind.lanes} x i32>", 4 * kind.lanes

    def tile(e, left, stride, panel, count, chain, sums, sums_stride):
        def steps(first, count):
            def step(k, totals):
                k, new = k + first, []
                at = panel + k * (size * kind.vectors)
                columns = [e.load(lanes, at + size * v) for v in range(kind.vectors)]
                for row in range(ROWS):
                    number = e.splat(lanes, e.load("i32", left + stride * row + (k << 2)))
                    for v, column in enumerate(columns):
                        total = totals[row * kind.vectors + v]
                        new.append(multiply_add(e, total, column, number))
                return new

            totals = e.repeat(count, [e.constant(register, 0)] * (ROWS * kind.vectors), step)
            for i, total in enumerate(totals):
                row, v = divmod(i, kind.vectors)
                at = sums + sums_stride * row + size * v
                e.store(e.load(lanes, at) + (widened(e, total) if widened else total), at)
            return []

        if widened:
            n_blocks = (count + chain - 1).divided_by(chain)
            e.repeat(n_blocks, [], lambda b, _: steps(b * chain, (count - b * chain).least(chain)))
        else:
            steps(e.constant("i64", 0), count)

    return routine(tile)


def _four_products(name):
    """Return a function that adds four products of bytes to each sum of 32 bits."""

    def add(e, totals, column, number):
        return e.call(name, f"<{totals.ir.type.count} x i32>", totals, column, number)

    return add


def _byte_pairs(e, totals, column, number):
    """Add two products of bytes to each sum of 16 bits."""
    column, number = (x.bits_as("<32 x i8>") for x in (column, number))
    return totals + e.call("llvm.x86.avx2.pmadd.ub.sw", "<16 x i16>", column, number)


def _word_pairs(e, totals, column, number):
    """Add two products of 16-bit numbers to each sum of 32 bits."""
    column, number = (x.bits_as("<16 x i16>") for x in (column, number))
    return totals + e.call("llvm.x86.avx2.pmadd.wd", "<8 x i32>", column, number)


def _widened(e, totals):
    """Add neighbouring sums of 16 bits."""
    return e.call("llvm.x86.avx2.pmadd.wd", "<8 x i32>", totals, e.constant("<16 x i16>", 1))


@routine
def _spread(e, bits, count, to):
    """Write `count` times four bytes 0 or 1 of 16 columns; bits: four rows of 16 bits each."""
    kind = "<32 x i8>"
    masks = e.constant(kind, [1 << column for column in range(8) for _ in range(4)])

    def four(f, _):
        rows = e.splat("<4 x i64>", e.load("i64", bits + (f << 3))).bits_as(kind)
        for half in range(2):  # 8 columns, the byte `half` of each row
            own = e.part(rows, [2 * row + half for _ in range(8) for row in range(4)]) & masks
            ones = own.equal(masks).chosen(e.constant(kind, 1), e.constant(kind, 0))
            e.store(ones, to + (f << 6) + 32 * half)
        return []

    e.repeat(count, [], four)


@inner
def _in_place(panels, v, k, count, buffer):
    """Return the address of a part of a panel."""
    return address(panels, "uint8 uint16") + v * panels.strides[0] + k * panels.strides[1]


@inner
def _from_bits(panels, v, k, count, buffer):
    """Write a part of a panel of bits as bytes; return its address."""
    to = address(buffer, "uint8")
    _spread(address(panels, "uint64") + v * panels.strides[0] + k * panels.strides[1], count, to)
    return to


def _finish_routine(kind, as_floats):
    """Make a routine for one row of a panel: gain * sums + bases + more, or floats times scales."""
    lanes, floats = f"<{kind.lanes} x i32>", f"<{kind.lanes} x float>"

    def finish(e, sums, gain, bases, more, scale, factor, to):
        gain, more = (e.splat(lanes, number.to("i32")) for number in (gain, more))
        for v in range(kind.vectors):
            at = 4 * kind.lanes * v
            total = e.load(lanes, sums + at) * gain + e.load(lanes, bases + at) + more
            if as_floats:
                total = total.to(floats) * e.splat(floats, e.load("float", scale))
                total = total * e.splat(floats, e.load("float", factor))
            e.store(total, to + at)

    return routine(finish)


def _loops(kind, tile, part, name):
    """Compile the product of one kind, with panels whose parts `part` finds."""
    columns = kind.columns
    finish_integers, finish_floats = (_finish_routine(kind, floats) for floats in (False, True))

    def run(left, panels, chain, block, sums, buffer, affine, bases, scales, factor, z):
        """Compute z (R, M) = gain * left @ panels + row_factor * row sums + bases, as int32.

        affine: gain, row_factor; left (R or more, K) with rows of zeros for a whole tile; sums
        (rows at once and a tile, columns); bases (V columns,).  With scales (R,), which may be
        empty, and factor (1,), z contains the bits of floats, float(z) * scale * factor.
        """
        (n_rows, m), (gain, row_factor) = z.shape, affine
        stride, step, at_once = left.strides[0], sums.strides[0], len(sums) - ROWS
        more = np.empty(at_once, np.int64)
        for start in range(0, n_rows, at_once):
            rows = min(at_once, n_rows - start)
            for r in range(rows):
                total = np.int32(0)
                if row_factor:
                    for k in range(left.shape[1]):
                        total += np.int32(left[start + r, k])
                more[r] = row_factor * total
            for v in range(len(panels)):
                for r in range(rows):
                    for c in range(columns):
                        sums[r, c] = 0
                for k in range(0, panels.shape[1], block):
                    count = min(block, panels.shape[1] - k)
                    panel = part(panels, v, k, count, buffer)
                    for i in range(0, rows, ROWS):
                        at = address(left, "int8 int16") + (start + i) * stride + 4 * k
                        to = address(sums, "int32") + i * step
                        tile(at, stride, panel, count, chain, to, step)
                width = min(columns, m - v * columns)
                base = address(bases, "int32") + 4 * v * columns
                for r in range(rows):
                    own = address(sums, "int32") + r * step
                    to = own
                    if width == columns:
                        to = address(z, "int32") + (start + r) * z.strides[0] + 4 * v * columns
                    if len(scales):
                        scale = address(scales, "float32") + 4 * (start + r)
                        times = address(factor, "float32")
                        finish_floats(own, gain, base, more[r], scale, times, to)
                    else:
                        finish_integers(own, gain, base, more[r], 0, 0, to)
                    if width < columns:
                        for c in range(width):
                            z[start + r, v * columns + c] = sums[r, c]

    return jit(run, f"dots_{name}")


_vpdpbusd = "llvm.x86.avx512.vpdpbusd."
TILES = {
    FOURS512: _tile_routine(FOURS512, "<16 x i32>", _four_products(_vpdpbusd + "512")),
    FOURS256: _tile_routine(FOURS256, "<8 x i32>", _four_products(_vpdpbusd + "256")),
    PAIRS: _tile_routine(PAIRS, "<16 x i16>", _byte_pairs, _widened),
    WORD_PAIRS: _tile_routine(WORD_PAIRS, "<8 x i32>", _word_pairs),
}
PRODUCTS = {kind: _loops(kind, tile, _in_place, kind.name) for kind, tile in TILES.items()}
OF_BITS = {k: _loops(k, TILES[k], _from_bits, f"{k.name}_bits") for k in (FOURS256, PAIRS)}


def kind_for(left, right):
    """Return the fastest exact Kind for numbers up to `left` times `right`, or None."""
    bytes_fit = left <= 128 and right <= 255
    if at_least("avx512"):
        return FOURS512 if bytes_fit else None
    if not at_least("avx2"):
        return None
    if bytes_fit and has("avxvnni"):
        return FOURS256
    return PAIRS if bytes_fit and chain(left, right) >= LEAST_CHAIN else WORD_PAIRS


def chain(left, right):
    """Return the steps of "pairs" after which a sum of 16 bits is still exact."""
    return 32767 // max(1, 2 * left * right)


@jit
def _interleave(rows, per_lane, lanes):
    """Write the columns of bytes (K, N) into the zeros of lanes (V, F, columns) uint32."""
    columns, bits = lanes.shape[2], 32 // per_lane
    for start in range(0, len(rows), AT_ONCE):
        for v in range(len(lanes)):
            width = min(columns, rows.shape[1] - v * columns)
            for k in range(start, min(start + AT_ONCE, len(rows))):
                own, to, shift = (
                    rows[k, v * columns :],
                    lanes[v, k // per_lane],
                    k % per_lane * bits,
                )
                for c in range(width):
                    to[c] |= np.uint32(own[c]) << np.uint32(shift)


@jit
def _transpose(rows, lanes):
    """Write rows (N, F) uint32 as the columns of lanes (V, F, columns)."""
    columns = lanes.shape[2]
    for v in range(len(lanes)):
        width = min(columns, len(rows) - v * columns)
        for f in range(rows.shape[1]):
            to = lanes[v, f]
            for c in range(width):
                to[c] = rows[v * columns + c, f]


def panels(kind, numbers, rows_are_columns=False):
    """Return the panels of bytes (K, N), or of the transpose of (N, K)."""
    k, n = numbers.shape[::-1] if rows_are_columns else numbers.shape
    n_lanes = -(-k // kind.per_lane)
    lanes = aligned_zeros((-(-n // kind.columns), n_lanes, kind.columns), np.uint32)
    dtype = kind.dtypes[1]
    if rows_are_columns:
        whole = np.zeros((n, n_lanes * kind.per_lane), dtype)
        whole[:, :k] = numbers
        _transpose(whole.view(np.uint32), lanes)
    else:
        _interleave(np.ascontiguousarray(numbers), kind.per_lane, lanes)
    return lanes.view(dtype).reshape(*lanes.shape, kind.per_lane)


@jit
def _gather_bits(rows, panels):
    """Write 16-bit pieces of rows (K, V) as panels (V, 4 F), which are zeros."""
    for start in range(0, len(rows), AT_ONCE):
        for v in range(len(panels)):
            to = panels[v, start : start + AT_ONCE]
            for k in range(min(AT_ONCE, len(rows) - start)):
                to[k] = rows[start + k, v]


def bit_panels(words, n):
    """Return the panels of packed signs, words (K, N / 64), with n columns: (V, F) uint64."""
    pieces = np.ascontiguousarray(words).view(np.uint16)[:, : -(-n // 16)]
    laid_out = aligned_zeros((pieces.shape[1], -(-len(pieces) // 4) * 4), np.uint16)
    _gather_bits(pieces, laid_out)
    return laid_out.view(np.uint64)


def padded(numbers, kind):
    """Return rows as the left factor: with zeros up to whole lanes, and ROWS more rows."""
    dtype = kind.dtypes[0]
    width = -(-numbers.shape[1] // kind.per_lane) * kind.per_lane
    width += LINE // dtype.itemsize  # rows at multiples of 4096 bytes share the lines of a cache
    left = aligned_zeros((len(numbers) + ROWS, width), dtype)
    left[: len(numbers), : numbers.shape[1]] = numbers
    return left


def rows_of(kind, left, right, largest, gain, row_factor, bases=None, scales=None, factor=1.0):
    """Return a function of (start, stop, out) that writes rows of a product.

    out = gain * left @ right + row_factor * row sums of left + bases, as int32, or with `scales`
    scale * factor times that, as float32.  left: `padded` rows; right: `panels` or `bit_panels`;
    largest: of |left| and right; bases (N,) int32.
    """
    multiply = (OF_BITS if right.ndim == 2 else PRODUCTS)[kind]
    l1, l2, _ = cache_sizes()
    n_blocks = -(-right.shape[1] * 4 * kind.columns // int(PANEL_SHARE * l1))
    block = max(1, -(-right.shape[1] // max(1, n_blocks)))  # all of about the same size
    most = max(1, int(SUMS_SHARE * l2) // (4 * kind.columns * ROWS)) * ROWS
    padded_bases = np.zeros(kind.columns * len(right), np.int32)
    if bases is not None:
        padded_bases[: len(bases)] = bases
    scales = np.empty(0, np.float32) if scales is None else scales
    affine, factor = (int(gain), int(row_factor)), np.array([factor], np.float32)

    def rows(start, stop, out):
        at_once = min(most, max(1, -(-(stop - start) // ROWS)) * ROWS)
        sums = aligned_empty((at_once + ROWS, kind.columns), np.int32)
        buffer = aligned_empty((block if right.ndim == 2 else 0, kind.columns, 4), np.uint8)
        given = left[start:], right, chain(*largest), block, sums, buffer, affine
        multiply(*given, padded_bases, scales[start:stop], factor, out.view(np.int32))

    return rows
