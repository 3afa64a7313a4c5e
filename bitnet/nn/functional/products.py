"""Matrix products of floats: by a BLAS in training, in a fixed order in evaluation.

A BLAS waits for its own threads in a loop.  Where other programs use the processors, such a product
takes many times as long as on one thread.  Here the threads of the kernels, which sleep, share the
rows or columns of a product, and the BLAS uses one thread for each part.
"""

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.autograd.tensor import is_evaluating
from bitnet.devices import blas_libraries, one_blas_thread
from bitnet.kernels.threads import num_threads, shared

SMALL = 1 << 18  # products of numbers up to which OpenBLAS uses one thread
MACS_PER_NS = 80  # of float32, approximate, one thread
STEP = 16  # rows or columns of a part, or a multiple


def matrix_product(a, b):
    """Return a @ b; in evaluation a row has the same bits in every batch, see `ordered_gemm`."""
    dtype = np.result_type(a.dtype, b.dtype)
    if dtype.kind != "f" or not is_evaluating():
        return blas_product(a, b)
    return kernels.ordered_gemm(a.astype(dtype, copy=False), b.astype(dtype, copy=False))


def blas_product(a, b, out=None):
    """Return a @ b for matrices, shared over the threads of the kernels."""
    xp, macs = array_module(a), a.size * b.shape[1]
    is_float = a.dtype == b.dtype and a.dtype.kind == "f"
    if xp is not np or not is_float or macs <= SMALL or not blas_libraries():
        return xp.matmul(a, b, out=out)
    y = np.empty((len(a), b.shape[1]), a.dtype) if out is None else out

    def rows(i, j):
        np.matmul(a[i:j], b, out=y[i:j])

    def columns(i, j):
        np.matmul(a, b[:, i:j], out=y[:, i:j])

    of_rows = y.shape[0] >= y.shape[1]
    with one_blas_thread():
        run, count = (rows, y.shape[0]) if of_rows else (columns, y.shape[1])
        work_ns = macs * a.itemsize / (4 * MACS_PER_NS)
        shared(run, count, max(STEP, -(-count // num_threads())), work_ns)
    return y
