"""Matrix products with one operand, or both, in bits."""

import numpy as np

from bitnet.errors import InputError
from bitnet.kernels.bits import Bits, Planes
from bitnet.kernels.dispatch import check_bits, check_numbers, check_pixels, kernel
from bitnet.kernels.operands import Quantized

__all__ = ["Product", "plane_gemm", "prepare", "signed_gemm", "xnor_gemm", "xnor_sign"]

LARGEST_SUM = np.iinfo(np.int32).max


def _check_fit(name, x, matrix, axis):
    """Refuse two matrices unless the columns of x are as many as `matrix.shape[axis]`."""
    if len(x.shape) != 2 or len(matrix.shape) != 2 or x.shape[1] != matrix.shape[axis]:
        expected = "(B, N) and (M, N)" if axis == 1 else "(B, M) and (M, N)"
        raise InputError(
            f"{name}: shapes {x.shape} and {matrix.shape} do not fit; expected {expected}"
        )


def prepare(bits):
    """The same Bits or Planes, which keep what the products lay out of them: for weights.

    The fast products want the weights in panels of 32 outputs, or as indices of tables.  For
    plain Bits each call lays them out anew; prepared ones do so at the first product of a
    kind.  They are accepted wherever Bits are; their words must not be changed in place.

    Parameters
    ----------
    bits : Bits or Planes
        Weights of shape (M, N) or (M, rows, columns, C).

    Returns
    -------
    Bits or Planes
        With the same words.

    Raises
    ------
    InputError
        If `bits` is something else.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> weight = prepare(pack(np.ones((2, 3))))
    >>> xnor_gemm(pack(np.ones((1, 3))), weight)
    array([[3, 3]], dtype=int32)
    """
    if isinstance(bits, Planes):
        prepared = bits.with_bits(bits.bits)
        prepared.layouts = {"planes": [prepare(bits.bits[p]) for p in range(len(bits.bits))]}
        return prepared
    check_bits("prepare", bits)
    return kernel("prepare")(bits)


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


def xnor_sign(x, weight, thresholds):
    """A whole frozen layer: `threshold(xnor_gemm(x, weight), thresholds)` without the integers.

    The counts of differing bits are compared while they are in registers, and only the next
    layer's bits are written.  Algorithm 4 of the papers, with batch norm and sign in one
    comparison.

    Parameters
    ----------
    x : Bits
        Shape (B, N).
    weight : Bits
        Shape (M, N).
    thresholds : Thresholds
        Of M units.

    Returns
    -------
    Bits
        Shape (B, M).

    Raises
    ------
    InputError
        If the operands do not fit.

    Examples
    --------
    >>> from bitnet.kernels import Thresholds, pack
    >>> x, weight = pack(np.ones((1, 3))), pack(np.array([[1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]))
    >>> steps = Thresholds(np.array([1, 1], np.int32), np.array([True, True]))
    >>> xnor_sign(x, weight, steps).signs()
    array([[ 1, -1]], dtype=int8)
    """
    check_bits("xnor_sign", x, weight)
    _check_fit("xnor_sign", x, weight, axis=1)
    if thresholds.values.shape != weight.shape[:1]:
        raise InputError(f"xnor_sign: {len(thresholds)} thresholds for {weight.shape[0]} units")
    return kernel("xnor_sign")(x, weight, thresholds)


def plane_gemm(x, weight):
    """The integer product `x @ weight.T` of k-bit numbers, as planes of ±1, and m-bit ones.

    For pixels this is equation 8 of the second paper, the first line of Algorithm 4: eight
    XNOR products, shifted and added, which give `(2 pixels - 255) @ weight.T`, that is 255
    times the product of the pixels scaled to [-1, 1].  The scale of Planes is left out.
    Operands of 4 to 8 bits are multiplied by tables where the processor has them.

    Parameters
    ----------
    x : Bits or Planes or numpy.ndarray
        Shape (B, N); an array holds uint8 pixels.
    weight : Bits or Planes
        Shape (M, N).

    Returns
    -------
    numpy.ndarray
        int32 of shape (B, M): the integers of x @ those of weight.T, which are sum_p sum_q
        coefficients[p] * coefficients[q] * (plane p of x @ plane q of weight.T) and, for
        operands with an offset, the offset times the sums of the other one.

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
    check_operands("plane_gemm", x, weight)
    _check_fit("plane_gemm", x, weight, axis=1)
    check_range("plane_gemm", x, weight, x.shape[1])
    if isinstance(x, Bits) and isinstance(weight, Bits):
        return kernel("xnor_gemm")(x, weight)
    return kernel("plane_gemm")(x, weight)


def check_operands(name, x, weight):
    """Refuse what is not Bits, Planes or pixels, times Bits or Planes."""
    if not isinstance(x, (Bits, Planes)):
        check_pixels(name, x)
    if not isinstance(weight, Planes):
        check_bits(name, weight)


def check_range(name, x, weight, n):
    """Refuse sums of n products that could pass int32."""
    largest = _largest(x) * _largest(weight)
    limit = LARGEST_SUM // max(largest, 1)
    if n > limit:
        raise InputError(
            f"{name}: {n} products of up to {largest} pass the range of int32; "
            f"expected at most {limit} inputs, or numbers of fewer bits"
        )


def _largest(x):
    """The largest absolute value of an operand, without its scale."""
    if isinstance(x, Planes):
        return x.largest
    return 1 if isinstance(x, Bits) else 255


def signed_gemm(x, signs):
    """The product `x @ signs` with a ±1 matrix: the backward products of a binary layer.

    Both come from the same packed rows: `grad_x = signed_gemm(grad_z, weight)` and
    `grad_weight = signed_gemm(grad_z.T, x)`.  Floats are multiplied as floats; quantized
    numbers as integers, exactly, with their scale at the end, so that every implementation
    gives the same bits.

    Parameters
    ----------
    x : numpy.ndarray or Quantized
        Shape (B, M); floats, of which a transposed view is fine, or what `quantize` made.
    signs : Bits or Planes or numpy.ndarray
        Shape (M, N): signs, a sum of planes, or uint8 pixels, which stand for `2p - 255`.

    Returns
    -------
    numpy.ndarray
        Of shape (B, N) and the type of `x`; float32 for Quantized.

    Raises
    ------
    InputError
        If an operand has another type, the shapes do not fit or integers could pass int32.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> signed_gemm(np.array([[0.5, 2.0]]), pack(np.array([[1.0, -1.0], [1.0, 1.0]])))
    array([[2.5, 1.5]])
    """
    _check_signed(x, signs)
    return kernel("signed_gemm")(x, signs)


class Product:
    """The matrix `signed_gemm(x, signs)`, multiplied a few rows at a time by who needs it.

    The gradient of a layer's weights is as large as they are; an optimizer that asks for some
    rows after the others never has it in memory as a whole.

    Parameters
    ----------
    x : numpy.ndarray or Quantized
        Shape (M, B).
    signs : Bits or Planes or numpy.ndarray
        Shape (B, N), as for `signed_gemm`.

    Attributes
    ----------
    shape : tuple of int
        (M, N).
    dtype : numpy.dtype
        Of its numbers.

    Raises
    ------
    InputError
        As for `signed_gemm`.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> product = Product(np.array([[0.5, 2.0]]), pack(np.array([[1.0, -1.0], [1.0, 1.0]])))
    >>> product.shape
    (1, 2)
    >>> product.array()
    array([[2.5, 1.5]])
    """

    def __init__(self, x, signs):
        _check_signed(x, signs)
        self.x, self.signs = x, signs
        self.shape, self.dtype = (x.shape[0], signs.shape[1]), x.dtype

    @property
    def held(self):
        """The array that says on which device this is."""
        return getattr(self.x, "held", self.x)

    def array(self):
        """All of it, of `shape` and `dtype`."""
        return kernel("signed_gemm")(self.x, self.signs)


def _check_signed(x, signs):
    """Refuse the operands of a signed product that do not fit."""
    if not isinstance(x, Quantized):
        check_numbers("signed_gemm", x, "f", "floats")
    if not isinstance(signs, (Bits, Planes)):
        check_pixels("signed_gemm", signs)
    _check_fit("signed_gemm", x, signs, axis=0)
    if isinstance(x, Quantized):
        largest = x.largest * _largest(signs) * 2
        if largest * x.shape[1] > LARGEST_SUM:
            raise InputError(
                f"signed_gemm: {x.shape[1]} products of up to {largest // 2} pass int32; "
                "expected fewer rows, as of a smaller batch"
            )
