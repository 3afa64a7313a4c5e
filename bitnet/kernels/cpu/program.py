"""Whole nets in one call: one compiled loop over the operations in a table.

Between two kernels, Python takes ten times as long as a small layer.  This loop is compiled once
per level, not once per net: what it computes is in a table with one row per operation, whose
columns are below.  The rows of a batch are computed in blocks, whose values stay in the cache.

    constants   weights, thresholds and floats; each begins at a multiple of 64 bytes
    room        the values of a block; the rows of a value follow each other
    x, y        the inputs as bytes (rows, bytes), and the results, one after the other

A place is an offset in the room at p >= 0, and at -1 - p for p < 0 in a row of x as an operand, or
in y, for each row of the batch, as a result.  Packed values are words
(rows, planes, positions, words per plane), with zeros after the last element; integers are int32
and floats float32 (rows, positions, numbers).
"""

import functools

from numba.core import config

from bitnet.kernels.cpu import program_moves as moves
from bitnet.kernels.cpu import program_numbers as numbers
from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import jit, level
from bitnet.kernels.cpu.program_products import bytes_product, planes_product, product
from bitnet.kernels.cpu.xnor import LANES

# The columns of the table.  Steps and places are in bytes, offsets in bytes of the constants.
COLUMNS = (
    "operation",
    "when",  # 0: always, 1: for few outputs or without products of bytes, 2: for others
    "x",  # place of the operand
    "x_row",  # bytes per row of the batch
    "x_line",  # per line of outputs
    "x_step",  # per output
    "x_plane",  # per plane
    "y",  # the same of the result
    "y_row",
    "y_line",
    "y_step",
    "y_plane",
    "lines",  # of outputs per row; 0: the outputs are the rows
    "wide",  # outputs per line
    "taps",  # rows of taps
    "tap_step",  # bytes between them
    "columns",  # of taps
    "column_step",
    "n",  # elements or bytes
    "planes",
    "words",  # words, or vectors of 16 numbers
    "count",  # of panels, steps or bytes, or of terms before
    "first",  # offset: weights, steps, means, units, the second operand
    "second",  # offset: limits or bases, directions, scales, biases
    "third",  # offset: bits to flip, changes of patterns, shifts
    "of",  # offset: for each output the offset of its limits or bases, from the second
    "of_step",
    "factors",  # offset: coefficients of planes
    "number",  # a factor, or an integer to add
    "other",  # place of the second operand
    "other_row",  # 0: it is a constant
)
OPERATIONS = (
    "signs",  # products of signs with signs, as signs
    "integers",  # the same, as integers
    "plane signs",  # planes with signs
    "plane integers",
    "byte signs",  # bytes with signs
    "byte integers",
    "move",  # bytes
    "fill",  # with the bytes of a constant
    "clear",  # all rows
    "append",  # bits after others
    "gather",  # rows of a table
    "largest",  # the index of the largest number
    "split",  # the top planes of bytes
    "accumulate",  # integers times a number, added to integers
    "rank",  # integers as patterns in bytes, by thresholds
    "reach",  # floats as patterns in bytes, by edges
    "unpack",  # the integers of planes
    "weigh",  # the ordered product of floats
    "largest planes",  # of all taps
    *moves.POOLS,
    *numbers.CHANGES,
)
COMPILES = not vars(config)["DISABLE_JIT"]
FEW = 4  # outputs, of which a product of bytes takes as many at a time

(
    OP,
    WHEN,
    X,
    X_ROW,
    X_LINE,
    X_STEP,
    X_PLANE,
    Y,
    Y_ROW,
    Y_LINE,
    Y_STEP,
    Y_PLANE,
    LINES,
    WIDE,
    TAPS,
    TAP_STEP,
    COLUMN,
    COLUMN_STEP,
    N,
    PLANES,
    WORDS,
    COUNT,
    FIRST,
    SECOND,
    THIRD,
    OF,
    OF_STEP,
    FACTORS,
    NUMBER,
    OTHER,
    OTHER_ROW,
) = range(len(COLUMNS))
(
    SIGNS,
    INTEGERS,
    PLANE_SIGNS,
    PLANE_INTEGERS,
    BYTE_SIGNS,
    BYTE_INTEGERS,
    MOVE,
    FILL,
    CLEAR,
    APPEND,
    GATHER,
    LARGEST,
    SPLIT,
    ACCUMULATE,
    RANK,
    REACH,
    UNPACK,
    WEIGH,
    LARGEST_PLANES,
) = range(OPERATIONS.index(moves.POOLS[0]))
POOL, CHANGE = (OPERATIONS.index(names[0]) for names in (moves.POOLS, numbers.CHANGES))


@routine
def _for_size(e):
    """Let LLVM optimize for size: otherwise it unrolls all loops, and compiles twice as long."""
    e.builder.function.attributes.add("optsize")


@functools.cache
def _program(name):
    """Compile the loop over the operations for a level."""
    lanes = LANES.get(name, 2)
    multiply, multiply_planes, has_bytes = product(lanes), planes_product(lanes), lanes == 8
    multiply_bytes = bytes_product if has_bytes else None

    def run(table, x, y, begin, end):
        """Compute the rows from begin to end; the first row of the table has addresses."""
        _for_size()
        base, work, block = table[0, 0], table[0, 1], table[0, 2]  # block: rows at once
        entering, leaving = address(x, "uint8"), address(y, "int64")
        for start in range(begin, end, block):
            rows = min(block, end - start)
            for i in range(1, len(table)):
                t = table[i]
                op, lines, wide = t[OP], t[LINES], t[WIDE]
                x_row, x_step, x_plane = t[X_ROW], t[X_STEP], t[X_PLANE]
                y_row, y_step, y_plane = t[Y_ROW], t[Y_STEP], t[Y_PLANE]
                if t[WHEN]:
                    outputs = rows * wide if lines else rows
                    if (t[WHEN] == 1) == (has_bytes and outputs >= FEW):
                        continue
                xs, ys = work + t[X], work + t[Y]
                if t[X] < 0:
                    x_row = x.strides[0]
                    xs = entering + start * x_row - 1 - t[X]
                if t[Y] < 0:
                    ys = leaving + (-1 - t[Y]) * len(x) + start * y_row
                n, planes, words, count = t[N], t[PLANES], t[WORDS], t[COUNT]
                first, second, third = base + t[FIRST], base + t[SECOND], base + t[THIRD]
                factors, number, column_step = base + t[FACTORS], t[NUMBER], t[COLUMN_STEP]
                taps, tap_step, column = t[TAPS], t[TAP_STEP], t[COLUMN]
                if op == CLEAR:
                    moves.clear(ys, rows * y_row)
                    continue
                if op <= BYTE_INTEGERS:
                    signs, of_step = (op + 1) & 1, t[OF_STEP]
                    if lines == 0:
                        wide, x_step, y_step = rows, x_row, y_row
                    for q in range(rows * lines if lines else 1):
                        r, h = (q // lines, q % lines) if lines else (0, 0)
                        at, to = xs + r * x_row + h * t[X_LINE], ys + r * y_row + h * t[Y_LINE]
                        of = base + t[OF] + h * wide * of_step
                        if op <= INTEGERS:
                            multiply(
                                signs,
                                at,
                                wide,
                                x_step,
                                taps,
                                tap_step,
                                words,
                                first,
                                count,
                                second,
                                of,
                                of_step,
                                third,
                                to,
                                y_step,
                            )
                        elif op <= PLANE_INTEGERS:
                            multiply_planes(
                                signs,
                                at,
                                wide,
                                x_step,
                                planes,
                                x_plane,
                                factors,
                                taps,
                                tap_step,
                                words,
                                first,
                                count,
                                second,
                                of,
                                of_step,
                                third,
                                to,
                                y_step,
                            )
                        elif has_bytes:
                            multiply_bytes(
                                signs,
                                at,
                                wide,
                                x_step,
                                words,
                                first,
                                count,
                                second,
                                of,
                                of_step,
                                third,
                                to,
                                y_step,
                            )
                    continue
                other, other_row = work + t[OTHER], t[OTHER_ROW]
                if t[OTHER] < 0:
                    other_row = x.strides[0]
                    other = entering + start * other_row - 1 - t[OTHER]
                for q in range(rows * lines):
                    r, h = q // lines, q % lines
                    for w in range(wide):
                        at = xs + r * x_row + h * t[X_LINE] + w * x_step
                        to = ys + r * y_row + h * t[Y_LINE] + w * y_step
                        if op == MOVE:
                            moves.copy(at, to, n)
                        elif op == FILL:
                            moves.copy(first, to, n)
                        elif op == APPEND:
                            for p in range(planes):
                                position = number + w * n
                                moves.append(at + p * x_plane, to + p * y_plane, n, position, count)
                        elif op == GATHER:
                            moves.gather(at, to, first, n)
                        elif op == LARGEST:
                            numbers.largest(at, to, n, number)
                        elif op == SPLIT:
                            numbers.split(at, n, planes, to, y_plane)
                        elif op == ACCUMULATE:
                            numbers.accumulate(at, to, words, number, count)
                        elif op == RANK:
                            numbers.rank(at, to, n, first, count, second, third)
                        elif op == REACH:
                            numbers.reach(at, to, n, first, count, second, third)
                        elif op == UNPACK:
                            numbers.unpack(at, to, words, planes, x_plane, factors, number)
                        elif op == WEIGH:
                            numbers.weigh(at, to, words, n, first, second)
                        elif op == LARGEST_PLANES:
                            moves.largest_planes(
                                at,
                                to,
                                words,
                                planes,
                                x_plane,
                                y_plane,
                                taps,
                                tap_step,
                                column,
                                column_step,
                                first,
                            )
                        elif op < CHANGE:
                            moves.pool(
                                op - POOL, at, to, words, taps, tap_step, column, column_step
                            )
                        else:
                            operand = first
                            if other_row:
                                operand = other + r * other_row + h * t[X_LINE] + w * x_step
                            numbers.change(
                                op - CHANGE, at, to, words, first, second, third, operand
                            )

    return jit(run, f"program_{name}")


def saved_elsewhere():
    """Return the part of the time of products of bytes that other kernels of the level save.

    Those are `tables`, as measured, and tiles, by the rates of the machine code.
    """
    return {"avx512": 0.35, "amx": 0.8}.get(level(), 0)


def loop():
    """Return the loop of the level in use: `(table, x, y, begin, end)`."""
    return _loop(level())


@functools.cache
def _loop(name):
    """Return the loop of a level; there are no operations on tiles."""
    return _program("avx512" if name == "amx" else name)
