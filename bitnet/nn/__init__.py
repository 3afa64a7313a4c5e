"""Layers, which hold the parameters and state of the operations in `nn.functional`.

Each layer raises InputError if a size or setting is out of range, or an input does not fit.
"""

from bitnet.nn import functional, models
from bitnet.nn.activations import Quantize, ReLU, Sign
from bitnet.nn.channel_scale import ChannelScale
from bitnet.nn.containers import Branches, Sequential, WithHeads, auxiliary
from bitnet.nn.conv import AvgPool2d, BinaryConv2d, Conv2d, Flatten, MaxPool2d, QuantConv2d
from bitnet.nn.conv1d import AvgPool1d, BinaryConv1d, Conv1d, MaxPool1d, QuantConv1d
from bitnet.nn.depthwise import DepthwiseConv2d
from bitnet.nn.dropout import Dropout
from bitnet.nn.elementwise import HardTanh, PReLU, Scale, Shift
from bitnet.nn.embedding import Embedding
from bitnet.nn.linear import BinaryLinear, Linear, QuantLinear, ScaledLinear
from bitnet.nn.module import Module
from bitnet.nn.norm import BatchNorm
from bitnet.nn.pixels import PixelPlanes, ScalePixels
from bitnet.nn.quantized import IntegerLayer, QuantizedLayer
from bitnet.nn.reactnet import RPReLU, RSign
from bitnet.nn.recurrent import GRU, LSTM, RNN, detach
from bitnet.nn.resizing import GlobalAvgPool, Upsample
from bitnet.nn.shift import ShiftBatchNorm
from bitnet.nn.shortcut import Shortcut
from bitnet.nn.standardize import Rescale, Standardize

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm",
    "BinaryConv1d",
    "BinaryConv2d",
    "BinaryLinear",
    "Branches",
    "ChannelScale",
    "Conv1d",
    "Conv2d",
    "DepthwiseConv2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAvgPool",
    "HardTanh",
    "IntegerLayer",
    "Linear",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "PReLU",
    "PixelPlanes",
    "QuantConv1d",
    "QuantConv2d",
    "QuantLinear",
    "Quantize",
    "QuantizedLayer",
    "RPReLU",
    "RSign",
    "ReLU",
    "Rescale",
    "Scale",
    "ScalePixels",
    "ScaledLinear",
    "Sequential",
    "Shift",
    "ShiftBatchNorm",
    "Shortcut",
    "Sign",
    "Standardize",
    "Upsample",
    "WithHeads",
    "auxiliary",
    "detach",
    "functional",
    "models",
]
