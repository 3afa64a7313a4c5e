"""A table of operations that a single compiled loop computes: a frozen graph, or some of its nodes.

The walk from node to node costs more than the arithmetic of a small net, and passes large batches
through memory.  For the operations see `bitnet.kernels.cpu.program`.
"""

import math
import threading
from typing import Any

import numpy as np

from bitnet.deploy import covered_numbers  # noqa: F401  (enters its functions in MAKERS)
from bitnet.deploy.operations import ALIGNED, STEPS, Builder
from bitnet.deploy.sizes import BATCH, at
from bitnet.kernels import BitPlanes, Bits
from bitnet.kernels.bits import words_for
from bitnet.kernels.threads import LEAST_NS, shared

ROOM = 1 << 19  # bytes of the values of a block, half of a small second-level cache
MOST_ROWS = 512  # of a block
# of the rows that the walk takes at once: what its other kernels for products of bytes may save is
# about the time between its kernels
MOST_SAVED_NS, USUAL_ROWS = 50_000, 200


class Compiled:
    """The operations of a Builder and what they need; see `bitnet.kernels.cpu.program`.

    Attributes
    ----------
    tables : list of int64 arrays (1 + operations, columns)
        The operations, after a row that each thread completes; the last one returns the classes
        instead of the scores, if there are any.
    constants : uint8 array
        Weights, thresholds and floats.
    block : int
        The rows that are computed at once.
    work_ns, saved_ns : float
        The approximate time of one row, and what the kernels of the walk save of it.
    of_pixels : function
        Of an array and whether classes are wanted: the scores or classes, or None for an array
        that is not one of pixels, or where the walk is faster.
    """

    def __init__(self, own: Builder) -> None:
        program, values = own.program, own.graph.values
        self.loop, self.one_step, self.work_ns = program.loop, own.one_step, own.work_ns
        self.saved_ns = own.bytes_ns * program.saved_elsewhere()
        self.results = [(place, values[i].shape, values[i].kind) for i, place in own.results]
        self.per_result = own.left
        self.firsts = [values[i].shape[0] for i in own.entering]
        self.constants = _aligned(own.n_bytes)
        np.concatenate(own.constants, out=self.constants)
        self.block = max(1, min(MOST_ROWS, ROOM // max(1, own.per_row)))
        capacity = self.block + 1  # values do not all begin in the same set of a cache
        self.room = capacity * own.per_row + ALIGNED
        first = [self.constants.ctypes.data, 0, self.block]
        first += [0] * (len(program.COLUMNS) - len(first))
        (_, shape, kind), *others = self.results
        is_row = len(shape) == 2 and shape[1] > 0
        tables = [own.rows]
        if has_classes := is_row and not others and kind in ("float32", "int32"):
            tables.append([*own.rows[:-1], own.largest()])
        self.tables = [np.array([first, *own.table(rows, capacity)], np.int64) for rows in tables]
        self._local = threading.local()
        self.of_pixels: Any = lambda *_: None
        if has_classes and [own.graph.nodes[i].kind for i in own.entering] == ["pixels"]:
            self.shape = values[own.entering[0]].shape[1:]
            self.of_pixels = self._for_pixels(shape[1], np.dtype(kind))

    def _held(self):
        """Return the tables with memory for a block of rows, which each thread keeps."""
        room = _aligned(self.room)
        tables = [own.copy() for own in self.tables]
        for table in tables:
            table[0, 1] = room.ctypes.data
        self._local.held = *tables, room
        return self._local.held

    def warm(self) -> None:
        """Compile the loop for the level in use, or load it from the cache."""
        self.run(np.empty((0, 1), np.uint8), np.empty(0, np.int64), False)

    def pays(self, rows: int) -> bool:
        """Return whether this is faster for so many rows than one kernel after the other."""
        return min(rows, USUAL_ROWS) * self.saved_ns <= MOST_SAVED_NS

    def run(self, x: np.ndarray, y: np.ndarray, classes: bool) -> None:
        """Write the results of the rows of x (B, bytes) to y; many rows are shared by threads."""
        local, held, loop = self._local, self._held, self.loop()

        def part(start, stop):
            own = getattr(local, "held", None) or held()
            loop(own[classes], x, y, start, stop)

        shared(part, len(x), 1, len(x) * self.work_ns)

    def _for_pixels(self, n, kind):
        """Return `of_pixels` for n scores of a type, with all but x looked up."""
        array, pixels, int64, empty = np.ndarray, np.dtype(np.uint8), np.dtype(np.int64), np.empty
        shape, local, loop, held = self.shape, self._local, self.loop, self._held
        run, pays, is_row = self.run, self.pays, len(self.shape) == 1
        n_pixels = math.prod(self.shape)
        few = int(2 * LEAST_NS // (self.work_ns + 1))  # rows that one thread computes

        def of_pixels(x, classes):
            """Return the classes, int64 (B,), or the scores of pixels; None for other inputs."""
            if type(x) is not array or x.dtype is not pixels or x.shape[1:] != shape:
                return None
            rows = len(x)
            if rows > few and not pays(rows):
                return None
            if not is_row:
                x = x.reshape(rows, n_pixels)
            if not x.flags.carray:  # Numba would compile again for another type
                x = x.copy()
            y = empty(rows if classes else (rows * n + 1) // 2, int64)
            if rows <= few:
                own = getattr(local, "held", None) or held()
                loop()(own[classes], x, y, 0, rows)
            else:
                run(x, y, classes)
            return y if classes else y.view(kind)[: rows * n].reshape(rows, n)

        return of_pixels

    def __call__(self, *inputs: Any) -> list[np.ndarray]:
        """Return the results for inputs in the form that the nodes take."""
        held = [_by_row(own, first) for own, first in zip(inputs, self.firsts, strict=True)]
        rows = len(held[0])
        rows_of = (own.reshape(rows, math.prod(own.shape[1:])) for own in held)
        parts = [np.ascontiguousarray(own).view(np.uint8) for own in rows_of]
        x = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        x = x if x.flags.carray else x.copy()  # Numba would compile again for another type
        y = np.empty(-(-rows * self.per_result // 8), np.int64)
        if rows:
            self.run(x, y, False)
        sizes, results, as_bytes = {"B": rows, "T": 1}, [], y.view(np.uint8)
        for place, shape, kind in self.results:
            whole = (rows, *shape[1:]) if shape[0] == BATCH else at(shape, sizes)
            start = (-1 - place.at) * rows
            own = as_bytes[start : start + place.row * rows]
            if place.coefficients:
                results.append(_packed(own.view(np.uint64), place, kind, whole))
            else:
                results.append(own.view(kind).reshape(whole))
        return results


def _by_row(x, first):
    """Return an array of the words or numbers of each row; sequences have one step."""
    if isinstance(x, BitPlanes):
        words = x.bits.words[:, 0] if first == STEPS else x.bits.words
        return words.swapaxes(0, 1)
    own = x.words if isinstance(x, Bits) else x
    return own[0] if first == STEPS else own


def _packed(words, place, kind, shape):
    """Return Bits or BitPlanes of a shape, from words (rows, planes, ...)."""
    planes = len(place.coefficients)
    if kind == "bits":
        return Bits(words.reshape(*shape[:-1], words_for(shape[-1])), shape)
    rows = words.reshape(-1, planes, place.plane // 8).swapaxes(0, 1)
    bits = Bits(rows.reshape(planes, *shape[:-1], words_for(shape[-1])), (planes, *shape))
    return BitPlanes(bits, place.coefficients, offset=place.offset, unit=place.unit)


def _aligned(n_bytes):
    """Return zeros, bytes of memory that begin at a multiple of 64 bytes."""
    memory = np.zeros(n_bytes + ALIGNED, np.uint8)
    skipped = -memory.ctypes.data % ALIGNED
    return memory[skipped : skipped + n_bytes]
