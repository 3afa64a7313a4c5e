"""Products of floats with a fixed order of summation, and codes of floats.

The order along n is fixed, so a product uses registers for several rows and columns instead.  For
many rows, blocks of columns are copied so that they lie side by side, and a tile of ROWS rows and
some vectors of columns stays in registers along n.  For a few rows the weights are read once, from
beginning to end, if they are laid out so.  Each product and each sum is one instruction: none is
fused.
"""

import functools

import numpy as np

from bitnet.kernels.cpu.emit import address, routine
from bitnet.kernels.cpu.jit import inner, jit, level, vector_level
from bitnet.kernels.memory import aligned_empty, aligned_zeros
from bitnet.kernels.threads import shared

ROWS = 4  # of x per tile
FEW_ROWS = 12  # below, the weights are not copied
MANY_ROWS = 128  # from here on threads share the rows, and each copies all blocks of columns
VECTORS = {"avx512": 4, "avx2": 2}  # per row of a wide tile
REGISTER = {"avx512": 64, "avx2": 32}  # bytes
MACS_PER_NS, EDGES_PER_NS = 25, 25  # approximate, float32, one thread
SQUARE = 16  # elements of a row of weights that are copied together
SEGMENT = 512  # numbers whose codes stay in the cache


def _tile(kind, element, size, vectors):
    """Make a routine for ROWS rows of x times some vectors of columns, in the order of n."""
    width = size * int(kind[1:].split()[0])  # bytes per vector

    def tile(e, x, stride, columns, column_stride, count, sums, sums_stride):
        def added(n, totals):
            at = columns + n * column_stride
            loaded = [e.load(kind, at + width * v) for v in range(vectors)]
            new = []
            for row in range(ROWS):
                number = e.splat(kind, e.load(element, x + stride * row + n * size))
                own = totals[row * vectors : (row + 1) * vectors]
                new += [total + number * v for total, v in zip(own, loaded, strict=True)]
            return new

        totals = e.repeat(count, [e.constant(kind, 0)] * (ROWS * vectors), added)
        for i, total in enumerate(totals):
            row, v = divmod(i, vectors)
            e.store(total, sums + sums_stride * row + width * v)

    return routine(tile)


@inner
def _fill(across, first, stop, panel):
    """Copy the columns from first to stop of across (N, M) to panel (N, W)."""
    if across.strides[1] == across.itemsize:
        for k in range(len(across)):
            for j in range(first, stop):
                panel[k, j - first] = across[k, j]
        return
    for start in range(0, len(across), SQUARE):  # weights, which are only viewed as transposed
        for j in range(first, stop):
            for k in range(start, min(len(across), start + SQUARE)):
                panel[k, j - first] = across[k, j]


@functools.cache
def _blocks(name, dtype):
    """Compile the product of blocks of columns for a level and a type; return it and its widths."""
    lanes, element = REGISTER[name] // dtype.itemsize, {4: "float", 8: "double"}[dtype.itemsize]
    arguments = f"<{lanes} x {element}>", element, dtype.itemsize
    wide, narrow = _tile(*arguments, VECTORS[name]), _tile(*arguments, 1)
    widths = lanes * VECTORS[name], lanes

    def run(x, across, bias, first, stop, panel, sums, y):
        """Write the columns from first to stop of y (R, M); x (R or more, N), panel (N, W)."""
        _fill(across, first, stop, panel)
        at, columns, to = (
            address(x, "float32 float64"),
            address(panel, "float32 float64"),
            address(sums, "float32 float64"),
        )
        step, column_step, sum_step = x.strides[0], panel.strides[0], sums.strides[0]
        for i in range(0, len(y), ROWS):
            row = at + i * step
            if panel.shape[1] == lanes:
                narrow(row, step, columns, column_step, len(across), to, sum_step)
            else:
                wide(row, step, columns, column_step, len(across), to, sum_step)
            for r in range(i, min(len(y), i + ROWS)):
                for j in range(first, stop):
                    y[r, j] = sums[r - i, j - first] + bias[j]

    return jit(run, f"ordered_{element}_{name}"), widths


@jit
def _stream(x, across, bias, first, stop, y):
    """Write the columns from first to stop of y (R, M), row after row of x (R, N)."""
    n, last = len(across), len(across) - len(across) % 4
    for r in range(len(x)):
        own, to, shift = x[r], y[r][first:stop], bias[first:stop]
        to[:] = 0
        for k in range(0, last, 4):
            x0, x1, x2, x3 = own[k], own[k + 1], own[k + 2], own[k + 3]
            a, b = across[k][first:stop], across[k + 1][first:stop]
            c, d = across[k + 2][first:stop], across[k + 3][first:stop]
            for j in range(len(to)):
                to[j] = (((to[j] + x0 * a[j]) + x1 * b[j]) + x2 * c[j]) + x3 * d[j]
        for k in range(last, n):
            a = across[k][first:stop]
            for j in range(len(to)):
                to[j] += own[k] * a[j]
        for j in range(len(to)):
            to[j] += shift[j]


@jit
def _count(x, edges, codes):
    """Write how many edges (L,) each number of x (n,) reaches, in segments."""
    for start in range(0, len(x), SEGMENT):
        own, to = x[start : start + SEGMENT], codes[start : start + SEGMENT]
        to[:] = 0
        for edge in edges:
            for i in range(len(own)):
                to[i] += own[i] >= edge


def ordered_gemm(x, across, bias):
    """See `bitnet.kernels.ordered_gemm`."""
    (n_rows, n), m = x.shape, across.shape[1]
    y, bias = np.empty((n_rows, m), x.dtype), np.zeros(m, x.dtype) if bias is None else bias
    work_ns = n_rows * m * (n + 1) * x.itemsize / (4 * MACS_PER_NS)
    bias = np.ascontiguousarray(bias)
    if level() == "portable" or not (across.flags.c_contiguous or across.flags.f_contiguous):
        across = np.ascontiguousarray(across)
    if level() == "portable" or (n_rows < FEW_ROWS and across.flags.c_contiguous):
        x = np.ascontiguousarray(x)

        def stream(i, j):
            with np.errstate(all="ignore"):  # NumPy would warn if Numba does not compile
                _stream(x, across, bias, i, j, y)

        shared(stream, m, SEGMENT, work_ns)
        return y
    run, widths = _blocks(vector_level(), x.dtype)
    given, x = x, np.zeros((n_rows + -n_rows % ROWS, n), x.dtype)
    x[:n_rows] = given
    wide = m // widths[0] * widths[0]
    blocks = [(i, i + widths[0], widths[0]) for i in range(0, wide, widths[0])]
    blocks += [(i, min(m, i + widths[1]), widths[1]) for i in range(wide, m, widths[1])]

    def tiles(rows, columns):
        for first, stop, width in blocks[columns]:
            panel = aligned_zeros((n, width), x.dtype)
            sums = aligned_empty((ROWS, width), x.dtype)
            run(x[rows], across, bias, first, stop, panel, sums, y[rows])

    if n_rows < MANY_ROWS:
        shared(lambda i, j: tiles(slice(None), slice(i, j)), len(blocks), 1, work_ns)
    else:
        shared(lambda i, j: tiles(slice(i, j), slice(None)), n_rows, ROWS, work_ns)
    return y


def count_edges(x, edges):
    """See `bitnet.kernels.count_edges`."""
    flat, codes = np.ascontiguousarray(x).reshape(-1), np.empty(x.size, np.uint8)
    edges, work_ns = np.ascontiguousarray(edges), x.size * len(edges) / EDGES_PER_NS
    shared(lambda i, j: _count(flat[i:j], edges, codes[i:j]), x.size, SEGMENT, work_ns)
    return codes.reshape(x.shape)
