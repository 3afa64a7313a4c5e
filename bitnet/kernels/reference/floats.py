"""Products, sums and comparisons of floats in a fixed order, so that each bit is defined."""

import math

import numpy as np

from bitnet.arrays import array_module


def ordered_gemm(x, across, bias):
    """Return x @ across + bias, the products added one by one; (R, N), (N, M) and (M,) or None."""
    y = array_module(x).zeros((len(x), across.shape[1]), x.dtype)
    with np.errstate(all="ignore"):  # infinity and NaN
        for n in range(len(across)):
            y += x[:, n, None] * across[n]  # the product is rounded, then the sum
        return y if bias is None else y + bias


def ordered_sum(x, axes):
    """Return the sum over some axes: the second half of the rows is added to the first, again."""
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    n, shape = math.prod(x.shape[axis] for axis in axes), [x.shape[axis] for axis in rest]
    rows = array_module(x).zeros((max(n, 1), *shape), x.dtype)
    rows[:n] = x.transpose(*axes, *rest).reshape(n, *shape)
    while n > 1:
        half = (n + 1) // 2
        rows[: n - half] += rows[half:n]
        n = half
    return rows[0].copy()


def count_edges(x, edges):
    """Return how many of the edges each number reaches, uint8; NaN reaches none."""
    codes = array_module(x).zeros(x.shape, np.uint8)
    for edge in edges:
        codes += x >= edge
    return codes
