"""Backward products: numbers times signs, by the same binary products or by a BLAS.

Integers of k bits are planes themselves, in two's complement: v = sum_p w_p A_p with w = 1, 2, 4,
..., and -2^(k-1) for the sign.  Their products with signs are `products.multiply`, exact, on tensor
cores.  On the rung `registers` and below a BLAS is faster; it multiplies the same integers as
floats, of a type in which no sum of them rounds.

Floats go to the BLAS, which is cuBLAS, with the signs unpacked: as many operations, but one
instruction for each where signs in bits take two, and tensor cores where CuPy is told to use them.
`signed_floats` is the product by hand, which unpacks nothing: for memory that is short.
"""

import math

import numpy as np
from numba import cuda

from bitnet.arrays import array_module
from bitnet.kernels import reference
from bitnet.kernels.bits import Bits, Planes, Quantized
from bitnet.kernels.cuda.launch import MOST, inlined, launch, row_of_halves, rung
from bitnet.kernels.cuda.pack import split, transpose, unpack
from bitnet.kernels.cuda.products import flat_rows, multiply
from bitnet.kernels.cuda.training import quantize

LANES, DOWN = 32, 8  # columns and rows of a block of `signed_floats`
TILE = DOWN, LANES


@inlined
def _signed(number, half, lane):
    """The number, or its negative where the lane's bit is 0."""
    return number if (half >> np.uint32(lane)) & np.uint32(1) else -number


def _signed_floats(dtype):
    """The kernel for one type of floats."""

    @cuda.jit
    def product(x, halves_in, rows, inner, columns, halves, y):
        """y = x @ signs: 32 columns side by side read one half a row of signs, all lanes the same.

        x (B M) in a tile of 8 rows by 32, signs (M H), y (B N).
        """
        tile = cuda.shared.array(TILE, dtype)
        lane, down = cuda.threadIdx.x, cuda.threadIdx.y
        i, block = cuda.blockIdx.x * DOWN + down, cuda.blockIdx.y + MOST * cuda.blockIdx.z
        if block >= halves:
            return
        total = dtype(0)
        for first in range(0, inner, LANES):
            there = i < rows and first + lane < inner
            tile[down, lane] = x[i * inner + first + lane] if there else dtype(0)
            cuda.syncthreads()
            for k in range(min(LANES, inner - first)):
                total += _signed(tile[down, k], halves_in[(first + k) * halves + block], lane)
            cuda.syncthreads()
        column = block * LANES + lane
        if i < rows and column < columns:
            y[i * columns + column] = total

    return product


FLOATS = {np.dtype(kind): _signed_floats(kind) for kind in (np.float32, np.float64)}


def signed_floats(x, signs):
    """The product of floats (B, M) with Bits (M, N) by hand: see above."""
    xp, (rows, inner), columns = array_module(x), x.shape, signs.shape[1]
    if not rows * inner * columns:
        return xp.zeros((rows, columns), x.dtype)
    y, halves = xp.empty((rows, columns), x.dtype), 2 * signs.words.shape[1]
    blocks, flat = (-(-rows // DOWN), -(-columns // LANES)), xp.ascontiguousarray(x).reshape(-1)
    launch(FLOATS[x.dtype], blocks, (LANES, DOWN), flat, row_of_halves(signs.words), rows, inner,
           columns, halves, y.reshape(-1))  # fmt: skip
    return y


def signed_gemm(x, signs):
    """See `bitnet.kernels.signed_gemm`."""
    if not isinstance(x, Quantized):
        planes = isinstance(signs, Planes)
        return x @ (signs.numbers(x.dtype) if planes else _floats(signs, x.dtype))
    y = _sums(x, signs).astype(np.float32) * x.scales[:, None]
    return y * np.float32(getattr(signs, "scale", 1))


def signed_rows(x, signs):
    """Rows of the product, from all of it: as `bitnet.kernels.cpu.signed_rows`."""
    y = signed_gemm(x, signs)

    def rows(start, stop, out):
        out[...] = y[start:stop]

    return rows, np.inf


def _floats(signs, dtype):
    """Signs, planes without their scale, or pixels, as the floats that they stand for."""
    if isinstance(signs, Bits):
        return unpack(signs, np.dtype(dtype))
    if isinstance(signs, Planes):
        return Planes(signs.bits, signs.coefficients, 1.0, signs.offset).numbers(dtype)
    return np.dtype(dtype).type(2) * signs - np.dtype(dtype).type(255)


def _exact(x, signs):
    """The float type in which no sum of products of these integers rounds."""
    largest = 255 if not isinstance(signs, (Bits, Planes)) else getattr(signs, "largest", 1)
    return np.float32 if x.largest * x.shape[1] * largest < 2**24 else np.float64


def _sums(x, signs):
    """The exact products of integers (B, M) with signs, planes or pixels (M, N)."""
    if rung() != "tensor" or not isinstance(signs, (Bits, Planes)):
        dtype = _exact(x, signs)
        return x.values.astype(dtype) @ _floats(signs, dtype)
    return multiply(_planes(x), _transposed(signs)) >> 1


def _planes(x):
    """Quantized integers, twice, as Planes: 2 v = sum_p w_p s_p - 1, as all w_p together are -1."""
    n_planes = int(x.largest).bit_length() + 1
    weights = [1 << p for p in range(n_planes - 1)] + [-(1 << (n_planes - 1))]
    return Planes(split(x.values, n_planes), weights, offset=-1)


def _transposed(signs):
    """Bits or Planes (N, M) from (M, N)."""
    if isinstance(signs, Bits):
        return transpose(signs)
    parts = [transpose(signs.bits[p]).words for p in range(len(signs.coefficients))]
    words = array_module(*parts).stack(parts)
    return signs.with_bits(Bits(words, (len(words), *signs.shape[::-1])))


def _product(numbers, signs):
    """`signed_gemm` without the scale of planes."""
    if isinstance(numbers, Quantized):
        return _sums(numbers, signs).astype(np.float32) * numbers.scales[:, None]
    return numbers @ _floats(signs, numbers.dtype)


def gradient_of_images(grad_z, weight, window, size, largest, seed, odd=False):
    """See `bitnet.kernels.gradient_of_images`: the gradients of patches, and their sums."""
    m, *taps = weight.shape
    numbers = grad_z.reshape(math.prod(grad_z.shape[:3]), m)
    numbers = numbers if largest is None else quantize(numbers, largest, seed, odd)
    patches = _product(numbers, flat_rows(weight))
    return reference.add_patches(patches.reshape(*grad_z.shape[:3], *taps), window, size)


def gradient_of_filters(grad_z, x, window, largest, seed, odd=False):
    """See `bitnet.kernels.gradient_of_filters`: one product a tap with what that tap saw."""
    m, channels = grad_z.shape[3], x.shape[3]
    numbers = grad_z.reshape(math.prod(grad_z.shape[:3]), m).T
    if largest is None:
        taps = _seen_floats(x, window, numbers.dtype)
        y = [numbers @ seen.reshape(-1, channels) for seen in taps]
        return array_module(grad_z).stack(y, axis=1).reshape(m, *window.size, channels)
    numbers = quantize(numbers, largest, seed, odd)
    if rung() == "tensor" and isinstance(x, (Bits, Planes)):
        sums = _by_planes(numbers, x, window)
    else:
        dtype = _exact(numbers, x)
        values = numbers.values.astype(dtype)
        y = [values @ seen.reshape(-1, channels) for seen in _seen_floats(x, window, dtype)]
        sums = array_module(grad_z).stack(y, axis=1)
    y = sums.reshape(m, -1).astype(np.float32) * numbers.scales[:, None]
    return y.reshape(m, *window.size, channels)


def _seen_floats(x, window, dtype):
    """What each tap sees of images, and of what stands beyond them, as floats."""
    pads = (0, 0), *window.padding, (0, 0)
    numbers, beyond = _floats(x, dtype), reference.beyond(x, window.border)
    padded = array_module(numbers).pad(numbers, pads, constant_values=beyond)
    return window.seen(padded)


def _by_planes(numbers, x, window):
    """The exact sums (M, taps, C) of integers with what each tap saw of Bits or Planes."""
    planes = [x] if isinstance(x, Bits) else [x.bits[p] for p in range(len(x.coefficients))]
    xp, channels, seen = array_module(numbers.values), x.shape[3], []
    for plane in planes:
        taps = [xp.ascontiguousarray(words) for words in window.seen(window.surrounded(plane))]
        rows = [words.reshape(-1, words.shape[-1]) for words in taps]
        parts = [transpose(Bits(words, (len(words), channels))).words for words in rows]
        seen.append(xp.concatenate(parts))
    words = xp.stack(seen)
    shape = len(planes), words.shape[1], numbers.shape[1]
    signs = Bits(words, shape)[0] if isinstance(x, Bits) else x.with_bits(Bits(words, shape))
    sums = multiply(_planes(numbers), signs) >> 1
    sums = sums.reshape(len(sums), window.taps, channels)
    if window.border:
        return sums
    # a border of 0 stood there as planes of -1: that much of each tap's sum was too much
    inside, of = window.classes(*x.shape[1:3])
    outside = xp.asarray((~inside)[of].reshape(-1, window.taps).astype(np.int32))
    number = -1 if isinstance(x, Bits) else x.offset - sum(x.coefficients)
    of_area = numbers.values.reshape(len(sums), -1, len(outside)).sum(axis=1, dtype=np.int32)
    return sums - np.int32(number) * (of_area @ outside)[:, :, None]
