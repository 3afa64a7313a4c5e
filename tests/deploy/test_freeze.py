"""Freezing: thresholds at every z, refusals, and the comparison with the model."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import SMALLEST, disturb, rows, seeds, some_widths

import bitnet
from bitnet import InputError, kernels, nn
from bitnet.deploy import FrozenNet
from bitnet.deploy.compare import Agreement
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.thresholds import find_edges, find_thresholds
from bitnet.nn import BatchNorm, BinaryLinear, Dropout, Sequential, ShiftBatchNorm, Sign
from bitnet.nn.models.feedforward import binary_mlp
from bitnet.quantizers import quantizer_named

pytestmark = pytest.mark.usefixtures("implementation")

RNG = np.random.default_rng(0)
SIGNS = kernels.pack(np.ones((1, 20)))
GAMMAS = st.sampled_from([-3.0, -1.0, -SMALLEST, -0.0, 0.0, SMALLEST, 1.0, 0.1, 1e8, -1e-30])
BETAS = st.sampled_from([-2.0, -SMALLEST, -0.0, 0.0, SMALLEST, 0.7])
MEANS = st.sampled_from([-3.5, -1.0, 0.0, 1e-6, 2.0, 1e9])
INV_STDS = st.sampled_from([1e-6, 0.25, 1.0, 1 / 3, 100.0])


@settings(max_examples=25)
@given(st.lists(some_widths, min_size=2, max_size=4), rows, seeds, st.booleans())
def test_random_nets_on_pixels_and_on_signs(sizes, n_rows, seed, pixels):
    rng = np.random.default_rng(seed)
    model = disturb(binary_mlp(sizes, rng=rng), seed)
    x = rng.integers(0, 256, (n_rows, sizes[0]), dtype=np.uint8)
    x = x if pixels else kernels.pack(x > 127)
    net = bitnet.freeze(model) if pixels else bitnet.freeze(model, x[:1] if n_rows else zeros(x))
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


def zeros(x):
    return kernels.pack(np.zeros((1, x.shape[1])))


@given(
    GAMMAS,
    BETAS,
    MEANS,
    INV_STDS,
    st.integers(1, 130),
    st.booleans(),
    st.sampled_from(["sign", "uniform:2", "uniform:8", "log:3", "linear:3:0.2:unsigned"]),
)
def test_thresholds_at_every_z(gamma, beta, mean, inv_std, n, shifts, name):
    """Every integer from -n to n, including ties with 0, for gamma > 0, < 0 and 0."""
    norm = (ShiftBatchNorm if shifts else BatchNorm)(1).eval()
    norm.gamma.data[:], norm.beta.data[:] = gamma, beta
    norm.running_mean[:], norm.running_inv_std[:] = mean, inv_std
    quantize = nn.Quantize(name)
    model = Sequential(BinaryLinear(n, 1, rng=RNG), norm, quantize, BinaryLinear(1, 1, rng=RNG))
    layer = bitnet.freeze(model, kernels.pack(np.ones((1, n)))).layers[0]
    z = np.arange(-n, n + 1, dtype=np.int32)[:, None]
    found, expected = layer.steps.run({}, z), quantize(norm(z)).data
    assert type(found) is type(expected)
    assert getattr(found, "bits", found).equals(getattr(expected, "bits", expected))


@given(st.integers(1, 300), st.data())
def test_find_thresholds_finds_any_step(largest, data):
    step = data.draw(st.integers(-largest - 1, largest + 1))
    z = np.arange(-largest, largest + 1, dtype=np.int32)
    for function in (lambda v: v >= step, lambda v: v <= step):
        threshold, increasing = find_thresholds(function, 1, largest)
        steps = kernels.Thresholds(threshold, increasing)
        got = kernels.threshold(z[:, None], steps).signs()[:, 0] > 0
        assert np.array_equal(got, function(z))


def test_steps_outside_the_range():
    steps, increasing = find_thresholds(lambda z: np.where(z > 5, 3, 1) * (z < 99), 1, 10, steps=3)
    assert (steps.tolist(), increasing.tolist()) == ([[-10, 6, 6]], [True])
    steps, increasing = find_thresholds(lambda z: np.where(z > 5, 1, 2), 1, 10, steps=3)
    assert (steps.tolist(), increasing.tolist()) == ([[10, 5, -11]], [False])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", ["uniform:2", "uniform:7:0.3", "linear:4:0.1", "linear:2:3:unsigned", "log:5", "sign:2"]
)
def test_edges_are_the_first_floats_with_their_codes(name, dtype):
    quantizer = quantizer_named(name)
    edges = find_edges(quantizer.codes, len(quantizer.codebook) - 1, dtype)
    codes = np.arange(1, len(edges) + 1)
    assert (quantizer.codes(edges) >= codes).all()
    assert (quantizer.codes(np.nextafter(edges, dtype(-np.inf))) < codes).all()
    assert edges.dtype == dtype


def test_a_tie_is_plus_one_for_both_signs_of_gamma():
    for gamma, expected in ((1.0, [-1, 1, 1]), (-1.0, [1, 1, -1])):
        norm = BatchNorm(1)
        norm.gamma.data[:], norm.running_mean[:] = gamma, 2.0
        model = Sequential(BinaryLinear(4, 1, rng=RNG), norm, Sign(), BinaryLinear(1, 1, rng=RNG))
        layer = bitnet.freeze(model, kernels.pack(np.ones((1, 4)))).layers[0]
        assert (layer.thresholds.tolist(), layer.increasing.tolist()) == ([2], [gamma > 0])
        z = np.array([[0], [2], [4]], np.int32)
        assert layer.steps.run({}, z).signs().ravel().tolist() == expected


def test_after_training_with_dropout_and_stochastic_signs():
    rng = np.random.default_rng(0)
    model = binary_mlp([70, 65, 63, 5], rng=rng, dropout=(0.2, 0.5), stochastic=True)
    x, labels = rng.integers(0, 256, (64, 70), dtype=np.uint8), rng.integers(0, 5, 64)
    adam = bitnet.optim.Adam(model.parameters(), 1e-2)
    for _ in range(20):
        adam.zero_grad()
        nn.functional.squared_hinge(model(x), labels).backward()
        adam.step()
    net = bitnet.freeze(model)
    agreement = bitnet.compare(model, net, x)
    assert (agreement.images, agreement.integers) == (64, 64 * (65 + 63 + 5))
    assert agreement.is_complete
    assert model.training  # as it was


def test_a_layer_that_comes_twice_is_frozen_and_compared_twice():
    rng = np.random.default_rng(0)
    first, shared = (BinaryLinear(8, 8, rng=rng) for _ in range(2))
    norms = [BatchNorm(8) for _ in range(3)]
    model = Sequential(first, norms[0], Sign(), shared, norms[1], Sign(), shared, norms[2])
    x = rng.integers(0, 256, (20, 8), dtype=np.uint8)
    model(x)
    net = bitnet.freeze(model)
    agreement = bitnet.compare(model, net, x)
    assert agreement.integers == 20 * 3 * 8
    assert agreement.is_complete
    assert [node.kind for node in net.graph.nodes].count("weights") == 2  # stored once


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
    *nodes, last = bitnet.freeze(model).graph.nodes
    last = dataclasses.replace(last, shift=last.shift + 1)
    net = FrozenNet(FrozenGraph([*nodes, last], [len(nodes)]))
    x = np.random.default_rng(1).integers(0, 256, (9, 20), dtype=np.uint8)
    agreement = bitnet.compare(model, net, x)
    assert (agreement.differing_integers, agreement.differing_classes) == (0, 0)
    assert agreement.differing_scores == 27


@pytest.mark.parametrize("bits", [1, 3])
def test_compare_of_a_model_that_ends_with_codes(bits):
    model = Sequential(BinaryLinear(20, 5, rng=RNG), BatchNorm(5), nn.Quantize(bits))
    x = RNG.integers(0, 256, (9, 20), dtype=np.uint8)
    assert bitnet.compare(model, bitnet.freeze(model), x) == Agreement(9, 45, 0, 0, 0)


def test_compare_takes_signs_as_numbers_and_refuses_other_nets():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    net = bitnet.freeze(model, SIGNS)
    with pytest.raises(InputError, match="expected the trained Module, then"):
        bitnet.compare(net, model, np.ones((2, 20)))
    assert bitnet.compare(model, net, RNG.choice([-1.0, 1.0], (7, 20))).is_complete
    with pytest.raises(InputError, match="differ in shape"):
        bitnet.compare(binary_mlp([20, 3], rng=RNG), net, np.ones((2, 20)))
    with pytest.raises(InputError, match="expected 1 or more"):
        bitnet.compare(model, net, np.ones((0, 20)))


def test_a_subclass_that_computes_something_else_is_frozen_as_it_computes():
    class Doubled(BatchNorm):
        def forward(self, x):
            return super().forward(x) * 2

    model = Sequential(BinaryLinear(4, 2, rng=RNG), Doubled(2), Sign(), BinaryLinear(2, 2, rng=RNG))
    x = RNG.integers(0, 256, (30, 4), dtype=np.uint8)
    assert bitnet.compare(model, bitnet.freeze(model), x).is_complete


def test_a_model_that_begins_with_sign_takes_numbers():
    layers = binary_mlp([20, 16, 3], rng=np.random.default_rng(0)).layers
    model = Sequential(Dropout(0.1, rng=RNG), Sign(), *layers)
    x = RNG.standard_normal((40, 20)).astype(np.float32)
    nn.functional.squared_hinge(model(x), RNG.integers(0, 3, 40)).backward()
    net = bitnet.freeze(model)
    assert net.input == "numbers"
    assert bitnet.compare(model, net, x).is_complete
    assert np.array_equal(net.predict(x), bitnet.training.predict(model, x))


def test_every_module_has_its_own_mode_back():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    model.layers[1].eval()
    x = RNG.integers(0, 256, (9, 20), dtype=np.uint8)
    bitnet.compare(model, bitnet.freeze(model), x)
    bitnet.training.predict(model, x)
    assert [layer.training for layer in model.layers] == [True, False, True, True, True]


class Lists(nn.Module):
    """Layers in lists of lists, which evaluation mode has to find."""

    def __init__(self, rng):
        self.stages = [[BinaryLinear(9, 6, rng=rng), BatchNorm(6)], [nn.Dropout(0.5, rng=rng)]]
        self.ends = {"last": [[BatchNorm(6)], ()]}

    def forward(self, x):
        for layer in (*self.stages[0], *self.stages[1], *self.ends["last"][0]):
            x = layer(x)
        return x


def test_layers_in_lists_of_lists_are_frozen_in_evaluation_mode():
    model = Lists(np.random.default_rng(0))
    x = RNG.integers(0, 256, (9, 9), dtype=np.uint8)
    assert "ends.last.0.0.gamma" in model.state_dict()
    net = bitnet.freeze(model, x[:1])
    assert bitnet.compare(model, net, x).is_complete
    assert net.layers[0].name == "stages.0.0"


def test_more_inputs_than_int32_can_count_are_refused():
    with pytest.raises(InputError, match="int32"):
        find_thresholds(lambda z: z > 0, 1, 2**31 - 1)


def test_averages_of_integers_that_int32_may_not_hold_are_refused():
    rng, window = np.random.default_rng(0), {"kernel_size": 1, "weight_quantizer": "log:5"}
    model = Sequential(nn.QuantConv2d(65, 1, rng=rng, **window), nn.AvgPool2d(3))
    x = np.zeros((1, 3, 3, 65), np.uint8)
    with pytest.raises(InputError, match="more than int32 holds; use fewer"):
        bitnet.freeze(model, x)


def test_frozen_bits_are_the_layers_bits():
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    net = bitnet.freeze(model)
    for frozen, layer in zip(net.layers, bitnet.training.weight_bits(model), strict=True):
        assert frozen.bits.equals(layer)


def broken(index, value):
    model = binary_mlp([20, 16, 3], rng=np.random.default_rng(0))
    dict(model._state())[index][0] = value
    return model


MLP = binary_mlp([3, 3], rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bitnet.freeze(SIGNS), "got Bits; expected a Module"),
        (lambda: bitnet.freeze(nn.ReLU()), "no example for ReLU.*such as train_images"),
        (lambda: bitnet.freeze(Sequential()), "no example"),
        (lambda: bitnet.freeze(MLP, np.zeros((0, 3), np.uint8)), "expected one input or more"),
        (lambda: bitnet.freeze(MLP, np.uint8(3)), r"shape \(\); expected one input"),
        (lambda: bitnet.freeze(MLP, np.array([["a"] * 3])), "got .*<U1 values"),
        (lambda: bitnet.freeze(MLP, np.zeros((1, 3), np.uint8), axes="TB"), None),
        (lambda: bitnet.freeze(MLP, axes="TBC"), "axes are"),
        (lambda: bitnet.freeze(MLP, axes=["B", "B"]), "axes are"),
        (lambda: bitnet.freeze(MLP, vocabulary=["a"]), "a vocabulary for a Sequential"),
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
        return Sequential(BinaryLinear(n, m, rng=rng), BatchNorm(m), Sign())

    inner = Sequential(hidden(70, 65), Dropout(0.5, rng=rng), hidden(65, 9))
    model = Sequential(nn.Flatten(), inner, Sequential(BinaryLinear(9, 3, rng=rng), BatchNorm(3)))
    x = rng.integers(0, 256, (8, 7, 10), dtype=np.uint8)
    model(x)
    net = bitnet.freeze(model, x[:2])
    net.save(tmp_path / "net.npz")
    loaded = bitnet.load(tmp_path / "net.npz")
    assert np.array_equal(loaded.scores(x), model.eval()(x).data)
    agreement = bitnet.compare(model, loaded, x)
    assert agreement.is_complete
    assert agreement.integers == 8 * (65 + 9 + 3)


class OfIntegers(nn.Module):
    """A product, a function of its integers, and the sign."""

    def __init__(self, units, function):
        self.first = nn.QuantLinear(9, units, rng=np.random.default_rng(3), weight_quantizer=2)
        self.function = function

    def forward(self, x):
        return nn.functional.sign(self.function(self.first(x)))


FUNCTIONS_OF_INTEGERS = {
    "one channel plus many": (
        1,
        lambda z: z + np.float32([-300, 0.5, 300]),
        ["linear", "quantize"],
    ),
    "many plus one": (3, lambda z: z + np.float32([300]), ["linear", "thresholds"]),
    "int64": (3, lambda z: (z * np.int64([1 << 33, -5, 0])) * 1.0, ["linear", "quantize"]),
    "sums": (3, lambda z: z.sum(axis=1, keepdims=True) * -0.5, ["linear", "sum", "thresholds"]),
    "two readers": (3, lambda z: z * 0.5 + z, ["linear", "quantize"]),
    "rows": (3, lambda z: z.reshape(-1, 3) - 7, ["linear", "thresholds"]),
    "divided": (3, lambda z: 100.0 / (z + 0.5), ["linear", "quantize"]),
    "steep": (3, lambda z: (z * 1000.0).tanh() + 1.0, ["linear", "thresholds"]),
    "negative slope": (
        3,
        lambda z: nn.functional.prelu(z, np.float32([-1, 0, 1])) - 9,
        ["linear", "quantize"],
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS_OF_INTEGERS)
def test_functions_of_integers_become_thresholds_only_if_they_are_steps(name):
    units, function, kinds = FUNCTIONS_OF_INTEGERS[name]
    model = OfIntegers(units, function)
    x = RNG.integers(0, 256, (50, 9), dtype=np.uint8)
    net = bitnet.freeze(model, x[:1])
    assert bitnet.compare(model, net, x).is_complete
    found = [node.kind for node in net.graph.nodes if node.arity[0]]
    assert (found[0], found[-1]) == (kinds[0], kinds[-1])
    assert set(kinds) <= set(found)


class Attention(nn.Module):
    """Products with transposed weights, and results by name."""

    def __init__(self):
        self.first, self.last = (nn.Linear(6, 4, rng=np.random.default_rng(i)) for i in range(2))

    def forward(self, x):
        y = x @ self.first.weight.T
        return {"scores": y @ self.last.weight, "parts": [y, (x, y)]}


def test_results_by_name_and_transposed_weights(tmp_path):
    model, x = Attention(), RNG.standard_normal((5, 6)).astype(np.float32)
    bitnet.freeze(model, x[:1]).save(tmp_path / "net.npz")
    scores, y, same, again = bitnet.load(tmp_path / "net.npz").run(x)
    results = model.eval()(x)
    assert np.array_equal(scores, results["scores"].data)
    assert np.array_equal(y, results["parts"][0].data)
    assert np.array_equal(same, x)
    assert np.array_equal(again, y)


def test_a_model_that_looks_up_ids_needs_no_example():
    layers = nn.Embedding(3, 8, rng=np.random.default_rng(0)), nn.Sign()
    model = nn.Sequential(*layers, nn.BinaryLinear(8, 2, rng=np.random.default_rng(1)))
    assert repr(bitnet.freeze(model)) == "FrozenNet(2, ids)"


class _BatchFirst(nn.Module):
    """The scores after the last step of (B, T, N)."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.cells, self.head = nn.GRU(3, 8, rng=rng), nn.Linear(8, 2, rng=rng)

    def forward(self, x):
        return self.head(self.cells(x.transpose(1, 0, 2))[0][-1])


def test_sequences_may_have_the_batch_first():
    model = _BatchFirst()
    x = np.random.default_rng(2).normal(size=(4, 6, 3)).astype(np.float32)
    net = bitnet.freeze(model, x, axes="BT")
    assert bitnet.compare(model, net, x[:3, :4]).is_complete


def test_a_net_that_nothing_refers_to_is_freed():
    net = bitnet.freeze(binary_mlp([20, 3], rng=np.random.default_rng(0)))
    graph = weakref.ref(net.graph)
    del net
    gc.collect()
    assert graph() is None
