"""Products of floats with a fixed order of summation: one thread per output.

Each float operation is rounded separately, like in `reference`, so that the results are equal bit
for bit.
"""

from numba import cuda

from bitnet.arrays import array_module
from bitnet.kernels import reference
from bitnet.kernels.cuda.instructions import plus, times
from bitnet.kernels.cuda.launch import by_threads, flat


@cuda.jit
def _ordered_products(x, across, bias, zero, n, columns, y):
    """Compute y (R M) from x (R N), across (N M) and bias (M)."""
    at = cuda.grid(1)
    if at < y.size:
        row, column = at // columns, at % columns
        total = zero
        for k in range(n):
            total = plus(total, times(x[row * n + k], across[k * columns + column]))
        y[at] = plus(total, bias[column])


def ordered_gemm(x, across, bias):
    """See `bitnet.kernels.ordered_gemm`."""
    (n_rows, n), columns = x.shape, across.shape[1]
    if not n_rows * n * columns:
        return reference.ordered_gemm(x, across, bias)
    xp, zero = array_module(x), x.dtype.type(0)
    bias = xp.zeros(columns, x.dtype) if bias is None else bias
    y = xp.empty((n_rows, columns), x.dtype)
    given = flat(x), flat(across), flat(bias), zero, n, columns
    by_threads(_ordered_products, y.size, *given, y.reshape(-1))
    return y
