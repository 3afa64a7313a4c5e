"""The layers: what they compute, hold and refuse."""

import numpy as np
import pytest

from bitnet import BatchNorm, BinaryLinear, Dropout, InputError, Linear, Sign, kernels

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 20), dtype=np.uint8)


def test_binary_linear_multiplies_with_its_bits():
    layer = BinaryLinear(20, 7, np.random.default_rng(1))
    signs = layer.bits.signs(np.int64)
    assert np.array_equal(signs > 0, layer.weight.data >= 0)
    assert np.array_equal(layer(PIXELS).data, (2 * PIXELS.astype(np.int64) - 255) @ signs.T)
    x = kernels.pack(PIXELS > 100)
    assert np.array_equal(layer(x).data, x.signs(np.int64) @ signs.T)


def test_latent_weights_start_in_their_bounds_and_state_the_papers_scale():
    weight = BinaryLinear(784, 4096, np.random.default_rng(1)).weight
    assert abs(weight.data).max() <= 1
    assert abs(weight.data.mean()) < 0.01
    assert (weight.bound, round(weight.step_scale, 2)) == (
        1.0,
        57.04,
    )  # the papers' first MNIST layer


def test_the_gradient_of_the_bits_counts_as_that_of_the_latent_weights():
    layer = BinaryLinear(20, 7, RNG, gradient="float32")
    grad_z = np.random.default_rng(2).standard_normal((6, 7)).astype(np.float32)
    layer(PIXELS).backward(grad_z)
    assert np.allclose(layer.weight.grad, grad_z.T @ (2.0 * PIXELS - 255), rtol=1e-4, atol=1e-2)


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
    norm = BatchNorm(3, step_scale=10)
    assert (norm.gamma.step_scale, norm.beta.step_scale) == (10, 10)
    assert (norm.gamma.bound, norm.beta.bound) == (None, None)


def test_evaluation_of_batch_norm_uses_the_averages():
    norm = BatchNorm(2).eval()
    norm.running_mean[:], norm.running_inv_std[:] = [1.0, 2.0], [3.0, 4.0]
    assert norm(np.float32([[2.0, 2.5]])).data.tolist() == [[3.0, 2.0]]
    assert norm(np.float32([[2.0, 2.5]]))  # a single row is fine in evaluation


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BinaryLinear(0, 5, RNG), "inputs is 0"),
        (lambda: BinaryLinear(5, -1, RNG), "outputs is -1"),
        (lambda: BinaryLinear(5, 2.5, RNG), "2.5"),
        (lambda: BinaryLinear(True, 5, RNG), "True"),
        (lambda: Linear(5, 0, RNG), "outputs is 0"),
        (lambda: BatchNorm(0), "features is 0"),
        (lambda: BatchNorm(3, momentum=0), "momentum 0"),
        (lambda: BatchNorm(3, eps=0), "eps is 0"),
        (lambda: Dropout(1.0, RNG), "1.0"),
        (lambda: Dropout(0.5, 0), "rng is 0; expected a numpy.random.Generator"),
        (lambda: BinaryLinear(3, 4, 0), "rng is 0"),
        (lambda: Linear(3, 4, None), "rng is None"),
        (lambda: Sign(stochastic=True), "rng"),
        (lambda: BinaryLinear(20, 5, RNG)(PIXELS[:, :19]), r"\(6, 19\); expected \(B, 20\)"),
        (lambda: BinaryLinear(20, 5, RNG)(PIXELS[0]), r"\(20,\)"),
        (lambda: BinaryLinear(20, 5, RNG)(PIXELS.astype(np.float32)), "float32"),
        (lambda: Linear(20, 5, RNG)(np.ones((2, 3))), r"expected \(B, 20\)"),
        (lambda: BatchNorm(3)(np.ones((0, 3))), "2 rows"),
        (lambda: BatchNorm(3)(np.ones((1, 3))), "2 rows"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
