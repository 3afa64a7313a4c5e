"""Signs of numbers to bits and back, and what is chosen by bits: one bit an element."""

import math

import numpy as np

from bitnet.arrays import array_module
from bitnet.errors import InputError
from bitnet.kernels.bits import Bits, Planes, words_for
from bitnet.kernels.dispatch import check_bits, check_numbers, check_pixels, kernel

__all__ = [
    "concatenate",
    "count_flips",
    "flatten",
    "pack",
    "pack_with_mask",
    "split_planes",
    "threshold",
    "transpose",
    "unpack",
    "where",
]


def pack(x):
    """The signs of numbers in one bit each: bit 1, +1, where `x >= 0`.

    Equation 1 of the papers, with sign(0) = sign(-0.0) = +1.  NaN packs as -1.

    Parameters
    ----------
    x : numpy.ndarray
        Real numbers of shape (..., N), or booleans, where True is +1 and False is -1.

    Returns
    -------
    Bits
        Of the same shape.

    Raises
    ------
    InputError
        If `x` is not an array of real numbers with at least one axis.

    Examples
    --------
    >>> pack(np.array([0.3, -0.0, -7.0])).signs()
    array([ 1,  1, -1], dtype=int8)
    """
    check_numbers("pack", x)
    return kernel("pack")(x)


def pack_with_mask(x, window=1.0):
    """The signs of numbers, and where `|x| <= window`, each in one bit an element.

    The sign is equation 1 of the papers, the mask is the straight-through estimator's of
    equation 4, 1[|r| <= 1], the boundary included.

    Parameters
    ----------
    x : numpy.ndarray
        Floats of shape (..., N).
    window : float, optional
        Half the width of the hard tanh; the papers' is 1.

    Returns
    -------
    signs, mask : Bits
        Of the same shape; the mask has bit 1 inside the window.

    Raises
    ------
    InputError
        If `x` is not an array of floats with at least one axis.

    Examples
    --------
    >>> signs, mask = pack_with_mask(np.array([-1.0, 0.5, 1.5]))
    >>> signs.signs(), mask.signs()
    (array([-1,  1,  1], dtype=int8), array([ 1,  1, -1], dtype=int8))
    """
    check_numbers("pack_with_mask", x, "f", "floats")
    return kernel("pack_with_mask")(x, x.dtype.type(window))


def transpose(bits):
    """The transpose of a matrix of signs, packed along the other axis.

    Parameters
    ----------
    bits : Bits
        Shape (M, N).

    Returns
    -------
    Bits
        Shape (N, M).

    Raises
    ------
    InputError
        If `bits` is no packed matrix.

    Examples
    --------
    >>> transpose(pack(np.array([[1.0, -1.0]]))).signs()
    array([[ 1],
           [-1]], dtype=int8)
    """
    check_bits("transpose", bits)
    if bits.ndim != 2:
        raise InputError(f"transpose: got Bits of shape {bits.shape}; expected a matrix")
    return kernel("transpose")(bits)


def flatten(bits):
    """All signs of an image, or of any other element of the first axis, in one row.

    Parameters
    ----------
    bits : Bits or Planes
        Shape (B, ...).

    Returns
    -------
    Bits or Planes
        Shape (B, N), in the same order.

    Raises
    ------
    InputError
        If `bits` is something else, or has one axis.

    Examples
    --------
    >>> flatten(pack(np.ones((2, 3, 3, 5)))).shape
    (2, 45)
    """
    if isinstance(bits, Planes):
        if bits.ndim == 2:
            return bits
        planes = [flatten(bits.bits[p]) for p in range(len(bits.bits))]
        words = array_module(bits).stack([plane.words for plane in planes])
        return bits.with_bits(Bits(words, (len(words), *planes[0].shape)))
    check_bits("flatten", bits)
    if bits.ndim < 2:
        raise InputError(f"flatten: got Bits of shape {bits.shape}; expected (B, ...)")
    if bits.ndim == 2:
        return bits
    n = math.prod(bits.shape[1:])
    if bits.shape[-1] % 64 == 0:  # the words follow each other already
        words = array_module(bits).ascontiguousarray(bits.words)
        return Bits(words.reshape(len(bits), words_for(n)), (len(bits), n))
    return pack(bits.signs().reshape(len(bits), n))


def concatenate(parts):
    """Arrays side by side along the last axis, packed ones packed.

    Parameters
    ----------
    parts : list of Bits, of Planes of the same coefficients, or of numpy.ndarray
        One or more, of shapes (..., C) that differ in C alone.

    Returns
    -------
    Bits or Planes or numpy.ndarray
        Shape (..., C in all).

    Raises
    ------
    InputError
        If the parts are of different kinds or shapes.

    Examples
    --------
    >>> concatenate([pack(np.array([1.0, -1.0])), pack(np.array([-1.0]))]).signs()
    array([ 1, -1, -1], dtype=int8)
    """
    kinds = {_kind(part) for part in parts}
    if len(kinds) != 1 or len({part.shape[:-1] for part in parts}) != 1:
        raise InputError(
            f"concatenate: got {', '.join(map(repr, parts)):.300}; expected Bits, Planes of the "
            "same coefficients, or arrays of one type, whose shapes differ in the last axis alone"
        )
    first = parts[0]
    if isinstance(first, Bits):
        return first if len(parts) == 1 else kernel("concatenate")(parts)
    if isinstance(first, Planes):
        bits = kernel("concatenate")([part.bits for part in parts])
        return first.with_bits(bits)
    return array_module(first).concatenate(parts, axis=-1)


def _kind(part):
    """What parts must have in common."""
    if isinstance(part, Planes):
        return part.coefficients, part.scale, part.offset, part.unit
    return Bits if isinstance(part, Bits) else part.dtype


def unpack(bits, dtype=np.float32):
    """The numbers +1 and -1 that bits stand for.

    Parameters
    ----------
    bits : Bits
        Signs of shape (..., N).
    dtype : numpy.dtype, optional
        A signed type; float32 by default.

    Returns
    -------
    numpy.ndarray
        +1 and -1, shape (..., N).

    Raises
    ------
    InputError
        If `bits` is something else.

    Examples
    --------
    >>> unpack(pack(np.array([3.0, -4.0])))
    array([ 1., -1.], dtype=float32)
    """
    check_bits("unpack", bits)
    return kernel("unpack")(bits, np.dtype(dtype))


def where(mask, x):
    """`x` where the bit of `mask` is 1, and zero elsewhere.

    Parameters
    ----------
    mask : Bits
        Shape (..., N).
    x : numpy.ndarray
        Floats of the same shape.

    Returns
    -------
    numpy.ndarray
        Of the shape and type of `x`.

    Raises
    ------
    InputError
        If the shapes differ.

    Examples
    --------
    >>> where(pack(np.array([True, False])), np.array([5.0, 6.0]))
    array([5., 0.])
    """
    check_bits("where", mask)
    check_numbers("where", x, "f", "floats")
    if mask.shape != x.shape:
        raise InputError(f"where: a mask of shape {mask.shape} for numbers of shape {x.shape}")
    return kernel("where")(mask, x)


def split_planes(pixels):
    """Eight-bit pixels as eight planes of ±1 whose sum is `2 pixels - 255`, exactly.

    The papers' first layer splits p = sum_b 2^b p_b with bits p_b in {0, 1};
    with signs s_b = 2 p_b - 1 the same planes give 2p - 255.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8 of shape (..., N).

    Returns
    -------
    Planes
        Coefficients 1, 2, ..., 128.

    Raises
    ------
    InputError
        If `pixels` are not uint8.

    Examples
    --------
    >>> split_planes(np.array([[255, 128]], np.uint8)).values()
    array([[255.,   1.]], dtype=float32)
    """
    check_pixels("split_planes", pixels)
    return kernel("split_planes")(pixels)


def threshold(z, thresholds):
    """Batch norm and sign of a frozen layer: one integer comparison an element.

    Parameters
    ----------
    z : numpy.ndarray
        Integer pre-activations, int32 of shape (..., N).
    thresholds : Thresholds
        Of N units.

    Returns
    -------
    Bits
        Shape (..., N).

    Raises
    ------
    InputError
        If the shapes or types do not fit.

    Examples
    --------
    >>> from bitnet.kernels import Thresholds
    >>> z = np.array([[2, 2, 3]], np.int32)
    >>> steps = Thresholds(np.array([2, 3, 2], np.int32), np.array([True, True, False]))
    >>> threshold(z, steps).signs()
    array([[ 1, -1, -1]], dtype=int8)
    """
    check_numbers("threshold", z)
    if z.dtype != np.int32 or z.shape[-1:] != thresholds.values.shape:
        raise InputError(
            f"threshold: {z.dtype} {z.shape} and {len(thresholds)} thresholds do not fit; "
            "expected int32 (..., N) and N thresholds"
        )
    return kernel("threshold")(z, thresholds)


def count_flips(a, b):
    """The number of signs that differ between two Bits of one shape.

    Parameters
    ----------
    a, b : Bits
        Of the same shape.

    Returns
    -------
    int
        From 0 to `a.size`.

    Raises
    ------
    InputError
        If the shapes differ.

    Examples
    --------
    >>> count_flips(pack(np.array([1.0, 1.0, -1.0])), pack(np.array([1.0, -1.0, 1.0])))
    2
    """
    check_bits("count_flips", a, b)
    if a.shape != b.shape:
        raise InputError(f"count_flips: shapes {a.shape} and {b.shape} differ")
    return kernel("count_flips")(a, b)
