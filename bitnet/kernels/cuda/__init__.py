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

from bitnet.kernels.dispatch import offered

KERNELS = {
    "conv": "plane_conv xnor_conv xnor_conv_sign",
    "conv_backward": "gradient_of_filters gradient_of_images",
    "launch": "RUNGS rung using_rung",
    "norm": "batch_norm_backward column_sums normalize_sign",
    "pack": "count_flips pack pack_with_mask rank split_codes split_planes threshold transpose "
    "unpack where",
    "products": "plane_gemm prepare signed_floats signed_gemm xnor_gemm xnor_sign",
    "rounding": "round_gradient",
    "update": "update",
}  # by module

globals().update(offered(__name__, KERNELS))
