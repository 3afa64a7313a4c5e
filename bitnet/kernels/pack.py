"""Signs of numbers to bits and back, and what is chosen by bits: one bit per element."""

import math

import numpy as np

from bitnet.arrays import array_module
from bitnet.errors import InputError
from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits, words_for
from bitnet.kernels.dispatch import check_bits, check_numbers, check_pixels, kernel


def pack(x):
    """Pack the signs of numbers into one bit each: bit 1, +1, where `x >= 0`.

    Equation 1 of the papers, with sign(0) = sign(-0.0) = +1.  NaN packs as -1.

    Parameters
    ----------
    x : array of shape (..., N)
        Real numbers, or booleans, where True is +1 and False is -1.

    Returns
    -------
    Bits of the same shape

    Examples
    --------
    >>> pack(np.array([0.3, -0.0, -7.0])).signs()
    array([ 1,  1, -1], dtype=int8)
    """
    check_numbers("pack", x)
    return kernel(reference.pack)(x)


def pack_with_mask(x, clip_value=1.0):
    """Pack the signs of numbers, and where `|x| <= clip_value`, into one bit per element each.

    The sign is equation 1 of the papers, the mask is the straight-through estimator's of
    equation 4, 1[|r| <= 1], the boundary included.

    Parameters
    ----------
    x : float array of shape (..., N)
    clip_value : float, optional
        Half the width of the hard tanh; the papers' is 1.

    Returns
    -------
    signs, mask : Bits of the same shape

    Examples
    --------
    >>> signs, mask = pack_with_mask(np.array([-1.0, 0.5, 1.5]))
    >>> signs.signs(), mask.signs()
    (array([-1,  1,  1], dtype=int8), array([ 1,  1, -1], dtype=int8))
    """
    check_numbers("pack_with_mask", x, "f", "floats")
    return kernel(reference.pack_with_mask)(x, x.dtype.type(clip_value))


def flatten(bits):
    """Put all signs of an image, or of any other element of the first axis, in one row.

    Parameters
    ----------
    bits : Bits or BitPlanes of shape (B, ...)

    Returns
    -------
    Bits or BitPlanes of shape (B, N), in the same order

    Examples
    --------
    >>> flatten(pack(np.ones((2, 3, 3, 5)))).shape
    (2, 45)
    """
    packed = bits.bits if isinstance(bits, BitPlanes) else bits
    check_bits("flatten", packed)
    if bits.ndim < 2:
        raise InputError(f"flatten: got Bits of shape {bits.shape}; expected (B, ...)")
    if bits.ndim == 2:
        return bits
    shape = (*packed.shape[: 1 - bits.ndim], math.prod(bits.shape[1:]))
    if bits.shape[-1] % 64 == 0:  # the words follow each other already
        words = array_module(bits).ascontiguousarray(packed.words)
        flat = Bits(words.reshape(*shape[:-1], words_for(shape[-1])), shape)
    else:
        flat = pack(packed.signs().reshape(shape))
    return bits.with_bits(flat) if isinstance(bits, BitPlanes) else flat


def concatenate(parts):
    """Join arrays along the last axis; packed ones stay packed.

    Parameters
    ----------
    parts : list of Bits, of BitPlanes of the same coefficients, or of numpy.ndarray
        One or more, of shapes (..., C) that differ in C alone.

    Returns
    -------
    Bits or BitPlanes or numpy.ndarray
        Shape (..., C in all).

    Examples
    --------
    >>> concatenate([pack(np.array([1.0, -1.0])), pack(np.array([-1.0]))]).signs()
    array([ 1, -1, -1], dtype=int8)
    """
    kinds = {_kind(part) for part in parts}
    if len(kinds) != 1 or len({part.shape[:-1] for part in parts}) != 1:
        raise InputError(
            f"concatenate: got {', '.join(map(repr, parts)):.300}; expected Bits, BitPlanes of the "
            "same coefficients, or arrays of one type, whose shapes differ in the last axis alone"
        )
    first = parts[0]
    if isinstance(first, BitPlanes):
        return first.with_bits(concatenate([part.bits for part in parts]))
    if isinstance(first, Bits):
        return first if len(parts) == 1 else kernel(reference.concatenate)(parts)
    return array_module(first).concatenate(parts, axis=-1)


def _kind(part):
    """What parts must have in common."""
    if isinstance(part, BitPlanes):
        return part.coefficients, part.scale, part.offset, part.unit
    return Bits if isinstance(part, Bits) else part.dtype


def unpack(bits, dtype=np.float32):
    """Return the numbers +1 and -1 that bits stand for.

    Parameters
    ----------
    bits : Bits of shape (..., N)
    dtype : numpy.dtype, optional
        A signed type; default: float32.

    Returns
    -------
    array of +1 and -1, of shape (..., N)

    Examples
    --------
    >>> unpack(pack(np.array([3.0, -4.0])))
    array([ 1., -1.], dtype=float32)
    """
    check_bits("unpack", bits)
    return kernel(reference.unpack)(bits, np.dtype(dtype))


def where(mask, x):
    """Return `x` where the bit of `mask` is 1, and zero elsewhere.

    Parameters
    ----------
    mask : Bits of shape (..., N)
    x : float array of the same shape

    Returns
    -------
    array of the shape and type of `x`

    Examples
    --------
    >>> where(pack(np.array([True, False])), np.array([5.0, 6.0]))
    array([5., 0.])
    """
    check_bits("where", mask)
    check_numbers("where", x, "f", "floats")
    if mask.shape != x.shape:
        raise InputError(f"where: a mask of shape {mask.shape} for numbers of shape {x.shape}")
    return kernel(reference.where)(mask, x)


def split_planes(pixels):
    """Split 8-bit pixels into eight planes of ±1 whose sum is `2 pixels - 255`, exactly.

    The papers' first layer splits p = sum_b 2^b p_b with bits p_b in {0, 1};
    with signs s_b = 2 p_b - 1 the same planes give 2p - 255.

    Parameters
    ----------
    pixels : uint8 array of shape (..., N)

    Returns
    -------
    BitPlanes with the coefficients 1, 2, ..., 128

    Examples
    --------
    >>> split_planes(np.array([[255, 128]], np.uint8)).values()
    array([[255.,   1.]], dtype=float32)
    """
    check_pixels("split_planes", pixels)
    return kernel(reference.split_planes)(pixels)


def count_flips(a, b):
    """Return the number of signs that differ between two Bits of one shape.

    Parameters
    ----------
    a, b : Bits of one shape

    Examples
    --------
    >>> count_flips(pack(np.array([1.0, 1.0, -1.0])), pack(np.array([1.0, -1.0, 1.0])))
    2
    """
    check_bits("count_flips", a, b)
    if a.shape != b.shape:
        raise InputError(f"count_flips: shapes {a.shape} and {b.shape} differ")
    return kernel(reference.count_flips)(a, b)
