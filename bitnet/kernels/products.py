"""Matrix products with one operand, or both, in bits."""

import numpy as np

from bitnet.arrays import as_array
from bitnet.errors import InputError, unfit
from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits, Quantized
from bitnet.kernels.dispatch import check_bits, check_numbers, check_pixels, kernel

LARGEST_SUM = np.iinfo(np.int32).max


def _check_fit(name, x, matrix, axis):
    """Refuse two matrices unless the columns of x are as many as `matrix.shape[axis]`."""
    if len(x.shape) != 2 or len(matrix.shape) != 2 or x.shape[1] != matrix.shape[axis]:
        raise unfit(name, f"(B, {'MN'[axis]}) and (M, N)", x, matrix)


def prepare(bits):
    """Return weights that keep what the products lay out of them.

    The fast products use weights in panels of 32 outputs, or as indices of tables.  Plain Bits
    are laid out in each call, prepared ones at the first product of a kind.  Their words must
    not be changed in place.

    Parameters
    ----------
    bits : Bits or BitPlanes of shape (M, N) or (M, rows, columns, C)

    Returns
    -------
    Bits or BitPlanes with the same words

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> weight = prepare(pack(np.ones((2, 3))))
    >>> xnor_gemm(pack(np.ones((1, 3))), weight)
    array([[3, 3]], dtype=int32)
    """
    if isinstance(bits, BitPlanes):
        prepared = bits.with_bits(bits.bits)
        prepared.layouts = {"planes": [*map(prepare, bits.bits)]}
        return prepared
    check_bits("prepare", bits)
    return kernel(reference.prepare)(bits)


def xnor_gemm(x, weight):
    """Return the product `x @ weight.T` of two ±1 matrices, by counting the bits that differ.

    z = N - 2 popcount(x XOR weight): the XNOR-popcount product of the papers (their
    equation for it drops the affine part), as exact integers.

    Parameters
    ----------
    x, weight : Bits of shapes (B, N) and (M, N)

    Returns
    -------
    int32 array of shape (B, M)

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
    return kernel(reference.xnor_gemm)(x, weight)


def xnor_sign(x, weight, thresholds):
    """Compute a frozen layer: `threshold(xnor_gemm(x, weight), thresholds)`.

    The counts of differing bits are compared while they are in registers, and only the next
    layer's bits are written.  Algorithm 4 of the papers, with batch norm and sign in one
    comparison.

    Parameters
    ----------
    x, weight : Bits of shapes (B, N) and (M, N)
    thresholds : Thresholds of M units

    Returns
    -------
    Bits of shape (B, M)

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
        raise unfit("xnor_sign", "weights (M, N) and M thresholds", weight, thresholds.values)
    return kernel(reference.xnor_sign)(x, weight, thresholds)


def plane_gemm(x, weight):
    """Return the integer product `x @ weight.T` of k-bit and m-bit numbers, as planes of ±1.

    For pixels this is equation 8 of the second paper, the first line of Algorithm 4: eight
    XNOR products, shifted and added, which give `(2 pixels - 255) @ weight.T`, that is 255
    times the product of the pixels scaled to [-1, 1].  The scale of BitPlanes is left out.
    Operands of 4 to 8 bits are multiplied by tables where the processor has them.

    Parameters
    ----------
    x : Bits, BitPlanes or uint8 pixels of shape (B, N)
    weight : Bits or BitPlanes of shape (M, N)

    Returns
    -------
    int32 array of shape (B, M)

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> plane_gemm(np.array([[3, 1]], np.uint8), pack(np.array([[1.0, -1.0]])))
    array([[4]], dtype=int32)
    """
    check_operands("plane_gemm", x, weight)
    _check_fit("plane_gemm", x, weight, axis=1)
    check_range("plane_gemm", x, weight, x.shape[1])
    both = isinstance(x, Bits) and isinstance(weight, Bits)
    return kernel(reference.xnor_gemm if both else reference.plane_gemm)(x, weight)


def check_operands(name, x, weight):
    """Refuse what is not Bits, BitPlanes or pixels, times Bits or BitPlanes."""
    if not isinstance(x, (Bits, BitPlanes)):
        check_pixels(name, x)
    if not isinstance(weight, BitPlanes):
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
    return 1 if isinstance(x, Bits) else getattr(x, "largest", 255)


def signed_gemm(x, signs):
    """Return the product `x @ signs` with a ±1 matrix: the backward products of a binary layer.

    Both come from the same packed rows: `grad_x = signed_gemm(grad_z, weight)` and
    `grad_weight = signed_gemm(grad_z.T, x)`.  Floats are multiplied as floats; quantized
    numbers as integers, exactly, with their scale at the end, so that every implementation
    gives the same bits.

    Parameters
    ----------
    x : float array or Quantized of shape (B, M)
    signs : Bits, BitPlanes or uint8 pixels of shape (M, N)
        Pixels stand for `2p - 255`.

    Returns
    -------
    array of shape (B, N), of the type of `x`; float32 for Quantized

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> signed_gemm(np.array([[0.5, 2.0]]), pack(np.array([[1.0, -1.0], [1.0, 1.0]])))
    array([[2.5, 1.5]])
    """
    _check_signed(x, signs)
    return kernel(reference.signed_gemm)(x, signs)


class Product:
    """The matrix `signed_gemm(x, signs)` as an array that is multiplied when it is first used.

    The gradient of a layer's weights is as large as they are; `update` multiplies a few rows at
    a time and never has all of it in memory.

    Parameters
    ----------
    x : float array or Quantized of shape (M, B)
    signs : Bits, BitPlanes or uint8 pixels of shape (B, N)

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> product = Product(np.array([[0.5, 2.0]]), pack(np.array([[1.0, -1.0], [1.0, 1.0]])))
    >>> product.shape
    (1, 2)
    >>> product + np.array([[1.0, 1.0]])
    array([[3.5, 2.5]])
    """

    __array_ufunc__ = None  # so that `array + product` asks the Product

    def __init__(self, x, signs):
        _check_signed(x, signs)
        self.x, self.signs = x, signs
        self.shape, self.dtype = (x.shape[0], signs.shape[1]), x.dtype

    _held = property(
        lambda self: getattr(self.x, "_held", self.x)
    )  # the array that says on which device this is

    def array(self):
        """All of it, of `shape` and `dtype`."""
        return kernel(reference.signed_gemm)(self.x, self.signs)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array(), dtype)

    def __add__(self, other):
        return self.array() + as_array(other)

    def __radd__(self, other):
        return other + self.array()


def _check_signed(x, signs):
    """Refuse the operands of a signed product that do not fit."""
    if not isinstance(x, Quantized):
        check_numbers("signed_gemm", x, "f", "floats")
    if not isinstance(signs, (Bits, BitPlanes)):
        check_pixels("signed_gemm", signs)
    _check_fit("signed_gemm", x, signs, axis=0)
    if isinstance(x, Quantized):
        largest = x.largest * _largest(signs) * 2
        if largest * x.shape[1] > LARGEST_SUM:
            raise InputError(
                f"signed_gemm: {x.shape[1]} products of up to {largest // 2} pass int32; "
                "expected fewer rows, as of a smaller batch"
            )
