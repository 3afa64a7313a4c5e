"""The papers' networks: layers, widths, and the settings that reach them."""

import numpy as np
import pytest

from bitnet import BatchNorm, BinaryLinear, Dropout, InputError, Linear, ReLU, Sign
from bitnet.models import binary_mlp, float_mlp

RNG = np.random.default_rng(0)


def test_the_layers_of_a_binary_mlp():
    model = binary_mlp([784, 30, 20, 10], RNG, step_scale=10)
    assert [type(layer) for layer in model.layers] == 2 * [BinaryLinear, BatchNorm, Sign] + [
        BinaryLinear, BatchNorm]  # fmt: skip
    norms = [layer for layer in model.layers if isinstance(layer, BatchNorm)]
    assert [norm.features for norm in norms] == [30, 20, 10]
    assert all(p.step_scale == 10 for norm in norms for p in norm.parameters())


def test_the_papers_parameter_counts():
    """Binary weights of the MNIST nets: 36 806 656 (3 x 4096) and 10 014 720 (3 x 2048)."""
    for hidden, count in ((4096, 36_806_656), (2048, 10_014_720)):
        model = binary_mlp([784, hidden, hidden, hidden, 10], RNG)
        assert sum(p.size for p in model.parameters() if p.ndim == 2) == count


def test_dropout_before_each_binary_layer():
    model = binary_mlp([784, 30, 20, 10], RNG, dropout=(0.2, 0.5))
    assert [layer.p for layer in model.layers if isinstance(layer, Dropout)] == [0.2, 0.5, 0.5]
    assert isinstance(model[0], Dropout)
    assert isinstance(binary_mlp([784, 30, 10], RNG, dropout=(0, 0.5))[0], BinaryLinear)


def test_stochastic_signs():
    model = binary_mlp([784, 30, 10], RNG, stochastic=True)
    assert [layer.stochastic for layer in model.layers if isinstance(layer, Sign)] == [True]
    assert model[2].rng is RNG


def test_the_layers_of_the_float_twin():
    model = float_mlp([784, 30, 20, 10], RNG)
    assert [type(layer) for layer in model.layers] == 2 * [Linear, BatchNorm, ReLU] + [
        Linear, BatchNorm]  # fmt: skip
    assert all(p.step_scale == 1 and p.bound is None for p in model.parameters())


@pytest.mark.parametrize(
    "call",
    [
        lambda: binary_mlp([784], RNG),
        lambda: binary_mlp([784, 0, 10], RNG),
        lambda: binary_mlp([784, 30, 10], RNG, dropout=(0.2,)),
        lambda: binary_mlp([784, 30, 10], RNG, dropout=(0.2, 1.0)),
        lambda: float_mlp([], RNG),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call()
