"""Layers, which hold the parameters and state of the operations in `nn.functional`.

Each layer raises InputError if a size or setting is out of range, or an input does not fit.
"""

from bitnet.nn import functional, models
from bitnet.nn.activations import Quantize, ReLU, Sign
from bitnet.nn.containers import Branches, Sequential, WithHeads, auxiliary
from bitnet.nn.conv import AvgPool2d, BinaryConv2d, Conv2d, Flatten, MaxPool2d, QuantConv2d
from bitnet.nn.dropout import Dropout
from bitnet.nn.elementwise import HardTanh, PReLU, Scale, Shift
from bitnet.nn.embedding import Embedding
from bitnet.nn.linear import BinaryLinear, Linear, QuantLinear, ScaledLinear
from bitnet.nn.module import Module
from bitnet.nn.norm import BatchNorm
from bitnet.nn.pixels import PixelPlanes, ScalePixels
from bitnet.nn.quantized import IntegerLayer, QuantizedLayer
from bitnet.nn.recurrent import GRU, LSTM, RNN, detach
from bitnet.nn.shift import ShiftBatchNorm
from bitnet.nn.standardize import Rescale, Standardize

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool2d",
    "BatchNorm",
    "BinaryConv2d",
    "BinaryLinear",
    "Branches",
    "Conv2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "HardTanh",
    "IntegerLayer",
    "Linear",
    "MaxPool2d",
    "Module",
    "PReLU",
    "PixelPlanes",
    "QuantConv2d",
    "QuantLinear",
    "Quantize",
    "QuantizedLayer",
    "ReLU",
    "Rescale",
    "Scale",
    "ScalePixels",
    "ScaledLinear",
    "Sequential",
    "Shift",
    "ShiftBatchNorm",
    "Sign",
    "Standardize",
    "WithHeads",
    "auxiliary",
    "detach",
    "functional",
    "models",
]
