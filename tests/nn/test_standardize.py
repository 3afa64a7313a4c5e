"""Layers with fixed statistics: numbers in their own units in, and out."""

import numpy as np
import pytest

import bitnet
from bitnet import InputError, nn
from bitnet.autograd import Tensor
from bitnet.nn import Rescale, Standardize
from bitnet.nn.models import binary_mlp, float_mlp, takes_of
from bitnet.nn.models.ends import fit_ends, with_ends

RNG = np.random.default_rng(0)
X = (RNG.standard_normal((300, 5)) * [1, 10, 0.01, 1e4, 1] + [0, 5, 1e-3, -1e5, 7]).astype(
    np.float32
)
Y = (X @ RNG.standard_normal((5, 2)) + 3).astype(np.float32)


def test_standardize_and_rescale_are_inverse():
    standardize, rescale = Standardize(5), Rescale(5)
    standardize.fit(X)
    rescale.fit(X)
    z = standardize(X).data
    assert np.allclose(z.mean(axis=0), 0, atol=1e-3)
    assert np.allclose(z.std(axis=0), 1, rtol=1e-3)
    assert np.allclose(rescale(z).data, X, rtol=1e-3)


def test_bits_are_codes_between_four_deviations():
    layer = Standardize(1, bits=8)
    layer.fit(np.array([[-1.0], [1.0]]))
    values = layer(np.float32([[-100], [-4], [0.1], [4], [100]])).data.values().ravel()
    assert np.allclose(values[[0, 1, 3, 4]], [-4, -4, 4, 4])
    assert abs(values[2] - 0.1) < 4 / 255


def test_a_constant_column_becomes_zero():
    layer = Standardize(2)
    layer.fit(np.array([[3.0, 1.0], [3.0, 2.0]]))
    assert layer.std[0] == 1
    assert layer(np.float32([[3, 1]])).data[0, 0] == 0


def test_statistics_are_state_and_not_trained():
    layer = Standardize(5)
    layer.fit(X)
    assert list(layer.parameters()) == []
    other = Standardize(5)
    other.load_state_dict(layer.state_dict())
    assert np.array_equal(other.mean, layer.mean)
    y = Rescale(2)
    y.fit(Y)
    x = Tensor(np.zeros((1, 2), np.float32), requires_grad=True)
    y(x).sum().backward()
    assert np.array_equal(x.grad, y.std[None])


@pytest.mark.parametrize("bits", [8, 3, None])
def test_frozen_equals_trained(bits):
    build = float_mlp if bits is None else binary_mlp
    model = with_ends(build([5, 32, 16, 2], rng=RNG), numbers_in=True, numbers_out=2, bits=bits)
    fit_ends(model, X, Y)
    for _ in range(3):
        model(X)
    model.eval()
    assert takes_of(model) == ("float32", (5,))
    net = bitnet.freeze(model)
    assert net.input == "numbers"
    assert np.array_equal(net.scores(X), model(X).data)
    assert bitnet.compare(model, net, X).is_complete
    assert abs(net.scores(X).mean() - Y.mean()) < 5 * Y.std()


def test_the_layer_of_pixels_is_replaced():
    planes = with_ends(binary_mlp([5, 4, 2], rng=RNG, input_planes=3), numbers_in=True, bits=3)
    assert [type(layer).__name__ for layer in planes.layers[:2]] == ["Standardize", "BinaryLinear"]
    images = with_ends(nn.models.binary_convnet((8, 8, 3), [(4,)], [2], rng=RNG), numbers_out=2)
    assert images.takes == ("uint8", (8, 8, 3))
    net = binary_mlp([5, 2], rng=RNG)
    assert with_ends(net) is net


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Standardize(0), "num_features is 0"),
        (lambda: Standardize(3, bits=9), "bits is 9; expected a whole number from 1 to 8"),
        (lambda: Standardize(3).fit(X), r"expected data \(\.\.\., 3\)"),
        (lambda: Standardize(5).fit(X[:0]), "with one row or more"),
        (lambda: Standardize(5).fit(X * np.nan), "hold NaN, infinity or too large numbers"),
        (lambda: Standardize(3)(X), r"expected an input \(\.\.\., 3\)"),
        (lambda: Rescale(3)(X), r"expected an input \(\.\.\., 3\)"),
    ],
)
def test_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
