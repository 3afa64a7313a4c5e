"""Tile instructions in two forms: those of the processor (AMX), and loops over an array.

A tile is a register of 16 rows of 64 bytes; there are eight.  One instruction multiplies two tiles
and adds the result to a third:

    total[i, j] += sum of a[i, k] * b[k / 4, j, k % 4] for k in 0 to 63
    total (16, 16) int32, a (16, 64) bytes, b (16, 16, 4) bytes, each signed or unsigned

The processor's form compiles only where the processor has these instructions, and runs only after
Linux has granted them (`permission`).  The emulated form runs anywhere, slowly.  Kernels are
emitted once for both, so that each machine can check their integers: `with emulated(): ...`.
"""

import contextlib
import functools
import threading
from collections.abc import Iterator

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels.cpu import tile_choice
from bitnet.kernels.cpu.jit import jit, lacking, missing
from bitnet.kernels.memory import HUGE_PAGE, aligned_empty

ROWS, ROW_BYTES = 16, 64
TILE_BYTES = ROWS * ROW_BYTES
# the beginning of a room: the configuration, 64 zeros, and what the emulated form stores
ZEROS, STATE, REGISTERS = 64, 128, 192
PLACE = 12288  # bytes of these
LEAST_ROOM = 1 << 22  # from here on NumPy asks for pages of 2 MB
NAMES = {"i": "s", "u": "u"}  # of signed and unsigned bytes in the instructions

_own = threading.local()


class Tiles:
    """The instructions of the processor, emitted into a function whose room is at an address."""

    name = "amx"

    def __init__(self, e, room):
        if lacks := lacking("amx"):  # LLVM would end the process
            raise InputError(f"tile instructions need a processor with {', '.join(lacks)}")
        self.e, self.room = e, room

    def _call(self, name, *operands):
        self.e.call(f"llvm.x86.{name}", "void", *operands)

    def _tile(self, number):
        return self.e.constant("i8", number)

    def configure(self):
        """Make eight tiles of full size; their contents are zeros."""
        self._call("ldtilecfg", self.e.pointer(self.room))

    def release(self):
        """Give the tiles back, so that the system need not save them."""
        self._call("tilerelease")

    def zero(self, tile):
        """Fill a tile with zeros."""
        self._call("tilezero", self._tile(tile))

    def load(self, tile, address, stride):
        """Load 16 rows whose addresses are `stride` bytes apart."""
        self._call("tileloadd64", self._tile(tile), self.e.pointer(address), stride)

    def load_once(self, tile, address, stride):
        """Load like `load`, for data that should not displace others from the L1 cache."""
        self._call("tileloaddt164", self._tile(tile), self.e.pointer(address), stride)

    def store(self, tile, address, stride):
        """Store 16 rows whose addresses are `stride` bytes apart."""
        self._call("tilestored64", self._tile(tile), self.e.pointer(address), stride)

    def dot(self, total, a, b, kinds):
        """Add the product of tiles a and b; kinds: "ii", "iu", "ui" or "uu", signed or not."""
        name = f"tdpb{NAMES[kinds[0]]}{NAMES[kinds[1]]}d"
        self._call(name, self._tile(total), self._tile(a), self._tile(b))


class EmulatedTiles:
    """The same instructions as loops over arrays in the room.

    As in the processor, nothing works before `configure` and after `release`: the tiles have no
    rows then.
    """

    name = "emulated"

    def __init__(self, e, room):
        self.e, self.room = e, room

    def _at(self, tile):
        return self.room + (REGISTERS + TILE_BYTES * tile)

    def _each_row(self, body):
        """Repeat `body(row)` for the configured rows."""
        rows = self.e.load("i64", self.room + STATE)

        def row(r, _):
            body(r)
            return []

        self.e.repeat(rows, [], row)

    def configure(self):
        """Set the number of rows to that of the configuration, and all tiles to zeros."""
        self.e.store(self.e.load("i8", self.room + 48).zero_extended("i64"), self.room + STATE)
        for tile in range(8):
            self.zero(tile)

    def release(self):
        """Set the number of rows to 0."""
        self.e.store(self.e.constant("i64", 0), self.room + STATE)

    def zero(self, tile):
        """Fill a tile with zeros."""
        zeros = self.e.constant("<64 x i8>", 0)
        self._each_row(lambda r: self.e.store(zeros, self._at(tile) + (r << 6)))

    def load(self, tile, address, stride):
        """Copy 16 rows whose addresses are `stride` bytes apart into a tile."""

        def row(r):
            self.e.store(self.e.load("<64 x i8>", address + r * stride), self._at(tile) + (r << 6))

        self._each_row(row)

    load_once = load

    def store(self, tile, address, stride):
        """Copy 16 rows of a tile to addresses that are `stride` bytes apart."""

        def row(r):
            self.e.store(self.e.load("<64 x i8>", self._at(tile) + (r << 6)), address + r * stride)

        self._each_row(row)

    def dot(self, total, a, b, kinds):
        """Add the product of tiles a and b; kinds: "ii", "iu", "ui" or "uu", signed or not."""
        e = self.e

        def widened(fours, kind, i):
            lanes = e.part(fours.bits_as("<64 x i8>"), range(i, 64, 4))
            return lanes.to("<16 x i32>") if kind == "i" else lanes.zero_extended("<16 x i32>")

        def row(r):
            to = self._at(total) + (r << 6)

            def four(k, totals):
                own = e.load("i32", self._at(a) + (r << 6) + (k << 2))
                left = e.splat("<16 x i32>", own)
                right = e.load("<16 x i32>", self._at(b) + (k << 6))
                for i in range(4):
                    product = widened(left, kinds[0], i) * widened(right, kinds[1], i)
                    totals = [totals[0] + product]
                return totals

            rows = e.load("i64", self.room + STATE)
            (sums,) = e.repeat(rows, [e.load("<16 x i32>", to)], four)
            e.store(sums, to)

        self._each_row(row)


FORMS = {form.name: form for form in (Tiles, EmulatedTiles)}


@contextlib.contextmanager
def emulated() -> Iterator[None]:
    """Compute all products that tiles can compute with emulated tiles, for tests."""
    before, tile_choice._emulates = tile_choice._emulates, True
    try:
        yield
    finally:
        tile_choice._emulates = before


@functools.cache
def _lacking():
    """Return what this process lacks for tiles, asking for the permission once."""
    return missing("amx")


def tile_jit(function, name, form):
    """Compile a function with tile instructions of a form.

    A function with the processor's instructions checks in each process that it may use them.
    """
    compiled = jit(function, f"{name}_{form}")
    if form == "emulated":
        return compiled

    def run(*arguments):
        if lacks := _lacking():
            raise InputError(f"{name}: tiles need {', '.join(lacks)}; expected another level")
        compiled(*arguments)

    run.compiled = compiled
    return run


def own_room(n_bytes):
    """Return memory of this thread, whose first bytes configure the tiles.

    It is kept, and lies in pages of 2 MB where the system has them.
    """
    room = getattr(_own, "room", None)
    if room is None or len(room) < n_bytes:
        room = aligned_empty((max(n_bytes, LEAST_ROOM),), np.uint8, HUGE_PAGE)
        room[:PLACE] = 0
        room[0] = 1  # the only palette
        room[16:32:2] = ROW_BYTES  # 16-bit numbers, one per tile
        room[48:56] = ROWS
        _own.room = room
    return room
