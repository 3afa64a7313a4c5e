"""The numbers that the backward products multiply: every name of GRADIENTS, in both products."""

import numpy as np
import pytest

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor, kernels
from bitnet.kernels import Rounding, Window
from bitnet.nn import BinaryConv2d, BinaryLinear
from bitnet.nn.functional.linear import GRADIENTS

pytestmark = pytest.mark.usefixtures("implementation")
X, W, G = (
    np.random.default_rng(i).standard_normal(s).astype(np.float32)
    for i, s in enumerate([(9, 70), (40, 70), (9, 40)])
)


def generator(gradient):
    return np.random.default_rng(3) if gradient.startswith("dorefa") else None


def test_the_names():
    assert list(GRADIENTS) == [
        "float32",
        "int8",
        "int7",
        "int6",
        "int5",
        "int4",
        "dorefa8",
        "dorefa7",
        "dorefa6",
        "dorefa5",
        "dorefa4",
        "log6",
        "log5",
        "log4",
    ]


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_linear_gradient_is_the_product_of_the_rounded_numbers(gradient):
    x, w = (Tensor(of, requires_grad=True) for of in (X, W))
    signs = F.sign(x, None), F.sign(w, None)
    F.quantized_linear(*signs, gradient, generator(gradient)).backward(G)
    rng = generator(gradient)

    def rounded(grad):
        if gradient == "float32":
            return grad
        numbers = kernels.round_gradient(grad, GRADIENTS[gradient], rng)
        return numbers if isinstance(numbers, np.ndarray) else numbers.numbers()

    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(x.grad, rounded(G) @ np.sign(W), **close)
    np.testing.assert_allclose(w.grad, rounded(G.T) @ np.sign(X), **close)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_convolution_of_one_tap_has_the_gradients_of_a_linear_layer(gradient):
    """One scale per pixel, and one a filter: those of the rows and of the columns."""
    found = []
    for shape in ((1, 1), ()):
        x = Tensor(X.reshape(len(X), *shape, 70), requires_grad=True)
        w = Tensor(W.reshape(len(W), *shape, 70), requires_grad=True)
        signs = F.sign(x, None), F.sign(w, None)
        rng = generator(gradient)
        if shape:
            y = F.quantized_conv2d(*signs, Window((1, 1)), gradient, rng)
        else:
            y = F.quantized_linear(*signs, gradient, rng)
        y.backward(G.reshape(len(G), *shape, 40))
        found.append((x.grad.reshape(X.shape), w.grad.reshape(W.shape)))
    for conv, linear in zip(*found, strict=True):
        np.testing.assert_allclose(conv, linear, rtol=1e-4, atol=1e-4)


def test_both_products_multiply_the_same_powers_of_two():
    rule = Rounding("log", 6)
    np.testing.assert_array_equal(
        kernels.round_gradient(G, rule).T, kernels.round_gradient(G.T, rule)
    )


@pytest.mark.parametrize(
    ("gradient", "rounding", "message"),
    [
        ("log7", "nearest", "expected one of"),
        ("int9", "nearest", "expected one of"),
        ("dorefa8", "nearest", "needs a generator"),
        ("log6", "stochastic", "nearest power of two"),
    ],
)
def test_what_cannot_be_multiplied_is_refused(gradient, rounding, message):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=message):
        BinaryLinear(3, 2, rng=rng, grad_format=gradient, rounding=rounding)
    with pytest.raises(InputError, match=message):
        BinaryConv2d(
            3, 2, rng=rng, grad_format=gradient, rounding=rounding, kernel_size=3, padding="same"
        )
    noise, signs = rng if rounding == "stochastic" else None, F.sign(np.ones((1, 3)))
    with pytest.raises(InputError, match=message):
        F.quantized_linear(signs, signs, gradient, noise)
    images = F.sign(np.ones((1, 1, 1, 3)))
    with pytest.raises(InputError, match=message):
        F.quantized_conv2d(images, images, Window((1, 1)), gradient, noise)


@pytest.mark.parametrize("gradient", ["dorefa6", "log6"])
def test_a_layer_trains_with_them(gradient):
    rounding = "stochastic" if gradient.startswith("dorefa") else "nearest"
    layer = BinaryLinear(
        70, 40, rng=np.random.default_rng(0), grad_format=gradient, rounding=rounding
    )
    layer(F.sign(X)).backward(G)
    assert layer.weight.grad.any()
