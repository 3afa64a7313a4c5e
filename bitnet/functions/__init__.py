"""Operations on Tensors, each a class with `forward` and `backward` and a function to call."""

from bitnet.functions.activations import hardtanh, relu
from bitnet.functions.arithmetic import add, divide, multiply, negate, power, subtract
from bitnet.functions.convolution import conv2d, quantized_conv2d
from bitnet.functions.dropout import dropout
from bitnet.functions.embedding import embedding
from bitnet.functions.linear import linear, matmul, quantized_linear
from bitnet.functions.losses import cross_entropy, distillation, squared_hinge
from bitnet.functions.normalization import (
    batch_norm,
    batch_norm_sign,
    normalize,
    normalize_sign,
)
from bitnet.functions.pooling import avg_pool2d, flatten, max_pool2d
from bitnet.functions.quantizers import balance, quantize, sign, stochastic_sign, unpack
from bitnet.functions.recurrent import gru, lstm, rnn
from bitnet.functions.scaled import quantize_scaled, scaled_linear
from bitnet.functions.shapes import concatenate, mean, reshape, rows, sum, transpose
from bitnet.functions.shift_norm import ap2, shift_batch_norm

__all__ = [
    "add",
    "ap2",
    "avg_pool2d",
    "balance",
    "batch_norm",
    "batch_norm_sign",
    "concatenate",
    "conv2d",
    "cross_entropy",
    "distillation",
    "divide",
    "dropout",
    "embedding",
    "flatten",
    "gru",
    "hardtanh",
    "linear",
    "lstm",
    "matmul",
    "max_pool2d",
    "mean",
    "multiply",
    "negate",
    "normalize",
    "normalize_sign",
    "power",
    "quantize",
    "quantize_scaled",
    "quantized_conv2d",
    "quantized_linear",
    "relu",
    "reshape",
    "rnn",
    "rows",
    "scaled_linear",
    "shift_batch_norm",
    "sign",
    "squared_hinge",
    "stochastic_sign",
    "subtract",
    "sum",
    "transpose",
    "unpack",
]
