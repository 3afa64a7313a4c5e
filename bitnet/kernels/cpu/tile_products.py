"""Products on tiles: the loop over blocks of rows, and what turns totals into results.

A product has a function that copies some of its rows into tiles (`tile_rows`, `of_patches`) and
a layout of its columns (`tile_layouts`).  Each thread works in a room of its own.
"""

import numpy as np

from bitnet.kernels.cpu import tile_choice, tiles
from bitnet.kernels.cpu.jit import jit
from bitnet.kernels.cpu.tile_layouts import PANEL
from bitnet.kernels.cpu.tile_loops import loops, room_bytes, shape_of
from bitnet.kernels.memory import aligned_empty
from bitnet.kernels.threads import shared

PAST_BYTES = 1 << 22  # of results that are stored past the caches
NONE = {name: np.zeros(1, name) for name in ("int32", "int64", "float32", "uint32")}


def product(put, panels, kinds, kind, given):
    """Return a function of (start, stop, y) that writes rows of a product to y (R, .).

    `put(i, j, n_tiles, size, room, first)` copies rows from i to j into a room.  `given(i, j)`
    returns the arguments of `tile_loops.loops` that turn their totals into results, from the table
    to the flips.  The panels, kinds and kind are also those of `loops`.
    """
    n_tiles, form = panels.shape[1], tile_choice.form()
    loop = loops(form, kinds, panels.dtype == np.uint64, kind)
    size, most = shape_of(n_tiles)

    def rows(start, stop, y):
        past = y.nbytes >= PAST_BYTES and not (y.ctypes.data % 64 or y.strides[0] % 64)
        n_blocks = -(-(stop - start) // most)
        step = 32 * -(-(stop - start) // (32 * n_blocks))
        for i in range(start, stop, step):
            j = min(stop, i + step)
            first, n_bytes = room_bytes(n_tiles, j - i)
            room = tiles.own_room(n_bytes)
            put(i, j, n_tiles, size, room, first)
            loop(room, first, panels, size, *given(i, j), past, y[i - start : j - start])

    return rows


def with_table(table, of=None, gain=1, flips=NONE["uint32"]):
    """Return `given` of a product whose rows have bases or limits: table (classes, 32 P) int32.

    of (places,): the class of each row, repeated for each image; None if there is one class.
    """
    classes = NONE["int64"] if of is None else of.ravel() * np.int64(table.strides[0])

    def given(i, j):
        own = classes[np.arange(i, j) % len(classes)]
        return table, own, gain, NONE["int32"], NONE["float32"], flips

    return given


def with_scales(scales, shifts=None, gain=1):
    """Return `given` of a product whose rows have scales float32, and shifts int32."""

    def given(i, j):
        own = NONE["int32"] if shifts is None else shifts[i:j]
        return NONE["int32"][None], NONE["int64"], gain, own, scales[i:j], NONE["uint32"]

    return given


def all_rows(rows, n_rows, y, n):
    """Write all rows of a product of n contracted elements to y, on as many threads as pay off."""
    n_columns = y.shape[1] * (64 if y.dtype == np.uint64 else 1)
    work_ns = n_rows * n_columns * n / tile_choice.MACS_PER_NS
    shared(lambda i, j: rows(i, j, y[i:j]), n_rows, tile_choice.rows_per_part(n_rows), work_ns)


def padded_table(numbers, fill=0):
    """Return integers (classes, M) as an aligned table (classes, 32 P) int32."""
    numbers = np.atleast_2d(numbers)
    table = aligned_empty((len(numbers), PANEL * -(-numbers.shape[1] // PANEL)), np.int32)
    table[:, : numbers.shape[1]] = numbers
    table[:, numbers.shape[1] :] = fill
    return table


@jit
def _copy_patches(images, stride, taps, output, start, stop, patches):
    """Copy the patches of outputs from start to stop; images (B, H, W C) padded, patches (R, N)."""
    n = patches.shape[1] // (taps[0] * taps[1])
    for row in range(start, stop):
        place = row % (output[0] * output[1])
        b, h, w = row // (output[0] * output[1]), place // output[1], place % output[1]
        first = w * stride[1] * n
        for i in range(taps[0]):
            seen = images[b, h * stride[0] + i, first : first + taps[1] * n]
            to = patches[row - start, i * len(seen) : (i + 1) * len(seen)]
            for j in range(len(seen)):
                to[j] = seen[j]


def of_patches(images, window, output, put):
    """Return `put` for rows that are patches of padded images (B, H, W, C), words or bytes."""
    n = window.taps * images.shape[3]
    images = images.reshape(*images.shape[:2], images.shape[2] * images.shape[3])

    def copied(i, j, *room):
        patches = np.empty((j - i, n), images.dtype)
        _copy_patches(images, window.stride, window.size, output, i, j, patches)
        put(patches, *room)

    return copied
