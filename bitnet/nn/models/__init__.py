"""The papers' networks, the names of nets, and what a net takes."""

from bitnet.nn.models.autoencoder import Autoencoder, autoencoder
from bitnet.nn.models.binarydense import binarydense
from bitnet.nn.models.binaryduo import binaryduo, decouple
from bitnet.nn.models.bireal import bireal
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
from bitnet.nn.models.keyword import keyword
from bitnet.nn.models.language import LanguageModel, language_model
from bitnet.nn.models.names import net_named
from bitnet.nn.models.quicknet import quicknet
from bitnet.nn.models.reactnet import reactnet
from bitnet.nn.models.sequences import SequenceClassifier, padded, sequence_classifier
from bitnet.nn.models.xnornet import xnornet

__all__ = [
    "CIFAR10",
    "MNIST_THEANO",
    "MNIST_TORCH",
    "SVHN",
    "Autoencoder",
    "LanguageModel",
    "SequenceClassifier",
    "alexnet",
    "autoencoder",
    "binary_convnet",
    "binary_mlp",
    "binarydense",
    "binaryduo",
    "bireal",
    "decouple",
    "float_convnet",
    "float_mlp",
    "googlenet",
    "keyword",
    "language_model",
    "net_named",
    "padded",
    "quicknet",
    "reactnet",
    "sequence_classifier",
    "takes_of",
    "xnornet",
]
