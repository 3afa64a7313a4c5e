"""Floats in evaluation: products and sums with one fixed order, and codes of floats.

A BLAS chooses the order of its sums by the shapes, the number of threads and the processor.  These
functions do not, so that a row has the same bits alone and in any batch, in each implementation.
Only the payload of a NaN is not defined.
"""

from bitnet.arrays import Array
from bitnet.errors import InputError, unfit
from bitnet.kernels import reference
from bitnet.kernels.dispatch import check_numbers, kernel


def ordered_gemm(x: Array, across: Array, bias: Array | None = None) -> Array:
    """Multiply float matrices with a fixed order of summation.

    Each output starts at 0 and adds `x[r, n] * across[n, m]` for n = 0, 1, ..., N - 1, and then the
    bias.  Each product and each sum is rounded separately.

    Parameters
    ----------
    x : float array of shape (R, N)
        float32 or float64.
    across : float array of shape (N, M)
        Of the type of x.  Few rows are multiplied faster if it is C-contiguous, that is, if the
        weights (M, N) of a layer are transposed in memory and not only viewed so.
    bias : float array of shape (M,), optional
        Of the type of x.

    Returns
    -------
    float array of shape (R, M)
        Of the type of x.

    Examples
    --------
    >>> import numpy as np
    >>> x, across = np.float32([[1.0, 2.0]]), np.float32([[1.0, 0.0], [0.5, 3.0]])
    >>> ordered_gemm(x, across, np.float32([0.0, 1.0]))
    array([[2., 7.]], dtype=float32)
    """
    operands = (x, across) if bias is None else (x, across, bias)
    for operand in operands:
        check_numbers("ordered_gemm", operand, "f", "floats")
    shapes = [operand.shape for operand in operands]
    fits = x.ndim == across.ndim == 2 and x.shape[1] == len(across)
    fits = fits and shapes[2:] in ([], [across.shape[1:]])
    if not fits or len({operand.dtype for operand in operands}) > 1:
        raise unfit("ordered_gemm", "floats (R, N), (N, M) and (M,) of one type", *operands)
    return kernel(reference.ordered_gemm)(x, across, bias)


def ordered_sum(x: Array, axes: tuple[int, ...]) -> Array:
    """Sum floats over some axes, in an order that depends only on how many are added.

    The elements of the axes, in C order, are n rows.  While there are more than one, the last
    `n // 2` rows are added to the first ones, element by element.

    Parameters
    ----------
    x : float array
        float32 or float64.
    axes : tuple of int
        Different axes, counted from 0; their order does not matter.

    Returns
    -------
    float array
        Without these axes; 0 where nothing is added.

    Examples
    --------
    >>> import numpy as np
    >>> ordered_sum(np.float32([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), (1,))
    array([ 6., 15.], dtype=float32)
    """
    check_numbers("ordered_sum", x, "f", "floats")
    if len(set(axes)) < len(axes) or not set(axes) <= set(range(x.ndim)):
        raise InputError(
            f"ordered_sum: axes are {axes!r}; expected different numbers from 0 to {x.ndim - 1}"
        )
    return kernel(reference.ordered_sum)(x, tuple(sorted(axes)))


def count_edges(x: Array, edges: Array) -> Array:
    """Return how many of the sorted edges each number reaches: the codes of a step function.

    Parameters
    ----------
    x : float array of shape (...)
        float32 or float64, with at least one axis.
    edges : float array of shape (L,)
        From 1 to 255 increasing numbers of the type of x.

    Returns
    -------
    uint8 array of shape (...)
        The number of edges with `x >= edge`, from 0 to L; 0 for NaN.

    Examples
    --------
    >>> import numpy as np
    >>> count_edges(np.float32([-1.0, 0.0, 0.5, 9.0, np.nan]), np.float32([0.0, 1.0]))
    array([0, 1, 1, 2, 0], dtype=uint8)
    """
    check_numbers("count_edges", x, "f", "floats")
    check_numbers("count_edges", edges, "f", "floats")
    if edges.ndim != 1 or edges.dtype != x.dtype or not 1 <= len(edges) <= 255:
        raise unfit("count_edges", "floats, and 1 to 255 edges (L,) of their type", x, edges)
    if not (edges[1:] >= edges[:-1]).all() or (edges != edges).any():
        raise InputError(f"count_edges: edges are {edges!r:.200}; expected increasing numbers")
    return kernel(reference.count_edges)(x, edges)
