"""functional.quantize and the layer: planes forward, surrogates backward."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from strategies import numbers

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor, kernels
from bitnet.autograd import LatentWeight
from bitnet.kernels import BitPlanes, Bits
from bitnet.nn.activations import Quantize
from bitnet.quantizers import ApproxSign, DoReFa, LinearQuant, LogQuant, SwishSign, Ternary, Uniform

pytestmark = pytest.mark.usefixtures("implementation")
ALL = [
    Uniform(1),
    Uniform(1, 0.5),
    Uniform(3),
    LinearQuant(4, 0.25),
    LinearQuant(2, 0.5, False),
    LogQuant(4),
    LogQuant(3, 1, False),
    Ternary(),
    DoReFa(2),
    ApproxSign(),
    SwishSign(),
]
X = numbers(7, (3, 70))


@pytest.mark.parametrize("quantizer", ALL, ids=lambda q: q.name)
@pytest.mark.parametrize("straight", [False, True])
def test_values_forward_and_slopes_backward(quantizer, straight):
    x, grad = Tensor(X, requires_grad=True), numbers(8, X.shape)
    y = F.quantize(x, quantizer, straight)
    assert isinstance(y.data, Bits if quantizer.codebook.is_sign else BitPlanes)
    values = F.unpack(y)
    np.testing.assert_array_equal(values.data, quantizer.values(X))
    values.backward(grad)
    slope = np.ones_like(X) if straight else quantizer.slope(X)
    np.testing.assert_array_equal(x.grad, grad * slope)


def test_one_bit_is_the_sign():
    x, own = Tensor(X, requires_grad=True), Tensor(X, requires_grad=True)
    y, sign = F.quantize(x, Uniform(1)), F.sign(own)
    assert y.data == sign.data
    y.backward(X)
    sign.backward(X)
    np.testing.assert_array_equal(x.grad, own.grad)
    assert F.quantize(X, ApproxSign()).data == sign.data


def test_latent_weights_keep_the_signs_that_they_have():
    weight = LatentWeight(X, clip=1.0)
    assert F.quantize(weight, Uniform(1), straight=True).data == weight.signs


def test_a_window_takes_a_bit_an_element_and_a_smooth_slope_its_input():
    x = Tensor(np.zeros((4, 640), np.float32), requires_grad=True)
    assert F.quantize(x, Uniform(4)).creator.kept.n_bytes == 4 * 640 // 8
    assert F.quantize(x, SwishSign()).creator.kept is x.data
    assert not hasattr(F.quantize(x, Uniform(4), straight=True).creator, "kept")
    assert F.quantize(x.data, Uniform(4)).creator is None


def test_products_of_weights_pass_on_straight():
    """A gradient that an optimizer multiplies out is handed on as it is."""
    weight = Tensor(X, requires_grad=True)
    y = F.quantize(weight, Uniform(2), straight=True)
    product = kernels.Product(np.ones((3, 2), np.float32), kernels.pack(np.ones((2, 70))))
    assert y.creator.gradients(product)[0] is product


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.quantize(np.float32([np.nan]), Uniform(2)), "holds NaN"),
        (lambda: F.quantize(np.float32([np.nan]), Uniform(1)), "holds NaN"),
        (lambda: F.quantize(np.arange(3), Uniform(2)), "int64 of shape .3,.; expected floats, or"),
        (lambda: F.sign(np.zeros(3, np.uint8)), "sign: got uint8 of shape .3,.; expected floats"),
        (lambda: F.quantize(F.sign(X), Uniform(2)), "expected floats"),
        (lambda: F.quantize(X, 2), "bitnet.quantizers"),
        (lambda: F.unpack(X), "expected Bits"),
        (lambda: Quantize(9), "from 1 to 8"),
        (lambda: Quantize("uniform:9"), "from 1 to 8"),
        (lambda: Quantize(True), "or a quantizer"),
        (lambda: Quantize(Ternary()), "an elementwise quantizer"),
        (lambda: Quantize(DoReFa(2)), "an elementwise quantizer"),
        (lambda: setattr(Quantize(LinearQuant(2, 0.5)), "clip_value", 2.0), "no clip_value"),
        (lambda: setattr(Quantize(2), "clip_value", 0.0), "or inf"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


INTEGERS = st.lists(st.integers(-5, 5) | st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=70)


@given(INTEGERS, st.sampled_from([Uniform(1), Uniform(3), Uniform(2, clip_value=3.0), LogQuant(3)]))
def test_integers_count_as_float32(numbers, quantizer):
    z = np.array(numbers, np.int32)
    for quantize in (F.sign, lambda x: F.quantize(x, quantizer)):
        x = Tensor(z.astype(np.float32), requires_grad=True)
        whole = Tensor(z)
        whole.requires_grad = True  # as the result of a product
        y, expected = quantize(whole), quantize(x)
        assert (y.numpy() == expected.numpy()).all()
        grad_y = np.linspace(-1, 2, z.size, dtype=np.float32)
        grad_x, expected = y.creator.gradients(grad_y)[0], expected.creator.gradients(grad_y)[0]
        assert grad_x.dtype == np.float32
        assert (grad_x == expected).all()


def passed(layer):
    x = Tensor(np.float32([0.5, 1.5, 9.0]), requires_grad=True)
    layer(x).backward(np.ones(3, np.float32))
    return x.grad.tolist()


@pytest.mark.parametrize("bits", [1, 2])
def test_the_window_of_the_layer_can_be_widened_in_training(bits):
    layer = Quantize(bits)
    assert layer.clip_value == 1.0
    assert passed(layer) == [1, 0, 0]
    layer.clip_value = 2.0
    assert passed(layer) == [1, 1, 0]
    assert layer.quantizer == Uniform(bits, clip_value=2.0)
    layer.clip_value = None
    assert layer.clip_value == math.inf
    assert passed(layer) == [1, 1, 1]
    assert Quantize(LinearQuant(2, 0.5)).clip_value is None


def test_the_layer_has_the_values_of_its_quantizer():
    layer = Quantize(LogQuant(3))
    np.testing.assert_array_equal(layer(X).data.values(), LogQuant(3).values(X))
    assert repr(layer) == "Quantize(LogQuant(bits=3, largest=0, signed=True))"
    assert layer.parameters() == []
