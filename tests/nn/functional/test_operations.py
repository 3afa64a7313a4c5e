"""Forward values and refusals of the operations that have no file of their own here."""

import numpy as np
import pytest

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor
from bitnet.kernels import BitPlanes

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 6)).astype(np.float32)


def test_batch_norm_forward_and_running_statistics():
    gamma, beta = np.float32(RNG.random(6)), np.float32(RNG.random(6))
    running = np.zeros(6, np.float32), np.ones(6, np.float32)
    x = np.concatenate([X, X])  # 8 rows, of which all statistics enter
    y = F.batch_norm(x, gamma, beta, eps=1e-4, running=running, momentum=0.25)
    mean, inv_std = x.mean(axis=0), 1 / np.sqrt(x.var(axis=0) + 1e-4)
    assert np.allclose(y.data, (x - mean) * inv_std * gamma + beta, atol=1e-6)
    assert np.allclose(running[0], 0.25 * mean, atol=1e-6)
    assert np.allclose(running[1], 0.75 + 0.25 * inv_std, atol=1e-5)


def test_batch_norm_takes_integers_and_images():
    z = RNG.integers(-9, 10, (2, 3, 3, 5)).astype(np.int32)
    y = F.batch_norm(z, np.ones(5, np.float32), np.zeros(5, np.float32)).data
    assert y.dtype == np.float32
    assert np.allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-6)


def test_normalize_is_evaluated_in_the_order_it_states():
    vectors = [np.float32(RNG.standard_normal(6)) for _ in range(4)]
    gamma, beta, mean, inv_std = vectors
    expected = (X - mean) * (gamma * inv_std) + beta
    assert np.array_equal(F.normalize(X, gamma, beta, mean, inv_std).data, expected)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_dropout_of_bits_pixels_and_floats_is_one_function(p):
    signs = RNG.choice([-1.0, 1.0], (50, 130)).astype(np.float32)
    pixels = RNG.integers(0, 256, (50, 130), dtype=np.uint8)
    keep = np.random.default_rng(7).random((50, 130), dtype=np.float32) >= p

    def dropped(x):
        return F.dropout(x, p, np.random.default_rng(7)).data

    assert np.allclose(dropped(signs), signs * keep / (1 - p))
    for x, value in ((F.sign(signs), signs), (pixels, 2.0 * pixels - 255)):
        planes = dropped(x)
        assert isinstance(planes, BitPlanes)
        assert np.allclose(planes.values(), value * keep / (1 - p), rtol=1e-5)


def test_slopes_at_the_edges():
    """The slope of the rectifier is 0 at 0, that of the hard tanh 1 at -1 and 1."""
    for function, expected in ((F.relu, [0, 0, 1]), (F.hardtanh, [1, 1, 1])):
        x = Tensor(np.float32([-1.0, 0.0, 1.0]), requires_grad=True)
        function(x).backward(np.ones(3, np.float32))
        assert x.grad.tolist() == expected


def test_axes_and_exponents_may_be_numpys():
    x = Tensor(np.zeros(2), requires_grad=True)
    assert F.shapes.sum(Tensor(X), axis=np.int64(-1)).shape == (4,)
    (x ** np.float32(0)).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_dropout_after_dropout():
    rng = np.random.default_rng(7)
    twice = F.dropout(F.dropout(F.sign(np.ones((3, 70), np.float32)), 0.5, rng), 0.5, rng)
    assert set(np.unique(twice.data.values())) <= {0.0, 4.0}


def test_binary_linear_of_planes_is_exact_where_the_scale_is_one():
    x = F.dropout(F.sign(np.ones((3, 70), np.float32)), 0.5, np.random.default_rng(0))
    weight = F.sign(np.ones((2, 70), np.float32))
    z = F.quantized_linear(x, weight).data
    assert z.dtype == np.int32
    assert np.array_equal(z[:, 0], x.data.values().sum(axis=1))


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.arithmetic.add(np.ones(2), np.ones(3)),
        lambda: F.arithmetic.matmul(X, X),
        lambda: F.arithmetic.matmul(X, X[0]),
        lambda: F.linear(X, X, np.ones(3)),
        lambda: F.linear(X, np.ones((2, 5)), np.ones(2)),
        lambda: F.reshape(Tensor(X), 5, 5),
        lambda: F.reshape(Tensor(X), -1, 5),
        lambda: F.reshape(Tensor(X), -1, -1),
        lambda: F.shapes.sum(Tensor(X), axis=(0, 0)),
        lambda: F.shapes.transpose(Tensor(X), 0, 0),
        lambda: F.shapes.sum(Tensor(X), axis=2),
        lambda: F.shapes.mean(Tensor(X[:0])),
        lambda: F.arithmetic.power(Tensor(X), Tensor(X)),
        lambda: F.quantized_linear(X, F.sign(X)),
        lambda: F.quantized_linear(np.arange(24).reshape(4, 6), F.sign(X)),
        lambda: F.quantized_linear(F.sign(X), F.sign(X[:, :5])),
        lambda: F.batch_norm(X[:1], np.ones(6), np.zeros(6)),
        lambda: F.batch_norm(X, np.ones(5), np.zeros(6)),
        lambda: F.normalize(X[0], np.ones(6), np.zeros(6), np.zeros(6), np.ones(6)),
        lambda: F.dropout(X, 1.0, RNG),
        lambda: F.dropout(X, -0.1, RNG),
        lambda: F.dropout(np.arange(3), 0.5, RNG),
        lambda: F.relu(F.sign(X)),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(InputError):
        call()
