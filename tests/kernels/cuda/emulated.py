"""Python versions of the instructions of `bitnet.kernels.cuda.instructions`, from PTX's manual.

A copy arrives only when its thread waits for it.  A multiplication reads only the registers of
all lanes of a warp.
"""

import threading

import numpy as np
from warps import current

HALVES = 16


def copy_piece(shared, at, source, index, n_bytes):
    assert at % 4 == 0
    assert index % 4 == 0
    assert n_bytes in (0, 16)
    threading.current_thread().begun.append((shared, at, source, index, n_bytes // 4))


def commit_copies():
    thread = threading.current_thread()
    thread.groups.append(thread.begun)
    thread.begun = []


def waiter(groups):
    def wait():
        thread = threading.current_thread()
        while len(thread.groups) > groups:
            for shared, at, source, index, halves in thread.groups.pop(0):
                piece = np.zeros(4, np.uint32)
                piece[:halves] = [source[index + k] for k in range(halves)]
                shared[at : at + 4] = piece

    return wait


def multiplier(high, wide):
    def multiply(counts, shared, x, w):
        _, lane, warp = current()
        lanes = np.array(warp.of(lane, (x, w)))
        assert (lanes % 4 == 0).all()
        group, quad = divmod(lane, 4)

        def read(at, matrix, row, times):
            """Return the registers that ldmatrix gives the four quads of a group."""
            begin = at[8 * matrix + row]
            return np.array([shared[begin + HALVES * k :][:4] for k in range(0, *times)])

        for k in range(2):
            rows_at, columns_at = lanes[:, 0] ^ (8 * k), lanes[:, 1]
            for below in range(2):  # row `group`, row `group + 8`
                rows = [read(rows_at, 2 * h + below, group, (16 * high, 16)) for h in range(2)]
                for beside in range(2):  # columns 2 quad and 2 quad + 1
                    columns = [
                        read(columns_at, 2 * k + h, 2 * quad + beside, (8 * wide, 8))
                        for h in range(2)
                    ]
                    both = np.array(rows)[:, :, None] & np.array(columns)[:, None]
                    sums = np.bitwise_count(both).sum(axis=(0, 3), dtype=np.int32)
                    counts.reshape(high, wide, 2, 2)[:, :, below, beside] += sums

    return multiply


def element(array, index):
    assert index >= 0
    return array[index]


def folder(size):
    def fold(totals, counts, factor):
        assert len(totals) == len(counts) == size
        totals += factor * counts
        counts[:] = 0

    return fold


def store_pair(out, at, first, second):
    assert at % 2 == 0
    out[at], out[at + 1] = first, second


def _rounded(operation):
    """Make an operation that NumPy rounds once, on operands of one type."""

    def run(*numbers):
        assert len({type(number) for number in numbers} & {np.float32, np.float64}) == 1
        with np.errstate(all="ignore"):
            return operation(*numbers)

    return run


plus, minus, times, divided, root = map(
    _rounded, (np.add, np.subtract, np.multiply, np.divide, np.sqrt)
)


def bits_of_float(number):
    return number.view({np.float32: np.int32, np.float64: np.int64}[type(number)])


def float_of_bits(bits):
    return bits.view({np.int32: np.float32, np.int64: np.float64}[type(bits)])
