"""Arithmetic on bits: arrays in, arrays out.

Each function checks its arguments once, says what it computes, and calls the fastest
implementation that is there.  `reference` is the definition; every other implementation
returns the same integers.  B rows of a batch, N inputs, M outputs, K words in a row.
"""

from bitnet.kernels import groups
from bitnet.kernels.bits import WORD_BITS, Bits, Planes, words_for
from bitnet.kernels.cells import (
    GATES,
    add_rows,
    affine,
    gru_back,
    gru_step,
    lstm_back,
    lstm_step,
    rnn_back,
    rnn_step,
)
from bitnet.kernels.codes import edge_codes, step_codes
from bitnet.kernels.convolution import plane_conv, xnor_conv, xnor_conv_sign
from bitnet.kernels.dispatch import implementation, using
from bitnet.kernels.gradients import gradient_of_filters, gradient_of_images
from bitnet.kernels.levels import Levels, rank
from bitnet.kernels.memory import keep_memory
from bitnet.kernels.operands import Quantized, Rounding, Thresholds
from bitnet.kernels.packing import (
    concatenate,
    count_flips,
    flatten,
    pack,
    pack_with_mask,
    split_planes,
    threshold,
    transpose,
    unpack,
    where,
)
from bitnet.kernels.pooling import (
    add_patches,
    max_pool,
    max_pool_backward,
    max_pool_bits,
    max_pool_bits_backward,
)
from bitnet.kernels.products import Product, plane_gemm, prepare, signed_gemm, xnor_gemm, xnor_sign
from bitnet.kernels.shifts import ap2
from bitnet.kernels.threads import num_threads, set_num_threads
from bitnet.kernels.training import (
    batch_norm_backward,
    column_sums,
    normalize_sign,
    quantize,
    update,
)
from bitnet.kernels.window import Window

__all__ = [
    "GATES",
    "WORD_BITS",
    "Bits",
    "Levels",
    "Planes",
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
    "column_sums",
    "concatenate",
    "count_flips",
    "edge_codes",
    "flatten",
    "gradient_of_filters",
    "gradient_of_images",
    "groups",
    "gru_back",
    "gru_step",
    "implementation",
    "keep_memory",
    "lstm_back",
    "lstm_step",
    "max_pool",
    "max_pool_backward",
    "max_pool_bits",
    "max_pool_bits_backward",
    "normalize_sign",
    "num_threads",
    "pack",
    "pack_with_mask",
    "plane_conv",
    "plane_gemm",
    "prepare",
    "quantize",
    "rank",
    "rnn_back",
    "rnn_step",
    "set_num_threads",
    "signed_gemm",
    "split_planes",
    "step_codes",
    "threshold",
    "transpose",
    "unpack",
    "update",
    "using",
    "where",
    "words_for",
    "xnor_conv",
    "xnor_conv_sign",
    "xnor_gemm",
    "xnor_sign",
]
