"""Batch norm with its sign, forward and backward, and sums down columns.

In sums down columns the 32 lanes of a warp are neighbouring columns, and the warps of a block
iterate over rows.  Sums of integers are exact.  Sums of floats are in float64, row after row like
`reference`, for up to ROWS rows.  For more rows, as images have, each block of ROWS rows has a
sum, and these are added in order.  Each float operation is rounded separately, so that the results
are equal bit for bit.
"""

import numpy as np
from numba import cuda

from bitnet.arrays import array_module
from bitnet.kernels import reference
from bitnet.kernels.cuda.instructions import divided, minus, plus, times
from bitnet.kernels.cuda.launch import MOST, by_threads, flat, inlined, launch, row_of_halves
from bitnet.kernels.cuda.pack import by_strips, strips

LANES, DOWN = 32, 8  # columns and warps of a block that iterates over rows
ROWS = 1024  # of floats that are summed row after row
LEAST_ROWS, BLOCKS = 32, 2048  # rows per block that sums integers; enough blocks for a GPU


@inlined
def _normalized(number, mean, scale):
    """Return (z - mean) * scale."""
    return times(minus(np.float32(number), mean), scale)


@inlined
def _passing(number, mask, at, lane):
    """Return the number if the bit of a lane in half `at` is 1, else 0; all pass if at is -1."""
    if at < 0:
        return number
    return number if (mask[at] >> np.uint32(lane)) & np.uint32(1) else np.float32(0)


@cuda.jit
def _column_sums(z, centre, centred, n_rows, columns, size, totals):
    """Add sums over `size` rows of z (B C) to totals (2 C).

    These are the sums of z and of nothing, or if `centred` those of the high and of the low halves
    of (z - centre)**2, with centre (C).
    """
    parts = cuda.shared.array((2, DOWN, LANES), np.int64)
    lane, down = cuda.threadIdx.x, cuda.threadIdx.y
    group, first = cuda.blockIdx.y + MOST * cuda.blockIdx.z, cuda.blockIdx.x * size
    column = group * LANES + lane
    total, other = np.int64(0), np.int64(0)
    if column < columns:
        for row in range(first + down, min(n_rows, first + size), DOWN):
            number = np.int64(z[row * columns + column])
            if centred:
                number -= centre[column]
                square = np.uint64(number * number)  # modulo 2**64, below which it is
                total += np.int64(square >> np.uint64(32))
                other += np.int64(square & np.uint64(0xFFFFFFFF))
            else:
                total += number
    parts[0, down, lane] = total
    parts[1, down, lane] = other
    cuda.syncthreads()
    if down < 2 and column < columns:
        total = np.int64(0)
        for k in range(DOWN):
            total += parts[down, k, lane]
        cuda.atomic.add(totals, down * columns + column, total)


@inlined
def _sign_of(z, column, mean, scale, shift, clip_value):
    """Return the bits of y >= 0 and |y| <= clip_value, for y = (z - mean) * scale + shift."""
    y = plus(_normalized(z, mean[column], scale[column]), shift[column])
    return y >= np.float32(0), abs(y) <= clip_value


_normalize_rows = strips(_sign_of, masked=True)


@cuda.jit
def _gradient_sums(grad_y, mask, halves, z, mean, inv_std, n_rows, columns, size, totals):
    """Sum g and g * xhat over parts of `size` rows; totals (2 P C), mask (R halves).

    All warps read 32 rows, then two of them add these, one for each sum.
    """
    tile = cuda.shared.array((2, LANES, LANES), np.float32)
    lane, down = cuda.threadIdx.x, cuda.threadIdx.y
    group, part = cuda.blockIdx.y + MOST * cuda.blockIdx.z, cuda.blockIdx.x
    column = group * LANES + lane
    stop, total = min(n_rows, (part + 1) * size), np.float64(0)
    for first in range(part * size, stop, LANES):
        for k in range(down, min(LANES, stop - first), DOWN):
            if column < columns:
                row = first + k
                at = row * columns + column
                half = row * halves + group if halves else -1
                g = _passing(grad_y[at], mask, half, lane)
                tile[0, k, lane] = g
                tile[1, k, lane] = times(g, _normalized(z[at], mean[column], inv_std[column]))
        cuda.syncthreads()
        if down < 2:
            for k in range(min(LANES, stop - first)):
                total = plus(total, np.float64(tile[down, k, lane]))
        cuda.syncthreads()
    if down < 2 and column < columns:
        totals[(down * cuda.gridDim.x + part) * columns + column] = total


@cuda.jit
def _sums_of_parts(parts, n_parts, columns, totals):
    """Add the sums of parts (2 P C) in their order; totals (2 C)."""
    at = cuda.grid(1)
    if at < totals.size:
        total, first = np.float64(0), at // columns * n_parts
        for part in range(n_parts):
            total = plus(total, parts[(first + part) * columns + at % columns])
        totals[at] = total


@cuda.jit
def _gradient_of_numbers(
    grad_y, mask, halves, z, mean, inv_std, gamma, totals, n_rows, columns, grad_z
):
    """Compute (g - (grad_beta + xhat * grad_gamma) / B) * (gamma * inv_std); totals (2 C)."""
    lane, first = cuda.threadIdx.x, cuda.blockIdx.x * LANES
    group, count = cuda.blockIdx.y + MOST * cuda.blockIdx.z, np.float32(n_rows)
    column = group * LANES + lane
    if column < columns:
        grad_beta, grad_gamma = totals[column], totals[columns + column]
        scale = times(gamma[column], inv_std[column])
        for row in range(first + cuda.threadIdx.y, min(n_rows, first + LANES), DOWN):
            at = row * columns + column
            half = row * halves + group if halves else -1
            xhat = _normalized(z[at], mean[column], inv_std[column])
            along = divided(plus(grad_beta, times(xhat, grad_gamma)), count)
            grad_z[at] = times(minus(_passing(grad_y[at], mask, half, lane), along), scale)


def _squares(n_rows, columns, size):
    """Return a grid of blocks that iterate over `size` rows of 32 columns each."""
    return -(-n_rows // size), -(-columns // LANES)


def _single(*arrays):
    """Return whether all arrays are float32."""
    return all(array.dtype == np.float32 for array in arrays)


def column_moments(z):
    """See `bitnet.kernels.column_moments`."""
    xp, (n_rows, columns) = array_module(z), z.shape
    most = -(-BLOCKS * LANES // max(1, columns))  # parts of the rows
    size = max(LEAST_ROWS, -(-n_rows // most))
    blocks, rows = _squares(n_rows, columns, size), flat(z)

    def total(*centre):
        totals = xp.zeros((2, columns), np.int64)
        to = totals.reshape(-1)  # also the centre that is not read
        given = rows, *(centre or [to]), len(centre), n_rows, columns, size, to
        launch(_column_sums, blocks, (LANES, DOWN), *given)
        return totals

    sums, _ = total()
    return reference.moments(sums, *total(reference.centre_of(sums, n_rows)), n_rows)


def normalize_sign(z, mean, scale, shift, clip_value):
    """See `bitnet.kernels.normalize_sign`."""
    if not _single(mean, scale, shift):
        return reference.normalize_sign(z, mean, scale, shift, clip_value)
    limit, columns = np.float32(np.inf if clip_value is None else clip_value), (mean, scale, shift)
    return tuple(by_strips(_normalize_rows, z, *map(flat, columns), limit, masked=True))


def batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma):
    """See `bitnet.kernels.batch_norm_backward`."""
    if not (z.size and z.dtype == np.int32 and _single(grad_y, mean, inv_std, gamma)):
        return reference.batch_norm_backward(grad_y, mask, z, mean, inv_std, gamma)
    xp, (n_rows, columns) = array_module(z), z.shape
    words = row_of_halves(z if mask is None else mask.words)  # not read without a mask
    halves = 0 if mask is None else 2 * mask.words.shape[1]
    given = [flat(grad_y), words, halves, *map(flat, (z, mean, inv_std))]
    n_parts, threads = -(-n_rows // ROWS), (LANES, DOWN)
    totals = xp.empty((2, columns), np.float32)
    parts = totals if n_parts == 1 else xp.empty((2 * n_parts, columns), np.float64)
    to, blocks = parts.reshape(-1), _squares(n_rows, columns, ROWS)
    launch(_gradient_sums, blocks, threads, *given, n_rows, columns, ROWS, to)
    if n_parts > 1:
        by_threads(_sums_of_parts, totals.size, to, n_parts, columns, totals.reshape(-1))
    grad_z, sums = xp.empty(z.shape, np.float32), (flat(gamma), totals.reshape(-1))
    to, blocks = grad_z.reshape(-1), _squares(n_rows, columns, LANES)
    launch(_gradient_of_numbers, blocks, threads, *given, *sums, n_rows, columns, to)
    return grad_z, totals[1], totals[0]
