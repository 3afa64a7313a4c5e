"""Tests of re-estimation: the statistics are means over batches, and nothing else changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

import bitnet
from bitnet import InputError
from bitnet.nn import BatchNorm, Dropout, Linear, ReLU, Sequential
from bitnet.nn.models.feedforward import binary_mlp
from bitnet.nn.shift import NORMS
from bitnet.training.reestimation import norms_of, reestimate

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 36), np.uint8)
LABELS = RNG.integers(0, 3, 60)


def some_batches(n=4, count=15):
    return [IMAGES[i * count : (i + 1) * count] for i in range(n)]


def statistics_by_hand(model, batches):
    """Compute the means layer by layer in evaluation mode with the statistics of each batch."""
    sums = [np.zeros((2, norm.num_features)) for norm in norms_of(model)]
    for x in batches:
        i = 0
        for layer in model.layers:
            if isinstance(layer, BatchNorm):
                z = x.data.astype(np.float64)
                mean, inv_std = z.mean(axis=0), 1 / np.sqrt(z.var(axis=0) + layer.eps)
                sums[i] += mean, inv_std
                scaled = (z - mean) * (layer.gamma.data * inv_std) + layer.beta.data
                x, i = scaled.astype(np.float32), i + 1
            elif not isinstance(layer, Dropout):
                x = bitnet.nn.functional.sign(x) if isinstance(layer, bitnet.nn.Sign) else layer(x)
    return [pair / len(batches) for pair in sums]


@given(st.integers(1, 4), seeds)
def test_they_are_the_means_of_the_batches(n, seed):
    rng = np.random.default_rng(seed)
    model = binary_mlp([36, 20, 3], rng=rng)
    assert reestimate(model, some_batches(n)) == n
    for norm, (mean, inv_std) in zip(
        norms_of(model), statistics_by_hand(model, some_batches(n)), strict=True
    ):
        assert np.allclose(norm.running_mean, mean, rtol=1e-5, atol=1e-3)
        assert np.allclose(norm.running_inv_std, inv_std, rtol=1e-4)


@pytest.mark.parametrize("norm", sorted(NORMS))
def test_one_batch_gives_its_own_statistics_to_the_last_bit(norm):
    nets = (binary_mlp([36, 3], rng=np.random.default_rng(0), norm=norm) for _ in range(2))
    first, second = nets
    reestimate(first, some_batches(1))
    first_norm, second_norm = norms_of(first)[0], norms_of(second)[0]
    second_norm.running_mean[:] = second_norm.running_inv_std[:] = 0
    second_norm.momentum = 1.0
    second(IMAGES[:15])
    assert np.array_equal(first_norm.running_mean, second_norm.running_mean)
    assert np.array_equal(first_norm.running_inv_std, second_norm.running_inv_std)
    assert bitnet.compare(first, bitnet.freeze(first), IMAGES).is_complete


def test_nothing_else_changes():
    rng = np.random.default_rng(0)
    model = binary_mlp([36, 20, 20, 3], rng=rng, dropout=(0.2, 0.5), stochastic=True)
    adam = bitnet.optim.Adam(model.parameters(), 1e-2)
    for _ in range(3):
        adam.zero_grad()
        bitnet.nn.functional.squared_hinge(model(IMAGES), LABELS).backward()
        adam.step()
    model.layers[3].eval()
    before, state, modes = model.state_dict(), rng.bit_generator.state, modes_of(model)
    signs = [p.has_signs for p in model.parameters()]
    reestimate(model, [(IMAGES[:30], LABELS[:30]), (IMAGES[30:], LABELS[30:])])
    assert rng.bit_generator.state == state
    assert modes_of(model) == modes
    assert [p.has_signs for p in model.parameters()] == signs
    for name, array in model.state_dict().items():
        assert np.array_equal(array, before[name]) != ("running" in name), name
    assert {norm.momentum for norm in norms_of(model)} == {0.1}


def modes_of(model):
    return [module.training for module in model.modules()]


def test_order_of_the_batches_does_not_matter_and_arrays_stay():
    model = binary_mlp([36, 20, 3], rng=np.random.default_rng(0))
    arrays = [norm.running_mean for norm in norms_of(model)]
    reestimate(model, some_batches())
    first = model.state_dict()
    reestimate(model, some_batches()[::-1])
    for name, array in model.state_dict().items():
        assert np.allclose(array, first[name], rtol=1e-6)
    assert all(a is n.running_mean for a, n in zip(arrays, norms_of(model), strict=True))


def test_a_float_twin_with_inputs_of_its_own():
    model = Sequential(Linear(36, 4, rng=RNG), BatchNorm(4), ReLU())
    reestimate(model, [IMAGES], lambda x: x.astype(np.float32) / 255)
    z = model.layers[0](IMAGES.astype(np.float32) / 255).data
    assert np.allclose(model.layers[1].running_mean, z.mean(axis=0), atol=1e-6)


def test_a_frozen_net_has_the_new_statistics():
    model = binary_mlp([36, 20, 3], rng=np.random.default_rng(0))
    old = bitnet.freeze(model)
    reestimate(model, some_batches())
    net = bitnet.freeze(model)
    assert not np.array_equal(old.layers[0].thresholds, net.layers[0].thresholds)
    assert bitnet.compare(model, net, IMAGES).is_complete


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "0 batches"),
        ([IMAGES[:15], IMAGES[:1]], "2 rows"),
        ([IMAGES[:15], IMAGES[:15, :7]], "expected"),
    ],
)
def test_a_failure_leaves_the_model_as_it_was(batches, message):
    model = binary_mlp([36, 20, 3], rng=np.random.default_rng(0))
    before = model.state_dict()
    with pytest.raises(InputError, match=message):
        reestimate(model, batches)
    state = model.state_dict()
    assert all(np.array_equal(state[name], before[name]) for name in before)
    assert model.training
    assert {norm.momentum for norm in norms_of(model)} == {0.1}


@pytest.mark.parametrize("model", [Sequential(ReLU()), None, 5])
def test_what_has_no_norms_is_refused(model):
    with pytest.raises(InputError, match="BatchNorm"):
        reestimate(model, some_batches())
