"""Arithmetic on bits: functions from arrays to arrays.

Each function checks its arguments once, and raises `InputError` if their types or shapes do not
fit.  Then it calls the fastest implementation that is available.  `reference` is the definition;
every other implementation returns the same integers.  Shapes: B rows of a batch, N inputs, M
outputs, K words per row; (B, H, W, C) images, (B, H', W', M) outputs of a convolution.
"""

from bitnet.kernels import cells
from bitnet.kernels.bits import WORD_BITS, BitPlanes, Bits, Quantized, words_for
from bitnet.kernels.cells import GATES, add_rows, affine
from bitnet.kernels.codebook import Codebook, Thresholds, edge_codes, rank, step_codes, threshold
from bitnet.kernels.conv import (
    check_groups,
    gradient_of_filters,
    gradient_of_images,
    plane_conv,
    xnor_conv,
    xnor_conv_sign,
)
from bitnet.kernels.dispatch import implementation, using
from bitnet.kernels.floats import count_edges, ordered_gemm, ordered_sum
from bitnet.kernels.memory import keep_memory
from bitnet.kernels.norm import batch_norm_backward, column_moments, normalize_sign
from bitnet.kernels.pack import (
    concatenate,
    count_flips,
    flatten,
    merge_rows,
    pack,
    pack_with_mask,
    part_of,
    reshape,
    split_planes,
    unpack,
    upsample,
    where,
)
from bitnet.kernels.pool import (
    add_patches,
    max_pool,
    max_pool_backward,
    max_pool_bits,
    max_pool_bits_backward,
    sum_pool,
)
from bitnet.kernels.products import Product, plane_gemm, prepare, signed_gemm, xnor_gemm, xnor_sign
from bitnet.kernels.rounding import Rounding, ap2, round_gradient
from bitnet.kernels.update import update
from bitnet.kernels.window import Window

__all__ = [
    "GATES",
    "WORD_BITS",
    "BitPlanes",
    "Bits",
    "Codebook",
    "Product",
    "Quantized",
    "Rounding",
    "Thresholds",
    "Window",
    "add_patches",
    "add_rows",
    "affine",
    "ap2",
    "batch_norm_backward",
    "cells",
    "check_groups",
    "column_moments",
    "concatenate",
    "count_edges",
    "count_flips",
    "edge_codes",
    "flatten",
    "gradient_of_filters",
    "gradient_of_images",
    "implementation",
    "keep_memory",
    "max_pool",
    "max_pool_backward",
    "max_pool_bits",
    "max_pool_bits_backward",
    "merge_rows",
    "normalize_sign",
    "ordered_gemm",
    "ordered_sum",
    "pack",
    "pack_with_mask",
    "part_of",
    "plane_conv",
    "plane_gemm",
    "prepare",
    "rank",
    "reshape",
    "round_gradient",
    "signed_gemm",
    "split_planes",
    "step_codes",
    "sum_pool",
    "threshold",
    "unpack",
    "update",
    "upsample",
    "using",
    "where",
    "words_for",
    "xnor_conv",
    "xnor_conv_sign",
    "xnor_gemm",
    "xnor_sign",
]
