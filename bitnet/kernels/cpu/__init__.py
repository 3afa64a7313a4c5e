"""The kernels in Numba, for processors: the same names and the same integers as `reference`.

Importing this package imports Numba; `bitnet.kernels` does so at the first kernel call.
"""

from bitnet.kernels.cpu.pack import (
    pack,
    pack_mask,
    split_planes,
    threshold,
    unpack,
    where,
)
from bitnet.kernels.cpu.products import plane_gemm, signed_gemm, xnor_gemm
from bitnet.kernels.reference import count_flips

__all__ = [
    "count_flips",
    "pack",
    "pack_mask",
    "plane_gemm",
    "signed_gemm",
    "split_planes",
    "threshold",
    "unpack",
    "where",
    "xnor_gemm",
]
