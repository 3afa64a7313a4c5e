"""Neural networks with 1-bit and low-bit weights and activations, in training and in inference.

Importing this package imports nothing; a subpackage is imported when it is first used.

kernels     arithmetic on packed ±1 arrays: `Bits`, packing, XNOR-popcount products
quantizers  numbers to codes of 1 to 8 bits, each with its surrogate
autograd    `Tensor`, `Parameter`, and `check_gradient`
nn          layers (`BinaryLinear`, `BatchNorm`, ...), `nn.functional`, `nn.models`
optim       `SGD`, `Adam`, `AdaMax`, `ShiftAdaMax`, `Bop`, and `optim.schedules`
data        data set readers, batches, image `Preparation`, text `Vocabulary`
deploy      frozen nets: bits and integer thresholds, and their file
export      frozen nets as C, and as one file of Python
training    `fit`, checkpoints, metrics, language models
analysis    what a net costs and looks like: `summary`, energy, operations, `analysis.plots`
cli         the command line, `bitnet VERB`
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

ROOMS = "analysis autograd cli data deploy export kernels nn optim quantizers training"


def lazily(room, places, submodules=""):
    """Return `__getattr__`, `__dir__` and `__all__` of a package that imports on first use.

    `places` maps each module to the names that the package offers from it, in one string.
    """
    place_of = {name: module for module, names in places.items() for name in names.split()}
    modules = submodules.split()
    offered = sorted([*place_of, *modules])

    def __getattr__(name):  # noqa: N807
        if name in modules:
            return importlib.import_module(f"{room}.{name}")
        if name not in place_of:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(place_of[name]), name)
        setattr(sys.modules[room], name, value)
        return value

    def __dir__():  # noqa: N807
        return sorted({*vars(sys.modules[room]), *offered})

    return __getattr__, __dir__, offered


if TYPE_CHECKING:
    from bitnet import analysis as analysis
    from bitnet import autograd as autograd
    from bitnet import cli as cli
    from bitnet import data as data
    from bitnet import deploy as deploy
    from bitnet import export as export
    from bitnet import kernels as kernels
    from bitnet import nn as nn
    from bitnet import optim as optim
    from bitnet import quantizers as quantizers
    from bitnet import training as training
    from bitnet.analysis.report import summary as summary
    from bitnet.autograd.tensor import Function as Function
    from bitnet.autograd.tensor import no_grad as no_grad
    from bitnet.data.datasets import load_dataset as load_dataset
    from bitnet.deploy.compare import compare as compare
    from bitnet.deploy.freeze import freeze as freeze
    from bitnet.devices import set_num_threads as set_num_threads
    from bitnet.devices import show_versions as show_versions
    from bitnet.devices import to_cpu as to_cpu
    from bitnet.devices import to_gpu as to_gpu
    from bitnet.errors import InputError as InputError
    from bitnet.nn.functional.methods import Tensor as Tensor
    from bitnet.training.files import load as load

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "bitnet.analysis.report": "summary",
        "bitnet.autograd.tensor": "Function no_grad",
        "bitnet.data.datasets": "load_dataset",
        "bitnet.deploy.compare": "compare",
        "bitnet.deploy.freeze": "freeze",
        "bitnet.devices": "set_num_threads show_versions to_cpu to_gpu",
        "bitnet.errors": "InputError",
        "bitnet.nn.functional.methods": "Tensor",  # with its operators
        "bitnet.training.files": "load",
    },
    submodules=ROOMS,
)
