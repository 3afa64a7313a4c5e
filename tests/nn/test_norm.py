"""Norms of a net: shift-based batch norm as a layer, and how it evaluates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SMALLEST, seeds

from bitnet import InputError, kernels
from bitnet.nn import BatchNorm, ShiftBatchNorm
from bitnet.nn.shift import NORMS, norm_named

VARIANTS = pytest.mark.parametrize("variant", ["paper", "code"])


def disturbed(variant, seed, n=40):
    """A norm as no training leaves it."""
    rng, norm = np.random.default_rng(seed), ShiftBatchNorm(n, variant)
    norm.gamma.data[:] = rng.choice([-2.7, -1.0, -SMALLEST, 0.0, SMALLEST, 1.0, 0.3], n)
    norm.beta.data[:] = rng.choice([-1.0, -0.0, 0.0, 0.5, 3.0], n)
    norm.running_mean[:] = rng.standard_normal(n) * 9
    norm.running_inv_std[:] = rng.choice([1.0, 0.3, 0.1, 99.0], n)
    return norm.eval()


@VARIANTS
@given(seed=seeds, integers=st.booleans())
def test_evaluation_is_its_affine_function_bit_for_bit(variant, seed, integers):
    norm = disturbed(variant, seed)
    z = np.random.default_rng(seed).integers(-99, 99, (5, 40))
    z = z.astype(np.int32) if integers else z.astype(np.float32) / 8
    mean, scale, shift = norm.affine()
    assert np.array_equal(norm(z).data, (z.astype(np.float32) - mean) * scale + shift)
    fraction, _ = np.frexp(scale)
    assert set(abs(fraction)) <= {0.0, 0.5}  # powers of two, and 0
    expected = kernels.ap2(norm.gamma.data) * kernels.ap2(norm.running_inv_std)
    assert np.array_equal(scale, expected)


def test_batch_norm_has_the_same_interface():
    norm = BatchNorm(2).eval()
    norm.gamma.data[:], norm.running_inv_std[:], norm.running_mean[:] = (3, -2), (0.3, 0.7), (1, 2)
    z = np.arange(6, dtype=np.int32).reshape(3, 2)
    mean, scale, shift = norm.affine()
    assert np.array_equal(norm(z).data, (z.astype(np.float32) - mean) * scale + shift)


@VARIANTS
def test_the_first_batches_are_averaged_plainly_and_the_inverse_is_not_rounded(variant):
    norm = ShiftBatchNorm(1, variant)
    for numbers in ([0.0, 2.0], [0.0, 6.0]):
        norm(np.float32(numbers)[:, None])
    assert norm.running_mean.item() == 2.0
    inverse = [1 / np.sqrt(1 + 1e-5), 1 / np.sqrt(3 * 4 + 1e-5)]  # AP2(3) = 4
    assert norm.running_inv_std.item() == pytest.approx(np.mean(inverse), rel=1e-6)
    for _ in range(7):
        norm(np.float32([[0.0], [2.0]]))
    before = norm.running_mean.item()
    norm(np.float32([[8.0], [10.0]]))
    assert norm.running_mean.item() == pytest.approx(before + (9 - before) / 8)


def test_the_backward_passes_differ_and_the_numbers_do_not():
    x = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    results = []
    for variant in ("paper", "code"):
        norm = ShiftBatchNorm(3, variant)
        y = norm(x)
        y.backward(x)
        results.append((y.data, norm.gamma.grad))
    assert np.array_equal(results[0][0], results[1][0])
    assert not np.array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("name", NORMS)
def test_norms_by_name(name):
    norm = norm_named(name, 7, lr_scale=10.0)
    assert (norm.num_features, norm.gamma.lr_scale) == (7, 10.0)
    assert isinstance(norm, BatchNorm)
    assert getattr(norm, "variant", None) == {"shift": "paper", "shift-code": "code"}.get(name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ShiftBatchNorm(3, "torch"), "expected one of paper, code"),
        (lambda: ShiftBatchNorm(0), "ShiftBatchNorm: num_features"),
        (lambda: ShiftBatchNorm(3, eps=0), "ShiftBatchNorm: eps"),
        (lambda: ShiftBatchNorm(3, momentum=1.5), "ShiftBatchNorm: eps"),
        (lambda: norm_named("layer", 3), "expected one of batch, shift, shift-code"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
