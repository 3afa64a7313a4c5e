"""Frozen nets of 1 to 8 bits equal the trained ones, in memory and from their file."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import disturb, seeds

import bitnet
from bitnet import kernels
from bitnet.nn import BatchNorm, Flatten, MaxPool2d, QuantConv2d, Quantize, QuantLinear, Sequential
from bitnet.nn.models.feedforward import binary_mlp

WEIGHTS = [
    *range(1, 9),
    "linear:2:0.5",
    "linear:8:0.01",
    "log:2",
    "log:4:1",
    "ternary",
    "dorefa:3",
    "linear:1:0.5:unsigned",
    "log:5",
    "uniform:1:0.5",
    "dorefa:1",
]
ACTIVATIONS = [
    *range(1, 9),
    "linear:4:0.25",
    "linear:3:0.2:unsigned",
    "log:3",
    "log:3:0:unsigned",
    "linear:1:0.5:unsigned",
    "dorefa-activation:1",
    "log:1:0:unsigned",
    "uniform:1:0.5",
    "uniform:3:0.5:inf",
    "sign:2",
    "approx-sign",
    "swish-sign:2",
]
small_weights = st.sampled_from([own for own in WEIGHTS if own != "log:5"])  # fits int32
some_weights, some_activations = st.sampled_from(WEIGHTS), st.sampled_from(ACTIVATIONS)


def through_file(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.npz"
    net.save(path)
    return bitnet.load(path)


def same(model, net, x):
    assert bitnet.compare(model, net, x).is_complete
    model.eval()
    trained, y = [], x
    for layer in model.layers:
        y = layer(y)
        if isinstance(layer, (QuantConv2d, QuantLinear)):
            trained.append(y.data)
    for a, b in zip(trained, net.pre_activations(x), strict=True):
        assert a.dtype == b.dtype == np.int32
        assert np.array_equal(a, b)
    assert np.array_equal(y.data, net.scores(x))


@settings(max_examples=40)
@given(
    seeds,
    st.tuples(*[some_weights] * 3),
    st.tuples(*[some_activations] * 2),
    st.tuples(*[st.sampled_from([1, 5, 64, 70])] * 3),
)
def test_linear_nets(implementation, tmp_path_factory, seed, weights, activations, widths):
    rng = np.random.default_rng(seed)
    layers = []
    for n, m, own, then in zip(
        widths, [*widths[1:], 3], weights, [*activations, None], strict=True
    ):
        layers += [QuantLinear(n, m, rng=rng, weight_quantizer=own), BatchNorm(m)]
        layers += [] if then is None else [Quantize(then)]
    model = disturb(Sequential(*layers), seed)
    net = bitnet.freeze(model)
    x = rng.integers(0, 256, (7, widths[0]), dtype=np.uint8)
    same(model, net, x)
    loaded = through_file(net, tmp_path_factory)
    same(model, loaded, x)
    assert repr(loaded) == repr(net)
    assert loaded.layers[0].weight_codebook == net.layers[0].weight_codebook


@settings(max_examples=30)
@given(
    seeds,
    st.tuples(*[small_weights] * 3),
    st.tuples(*[some_activations] * 2),
    st.sampled_from([1, 3, 8, 70]),
    st.sampled_from([0, 1, -1]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([1, 2]),
)
def test_convnets(
    implementation, tmp_path_factory, seed, weights, activations, m, border, pool, groups
):
    rng = np.random.default_rng(seed)
    m *= groups
    layers = [
        QuantConv2d(
            3,
            m,
            rng=rng,
            kernel_size=3,
            stride=2,
            border=border,
            weight_quantizer=weights[0],
            padding="same",
        ),
        BatchNorm(m),
    ]
    layers += [Quantize(activations[0])]
    layers += [
        QuantConv2d(
            m,
            4,
            rng=rng,
            kernel_size=2,
            border=border,
            weight_quantizer=weights[1],
            groups=groups,
            padding="same",
        )
    ]
    layers += [MaxPool2d(2, pool)] if pool else []
    layers += [BatchNorm(4), Quantize(activations[1]), Flatten()]
    n = Sequential(*layers)(np.zeros((2, 9, 8, 3), np.uint8)).shape[1]
    model = Sequential(
        *layers, QuantLinear(n, 3, rng=rng, weight_quantizer=weights[2]), BatchNorm(3)
    )
    model = disturb(model, seed)
    x = rng.integers(0, 256, (3, 9, 8, 3), dtype=np.uint8)
    net = bitnet.freeze(model, x[:1])
    same(model, net, x)
    same(model, through_file(net, tmp_path_factory), x)


@settings(max_examples=30)
@given(
    seeds,
    some_weights,
    some_activations,
    st.sampled_from(["batch", "shift", "shift-code"]),
    st.booleans(),
    st.sampled_from([(0.0, 0.0), (0.2, 0.5)]),
)
def test_norms_balance_and_dropout(seed, weights, activations, norm, balance, dropout):
    rng = np.random.default_rng(seed)
    bits = {"weight_quantizer": weights, "activation_quantizer": activations, "balance": balance}
    model = binary_mlp([33, 20, 9, 3], rng=rng, norm=norm, dropout=dropout, **bits)
    model = disturb(model, seed)
    net = bitnet.freeze(model)
    same(model, net, rng.integers(0, 256, (4, 33), dtype=np.uint8))
    for count in (0, 1):
        assert net.scores(np.zeros((count, 33), np.uint8)).shape == (count, 3)


def few_bits(weights=2, activations=2, seed=0):
    rng = np.random.default_rng(seed)
    layers = (
        QuantLinear(9, 70, rng=rng, weight_quantizer=weights),
        BatchNorm(70),
        Quantize(activations),
    )
    return disturb(
        Sequential(*layers, QuantLinear(70, 3, rng=rng, weight_quantizer=weights), BatchNorm(3)),
        seed,
    )


def test_weights_changed_after_freezing_change_nothing():
    model = few_bits()
    net = bitnet.freeze(model)
    x = np.random.default_rng(1).integers(0, 256, (5, 9), dtype=np.uint8)
    before = net.scores(x)
    model.layers[0].weight.edit()[:] *= -1
    assert np.array_equal(net.scores(x), before)


def test_a_net_of_k_bits_on_signs():
    rng = np.random.default_rng(0)
    layers = (
        QuantLinear(70, 5, rng=rng, weight_quantizer=3),
        BatchNorm(5),
        Quantize(2),
        QuantLinear(5, 2, rng=rng, weight_quantizer=3),
    )
    model = disturb(Sequential(*layers, BatchNorm(2)), 0)
    x = kernels.pack(rng.standard_normal((4, 70)))
    assert bitnet.compare(model, bitnet.freeze(model, x[:1]), x).is_complete
