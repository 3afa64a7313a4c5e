"""The hand-written kernels for one GPU, in Numba CUDA: names and integers as in `reference`.

Arguments are CuPy's arrays, or what holds such; in Numba's simulator NumPy's.  What has no kernel
here runs as `reference` in CuPy's expressions: `bitnet.kernels.dispatch` looks in both.  Importing
this package imports Numba, and needs no GPU.

    launch, instructions   how a kernel gets to the GPU; what Numba has no name for
    pack                   numbers to bits and back
    xnor, tensor           products of bits, as a ladder of rungs; the rung of tensor cores
    products               operands of `xnor`, and what is multiplied with them
    conv, conv_backward    convolutions and their gradients
    norm, rounding         batch norm with its sign; quantized gradients
    update                 a step of an optimizer
"""

from bitnet.kernels.cuda.conv import plane_conv, xnor_conv, xnor_conv_sign
from bitnet.kernels.cuda.conv_backward import gradient_of_filters, gradient_of_images
from bitnet.kernels.cuda.launch import RUNGS, rung, using_rung
from bitnet.kernels.cuda.norm import batch_norm_backward, column_sums, normalize_sign
from bitnet.kernels.cuda.pack import (
    count_flips,
    pack,
    pack_with_mask,
    rank,
    split_codes,
    split_planes,
    threshold,
    transpose,
    unpack,
    where,
)
from bitnet.kernels.cuda.products import (
    plane_gemm,
    prepare,
    signed_floats,
    signed_gemm,
    signed_rows,
    xnor_gemm,
    xnor_sign,
)
from bitnet.kernels.cuda.rounding import quantize
from bitnet.kernels.cuda.update import update

__all__ = [
    "RUNGS",
    "batch_norm_backward",
    "column_sums",
    "count_flips",
    "gradient_of_filters",
    "gradient_of_images",
    "normalize_sign",
    "pack",
    "pack_with_mask",
    "plane_conv",
    "plane_gemm",
    "prepare",
    "quantize",
    "rank",
    "rung",
    "signed_floats",
    "signed_gemm",
    "signed_rows",
    "split_codes",
    "split_planes",
    "threshold",
    "transpose",
    "unpack",
    "update",
    "using_rung",
    "where",
    "xnor_conv",
    "xnor_conv_sign",
    "xnor_gemm",
    "xnor_sign",
]
