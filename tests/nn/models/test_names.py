"""Nets by name: what they build, how many weights they say they have, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitnet import InputError
from bitnet.nn.models.names import is_language_net, net_named

widths = st.lists(st.integers(1, 9), min_size=1, max_size=3)


def joined(numbers):
    return ",".join(map(str, numbers))


@settings(max_examples=40)
@given(
    st.lists(widths, max_size=2),
    st.lists(st.integers(1, 9), max_size=2),
    st.integers(4, 7),
    st.integers(4, 9),
    st.sampled_from([1, 3]),
    st.booleans(),
)
def test_the_weights_are_counted_before_they_are_there(blocks, units, h, w, c, is_float):
    if not blocks and not units:
        units = [3]
    parts = [joined(block) for block in blocks] + [joined(units)]
    net = net_named(("conv:" if blocks else "mlp:") + "/".join(parts))
    assert net.is_conv == bool(blocks)
    model = net.build((h, w, c), 5, np.random.default_rng(0), is_float=is_float)
    there = sum(a.size for k, a in model.state_dict().items() if k.endswith(".weight"))
    assert net.weights((h, w, c), 5) == there
    model.eval()
    x = np.zeros((2, h, w, c), np.uint8)
    assert model(x if blocks else x.reshape(2, -1)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "image", "weights"),
    [
        ("mnist-theano", (28, 28, 1), 36_806_656),
        ("mnist-torch", (28, 28, 1), 10_014_720),
        ("cifar10", (32, 32, 3), 14_022_016),
        ("svhn", (32, 32, 3), 6_397_632),
    ],
)
def test_the_papers_nets_have_the_papers_weights(name, image, weights):
    assert net_named(name).weights(image, 10) == weights


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mlp",
        "mlp:",
        "mlp:0",
        "mlp:08",
        "mlp:-5",
        "mlp:5,",
        "mlp:5/5",
        "mlp:12345678",
        "conv:",
        "conv:5",
        "conv:/5",
        "conv:5//5",
        "conv:5/5/5,",
        "mlp:1５",
        "mlp:5\n",
        None,
        5,
        "mlp:" + "1," * 200 + "1",
        "mlp:" + "1," * 900 + "1",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match="net "):
        net_named(name)


def test_too_many_weights_are_refused_before_there_is_one():
    with pytest.raises(InputError, match="expected at most"):
        net_named("mlp:9999999,9999999").build((28, 28, 1), 10, np.random.default_rng(0))


def test_images_may_be_too_small():
    with pytest.raises(InputError, match="too small"):
        net_named("cifar10").build((4, 4, 3), 10, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["rnn:7", "lstm:5", "gru:6,6", "lstm:4,4,4"])
def test_the_weights_of_a_language_model_are_counted_as_they_are(name):
    rng = np.random.default_rng(0)
    net = net_named(name)
    model = net.build(11, 3, rng)
    matrices = [p.data.size for p in model.parameters() if p.ndim == 2]
    assert net.weights(11, 3) == sum(matrices)
    assert model.recurrent.num_layers == net.layers
    assert is_language_net(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lstm",
        "lstm:",
        "lstm:0",
        "lstm:03",
        "lstm:5,",
        "lstm:5,6",
        "lstm:5;6",
        None,
        "lstm:" + ",".join(["5"] * 21),
        "lstm:9999999",
        "LSTM:5",
        "lstm:٣",
    ],
)
def test_other_names_of_language_models_are_refused(name):
    with pytest.raises(InputError, match="net "):
        net_named(name)


def test_a_language_model_that_no_memory_holds_is_refused():
    with pytest.raises(InputError, match="expected at most 536870912"):
        net_named("lstm:99999").build(10, 300, np.random.default_rng(0))
