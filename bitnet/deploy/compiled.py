"""A frozen graph as one table of operations, which a single compiled loop computes.

For a few rows the walk from node to node costs more than the arithmetic.  `compiled` lists the
operations of a graph of rows, see `bitnet.kernels.cpu.program`, or finds that some node is not
among them.
"""

import dataclasses
import functools
import importlib
import threading
from typing import Any

import numpy as np

from bitnet.arrays import array_module
from bitnet.deploy.operations import ALIGNED, Builder, NotCoveredError
from bitnet.kernels import Bits

PROGRAM = "bitnet.kernels.cpu.program"
MOST_WORK = 100_000_000  # products of single bits; above, the walk is as fast, or uses threads

_local = threading.local()


@dataclasses.dataclass(frozen=True, eq=False)
class Compiled:
    """The operations of a graph and what they need; see `bitnet.kernels.cpu.program`.

    Attributes
    ----------
    table : int64 array (operations, columns)
        The operations.
    constants : uint64 array
        Weights, thresholds and floats.
    per_row : int
        The words of memory that the values of one row take.
    work : int
        The approximate time of one row, in products of single bits.
    n_outputs : int
        The columns of the result.
    dtype : numpy.dtype
        The type of the result.
    """

    table: np.ndarray
    constants: np.ndarray
    per_row: int
    work: int
    n_outputs: int
    dtype: np.dtype

    def pays(self, rows: int) -> bool:
        """Return whether this is faster for so many rows than one kernel after the other."""
        return rows * self.work <= MOST_WORK

    def __call__(self, x: Any) -> np.ndarray:
        """Return the result for an input in the form that the nodes take."""
        held = x.words if isinstance(x, Bits) else x
        rows = len(held)
        y = np.empty((rows, self.n_outputs), self.dtype)
        if rows:
            held = np.ascontiguousarray(held).reshape(rows, -1)
            held = held if held.dtype == np.uint8 else held.view(np.uint8)
            if not held.flags.writeable:  # another type for Numba, which would compile again
                held = held.copy()
            room = _room(self.per_row * rows)
            _run_program()(self.table, self.constants, room, held, y.view(np.int32))
        return y


def compiled(graph: Any) -> Compiled | None:
    """Return the operations of a FrozenGraph, or None if some node is not among them."""
    program = importlib.import_module(PROGRAM)
    is_here = program.COMPILES and array_module(graph.array) is np
    if not is_here or len(graph.inputs) > 1 or not graph.is_by_row:
        return None
    try:
        own = Builder(graph, program, MOST_WORK)
    except NotCoveredError:
        return None
    constants, (place, dtype) = _aligned(own.n_words), own.result
    np.concatenate(own.constants or [constants], out=constants)
    return Compiled(np.array(own.rows, np.int64), constants, own.per_row, own.work, place.n, dtype)


@functools.cache
def _run_program():
    """Return the function that runs a table."""
    return importlib.import_module(PROGRAM).run_program


def _aligned(n_words):
    """Return words of memory that begin at a multiple of 64 bytes."""
    words = np.empty(n_words + ALIGNED, np.uint64)
    skipped = -words.ctypes.data // 8 % ALIGNED
    return words[skipped : skipped + n_words]


def _room(n_words):
    """Return memory for values, which each thread keeps from call to call."""
    room = getattr(_local, "room", None)
    if room is None or len(room) < n_words:
        room = _local.room = _aligned(n_words)
    return room
