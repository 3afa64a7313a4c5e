"""The kernels in Numba, for processors: the same names and the same integers as `reference`.

Importing this package imports Numba; `bitnet.kernels` does so at the first kernel call.
"""

from bitnet.kernels.cpu.cells import (
    add_rows,
    affine,
    gru_back,
    gru_step,
    lstm_back,
    lstm_step,
    rnn_back,
    rnn_step,
)
from bitnet.kernels.cpu.codes import edge_codes, split_codes, step_codes
from bitnet.kernels.cpu.conv import xnor_conv, xnor_conv_sign
from bitnet.kernels.cpu.conv_backward import gradient_of_filters, gradient_of_images
from bitnet.kernels.cpu.jit import level, level_reason, using_level
from bitnet.kernels.cpu.pack import (
    concatenate,
    pack,
    pack_with_mask,
    rank,
    split_planes,
    threshold,
    transpose,
    unpack,
    where,
)
from bitnet.kernels.cpu.pool import (
    add_patches,
    max_pool,
    max_pool_backward,
    max_pool_bits,
    max_pool_bits_backward,
)
from bitnet.kernels.cpu.products import plane_conv, plane_gemm, signed_gemm, signed_rows
from bitnet.kernels.cpu.shifts import ap2
from bitnet.kernels.cpu.training import (
    batch_norm_backward,
    column_sums,
    normalize_sign,
    powers,
    quantize,
)
from bitnet.kernels.cpu.update import update
from bitnet.kernels.cpu.xnor import prepare, xnor_gemm, xnor_sign
from bitnet.kernels.reference import count_flips

__all__ = [
    "add_patches",
    "add_rows",
    "affine",
    "ap2",
    "batch_norm_backward",
    "column_sums",
    "concatenate",
    "count_flips",
    "edge_codes",
    "gradient_of_filters",
    "gradient_of_images",
    "gru_back",
    "gru_step",
    "level",
    "level_reason",
    "lstm_back",
    "lstm_step",
    "max_pool",
    "max_pool_backward",
    "max_pool_bits",
    "max_pool_bits_backward",
    "normalize_sign",
    "pack",
    "pack_with_mask",
    "plane_conv",
    "plane_gemm",
    "powers",
    "prepare",
    "quantize",
    "rank",
    "rnn_back",
    "rnn_step",
    "signed_gemm",
    "signed_rows",
    "split_codes",
    "split_planes",
    "step_codes",
    "threshold",
    "transpose",
    "unpack",
    "update",
    "using_level",
    "where",
    "xnor_conv",
    "xnor_conv_sign",
    "xnor_gemm",
    "xnor_sign",
]
