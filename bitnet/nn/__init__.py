"""Layers: parameters and state around the operations of `nn.functional`."""

from bitnet.nn import functional, models
from bitnet.nn.activations import Quantize, ReLU, Sign
from bitnet.nn.branches import Branches, WithHeads
from bitnet.nn.conv import AvgPool2d, BinaryConv2d, Conv2d, Flatten, MaxPool2d, QuantConv2d
from bitnet.nn.embedding import Embedding, ScaledLinear
from bitnet.nn.linear import BatchNorm, BinaryLinear, Dropout, Linear, QuantLinear
from bitnet.nn.module import Module, Sequential
from bitnet.nn.norm import ShiftBatchNorm
from bitnet.nn.recurrent import GRU, LSTM, RNN, detach
