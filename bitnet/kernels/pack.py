"""Conversions between numbers and packed signs, and operations on packed arrays."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from bitnet.arrays import Array, array_module
from bitnet.errors import InputError, unfit
from bitnet.kernels import reference
from bitnet.kernels.bits import BitPlanes, Bits, Packed, words_for
from bitnet.kernels.dispatch import check_bits, check_numbers, check_pixels, kernel


def pack(x: Array) -> Bits:
    """Pack the signs of numbers into one bit each: bit 1, that is +1, where `x >= 0`.

    This is equation 1 of the papers, with sign(0) = sign(-0.0) = +1.  NaN is packed as -1.

    Parameters
    ----------
    x : array of shape (..., N)
        Real numbers, or booleans: True is +1 and False is -1.

    Returns
    -------
    Bits of the same shape
        The signs.

    Examples
    --------
    >>> pack(np.array([0.3, -0.0, -7.0])).signs()
    array([ 1,  1, -1], dtype=int8)
    """
    check_numbers("pack", x)
    return kernel(reference.pack)(x)


def pack_with_mask(x: Array, clip_value: float = 1.0) -> tuple[Bits, Bits]:
    """Pack the signs of numbers, and the mask `|x| <= clip_value`, with one bit per element each.

    The sign is equation 1 of the papers.  The mask is that of the straight-through estimator in
    equation 4, 1[|r| <= 1], which includes the boundary.

    Parameters
    ----------
    x : float array of shape (..., N)
        The numbers.
    clip_value : float, optional
        The largest magnitude at which gradients pass; default: 1, as in the papers.

    Returns
    -------
    signs, mask : Bits of the same shape
        The mask is +1 where gradients pass.

    Examples
    --------
    >>> signs, mask = pack_with_mask(np.array([-1.0, 0.5, 1.5]))
    >>> signs.signs(), mask.signs()
    (array([-1,  1,  1], dtype=int8), array([ 1,  1, -1], dtype=int8))
    """
    check_numbers("pack_with_mask", x, "f", "floats")
    return kernel(reference.pack_with_mask)(x, x.dtype.type(clip_value))


def flatten(bits: Packed) -> Packed:
    """Flatten all axes of packed images but the first one.

    Parameters
    ----------
    bits : Bits or BitPlanes of shape (B, ...)
        The packed images.

    Returns
    -------
    Bits or BitPlanes of shape (B, N)
        The same signs in the same order.

    Examples
    --------
    >>> flatten(pack(np.ones((2, 3, 3, 5)))).shape
    (2, 45)
    """
    packed: Bits = bits.bits if isinstance(bits, BitPlanes) else bits
    check_bits("flatten", packed)
    if bits.ndim < 2:
        raise unfit("flatten", "a shape (B, ...) with two or more axes", bits)
    if bits.ndim == 2:
        return bits
    shape = (*packed.shape[: 1 - bits.ndim], math.prod(bits.shape[1:]))
    if bits.shape[-1] % 64 == 0:  # rows have no padding between them
        words = array_module(bits).ascontiguousarray(packed.words)
        flat = Bits(words.reshape(*shape[:-1], words_for(shape[-1])), shape)
    else:
        flat = pack(packed.signs().reshape(shape))
    return bits.with_bits(flat) if isinstance(bits, BitPlanes) else flat


def merge_rows(x: Packed) -> Packed:
    """Merge all axes of packed values but the last one: (..., N) to rows (R, N).

    Parameters
    ----------
    x : Bits or BitPlanes of shape (..., N)
        The packed values.

    Returns
    -------
    Bits or BitPlanes of shape (R, N)
        The same signs in the same order.

    Examples
    --------
    >>> merge_rows(pack(np.ones((2, 3, 5)))).shape
    (6, 5)
    """
    if x.ndim == 2:
        return x
    bits: Bits = x.bits if isinstance(x, BitPlanes) else x
    shape = (*bits.shape[: bits.ndim - x.ndim], math.prod(x.shape[:-1]), x.shape[-1])
    bits = Bits(bits.words.reshape(*shape[:-1], bits.words.shape[-1]), shape)
    return x.with_bits(bits) if isinstance(x, BitPlanes) else bits


def _moved(x, move):
    """Return packed values after a move of the words of each plane, (..., K)."""
    if isinstance(x, BitPlanes):
        planes: Any = [_moved(bits, move).words for bits in x.bits]
        words = array_module(*planes).stack(planes)
        return x.with_bits(Bits(words, (*words.shape[:-1], x.shape[-1])))
    words = array_module(x).ascontiguousarray(move(x.words))
    return Bits(words, (*words.shape[:-1], x.shape[-1]))


def _either(x: Any, move: Callable[[Any], Any]) -> Any:
    """Return an array, or packed values, after a move that keeps the last axis."""
    return _moved(x, move) if isinstance(x, (Bits, BitPlanes)) else move(x)


def part_of(x: Any, rows: slice, columns: slice) -> Any:
    """Return some rows and columns of images (B, H, W, C), contiguous.

    Parameters
    ----------
    x : Bits, BitPlanes or array of shape (B, H, W, C)
        The images.
    rows, columns : slice
        Which of them.

    Examples
    --------
    >>> part_of(np.arange(16).reshape(1, 4, 4, 1), slice(0, 1), slice(1, 4, 2)).ravel()
    array([1, 3])
    """
    xp = array_module(x)
    return _either(x, lambda own: xp.ascontiguousarray(own[:, rows, columns]))


def reshape(x: Any, shape: Sequence[int]) -> Any:
    """Return the same elements in another shape; packed values must keep their last axis.

    Parameters
    ----------
    x : Bits, BitPlanes or array
        The elements.
    shape : sequence of int
        The shape, without -1.

    Raises
    ------
    InputError
        If there are other numbers of elements, or packed values of another last axis.

    Examples
    --------
    >>> reshape(pack(np.ones((2, 3, 5))), (2, 1, 3, 5))
    Bits(shape=(2, 1, 3, 5), 48 bytes)
    """
    shape = tuple(shape)
    packed = isinstance(x, (Bits, BitPlanes))
    fits = math.prod(shape) == math.prod(x.shape)
    if not fits or (packed and shape[-1:] != x.shape[-1:]):
        expected = "as many elements" + (" and the same last axis" if packed else "")
        raise InputError(f"reshape: {shape} for values of shape {x.shape}; expected {expected}")
    if not packed:
        return x.reshape(shape)
    return _moved(x, lambda words: words.reshape(*shape[:-1], words.shape[-1]))


def upsample(x: Any, factors: tuple[int, int]) -> Any:
    """Repeat each pixel of images, down and to the right.

    Parameters
    ----------
    x : Bits, BitPlanes or array of shape (B, H, W, C)
        The images.
    factors : (int, int)
        How often rows and columns are repeated.

    Returns
    -------
    Bits, BitPlanes or array of shape (B, H * down, W * right, C)
        The larger images.

    Examples
    --------
    >>> upsample(np.arange(2).reshape(1, 1, 2, 1), (1, 2)).ravel()
    array([0, 0, 1, 1])
    """
    down, right = factors
    return _either(x, lambda own: own.repeat(down, axis=1).repeat(right, axis=2))


def concatenate(parts: Sequence) -> Bits | BitPlanes | Array:
    """Concatenate arrays along the last axis, without unpacking packed ones.

    Parameters
    ----------
    parts : sequence of Bits, of BitPlanes with the same coefficients, or of arrays
        One or more, with shapes (..., C) that differ only in C.

    Returns
    -------
    Bits, BitPlanes or array
        Shape (..., sum of C).

    Examples
    --------
    >>> concatenate([pack(np.array([1.0, -1.0])), pack(np.array([-1.0]))]).signs()
    array([ 1, -1, -1], dtype=int8)
    """
    kinds = {_kind(part) for part in parts}
    if len(kinds) != 1 or len({part.shape[:-1] for part in parts}) != 1:
        raise InputError(
            f"concatenate: got {', '.join(map(repr, parts)):.300}; expected Bits, BitPlanes with "
            "the same coefficients, or arrays of one type, with shapes that differ in the last axis"
        )
    first = parts[0]
    if isinstance(first, BitPlanes):
        bits: Any = concatenate([part.bits for part in parts])
        return first.with_bits(bits)
    if isinstance(first, Bits):
        return first if len(parts) == 1 else kernel(reference.concatenate)(parts)
    return array_module(first).concatenate(parts, axis=-1)


def _kind(part):
    """Return what all parts must have in common."""
    if isinstance(part, BitPlanes):
        return part.coefficients, part.scale, part.offset, part.unit
    return Bits if isinstance(part, Bits) else part.dtype


def unpack(bits: Bits, dtype: DTypeLike = np.float32) -> Array:
    """Unpack bits into the numbers +1 and -1.

    Parameters
    ----------
    bits : Bits of shape (..., N)
        The packed signs.
    dtype : numpy.dtype, optional
        A signed type; default: float32.

    Returns
    -------
    array of shape (..., N)
        The signs as numbers.

    Examples
    --------
    >>> unpack(pack(np.array([3.0, -4.0])))
    array([ 1., -1.], dtype=float32)
    """
    check_bits("unpack", bits)
    return kernel(reference.unpack)(bits, np.dtype(dtype))


def where(mask: Bits, x: Array) -> Array:
    """Return `x` where the bit of `mask` is 1, and zero elsewhere.

    Parameters
    ----------
    mask : Bits of shape (..., N)
        The elements to keep.
    x : float array of the same shape
        The numbers.

    Returns
    -------
    array of the same shape and type as `x`
        The masked numbers.

    Examples
    --------
    >>> where(pack(np.array([True, False])), np.array([5.0, 6.0]))
    array([5., 0.])
    """
    check_bits("where", mask)
    check_numbers("where", x, "f", "floats")
    if mask.shape != x.shape:
        raise unfit("where", "a mask and numbers of one shape", mask, x)
    return kernel(reference.where)(mask, x)


def split_planes(pixels: Array) -> BitPlanes:
    """Split 8-bit pixels into eight ±1 planes whose weighted sum is exactly `2 pixels - 255`.

    The papers' first layer splits p = sum_b 2^b p_b with bits p_b in {0, 1}.  With signs
    s_b = 2 p_b - 1 the sum of the same planes is 2p - 255.

    Parameters
    ----------
    pixels : uint8 array of shape (..., N)
        The pixels.

    Returns
    -------
    BitPlanes of shape (..., N)
        The planes, with coefficients 1, 2, ..., 128.

    Examples
    --------
    >>> split_planes(np.array([[255, 128]], np.uint8)).values()
    array([[255.,   1.]], dtype=float32)
    """
    check_pixels("split_planes", pixels)
    return kernel(reference.split_planes)(pixels)


def count_flips(a: Bits, b: Bits) -> int:
    """Return the number of signs that differ between two packed arrays.

    Parameters
    ----------
    a, b : Bits of one shape
        The arrays to compare.

    Examples
    --------
    >>> count_flips(pack(np.array([1.0, 1.0, -1.0])), pack(np.array([1.0, -1.0, 1.0])))
    2
    """
    check_bits("count_flips", a, b)
    if a.shape != b.shape:
        raise unfit("count_flips", "two Bits of one shape", a, b)
    return kernel(reference.count_flips)(a, b)
