"""The papers' networks: so far the MLP, binary or in float."""

import itertools

from bitnet.errors import InputError
from bitnet.layers import BatchNorm, BinaryLinear, Dropout, Linear, ReLU, Sign
from bitnet.module import Sequential

__all__ = ["binary_mlp", "float_mlp"]


def binary_mlp(sizes, rng, step_scale=1.0, dropout=(0.0, 0.0), stochastic=False, **gradient):
    """A multilayer perceptron with binary weights and activations in all layers.

    Each layer is BinaryLinear, then batch norm, then, but for the last, the sign; section
    2 of the papers has three hidden layers of 4096 (Theano) or 2048 (Torch) units.

    Parameters
    ----------
    sizes : sequence of int
        The widths of the input, of the hidden layers and of the output.
    rng : numpy.random.Generator
        The source of the first weights, of dropout and of stochastic signs.
    step_scale : float, optional
        What the learning rate is multiplied with for gamma and beta.
    dropout : pair of float, optional
        The probability of dropping an input, and a hidden activation; (0.2, 0.5) in the
        papers' MNIST settings.
    stochastic : bool, optional
        Draw the activations in training, as in the papers' Torch experiments.
    **gradient : str
        The arguments `gradient` and `rounding` of each BinaryLinear.

    Returns
    -------
    Sequential
        Takes uint8 pixels of shape (B, sizes[0]) or Bits.

    Raises
    ------
    InputError
        If there are fewer than two sizes or one is not 1 or more.

    Examples
    --------
    >>> import numpy as np
    >>> binary_mlp([784, 512, 10], np.random.default_rng(0)).layers[:3]
    [BinaryLinear(784, 512), BatchNorm(512), Sign()]
    """
    pairs = _pairs("binary_mlp", sizes)
    if len(dropout) != 2:
        raise InputError(f"binary_mlp: dropout is {dropout!r}; expected two probabilities")
    layers = []
    for i, (inputs, outputs) in enumerate(pairs):
        if p := dropout[min(i, 1)]:
            layers.append(Dropout(p, rng))
        layers.append(BinaryLinear(inputs, outputs, rng, **gradient))
        layers.append(BatchNorm(outputs, step_scale=step_scale))
        if i < len(pairs) - 1:
            layers.append(Sign(stochastic=stochastic, rng=rng))
    return Sequential(*layers)


def float_mlp(sizes, rng):
    """The float twin of `binary_mlp`: the same sizes in float32 with rectifiers.

    Parameters
    ----------
    sizes : sequence of int
        The widths of the input, of the hidden layers and of the output.
    rng : numpy.random.Generator
        The source of the first weights.

    Returns
    -------
    Sequential
        Takes float32 of shape (B, sizes[0]).

    Raises
    ------
    InputError
        If there are fewer than two sizes or one is not 1 or more.

    Examples
    --------
    >>> import numpy as np
    >>> len(float_mlp([784, 512, 10], np.random.default_rng(0)).layers)
    5
    """
    pairs = _pairs("float_mlp", sizes)
    layers = []
    for i, (inputs, outputs) in enumerate(pairs):
        layers += [Linear(inputs, outputs, rng), BatchNorm(outputs)]
        if i < len(pairs) - 1:
            layers.append(ReLU())
    return Sequential(*layers)


def _pairs(name, sizes):
    """The (inputs, outputs) of each layer."""
    if len(sizes) < 2:
        raise InputError(f"{name}: sizes are {list(sizes)}; expected at least input and output")
    return list(itertools.pairwise(sizes))
