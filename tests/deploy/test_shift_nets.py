"""Frozen nets of shift-based batch norm: equal to the trained ones, with powers of two."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import disturb, seeds, some_widths

import bitnet
from bitnet.nn import ShiftBatchNorm
from bitnet.nn.models.feedforward import binary_convnet, binary_mlp

VARIANTS = pytest.mark.parametrize("norm", ["shift", "shift-code"])


@VARIANTS
@settings(max_examples=30)
@given(sizes=st.lists(some_widths, min_size=2, max_size=4), seed=seeds)
def test_random_nets(norm, sizes, seed):
    rng = np.random.default_rng(seed)
    model = disturb(binary_mlp(sizes, rng=rng, norm=norm), seed)
    x = rng.integers(0, 256, (4, sizes[0]), dtype=np.uint8)
    net = bitnet.freeze(model)
    assert bitnet.compare(model, net, x).is_complete
    assert set(abs(np.frexp(net.layers[-1].affine.scale)[0])) <= {0.0, 0.5}


@VARIANTS
def test_a_convnet_after_training(norm):
    rng = np.random.default_rng(0)
    model = binary_convnet((8, 8, 3), [(5, 4)], [7, 3], rng=rng, norm=norm)
    assert sum(isinstance(layer, ShiftBatchNorm) for layer in model.layers) == 4
    x, labels = rng.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8), rng.integers(0, 3, 30)
    optimizer = bitnet.optim.ShiftAdaMax(model.parameters(), 2**-6, "code")
    for _ in range(5):
        optimizer.zero_grad()
        bitnet.nn.functional.squared_hinge(model(x), labels).backward()
        optimizer.step()
    assert bitnet.compare(model, bitnet.freeze(model), x).is_complete
