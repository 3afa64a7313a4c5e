"""The kernels in Numba for processors, with the names and the results of `reference`.

Importing this package imports Numba; `bitnet.kernels` does so at the first kernel call.  A module
of kernels is imported when one of them is first used.
"""

import importlib

from bitnet.kernels.cpu.jit import level, level_reason, using_level

KERNELS = {
    "cells": "add_rows affine gru_back gru_step lstm_back lstm_step rnn_back rnn_step",
    "conv": "xnor_conv xnor_conv_sign",
    "conv_backward": "gradient_of_filters gradient_of_images",
    "floats": "count_edges ordered_gemm",
    "norm": "batch_norm_backward column_moments normalize_sign",
    "pack": "concatenate pack pack_with_mask rank split_codes split_planes threshold transpose "
    "unpack where",
    "pool": "add_patches max_pool max_pool_backward max_pool_bits max_pool_bits_backward",
    "products": "plane_conv plane_gemm signed_gemm signed_rows",
    "rounding": "ap2 edge_codes powers round_gradient step_codes",
    "update": "update",
    "xnor": "prepare xnor_gemm xnor_sign",
}  # by module


def find(name):
    """Return the kernel of a name, or None if there is none."""
    module = next((m for m, names in KERNELS.items() if name in names.split()), None)
    return module and getattr(importlib.import_module(f"{__name__}.{module}"), name)
