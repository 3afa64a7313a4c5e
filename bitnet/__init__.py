"""Networks of bits: weights and activations of one bit or a few, in training, frozen, in files.

Importing this package imports NumPy and nothing else.  In reading order:

kernels     arithmetic on packed ±1 arrays: `Bits`, packing, XNOR-popcount products
Tensor      values, operations and gradients; `functions` are the operations
quantizers  numbers to codes of 1 to 8 bits, each with its surrogate
layers      `BinaryLinear`, `QuantLinear`, `BatchNorm`, `Quantize`, ...; `Sequential`, `models`
            `RNN`, `LSTM`, `GRU`, `Embedding`, of floats or of a few bits; `language_model`
to_gpu      arrays and Tensors in the memory of a GPU, `to_cpu` in the processor's; of a model,
            `model.to("gpu")`
optimizers  `SGD`, `Adam`, `AdaMax`, `ShiftAdaMax`, `Bop` with clipping and step scales; `schedules`
data        IDX files, the embedded digits, batches; texts and their `Vocabulary`
language    the training of language models, their measures, and the texts that they write
freeze      a trained model as bits and integer thresholds; `load` reads it from its file
            `freeze_language_model` does it for language models
"""

import numpy as _numpy

if int(_numpy.__version__.partition(".")[0]) < 2:
    raise ImportError(f"bitnet needs NumPy 2.0 or newer; this is NumPy {_numpy.__version__}")

from bitnet import functions, kernels, language, models, quantizers, schedules
from bitnet.activations import Quantize, ReLU, Sign
from bitnet.backend import set_num_threads, status, to_cpu, to_gpu
from bitnet.bit_optimizers import Bop, ShiftAdaMax
from bitnet.checkpoint import load_checkpoint, save_checkpoint
from bitnet.command import run
from bitnet.data import Corpus, Dataset, batches, load_corpus, load_dataset, read_idx, scale_pixels
from bitnet.deploy.freeze import compare, freeze
from bitnet.deploy.freeze_language import freeze_language_model
from bitnet.deploy.recurrent import FrozenLanguageModel
from bitnet.deploy.runtime import FrozenNet
from bitnet.errors import InputError
from bitnet.gradcheck import check_gradient
from bitnet.image_layers import (
    AvgPool2d,
    BinaryConv2d,
    Conv2d,
    Flatten,
    MaxPool2d,
    QuantConv2d,
)
from bitnet.kernels import Bits
from bitnet.kernels.memory import keep_memory
from bitnet.language_models import language_model
from bitnet.layers import BatchNorm, BinaryLinear, Dropout, Linear, QuantLinear
from bitnet.module import Module, Sequential
from bitnet.norms import ShiftBatchNorm
from bitnet.opened import load
from bitnet.optimizers import SGD, Adam, AdaMax, clip_gradients
from bitnet.parameter import Parameter
from bitnet.recurrent_layers import GRU, LSTM, RNN, detach
from bitnet.reestimation import reestimate
from bitnet.scaled_layers import Embedding, ScaledLinear
from bitnet.summary import summarize
from bitnet.tensor import Function, Tensor, no_grad
from bitnet.train import (
    accuracy,
    evaluate,
    flip_ratio,
    images_per_second,
    predict,
    set_window,
    weight_bits,
)
from bitnet.vocabulary import Vocabulary

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "AdaMax",
    "Adam",
    "AvgPool2d",
    "BatchNorm",
    "BinaryConv2d",
    "BinaryLinear",
    "Bits",
    "Bop",
    "Conv2d",
    "Corpus",
    "Dataset",
    "Dropout",
    "Embedding",
    "Flatten",
    "FrozenLanguageModel",
    "FrozenNet",
    "Function",
    "InputError",
    "Linear",
    "MaxPool2d",
    "Module",
    "Parameter",
    "QuantConv2d",
    "QuantLinear",
    "Quantize",
    "ReLU",
    "ScaledLinear",
    "Sequential",
    "ShiftAdaMax",
    "ShiftBatchNorm",
    "Sign",
    "Tensor",
    "Vocabulary",
    "accuracy",
    "batches",
    "check_gradient",
    "clip_gradients",
    "compare",
    "detach",
    "evaluate",
    "flip_ratio",
    "freeze",
    "freeze_language_model",
    "functions",
    "images_per_second",
    "keep_memory",
    "kernels",
    "language",
    "language_model",
    "load",
    "load_checkpoint",
    "load_corpus",
    "load_dataset",
    "models",
    "no_grad",
    "predict",
    "quantizers",
    "read_idx",
    "reestimate",
    "run",
    "save_checkpoint",
    "scale_pixels",
    "schedules",
    "set_num_threads",
    "set_window",
    "status",
    "summarize",
    "to_cpu",
    "to_gpu",
    "weight_bits",
]
