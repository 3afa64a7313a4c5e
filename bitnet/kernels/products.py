"""Matrix products with one operand, or both, in bits."""

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels.bits import Bits, Planes
from bitnet.kernels.dispatch import check_bits, check_numbers, check_pixels, kernel

__all__ = ["plane_gemm", "signed_gemm", "xnor_gemm"]


def _check_fit(name, x, matrix, axis):
    """Refuse two matrices unless the columns of x are as many as `matrix.shape[axis]`."""
    if len(x.shape) != 2 or len(matrix.shape) != 2 or x.shape[1] != matrix.shape[axis]:
        expected = "(B, N) and (M, N)" if axis == 1 else "(B, M) and (M, N)"
        raise InputError(
            f"{name}: shapes {x.shape} and {matrix.shape} do not fit; expected {expected}"
        )


def xnor_gemm(x, weight):
    """The product `x @ weight.T` of two ±1 matrices, by counting the bits that differ.

    z = N - 2 popcount(x XOR weight): the XNOR-popcount product of the papers (their
    equation for it drops the affine part), as exact integers.

    Parameters
    ----------
    x : Bits
        Shape (B, N).
    weight : Bits
        Shape (M, N).

    Returns
    -------
    numpy.ndarray
        int32 of shape (B, M).

    Raises
    ------
    InputError
        If an operand is not Bits or the shapes do not fit.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> x = pack(np.array([[1.0, -1.0, 1.0]]))
    >>> weight = pack(np.array([[1.0, 1.0, 1.0], [-1.0, 1.0, -1.0]]))
    >>> xnor_gemm(x, weight)
    array([[ 1, -3]], dtype=int32)
    """
    check_bits("xnor_gemm", x, weight)
    _check_fit("xnor_gemm", x, weight, axis=1)
    return kernel("xnor_gemm")(x, weight)


def plane_gemm(x, weight):
    """The integer product of k-bit numbers, as planes of ±1, and a ±1 matrix.

    For pixels this is equation 8 of the second paper, the first line of Algorithm 4: eight
    XNOR products, shifted and added, which give `(2 pixels - 255) @ weight.T`, that is 255
    times the product of the pixels scaled to [-1, 1].  The scale of Planes is left out.

    Parameters
    ----------
    x : Planes or numpy.ndarray
        Shape (B, N); an array holds uint8 pixels.
    weight : Bits
        Shape (M, N).

    Returns
    -------
    numpy.ndarray
        int32 of shape (B, M): sum_p coefficients[p] * (plane p @ weight.T).

    Raises
    ------
    InputError
        If an operand has another type, the shapes do not fit or the sums could pass int32.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> plane_gemm(np.array([[3, 1]], np.uint8), pack(np.array([[1.0, -1.0]])))
    array([[4]], dtype=int32)
    """
    if not isinstance(x, Planes):
        check_pixels("plane_gemm", x)
    check_bits("plane_gemm", weight)
    _check_fit("plane_gemm", x, weight, axis=1)
    largest = sum(abs(c) for c in x.coefficients) if isinstance(x, Planes) else 255
    limit = np.iinfo(np.int32).max // max(largest, 1)
    if x.shape[1] > limit:
        raise InputError(
            f"plane_gemm: {x.shape[1]} inputs of up to {largest} pass the range of int32; "
            f"expected at most {limit} inputs"
        )
    return kernel("plane_gemm")(x, weight)


def signed_gemm(x, signs):
    """The product `x @ signs` of floats and a ±1 matrix: the backward product of a binary layer.

    Parameters
    ----------
    x : numpy.ndarray
        Floats of shape (B, M); a transposed view is fine.
    signs : Bits or Planes or numpy.ndarray
        Shape (M, N): signs, a sum of planes, or uint8 pixels, which stand for `2p - 255`.

    Returns
    -------
    numpy.ndarray
        Of shape (B, N) and the type of `x`.

    Raises
    ------
    InputError
        If an operand has another type or the shapes do not fit.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> signed_gemm(np.array([[0.5, 2.0]]), pack(np.array([[1.0, -1.0], [1.0, 1.0]])))
    array([[2.5, 1.5]])
    """
    check_numbers("signed_gemm", x, "f", "floats")
    _check_fit("signed_gemm", x, signs, axis=0)
    if isinstance(signs, Bits):
        return kernel("signed_gemm")(x, signs)
    if isinstance(signs, Planes):
        return x @ signs.values(x.dtype)
    check_pixels("signed_gemm", signs)
    return x @ (x.dtype.type(2) * signs - x.dtype.type(255))
