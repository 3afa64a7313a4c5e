"""The layers: what they compute, hold and refuse."""

import numpy as np
import pytest

from bitnet import InputError, kernels
from bitnet.autograd import Parameter
from bitnet.nn import BatchNorm, BinaryLinear, Dropout, Linear, Sequential, Sign, functional
from bitnet.nn.containers import fused
from bitnet.nn.fused import BatchNormSign
from bitnet.optim import Adam

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 20), dtype=np.uint8)


def test_binary_linear_multiplies_with_its_bits():
    layer = BinaryLinear(20, 7, rng=np.random.default_rng(1))
    signs = layer.bits.signs(np.int64)
    assert np.array_equal(signs > 0, layer.weight.data >= 0)
    assert np.array_equal(layer(PIXELS).data, (2 * PIXELS.astype(np.int64) - 255) @ signs.T)
    x = kernels.pack(PIXELS > 100)
    assert np.array_equal(layer(x).data, x.signs(np.int64) @ signs.T)


def test_a_sign_without_batch_norm_trains():
    rng = np.random.default_rng(3)
    hidden, last = BinaryLinear(20, 64, rng=rng), BinaryLinear(64, 2, rng=rng)
    net = Sequential(Sign(), hidden, Sign(clip_value=8.0), last, BatchNorm(2))
    x = rng.standard_normal((200, 20)).astype(np.float32)
    labels = (x[:, :10].sum(axis=1) > 0).astype(int)
    optimizer, before = Adam(net.parameters(), 0.01), hidden.bits
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(net(x), labels).backward()
        assert hidden.weight.grad.any()
        optimizer.step()
    assert hidden.bits != before
    assert (net.eval()(x).data.argmax(axis=1) == labels).mean() > 0.75


def test_latent_weights_start_in_their_bounds_and_state_the_papers_scale():
    weight = BinaryLinear(784, 4096, rng=np.random.default_rng(1)).weight
    assert abs(weight.data).max() <= 1
    assert abs(weight.data.mean()) < 0.01
    assert (weight.clip, round(weight.lr_scale, 2)) == (1.0, 57.04)  # the papers' first MNIST layer


def test_the_gradient_of_the_bits_counts_as_that_of_the_latent_weights():
    layer = BinaryLinear(20, 7, rng=RNG, grad_format="float32")
    grad_z = np.random.default_rng(2).standard_normal((6, 7)).astype(np.float32)
    layer(PIXELS).backward(grad_z)
    assert np.allclose(layer.weight.grad, grad_z.T @ (2.0 * PIXELS - 255), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("gradient", ["int8", "int6", "int4"])
def test_integers_of_a_gradient_are_close_to_it(gradient):
    grad_z = np.random.default_rng(2).standard_normal((6, 7)).astype(np.float32)
    exact = grad_z.T @ (2.0 * PIXELS - 255)
    largest = 2 ** (int(gradient[3:]) - 1) - 1
    for rounding, half in (("nearest", 0.501), ("stochastic", 1.001)):
        layer = BinaryLinear(20, 7, rng=RNG, grad_format=gradient, rounding=rounding)
        layer(PIXELS).backward(grad_z)
        step = abs(grad_z).max(axis=0)[:, None] / largest
        assert (abs(layer.weight.grad - exact) <= half * step * abs(2.0 * PIXELS - 255).sum()).all()
        assert not np.allclose(layer.weight.grad, exact, rtol=1e-5)


@pytest.mark.parametrize("clip_value", [1.0, 0.3, None])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_sign_in_one_pass_are_the_two(clip_value, training):
    z = RNG.integers(-40, 40, (50, 9)).astype(np.int32)
    results = []
    for in_one_pass in (True, False):
        norm, sign = BatchNorm(9), Sign(clip_value)
        norm.gamma.data[:], norm.beta.data[:] = np.linspace(-1, 1, 9), np.linspace(0.5, -0.5, 9)
        norm.train(training)
        weight = Parameter(np.random.default_rng(1).uniform(-1, 1, (9, 9)))
        x = functional.quantized_linear(
            kernels.pack(z > 0), functional.sign(weight, clip_value=None)
        )
        y = Sequential(norm, sign)(x) if in_one_pass else sign(norm(x))
        y.backward(np.cos(np.arange(450, dtype=np.float32)).reshape(50, 9))
        results.append((y.data, weight.grad, norm.gamma.grad, norm.beta.grad, norm.state_dict()))
    (bits, *grads, state), (other_bits, *other_grads, other_state) = results
    assert bits == other_bits
    for a, b in zip(grads, other_grads, strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=1e-5)
    assert all(np.array_equal(state[name], other_state[name]) for name in state)


def test_one_pass_is_for_integers_and_plain_signs():
    norm = BatchNorm(3)
    assert type(fused([norm, Sign()])[0]) is BatchNormSign
    for other in (Sign(stochastic=True, rng=RNG), BatchNorm(3)):
        assert fused([norm, other]) == [norm, other]
    own = [type("Another", (BatchNorm,), {})(3), Sign()]
    assert fused(own) == own
    x = RNG.standard_normal((5, 3)).astype(np.float32)
    expected = Sign()(BatchNorm(3)(x)).data
    assert Sequential(norm, Sign())(x).data == expected


@pytest.mark.parametrize("clip_value", [0, -1.0, np.nan])
def test_one_pass_refuses_the_windows_that_a_sign_refuses(clip_value):
    sign = Sign()
    sign.clip_value = clip_value
    with pytest.raises(InputError, match="clip_value"):
        Sequential(BatchNorm(3), sign)(np.arange(12, dtype=np.int32).reshape(4, 3))


def test_pixels_may_be_overwritten_before_the_step():
    layer = BinaryLinear(8, 2, rng=RNG, grad_format="float32")
    pixels = np.full((3, 8), 255, np.uint8)
    layer(pixels).backward(np.ones((3, 2), np.float32))
    pixels[:] = 0
    assert (layer.weight.grad == 3 * 255).all()


def test_a_gamma_that_is_not_finite_has_no_sign():
    norm = BatchNorm(3)
    norm.gamma.data[0] = np.nan
    for training in (True, False):
        with pytest.raises(InputError, match="NaN"):
            norm.train(training)
            Sequential(norm, Sign())(np.ones((4, 3), np.int32)).data.signs()


def test_batch_norm_averages_the_first_batches_plainly():
    norm, batches = BatchNorm(3), np.random.default_rng(0).standard_normal((15, 8, 3))
    for x in batches[:10]:
        norm(x.astype(np.float32))
    assert np.allclose(norm.running_mean, batches[:10].mean(axis=(0, 1)), atol=1e-6)
    inv_std = 1 / np.sqrt(batches[:10].var(axis=1) + 1e-4)
    assert np.allclose(norm.running_inv_std, inv_std.mean(axis=0), atol=1e-5)
    before = norm.running_mean.copy()
    norm(batches[10].astype(np.float32))
    expected = 0.9 * before + 0.1 * batches[10].mean(axis=0)
    assert np.allclose(norm.running_mean, expected, atol=1e-6)
    assert norm.batches == 11


def test_a_momentum_of_one_keeps_the_last_batch():
    norm = BatchNorm(1, momentum=1)
    for x in ([[0.0], [2.0]], [[4.0], [6.0]]):
        norm(np.float32(x))
    assert norm.running_mean == 5.0


def test_step_scales_reach_gamma_and_beta():
    norm = BatchNorm(3, lr_scale=10)
    assert (norm.gamma.lr_scale, norm.beta.lr_scale) == (10, 10)
    assert (norm.gamma.clip, norm.beta.clip) == (None, None)


def test_evaluation_of_batch_norm_uses_the_averages():
    norm = BatchNorm(2).eval()
    norm.running_mean[:], norm.running_inv_std[:] = [1.0, 2.0], [3.0, 4.0]
    assert norm(np.float32([[2.0, 2.5]])).data.tolist() == [[3.0, 2.0]]
    assert norm(np.float32([[2.0, 2.5]])).shape == (1, 2)  # one row is enough in evaluation


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BinaryLinear(0, 5, rng=RNG), "in_features is 0"),
        (lambda: BinaryLinear(5, -1, rng=RNG), "out_features is -1"),
        (lambda: BinaryLinear(5, 2.5, rng=RNG), "2.5"),
        (lambda: BinaryLinear(True, 5, rng=RNG), "True"),
        (lambda: Linear(5, 0, rng=RNG), "out_features is 0"),
        (lambda: BatchNorm(0), "num_features is 0"),
        (lambda: BatchNorm(3, momentum=0), "momentum 0"),
        (lambda: BatchNorm(3, eps=0), "eps is 0"),
        (lambda: Dropout(1.0, rng=RNG), "1.0"),
        (lambda: Dropout(0.5, rng=0), "rng is 0; expected a numpy.random.Generator"),
        (lambda: BinaryLinear(3, 4, rng=0), "rng is 0"),
        (lambda: BinaryLinear(3, 4, rng=RNG, grad_format="int3"), "grad_format is 'int3'"),
        (lambda: BinaryLinear(3, 4, rng=RNG, rounding="down"), "rounding is 'down'"),
        (lambda: Linear(3, 4, rng=None), "rng is None"),
        (lambda: Sign(stochastic=True), "rng"),
        (
            lambda: BinaryLinear(20, 5, rng=RNG)(PIXELS[:, :19]),
            r"\(6, 19\) does not fit; expected an input \(B, 20\)",
        ),
        (lambda: BinaryLinear(20, 5, rng=RNG)(PIXELS[0]), r"\(20,\)"),
        (lambda: BinaryLinear(20, 5, rng=RNG)(PIXELS.astype(np.int32)), "int32"),
        (lambda: Linear(20, 5, rng=RNG)(np.ones((2, 3))), r"expected an input \(B, 20\)"),
        (lambda: BatchNorm(3)(np.ones((0, 3))), "2 rows"),
        (lambda: BatchNorm(3)(np.ones((1, 3))), "2 rows"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_rounding_is_of_integers():
    with pytest.raises(InputError, match="or remove rounding"):
        BinaryLinear(3, 2, rng=RNG, grad_format="float32", rounding="stochastic")


def test_gradients_are_floats_where_nothing_is_compiled():
    with kernels.using("reference"):
        assert BinaryLinear(3, 2, rng=RNG).grad_format == "float32"
        assert BinaryLinear(3, 2, rng=RNG, rounding="stochastic").grad_format == "int8"
    with kernels.using("numba"):
        assert BinaryLinear(3, 2, rng=RNG).grad_format == "int8"
