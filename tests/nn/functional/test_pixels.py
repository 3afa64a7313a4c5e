"""functional.pixel_planes and its layer: the highest bits of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, Tensor, nn
from bitnet.autograd import trace
from bitnet.data import scale_pixels
from bitnet.kernels import BitPlanes, Bits

pytestmark = pytest.mark.usefixtures("implementation")
PIXELS = arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, max_side=9))
PLANES = st.integers(1, 8)


@given(PIXELS, PLANES)
def test_the_values_are_those_of_the_formula(pixels, planes):
    y = F.pixel_planes(pixels, planes)
    assert isinstance(y.data, Bits if planes == 1 else BitPlanes)
    expected = 2 * (pixels.astype(int) >> (8 - planes)) - (2**planes - 1)
    assert (y.numpy() == expected).all()
    assert y.shape == pixels.shape
    assert planes == 1 or y.data.coefficients == tuple(2**b for b in range(planes))
    assert planes < 8 or (y.numpy() == 2.0 * pixels - 255).all()


@given(PIXELS)
def test_scaled_pixels_are_those_of_the_data(pixels):
    y = nn.ScalePixels()(pixels).data
    assert (y == scale_pixels(pixels)).all()
    assert (y.dtype, y.shape) == (np.float32, pixels.shape)


@given(st.integers(1, 70), PLANES, st.sampled_from(("float32", "int8")), st.integers(0, 99))
def test_products_are_those_of_the_integers(n, planes, grad_format, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (3, n), dtype=np.uint8)
    x = F.pixel_planes(pixels, planes)
    weight = Tensor(rng.normal(0, 1, (4, n)).astype(np.float32), requires_grad=True)
    z = F.quantized_linear(x, F.sign(weight, None), grad_format)
    assert (z.data == x.numpy().astype(int) @ np.where(weight.data >= 0, 1, -1).T).all()
    grad_z = rng.normal(0, 1, z.shape).astype(np.float32)
    z.backward(grad_z)
    exact, step = grad_z.T @ x.numpy(), abs(grad_z).max() / 127
    near = 1e-3 if grad_format == "float32" else 3 * step * 2**planes + 1e-3
    assert abs(weight.grad - exact).max() <= near


def test_a_trace_has_the_pixels_as_input():
    net = nn.models.binary_mlp([6, 5, 2], rng=np.random.default_rng(0), input_planes=3)
    graph = trace(net, np.zeros((2, 6), np.uint8))
    assert (graph.nodes[0].operation, graph.nodes[0].inputs) == ("PixelPlanes", ("input",))
    assert graph.nodes[0].settings == {"planes": 3}
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 6) * 20
    assert (graph.run(pixels)[0].data == net.eval()(pixels).data).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.pixel_planes([[1.0]], 3), "got float32 of shape .1, 1.; expected uint8 pixels"),
        (lambda: F.pixel_planes(F.sign([1.0]), 3), "got Bits of shape .1,.; expected uint8"),
        (lambda: F.pixel_planes(np.uint8(3), 3), r"uint8 of shape \(\); expected uint8 pixels"),
        (lambda: F.pixel_planes(np.zeros(3, np.uint8), 9), "planes is 9; expected .* from 1 to 8"),
        (lambda: nn.PixelPlanes(0), "PixelPlanes: planes is 0; expected .* from 1 to 8"),
        (lambda: nn.PixelPlanes(2.0), "planes is 2.0; expected a whole number"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
