"""The papers' networks, the names of nets, and what a net takes."""

from bitnet.nn.models.feedforward import (
    CIFAR10,
    MNIST_THEANO,
    MNIST_TORCH,
    SVHN,
    binary_convnet,
    binary_mlp,
    float_convnet,
    float_mlp,
)
from bitnet.nn.models.imagenet import alexnet, googlenet
from bitnet.nn.models.inputs import takes_of
from bitnet.nn.models.language import LanguageModel, language_model
from bitnet.nn.models.names import net_named

__all__ = [
    "CIFAR10",
    "MNIST_THEANO",
    "MNIST_TORCH",
    "SVHN",
    "LanguageModel",
    "alexnet",
    "binary_convnet",
    "binary_mlp",
    "float_convnet",
    "float_mlp",
    "googlenet",
    "language_model",
    "net_named",
    "takes_of",
]
