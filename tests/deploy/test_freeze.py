"""Frozen = trained: the same integers, scores and classes, for every net and every z."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import SMALLEST, disturb, rows, seeds, some_widths

import bitnet
from bitnet import InputError, kernels, nn
from bitnet.deploy.freeze import Agreement, find_thresholds
from bitnet.nn import BatchNorm, BinaryLinear, Dropout, ReLU, Sequential, Sign
from bitnet.nn.models.feedforward import binary_mlp

pytestmark = pytest.mark.usefixtures("implementation")

RNG = np.random.default_rng(0)


@settings(max_examples=40)
@given(st.lists(some_widths, min_size=2, max_size=4), rows, seeds, st.booleans())
def test_random_nets_on_pixels_and_on_signs(sizes, n_rows, seed, pixels):
    rng = np.random.default_rng(seed)
    model = disturb(binary_mlp(sizes, rng=rng), seed)
    if pixels:
        x = rng.integers(0, 256, (n_rows, sizes[0]), dtype=np.uint8)
    else:
        x = kernels.pack(rng.random((n_rows, sizes[0])) < 0.5)
    net = bitnet.freeze(model, "pixels" if pixels else "signs")
    model.eval()
    trained, y = [], x
    for layer in model.layers:
        y = layer(y)
        if isinstance(layer, BinaryLinear):
            trained.append(y.data)
    frozen = net.pre_activations(x)
    assert len(frozen) == len(trained)
    for a, b in zip(trained, frozen, strict=True):
        assert a.dtype == b.dtype == np.int32
        assert np.array_equal(a, b)
    assert np.array_equal(y.data, net.scores(x))
    assert np.array_equal(y.data.argmax(axis=1), net.predict(x))


@given(
    st.sampled_from([-3.0, -1.0, -SMALLEST, -0.0, 0.0, SMALLEST, 1.0, 0.1]),
    st.sampled_from([-2.0, -SMALLEST, -0.0, 0.0, SMALLEST, 0.7]),
    st.sampled_from([-3.5, -1.0, 0.0, 1e-6, 2.0, 1e9]),
    st.sampled_from([1e-6, 0.25, 1.0, 1 / 3, 100.0]),
    st.integers(1, 130),
)
def test_thresholds_at_every_z(gamma, beta, mean, inv_std, n):
    """Every integer from -n to n, including ties with 0, for gamma > 0, < 0 and 0."""
    norm = BatchNorm(1).eval()
    norm.gamma.data[:], norm.beta.data[:] = gamma, beta
    norm.running_mean[:], norm.running_inv_std[:] = mean, inv_std
    model = Sequential(
        BinaryLinear(n, 1, rng=RNG), norm, Sign(), BinaryLinear(1, 1, rng=RNG), BatchNorm(1)
    )
    layer = bitnet.freeze(model, "signs").layers[0]
    z = np.arange(-n, n + 1, dtype=np.int32)[:, None]
    norm.eval()
    assert layer.outputs(z).equals(Sign()(norm(z)).data)


@given(st.integers(1, 300), st.data())
def test_find_thresholds_finds_any_step(largest, data):
    step = data.draw(st.integers(-largest - 1, largest + 1))
    z = np.arange(-largest, largest + 1, dtype=np.int32)
    for function in (lambda v: v >= step, lambda v: v <= step):
        threshold, increasing = find_thresholds(function, 1, largest)
        got = (
            kernels.threshold(z[:, None], kernels.Thresholds(threshold, increasing)).signs()[:, 0]
            > 0
        )
        assert np.array_equal(got, function(z))


def test_a_tie_is_plus_one_for_both_signs_of_gamma():
    for gamma, expected in ((1.0, [-1, 1, 1]), (-1.0, [1, 1, -1])):
        norm = BatchNorm(1)
        norm.gamma.data[:], norm.running_mean[:] = gamma, 2.0
        model = Sequential(
            BinaryLinear(4, 1, rng=RNG), norm, Sign(), BinaryLinear(1, 1, rng=RNG), BatchNorm(1)
        )
        layer = bitnet.freeze(model, "signs").layers[0]
        assert (layer.thresholds.tolist(), layer.increasing.tolist()) == ([2], [gamma > 0])
        z = np.array([[0], [2], [4]], np.int32)
        assert layer.outputs(z).signs().ravel().tolist() == expected


def test_after_training_with_dropout_and_stochastic_signs():
    rng = np.random.default_rng(0)
    model = binary_mlp([70, 65, 63, 5], rng=rng, dropout=(0.2, 0.5), stochastic=True)
    x, labels = rng.integers(0, 256, (64, 70), dtype=np.uint8), rng.integers(0, 5, 64)
    adam = bitnet.optim.Adam(model.parameters(), 1e-2)
    for _ in range(20):
        adam.zero_grad()
        bitnet.nn.functional.squared_hinge(model(x), labels).backward()
        adam.step()
    net = bitnet.freeze(model)
    agreement = bitnet.compare(model, net, x)
    assert (agreement.images, agreement.integers) == (64, 64 * (65 + 63 + 5))
    assert agreement.is_complete
    assert model.training  # as it was


def test_a_layer_that_comes_twice_is_frozen_and_compared_twice():
    rng, nn = np.random.default_rng(0), bitnet.nn
    first, shared = (nn.BinaryLinear(8, 8, rng=rng) for _ in range(2))
    norms = [nn.BatchNorm(8) for _ in range(3)]
    hidden = (first, norms[0], nn.Sign(), shared, norms[1], nn.Sign())
    model = nn.Sequential(*hidden, shared, norms[2])
    x = rng.integers(0, 256, (20, 8), dtype=np.uint8)
    model(x)
    agreement = bitnet.compare(model, bitnet.freeze(model), x)
    assert agreement.integers == 20 * 3 * 8
    assert agreement.is_complete


def test_training_on_does_not_change_what_is_frozen():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    x = np.random.default_rng(1).integers(0, 256, (9, 20), dtype=np.uint8)
    net = bitnet.freeze(model)
    before = net.scores(x)
    for array in dict(model._state()).values():
        array[...] = 2 * array + 3
    assert np.array_equal(net.scores(x), before)


def test_compare_counts_what_differs():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    other = bitnet.freeze(binary_mlp([20, 16, 3], rng=np.random.default_rng(1)))
    x = np.random.default_rng(1).integers(0, 256, (1001, 20), dtype=np.uint8)
    agreement = bitnet.compare(model, other, x)
    assert not agreement.is_complete
    assert (agreement.images, agreement.integers) == (1001, 1001 * 19)
    assert agreement.differing_classes > 0
    assert agreement.differing_scores > 0
    assert agreement.differing_integers > 1001


@pytest.mark.parametrize("place", [2, 3, 4])
def test_an_agreement_is_complete_only_without_any_difference(place):
    counts = [5, 50, 0, 0, 0]
    assert Agreement(*counts).is_complete
    counts[place] = 1
    assert not Agreement(*counts).is_complete


def test_compare_sees_scores_that_differ_though_the_classes_do_not():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    net = bitnet.freeze(model)
    x = np.random.default_rng(1).integers(0, 256, (9, 20), dtype=np.uint8)
    *hidden, output = net.layers
    output = dataclasses.replace(output, shift=output.shift + 1)
    net = bitnet.deploy.FrozenNet([*hidden, output])
    agreement = bitnet.compare(model, net, x)
    assert (agreement.differing_integers, agreement.differing_classes) == (0, 0)
    assert agreement.differing_scores == 27


def test_compare_takes_signs_as_numbers_and_refuses_other_nets():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    net = bitnet.freeze(model, "signs")
    assert bitnet.compare(model, net, RNG.choice([-1.0, 1.0], (7, 20))).is_complete
    with pytest.raises(InputError, match="expected the trained Sequential, then"):
        bitnet.compare(net, model, np.ones((2, 20)))
    with pytest.raises(InputError, match="differ in shape"):
        bitnet.compare(binary_mlp([20, 3], rng=RNG), net, np.ones((2, 20)))
    with pytest.raises(InputError, match="expected 1 or more"):
        bitnet.compare(model, net, np.ones((0, 20)))


def test_a_subclass_that_may_compute_something_else_is_not_frozen():
    class Doubled(BatchNorm):
        def forward(self, x):
            return super().forward(x) * 2

    with pytest.raises(InputError, match="expected BatchNorm"):
        bitnet.freeze(Sequential(BinaryLinear(4, 2, rng=RNG), Doubled(2)))


def test_a_model_that_begins_with_sign_is_frozen_for_signs():
    layers = binary_mlp([20, 16, 3], rng=np.random.default_rng(0)).layers
    model = Sequential(Dropout(0.1, rng=RNG), Sign(), *layers)
    x = RNG.standard_normal((40, 20)).astype(np.float32)
    bitnet.nn.functional.squared_hinge(model(x), RNG.integers(0, 3, 40)).backward()
    net = bitnet.freeze(model, "signs")
    assert bitnet.compare(model, net, kernels.pack(x)).is_complete
    assert bitnet.compare(model, net, np.where(x >= 0, 1, -1)).is_complete
    assert np.array_equal(net.predict(kernels.pack(x)), bitnet.training.predict(model, x))
    with pytest.raises(InputError, match=r"layers\.1 is Sign"):
        bitnet.freeze(model)


def test_every_module_has_its_own_mode_back():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    model.layers[1].eval()
    x = RNG.integers(0, 256, (9, 20), dtype=np.uint8)
    net = bitnet.freeze(model)
    bitnet.compare(model, net, x)
    bitnet.training.predict(model, x)
    assert [layer.training for layer in model.layers] == [True, False, True, True, True]


def test_more_inputs_than_int32_can_count_are_refused():
    with pytest.raises(InputError, match="int32"):
        find_thresholds(lambda z: z > 0, 1, 2**31 - 1)


def test_frozen_bits_are_the_layers_bits():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    net = bitnet.freeze(model)
    for frozen, layer in zip(net.layers, bitnet.training.weight_bits(model), strict=True):
        assert frozen.bits.equals(layer)


def broken(index, value):
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    dict(model._state())[index][0] = value
    return model


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bitnet.freeze(BinaryLinear(3, 3, rng=RNG)), "expected a Sequential"),
        (lambda: bitnet.freeze(Sequential()), "must end with"),
        (lambda: bitnet.freeze(Sequential(BinaryLinear(3, 3, rng=RNG))), "must end with"),
        (
            lambda: bitnet.freeze(Sequential(BinaryLinear(3, 3, rng=RNG), Sign())),
            "layers.1 is Sign.*BatchNorm",
        ),
        (
            lambda: bitnet.freeze(Sequential(BinaryLinear(3, 3, rng=RNG), BatchNorm(3), ReLU())),
            r"layers\.2 is ReLU\(\); expected Quantize or Sign",
        ),
        (
            lambda: bitnet.freeze(
                Sequential(Dropout(0.1, rng=RNG), BinaryLinear(3, 3, rng=RNG), BatchNorm(3), Sign())
            ),
            "must end with",
        ),
        (lambda: bitnet.freeze(binary_mlp([3, 3], rng=np.random.default_rng(0)), "bits"), "'bits'"),
        (lambda: bitnet.freeze(broken("layers.1.gamma", np.nan)), "layers.1.gamma holds NaN"),
        (lambda: bitnet.freeze(broken("layers.4.running_mean", np.inf)), "infinity"),
    ],
)
def test_what_cannot_be_frozen_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_weights_changed_behind_the_signs_are_noticed():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    adam = bitnet.optim.Adam(model.parameters(), 0.01)
    view = model.layers[0].weight.data[:]
    pixels = RNG.integers(0, 256, (8, 20), dtype=np.uint8)
    model(pixels).backward(np.ones((8, 3), np.float32))
    adam.step()
    view *= -1
    with pytest.raises(InputError, match=r"weight\.edit"):
        bitnet.freeze(model)
    model.layers[0].weight.edit()
    assert bitnet.freeze(model).layers[0].bits == kernels.pack(view)


@pytest.mark.parametrize("seed", range(3))
def test_nested_sequentials_and_a_flatten_at_the_start(seed, tmp_path):
    rng = np.random.default_rng(seed)

    def hidden(n, m):
        return nn.Sequential(nn.BinaryLinear(n, m, rng=rng), nn.BatchNorm(m), nn.Sign())

    inner = nn.Sequential(hidden(70, 65), nn.Dropout(0.5, rng=rng), hidden(65, 9))
    last = nn.Sequential(nn.BinaryLinear(9, 3, rng=rng), nn.BatchNorm(3))
    model = nn.Sequential(nn.Flatten(), inner, last)
    x = rng.integers(0, 256, (8, 7, 10), dtype=np.uint8)
    model(x)
    net = bitnet.freeze(model)
    net.save(tmp_path / "net.npz")
    loaded = bitnet.load(tmp_path / "net.npz")
    assert np.array_equal(loaded.scores(x), model.eval()(x).data)
    agreement = bitnet.compare(model, loaded, x)
    assert agreement.is_complete
    assert agreement.integers == 8 * (65 + 9 + 3)
