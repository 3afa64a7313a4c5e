"""The kernels in Numba CUDA for one GPU, with the names and the integers of `reference`.

Arguments are CuPy arrays, or objects that hold them; in Numba's simulator they are NumPy arrays.
A kernel that is missing here runs as its `reference` in CuPy: `bitnet.kernels.dispatch` looks in
both.  Importing this package imports Numba, and needs no GPU.

    launch, instructions   launches of kernels; instructions that Numba does not offer
    pack                   conversions between numbers and bits
    xnor, tensor           products of bits on several rungs; the rung of the tensor cores
    products               operands of `xnor`, and products with floats and integers
    conv, conv_backward    convolutions and their gradients
    norm, rounding         batch norm with its sign; quantized gradients
    floats                 products with a fixed order of summation
    update                 a step of an optimizer
"""

import importlib

KERNELS = {
    "conv": "plane_conv xnor_conv xnor_conv_sign",
    "conv_backward": "gradient_of_filters gradient_of_images",
    "floats": "ordered_gemm",
    "launch": "RUNGS rung using_rung",
    "norm": "batch_norm_backward column_moments normalize_sign",
    "pack": "count_flips pack pack_with_mask rank split_codes split_planes threshold transpose "
    "unpack where",
    "products": "plane_gemm prepare signed_floats signed_gemm xnor_gemm xnor_sign",
    "rounding": "round_gradient",
    "update": "update",
}  # by module

for _module, _names in KERNELS.items():
    _own = importlib.import_module(f"{__name__}.{_module}")
    globals().update({name: getattr(_own, name) for name in _names.split()})

find = globals().get  # the kernel of a name, or None
