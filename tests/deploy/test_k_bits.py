"""Frozen nets of 1 to 8 bits equal the trained ones, in memory and from their file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import disturb, seeds

import bitnet
from bitnet import InputError, kernels
from bitnet.archive import read_archive, write_archive
from bitnet.deploy.file import KIND, VERSION
from bitnet.deploy.freeze import find_thresholds
from bitnet.kernels import BitPlanes, Bits
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
    st.tuples(*[some_weights] * 3),
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
    net = bitnet.freeze(model, image=(9, 8))
    x = rng.integers(0, 256, (3, 9, 8, 3), dtype=np.uint8)
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


@given(st.integers(1, 8), st.sampled_from([-3.0, -1.0, -0.0, 0.0, 1e-3, 1.0, 50.0]), seeds)
def test_thresholds_at_every_integer(bits, gamma, seed):
    rng = np.random.default_rng(seed)
    norm, n = BatchNorm(1).eval(), 60
    norm.gamma.data[:], norm.beta.data[:] = gamma, rng.normal()
    norm.running_mean[:], norm.running_inv_std[:] = rng.normal(0, 9), 0.1
    layers = (
        QuantLinear(n, 1, rng=rng),
        norm,
        Quantize(bits),
        QuantLinear(1, 1, rng=rng),
        BatchNorm(1),
    )
    layer = bitnet.freeze(Sequential(*layers), "signs").layers[0]
    z = np.arange(-n, n + 1, dtype=np.int32)[:, None]
    expected = layers[2](norm(z)).data
    got = layer.outputs(z)
    assert type(got) is type(expected) is (Bits if bits == 1 else BitPlanes)
    numbers = [x.signs() if bits == 1 else x.integers() for x in (got, expected)]
    assert np.array_equal(*numbers)


def test_steps_outside_the_range():
    steps, increasing = find_thresholds(lambda z: np.where(z > 5, 3, 1) * (z < 99), 1, 10, steps=3)
    assert (steps.tolist(), increasing.tolist()) == ([[-10, 6, 6]], [True])
    steps, increasing = find_thresholds(lambda z: np.where(z > 5, 1, 2), 1, 10, steps=3)
    assert (steps.tolist(), increasing.tolist()) == ([[10, 5, -11]], [False])


@pytest.mark.parametrize(
    ("weights", "bits"), [(1, 1), (2, 2), (4, 4), (8, 8), ("log:4", 4), ("ternary", 2)]
)
def test_a_file_has_as_many_bits_as_the_weights(tmp_path, weights, bits):
    rng = np.random.default_rng(0)
    layers = QuantLinear(512, 256, rng=rng, weight_quantizer=weights), BatchNorm(256), Quantize(1)
    net = bitnet.freeze(
        Sequential(*layers, QuantLinear(256, 4, rng=rng, weight_quantizer=weights), BatchNorm(4))
    )
    net.save(tmp_path / "net.npz")
    n_weights = 512 * 256 + 256 * 4
    there = (tmp_path / "net.npz").stat().st_size
    assert bits * n_weights / 8 < there < bits * n_weights / 8 + 12_000


def test_weights_changed_after_freezing_change_nothing():
    model = few_bits()
    net = bitnet.freeze(model)
    x = np.random.default_rng(1).integers(0, 256, (5, 9), dtype=np.uint8)
    before = net.scores(x)
    model.layers[0].weight.edit()[:] *= -1
    assert np.array_equal(net.scores(x), before)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("weight_codebook", {"unit": 0.0}, "a unit above 0"),
        ("weight_codebook", {"unit": 1}, "whole numbers and a finite unit"),
        ("weight_codebook", {"unit": float("inf")}, "whole numbers and a finite unit"),
        ("weight_codebook", {"patterns": [0, 1 << 40]}, "whole numbers"),
        ("weight_codebook", {"patterns": [3, 2, 1, 0]}, "increasing numbers"),
        ("weight_codebook", {"patterns": [0, 1, 2]}, "expected uint8 codes below 3"),
        ("weight_codebook", {"patterns": [0, 1]}, "expected 1 planes"),
        ("weight_codebook", {"more": 1}, "expected coefficients, offset, patterns, unit"),
        ("weight_codebook", None, "2 signs per row"),
        ("weight_codebook", "x", "has 'x'; expected coefficients"),
        ("weight_codebook", [], "expected coefficients"),
        ("codebook", None, "thresholds is int32 of shape"),
        ("codebook", {"patterns": [0, 1]}, "thresholds is int32 of shape"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, key, change, message):
    path = tmp_path / "net.npz"
    bitnet.freeze(few_bits()).save(path)
    header, arrays = read_archive(path, KIND, VERSION, 1 << 20)
    own = header["layers"][0]
    own[key] = {**own[key], **change} if isinstance(change, dict) else change
    if change is None:
        del own[key]
    write_archive(path, KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match=message):
        bitnet.load(path)


def test_thresholds_out_of_order_are_refused(tmp_path):
    path = tmp_path / "net.npz"
    net = bitnet.freeze(few_bits())
    net.save(path)
    header, arrays = read_archive(path, KIND, VERSION, 1 << 20)
    arrays["0.thresholds"] = arrays["0.thresholds"][:, ::-1].copy() + np.int32([0, 0, 1])
    write_archive(path, KIND, VERSION, header, arrays)
    with pytest.raises(InputError, match="not in order"):
        bitnet.load(path)


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
    assert bitnet.compare(model, bitnet.freeze(model, "signs"), x).is_complete
