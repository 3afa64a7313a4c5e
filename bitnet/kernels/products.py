"""Matrix products with one or two packed operands."""

from typing import Any

import numpy as np

from bitnet.arrays import Array, as_array
from bitnet.errors import InputError, unfit
from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits, Packed, Quantized
from bitnet.kernels.codebook import Thresholds
from bitnet.kernels.dispatch import check_bits, check_numbers, check_pixels, kernel

LARGEST_SUM = np.iinfo(np.int32).max


def _check_fit(name, x, matrix, axis):
    """Reject two matrices unless x has `matrix.shape[axis]` columns."""
    if len(x.shape) != 2 or len(matrix.shape) != 2 or x.shape[1] != matrix.shape[axis]:
        raise unfit(name, f"(B, {'MN'[axis]}) and (M, N)", x, matrix)


def prepare(bits: Packed) -> Packed:
    """Return weights that cache the memory layouts that the products need.

    The fast products use weights in panels of 32 outputs, or as indices into tables.  For plain
    Bits this layout is computed in each call, for prepared ones only once per kind of product.
    The words of prepared weights must not be changed in place.

    Parameters
    ----------
    bits : Bits or BitPlanes of shape (M, N) or (M, rows, columns, C)
        The weights.

    Returns
    -------
    Bits or BitPlanes
        Weights with the same words and a cache.

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


def xnor_gemm(x: Bits, weight: Bits) -> Array:
    """Return the product `x @ weight.T` of two ±1 matrices, computed by counting differing bits.

    z = N - 2 popcount(x XOR weight) is the XNOR-popcount product of the papers in exact integers.
    (Their equation omits the affine part.)

    Parameters
    ----------
    x : Bits of shape (B, N)
        The inputs.
    weight : Bits of shape (M, N)
        The weights.

    Returns
    -------
    int32 array of shape (B, M)
        The integer pre-activations.

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


def xnor_sign(x: Bits, weight: Bits, thresholds: Thresholds) -> Bits:
    """Compute a frozen layer: `threshold(xnor_gemm(x, weight), thresholds)`.

    The counts of differing bits are compared while they are in registers, and only the next
    layer's bits are written.  This is Algorithm 4 of the papers, with batch norm and sign in one
    comparison.

    Parameters
    ----------
    x, weight : Bits of shapes (B, N) and (M, N)
        See `xnor_gemm`.
    thresholds : Thresholds
        One threshold for each of M units.

    Returns
    -------
    Bits of shape (B, M)
        The signs.

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


def plane_gemm(x: Bits | BitPlanes | Array, weight: Bits | BitPlanes) -> Array:
    """Return the integer product `x @ weight.T` of k-bit inputs and m-bit weights.

    For pixels this is equation 8 of the second paper, the first line of Algorithm 4: the sum of
    eight shifted XNOR products is `(2 pixels - 255) @ weight.T`, that is 255 times the product of
    the pixels scaled to [-1, 1].  The scale and unit of BitPlanes are not applied.  4- to 8-bit
    operands are multiplied with lookup tables where the processor supports them.

    Parameters
    ----------
    x : Bits, BitPlanes or uint8 pixels of shape (B, N)
        The inputs.
    weight : Bits or BitPlanes of shape (M, N)
        The weights.

    Returns
    -------
    int32 array of shape (B, M)
        The integer pre-activations.

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
    """Reject an x that is not packed and has no pixels, and a weight that is not packed."""
    if not isinstance(x, (Bits, BitPlanes)):
        check_pixels(name, x)
    if not isinstance(weight, BitPlanes):
        check_bits(name, weight)


def check_range(name, x, weight, n):
    """Reject sums of n products that could overflow int32."""
    largest = _largest(x) * _largest(weight)
    limit = LARGEST_SUM // max(largest, 1)
    if n > limit:
        raise InputError(
            f"{name}: the sum of {n} products of up to {largest} can overflow int32; expected at "
            f"most {limit} products; quantize to fewer bits for more"
        )


def _largest(x):
    """Return the largest absolute value of an operand, without its scale."""
    return 1 if isinstance(x, Bits) else getattr(x, "largest", 255)


def signed_gemm(x: Array | Quantized, signs: Bits | BitPlanes | Array) -> Array:
    """Return the product `x @ signs` with a ±1 matrix, the backward product of a binary layer.

    Both gradients use the same packed rows: `grad_x = signed_gemm(grad_z, weight)` and
    `grad_weight = signed_gemm(grad_z.T, x)`.  Floats are multiplied as floats.  Quantized numbers
    are multiplied as exact integers and scaled at the end, so that every implementation returns
    the same bits.

    Parameters
    ----------
    x : float array or Quantized of shape (B, M)
        The numbers.
    signs : Bits, BitPlanes or uint8 pixels of shape (M, N)
        The other factor; a pixel p counts as `2p - 255`.

    Returns
    -------
    array of shape (B, N)
        The product, in the type of `x`; float32 for Quantized.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> signed_gemm(np.array([[0.5, 2.0]]), pack(np.array([[1.0, -1.0], [1.0, 1.0]])))
    array([[2.5, 1.5]])
    """
    _check_signed(x, signs)
    return kernel(reference.signed_gemm)(x, signs)


class Product:
    """The matrix `signed_gemm(x, signs)`, computed only when it is used.

    The gradient of a layer's weights is as large as the weights.  `update` computes a few rows at
    a time, so that the whole matrix is never in memory.

    Parameters
    ----------
    x : float array or Quantized of shape (M, B)
        The numbers.
    signs : Bits, BitPlanes or uint8 pixels of shape (B, N)
        The other factor.

    Examples
    --------
    >>> from bitnet.kernels import pack
    >>> product = Product(np.array([[0.5, 2.0]]), pack(np.array([[1.0, -1.0], [1.0, 1.0]])))
    >>> product.shape
    (1, 2)
    >>> product + np.array([[1.0, 1.0]])
    array([[3.5, 2.5]])
    """

    __array_ufunc__ = None  # so that `array + product` calls `__radd__`

    def __init__(self, x: Array | Quantized, signs: Bits | BitPlanes | Array) -> None:
        _check_signed(x, signs)
        self.x, self.signs = x, signs
        self.shape, self.dtype = (x.shape[0], signs.shape[1]), x.dtype

    # the array that decides the device
    _held = property(lambda self: getattr(self.x, "_held", self.x))

    def __repr__(self) -> str:
        return f"Product(shape={self.shape}, {self.dtype})"

    def array(self) -> Array:
        """Return the whole matrix as an array."""
        return kernel(reference.signed_gemm)(self.x, self.signs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.array(), dtype)

    def __add__(self, other: Any) -> Array:
        return self.array() + as_array(other)

    def __radd__(self, other: Any) -> Array:
        return other + self.array()


def _check_signed(x, signs):
    """Reject operands of a signed product that do not fit."""
    if not isinstance(x, Quantized):
        check_numbers("signed_gemm", x, "f", "floats")
    if not isinstance(signs, (Bits, BitPlanes)):
        check_pixels("signed_gemm", signs)
    _check_fit("signed_gemm", x, signs, axis=0)
    if isinstance(x, Quantized):
        largest = x.largest * _largest(signs) * 2
        if largest * x.shape[1] > LARGEST_SUM:
            raise InputError(
                f"signed_gemm: the sum of {x.shape[1]} products of up to {largest // 2} can "
                f"overflow int32; expected at most {LARGEST_SUM // largest}; use a smaller batch"
            )
