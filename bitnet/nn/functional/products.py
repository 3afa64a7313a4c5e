"""Matrix products of floats: by a BLAS in training, in a fixed order in evaluation."""

import numpy as np

from bitnet import kernels
from bitnet.autograd.tensor import is_evaluating


def matrix_product(a, b):
    """Return a @ b; in evaluation a row has the same bits in every batch, see `ordered_gemm`."""
    dtype = np.result_type(a.dtype, b.dtype)
    if dtype.kind != "f" or not is_evaluating():
        return a @ b
    return kernels.ordered_gemm(a.astype(dtype, copy=False), b.astype(dtype, copy=False))
