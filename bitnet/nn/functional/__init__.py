"""Operations on Tensors: each has a class with `forward` and `backward`, and a function to call.

Each function raises InputError if types or shapes do not fit, or a setting is out of range.
"""

from bitnet.nn.functional import methods
from bitnet.nn.functional.activations import hardtanh, prelu, relu
from bitnet.nn.functional.conv import conv2d, quantized_conv2d
from bitnet.nn.functional.distillation import distillation
from bitnet.nn.functional.dropout import dropout
from bitnet.nn.functional.embedding import embedding
from bitnet.nn.functional.fused import batch_norm_sign, normalize_sign
from bitnet.nn.functional.linear import linear, quantized_linear
from bitnet.nn.functional.losses import cross_entropy, squared_hinge
from bitnet.nn.functional.mixed import mixed_conv2d, mixed_linear
from bitnet.nn.functional.multilabel import binary_cross_entropy
from bitnet.nn.functional.norm import batch_norm, normalize
from bitnet.nn.functional.pixels import pixel_planes
from bitnet.nn.functional.pooling import avg_pool2d, flatten, max_pool2d
from bitnet.nn.functional.recurrent import gru, lstm, rnn
from bitnet.nn.functional.regression import huber, squared_error
from bitnet.nn.functional.resizing import global_avg_pool, upsample
from bitnet.nn.functional.scaled import quantize_scaled, scaled_linear
from bitnet.nn.functional.selection import argmax, clip, maximum, minimum, where
from bitnet.nn.functional.shapes import concatenate, reshape
from bitnet.nn.functional.shift import ap2, shift_batch_norm
from bitnet.nn.functional.statistics import log_softmax, softmax, stack
from bitnet.nn.functional.ste import balance, quantize, sign, stochastic_sign, unpack

__all__ = [
    "ap2",
    "argmax",
    "avg_pool2d",
    "balance",
    "batch_norm",
    "batch_norm_sign",
    "binary_cross_entropy",
    "clip",
    "concatenate",
    "conv2d",
    "cross_entropy",
    "distillation",
    "dropout",
    "embedding",
    "flatten",
    "global_avg_pool",
    "gru",
    "hardtanh",
    "huber",
    "linear",
    "log_softmax",
    "lstm",
    "max_pool2d",
    "maximum",
    "minimum",
    "mixed_conv2d",
    "mixed_linear",
    "normalize",
    "normalize_sign",
    "pixel_planes",
    "prelu",
    "quantize",
    "quantize_scaled",
    "quantized_conv2d",
    "quantized_linear",
    "relu",
    "reshape",
    "rnn",
    "scaled_linear",
    "shift_batch_norm",
    "sign",
    "softmax",
    "squared_error",
    "squared_hinge",
    "stack",
    "stochastic_sign",
    "unpack",
    "upsample",
    "where",
]
