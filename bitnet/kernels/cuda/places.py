"""Where the rows of a product begin, who has which of its outputs, and what becomes of counts.

Images are read as they lie, in pieces of 16 bytes: a row of x begins at `places[i % area]` in image
`i // area`, and its pieces at the offsets of `taps` from there.  A matrix is images of one pixel.

    taps     (T 4)     offset in halves, tap's row, tap's column, 0
    places   (A 4)     offset in halves, first row and column of the window, class
    shape    a `Shape`

The counts are AND counts: see `xnor` for r and s.
"""

from typing import NamedTuple

import numpy as np

from bitnet.kernels.cuda.instructions import element
from bitnet.kernels.cuda.launch import inlined

FAR = np.int32(-(1 << 29))  # a row that lies outside any image


class Shape(NamedTuple):
    """The sizes of a product; of images, planes and rows of w in halves."""

    rows: int
    columns: int
    pieces: int  # T, in a row of w
    area: int  # A, outputs of an image
    image: int
    height: int
    width: int
    x_plane: int
    w_plane: int
    w_planes: int  # how many there are


class Patch(NamedTuple):
    """Outputs of a thread on the rung `registers`, down and 32 apart, and warps of a block.

    A block has an even number of rows in each warp, and columns for whole words: `wide` is even.
    """

    high: int
    wide: int
    warps: int


class Tile(NamedTuple):
    """Multiplications of a warp, 16 x 8 outputs each, and warps of a block.

    A block has columns for whole words: `wide * across` is a multiple of 8.
    """

    high: int
    wide: int
    down: int
    across: int


@inlined
def divided(i, area):
    """The quotient and the rest; a GPU divides numbers of 64 bits by calling a function."""
    i, area = np.uint32(i), np.uint32(area)
    return np.int64(i // area), np.int64(i % area)


@inlined
def row_of(i, places, shape):
    """Where row i of x begins: its first half, and the row and column of its window."""
    if i >= shape.rows:
        return 0, FAR, FAR
    image, place = divided(i, shape.area)
    begin = image * shape.image + element(places, 4 * place)
    return begin, element(places, 4 * place + 1), element(places, 4 * place + 2)


@inlined
def inside(row, column, shape):
    """Whether a pixel belongs to the image, of 32 bits; without a branch."""
    row_is, column_is = np.uint32(row), np.uint32(column)  # a negative one is large
    return (row_is < np.uint32(shape.height)) & (column_is < np.uint32(shape.width))


@inlined
def addends(i, places, shape, r):
    """What is added to the counts of row i: r[i], and the first place of its class in s."""
    if i >= shape.rows:
        return np.int32(0), np.uint32(0)
    _, place = divided(i, shape.area)
    of_class = np.uint32(element(places, 4 * place + 3))
    return element(r, i), np.uint32(of_class * np.uint32(shape.columns))


@inlined
def integer(count, own, s, group, column, shape):
    """z of a count: in range, int32 holds it, and what passes it on the way comes back."""
    at = np.uint32(group + min(np.uint32(column), np.uint32(shape.columns - 1)))
    return np.int32(4 * count + own + element(s, np.int64(at)))


@inlined
def limit_of(column, shape, values, rising):
    """A column's threshold t, and 0 where z >= t counts; ~t and -1 where z <= t, as ~z >= ~t.

    Behind the last column what no number reaches.
    """
    there = column < shape.columns
    at = np.uint32(column) if there else np.uint32(0)
    turned = np.int32(0) if rising[at] else np.int32(-1)
    limit = np.int32(values[at] ^ turned)
    return (limit if there else np.int32(0x7FFFFFFF)), (turned if there else np.int32(0))


@inlined
def nothing(counts, i, j, limits, turned, places, shape, r, s, out):
    """No row is left to store."""
