"""Frozen nets of shift-based batch norm: equal to the trained ones, with powers of two."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import SMALLEST, disturb, seeds, some_widths

import bitnet
from bitnet.nn import BinaryLinear, Sequential, ShiftBatchNorm, Sign
from bitnet.nn.models.feedforward import binary_convnet, binary_mlp

RNG = np.random.default_rng(0)
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
    assert set(abs(np.frexp(net.layers[-1].scale)[0])) <= {0.0, 0.5}


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
    assert bitnet.compare(model, bitnet.freeze(model, image=(8, 8)), x).is_complete


@given(
    st.sampled_from([-3.0, -1.0, -SMALLEST, -0.0, 0.0, SMALLEST, 1.0, 0.1]),
    st.sampled_from([-2.0, -SMALLEST, -0.0, 0.0, SMALLEST, 0.7]),
    st.sampled_from([-3.5, -1.0, 0.0, 1e-6, 2.0, 1e9]),
    st.sampled_from([1e-6, 0.25, 1.0, 1 / 3, 100.0]),
)
def test_thresholds_at_every_z(gamma, beta, mean, inv_std):
    norm = ShiftBatchNorm(1).eval()
    norm.gamma.data[:], norm.beta.data[:] = gamma, beta
    norm.running_mean[:], norm.running_inv_std[:] = mean, inv_std
    hidden = BinaryLinear(70, 1, rng=RNG), norm, Sign()
    model = Sequential(*hidden, BinaryLinear(1, 1, rng=RNG), ShiftBatchNorm(1))
    z = np.arange(-70, 71, dtype=np.int32)[:, None]
    frozen = bitnet.freeze(model, "signs").layers[0].outputs(z)
    norm.eval()
    assert frozen.equals(Sign()(norm(z)).data)


def test_a_table_of_its_layers():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0), norm="shift")
    plain = bitnet.summary(binary_mlp([20, 16, 3], rng=np.random.default_rng(0)))
    table = bitnet.summary(model)
    assert table.file_bytes == plain.file_bytes
    assert [row.n_bytes for row in table.rows] == [row.n_bytes for row in plain.rows]
    assert [row.floats for row in table.rows] == [row.floats for row in plain.rows]
