"""Operations on Tensors, each a class with `forward` and `backward` and a function to call."""

from bitnet.nn.functional.activations import hardtanh, relu
from bitnet.nn.functional.arithmetic import add, divide, multiply, negate, power, subtract
from bitnet.nn.functional.convolution import conv2d, quantized_conv2d
from bitnet.nn.functional.dropout import dropout
from bitnet.nn.functional.embedding import embedding
from bitnet.nn.functional.linear import linear, matmul, quantized_linear
from bitnet.nn.functional.losses import cross_entropy, distillation, squared_hinge
from bitnet.nn.functional.normalization import (
    batch_norm,
    batch_norm_sign,
    normalize,
    normalize_sign,
)
from bitnet.nn.functional.pooling import avg_pool2d, flatten, max_pool2d
from bitnet.nn.functional.quantizers import balance, quantize, sign, stochastic_sign, unpack
from bitnet.nn.functional.recurrent import gru, lstm, rnn
from bitnet.nn.functional.scaled import quantize_scaled, scaled_linear
from bitnet.nn.functional.shapes import concatenate, mean, reshape, rows, sum, transpose
from bitnet.nn.functional.shift_norm import ap2, shift_batch_norm
