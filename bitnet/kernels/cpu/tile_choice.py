"""Which products are computed on tiles, and the import of the modules that compute them.

These modules (`tile_signs`, `tile_bytes`) are imported when tiles are first used, as their import
takes 10 ms that the other levels save.
"""

import functools
import importlib

from bitnet.kernels.cpu import jit
from bitnet.kernels.threads import num_threads

# Tiles are faster for at least (this width, this number of rows), measured on an Intel Xeon; the
# width is the smaller of the numbers of columns and of contracted elements.  Signs compete with
# XNOR, bytes and low-bit numbers with tables, planes and vpdpbusd.  The last row of signs, which is
# for convolutions, follows from counts of instructions.
FASTER_FROM = {
    "signs": ((2048, 32), (1024, 64), (512, 256), (128, 1024)),
    "bytes": ((2048, 1), (0, 8)),
}
LARGEST = 127  # of signed bytes
MOST_ROWS = 1024  # at once
MACS_PER_NS = 1400  # approximate, one thread

_emulates = False  # see `tiles.emulated`


def form():
    """Return the name of the form of the tiles in use, or None at the levels without tiles."""
    if _emulates:
        return "emulated"
    return "amx" if jit.level() == "amx" else None


def pay(kind, n_rows, n_columns, n):
    """Return whether tiles are in use, and faster for a product of a kind in FASTER_FROM."""
    own = form()
    if own is None or not min(n_rows, n_columns, n):
        return False
    width, table = min(n_columns, n), FASTER_FROM[kind]
    return own == "emulated" or any(width >= least and n_rows >= rows for least, rows in table)


def rows_per_part(n_rows):
    """Return the least rows for a thread: many, as each part turns all bits into bytes."""
    return min(MOST_ROWS, 32 * -(-n_rows // (32 * num_threads())))


@functools.cache
def products_of(kind):
    """Import and return the module of the products of "signs" or "bytes"."""
    return importlib.import_module(f"bitnet.kernels.cpu.tile_{kind}")
