"""Arithmetic on bits: arrays in, arrays out.

Each function checks its arguments once, says what it computes, and calls the fastest
implementation that is there.  `reference` is the definition; every other implementation
returns the same integers.  B rows of a batch, N inputs, M outputs, K words in a row.
"""

from bitnet.kernels.bits import WORD_BITS, Bits, Planes, words_for
from bitnet.kernels.dispatch import implementation, using
from bitnet.kernels.packing import (
    count_flips,
    pack,
    pack_mask,
    split_planes,
    threshold,
    unpack,
    where,
)
from bitnet.kernels.products import plane_gemm, signed_gemm, xnor_gemm

__all__ = [
    "WORD_BITS",
    "Bits",
    "Planes",
    "count_flips",
    "implementation",
    "pack",
    "pack_mask",
    "plane_gemm",
    "signed_gemm",
    "split_planes",
    "threshold",
    "unpack",
    "using",
    "where",
    "words_for",
    "xnor_gemm",
]
